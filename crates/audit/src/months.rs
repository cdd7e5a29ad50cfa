//! Months of a log as a whole: how far each goes, and taking an old one away while its end stays known.
//!
//! ```text
//! tree/2026-11/              a month that is there
//! tree/dropped/2025-10/      one that was taken away: its first leaf and its last checkpoint
//! ```
//! The first leaf of the month that follows names size and root of the one that is gone, so that the newest signature vouches
//! for its end, too.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::error::{AuditError, Break, What};
use crate::segment;
use crate::shard::{self, Previous, Shard, make_folder, sync_folder};

/// A month of a log that is sealed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedMonth {
    /// `2026-11`.
    pub month: String,
    /// Its origin.
    pub origin: String,
    /// Number of its first record.
    pub first: u64,
    /// Number of its last record that a checkpoint covers.
    pub last: u64,
    /// Root of its last tree, lower-case hex.
    pub root: String,
}

/// The months of the log in `dir` whose trees are there, oldest first. The last of them is still growing.
///
/// # Errors
/// [`AuditError`] when a tree cannot be read.
pub fn months(dir: &Path) -> Result<Vec<SealedMonth>, AuditError> {
    let mut months = Vec::new();
    for shard in shard::list(dir)? {
        let Some(signed) = shard.checkpoint()? else { continue };
        let head = signed.checkpoint.head;
        months.push(SealedMonth {
            month: shard.month.clone(),
            origin: shard.opening.origin.clone(),
            first: shard.opening.first,
            last: shard.opening.first + head.size.saturating_sub(2),
            root: lockgate_crypto::digest::hex(&head.root),
        });
    }
    Ok(months)
}

/// Takes the oldest month away, if that is `month` and another follows it: the files whose records are all of it or older, then
/// its tree. What says how it ended stays. Where it is ended half way, calling it again finishes it. A file that also has
/// records of a later month stays until that goes. Says how many files of records went.
///
/// # Errors
/// [`AuditError`] when a file cannot be removed, or the months after it do not say how it ended: then nothing is taken away.
pub fn drop_month(dir: &Path, month: &str) -> Result<u64, AuditError> {
    let shards = shard::list(dir)?;
    let (Some(oldest), Some(next)) = (shards.first(), shards.get(1)) else { return Ok(0) };
    if oldest.month != month {
        return Ok(0);
    }
    ends_as_said(oldest, next)?;
    let mut gone = 0;
    let segments = segment::list(dir)?;
    // The newest one is being written.
    for pair in segments.windows(2) {
        if pair[1].first > next.opening.first {
            break;
        }
        fs::remove_file(&pair[0].path).map_err(AuditError::io("remove", &pair[0].path))?;
        gone += 1;
    }
    sync_folder(dir).map_err(AuditError::io("sync", dir))?;
    let to = folder(dir).join(month);
    make_folder(&folder(dir)).map_err(AuditError::io("create", &to))?;
    fs::rename(&oldest.dir, &to).map_err(AuditError::io("rename", &oldest.dir))?;
    for folder in [folder(dir), shard::folder(dir)] {
        sync_folder(&folder).map_err(AuditError::io("sync", &folder))?;
    }
    clear(dir)?;
    Ok(gone)
}

/// Removes what a kill left of months that were taken away: their tiles.
///
/// # Errors
/// [`AuditError::Io`].
pub(crate) fn clear(dir: &Path) -> Result<(), AuditError> {
    for shard in dropped(dir)? {
        let tiles = shard.dir.join("tile");
        match fs::remove_dir_all(&tiles) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(AuditError::io("remove", &tiles)(error));
            }
            _ => {}
        }
    }
    Ok(())
}

/// Holds the ends of months that were taken away against each other and against the oldest one that is there. Says how many
/// there are.
pub(crate) fn check(dir: &Path, oldest: Option<&Shard>) -> Result<u64, AuditError> {
    let all = dropped(dir)?;
    for (shard, next) in all.iter().zip(all.iter().skip(1).chain(oldest)) {
        ends_as_said(shard, next)?;
    }
    Ok(all.len() as u64)
}

/// Whether a month ended as the one after it says.
fn ends_as_said(shard: &Shard, next: &Shard) -> Result<(), AuditError> {
    let signed = shard.checkpoint()?;
    let signed = signed.ok_or_else(|| shard::damaged(&shard.checkpoint_path(), "it is missing"))?;
    if next.opening.previous.as_ref() == Some(&Previous::of(&signed)) {
        return Ok(());
    }
    let what = What::Tree("the month that was taken away did not end as the one after it says".to_owned());
    Err(Break { file: shard.checkpoint_path(), line: 0, seq: next.opening.first, what }.into())
}

fn folder(dir: &Path) -> PathBuf {
    shard::folder(dir).join("dropped")
}

fn dropped(dir: &Path) -> Result<Vec<Shard>, AuditError> {
    shard::list_in(&folder(dir))
}
