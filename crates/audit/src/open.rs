//! Opening a log for writing: who may, and where the chain goes on.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;

use jiff::Timestamp;
use rustix::fs::{FlockOperation, flock};

use crate::chain::Chain;
use crate::error::{AuditError, What};
use crate::head::Head;
use crate::line::LINE_BYTES_MAX;
use crate::segment::{self, Lines, Place, Segment};

/// Creates the directory where it is not there, and refuses one that others can reach.
pub(crate) fn private_directory(dir: &Path) -> Result<(), AuditError> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir).map_err(AuditError::io("create", dir))?;
    let metadata = fs::metadata(dir).map_err(AuditError::io("read", dir))?;
    let mode = metadata.permissions().mode() & 0o7777;
    if mode & 0o077 != 0 {
        let dir = dir.to_owned();
        return Err(AuditError::Permissions { dir, mode });
    }
    Ok(())
}

/// Takes the log for this process. The lock ends with the returned file, and so with the process, however it ends.
pub(crate) fn lock(dir: &Path) -> Result<File, AuditError> {
    let path = dir.join("lock");
    let mut file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .map_err(AuditError::io("open", &path))?;
    match flock(&file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => {}
        Err(rustix::io::Errno::WOULDBLOCK) => {
            let mut pid = String::new();
            // The number is for the message only: without it the refusal stands all the same.
            let read = (&mut file).take(20).read_to_string(&mut pid);
            let holder = match (read, pid.trim().parse::<u32>()) {
                (Ok(_), Ok(pid)) => format!("process {pid}"),
                _ => "another process".to_owned(),
            };
            let dir = dir.to_owned();
            return Err(AuditError::Locked { dir, holder });
        }
        Err(errno) => return Err(AuditError::io("lock", &path)(errno.into())),
    }
    file.set_len(0)
        .and_then(|()| writeln!(file, "{}", std::process::id()))
        .map_err(AuditError::io("write", &path))?;
    Ok(file)
}

/// Where a log goes on.
pub(crate) struct End {
    /// The last record.
    pub(crate) at: Head,
    /// The segment that it is in, and how long that segment is; `None` before the first record.
    pub(crate) segment: Option<(Segment, u64)>,
    /// When it was made.
    pub(crate) time: Option<Timestamp>,
    /// Bytes that were cut off because they were no complete record.
    pub(crate) torn_bytes: u64,
    /// Whether a log was there and its head file was not.
    pub(crate) is_head_lost: bool,
}

/// Finds the end of the log and cuts off what a crash left half written.
///
/// What lies behind the last synced record was never promised to survive a power cut, so it may be cut when it does not
/// hold. Anything else that does not hold is damage, and the log is not continued over it.
pub(crate) fn recover(dir: &Path) -> Result<End, AuditError> {
    let synced = Head::read(dir)?;
    let mut torn_bytes = 0;
    let mut segments = segment::list(dir)?;
    let is_head_lost = synced.is_none() && !segments.is_empty();
    while let Some(segment) = segments.pop() {
        let walked = walk(&segment, synced)?;
        torn_bytes += walked.torn_bytes;
        if walked.length > 0 {
            return Ok(End {
                at: walked.at,
                time: walked.time,
                segment: Some((segment, walked.length)),
                torn_bytes,
                is_head_lost,
            });
        }
        // Begun and never filled: the next record begins it anew.
        fs::remove_file(&segment.path).map_err(AuditError::io("remove", &segment.path))?;
    }
    match synced {
        Some(Head { seq: synced, .. }) if synced > 0 => {
            let place = Place { file: dir.to_owned(), line: 0 };
            Err(place.broken(1, What::TailMissing { synced }).into())
        }
        _ => Ok(End { at: Head::GENESIS, time: None, segment: None, torn_bytes, is_head_lost }),
    }
}

struct Walked {
    at: Head,
    time: Option<Timestamp>,
    length: u64,
    torn_bytes: u64,
}

fn walk(segment: &Segment, synced: Option<Head>) -> Result<Walked, AuditError> {
    let mut chain = Chain::from(segment.first, synced);
    let mut lines = Lines::of(vec![segment.clone()]);
    let mut length = 0;
    let mut time = None;
    let mut problem = None;
    while let Some(line) = lines.next()? {
        match chain.step(line) {
            Ok(header) => {
                length += line.len() as u64;
                time = header.time.parse().ok();
            }
            Err(what) => {
                let is_torn = !line.ends_with(b"\n") && line.len() < LINE_BYTES_MAX;
                problem = Some((what, is_torn));
                break;
            }
        }
    }
    let torn_bytes = match (problem, chain.unmet_promise()) {
        // An empty segment says nothing about the hash of the record before it.
        (None, Some(what)) if length > 0 => return Err(broken(&lines, &chain, what)),
        (None, _) => 0,
        (Some((what, is_torn)), None) if is_torn || synced.is_some() => {
            tracing::warn!(segment = %segment.path.display(), %what, "cutting off what is no complete record");
            shorten(&segment.path, length)?
        }
        (Some((_, true)), Some(what)) | (Some((what, _)), _) => {
            return Err(broken(&lines, &chain, what));
        }
    };
    Ok(Walked { at: chain.at, time, length, torn_bytes })
}

fn broken(lines: &Lines, chain: &Chain, what: What) -> AuditError {
    lines.place().broken(chain.at.seq + 1, what).into()
}

/// Cuts the file to this length; says how many bytes that took away.
fn shorten(path: &Path, length: u64) -> Result<u64, AuditError> {
    let shorten = || {
        let file = OpenOptions::new().write(true).open(path)?;
        let before = file.metadata()?.len();
        file.set_len(length)?;
        file.sync_all()?;
        Ok(before - length)
    };
    shorten().map_err(AuditError::io("shorten", path))
}
