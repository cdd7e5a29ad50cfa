//! What stands behind a catalog row: the seam at which an algorithm is added.
//!
//! A signature algorithm is one value that implements [`SignatureCode`], named by its row;
//! nothing else in this crate, nor outside of it, knows which algorithms there are.

use std::fmt;

use rustls::SupportedCipherSuite;
use rustls_pki_types::SignatureVerificationAlgorithm;
use zeroize::Zeroizing;

use crate::CryptoError;

/// A verifier as webpki wants it.
pub(crate) type Verifier = &'static dyn SignatureVerificationAlgorithm;

/// The code of a row.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Code {
    /// None: the row only makes the algorithm recognised.
    None,
    /// A key exchange group: see `group.rs`, which finds it by code point or composes it.
    Group,
    /// A signature algorithm.
    Signature(&'static dyn SignatureCode),
    /// A TLS 1.3 cipher suite.
    Cipher(&'static SupportedCipherSuite),
    /// A cipher that this crate uses itself, never in TLS.
    Sealing,
}

/// A signature algorithm.
pub(crate) trait SignatureCode: fmt::Debug + Sync {
    /// Its verifiers, the one for TLS 1.3 first. Several where one algorithm is written in
    /// several ways in certificates.
    fn verifiers(&'static self) -> &'static [Verifier];

    /// Whether [`SignatureCode::generate`] makes keys.
    fn makes_keys(&self) -> bool {
        true
    }

    /// Makes a key.
    ///
    /// # Errors
    /// [`CryptoError::Library`].
    fn generate(&self) -> Result<NewKey, CryptoError>;

    /// Reads a key.
    ///
    /// # Errors
    /// [`CryptoError::MalformedKey`] with the reason, which names no algorithm.
    fn parse(&'static self, key: StoredKey<'_>) -> Result<Box<dyn SecretKey>, CryptoError>;
}

/// A fresh private key in the form in which its algorithm has it.
pub(crate) enum NewKey {
    /// The octets that go inside of PKCS#8 (RFC 5958).
    Raw(Zeroizing<Vec<u8>>),
    /// Whole PKCS#8.
    Pkcs8(Zeroizing<Vec<u8>>),
}

/// A private key as it is stored.
#[derive(Clone, Copy)]
pub(crate) struct StoredKey<'a> {
    /// The whole PKCS#8 document.
    pub(crate) pkcs8: &'a [u8],
    /// The octets inside of it.
    pub(crate) raw: &'a [u8],
}

/// A private key that is parsed and ready. Whoever implements it wipes what it frees.
pub(crate) trait SecretKey: Send + Sync {
    /// The bits of the public key, as in `SubjectPublicKeyInfo`.
    ///
    /// # Errors
    /// [`CryptoError::Library`].
    fn public_key(&self) -> Result<Vec<u8>, CryptoError>;

    /// Signs a message, which is not hashed before.
    ///
    /// # Errors
    /// [`CryptoError::Library`].
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError>;
}
