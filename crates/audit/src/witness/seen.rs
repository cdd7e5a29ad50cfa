//! What peers have seen of each other's logs: each link tells, and two histories show where two peers are shown different ones.
//!
//! A peer keeps the largest checkpoint of each log that it saw. When it comes again it shows that one; the log answers with a
//! checkpoint of now and the proof that the one is the beginning of the other. Each end judges for itself.

use std::path::{Path, PathBuf};

use lockgate_crypto::note::NoteKey;
use serde::{Deserialize, Serialize};

use super::{keep_fork, newest_checkpoint, path_of};
use crate::error::AuditError;
use crate::prove::prove_growth;
use crate::shard::{self, read, write_whole};
use crate::tiles::TileFolder;
use crate::tlog::TlogError;
use crate::tlog::checkpoint::Signed;
use crate::tlog::merkle::{is_consistent, root};
use crate::tlog::note::NOTE_BYTES_MAX;
use crate::tlog::tile::TiledTree;
use crate::tlog::witness::AddCheckpoint;

/// Longest answer of a log to a peer, in bytes.
pub const SHOWN_BYTES_MAX: usize = 512 << 10;

/// Logs and months of which a peer keeps what it saw.
const KEPT_MAX: usize = 240;

/// What a log shows of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Shown {
    /// [`Shown::SCHEMA`].
    pub schema: String,
    /// The keys that sign, as verifier keys.
    pub keys: Vec<String>,
    /// The newest checkpoint of the month that the peer had seen, and of the newest month, each with its proof
    /// ([`AddCheckpoint`]).
    pub checkpoints: Vec<String>,
}

impl Shown {
    /// Name and version of the format.
    pub const SCHEMA: &'static str = "lockgate.checkpoints/1";

    /// What the log in `dir` shows a peer that has seen `seen`; none before its first checkpoint.
    ///
    /// # Errors
    /// [`AuditError`] if the tree cannot be read.
    pub fn of(dir: &Path, keys: &[NoteKey], seen: Option<&Signed>) -> Result<Option<Self>, AuditError> {
        let Some(newest) = newest_checkpoint(dir)? else { return Ok(None) };
        let mut checkpoints = Vec::new();
        if let Some(seen) = seen {
            let shards = shard::list(dir)?;
            let shard = shards.iter().find(|shard| shard.opening.origin == seen.checkpoint.origin);
            if let Some(signed) = shard.map(|shard| shard.checkpoint()).transpose()?.flatten() {
                let (old, head) = (seen.checkpoint.head.size, signed.checkpoint.head);
                let proof = prove_growth(dir, &signed.checkpoint.origin, old.min(head.size), &head)?;
                let proof = proof.unwrap_or_default();
                checkpoints.push(AddCheckpoint { old, proof, signed });
            }
        }
        if checkpoints.iter().all(|shown| shown.signed.checkpoint.origin != newest.checkpoint.origin) {
            checkpoints.push(AddCheckpoint { old: 0, proof: Vec::new(), signed: newest });
        }
        Ok(Some(Self {
            schema: Self::SCHEMA.to_owned(),
            keys: keys.iter().map(ToString::to_string).collect(),
            checkpoints: checkpoints.iter().map(AddCheckpoint::write).collect(),
        }))
    }
}

/// Whether a checkpoint that a peer saw, and that a key of this log signed, is a beginning of the log in `dir`. `Ok(None)` if it was
/// signed by none of the keys, so that nothing follows from it.
///
/// # Errors
/// [`AuditError`] if the tree cannot be read.
pub fn is_beginning(dir: &Path, keys: &[NoteKey], seen: &Signed) -> Result<Option<bool>, AuditError> {
    if !keys.iter().any(|key| seen.verify(key).is_ok()) {
        return Ok(None);
    }
    let head = seen.checkpoint.head;
    let shards = shard::list(dir)?;
    let Some(shard) = shards.iter().find(|shard| shard.opening.origin == seen.checkpoint.origin) else {
        // Months may be dropped from the front; one after the last was never signed by this log as it is.
        let newest = shards.last().map(|shard| shard.opening.origin.as_str());
        return Ok(Some(newest.is_some_and(|newest| seen.checkpoint.origin.as_str() < newest)));
    };
    let size = shard.checkpoint()?.map_or(0, |signed| signed.checkpoint.head.size);
    if head.size > size {
        return Ok(Some(false));
    }
    let tiles = TileFolder::new(&shard.dir, size);
    Ok(Some(root(&TiledTree(&tiles), head.size)? == head.root))
}

/// Whether this month is there or younger than those that are: old ones are taken away, new ones are not.
#[must_use]
pub fn is_not_before(dir: &Path, seen: &Signed) -> bool {
    let shards = shard::list(dir).unwrap_or_default();
    shards.first().is_none_or(|first| seen.checkpoint.origin >= first.opening.origin)
}

/// What came of comparing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Compared {
    /// The log, or this month of it, was not seen before.
    First,
    /// It is as it was, or has grown.
    GoesOn,
    /// It is smaller than it was, or other than it was: this says how.
    Differs(String),
}

/// What one peer saw of a log.
#[derive(Clone, Debug)]
pub struct Seen {
    dir: PathBuf,
}

