//! Sealing: small values that we hand out and want back unread and unchanged, such as
//! session identifiers.
//!
//! The cipher is AES-256-GCM-SIV (RFC 8452) with a random nonce. The nonce is 96 bits and
//! many nodes may share one key, so a repeat is conceivable; with this mode a repeat only
//! shows that two values were equal, where plain GCM would lose its authentication.
//!
//! Layout: one format byte (so that the cipher can be replaced), 12 bytes of nonce, the
//! ciphertext, 16 bytes of tag.

use std::fmt;

use aws_lc_rs::aead::{AES_256_GCM_SIV, Aad, RandomizedNonceKey};
use zeroize::Zeroizing;

use crate::{CryptoError, random};

/// Length of a sealing key in bytes.
pub const SEAL_KEY_BYTES: usize = 32;

/// How many bytes sealing adds to the plaintext.
pub const SEAL_OVERHEAD_BYTES: usize = 1 + NONCE_BYTES + TAG_BYTES;

const NONCE_BYTES: usize = 12;
const TAG_BYTES: usize = 16;

/// Format byte of AES-256-GCM-SIV; a successor takes the next number.
const FORMAT_AES_256_GCM_SIV: u8 = 1;

/// A symmetric key that seals and opens. Prints as `[redacted]`; the library wipes it.
pub struct SealKey(RandomizedNonceKey);

impl SealKey {
    /// A fresh random key, for values that need not outlive the process.
    #[must_use]
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; SEAL_KEY_BYTES]);
        random::fill(bytes.as_mut_slice());
        Self::from_bytes(&bytes)
    }

    /// The key with these bytes, for values that several processes must open.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; SEAL_KEY_BYTES]) -> Self {
        let key =
            RandomizedNonceKey::new(&AES_256_GCM_SIV, bytes).expect("AES-256 takes any key of 32 bytes");
        Self(key)
    }

    /// Encrypts and authenticates `plaintext`, bound to `aad`: it opens only with the
    /// same `aad` (say, the principal and the route that it was made for).
    #[must_use]
    pub fn seal(&self, plaintext: &[u8], aad: &[u8]) -> Vec<u8> {
        let mut body = Vec::with_capacity(plaintext.len() + TAG_BYTES);
        body.extend_from_slice(plaintext);
        let nonce = self
            .0
            .seal_in_place_append_tag(Aad::from(aad), &mut body)
            .expect("values to seal are far below the 64 GiB limit of RFC 8452");
        let mut sealed = Vec::with_capacity(plaintext.len() + SEAL_OVERHEAD_BYTES);
        sealed.push(FORMAT_AES_256_GCM_SIV);
        sealed.extend_from_slice(nonce.as_ref());
        sealed.append(&mut body);
        sealed
    }

    /// Opens what [`SealKey::seal`] made.
    ///
    /// # Errors
    /// [`CryptoError::NotSealedHere`], always the same one: whether the key, the `aad` or
    /// the bytes are wrong must not be visible from outside.
    pub fn open(&self, sealed: &[u8], aad: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let (format, rest) = sealed.split_first().ok_or(CryptoError::NotSealedHere)?;
        let (nonce, body) = rest
            .split_first_chunk::<NONCE_BYTES>()
            .filter(|_| *format == FORMAT_AES_256_GCM_SIV)
            .ok_or(CryptoError::NotSealedHere)?;
        let mut body = body.to_vec();
        let length = self
            .0
            .open_in_place(nonce.into(), Aad::from(aad), &mut body)
            .map_err(|_| CryptoError::NotSealedHere)?
            .len();
        body.truncate(length);
        Ok(body)
    }
}

impl fmt::Debug for SealKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SealKey([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_what_it_sealed_and_only_with_the_same_context() {
        let key = SealKey::from_bytes(&[7; SEAL_KEY_BYTES]);
        let other = SealKey::generate();
        for plaintext in [&b""[..], b"session", &[0xa5; 4096]] {
            let sealed = key.seal(plaintext, b"alice /servers/a");
            assert_eq!(sealed.len(), plaintext.len() + SEAL_OVERHEAD_BYTES);
            let same = SealKey::from_bytes(&[7; SEAL_KEY_BYTES]);
            assert_eq!(same.open(&sealed, b"alice /servers/a").unwrap(), plaintext);
            assert!(key.open(&sealed, b"mallory /servers/a").is_err());
            assert!(other.open(&sealed, b"alice /servers/a").is_err());
        }
        assert_ne!(key.seal(b"x", b""), key.seal(b"x", b""), "nonces are fresh");
    }

    #[test]
    fn every_altered_or_missing_byte_is_noticed() {
        let key = SealKey::generate();
        let sealed = key.seal(b"session", b"");
        for at in 0..sealed.len() {
            let mut altered = sealed.clone();
            altered[at] ^= 1;
            assert!(key.open(&altered, b"").is_err(), "byte {at}");
            assert!(key.open(&sealed[..at], b"").is_err(), "cut at {at}");
        }
    }

    #[test]
    fn prints_redacted() {
        assert_eq!(format!("{:?}", SealKey::generate()), "SealKey([redacted])");
    }
}
