//! SHA-256 (FIPS 180-4), for fingerprints and chains.

use aws_lc_rs::digest;

/// Length of a SHA-256 digest in bytes.
pub const SHA256_BYTES: usize = 32;

/// The SHA-256 digest of `data`.
#[must_use]
pub fn sha256(data: &[u8]) -> [u8; SHA256_BYTES] {
    fixed(&digest::digest(&digest::SHA256, data))
}

/// SHA-256 over data that arrives in pieces.
///
/// ```
/// use lockgate_crypto::digest::{Sha256, sha256};
/// let mut hash = Sha256::new();
/// hash.update(b"lock");
/// hash.update(b"gate");
/// assert_eq!(hash.finish(), sha256(b"lockgate"));
/// ```
#[derive(Clone)]
pub struct Sha256(digest::Context);

impl Sha256 {
    /// An empty hash.
    #[must_use]
    pub fn new() -> Self {
        Self(digest::Context::new(&digest::SHA256))
    }

    /// Appends `data` to what is hashed.
    pub fn update(&mut self, data: &[u8]) {
        self.0.update(data);
    }

    /// The digest of everything appended.
    #[must_use]
    pub fn finish(self) -> [u8; SHA256_BYTES] {
        fixed(&self.0.finish())
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    nibbles.map(|nibble| char::from(DIGITS[usize::from(nibble)])).collect()
}

fn fixed(digest: &digest::Digest) -> [u8; SHA256_BYTES] {
    digest.as_ref().try_into().expect("SHA-256 digests are 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4 examples, as published by NIST.
    #[test]
    fn known_answers() {
        let cases: [(&[u8], &str); 3] = [
            (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
            (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (
                b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
                "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
            ),
        ];
        for (message, expected) in cases {
            assert_eq!(hex(&sha256(message)), expected);
        }
    }

    #[test]
    fn pieces_hash_like_the_whole() {
        let data: Vec<u8> = (0..=255).collect();
        for cut in [0, 1, 63, 64, 65, 256] {
            let mut hash = Sha256::default();
            hash.update(&data[..cut]);
            hash.update(&data[cut..]);
            assert_eq!(hash.finish(), sha256(&data), "cut at {cut}");
        }
    }
}
