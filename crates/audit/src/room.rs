//! Free space on the log's disk, looked at before it is gone.
//!
//! A write that fails is found out after the call has had its effect. So calls are turned away while there is still
//! room for the records of those that are under way.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::fstatvfs;

use crate::error::AuditError;

/// With fewer free bytes on its disk a log is not [available](crate::Log::available). 16 MiB are some twenty thousand
/// records: more than there are calls under way at any time.
pub const FREE_BYTES_MIN: u64 = 16 << 20;

/// For how long the answer of the file system is good, while it is yes.
const GOOD_FOR: Duration = Duration::from_millis(100);

pub(crate) struct Room {
    dir: PathBuf,
    /// Any open file on that disk.
    file: File,
    bytes_min: u64,
    enough_at: Mutex<Option<Instant>>,
}

impl Room {
    pub(crate) fn new(dir: &Path, file: File, bytes_min: u64) -> Self {
        Self { dir: dir.to_owned(), file, bytes_min, enough_at: Mutex::new(None) }
    }

    /// Whether at least the minimum is free.
    pub(crate) fn check(&self) -> Result<(), AuditError> {
        let mut enough_at = self.enough_at.lock();
        if enough_at.is_some_and(|at| at.elapsed() < GOOD_FOR) {
            return Ok(());
        }
        let free = match fstatvfs(&self.file) {
            Ok(disk) => disk.f_bavail.saturating_mul(disk.f_frsize),
            // A file system that does not tell; a write will.
            Err(errno) => {
                tracing::debug!(%errno, "the free space of the audit log's disk is not known");
                u64::MAX
            }
        };
        if free < self.bytes_min {
            *enough_at = None;
            return Err(AuditError::Unavailable {
                dir: self.dir.clone(),
                cause: format!(
                    "only {free} bytes are free on its disk, and {} are kept for the records of calls under way",
                    self.bytes_min
                ),
                hint: "make room on that disk: calls go on by themselves then",
            });
        }
        *enough_at = Some(Instant::now());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_disk_with_less_than_the_minimum_is_refused_every_time() {
        let dir = tempfile::tempdir().expect("temporary");
        let room = |bytes_min| {
            let file = File::open(dir.path()).expect("opens");
            Room::new(dir.path(), file, bytes_min)
        };
        let nearly_full = room(u64::MAX - 1);
        for _ in 0..2 {
            let refused = nearly_full.check().expect_err("no disk has as much");
            assert!(refused.to_string().contains("make room"), "{refused}");
        }
        room(0).check().expect("any disk has as much");
    }
}
