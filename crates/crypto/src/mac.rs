//! Keyed commitments, and keys made of keys: HMAC with SHA-256 (RFC 2104, FIPS 198-1).
//!
//! A plain hash of a value that can be guessed (a date of birth, a customer number) is as good as the value. A keyed one says
//! something only to who has the key, and nothing to anybody once the key is gone.

use std::fmt;

use aws_lc_rs::hmac;
use zeroize::Zeroizing;

use crate::random;

/// Length of a key and of a tag in bytes.
pub const MAC_BYTES: usize = 32;

/// A key that commits to values, and from which other keys are derived. Wiped when dropped, printed as `[redacted]`.
pub struct MacKey(Zeroizing<[u8; MAC_BYTES]>);

impl MacKey {
    /// A fresh random key.
    #[must_use]
    pub fn generate() -> Self {
        let mut bytes = Zeroizing::new([0; MAC_BYTES]);
        random::fill(bytes.as_mut_slice());
        Self(bytes)
    }

    /// The key with these bytes.
    #[must_use]
    pub fn from_bytes(bytes: &[u8; MAC_BYTES]) -> Self {
        Self(Zeroizing::new(*bytes))
    }

    /// The bytes, to be kept where only their owner reads.
    #[must_use]
    pub fn reveal(&self) -> &[u8; MAC_BYTES] {
        &self.0
    }

    /// The tag over these parts. Each is preceded by its length, so that no two lists of parts are the same input.
    #[must_use]
    pub fn tag(&self, parts: &[&[u8]]) -> [u8; MAC_BYTES] {
        let key = hmac::Key::new(hmac::HMAC_SHA256, self.0.as_slice());
        let mut context = hmac::Context::with_key(&key);
        for part in parts {
            context.update(&(part.len() as u64).to_be_bytes());
            context.update(part);
        }
        context.sign().as_ref().try_into().expect("a tag has 32 bytes")
    }

    /// The key for something, by parts that name it. Nothing of this key can be found out from it.
    #[must_use]
    pub fn derive(&self, parts: &[&[u8]]) -> Self {
        Self(Zeroizing::new(self.tag(parts)))
    }

    /// A key that needs both: whoever lacks either cannot make it.
    #[must_use]
    pub fn join(&self, other: &MacKey) -> Self {
        self.derive(&[b"lockgate.join/1", other.0.as_slice()])
    }
}

impl fmt::Debug for MacKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MacKey([redacted])")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digest::{hex, sha256};

    /// HMAC by its definition, over the hash: an implementation of ten lines to compare with.
    fn by_definition(key: &[u8; MAC_BYTES], input: &[u8]) -> [u8; MAC_BYTES] {
        let pad = |byte: u8| {
            let mut block = [byte; 64];
            block.iter_mut().zip(key).for_each(|(pad, key)| *pad ^= key);
            block
        };
        let inner = sha256(&[pad(0x36).as_slice(), input].concat());
        sha256(&[pad(0x5c).as_slice(), &inner].concat())
    }

    #[test]
    fn a_tag_is_the_standard_one_over_parts_with_their_lengths() {
        let key = MacKey::from_bytes(&[0x0b; MAC_BYTES]);
        let input =
            [&2_u64.to_be_bytes()[..], b"Hi", &0_u64.to_be_bytes(), &1_u64.to_be_bytes(), b"!"].concat();
        assert_eq!(hex(&key.tag(&[b"Hi", b"", b"!"])), hex(&by_definition(&[0x0b; MAC_BYTES], &input)));
        assert_ne!(key.tag(&[b"ab", b"c"]), key.tag(&[b"a", b"bc"]), "parts do not run together");
        assert_ne!(key.tag(&[b"a"]), key.tag(&[b"a", b""]));
    }

    #[test]
    fn a_joint_key_needs_both() {
        let (one, two) = (MacKey::generate(), MacKey::generate());
        let joint = one.join(&two);
        assert_eq!(joint.reveal(), one.join(&two).reveal());
        for other in [one.join(&MacKey::generate()), MacKey::generate().join(&two), two.join(&one)] {
            assert_ne!(joint.reveal(), other.reveal());
        }
        assert_eq!(format!("{joint:?}"), "MacKey([redacted])");
    }
}
