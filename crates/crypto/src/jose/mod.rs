//! Keys and signatures as tokens have them: JSON Web Keys (RFC 7517) and the signatures of
//! JOSE (RFC 7518, RFC 8037, RFC 9964).
//!
//! A key decides the algorithm, and a list of what is allowed decides whether it may be used; a
//! name that a token brings along only has to agree with both. There is no shared-secret
//! algorithm and no "none" here, so nothing can be confused with them.
//!
//! ```
//! use lockgate_crypto::{PrivateKey, jose};
//! let key = PrivateKey::generate_algorithm("ML-DSA-65")?;
//! let public = jose::Jwk::of_private(&key)?;
//! let signature = jose::sign(&key, b"header.payload")?;
//! public.verify(key.algorithm(), b"header.payload", &signature)?;
//! // The thumbprint (RFC 7638) is a name for the key, and our `kid`.
//! assert_eq!(public.thumbprint().len(), 43);
//! # Ok::<(), lockgate_crypto::CryptoError>(())
//! ```

mod choice;
mod ecdsa;
mod jwk;
mod rsa;
mod set;
pub mod strict;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::catalog::{self, Algorithm};
use crate::{CryptoError, PrivateKey};

pub use choice::proof_algorithms;
pub use jwk::{JWK_BYTES_MAX, Jwk, KID_BYTES_MAX};
pub use set::{JwkSet, SET_BYTES_MAX, SET_KEYS_MAX};

/// Whether a name means "not signed" (RFC 7518 section 3.6), in any case: there are libraries
/// that once compared it without.
#[must_use]
pub fn means_unsigned(name: &str) -> bool {
    name.eq_ignore_ascii_case("none")
}

/// Whether a name means a shared secret (HMAC): with it a public key could be taken for one.
#[must_use]
pub fn means_shared_secret(name: &str) -> bool {
    name.get(..2).is_some_and(|start| start.eq_ignore_ascii_case("HS"))
}

/// The name that we write for an algorithm.
///
/// # Errors
/// [`CryptoError::UnusableAlgorithm`] if JOSE has none.
pub fn name(algorithm: &Algorithm) -> Result<&'static str, CryptoError> {
    let name = algorithm.jose.first().copied();
    name.ok_or_else(|| CryptoError::unusable(algorithm.id, "there is no name for it in tokens"))
}

/// The algorithm of this name.
///
/// # Errors
/// [`CryptoError::UnusableAlgorithm`] if there is none here.
pub fn by_name(name: &str) -> Result<&'static Algorithm, CryptoError> {
    let refused = || {
        let known: Vec<_> = catalog::all().iter().flat_map(|row| row.jose).copied().collect();
        CryptoError::unusable(name, &format!("tokens are signed with one of {}", known.join(", ")))
    };
    catalog::by_jose_name(name).ok_or_else(refused)
}

/// Signs `message` in the form that JOSE wants, which for elliptic curves is not that of X.509.
///
/// # Errors
/// [`CryptoError::UnusableAlgorithm`] for a key that has no name in JOSE, [`CryptoError::Library`].
pub fn sign(key: &PrivateKey, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
    name(key.algorithm())?;
    let signature = key.sign(message)?;
    match ecdsa::width(key.algorithm()) {
        Some(width) => ecdsa::to_fixed(&signature, width).ok_or(CryptoError::Library { operation: "sign" }),
        None => Ok(signature),
    }
}

/// base64url without padding (RFC 7515 section 2).
#[must_use]
pub fn encode(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

/// Reads base64url without padding. Only the one canonical form of any bytes is read, so that a
/// text cannot be varied without changing what it stands for.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text).ok()
}

#[cfg(test)]
mod tests;
