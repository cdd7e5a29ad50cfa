//! Roots of algorithms that this version does not know.
//!
//! An authority may be newer than a peer. Its bundle then has roots that the peer cannot check, beside those that it can.
//! The peer keeps them as they are, so that the bundle stays the one that was pinned and signed, and trusts them in
//! nothing: they become roots once a version that knows their algorithm reads them.

use std::time::SystemTime;

use lockgate_crypto::CryptoError;
use rustls::pki_types::CertificateDer;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};

use crate::facts::CERTIFICATE_BYTES_MAX;

/// A certificate of a key that cannot be used here.
#[derive(Clone, Debug)]
pub(crate) struct Stranger {
    pub(crate) certificate: CertificateDer<'static>,
    pub(crate) spki_der: Vec<u8>,
    pub(crate) not_before: SystemTime,
}

impl Stranger {
    /// Reads a certificate whose key is of no algorithm that this version knows; `None` for every other.
    pub(crate) fn read(certificate: &CertificateDer<'static>) -> Option<Self> {
        if certificate.len() > CERTIFICATE_BYTES_MAX {
            return None;
        }
        let parsed = Certificate::from_der(certificate).ok()?;
        let body = parsed.tbs_certificate();
        let spki_der = body.subject_public_key_info().to_der().ok()?;
        let unknown =
            matches!(lockgate_crypto::algorithm_of_spki(&spki_der), Err(CryptoError::UnsupportedKey { .. }));
        let not_before = body.validity().not_before.to_system_time();
        unknown.then(|| Self { certificate: certificate.clone(), spki_der, not_before })
    }
}
