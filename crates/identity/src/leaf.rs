//! Leaves: a certificate and the private key that belongs to it.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lockgate_crypto::{Algorithm, PrivateKey, digest};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::CertifiedKey;
use x509_cert::Certificate;
use x509_cert::der::{Decode, Encode};
use zeroize::Zeroizing;

use crate::bundle::certificate_pem;
use crate::{IdentityError, SpiffeId, file, key_pem};

/// Most certificates in a configured chain.
const CHAIN_MAX: usize = 8;

/// A certificate with its private key, ready to be presented. Cheap to clone but for the chain.
#[derive(Clone)]
pub struct Leaf {
    /// The algorithm of the key.
    pub algorithm: &'static Algorithm,
    /// What is sent: for leaves of our authority only the leaf, for a configured certificate from
    /// elsewhere the chain as it was given.
    pub chain: Vec<CertificateDer<'static>>,
    key: PrivateKey,
    certified: Arc<CertifiedKey>,
    not_before: SystemTime,
    not_after: SystemTime,
}

impl Leaf {
    /// Puts a chain and its key together.
    ///
    /// # Errors
    /// [`IdentityError::KeyMismatch`] if the first certificate is not for this key,
    /// [`IdentityError::Malformed`] if it cannot be read.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKey) -> Result<Self, IdentityError> {
        let malformed = IdentityError::malformed("the certificate");
        let first = chain
            .first()
            .ok_or(IdentityError::Malformed { what: "the certificate", cause: "there is none".to_owned() })?;
        let certificate = Certificate::from_der(first).map_err(&malformed)?;
        let body = certificate.tbs_certificate();
        if body.subject_public_key_info().to_der().map_err(malformed)? != key.spki_der() {
            return Err(IdentityError::KeyMismatch);
        }
        Ok(Self {
            algorithm: key.algorithm(),
            certified: Arc::new(CertifiedKey::new(chain.clone(), key.rustls_signing_key())),
            not_before: body.validity().not_before.to_system_time(),
            not_after: body.validity().not_after.to_system_time(),
            chain,
            key,
        })
    }

    /// Reads a leaf from two PEM files: a certificate chain, leaf first, and a PKCS#8 private key
    /// that only its owner may read.
    ///
    /// # Errors
    /// [`IdentityError::Permissions`], [`IdentityError::Io`], [`IdentityError::File`] or
    /// [`IdentityError::KeyMismatch`].
    pub fn from_pem_files(certificates: &Path, key: &Path) -> Result<Self, IdentityError> {
        let chain = file::existing(certificates, file::read_public(certificates)?)?;
        let chain = read_chain(&chain).map_err(|error| error.in_file(certificates))?;
        let secret = file::existing(key, file::read_private(key)?)?;
        let (secret, _) = key_pem::read_one(&secret).map_err(|error| error.in_file(key))?;
        Self::new(chain, secret).map_err(|error| error.in_file(certificates))
    }

    /// Reads a leaf from one text, a `PRIVATE KEY` block and then `CERTIFICATE` blocks.
    ///
    /// # Errors
    /// [`IdentityError::File`] or [`IdentityError::KeyMismatch`].
    pub fn from_pem(pem: &[u8]) -> Result<Self, IdentityError> {
        let (key, chain) = key_pem::read_one(pem)?;
        Self::new(read_chain(chain.as_bytes())?, key)
    }

    /// The private key. Cheap: all copies are the same.
    pub(crate) fn private_key(&self) -> PrivateKey {
        self.key.clone()
    }

    /// The private key and the chain as PEM. Secret.
    pub(crate) fn to_pem(&self) -> Zeroizing<String> {
        let key = key_pem::write(&self.key);
        let chain: String = self.chain.iter().map(certificate_pem).collect();
        // Room for both at once: a growing text would leave a copy of the key behind.
        let mut pem = Zeroizing::new(String::with_capacity(key.len() + chain.len()));
        pem.push_str(&key);
        pem.push_str(&chain);
        pem
    }

    /// The certificate itself.
    pub fn certificate(&self) -> &CertificateDer<'static> {
        self.chain.first().expect("a leaf is made with a certificate")
    }

    /// The certificate as PEM.
    pub fn certificate_pem(&self) -> String {
        certificate_pem(self.certificate())
    }

    /// The chain and the key in the form that rustls presents.
    pub fn certified_key(&self) -> Arc<CertifiedKey> {
        Arc::clone(&self.certified)
    }

    /// The start of the validity.
    pub fn not_before(&self) -> SystemTime {
        self.not_before
    }

    /// The end of the validity.
    pub fn not_after(&self) -> SystemTime {
        self.not_after
    }

    /// When to renew: at two thirds of the life, up to a tenth of it earlier, so that agents that were started together do
    /// not come together. The moment is the certificate's own: asked again, or after a restart, it is the same.
    pub fn renew_at(&self) -> SystemTime {
        let life = self.not_after.duration_since(self.not_before).unwrap_or(Duration::ZERO);
        let digest = digest::sha256(self.certificate());
        let share = u32::from(u16::from_be_bytes([digest[0], digest[1]]));
        self.not_before + life / 3 * 2 - life / 10 * share / u32::from(u16::MAX)
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Leaf")
            .field("algorithm", &self.algorithm.id)
            .field("not_after", &crate::error::rfc3339(self.not_after))
            .field("key", &"[redacted]")
            .finish_non_exhaustive()
    }
}

/// A node's id and its leaves, one for each signature algorithm that it presents.
#[derive(Clone, Debug)]
pub struct NodeIdentity {
    /// The id in every leaf.
    pub id: SpiffeId,
    /// The leaves, in the order in which they were asked for: the preferred algorithm first.
    pub leaves: Vec<Leaf>,
}

impl NodeIdentity {
    /// When the first of the leaves is to be renewed; all are renewed together.
    pub fn renew_at(&self) -> SystemTime {
        let first = self.leaves.iter().map(Leaf::renew_at).min();
        first.unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// When the first of the leaves ends.
    pub fn not_after(&self) -> SystemTime {
        let first = self.leaves.iter().map(Leaf::not_after).min();
        first.unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// The leaf of an algorithm.
    pub fn leaf(&self, algorithm: &Algorithm) -> Option<&Leaf> {
        self.leaves.iter().find(|leaf| leaf.algorithm == algorithm)
    }

    /// The algorithms of the leaves, in their order.
    pub fn algorithms(&self) -> Vec<&'static Algorithm> {
        self.leaves.iter().map(|leaf| leaf.algorithm).collect()
    }
}

pub(crate) fn read_chain(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(pem) {
        chain.push(certificate.map_err(|error| IdentityError::Malformed {
            what: "the certificate",
            cause: error.to_string(),
        })?);
        if chain.len() > CHAIN_MAX {
            return Err(IdentityError::Malformed {
                what: "the certificate chain",
                cause: format!("it has more than {CHAIN_MAX} certificates"),
            });
        }
    }
    if chain.is_empty() {
        return Err(IdentityError::Malformed {
            what: "the certificate",
            cause: "there is no CERTIFICATE block".to_owned(),
        });
    }
    Ok(chain)
}
