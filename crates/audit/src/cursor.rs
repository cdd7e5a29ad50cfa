//! Reading the lines of a log in order while it is written, up to where it is on the disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use crate::error::AuditError;
use crate::line::LINE_BYTES_MAX;
use crate::segment::{self, Segment};

/// How much is read at a time.
const BLOCK_BYTES: usize = 256 << 10;

/// A place between two lines.
pub struct Cursor {
    dir: PathBuf,
    /// Number of the next line.
    next: u64,
    open: Option<(Segment, File)>,
    /// Where `block` begins in the file.
    offset: u64,
    block: Vec<u8>,
    /// What of it was given.
    given: usize,
}

impl Cursor {
    /// Number of the oldest line that is there; `None` in a log without any.
    ///
    /// # Errors
    /// [`AuditError::Io`] when the directory cannot be read.
    pub fn oldest(dir: &Path) -> Result<Option<u64>, AuditError> {
        Ok(segment::list(dir)?.first().map(|segment| segment.first))
    }

    /// Before the line `next`.
    pub fn before(dir: &Path, next: u64) -> Self {
        Self { dir: dir.to_owned(), next, open: None, offset: 0, block: Vec::new(), given: 0 }
    }

    /// Number of the line that comes next.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// The next line without its newline, if its number is at most `last`, which must be on the disk.
    ///
    /// What lies behind `last` may still be taken back, so it is read anew the next time.
    ///
    /// # Errors
    /// [`AuditError::Io`] when a file cannot be read, or the line is gone.
    pub fn line(&mut self, last: u64) -> Result<Option<&[u8]>, AuditError> {
        if self.next > last {
            self.forget();
            return Ok(None);
        }
        loop {
            if let Some(length) = self.block[self.given..].iter().position(|byte| *byte == b'\n') {
                let begin = self.given;
                self.given = begin + length + 1;
                self.next += 1;
                return Ok(Some(&self.block[begin..begin + length]));
            }
            if !self.read_more()? {
                self.next_segment()?;
            }
        }
    }

    /// Forgets what was read and not given.
    fn forget(&mut self) {
        self.offset += self.given as u64;
        self.given = 0;
        self.block.clear();
    }

    fn read_more(&mut self) -> Result<bool, AuditError> {
        let Some((segment, file)) = &self.open else { return Ok(false) };
        self.block.drain(..self.given);
        self.offset += self.given as u64;
        self.given = 0;
        if self.block.len() >= LINE_BYTES_MAX {
            return Err(self.gone());
        }
        let begin = self.block.len();
        self.block.resize(begin + BLOCK_BYTES, 0);
        let read = loop {
            match file.read_at(&mut self.block[begin..], self.offset + begin as u64) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read.map_err(AuditError::io("read", &segment.path)),
            }
        };
        self.block.truncate(begin + read.as_ref().copied().unwrap_or(0));
        read.map(|read| read > 0)
    }

    /// Opens the segment that has the next line, and goes to it.
    fn next_segment(&mut self) -> Result<(), AuditError> {
        let segments = segment::list(&self.dir)?;
        let segment = segments.into_iter().rfind(|segment| segment.first <= self.next);
        let is_other = |segment: &Segment| self.open.as_ref().is_none_or(|(open, _)| open != segment);
        let segment = segment.filter(is_other).ok_or_else(|| self.gone())?;
        let file = File::open(&segment.path).map_err(AuditError::io("open", &segment.path))?;
        let (wanted, first) = (self.next, segment.first);
        self.open = Some((segment, file));
        (self.offset, self.given, self.next) = (0, 0, first);
        self.block.clear();
        while self.next < wanted {
            if let Some(length) = self.block[self.given..].iter().position(|byte| *byte == b'\n') {
                self.given += length + 1;
                self.next += 1;
            } else if !self.read_more()? {
                self.next = wanted;
                return Err(self.gone());
            }
        }
        Ok(())
    }

    /// The line is on the disk, and cannot be found there.
    fn gone(&self) -> AuditError {
        let source = io::Error::new(io::ErrorKind::NotFound, format!("record {} is not there", self.next));
        AuditError::Io { doing: "read", path: self.dir.clone(), source }
    }
}

#[cfg(test)]
mod tests {
    use std::fs::{self, OpenOptions};
    use std::io::Write as _;

    use super::*;

    #[test]
    fn lines_are_given_once_and_only_as_far_as_asked_for() {
        let dir = tempfile::tempdir().unwrap();
        let first = Segment::named(dir.path(), 1);
        fs::write(&first.path, "one\ntwo\nthree\nhal").unwrap();
        let mut cursor = Cursor::before(dir.path(), 2);
        assert_eq!(cursor.line(1).unwrap(), None);
        assert_eq!(cursor.line(3).unwrap(), Some(&b"two"[..]));
        assert_eq!(cursor.line(2).unwrap(), None);
        assert_eq!(cursor.line(3).unwrap(), Some(&b"three"[..]));
        assert_eq!(cursor.line(3).unwrap(), None);
        // The half line was taken back, and another stands there.
        let file = OpenOptions::new().write(true).open(&first.path).unwrap();
        file.set_len(14).unwrap();
        OpenOptions::new().append(true).open(&first.path).unwrap().write_all(b"four\n").unwrap();
        fs::write(Segment::named(dir.path(), 5).path, "five\n").unwrap();
        assert_eq!(cursor.line(5).unwrap(), Some(&b"four"[..]));
        assert_eq!(cursor.line(5).unwrap(), Some(&b"five"[..]));
        assert_eq!(cursor.next(), 6);
        assert!(cursor.line(6).is_err(), "promised, and not there");
        fs::remove_file(&first.path).unwrap();
        assert!(Cursor::before(dir.path(), 1).line(1).is_err());
    }
}
