//! A proof in one file (C2SP tlog-proof): that an entry is in a log whose checkpoint others vouch for.
//!
//! The format carries no entry; ours stands in the line for extra data, which is not trusted but hashed, so that the file
//! is all that somebody with the public key needs.

use lockgate_crypto::note::NoteKey;

use super::checkpoint::{Signature, Signed};
use super::merkle::{Hash, PROOF_HASHES_MAX, is_included, leaf_hash};
use super::note::NOTE_BYTES_MAX;
use super::tile::ENTRY_BYTES_MAX;
use super::{TlogError, decode, decode_hash, decode_number, encode, malformed};

const HEADER: &str = "c2sp.org/tlog-proof@v1";
const WHAT: &str = "proof";

/// Longest proof in bytes: an entry in base64, a path, and a note.
pub const PROOF_BYTES_MAX: usize = NOTE_BYTES_MAX + 2 * ENTRY_BYTES_MAX;

/// A proof.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proof {
    /// The entry.
    pub entry: Vec<u8>,
    /// Its place in the log, from 0.
    pub index: u64,
    /// From the leaf's sibling up.
    pub path: Vec<Hash>,
    /// The log's checkpoint, with signatures and cosignatures.
    pub signed: Signed,
}

impl Proof {
    /// The file.
    #[must_use]
    pub fn write(&self) -> String {
        let path: String = self.path.iter().map(|hash| encode(hash) + "\n").collect();
        let (extra, signed) = (encode(&self.entry), self.signed.write());
        format!("{HEADER}\nextra {extra}\nindex {}\n{path}\n{signed}", self.index)
    }

    /// Reads a file. Nothing is verified.
    ///
    /// # Errors
    /// [`TlogError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogError> {
        let wrong = |why| malformed(WHAT, why);
        if bytes.len() > PROOF_BYTES_MAX {
            return Err(wrong("it is too long"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8"))?;
        let (above, signed) = text.split_once("\n\n").ok_or_else(|| wrong("it has no checkpoint"))?;
        let mut lines = above.split('\n');
        if lines.next() != Some(HEADER) {
            return Err(wrong("it does not begin with c2sp.org/tlog-proof@v1"));
        }
        let extra = lines.next().and_then(|line| line.strip_prefix("extra "));
        let extra = extra.ok_or_else(|| wrong("it does not carry its record"))?;
        let entry = decode(extra).ok_or_else(|| wrong("its record is not base64"))?;
        let index = lines.next().and_then(|line| line.strip_prefix("index ")).and_then(decode_number);
        let index = index.ok_or_else(|| wrong("it has no index"))?;
        let path: Vec<&str> = lines.take(PROOF_HASHES_MAX + 1).collect();
        if path.len() > PROOF_HASHES_MAX {
            return Err(wrong("its path is too long"));
        }
        let path = path.into_iter().map(decode_hash).collect::<Option<_>>();
        let path = path.ok_or_else(|| wrong("its path has a line that is no hash"))?;
        Ok(Self { entry, index, path, signed: Signed::parse(signed.as_bytes())? })
    }

    /// Verifies the whole of it: every one of the keys has signed the checkpoint, and the entry is in its tree.
    ///
    /// # Errors
    /// [`TlogError`]; for no keys at all, too.
    pub fn verify(&self, keys: &[NoteKey]) -> Result<Vec<Signature>, TlogError> {
        if keys.is_empty() {
            return Err(malformed(WHAT, "no key was given to verify it with"));
        }
        let signatures = keys.iter().map(|key| self.signed.verify(key)).collect::<Result<_, _>>()?;
        let head = self.signed.checkpoint.head;
        let is_in = is_included(&leaf_hash(&self.entry), self.index, head.size, &self.path, &head.root);
        if is_in { Ok(signatures) } else { Err(TlogError::NotIncluded) }
    }
}

#[cfg(test)]
mod tests {
    use lockgate_crypto::PrivateKey;
    use lockgate_crypto::note::Signs;
    use proptest::prelude::*;

    use super::super::checkpoint::{Checkpoint, Signer};
    use super::super::merkle::{TreeHead, node_hash};
    use super::*;

    fn proof() -> (Proof, NoteKey) {
        let key = PrivateKey::generate_algorithm("ML-DSA-44").unwrap();
        let signer = Signer::new("example.org/log", key, Signs::Subtree).unwrap();
        let (one, two) = (leaf_hash(b"one"), leaf_hash(b"two"));
        let head = TreeHead { size: 2, root: node_hash(&one, &two) };
        let checkpoint = Checkpoint { origin: "example.org/log/2026-11".to_owned(), head };
        let key = signer.public().clone();
        let signed = Signed::new(checkpoint, &[signer], 7).unwrap();
        (Proof { entry: b"two".to_vec(), index: 1, path: vec![one], signed }, key)
    }

    #[test]
    fn a_proof_is_written_read_and_verified() {
        let (proof, key) = proof();
        let file = proof.write();
        assert!(file.starts_with("c2sp.org/tlog-proof@v1\nextra dHdv\nindex 1\n"), "{file}");
        let again = Proof::parse(file.as_bytes()).unwrap();
        assert_eq!(again, proof);
        assert_eq!(again.verify(std::slice::from_ref(&key)).unwrap()[0].time_s, Some(7));
        assert!(again.verify(&[]).is_err(), "no key, no proof");
        let changes: [fn(&mut Proof); 5] = [
            |proof| proof.entry[0] ^= 1,
            |proof| proof.index = 0,
            |proof| proof.path[0][0] ^= 1,
            |proof| proof.path.clear(),
            |proof| proof.signed.checkpoint.head.root[0] ^= 1,
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut changed = proof.clone();
            change(&mut changed);
            assert!(changed.verify(std::slice::from_ref(&key)).is_err(), "{number}");
        }
    }

    #[test]
    fn what_is_no_proof_is_refused() {
        let file = proof().0.write();
        for (from, to) in [
            ("@v1", "@v2"),
            ("extra dHdv\n", ""),
            ("extra dHdv", "extra dHd"),
            ("index 1", "index 01"),
            ("index 1\n", ""),
            ("index 1\n", "index 1\nAAAA\n"),
            ("\n\n", "\n"),
        ] {
            assert!(Proof::parse(file.replacen(from, to, 1).as_bytes()).is_err(), "{from:?} {to:?}");
        }
        let long = format!("index 1\n{}", format!("{}\n", encode(&[0; 32])).repeat(PROOF_HASHES_MAX));
        assert!(Proof::parse(file.replacen("index 1\n", &long, 1).as_bytes()).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_flipped_bit_anywhere_is_found(at: prop::sample::Index, bit in 0..8) {
            let (proof, key) = proof();
            let mut file = proof.write().into_bytes();
            let at = at.index(file.len());
            file[at] ^= 1_u8 << bit;
            let verified = Proof::parse(&file).and_then(|proof| proof.verify(&[key]));
            prop_assert!(verified.is_err(), "byte {at}");
        }
    }
}
