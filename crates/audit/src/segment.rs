//! The files of a log: `audit-<number of its first record>.jsonl`, one after the other, and what reads them in order.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead, BufReader, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::error::{AuditError, Break, What};
use crate::line::LINE_BYTES_MAX;

/// One file of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) path: PathBuf,
    /// Number of its first record, by its name.
    pub(crate) first: u64,
}

impl Segment {
    /// The segment of `dir` that begins with this record. Zeros in front make names sort like numbers.
    pub(crate) fn named(dir: &Path, first: u64) -> Self {
        let path = dir.join(format!("audit-{first:020}.jsonl"));
        Self { path, first }
    }

    fn from_path(path: PathBuf) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        let digits = name.strip_prefix("audit-")?.strip_suffix(".jsonl")?;
        let first = digits.parse().ok()?;
        let is_ours = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
        is_ours.then_some(Self { path, first })
    }

    /// Opens the segment for appending and creates it where it is not there, for the owner alone.
    pub(crate) fn append(&self) -> io::Result<File> {
        OpenOptions::new().append(true).create(true).mode(0o600).open(&self.path)
    }
}

/// The segments of a log, oldest first.
pub(crate) fn list(dir: &Path) -> Result<Vec<Segment>, AuditError> {
    let entries = fs::read_dir(dir).map_err(AuditError::io("list", dir))?;
    let mut segments = Vec::new();
    for entry in entries {
        let path = entry.map_err(AuditError::io("list", dir))?.path();
        segments.extend(Segment::from_path(path));
    }
    segments.sort_by_key(|segment| segment.first);
    Ok(segments)
}

/// Where a line stands.
#[derive(Clone, Debug)]
pub(crate) struct Place {
    pub(crate) file: PathBuf,
    /// From 1.
    pub(crate) line: u64,
}

impl Place {
    /// Says that the log does not hold here.
    pub(crate) fn broken(&self, seq: u64, what: What) -> Break {
        Break { file: self.file.clone(), line: self.line, seq, what }
    }
}

/// Reads the lines of several segments one by one, never more than one of them in memory.
pub(crate) struct Lines {
    rest: std::vec::IntoIter<Segment>,
    reader: Option<BufReader<File>>,
    place: Place,
    buffer: Vec<u8>,
}

impl Lines {
    pub(crate) fn of(segments: Vec<Segment>) -> Self {
        Self {
            rest: segments.into_iter(),
            reader: None,
            place: Place { file: PathBuf::new(), line: 0 },
            buffer: Vec::new(),
        }
    }

    /// Where the line given last stands.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// Whether the line given last is in the last segment.
    pub(crate) fn in_last_segment(&self) -> bool {
        self.rest.len() == 0
    }

    /// The next line with its newline. A line without one is torn, or longer than any line of a log.
    pub(crate) fn next(&mut self) -> Result<Option<&[u8]>, AuditError> {
        loop {
            if let Some(reader) = &mut self.reader {
                self.buffer.clear();
                let read = reader
                    .take(LINE_BYTES_MAX as u64)
                    .read_until(b'\n', &mut self.buffer)
                    .map_err(AuditError::io("read", &self.place.file))?;
                if read > 0 {
                    self.place.line += 1;
                    return Ok(Some(&self.buffer));
                }
                self.reader = None;
            }
            let Some(segment) = self.rest.next() else {
                return Ok(None);
            };
            let file = File::open(&segment.path).map_err(AuditError::io("open", &segment.path))?;
            self.reader = Some(BufReader::with_capacity(256 << 10, file));
            self.place = Place { file: segment.path, line: 0 };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_the_log_itself_gives_are_segments() {
        let dir = Path::new("/log");
        let own = Segment::named(dir, 42);
        assert_eq!(Segment::from_path(own.path.clone()), Some(own));
        for name in [
            "audit-42.jsonl",
            "audit-+0000000000000000042.jsonl",
            "audit-00000000000000000042.jsonl.gz",
            "audit-99999999999999999999.jsonl",
            "head",
            "lock",
        ] {
            assert_eq!(Segment::from_path(dir.join(name)), None, "{name}");
        }
    }
}
