//! What certificates say. Nothing is verified here: the probe asks what is presented, not whether to trust it.

use std::time::{SystemTime, UNIX_EPOCH};

use lockgate_crypto::{Algorithm, catalog, digest};
use rustls::pki_types::CertificateDer;
use x509_cert::der::{Decode, Encode};
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;

use super::report::{Certificate, Chain};

/// Names of one certificate that are kept.
const NAMES_MAX: usize = 32;
/// Letters of a name that are kept.
const NAME_LETTERS_MAX: usize = 256;
/// Certificates of a chain that are kept.
const CERTIFICATES_MAX: usize = 8;

/// What a chain says.
pub(super) fn read(certificates: &[CertificateDer<'_>]) -> Option<Chain> {
    let leaf = certificates.first()?;
    Some(Chain {
        fingerprint: digest::hex(&digest::sha256(leaf)),
        bytes: certificates.iter().map(|certificate| certificate.len() as u64).sum(),
        certificates: certificates.iter().take(CERTIFICATES_MAX).map(|der| certificate(der)).collect(),
    })
}

fn certificate(der: &[u8]) -> Certificate {
    let bytes = der.len() as u64;
    parsed(der).unwrap_or_else(|cause| Certificate {
        subject: format!("cannot be read: {cause}"),
        issuer: String::new(),
        names: Vec::new(),
        key: "unknown".to_owned(),
        signature: "unknown".to_owned(),
        quantum_safe: false,
        not_before: String::new(),
        not_after: String::new(),
        not_after_ms: 0,
        lifetime_ms: 0,
        bytes,
    })
}

fn parsed(der: &[u8]) -> x509_cert::der::Result<Certificate> {
    let certificate = x509_cert::Certificate::from_der(der)?;
    let body = certificate.tbs_certificate();
    let spki = body.subject_public_key_info();
    let key = lockgate_crypto::algorithm_of_spki(&spki.to_der()?).ok();
    let signature = catalog::by_oid(&certificate.signature_algorithm().oid.to_string());
    let validity = body.validity();
    let not_after_ms = since_1970_ms(validity.not_after.to_system_time());
    let id = |row: Option<&Algorithm>, oid: String| row.map_or(oid, |row| row.id.to_owned());
    Ok(Certificate {
        subject: shortened(&body.subject().to_string()),
        issuer: shortened(&body.issuer().to_string()),
        names: match body.get_extension::<SubjectAltName>() {
            Ok(Some((_, names))) => names.0.iter().filter_map(name).take(NAMES_MAX).collect(),
            _ => Vec::new(),
        },
        key: id(key, spki.algorithm.oid.to_string()),
        signature: id(signature, certificate.signature_algorithm().oid.to_string()),
        quantum_safe: [key, signature].iter().all(|row| row.is_some_and(Algorithm::is_quantum_safe)),
        not_before: validity.not_before.to_string(),
        not_after: validity.not_after.to_string(),
        not_after_ms,
        lifetime_ms: not_after_ms.saturating_sub(since_1970_ms(validity.not_before.to_system_time())),
        bytes: der.len() as u64,
    })
}

fn name(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(shortened(name.as_str())),
        GeneralName::UniformResourceIdentifier(uri) => Some(shortened(uri.as_str())),
        GeneralName::IpAddress(octets) => match *octets.as_bytes() {
            [a, b, c, d] => Some(std::net::Ipv4Addr::new(a, b, c, d).to_string()),
            ref octets => Some(std::net::Ipv6Addr::from(*octets.first_chunk::<16>()?).to_string()),
        },
        _ => None,
    }
}

fn shortened(text: &str) -> String {
    text.chars().take(NAME_LETTERS_MAX).collect()
}

/// Milliseconds since 1970; 0 for what lies before it.
pub(super) fn since_1970_ms(moment: SystemTime) -> u64 {
    let since = moment.duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
