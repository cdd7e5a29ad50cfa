//! Keys of signed notes: the lines under the checkpoint of a transparency log.
//!
//! A *note* (C2SP signed-note) is a text with signature lines. A line names its key by name and by a short id, and the
//! id covers a type: which algorithm it is, and what exactly is signed. Types are data of the [catalog](crate::catalog).
//! An algorithm to which none is assigned signs under type `0xff`, which is for private use, followed by a name of ours
//! and a newline; then it signs what the assigned post-quantum type signs.
//!
//! What is signed is put together by whoever knows the text; here are keys, ids and signatures.
//!
//! ```
//! use lockgate_crypto::note::{NoteKey, Signs};
//! use lockgate_crypto::PrivateKey;
//! let key = PrivateKey::generate_algorithm("ML-DSA-44")?;
//! let public = NoteKey::of_private("example.org/log", &key, Signs::Subtree)?;
//! let again = NoteKey::parse(&public.to_string())?;
//! assert_eq!(again, public);
//! again.verify(b"what was signed", &key.sign(b"what was signed")?)?;
//! # Ok::<(), lockgate_crypto::CryptoError>(())
//! ```

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::catalog::{self, Algorithm, Kind};
use crate::digest::{Sha256, hex};
use crate::{CryptoError, PrivateKey, Suite, verify};

/// Longest name of a key, in bytes: what fits into the message of a cosignature.
pub const NAME_BYTES_MAX: usize = 255;

/// Longest verifier key as text, in bytes: a name and 3 kB of a public key in base64, with room to spare.
pub const VKEY_BYTES_MAX: usize = 16 << 10;

/// Length of a key's id in bytes.
pub const ID_BYTES: usize = 4;

/// The type for private use.
const PRIVATE: u8 = 0xff;

/// What private types begin with.
const PRIVATE_PREFIX: &str = "lockgate/subtree/v1/";

/// What a line signs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Signs {
    /// The note's text, as it stands (C2SP signed-note).
    Text,
    /// The text after a line with the time (C2SP tlog-cosignature, `cosignature/v1`).
    TimedText,
    /// A structure of cosigner, time, origin, size and root (C2SP tlog-cosignature, `subtree/v1`).
    Subtree,
}

/// A type of signatures that is assigned to an algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoteType {
    /// Its number.
    pub byte: u8,
    /// What it signs.
    pub signs: Signs,
}

/// The public key behind signature lines.
#[derive(Clone, PartialEq, Eq)]
pub struct NoteKey {
    name: String,
    algorithm: &'static Algorithm,
    signs: Signs,
    public: Vec<u8>,
}

impl NoteKey {
    /// The public half of a key, under a name.
    ///
    /// # Errors
    /// [`CryptoError::MalformedKey`] for a name that a note cannot have, [`CryptoError::UnusableAlgorithm`] where the
    /// algorithm has no type that signs this.
    pub fn of_private(name: &str, key: &PrivateKey, signs: Signs) -> Result<Self, CryptoError> {
        let spki = key.spki_der();
        let (algorithm, public) = verify::read_spki(&spki)?;
        let made = Self { name: checked_name(name)?.to_owned(), algorithm, signs, public: public.to_vec() };
        if tag(algorithm, signs).is_none() {
            return Err(CryptoError::unusable(algorithm.id, "it has no type of signed notes for this"));
        }
        Ok(made)
    }

    /// Reads a verifier key: `NAME+ID+BASE64` (C2SP signed-note).
    ///
    /// # Errors
    /// [`CryptoError::MalformedKey`], [`CryptoError::UnusableAlgorithm`].
    pub fn parse(text: &str) -> Result<Self, CryptoError> {
        if text.len() > VKEY_BYTES_MAX {
            return Err(malformed("it is too long"));
        }
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(malformed("it is not NAME+ID+KEY"));
        };
        let bytes = STANDARD.decode(key).map_err(|_| malformed("its key is not base64"))?;
        let (algorithm, signs, public) = read_tag(&bytes)?;
        if public.is_empty() {
            return Err(malformed("it has no key"));
        }
        let read = Self { name: checked_name(name)?.to_owned(), algorithm, signs, public: public.to_vec() };
        if hex(&read.id()) != id {
            return Err(malformed("its id is not that of its key"));
        }
        Ok(read)
    }

    /// The key's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key's algorithm.
    #[must_use]
    pub fn algorithm(&self) -> &'static Algorithm {
        self.algorithm
    }

    /// What its lines sign.
    #[must_use]
    pub fn signs(&self) -> Signs {
        self.signs
    }

    /// The first bytes of SHA-256 over name, type and key.
    #[must_use]
    pub fn id(&self) -> [u8; ID_BYTES] {
        let mut hash = Sha256::new();
        hash.update(self.name.as_bytes());
        hash.update(b"\n");
        hash.update(&self.tagged());
        let digest = hash.finish();
        [digest[0], digest[1], digest[2], digest[3]]
    }

    /// Verifies a signature of `message`.
    ///
    /// # Errors
    /// [`CryptoError::BadSignature`].
    pub fn verify(&self, message: &[u8], signature: &[u8]) -> Result<(), CryptoError> {
        let refused = || CryptoError::BadSignature { algorithm: self.algorithm.id };
        let verifier = verify::implementations(self.algorithm).first().ok_or_else(refused)?;
        verifier.verify_signature(&self.public, message, signature).map_err(|_| refused())
    }

    fn tagged(&self) -> Vec<u8> {
        let tag = tag(self.algorithm, self.signs).expect("a key is made with a type that exists");
        [tag.as_slice(), &self.public].concat()
    }
}

