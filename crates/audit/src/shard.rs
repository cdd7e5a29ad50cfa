//! A month of the log as a tree of its own: its folder, and what its first leaf says.
//!
//! ```text
//! tree/2026-11/shard         the first leaf: which log this is, where it begins, and what came before
//! tree/2026-11/checkpoint    the newest checkpoint
//! tree/2026-11/cosigned      the newest one with the cosignatures that the configuration asks for
//! tree/2026-11/kept/SIZE     checkpoints of moments that matter later, such as a change of keys
//! tree/dropped/2025-10/      the first leaf and the last checkpoint of a month that was taken away
//! tree/2026-11/tile/…        hashes and entries (C2SP tlog-tiles)
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{AuditError, Break, What};
use crate::tlog::checkpoint::Signed;
use crate::tlog::merkle::TreeHead;
use crate::tlog::note::NOTE_BYTES_MAX;

/// Format of the first leaf.
pub const SHARD_SCHEMA: &str = "lockgate.audit-shard/1";

/// Longest first leaf that is read, in bytes.
const OPENING_BYTES_MAX: u64 = 4096;

/// What the first leaf of a shard says. Behind it, the leaf `n` is the record `first + n - 1`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Opening {
    /// [`SHARD_SCHEMA`].
    pub schema: String,
    /// The shard's origin, as its checkpoints have it.
    pub origin: String,
    /// Number of its first record.
    pub first: u64,
    /// How the shard before it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous: Option<Previous>,
}

/// The end of a shard.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Previous {
    /// Its origin.
    pub origin: String,
    /// Leaves of its last tree.
    pub size: u64,
    /// Root of that, in lower-case hex.
    pub root: String,
}

impl Previous {
    pub(crate) fn of(signed: &Signed) -> Self {
        let TreeHead { size, root } = signed.checkpoint.head;
        let origin = signed.checkpoint.origin.clone();
        Self { origin, size, root: lockgate_crypto::digest::hex(&root) }
    }
}

impl Opening {
    /// The leaf: exactly these bytes, so that it can be checked.
    pub(crate) fn leaf(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text and numbers always serialise")
    }

    /// Number of the record at this leaf; `None` for the opening itself.
    #[must_use]
    pub fn seq_of(&self, index: u64) -> Option<u64> {
        index.checked_sub(1).map(|index| self.first.saturating_add(index))
    }

    /// The leaf of this record.
    #[must_use]
    pub fn index_of(&self, seq: u64) -> Option<u64> {
        Some(seq.checked_sub(self.first)? + 1)
    }
}

/// The folder of a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Shard {
    pub(crate) dir: PathBuf,
    /// `2026-11`.
    pub(crate) month: String,
    pub(crate) opening: Opening,
}

/// Where all shards are.
pub(crate) fn folder(dir: &Path) -> PathBuf {
    dir.join("tree")
}

/// Whether this is a month, as folders are named.
pub(crate) fn is_month(name: &str) -> bool {
    let bytes = name.as_bytes();
    let digits = |range: std::ops::Range<usize>| bytes[range].iter().all(u8::is_ascii_digit);
    bytes.len() == 7 && bytes[4] == b'-' && digits(0..4) && digits(5..7)
}

/// The shards of a log, oldest first. One that was begun and has no first leaf yet is none.
pub(crate) fn list(dir: &Path) -> Result<Vec<Shard>, AuditError> {
    list_in(&folder(dir))
}

/// The same in this folder.
pub(crate) fn list_in(folder: &Path) -> Result<Vec<Shard>, AuditError> {
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(AuditError::io("list", folder)(error)),
    };
    let mut shards = Vec::new();
    for entry in entries {
        let path = entry.map_err(AuditError::io("list", folder))?.path();
        let month = path.file_name().and_then(|name| name.to_str()).filter(|name| is_month(name));
        if let Some(month) = month {
            shards.extend(Shard::open(&path, month)?);
        }
    }
    shards.sort_by(|one, two| one.month.cmp(&two.month));
    Ok(shards)
}

impl Shard {
    fn open(dir: &Path, month: &str) -> Result<Option<Self>, AuditError> {
        let path = dir.join("shard");
        let Some(bytes) = read(&path, OPENING_BYTES_MAX)? else { return Ok(None) };
        let opening: Option<Opening> = serde_json::from_slice(&bytes).ok();
        let opening = opening.filter(|opening| opening.schema == SHARD_SCHEMA && opening.leaf() == bytes);
        let opening = opening.ok_or_else(|| damaged(&path, "it is not the first leaf of a shard"))?;
        Ok(Some(Self { dir: dir.to_owned(), month: month.to_owned(), opening }))
    }

    /// Begins a shard.
    pub(crate) fn create(dir: &Path, month: &str, opening: Opening) -> Result<Self, AuditError> {
        let parent = folder(dir);
        let dir = parent.join(month);
        make_folder(&dir).map_err(AuditError::io("create", &dir))?;
        write_whole(&dir.join("shard"), &opening.leaf())?;
        for folder in [&dir, &parent] {
            sync_folder(folder).map_err(AuditError::io("sync", folder))?;
        }
        Ok(Self { dir, month: month.to_owned(), opening })
    }

