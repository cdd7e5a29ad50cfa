//! Checkpoints (C2SP tlog-checkpoint): the head of a log as a note, signed by the log and by witnesses.
//!
//! A line of the log itself is a cosignature too (C2SP tlog-cosignature), so that it says when it was made. Checkpoints
//! of ours have no extension lines, which cosignatures would not cover; those with some are refused.

use lockgate_crypto::PrivateKey;
use lockgate_crypto::note::{NAME_BYTES_MAX, NoteKey, Signs};

use super::merkle::TreeHead;
use super::note::{Line, Note};
use super::{TlogError, decode_hash, decode_number, encode, malformed};

const WHAT: &str = "checkpoint";

/// Length of the time in front of a cosignature, in bytes.
const TIME_BYTES: usize = 8;

/// What a checkpoint says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which log, at most 255 bytes.
    pub origin: String,
    /// Its tree.
    pub head: TreeHead,
}

impl Checkpoint {
    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.head.size, encode(&self.head.root))
    }

    /// Reads the text of a note.
    ///
    /// # Errors
    /// [`TlogError::Malformed`].
    pub fn parse(text: &str) -> Result<Self, TlogError> {
        let wrong = |why| malformed(WHAT, why);
        let body = text.strip_suffix('\n').ok_or_else(|| wrong("it does not end with a newline"))?;
        let lines: Vec<&str> = body.split('\n').take(4).collect();
        let [origin, size, root] = lines[..] else {
            return Err(wrong("it does not have the three lines of a checkpoint"));
        };
        if origin.is_empty() || origin.len() > NAME_BYTES_MAX {
            return Err(wrong("its origin is empty or too long"));
        }
        let size = decode_number(size).filter(|size| i64::try_from(*size).is_ok());
        let size = size.ok_or_else(|| wrong("its size is not a number"))?;
        let root = decode_hash(root).ok_or_else(|| wrong("its root is not a hash"))?;
        Ok(Self { origin: origin.to_owned(), head: TreeHead { size, root } })
    }

    /// What a cosignature of the whole tree covers: `cosigned_message` of C2SP tlog-cosignature.
    fn message(&self, signer: &NoteKey, time_s: u64) -> Vec<u8> {
        match signer.signs() {
            Signs::Text => self.text().into_bytes(),
            Signs::TimedText => format!("cosignature/v1\ntime {time_s}\n{}", self.text()).into_bytes(),
            Signs::Subtree => {
                let mut message = b"subtree/v1\n\0".to_vec();
                push_short(&mut message, signer.name());
                message.extend_from_slice(&time_s.to_be_bytes());
                push_short(&mut message, &self.origin);
                message.extend_from_slice(&0_u64.to_be_bytes());
                message.extend_from_slice(&self.head.size.to_be_bytes());
                message.extend_from_slice(&self.head.root);
                message
            }
        }
    }
}

/// A text with its length in one byte before it.
fn push_short(message: &mut Vec<u8>, text: &str) {
    let length = u8::try_from(text.len()).expect("names and origins are checked to have at most 255 bytes");
    message.push(length);
    message.extend_from_slice(text.as_bytes());
}

/// A private key with the name under which it signs. Prints as its public half.
#[derive(Clone)]
pub struct Signer {
    key: PrivateKey,
    public: NoteKey,
}

impl Signer {
    /// The key under this name.
    ///
    /// # Errors
    /// [`TlogError::Sign`] for a name that a note cannot have, or an algorithm without such lines.
    pub fn new(name: &str, key: PrivateKey, signs: Signs) -> Result<Self, TlogError> {
        let public = NoteKey::of_private(name, &key, signs)?;
        Ok(Self { key, public })
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> &NoteKey {
        &self.public
    }

    /// Signs a checkpoint at this time, Unix seconds.
    ///
    /// # Errors
    /// [`TlogError::Sign`].
    pub fn sign(&self, checkpoint: &Checkpoint, time_s: u64) -> Result<Line, TlogError> {
        let signature = self.key.sign(&checkpoint.message(&self.public, time_s))?;
        let signature = match self.public.signs() {
            Signs::Text => signature,
            Signs::TimedText | Signs::Subtree => [&time_s.to_be_bytes()[..], &signature].concat(),
        };
        Ok(Line { name: self.public.name().to_owned(), id: self.public.id(), signature })
    }
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Signer({:?}, [redacted])", self.public)
    }
}