/// The verifier key, as it is published.
impl fmt::Display for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}+{}+{}", self.name, hex(&self.id()), STANDARD.encode(self.tagged()))
    }
}

impl fmt::Debug for NoteKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NoteKey({}+{}, {})", self.name, hex(&self.id()), self.algorithm.id)
    }
}

impl Suite {
    /// What a log signs its checkpoints with under this suite, and what each line signs.
    ///
    /// First the algorithm that the standard assigns to cosignatures of the post-quantum age, whatever the profile lists,
    /// so that every verifier finds a line that it knows; then the first signature of the profile; then one that signs the
    /// bare text, if the profile lists it. None that a ban or a date keeps out. Empty if nothing is left. A line more does
    /// not weaken the others: whoever verifies says which keys must have signed.
    #[must_use]
    pub fn note_algorithms(&self) -> Vec<(&'static Algorithm, Signs)> {
        let usable = |row: &&'static Algorithm| {
            PrivateKey::can_make(row) && self.conditions().refusal_of(row).is_none()
        };
        let standard = catalog::all().iter().filter(|row| typed(row, Signs::Subtree)).find(usable);
        let listed = self.signatures();
        let first = listed.iter().copied().find(usable).map(|row| (row, Signs::Subtree));
        let bare = listed.iter().copied().filter(usable).find(|row| typed(row, Signs::Text));
        let mut found: Vec<(&'static Algorithm, Signs)> = Vec::new();
        let wanted = standard.map(|row| (row, Signs::Subtree)).into_iter();
        let first = first.filter(|(row, signs)| tag(row, *signs).is_some());
        for one in wanted.chain(first).chain(bare.map(|row| (row, Signs::Text))) {
            if !found.contains(&one) {
                found.push(one);
            }
        }
        found
    }
}

fn typed(row: &Algorithm, signs: Signs) -> bool {
    row.note.iter().any(|kind| kind.signs == signs)
}

/// What stands before the key in a verifier key, and in what its id is made of.
fn tag(row: &Algorithm, signs: Signs) -> Option<Vec<u8>> {
    if let Some(kind) = row.note.iter().find(|kind| kind.signs == signs) {
        return Some(vec![kind.byte]);
    }
    // An algorithm with types of its own has no private one besides, so that each has one meaning.
    let private = signs == Signs::Subtree && row.note.is_empty() && row.signature().is_some();
    private.then(|| [&[PRIVATE], PRIVATE_PREFIX.as_bytes(), row.id.as_bytes(), b"\n"].concat())
}

fn read_tag(bytes: &[u8]) -> Result<(&'static Algorithm, Signs, &[u8]), CryptoError> {
    let (&byte, rest) = bytes.split_first().ok_or_else(|| malformed("it has no key"))?;
    if byte == PRIVATE {
        let end = rest.iter().take(NAME_BYTES_MAX).position(|byte| *byte == b'\n');
        let name = end.and_then(|end| std::str::from_utf8(&rest[..end]).ok());
        let id = name.and_then(|name| name.strip_prefix(PRIVATE_PREFIX));
        let row = id
            .and_then(catalog::find)
            .filter(|row| tag(row, Signs::Subtree).is_some_and(|t| bytes.starts_with(&t)));
        return match (row, end) {
            (Some(row), Some(end)) => Ok((row, Signs::Subtree, &rest[end + 1..])),
            _ => Err(malformed("its private type is not one of ours")),
        };
    }
    let all = catalog::all().iter().filter(|row| row.kind == Kind::Signature && row.is_usable());
    let mut typed = all.flat_map(|row| row.note.iter().map(move |kind| (row, kind)));
    match typed.find(|(_, kind)| kind.byte == byte) {
        Some((row, kind)) => Ok((row, kind.signs, rest)),
        None => Err(malformed("its type is none that is verified here")),
    }
}

