//! Cosigning logs of others (C2SP tlog-witness), so that nobody can show two histories without two signatures of a witness.
//!
//! A witness keeps, for each log, the last checkpoint that it cosigned, and cosigns only what goes on from it. It keeps it on the
//! disk, synced, before the signature leaves. What it kept bears its own signature, so that a changed file is no state; and
//! its node records in its own log, now and then, how far it was (the `floor` of [`Witness::open`]), so that files that were put back are not
//! signed on from either.

mod asking;
mod seen;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lockgate_crypto::digest::{hex, sha256};
use lockgate_crypto::note::{NoteKey, Signs};
use parking_lot::Mutex;

use crate::error::AuditError;
use crate::shard::{self, read, write_whole};
use crate::tlog::checkpoint::{Signed, Signer};
use crate::tlog::merkle::is_consistent;
use crate::tlog::note::{Line, NOTE_BYTES_MAX};
use crate::tlog::witness::AddCheckpoint;

pub use asking::{Answered, cosign_request, keep_cosigned, newest_checkpoint};
pub use seen::{Compared, SHOWN_BYTES_MAX, Seen, Shown, is_beginning, is_not_before};

/// Most origins of one log: its name, and a month each for eighty years.
const ORIGINS_MAX: usize = 1000;

/// Most forks that are kept as evidence; the first ones say it all.
const FORKS_MAX: usize = 64;

/// Seconds between two records of the same log.
const TOLD_S_MIN: u64 = 60;

/// Method of the record that a witness leaves of how far it was.
pub const COSIGNED: &str = "witness/cosigned";

/// Keys of the logs that may be cosigned, and those that cosign.
#[derive(Clone, Debug, Default)]
pub struct Roles {
    /// Keys of logs, one of which must have signed a checkpoint. The name of a key is the name of its log.
    pub logs: Vec<NoteKey>,
    /// Who cosigns.
    pub signers: Vec<Signer>,
    /// Keys of this witness that sign no more: what it kept may bear theirs.
    pub retired: Vec<NoteKey>,
}

/// What becomes of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is cosigned, by these lines.
    Cosigned {
        /// The log.
        origin: String,
        /// Leaves of its tree.
        size: u64,
        /// The answer.
        lines: String,
    },
    /// The body is no request, or its old size is above that of its checkpoint.
    Malformed(String),
    /// The log is none of those that are witnessed.
    Unknown,
    /// No trusted key of the log signed the checkpoint.
    Untrusted,
    /// The witness is at another size than the request says.
    Elsewhere {
        /// Leaves of the tree that it cosigned last.
        size: u64,
    },
    /// The log signed two trees of the same size.
    Forked {
        /// The log.
        origin: String,
        /// Leaves of both trees.
        size: u64,
    },
    /// The proof does not show that the checkpoint goes on from the one that was cosigned.
    Unproven {
        /// The log.
        origin: String,
        /// Leaves of the tree that was cosigned.
        size: u64,
    },
    /// The witness cannot vouch for anything of this log at the moment.
    Unable(String),
}

impl Outcome {
    /// HTTP status, type and body, as the standard has them.
    #[must_use]
    pub fn answer(&self) -> (u16, &'static str, String) {
        const TEXT: &str = "text/plain; charset=utf-8";
        let said = |status, text: &str| (status, TEXT, format!("{text}\n"));
        match self {
            Self::Cosigned { lines, .. } => (200, TEXT, lines.clone()),
            Self::Malformed(why) => said(400, why),
            Self::Unknown => said(404, "this log is not witnessed here"),
            Self::Untrusted => said(403, "no key that is trusted for this log has signed the checkpoint"),
            Self::Elsewhere { size } | Self::Forked { size, .. } => {
                (409, "text/x.tlog.size", format!("{size}\n"))
            }
            Self::Unproven { .. } => said(422, "the proof does not lead from the cosigned tree to this one"),
            Self::Unable(why) => said(503, why),
        }
    }
}

/// A log that is witnessed, as far as it was cosigned.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Witnessed {
    /// The log and its month.
    pub origin: String,
    /// Leaves of the tree that was cosigned last.
    pub size: u64,
    /// Its root, lower-case hex.
    pub root: String,
    /// When, Unix seconds.
    pub time_s: Option<u64>,
}

/// Cosigns. One for a folder; requests are taken one at a time.
#[derive(Debug)]
pub struct Witness {
    dir: PathBuf,
    work: Mutex<Work>,
}

#[derive(Debug)]
struct Work {
    roles: Arc<Roles>,
    /// What was cosigned last, as it is on the disk.
    held: HashMap<String, Signed>,
    /// How far this witness is known to have been.
    floor: HashMap<String, u64>,
    /// When something of a log was told last, and how often.
    told: HashMap<(String, bool), u64>,
}