    /// Where the newest checkpoint is.
    pub(crate) fn checkpoint_path(&self) -> PathBuf {
        self.dir.join("checkpoint")
    }

    /// Where the newest checkpoint with cosignatures is.
    pub(crate) fn cosigned_path(&self) -> PathBuf {
        self.dir.join("cosigned")
    }

    /// The newest checkpoint; `None` before the first.
    pub(crate) fn checkpoint(&self) -> Result<Option<Signed>, AuditError> {
        self.read_checkpoint(&self.checkpoint_path())
    }

    /// The newest checkpoint with cosignatures.
    pub(crate) fn cosigned(&self) -> Result<Option<Signed>, AuditError> {
        self.read_checkpoint(&self.cosigned_path())
    }

    /// Checkpoints that were kept, smallest first.
    pub(crate) fn kept(&self) -> Result<Vec<Signed>, AuditError> {
        let folder = self.dir.join("kept");
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(AuditError::io("list", &folder)(error)),
        };
        let mut kept = Vec::new();
        for entry in entries {
            let path = entry.map_err(AuditError::io("list", &folder))?.path();
            if path.extension().is_none() {
                kept.extend(self.read_checkpoint(&path)?);
            }
        }
        kept.sort_by_key(|signed| signed.checkpoint.head.size);
        Ok(kept)
    }

    fn read_checkpoint(&self, path: &Path) -> Result<Option<Signed>, AuditError> {
        let Some(bytes) = read(path, NOTE_BYTES_MAX as u64)? else { return Ok(None) };
        let signed = Signed::parse(&bytes).map_err(|error| damaged(path, &error.to_string()))?;
        if signed.checkpoint.origin != self.opening.origin {
            return Err(damaged(path, "it is of another log"));
        }
        Ok(Some(signed))
    }

    /// Keeps this checkpoint beside those that replace each other.
    pub(crate) fn keep(&self, signed: &Signed) -> Result<(), AuditError> {
        let folder = self.dir.join("kept");
        make_folder(&folder).map_err(AuditError::io("create", &folder))?;
        write_whole(&folder.join(signed.checkpoint.head.size.to_string()), signed.write().as_bytes())
    }
}

/// That a file of the tree is not what the log wrote.
pub(crate) fn damaged(path: &Path, why: &str) -> AuditError {
    Break { file: path.to_owned(), line: 0, seq: 0, what: What::Tree(why.to_owned()) }.into()
}

/// Reads a small file; `None` if it is not there.
pub(crate) fn read(path: &Path, bytes_max: u64) -> Result<Option<Vec<u8>>, AuditError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(AuditError::io("open", path)(error)),
    };
    let mut bytes = Vec::new();
    io::Read::read_to_end(&mut io::Read::take(file, bytes_max + 1), &mut bytes)
        .map_err(AuditError::io("read", path))?;
    if bytes.len() as u64 > bytes_max {
        return Err(damaged(path, "it is larger than any such file"));
    }
    Ok(Some(bytes))
}

/// Makes a folder for the owner alone, with those above it.
pub(crate) fn make_folder(dir: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

pub(crate) fn sync_folder(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Replaces a file, all or nothing, and on the disk when this returns.
pub(crate) fn write_whole(path: &Path, content: &[u8]) -> Result<(), AuditError> {
    let temporary = path.with_extension("new");
    let write = || -> io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        file.sync_data()?;
        fs::rename(&temporary, path)?;
        path.parent().map_or(Ok(()), sync_folder)
    };
    write().map_err(AuditError::io("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_shard_is_made_and_found_again_and_only_as_it_was_written() {
        let dir = tempfile::tempdir().unwrap();
        assert!(list(dir.path()).unwrap().is_empty());
        let opening = |first| Opening {
            schema: SHARD_SCHEMA.to_owned(),
            origin: "example.org/log/2026-11".to_owned(),
            first,
            previous: None,
        };
        let shard = Shard::create(dir.path(), "2026-11", opening(7)).unwrap();
        Shard::create(dir.path(), "2026-09", opening(1)).unwrap();
        fs::create_dir(folder(dir.path()).join("2026-12")).unwrap();
        fs::create_dir(folder(dir.path()).join("others")).unwrap();
        let found = list(dir.path()).unwrap();
        assert_eq!(found.len(), 2, "one without a first leaf is none");
        assert_eq!(found[1], shard);
        assert_eq!((shard.opening.seq_of(0), shard.opening.seq_of(1)), (None, Some(7)));
        assert_eq!((shard.opening.index_of(9), shard.opening.index_of(6)), (Some(3), None));
        let path = shard.dir.join("shard");
        let content = fs::read_to_string(&path).unwrap();
        fs::write(&path, content.replace(":7", ": 7")).unwrap();
        assert!(matches!(list(dir.path()), Err(AuditError::Broken(_))));
    }
}
