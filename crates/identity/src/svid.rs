//! X.509-SVIDs together with their keys, for workloads that get both over the SPIFFE Workload API.

use std::fmt;
use std::time::{Duration, SystemTime};

use lockgate_crypto::{Algorithm, PrivateKey};
use rustls::pki_types::CertificateDer;
use zeroize::Zeroizing;

use crate::enrol::ProvenKey;
use crate::{Authority, IdentityError, Request, Role, SpiffeId};

/// A fresh key and its certificate. The key leaves Lockgate only in the answer to the workload.
pub struct X509Svid {
    /// The id in the certificate.
    pub id: SpiffeId,
    /// The leaf. Its root is the trust anchor itself, so there is no chain.
    pub certificate: CertificateDer<'static>,
    /// Serial number, hexadecimal.
    pub serial: String,
    /// The end of its validity.
    pub not_after: SystemTime,
    key: PrivateKey,
}

impl X509Svid {
    /// The private key, PKCS#8 DER. Secret.
    pub fn key_der(&self) -> Zeroizing<Vec<u8>> {
        self.key.to_pkcs8_der()
    }

    /// SHA-256 of the subject public key info, lower-case hexadecimal.
    pub fn key_fingerprint(&self) -> String {
        ProvenKey::own(&self.key).fingerprint()
    }
}

impl fmt::Debug for X509Svid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("X509Svid")
            .field("id", &self.id)
            .field("serial", &self.serial)
            .field("key", &"[redacted]")
            .finish_non_exhaustive()
    }
}

impl Authority {
    /// Makes a key of an algorithm and a leaf for it.
    ///
    /// # Errors
    /// As [`Authority::issue`], and [`IdentityError::Crypto`] if there are no such keys.
    pub fn issue_svid(
        &self,
        id: &SpiffeId,
        algorithm: &'static Algorithm,
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<X509Svid, IdentityError> {
        let key = PrivateKey::generate(algorithm)?;
        let request = Request {
            key: ProvenKey::own(&key),
            id: id.clone(),
            role: Role::Agent,
            dns_names: Vec::new(),
            ips: Vec::new(),
            lifetime,
        };
        let issued = self.issue(&request, now)?;
        Ok(X509Svid {
            id: issued.id,
            certificate: issued.certificate,
            serial: issued.serial,
            not_after: issued.not_after,
            key,
        })
    }
}