impl Witness {
    /// A witness that keeps its state in `dir`. `floor` is how far it is known to have been, by log: whatever it finds of less
    /// was put back.
    ///
    /// # Errors
    /// [`AuditError::Io`] if the folder cannot be made.
    pub fn open(dir: &Path, roles: Roles, floor: HashMap<String, u64>) -> Result<Self, AuditError> {
        shard::make_folder(dir).map_err(AuditError::io("create", dir))?;
        let work = Work { roles: Arc::new(roles), held: HashMap::new(), floor, told: HashMap::new() };
        Ok(Self { dir: dir.to_owned(), work: Mutex::new(work) })
    }

    /// Witnesses these logs from now on, by these keys.
    pub fn change(&self, roles: Roles) {
        self.work.lock().roles = Arc::new(roles);
    }

    /// Judges a request, made at `now_s` Unix seconds. Blocks for the disk.
    pub fn add(&self, body: &[u8], now_s: u64) -> Outcome {
        let request = match AddCheckpoint::parse(body) {
            Ok(request) => request,
            Err(error) => return Outcome::Malformed(error.to_string()),
        };
        let roles = Arc::clone(&self.work.lock().roles);
        let origin = request.signed.checkpoint.origin.as_str();
        let keys: Vec<&NoteKey> = roles.logs.iter().filter(|key| is_of(origin, key.name())).collect();
        if keys.is_empty() {
            return Outcome::Unknown;
        }
        // What is costly before what is exclusive: strangers can ask for the one, and only the log for the other.
        if !keys.iter().any(|key| request.signed.verify(key).is_ok()) {
            return Outcome::Untrusted;
        }
        let size = request.signed.checkpoint.head.size;
        if request.old > size {
            return Outcome::Malformed("its old size is above that of its checkpoint".to_owned());
        }
        // Held until the state is on the disk: between the look and the write nobody else may look.
        let mut work = self.work.lock();
        work.add(&self.dir, &request, now_s).unwrap_or_else(|outcome| outcome)
    }

    /// Whether this is to be recorded: how far a log was cosigned, and what is wrong with one, once a minute each.
    pub fn is_to_be_told(&self, outcome: &Outcome, now_s: u64) -> bool {
        let (origin, is_good) = match outcome {
            Outcome::Cosigned { origin, .. } => (origin, true),
            Outcome::Forked { origin, .. } | Outcome::Unproven { origin, .. } => (origin, false),
            _ => return false,
        };
        let mut work = self.work.lock();
        let told = work.told.entry((origin.clone(), is_good)).or_default();
        let is_due = now_s.saturating_sub(*told) >= TOLD_S_MIN;
        if is_due {
            *told = now_s;
        }
        is_due
    }

    /// The logs that were cosigned, as the folder `dir` has them. What is damaged is left out and its path given.
    ///
    /// # Errors
    /// [`AuditError::Io`] if the folder cannot be read.
    pub fn list(dir: &Path) -> Result<(Vec<Witnessed>, Vec<PathBuf>), AuditError> {
        let (mut all, mut damaged) = (Vec::new(), Vec::new());
        let entries = match std::fs::read_dir(dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok((all, damaged)),
            Err(error) => return Err(AuditError::io("list", dir)(error)),
        };
        for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.extension().is_none()) {
            if path.is_dir() {
                continue;
            }
            let bytes = read(&path, NOTE_BYTES_MAX as u64)?.unwrap_or_default();
            let signed = Signed::parse(&bytes).ok();
            match signed.filter(|signed| path_of(dir, &signed.checkpoint.origin) == path) {
                Some(signed) => all.push(Witnessed::of(&signed)),
                None => damaged.push(path),
            }
        }
        all.sort_by(|one, two| one.origin.cmp(&two.origin));
        Ok((all, damaged))
    }
}

impl Witnessed {
    fn of(signed: &Signed) -> Self {
        let head = signed.checkpoint.head;
        // The lines of the witness come last.
        let time = signed.lines.last().and_then(|line| line.signature.first_chunk::<8>());
        Self {
            origin: signed.checkpoint.origin.clone(),
            size: head.size,
            root: hex(&head.root),
            time_s: time.map(|time| u64::from_be_bytes(*time)),
        }
    }
}

/// Whether this is the log of that name: the name, or a month of ours.
fn is_of(origin: &str, name: &str) -> bool {
    origin == name
        || origin.strip_prefix(name).and_then(|rest| rest.strip_prefix('/')).is_some_and(shard::is_month)
}

fn path_of(dir: &Path, origin: &str) -> PathBuf {
    dir.join(&hex(&sha256(origin.as_bytes()))[..32])
}

