//! Tests that cross modules, and what they share: certificates and links in memory.

mod chains;
mod checklist;
mod differential;
mod groups;
mod handshakes;
mod tripwires;
mod vectors;
mod wycheproof;

use std::sync::Arc;

use rustls::crypto::CryptoProvider;
use rustls::server::WebPkiClientVerifier;
use rustls::version::TLS13;
use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::composite::{self, Composite};
use crate::self_test::exchange;
use crate::{Conditions, PrivateKey, Suite, profile};

/// The only name on the leaves of these tests.
const NAME: &str = "node.test";

/// A suite of the profile with this alias, on a day on which every profile is in force.
fn suite(alias: &str) -> Suite {
    let date = "2026-11-22".parse().unwrap();
    profile::find(alias).unwrap().compile_under(&Conditions::on(7, date)).unwrap()
}

/// The composite with this catalog id.
fn composite(id: &str) -> Option<&'static Composite> {
    let all: [&'static Composite; 4] = [
        &composite::MLDSA65_ED25519_SHA512,
        &composite::MLDSA65_ECDSA_P256_SHA512,
        &composite::MLDSA44_ED25519_SHA512,
        &composite::MLDSA44_ECDSA_P256_SHA256,
    ];
    all.into_iter().find(|composite| composite.id == id)
}

/// A root and a leaf that it issued.
struct Chain {
    root: CertificateDer<'static>,
    leaf: CertificateDer<'static>,
    key: PrivateKey,
}

impl Chain {
    /// Makes a chain with a root and a leaf of these catalog ids.
    fn new(root_id: &str, leaf_id: &str) -> Self {
        let root_key = PrivateKey::generate_algorithm(root_id).unwrap();
        let key = PrivateKey::generate_algorithm(leaf_id).unwrap();
        Self {
            root: certificate("root", &root_key, "root", &root_key, true),
            leaf: certificate("leaf", &key, "root", &root_key, false),
            key,
        }
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.root.clone()).unwrap();
        Arc::new(roots)
    }

    fn pkcs8(&self) -> PrivateKeyDer<'static> {
        PrivateKeyDer::Pkcs8(self.key.to_pkcs8_der().to_vec().into())
    }
}

/// A server configuration that presents the leaf and asks for a certificate.
fn server_config(provider: Arc<CryptoProvider>, own: &Chain, peer: &Chain) -> ServerConfig {
    let verifier =
        WebPkiClientVerifier::builder_with_provider(peer.roots(), Arc::clone(&provider)).build().unwrap();
    ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(vec![own.leaf.clone()], own.pkcs8())
        .unwrap()
}

/// A client configuration that trusts the peer's root and presents the leaf.
fn client_config(provider: Arc<CryptoProvider>, own: &Chain, peer: &Chain) -> ClientConfig {
    ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13])
        .unwrap()
        .with_root_certificates(peer.roots())
        .with_client_auth_cert(vec![own.leaf.clone()], own.pkcs8())
        .unwrap()
}

/// Connects the two in memory and completes the handshake.
fn link(
    client: &Arc<ClientConfig>,
    server: &Arc<ServerConfig>,
) -> Result<(ClientConnection, ServerConnection), rustls::Error> {
    let name = ServerName::try_from(NAME).unwrap();
    let mut client = ClientConnection::new(Arc::clone(client), name)?;
    let mut server = ServerConnection::new(Arc::clone(server))?;
    exchange(&mut client, &mut server)?;
    Ok((client, server))
}

/// A provider with these groups, in this order.
fn with_groups(suite: &Suite, ids: &[&str]) -> Arc<CryptoProvider> {
    let group = |id: &&str| {
        let row = crate::catalog::find(id).unwrap();
        crate::group::implementation(row, row.providers[0]).unwrap()
    };
    Arc::new(CryptoProvider {
        kx_groups: ids.iter().map(group).collect(),
        ..CryptoProvider::clone(&suite.client_provider())
    })
}

/// A minimal X.509 v3 certificate, written field by field (RFC 5280 section 4.1).
fn certificate(
    subject: &str,
    subject_key: &PrivateKey,
    issuer: &str,
    issuer_key: &PrivateKey,
    authority: bool,
) -> CertificateDer<'static> {
    let name = |common_name: &str| {
        let attribute = [tlv(0x06, &[&[0x55, 0x04, 0x03]]), tlv(0x0c, &[common_name.as_bytes()])];
        tlv(0x30, &[&tlv(0x31, &[&tlv(0x30, &[&attribute.concat()])])])
    };
    let extension = if authority {
        // basicConstraints, critical, cA TRUE
        let constraints = tlv(0x30, &[&tlv(0x01, &[&[0xff]])]);
        [tlv(0x06, &[&[0x55, 0x1d, 0x13]]), tlv(0x01, &[&[0xff]]), tlv(0x04, &[&constraints])].concat()
    } else {
        // subjectAltName, one dNSName
        let names = tlv(0x30, &[&tlv(0x82, &[NAME.as_bytes()])]);
        [tlv(0x06, &[&[0x55, 0x1d, 0x11]]), tlv(0x04, &[&names])].concat()
    };
    let identifier = issuer_key.algorithm_identifier_der();
    let validity = [tlv(0x17, &[b"260101000000Z"]), tlv(0x17, &[b"490101000000Z"])];
    let to_be_signed = tlv(
        0x30,
        &[
            &tlv(0xa0, &[&tlv(0x02, &[&[2]])]),
            &tlv(0x02, &[&[1]]),
            &identifier,
            &name(issuer),
            &tlv(0x30, &[&validity.concat()]),
            &name(subject),
            &subject_key.spki_der(),
            &tlv(0xa3, &[&tlv(0x30, &[&tlv(0x30, &[&extension])])]),
        ],
    );
    let signature = issuer_key.sign(&to_be_signed).unwrap();
    let bits = tlv(0x03, &[&[0], &signature]);
    CertificateDer::from(tlv(0x30, &[&to_be_signed, &identifier, &bits]))
}

/// Tag, DER length, value.
fn tlv(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let value = parts.concat();
    let mut out = vec![tag];
    match value.len() {
        short @ 0..=0x7f => out.push(u8::try_from(short).unwrap()),
        medium @ 0x80..=0xff => out.extend([0x81, u8::try_from(medium).unwrap()]),
        long => {
            out.push(0x82);
            out.extend_from_slice(&u16::try_from(long).unwrap().to_be_bytes());
        }
    }
    out.extend(value);
    out
}
