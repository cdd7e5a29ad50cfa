//! Reading a log from its beginning, one line at a time, whatever its size.

use std::path::Path;

use crate::error::AuditError;
use crate::line::Entry;
use crate::segment::{self, Lines};

/// The lines of the log in `dir`, the oldest first. Nothing is verified: that is what [`verify`](crate::verify) is for.
///
/// # Errors
/// [`AuditError::Io`] when the directory cannot be read.
pub fn read(dir: &Path) -> Result<Reader, AuditError> {
    Ok(Reader { lines: Lines::of(segment::list(dir)?) })
}

/// Gives the lines of a log; see [`read`].
pub struct Reader {
    lines: Lines,
}

/// One line as it stands in the log, with its newline. The last one of a log that is being written may lack it.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    bytes: &'a [u8],
}

impl Reader {
    /// The next line; none at the end.
    ///
    /// # Errors
    /// [`AuditError::Io`] when a file cannot be read.
    pub fn next_line(&mut self) -> Result<Option<Line<'_>>, AuditError> {
        Ok(self.lines.next()?.map(|bytes| Line { bytes }))
    }
}

impl<'a> Line<'a> {
    /// A line that was kept elsewhere, with its newline.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes }
    }

    /// Its bytes, exactly.
    pub fn bytes(self) -> &'a [u8] {
        self.bytes
    }

    /// SHA-256 of its bytes: what the line after it carries.
    pub fn sha256(self) -> [u8; 32] {
        lockgate_crypto::digest::sha256(self.bytes)
    }

    /// What it says; none if that cannot be read, as in a log that was damaged, or not to its end.
    pub fn entry(self) -> Option<Entry> {
        let text = std::str::from_utf8(self.bytes.strip_suffix(b"\n")?).ok()?;
        Entry::parse(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Kind, Outcome, Record};
    use crate::{Durability, Log, Options};

    #[test]
    fn lines_come_in_order_and_whole_and_the_hash_is_the_one_of_the_chain() {
        let folder = tempfile::tempdir().expect("a folder");
        let dir = folder.path().join("audit");
        let log = Log::open(&dir, Options::default()).expect("opens");
        for name in ["a", "b"] {
            let record = Record { name: Some(name.into()), ..Record::new(Kind::Call, Outcome::Ok) };
            log.append(&record, Durability::Grouped).expect("written");
        }
        drop(log);
        let mut reader = read(&dir).expect("reads");
        let first = reader.next_line().expect("reads").expect("a line");
        assert_eq!(first.entry().expect("an entry").record.name.as_deref(), Some("a"));
        let hash: String = first.sha256().iter().map(|byte| format!("{byte:02x}")).collect();
        let second = reader.next_line().expect("reads").expect("a line").entry().expect("an entry");
        assert_eq!((second.seq, second.prev), (2, hash));
        assert!(reader.next_line().expect("reads").is_none());
        assert!(
            Line { bytes: b"{\"seq\":1" }.entry().is_none() && Line { bytes: b"\xff\n" }.entry().is_none()
        );
    }
}