impl Seen {
    /// Kept in this folder, which is made when there is something to keep.
    #[must_use]
    pub fn at(dir: &Path) -> Self {
        Self { dir: dir.to_owned() }
    }

    /// The checkpoint of the newest month; none before the first.
    ///
    /// # Errors
    /// [`AuditError::Io`] if the folder cannot be read.
    pub fn newest(&self) -> Result<Option<Signed>, AuditError> {
        Ok(self.all()?.pop())
    }

    /// All that was seen, oldest month first. What is damaged is left out.
    ///
    /// # Errors
    /// [`AuditError::Io`] if the folder cannot be read.
    pub fn all(&self) -> Result<Vec<Signed>, AuditError> {
        let entries = match std::fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(AuditError::io("list", &self.dir)(error)),
        };
        let mut all = Vec::new();
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()) {
            let bytes = read(&path, NOTE_BYTES_MAX as u64)?.unwrap_or_default();
            let signed = Signed::parse(&bytes).ok();
            all.extend(signed.filter(|signed| path_of(&self.dir, &signed.checkpoint.origin) == path));
        }
        all.sort_by(|one, two| one.checkpoint.origin.cmp(&two.checkpoint.origin));
        Ok(all)
    }

    /// Keeps a checkpoint that others showed, if it is larger than what is kept. Whether it may be believed is for the caller.
    ///
    /// # Errors
    /// [`AuditError`] if it cannot be kept.
    pub fn remember(&self, signed: &Signed) -> Result<(), AuditError> {
        let path = path_of(&self.dir, &signed.checkpoint.origin);
        let kept = read(&path, NOTE_BYTES_MAX as u64)?.and_then(|bytes| Signed::parse(&bytes).ok());
        let size = kept.map_or(0, |kept| kept.checkpoint.head.size);
        if signed.checkpoint.head.size > size { self.keep(&path, signed) } else { Ok(()) }
    }

    /// How often the log differed from what was seen: so many proofs of it are kept.
    #[must_use]
    pub fn differences(&self) -> usize {
        std::fs::read_dir(self.dir.join("forks")).map_or(0, |entries| entries.count())
    }

    /// Compares what a log shows with what was seen, and keeps the larger of the two.
    ///
    /// # Errors
    /// [`AuditError::Tlog`] if it is not signed by the keys that it names, or is none; [`AuditError::Io`] if it cannot be kept.
    pub fn compare(&self, shown: &Shown) -> Result<Compared, AuditError> {
        let wrong = |why| crate::tlog::malformed("what the log shows", why);
        if shown.schema != Shown::SCHEMA || shown.checkpoints.len() > 2 {
            return Err(wrong("it is of another format").into());
        }
        let keys = shown.keys.iter().filter_map(|key| NoteKey::parse(key).ok());
        let keys: Vec<NoteKey> = keys.collect();
        let mut compared = Compared::GoesOn;
        for text in &shown.checkpoints {
            let shown = AddCheckpoint::parse(text.as_bytes())?;
            let is_signed = keys.iter().any(|key| shown.signed.verify(key).is_ok());
            is_signed.then_some(()).ok_or_else(|| TlogError::Unsigned {
                what: "checkpoint",
                key: keys.first().map_or_else(String::new, |key| key.name().to_owned()),
            })?;
            match self.compare_one(&shown)? {
                Compared::GoesOn => {}
                other => compared = other,
            }
            if matches!(compared, Compared::Differs(_)) {
                break;
            }
        }
        Ok(compared)
    }

    fn compare_one(&self, shown: &AddCheckpoint) -> Result<Compared, AuditError> {
        let origin = &shown.signed.checkpoint.origin;
        let path = path_of(&self.dir, origin);
        let bytes = read(&path, NOTE_BYTES_MAX as u64)?;
        let seen = bytes.map(|bytes| Signed::parse(&bytes)).transpose()?;
        let new = shown.signed.checkpoint.head;
        let Some(seen) = seen else {
            self.keep(&path, &shown.signed)?;
            return Ok(Compared::First);
        };
        let old = seen.checkpoint.head;
        let differs = |how: String| {
            keep_fork(&self.dir, &seen, &shown.signed);
            Ok(Compared::Differs(how))
        };
        if new.size < old.size {
            return differs(format!(
                "{origin} had {} leaves and has {}: its end is gone",
                old.size, new.size
            ));
        }
        if new.size == old.size && new.root != old.root {
            return differs(format!("{origin} has two histories of {} leaves", old.size));
        }
        // An answer to somebody who had seen less, as after the folder was put back here.
        let proof_is_ours = shown.old == old.size || new == old;
        if !proof_is_ours {
            return Ok(Compared::GoesOn);
        }
        if new != old && !is_consistent(&old, &new, &shown.proof) {
            return differs(format!("{origin} does not go on from the {} leaves that it had", old.size));
        }
        if new != old {
            self.keep(&path, &shown.signed)?;
        }
        Ok(Compared::GoesOn)
    }

    fn keep(&self, path: &Path, signed: &Signed) -> Result<(), AuditError> {
        shard::make_folder(&self.dir).map_err(AuditError::io("create", &self.dir))?;
        let count = std::fs::read_dir(&self.dir).map_or(0, |entries| entries.count());
        if count >= KEPT_MAX && !path.exists() {
            return Ok(());
        }
        write_whole(path, signed.write().as_bytes())
    }
}
