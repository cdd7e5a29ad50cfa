//! The self-test of a suite: handshakes against itself, in memory.
//!
//! Raw public keys (RFC 7250) stand in for certificates, so that the test needs no
//! authority and covers what could be missing from a build: key exchange, signing,
//! verifying, and their negotiation.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{AlwaysResolvesClientRawPublicKeys, ClientConnectionData};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature_with_raw_key};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::server::{AlwaysResolvesServerRawPublicKeys, ServerConnectionData};
use rustls::sign::CertifiedKey;
use rustls::version::TLS13;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, ConnectionCommon, DigitallySignedStruct,
    DistinguishedName, Error, PeerIncompatible, ServerConfig, ServerConnection, SignatureScheme,
};
use rustls_pki_types::{CertificateDer, ServerName, SubjectPublicKeyInfoDer, UnixTime};

use serde::{Deserialize, Serialize};

use crate::catalog::{self, Algorithm, Kind, Nature};
use crate::{CryptoError, PrivateKey, Suite, probe_provider};

/// More flights than any TLS 1.3 handshake has, with or without a retry.
const FLIGHTS_MAX: usize = 8;

/// Completes a handshake with each group, and one with each signature that we can make.
pub(crate) fn run(suite: &Suite) -> Result<(), CryptoError> {
    let provider = suite.client_provider();
    let groups: Vec<_> = suite.groups().iter().copied().zip(provider.kx_groups.iter().copied()).collect();
    let only =
        |group| Arc::new(CryptoProvider { kx_groups: vec![group], ..CryptoProvider::clone(&provider) });
    let failed = |row: &Algorithm, key: &PrivateKey, error: Error| CryptoError::SelfTest {
        profile: suite.profile().name,
        group: row.id,
        signature: key.algorithm().id,
        reason: error.to_string(),
    };
    for (at, algorithm) in suite.identities().iter().enumerate() {
        let key = PrivateKey::generate(algorithm)?;
        // The first signature carries every group, the others show that they sign at all.
        let tested = if at == 0 { &groups[..] } else { &groups[..1] };
        for (row, group) in tested {
            handshake_with(only(*group), &key, row).map_err(|error| failed(row, &key, error))?;
        }
    }
    Ok(())
}

/// Runs one algorithm of the catalog by its default provider: a handshake with the group, with the
/// cipher, or with keys of the signature. `None` where there is nothing to run here: no code, a
/// cipher that seals and is not for TLS, or a signature that is verified only.
///
/// # Errors
/// [`CryptoError::SelfTest`] with the handshake's own error, [`CryptoError::Library`].
pub fn try_algorithm(row: &'static Algorithm) -> Result<Option<Duration>, CryptoError> {
    let quick = |kind: Kind| {
        catalog::all().iter().find(|other| other.kind == kind && other.nature == Nature::Traditional)
    };
    let default =
        |chosen: Option<&'static Algorithm>| chosen.expect("the catalog has the baseline of TLS 1.3");
    let (group, signature) = match row.kind {
        Kind::Group => (row, default(quick(Kind::Signature))),
        Kind::Signature => (default(quick(Kind::Group)), row),
        Kind::Cipher => (default(quick(Kind::Group)), default(quick(Kind::Signature))),
    };
    let runs = row.is_usable() && row.code_point.is_some() && PrivateKey::can_make(signature);
    if !runs {
        return Ok(None);
    }
    let mut provider = probe_provider(&[group], &[signature]);
    if row.kind == Kind::Cipher {
        provider.cipher_suites.retain(|suite| Some(u16::from(suite.suite())) == row.code_point);
    }
    let key = PrivateKey::generate(signature)?;
    let begun = Instant::now();
    handshake_with(Arc::new(provider), &key, group).map_err(|error| CryptoError::SelfTest {
        profile: "the catalog",
        group: group.id,
        signature: signature.id,
        reason: error.to_string(),
    })?;
    Ok(Some(begun.elapsed()))
}

/// What a full, mutually authenticated handshake costs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cost {
    /// Catalog id of the group.
    pub group: String,
    /// Catalog id of the signature on both sides.
    pub signature: String,
    /// Bytes that the client sends. Raw public keys (RFC 7250) stand in for certificates:
    /// each certificate adds a signature and some 400 bytes.
    pub bytes_up: u64,
    /// Bytes that the server sends.
    pub bytes_down: u64,
    /// Time that the client computes, in microseconds: the best of a few.
    pub client_us: u64,
    /// Time that the server computes, in microseconds: the best of a few.
    pub server_us: u64,
}