/// A checkpoint with the lines under it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// What it says.
    pub checkpoint: Checkpoint,
    /// Who signed, unverified.
    pub lines: Vec<Line>,
}

/// What a line that verifies says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    /// When it was made, Unix seconds; `None` for a kind of line that does not say, or a signer that did not.
    pub time_s: Option<u64>,
}

impl Signed {
    /// Signs a checkpoint with every key, at this time, Unix seconds.
    ///
    /// # Errors
    /// [`TlogError::Sign`].
    pub fn new(checkpoint: Checkpoint, signers: &[Signer], time_s: u64) -> Result<Self, TlogError> {
        let lines =
            signers.iter().map(|signer| signer.sign(&checkpoint, time_s)).collect::<Result<_, _>>()?;
        Ok(Self { checkpoint, lines })
    }

    /// Reads a checkpoint with its lines. Nothing is verified.
    ///
    /// # Errors
    /// [`TlogError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogError> {
        let Note { text, lines } = Note::parse(bytes)?;
        Ok(Self { checkpoint: Checkpoint::parse(&text)?, lines })
    }

    /// The note.
    #[must_use]
    pub fn write(&self) -> String {
        Note { text: self.checkpoint.text(), lines: self.lines.clone() }.write()
    }

    /// Verifies the line of this key. Lines of other keys mean nothing.
    ///
    /// # Errors
    /// [`TlogError::Unsigned`] without such a line, [`TlogError::BadSignature`] if it does not verify.
    pub fn verify(&self, key: &NoteKey) -> Result<Signature, TlogError> {
        let shown = || format!("{key:?}");
        let mut lines = self.lines.iter().filter(|line| line.name == key.name() && line.id == key.id());
        let first = lines.next().ok_or_else(|| TlogError::Unsigned { what: WHAT, key: shown() })?;
        let signature = self.check(key, first);
        // All that claim the key must hold: a note with a false one was tampered with.
        for line in lines {
            self.check(key, line).ok_or_else(|| TlogError::BadSignature { what: WHAT, key: shown() })?;
        }
        signature.ok_or_else(|| TlogError::BadSignature { what: WHAT, key: shown() })
    }

    /// Names of those whose keys have a line under it that verifies, each once.
    #[must_use]
    pub fn cosigners(&self, keys: &[NoteKey]) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for key in keys.iter().filter(|key| self.verify(key).is_ok()) {
            if !names.iter().any(|name| name == key.name()) {
                names.push(key.name().to_owned());
            }
        }
        names
    }

    fn check(&self, key: &NoteKey, line: &Line) -> Option<Signature> {
        let (time_s, signature) = match key.signs() {
            Signs::Text => (0, &line.signature[..]),
            Signs::TimedText | Signs::Subtree => {
                let (time, signature) = line.signature.split_first_chunk::<TIME_BYTES>()?;
                (u64::from_be_bytes(*time), signature)
            }
        };
        i64::try_from(time_s).ok()?;
        key.verify(&self.checkpoint.message(key, time_s), signature).ok()?;
        Some(Signature { time_s: (time_s > 0).then_some(time_s) })
    }
}

#[cfg(test)]
mod tests {
    use lockgate_crypto::digest::hex;
    use proptest::prelude::*;

    use super::*;

    fn checkpoint() -> Checkpoint {
        Checkpoint {
            origin: "example.com/behind-the-sofa".to_owned(),
            head: TreeHead {
                size: 20_852_163,
                root: decode_hash("CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=").unwrap(),
            },
        }
    }

    fn signer(id: &str, signs: Signs) -> Signer {
        let key = PrivateKey::generate_algorithm(id).unwrap();
        Signer::new("example.com/behind-the-sofa", key, signs).unwrap()
    }

    /// The example of the specification: text, and message of an Ed25519 cosignature.
    #[test]
    fn texts_are_those_of_the_specification() {
        let example = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        assert_eq!(checkpoint().text(), example);
        assert_eq!(Checkpoint::parse(example).unwrap(), checkpoint());
        let timed = signer("Ed25519", Signs::TimedText);
        let message = checkpoint().message(timed.public(), 1_679_315_147);
        assert_eq!(message, format!("cosignature/v1\ntime 1679315147\n{example}").into_bytes());
    }

