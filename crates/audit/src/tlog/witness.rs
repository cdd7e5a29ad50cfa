//! What is sent to a witness (C2SP tlog-witness): a checkpoint, and the proof that it goes on from the one before.

use lockgate_crypto::note::NoteKey;

use super::checkpoint::Signed;
use super::merkle::Hash;
use super::note::{LINES_MAX, Line};
use super::{TlogError, decode_hash, decode_number, encode, malformed};

const WHAT: &str = "request for a cosignature";

/// Most hashes of a proof, by the standard.
pub const PROOF_LINES_MAX: usize = 63;

/// Longest request or answer, in bytes: a proof of 3 kB and signature lines of 3 to 23 kB each.
pub const BODY_BYTES_MAX: usize = 256 << 10;

/// A request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddCheckpoint {
    /// Size of the tree that the witness cosigned last; 0 for none.
    pub old: u64,
    /// That it is the beginning of the one at hand.
    pub proof: Vec<Hash>,
    /// The log's checkpoint.
    pub signed: Signed,
}

impl AddCheckpoint {
    /// The body.
    #[must_use]
    pub fn write(&self) -> String {
        let proof: String = self.proof.iter().map(|hash| encode(hash) + "\n").collect();
        format!("old {}\n{proof}\n{}", self.old, self.signed.write())
    }

    /// Reads a body. Nothing is verified.
    ///
    /// # Errors
    /// [`TlogError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogError> {
        let wrong = |why| malformed(WHAT, why);
        if bytes.len() > BODY_BYTES_MAX {
            return Err(wrong("it is too long"));
        }
        let text = std::str::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8"))?;
        let (above, signed) = text.split_once("\n\n").ok_or_else(|| wrong("it has no checkpoint"))?;
        let mut lines = above.split('\n');
        let old = lines.next().and_then(|line| line.strip_prefix("old ")).and_then(decode_number);
        let old = old.ok_or_else(|| wrong("it does not begin with an old size"))?;
        let proof: Vec<&str> = lines.take(PROOF_LINES_MAX + 1).collect();
        if proof.len() > PROOF_LINES_MAX {
            return Err(wrong("its proof is too long"));
        }
        let proof = proof.into_iter().map(decode_hash).collect::<Option<_>>();
        let proof = proof.ok_or_else(|| wrong("its proof has a line that is no hash"))?;
        Ok(Self { old, proof, signed: Signed::parse(signed.as_bytes())? })
    }
}

/// Reads the answer of a witness: its lines under this checkpoint, of which those of `keys` verify. Lines of others are left out.
///
/// # Errors
/// [`TlogError`] if it is no list of lines, one of a key does not verify, or none is of these keys.
pub fn read_answer(signed: &Signed, keys: &[NoteKey], bytes: &[u8]) -> Result<Vec<Line>, TlogError> {
    let wrong = |why| malformed("answer of a witness", why);
    if bytes.len() > BODY_BYTES_MAX {
        return Err(wrong("it is too long"));
    }
    let text = std::str::from_utf8(bytes).map_err(|_| wrong("it is not UTF-8"))?;
    let text = text.strip_suffix('\n').ok_or_else(|| wrong("it does not end with a newline"))?;
    let lines: Vec<&str> = text.split('\n').take(LINES_MAX + 1).collect();
    if lines.len() > LINES_MAX {
        return Err(wrong("it has too many lines"));
    }
    let lines: Vec<Line> = lines.into_iter().map(Line::read).collect::<Result<_, _>>()?;
    let answered = Signed { checkpoint: signed.checkpoint.clone(), lines };
    let is_asked = |key: &&NoteKey| answered.lines.iter().any(|line| line.id == key.id());
    let known: Vec<&NoteKey> = keys.iter().filter(is_asked).collect();
    if known.is_empty() {
        return Err(wrong("no line is of a key of this witness"));
    }
    for key in &known {
        answered.verify(key)?;
    }
    let is_known = |line: &Line| known.iter().any(|key| key.name() == line.name && key.id() == line.id);
    Ok(answered.lines.into_iter().filter(is_known).collect())
}

#[cfg(test)]
mod tests {
    use lockgate_crypto::PrivateKey;
    use lockgate_crypto::note::Signs;
    use proptest::prelude::*;

    use super::super::checkpoint::{Checkpoint, Signer};
    use super::super::merkle::TreeHead;
    use super::*;

    fn signer(name: &str) -> Signer {
        Signer::new(name, PrivateKey::generate_algorithm("ML-DSA-44").unwrap(), Signs::Subtree).unwrap()
    }

    fn request() -> AddCheckpoint {
        let head = TreeHead { size: 7, root: [3; 32] };
        let checkpoint = Checkpoint { origin: "example.org/log/2026-11".to_owned(), head };
        let signed = Signed::new(checkpoint, &[signer("example.org/log")], 9).unwrap();
        AddCheckpoint { old: 3, proof: vec![[1; 32], [2; 32]], signed }
    }

    #[test]
    fn a_request_is_read_as_it_was_written_and_nothing_else_is_one() {
        let request = request();
        let body = request.write();
        assert!(body.starts_with("old 3\nAQEB"), "{body}");
        assert_eq!(AddCheckpoint::parse(body.as_bytes()).unwrap(), request);
        let none = AddCheckpoint { old: 0, proof: Vec::new(), ..request };
        assert_eq!(AddCheckpoint::parse(none.write().as_bytes()).unwrap(), none);
        let hash = encode(&[1; 32]);
        for (from, to) in [
            ("old 3", "old 03".to_owned()),
            ("old 3", "old -1".to_owned()),
            ("old 3", "new 3".to_owned()),
            ("old 3\n", String::new()),
            ("\n\n", "\n".to_owned()),
            (&hash, "AAAA".to_owned()),
            (&hash, format!("{hash}\n").repeat(63) + &hash),
        ] {
            assert!(AddCheckpoint::parse(body.replacen(from, &to, 1).as_bytes()).is_err(), "{from:?} {to:?}");
        }
        assert!(AddCheckpoint::parse(&vec![b'x'; BODY_BYTES_MAX + 1]).is_err());
    }

    #[test]
    fn only_lines_of_the_witness_are_taken_and_only_true_ones() {
        let (one, two, signed) = (signer("w/one"), signer("w/two"), request().signed);
        let line = |signer: &Signer| signer.sign(&signed.checkpoint, 11).unwrap().write();
        let keys = [one.public().clone()];
        let both = line(&two) + &line(&one);
        let read = read_answer(&signed, &keys, both.as_bytes()).unwrap();
        assert_eq!((read.len(), read[0].id), (1, one.public().id()));
        for (what, answer) in [
            ("of another", line(&two)),
            (
                "of another tree",
                one.sign(&Checkpoint { origin: "x".into(), ..signed.checkpoint.clone() }, 1).unwrap().write(),
            ),
            ("nothing", String::new()),
            ("no line", "<html>\n".to_owned()),
            ("no end", line(&one).trim_end().to_owned()),
        ] {
            assert!(read_answer(&signed, &keys, answer.as_bytes()).is_err(), "{what}");
        }
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_request_or_are_refused(bytes: Vec<u8>, text: String) {
            let _ = AddCheckpoint::parse(&bytes);
            let text = format!("old 1\n\n{text}");
            if let Ok(request) = AddCheckpoint::parse(text.as_bytes()) {
                prop_assert_eq!(request.write(), text);
            }
        }
    }
}
