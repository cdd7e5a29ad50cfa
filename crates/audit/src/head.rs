//! The head file: number and hash of the last record that had reached the disk.
//!
//! A hash chain shows every change inside a log, and none at its end: whoever cuts off the last lines leaves a shorter
//! log whose chain holds. The head file remembers where the end was. It is one sector, overwritten in place, so a power
//! cut leaves the old one or the new one.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{AuditError, Break, What};
use crate::line::LineHash;

const SCHEMA: &str = "lockgate.audit-head/1";

/// Size of the file: below one disk sector, above any content.
const BYTES: usize = 256;

/// A place in the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// Number of the record; 0 before the first.
    pub(crate) seq: u64,
    /// Hash of its line.
    pub(crate) hash: LineHash,
}

impl Head {
    /// Before the first record.
    pub(crate) const GENESIS: Head = Head { seq: 0, hash: LineHash::GENESIS };

    fn encode(&self) -> [u8; BYTES] {
        let json =
            format!("{{\"schema\":\"{SCHEMA}\",\"seq\":{},\"hash\":\"{}\"}}", self.seq, self.hash.as_str());
        let mut bytes = [b' '; BYTES];
        bytes[..json.len()].copy_from_slice(json.as_bytes());
        bytes[BYTES - 1] = b'\n';
        bytes
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        #[derive(Deserialize)]
        struct Fields<'a> {
            seq: u64,
            hash: &'a str,
        }
        let fields: Fields<'_> = serde_json::from_slice(bytes).ok()?;
        let hash = LineHash::parse(fields.hash)?;
        let head = Head { seq: fields.seq, hash };
        // Only the exact bytes count, so a change anywhere in the file is seen.
        (head.encode() == bytes).then_some(head)
    }

    /// Reads the head file of a log; `None` when there is none.
    pub(crate) fn read(dir: &Path) -> Result<Option<Self>, AuditError> {
        let path = path(dir);
        let bytes = match fs::read(&path) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(AuditError::io("read", &path)(error)),
        };
        match Head::decode(&bytes) {
            Some(head) => Ok(Some(head)),
            None => Err(Break { file: path, line: 1, seq: 0, what: What::HeadUnreadable }.into()),
        }
    }
}

/// The open head file of a log that is written.
pub(crate) struct HeadFile(File);

impl HeadFile {
    pub(crate) fn open(dir: &Path) -> Result<Self, AuditError> {
        let path = path(dir);
        OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map(Self)
            .map_err(AuditError::io("open", &path))
    }

    pub(crate) fn write(&self, head: &Head) -> io::Result<()> {
        self.0.write_all_at(&head.encode(), 0)
    }
}

fn path(dir: &Path) -> PathBuf {
    dir.join("head")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_changed_byte_of_the_head_file_makes_another_head_or_none() {
        let head = Head { seq: 1_234_567, hash: LineHash::of(b"x") };
        let bytes = head.encode();
        assert_eq!(Head::decode(&bytes), Some(head));
        for at in 0..bytes.len() {
            for bit in 0..8 {
                let mut changed = bytes;
                changed[at] ^= 1 << bit;
                assert_ne!(Head::decode(&changed), Some(head), "byte {at}, bit {bit}");
            }
        }
        let largest = Head { seq: u64::MAX, ..head };
        assert_eq!(Head::decode(&largest.encode()), Some(largest));
    }
}
