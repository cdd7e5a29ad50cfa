//! The self-test of a suite: handshakes against itself, in memory.
//!
//! Raw public keys (RFC 7250) stand in for certificates, so that the test needs no
//! authority and covers what could be missing from a build: key exchange, signing,
//! verifying, and their negotiation.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::server::AlwaysResolvesServerRawPublicKeys;
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, Error, PeerIncompatible,
    ServerConfig, ServerConnection, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};

use crate::catalog::Algorithm;
use crate::{CryptoError, Family, PrivateKey, Suite};

/// More flights than any TLS 1.3 handshake has, with or without a retry.
const FLIGHTS_MAX: usize = 8;

/// Completes a handshake with each group and each family that the suite permits.
pub(crate) fn run(suite: &Suite) -> Result<(), CryptoError> {
    let provider = suite.client_provider();
    for family in Family::ALL {
        let algorithm = family.default_algorithm();
        if !suite.signatures().contains(&algorithm) {
            continue;
        }
        let key = PrivateKey::generate(family)?;
        for (row, group) in suite.groups().iter().zip(&provider.kx_groups) {
            let only =
                Arc::new(CryptoProvider { kx_groups: vec![*group], ..CryptoProvider::clone(&provider) });
            handshake_with(only, &key, row).map_err(|error| CryptoError::SelfTest {
                profile: suite.profile().name,
                group: row.id,
                signature: algorithm.id,
                reason: error.to_string(),
            })?;
        }
    }
    Ok(())
}

fn handshake_with(provider: Arc<CryptoProvider>, key: &PrivateKey, row: &Algorithm) -> Result<(), Error> {
    let certified = CertifiedKey::new(vec![CertificateDer::from(key.spki_der())], key.rustls_signing_key());
    let resolver = AlwaysResolvesServerRawPublicKeys::new(Arc::new(certified));
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    let verifier = PinnedKey { spki: key.spki_der(), algorithms: provider.signature_verification_algorithms };
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let name = ServerName::try_from("self-test.invalid").expect("a valid DNS name");
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    exchange(&mut client, &mut server)?;

    let negotiated = client.negotiated_key_exchange_group();
    let negotiated = negotiated.map(|group| u16::from(group.name()));
    if negotiated == row.code_point && !server.is_handshaking() {
        Ok(())
    } else {
        Err(Error::General(format!("negotiated {negotiated:?} instead")))
    }
}

/// Carries flights to and fro until both sides are done, or one of them fails.
pub(crate) fn exchange(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<(), Error> {
    let io = |error: std::io::Error| Error::General(error.to_string());
    for _ in 0..FLIGHTS_MAX {
        if !client.is_handshaking() && !server.is_handshaking() {
            return Ok(());
        }
        let mut flight = Vec::new();
        while client.wants_write() {
            client.write_tls(&mut flight).map_err(io)?;
        }
        let mut unread = flight.as_slice();
        while !unread.is_empty() {
            server.read_tls(&mut unread).map_err(io)?;
            server.process_new_packets()?;
        }
        flight.clear();
        while server.wants_write() {
            server.write_tls(&mut flight).map_err(io)?;
        }
        let mut unread = flight.as_slice();
        while !unread.is_empty() {
            client.read_tls(&mut unread).map_err(io)?;
            client.process_new_packets()?;
        }
    }
    Err(Error::HandshakeNotComplete)
}

/// Accepts one raw public key, and no certificate.
#[derive(Debug)]
struct PinnedKey {
    spki: Vec<u8>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl ServerCertVerifier for PinnedKey {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if end_entity.as_ref() == self.spki {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::UnknownIssuer.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _cert: &CertificateDer<'_>,
        _dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(PeerIncompatible::Tls12NotOffered.into())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let spki = SubjectPublicKeyInfoDer::from(cert.as_ref());
        verify_tls13_signature_with_raw_key(message, &spki, dss, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }

    fn requires_raw_public_keys(&self) -> bool {
        true
    }
}