impl Suite {
    /// Measures a full, mutually authenticated handshake in memory with what the suite
    /// prefers. Takes some milliseconds.
    ///
    /// # Errors
    /// [`CryptoError::SelfTest`], [`CryptoError::Library`].
    pub fn cost(&self) -> Result<Cost, CryptoError> {
        /// Enough to get past a cold cache and the tail of rejection sampling.
        const ROUNDS: usize = 5;
        let provider = self.client_provider();
        let (row, signature) = (self.groups()[0], self.identities()[0]);
        let only = Arc::new(CryptoProvider {
            kx_groups: vec![provider.kx_groups[0]],
            ..CryptoProvider::clone(&provider)
        });
        let key = PrivateKey::generate(signature)?;
        let mut best: Option<Spent> = None;
        for _ in 0..ROUNDS {
            let spent =
                handshake_with(Arc::clone(&only), &key, row).map_err(|error| CryptoError::SelfTest {
                    profile: self.profile().name,
                    group: row.id,
                    signature: signature.id,
                    reason: error.to_string(),
                })?;
            best = Some(match best {
                Some(best) => Spent {
                    client: best.client.min(spent.client),
                    server: best.server.min(spent.server),
                    ..spent
                },
                None => spent,
            });
        }
        let spent = best.expect("at least one round was made");
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        Ok(Cost {
            group: row.id.to_owned(),
            signature: signature.id.to_owned(),
            bytes_up: spent.up,
            bytes_down: spent.down,
            client_us: micros(spent.client),
            server_us: micros(spent.server),
        })
    }
}

fn handshake_with(provider: Arc<CryptoProvider>, key: &PrivateKey, row: &Algorithm) -> Result<Spent, Error> {
    let certified = CertifiedKey::new(vec![CertificateDer::from(key.spki_der())], key.rustls_signing_key());
    let certified = Arc::new(certified);
    let pinned =
        Arc::new(PinnedKey { spki: key.spki_der(), algorithms: provider.signature_verification_algorithms });
    let server = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(&[&TLS13])?
        .with_client_cert_verifier(Arc::clone(&pinned) as _)
        .with_cert_resolver(Arc::new(AlwaysResolvesServerRawPublicKeys::new(Arc::clone(&certified))));
    let client = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])?
        .dangerous()
        .with_custom_certificate_verifier(pinned)
        .with_client_cert_resolver(Arc::new(AlwaysResolvesClientRawPublicKeys::new(certified)));
    let name = ServerName::try_from("self-test.invalid").expect("a valid DNS name");
    let mut client = ClientConnection::new(Arc::new(client), name)?;
    let mut server = ServerConnection::new(Arc::new(server))?;
    let spent = exchange(&mut client, &mut server)?;

    let negotiated = client.negotiated_key_exchange_group();
    let negotiated = negotiated.map(|group| u16::from(group.name()));
    if negotiated == row.code_point && !server.is_handshaking() {
        Ok(spent)
    } else {
        Err(Error::General(format!("negotiated {negotiated:?} instead")))
    }
}

/// What a handshake took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Spent {
    up: u64,
    down: u64,
    client: Duration,
    server: Duration,
}

/// Carries flights to and fro until both sides are done, or one of them fails.
pub(crate) fn exchange(client: &mut ClientConnection, server: &mut ServerConnection) -> Result<Spent, Error> {
    let mut spent = Spent::default();
    for _ in 0..FLIGHTS_MAX {
        if !client.is_handshaking() && !server.is_handshaking() {
            return Ok(spent);
        }
        let begun = Instant::now();
        let up = flight(client)?;
        let sent = Instant::now();
        spent.up += up.len() as u64;
        deliver(server, &up)?;
        let down = flight(server)?;
        let answered = Instant::now();
        spent.down += down.len() as u64;
        deliver(client, &down)?;
        spent.server += answered - sent;
        spent.client += (sent - begun) + answered.elapsed();
    }
    Err(Error::HandshakeNotComplete)
}

fn io(error: std::io::Error) -> Error {
    Error::General(error.to_string())
}

fn flight<T>(side: &mut ConnectionCommon<T>) -> Result<Vec<u8>, Error> {
    let mut bytes = Vec::new();
    while side.wants_write() {
        side.write_tls(&mut bytes).map_err(io)?;
    }
    Ok(bytes)
}

fn deliver<T>(side: &mut ConnectionCommon<T>, mut bytes: &[u8]) -> Result<(), Error>
where
    ConnectionCommon<T>: Process,
{
    while !bytes.is_empty() {
        side.read_tls(&mut bytes).map_err(io)?;
        side.process()?;
    }
    Ok(())
}

/// `process_new_packets`, which rustls has on each side's own data only.
pub(crate) trait Process {
    fn process(&mut self) -> Result<(), Error>;
}

impl Process for ConnectionCommon<ClientConnectionData> {
    fn process(&mut self) -> Result<(), Error> {
        self.process_new_packets().map(drop)
    }
}

impl Process for ConnectionCommon<ServerConnectionData> {
    fn process(&mut self) -> Result<(), Error> {
        self.process_new_packets().map(drop)
    }
}

/// What both roles have in common: the handshake's signature is by the raw key, with a permitted algorithm.
macro_rules! raw_key_signatures {
    () => {
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
    };
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

    raw_key_signatures!();
}

impl ClientCertVerifier for PinnedKey {
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        if end_entity.as_ref() == self.spki {
            Ok(ClientCertVerified::assertion())
        } else {
            Err(CertificateError::UnknownIssuer.into())
        }
    }

    raw_key_signatures!();
}