/// A name that a signature line can carry.
fn checked_name(name: &str) -> Result<&str, CryptoError> {
    let wrong = |c: char| c.is_whitespace() || c.is_control() || c == '+';
    if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(wrong) {
        return Err(malformed("its name is empty, too long, or has a space or a plus in it"));
    }
    Ok(name)
}

fn malformed(reason: &str) -> CryptoError {
    CryptoError::malformed("verifier key", reason)
}

#[cfg(test)]
mod tests {
    use crate::profile;

    use super::*;

    /// The note and key that the documentation of Go's `note` package has as its example.
    #[test]
    fn a_key_and_a_signature_of_the_reference_implementation_verify() {
        let vkey = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
        let key = NoteKey::parse(vkey).unwrap();
        assert_eq!((key.name(), key.signs(), key.to_string().as_str()), ("PeterNeumann", Signs::Text, vkey));
        let text = "If you think cryptography is the answer to your problem,\n\
                    then you don't know what your problem is.\n";
        let line =
            "x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=";
        let bytes = STANDARD.decode(line).unwrap();
        assert_eq!(bytes[..ID_BYTES], key.id());
        key.verify(text.as_bytes(), &bytes[ID_BYTES..]).unwrap();
        assert!(key.verify(b"other text\n", &bytes[ID_BYTES..]).is_err());
    }

    #[test]
    fn every_algorithm_that_makes_keys_has_one_type_for_checkpoints_and_reads_it_back() {
        for row in catalog::all().iter().filter(|row| PrivateKey::can_make(row)) {
            let key = PrivateKey::generate(row).unwrap();
            let signs = row.note.first().map_or(Signs::Subtree, |kind| kind.signs);
            let public = NoteKey::of_private("example.org/log", &key, signs).unwrap();
            let text = public.to_string();
            let again = NoteKey::parse(&text).unwrap();
            assert_eq!((&again, again.algorithm()), (&public, row), "{}", row.id);
            again.verify(b"message", &key.sign(b"message").unwrap()).unwrap();
            for at in 0..text.len() {
                let mut other = text.clone().into_bytes();
                other[at] ^= 1;
                let Ok(other) = String::from_utf8(other) else { continue };
                assert!(NoteKey::parse(&other).ok().as_ref() != Some(&public), "{}: byte {at}", row.id);
                if row.note.is_empty() && at > 200 {
                    break;
                }
            }
        }
    }

    #[test]
    fn what_is_no_verifier_key_is_refused() {
        let key = PrivateKey::generate_algorithm("Ed25519").unwrap();
        assert!(NoteKey::of_private("a", &key, Signs::Subtree).is_err(), "has types of its own");
        for name in ["", "a b", "a+b", "a\u{2003}b", "a\n", &"x".repeat(256)] {
            assert!(NoteKey::of_private(name, &key, Signs::Text).is_err(), "{name:?}");
        }
        let good = NoteKey::of_private("a", &key, Signs::Text).unwrap().to_string();
        let base = good.rsplit_once('+').unwrap().0;
        for text in [
            "",
            "a",
            "a+b",
            "a++",
            "a+00000000+",
            &format!("{base}+!"),
            &format!("{base}+AQ=="),
            &format!("a+00000000+{}", &good[11..]),
        ] {
            assert!(NoteKey::parse(text).is_err(), "{text}");
        }
        assert!(NoteKey::parse(&"a".repeat(VKEY_BYTES_MAX + 1)).is_err());
    }

    #[test]
    fn a_suite_signs_with_the_standard_line_and_with_what_it_lists_first() {
        let lines = |name: &str| {
            let suite = profile::find(name).unwrap().compile(1).unwrap();
            suite.note_algorithms().iter().map(|(row, signs)| (row.id, *signs)).collect::<Vec<_>>()
        };
        let standard = ("ML-DSA-44", Signs::Subtree);
        assert_eq!(lines("pq-hybrid"), [standard, ("MLDSA65-Ed25519-SHA512", Signs::Subtree)]);
        assert_eq!(lines("cnsa2"), [standard, ("ML-DSA-87", Signs::Subtree)]);
        assert!(lines("pq-transition").contains(&("Ed25519", Signs::Text)));
        let broken = [standard, ("SLH-DSA-SHA2-128f", Signs::Subtree), ("Ed25519", Signs::Text)];
        assert_eq!(lines("lattice-broken"), broken);
    }
}
