//! What can go wrong with a log, and where exactly a log is broken.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use crate::tlog::TlogError;

/// Why a log cannot be opened, written, read or trusted.
#[derive(Debug, thiserror::Error)]
pub enum AuditError {
    /// The chain does not hold: somebody or something changed the log.
    #[error("{0}")]
    Broken(#[from] Break),
    /// Another process writes to this log.
    #[error("the audit log in {} is in use by {holder}; stop that process, or give this one another state directory", dir.display())]
    Locked {
        /// The log's directory.
        dir: PathBuf,
        /// Who holds it, for example `process 4711`.
        holder: String,
    },
    /// Others than the owner can reach the directory.
    #[error("the audit log's directory {} is open to others (mode {mode:04o}); run: chmod 700 {}", dir.display(), dir.display())]
    Permissions {
        /// The log's directory.
        dir: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The log cannot be written at the moment, so nothing that needs a record may happen.
    #[error("the audit log in {} cannot be written, so calls are refused: {cause}; {hint}", dir.display())]
    Unavailable {
        /// The log's directory.
        dir: PathBuf,
        /// What the operating system said.
        cause: String,
        /// What to do next.
        hint: &'static str,
    },
    /// A checkpoint, a tile or a proof is not what it should be, or cannot be made.
    #[error("{0}")]
    Tlog(#[from] TlogError),
    /// Reading or preparing a file failed.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried, for example `read`.
        doing: &'static str,
        /// On which file.
        path: PathBuf,
        /// What the operating system said.
        source: io::Error,
    },
}

impl AuditError {
    pub(crate) fn io(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Self {
        let path = path.to_owned();
        move |source| AuditError::Io { doing, path, source }
    }
}

/// The first place at which a log is not what was written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}:{line}: record {seq}: {what}", file.display())]
pub struct Break {
    /// The segment (or head file).
    pub file: PathBuf,
    /// Line in that file, from 1; 0 when no single line is to blame.
    pub line: u64,
    /// Sequence number that the record at this place has or should have.
    pub seq: u64,
    /// What is wrong.
    pub what: What,
}

/// What is wrong at a [`Break`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The line is not a record of this format.
    NotARecord(String),
    /// The record's bytes are not those that the chain was built over.
    Changed,
    /// Records are gone: the next one present has this number.
    Missing {
        /// Number of the record that follows the gap.
        next: u64,
    },
    /// The same line stands twice.
    Duplicate,
    /// A second, different record claims the same place after the same predecessor.
    Fork,
    /// The record belongs further up: its number was passed already.
    OutOfOrder {
        /// The number that was due here.
        due: u64,
    },
    /// The log ends before the record that the head file names.
    TailMissing {
        /// Number of the last record that had been synced.
        synced: u64,
    },
    /// The last synced record is not the one whose hash the head file holds.
    HeadMismatch,
    /// The head file is not one that this program writes.
    HeadUnreadable,
    /// A file of the tree is gone or is not what was written: a tile, a bundle, a checkpoint.
    Tree(String),
    /// The tree that the checkpoint vouches for is not that of the records.
    OtherTree,
    /// A checkpoint is not signed by the key that it must be signed by.
    Unsigned(String),
    /// The record was made before the one above it, by the clock, and the log does not say that the clock went back.
    ClockBack {
        /// By how much, in milliseconds.
        by_ms: u64,
    },
    /// The checkpoint vouches for records that are not there.
    Truncated {
        /// Number of the last record that it vouches for.
        last: u64,
    },
    /// A checkpoint that was seen before is not the beginning of this log: two histories were signed.
    ForkedView,
}

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::NotARecord(why) => write!(f, "the line is not an audit record ({why})"),
            What::Changed => f.write_str("the record was changed after it was written"),
            What::Missing { next } => {
                write!(f, "records are missing: record {next} follows here")
            }
            What::Duplicate => f.write_str("the record stands here twice"),
            What::Fork => f.write_str("a different record with the same number and the same predecessor stands before it: two histories were mixed"),
            What::OutOfOrder { due } => write!(f, "the record is out of order: record {due} was due here"),
            What::TailMissing { synced } => write!(f, "the end of the log is missing: it had been written up to record {synced}"),
            What::HeadMismatch => f.write_str("the record is not the one that had been synced under this number: the head file holds another hash"),
            What::HeadUnreadable => f.write_str("the head file was changed: it is not one that Lockgate writes"),
            What::Tree(why) => write!(f, "the file of the tree does not hold: {why}"),
            What::OtherTree => f.write_str("the signed checkpoint vouches for other records than these"),
            What::Unsigned(why) => write!(f, "{why}"),
            What::ClockBack { by_ms } => write!(f, "its time is {by_ms} ms before that of an earlier record, and the log does not say that its clock went back"),
            What::Truncated { last } => write!(f, "records are missing at the end: the signed checkpoint vouches for record {last}"),
            What::ForkedView => f.write_str("the checkpoint that was seen is not the beginning of this log: it was rewritten, or two views were signed"),
        }
    }
}