    /// Byte for byte by the structure of the specification, put together by hand.
    #[test]
    fn the_message_of_a_subtree_is_the_structure_of_the_specification() {
        let key = signer("ML-DSA-44", Signs::Subtree);
        let message = checkpoint().message(key.public(), 1_679_315_147);
        let expected = [
            "737562747265652f76310a00",
            "1b",
            &hex(b"example.com/behind-the-sofa"),
            "00000000641850cb",
            "1b",
            &hex(b"example.com/behind-the-sofa"),
            "0000000000000000",
            "00000000013e2dc3",
            &hex(&checkpoint().head.root),
        ]
        .concat();
        assert_eq!(hex(&message), expected);
    }

    #[test]
    fn every_kind_of_line_verifies_and_only_as_it_was_made() {
        let signers = [
            signer("ML-DSA-44", Signs::Subtree),
            signer("Ed25519", Signs::Text),
            signer("Ed25519", Signs::TimedText),
            signer("ML-DSA-65", Signs::Subtree),
            signer("MLDSA65-Ed25519-SHA512", Signs::Subtree),
        ];
        let signed = Signed::new(checkpoint(), &signers, 1_700_000_000).unwrap();
        let again = Signed::parse(signed.write().as_bytes()).unwrap();
        assert_eq!(again, signed);
        for signer in &signers {
            let time = again.verify(signer.public()).unwrap().time_s;
            let expected = (signer.public().signs() != Signs::Text).then_some(1_700_000_000);
            assert_eq!(time, expected, "{signer:?}");
        }
        let stranger = self::signer("ML-DSA-44", Signs::Subtree);
        assert!(matches!(again.verify(stranger.public()), Err(TlogError::Unsigned { .. })));

        let changes: [fn(&mut Signed); 5] = [
            |signed| signed.checkpoint.head.size += 1,
            |signed| signed.checkpoint.head.root[0] ^= 1,
            |signed| signed.checkpoint.origin.push('x'),
            |signed| signed.lines.iter_mut().for_each(|line| *line.signature.last_mut().unwrap() ^= 1),
            add_false_lines,
        ];
        for (number, change) in changes.iter().enumerate() {
            let mut changed = again.clone();
            change(&mut changed);
            for signer in &signers {
                let refused = changed.verify(signer.public()).unwrap_err();
                assert!(matches!(refused, TlogError::BadSignature { .. }), "{number} {signer:?}");
            }
        }
        // The time is covered where there is one.
        let mut later = again.clone();
        later.lines.iter_mut().for_each(|line| line.signature[7] ^= 1);
        assert!(later.verify(signers[0].public()).is_err());
    }

    /// Behind every line, one more of the same key that does not verify.
    fn add_false_lines(signed: &mut Signed) {
        let mut more = signed.lines.clone();
        more.iter_mut().for_each(|line| *line.signature.last_mut().unwrap() ^= 1);
        signed.lines.extend(more);
    }

    #[test]
    fn a_name_says_who_signed() {
        let key = PrivateKey::generate_algorithm("ML-DSA-44").unwrap();
        let one = Signer::new("example.org/one", key.clone(), Signs::Subtree).unwrap();
        let two = Signer::new("example.org/two", key, Signs::Subtree).unwrap();
        assert_ne!(one.public().id(), two.public().id());
        let mut signed = Signed::new(checkpoint(), &[one], 1).unwrap();
        signed.lines[0].name = "example.org/two".to_owned();
        signed.lines[0].id = two.public().id();
        assert!(matches!(signed.verify(two.public()), Err(TlogError::BadSignature { .. })));
        assert!(!format!("{two:?}").contains("PrivateKey"));
    }

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        let root = "CsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=";
        for text in [
            "".to_owned(),
            "a\n1\n".to_owned(),
            format!("a\n1\n{root}"),
            format!("\n1\n{root}\n"),
            format!("a\n01\n{root}\n"),
            format!("a\n+1\n{root}\n"),
            format!("a\n-1\n{root}\n"),
            format!("a\n1 \n{root}\n"),
            format!("a\n\n{root}\n"),
            format!("a\n9223372036854775808\n{root}\n"),
            format!("a\n99999999999999999999999\n{root}\n"),
            format!("a\n1\n{root}=\n"),
            format!("a\n1\n{}\n", &root[1..]),
            format!("a\n1\n{root}\nextension\n"),
            format!("{}\n1\n{root}\n", "x".repeat(256)),
        ] {
            assert!(Checkpoint::parse(&text).is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_a_checkpoint_or_is_refused(text: String) {
            if let Ok(checkpoint) = Checkpoint::parse(&text) {
                prop_assert_eq!(checkpoint.text(), text);
            }
        }
    }
}