impl Work {
    fn add(&mut self, dir: &Path, request: &AddCheckpoint, now_s: u64) -> Result<Outcome, Outcome> {
        let (origin, new) = (request.signed.checkpoint.origin.clone(), request.signed.checkpoint.head);
        let held = self.held(dir, &origin)?;
        let size = held.as_ref().map_or(0, |held| held.checkpoint.head.size);
        if let Some(held) = &held
            && new.size == size
            && new.root != held.checkpoint.head.root
        {
            keep_fork(dir, held, &request.signed);
            return Err(Outcome::Forked { origin, size });
        }
        if request.old != size {
            return Err(Outcome::Elsewhere { size });
        }
        let goes_on = match &held {
            Some(held) => is_consistent(&held.checkpoint.head, &new, &request.proof),
            None => request.proof.is_empty(),
        };
        if !goes_on {
            return Err(Outcome::Unproven { origin, size });
        }
        let before_s = held.as_ref().and_then(|held| Witnessed::of(held).time_s).unwrap_or(0);
        // Never a time before one that was signed: the clock may have gone back, the witness has not.
        let lines = self.sign(&request.signed, now_s.max(before_s))?;
        let is_trusted = |line: &&Line| {
            let is_own = lines.iter().any(|own| own.id == line.id);
            !is_own && self.roles.logs.iter().any(|key| key.name() == line.name && key.id() == line.id)
        };
        let trusted = request.signed.lines.iter().filter(is_trusted);
        let signed = Signed {
            checkpoint: request.signed.checkpoint.clone(),
            // Whoever asked may have put any line under it, also one that claims to be of this witness.
            lines: trusted.chain(&lines).cloned().collect(),
        };
        // Whatever a failed write left is read again before the next one.
        self.held.remove(&origin);
        write_whole(&path_of(dir, &origin), signed.write().as_bytes())
            .map_err(|error| Outcome::Unable(format!("the state cannot be kept: {error}")))?;
        self.held.insert(origin.clone(), signed);
        Ok(Outcome::Cosigned { origin, size: new.size, lines: lines.iter().map(Line::write).collect() })
    }

    fn sign(&self, signed: &Signed, time_s: u64) -> Result<Vec<Line>, Outcome> {
        let unable = |why: String| Outcome::Unable(format!("nothing can be signed: {why}"));
        let timed = self.roles.signers.iter().filter(|signer| signer.public().signs() != Signs::Text);
        let lines = timed.map(|signer| signer.sign(&signed.checkpoint, time_s));
        let lines: Vec<Line> = lines.collect::<Result<_, _>>().map_err(|error| unable(error.to_string()))?;
        if lines.is_empty() { Err(unable("there is no key for it".to_owned())) } else { Ok(lines) }
    }

    /// What was cosigned last of this log.
    fn held(&mut self, dir: &Path, origin: &str) -> Result<Option<Signed>, Outcome> {
        if let Some(held) = self.held.get(origin) {
            return Ok(Some(held.clone()));
        }
        let path = path_of(dir, origin);
        let unable = |why: &str| {
            Outcome::Unable(format!(
                "the state of this witness in {} {why}; so that it vouches for nothing else than before, it does not go on: \
                 put it back, or give this node new keys (lockgate audit key --rotate) and remove it",
                path.display()
            ))
        };
        let bytes = read(&path, NOTE_BYTES_MAX as u64).map_err(|error| Outcome::Unable(error.to_string()))?;
        let held = match bytes {
            Some(bytes) => Some(self.own(origin, &bytes).ok_or_else(|| unable("is damaged"))?),
            None => None,
        };
        let size = held.as_ref().map_or(0, |held| held.checkpoint.head.size);
        if self.floor.get(origin).is_some_and(|floor| size < *floor) {
            return Err(unable("was put back: its own log says that it had been further"));
        }
        if held.is_none() && is_crowded(dir) {
            return Err(Outcome::Unable(format!("more than {ORIGINS_MAX} logs are witnessed")));
        }
        self.held.extend(held.iter().map(|held| (origin.to_owned(), held.clone())));
        Ok(held)
    }

    /// What this witness wrote of the log, if that is it.
    fn own(&self, origin: &str, bytes: &[u8]) -> Option<Signed> {
        let signed = Signed::parse(bytes).ok().filter(|signed| signed.checkpoint.origin == origin)?;
        let mut own = self.roles.signers.iter().map(Signer::public).chain(&self.roles.retired);
        own.any(|key| signed.verify(key).is_ok()).then_some(signed)
    }
}

fn is_crowded(dir: &Path) -> bool {
    std::fs::read_dir(dir).is_ok_and(|entries| entries.count() > ORIGINS_MAX)
}

/// Keeps both signed checkpoints: together they prove that the log has two histories.
fn keep_fork(dir: &Path, held: &Signed, other: &Signed) {
    let folder = dir.join("forks");
    let name = hex(&sha256(other.checkpoint.text().as_bytes()))[..32].to_owned();
    let count = std::fs::read_dir(&folder).map_or(0, |entries| entries.count());
    if count >= FORKS_MAX {
        return;
    }
    let keep = || -> Result<(), AuditError> {
        shard::make_folder(&folder).map_err(AuditError::io("create", &folder))?;
        let both = format!("{}\n{}", held.write(), other.write());
        write_whole(&folder.join(name), both.as_bytes())
    };
    if let Err(error) = keep() {
        tracing::error!(%error, "two histories of a log were seen, and the evidence cannot be kept");
    }
}
