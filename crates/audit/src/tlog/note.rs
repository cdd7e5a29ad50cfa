//! Signed notes (C2SP signed-note): a text, an empty line, and signature lines.

use lockgate_crypto::note::{ID_BYTES, NAME_BYTES_MAX};

use super::{TlogError, decode, encode, malformed};

/// Longest note in bytes: a text of a few lines and 64 lines of the longest signatures that keys of ours make (17 kB in
/// base64 23 kB).
pub const NOTE_BYTES_MAX: usize = 2 << 20;

/// Most signature lines that are read; the standard asks for 16 at least.
pub const LINES_MAX: usize = 64;

const WHAT: &str = "note";
const DASH: &str = "\u{2014} ";

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Name of the key.
    pub name: String,
    /// Id of the key.
    pub id: [u8; ID_BYTES],
    /// What follows the id.
    pub signature: Vec<u8>,
}

impl Line {
    /// The line with its newline, as it stands in a note.
    #[must_use]
    pub fn write(&self) -> String {
        let bytes = [&self.id[..], &self.signature].concat();
        format!("{DASH}{} {}\n", self.name, encode(&bytes))
    }

    /// Reads a line without its newline.
    ///
    /// # Errors
    /// [`TlogError::Malformed`].
    pub fn read(line: &str) -> Result<Self, TlogError> {
        let wrong = |why| malformed(WHAT, why);
        let rest =
            line.strip_prefix(DASH).ok_or_else(|| wrong("a signature line does not begin with a dash"))?;
        let (name, bytes) = rest.split_once(' ').ok_or_else(|| wrong("a signature line has no signature"))?;
        let is_name = !name.is_empty() && name.len() <= NAME_BYTES_MAX;
        if !is_name || name.contains(|c: char| c.is_whitespace() || c == '+') {
            return Err(wrong("the name in a signature line is not one of a key"));
        }
        let bytes = decode(bytes).ok_or_else(|| wrong("a signature is not base64"))?;
        let (id, signature) = bytes.split_first_chunk().ok_or_else(|| wrong("a signature is too short"))?;
        if signature.is_empty() {
            return Err(wrong("a signature is too short"));
        }
        Ok(Self { name: name.to_owned(), id: *id, signature: signature.to_vec() })
    }
}

/// A note as it was read; nothing of it is verified.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The text, with its last newline.
    pub text: String,
    /// The lines under it.
    pub lines: Vec<Line>,
}

impl Note {
    /// Reads a note.
    ///
    /// # Errors
    /// [`TlogError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<Self, TlogError> {
        if bytes.len() > NOTE_BYTES_MAX {
            return Err(malformed(WHAT, "it is too long"));
        }
        let note = std::str::from_utf8(bytes).map_err(|_| malformed(WHAT, "it is not UTF-8"))?;
        if note.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(malformed(WHAT, "it has a control character"));
        }
        let split =
            note.rfind("\n\n").ok_or_else(|| malformed(WHAT, "it has no empty line before signatures"))?;
        let (text, below) = (&note[..=split], &note[split + 2..]);
        let below =
            below.strip_suffix('\n').ok_or_else(|| malformed(WHAT, "it does not end with a newline"))?;
        let lines: Vec<&str> = below.split('\n').take(LINES_MAX + 1).collect();
        if lines.len() > LINES_MAX {
            return Err(malformed(WHAT, "it has too many signatures"));
        }
        let lines = lines.into_iter().map(Line::read).collect::<Result<_, _>>()?;
        Ok(Self { text: text.to_owned(), lines })
    }

    /// The note as it is kept and sent.
    #[must_use]
    pub fn write(&self) -> String {
        let lines: String = self.lines.iter().map(Line::write).collect();
        format!("{}\n{lines}", self.text)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The example of the specification.
    const EXAMPLE: &str = "Ognuno sta solo sul cuor della terra\ntrafitto da un raggio di sole:\n\ned \u{e8} subito sera.\n\n\u{2014} quasimodo.example/salvatore NnugSzTjtVAewIS+Z/iJhUPeFDkO/5QQ2i5ddnGITLlC+EhfLW9oJKONrMouFSQU0xMcXxj99ihAQwaqP3ZekRwNtIc=\n";

    #[test]
    fn the_example_is_read_and_written_again() {
        let note = Note::parse(EXAMPLE.as_bytes()).unwrap();
        assert!(note.text.ends_with("subito sera.\n") && note.text.contains("\n\n"));
        assert_eq!(note.lines.len(), 1);
        assert_eq!(note.lines[0].name, "quasimodo.example/salvatore");
        assert_eq!((note.lines[0].id, note.lines[0].signature.len()), ([0x36, 0x7b, 0xa0, 0x4b], 64));
        assert_eq!(note.write(), EXAMPLE);
    }

    #[test]
    fn what_is_no_note_is_refused() {
        let line = EXAMPLE.rsplit_once("\n\n").unwrap().1;
        for note in [
            "".to_owned(),
            "\n".to_owned(),
            "text\n".to_owned(),
            "text\n\n".to_owned(),
            format!("text\n\n{}", line.trim_end()),
            format!("text\n\n{line}\n"),
            format!("text\n{line}"),
            format!("te\txt\n\n{line}"),
            format!("text\n\n{}", line.replace('\u{2014}', "-")),
            format!("text\n\n{}", line.replace("quasimodo", "quasi+modo")),
            format!("text\n\n{}", line.replace("quasimodo", "quasi\u{2003}modo")),
            format!("text\n\n{}", line.replace("Ic=", "Id=")),
            "text\n\n\u{2014} name AAAAAA==\n".to_owned(),
            "text\n\n\u{2014} name \n".to_owned(),
            format!("text\n\n{}", line.repeat(LINES_MAX + 1)),
            format!("{}\n\n{line}", "x".repeat(NOTE_BYTES_MAX)),
        ] {
            assert!(Note::parse(note.as_bytes()).is_err(), "{}", &note[..note.len().min(200)]);
        }
        assert!(Note::parse(b"te\xffxt\n\n").is_err());
        assert_eq!(
            Note::parse(format!("text\n\n{}", line.repeat(LINES_MAX)).as_bytes()).unwrap().lines.len(),
            LINES_MAX
        );
    }

    proptest! {
        #[test]
        fn what_is_read_is_written_as_it_was(text in "\\PC*\n", noise: Vec<u8>) {
            let line = EXAMPLE.rsplit_once("\n\n").unwrap().1;
            let note = format!("{text}\n{line}");
            if let Ok(read) = Note::parse(note.as_bytes()) {
                prop_assert_eq!(read.write(), note);
            }
            let _ = Note::parse(&noise);
        }
    }
}
