//! An open log: append, and know when it is on the disk.

use std::fs::File;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use parking_lot::{Condvar, Mutex, MutexGuard};
use tokio::sync::watch;

use crate::error::AuditError;
use crate::head::HeadFile;
use crate::line::{self, LineHash};
use crate::open::{self, End};
use crate::record::{Kind, Outcome, Record};
use crate::room::{FREE_BYTES_MIN, Room};
use crate::segment;
use crate::sequencer::{Sequencer, Standing};
use crate::state::LogState;
use crate::tlog::checkpoint::Signer;
use crate::tree::Sealing;
use crate::writer::{Batch, Writer};

/// How a log is kept.
#[derive(Clone, Debug)]
pub struct Options {
    /// A segment that would grow beyond this many bytes is closed and the next one begun. 64 MiB by default: small
    /// enough to copy and to check on its own, large enough that a busy day is a few hundred files.
    pub segment_bytes_max: u64,
    /// A record waits at most this long, in milliseconds, until a sync to the disk begins. 3 by default: with the one or
    /// two that the sync itself takes on a solid-state disk, a record is on the disk within 5.
    pub sync_ms_max: u64,
    /// How records become a signed tree. Without it there is only the chain.
    pub sealing: Option<Sealing>,
}

impl Default for Options {
    fn default() -> Self {
        Self { segment_bytes_max: 64 << 20, sync_ms_max: 3, sealing: None }
    }
}

/// When a record's sync begins. Either way the record has been handed to the operating system when
/// [`Log::append`] returns, and so survives the end of this process, however it ends.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// With its group, within [`Options::sync_ms_max`]. A power cut may take the records of that time.
    #[default]
    Grouped,
    /// At once; whoever needs the record to survive a power cut before going on waits with [`Log::synced`].
    Durable,
}

/// Says that a record was written, and which one it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Receipt {
    seq: u64,
    prev: LineHash,
}

impl Receipt {
    /// The record's number in the log, from 1.
    pub fn seq(&self) -> u64 {
        self.seq
    }

    /// The `uid` of the record's event, for records that refer to it.
    pub fn uid(&self) -> String {
        line::uid(self.prev.as_str(), self.seq)
    }
}

/// A log that is open for writing, by this process alone. Closing it (dropping the last handle) syncs it.
pub struct Log {
    shared: Arc<Shared>,
    syncer: Option<JoinHandle<()>>,
    room: Room,
    dir: PathBuf,
    _lock: File,
}

struct Shared {
    writer: Mutex<Writer>,
    /// Rung when the syncer has something to do.
    work: Condvar,
    progress: watch::Sender<Progress>,
    tree: Option<Sequencer>,
}

/// How far the disk has it.
#[derive(Clone, Copy)]
struct Progress {
    synced: u64,
    is_failed: bool,
}

impl Log {
    /// Opens the log in `dir`, which is created (mode 0700) where it is not there, and goes on where its chain ends.
    ///
    /// A last line that a power cut left half written is cut off, and the first new record says so.
    ///
    /// # Errors
    /// [`AuditError::Locked`] when another process has it open, [`AuditError::Permissions`] when others can reach the
    /// directory, [`AuditError::Broken`] when its end is damaged or missing (move the directory away as evidence, and a
    /// new log begins), [`AuditError::Io`] otherwise.
    pub fn open(dir: &Path, options: Options) -> Result<Arc<Self>, AuditError> {
        open::private_directory(dir)?;
        let lock = open::lock(dir)?;
        let end = open::recover(dir)?;
        let disk = Disk::open(dir)?;
        let mut writer = Writer::new(dir.to_owned(), options.segment_bytes_max, &end)?;
        for note in notes(&end) {
            let now = Timestamp::now();
            writer.append(&line::body(&note, now), now)?;
        }
        disk.sync(&writer.take_batch()).map_err(AuditError::io("sync", dir))?;
        let synced = writer.at().seq;
        let first = segment::list(dir)?.first().map_or(synced + 1, |segment| segment.first);
        let start = |sealing| Sequencer::start(dir, sealing, first, synced);
        let tree = options.sealing.map(start).transpose()?;
        let shared = Arc::new(Shared {
            progress: watch::Sender::new(Progress { synced, is_failed: false }),
            writer: Mutex::new(writer),
            work: Condvar::new(),
            tree,
        });
        let file = lock.try_clone().map_err(AuditError::io("open", dir))?;
        let room = Room::new(dir, file, FREE_BYTES_MIN);
        let delay = Duration::from_millis(options.sync_ms_max);
        let of_syncer = shared.clone();
        let syncer = std::thread::Builder::new()
            .name("audit-sync".to_owned())
            .spawn(move || of_syncer.sync_until_closed(&disk, delay))
            .map_err(AuditError::io("start the thread that syncs", dir))?;
        Ok(Arc::new(Self { shared, syncer: Some(syncer), room, dir: dir.to_owned(), _lock: lock }))
    }

    /// Appends one record. When this returns, the record survives the end of the process, `kill -9` included.
    ///
    /// Costs one `write(2)`; safe to call from async code.
    ///
    /// # Errors
    /// [`AuditError::Unavailable`] when the record could not be written. No part of it stays behind, and what the record
    /// was to prove must not happen. The next append tries again, and when it succeeds a record of kind `lifecycle`
    /// before it says how many were refused.
    pub fn append(&self, record: &Record<'_>, durability: Durability) -> Result<Receipt, AuditError> {
        let now = Timestamp::now();
        let body = line::body(record, now);
        let mut writer = self.shared.writer.lock();
        let had_work = writer.pending.since.is_some();
        let written = writer.append(&body, now)?;
        let is_news = durability == Durability::Durable && !writer.pending.is_urgent;
        writer.pending.is_urgent |= is_news;
        drop(writer);
        if is_news || !had_work {
            self.shared.work.notify_one();
        }
        Ok(Receipt { seq: written.seq, prev: written.prev })
    }

    /// Waits until the record is on the disk.
    ///
    /// # Errors
    /// [`AuditError::Unavailable`] when a sync failed: whether the record is on the disk is not known.
    pub async fn synced(&self, receipt: &Receipt) -> Result<(), AuditError> {
        let mut progress = self.shared.progress.subscribe();
        let reached = progress
            .wait_for(|progress| progress.is_failed || progress.synced >= receipt.seq)
            .await
            .map(|progress| progress.synced >= receipt.seq);
        match reached {
            Ok(true) => Ok(()),
            Ok(false) | Err(_) => Err(self.shared.writer.lock().unavailable()),
        }
    }

    /// Appends one record and, for [`Durability::Durable`], waits until it is on the disk.
    ///
    /// # Errors
    /// Those of [`Log::append`] and [`Log::synced`].
    pub async fn record(&self, record: &Record<'_>, durability: Durability) -> Result<Receipt, AuditError> {
        let receipt = self.append(record, durability)?;
        if durability == Durability::Durable {
            self.synced(&receipt).await?;
        }
        Ok(receipt)
    }

    /// Waits until everything appended so far is on the disk.
    ///
    /// # Errors
    /// Those of [`Log::synced`].
    pub async fn flush(&self) -> Result<(), AuditError> {
        let at = {
            let mut writer = self.shared.writer.lock();
            writer.pending.is_urgent = writer.pending.since.is_some();
            writer.at()
        };
        self.shared.work.notify_one();
        self.synced(&Receipt { seq: at.seq, prev: at.hash }).await
    }

    /// Number of the last record that is known to be on the disk.
    pub fn on_disk(&self) -> u64 {
        self.shared.progress.borrow().synced
    }

    /// Whether records can be written, and the disk has room for those of the calls under way
    /// ([`FREE_BYTES_MIN`]): to be asked before anything is done that must leave a record. After a failed write this tries to recover, so that a node that is
    /// asked for its health comes back without a call.
    ///
    /// # Errors
    /// [`AuditError::Unavailable`] with the cause and what to do.
    pub fn available(&self) -> Result<(), AuditError> {
        let mut writer = self.shared.writer.lock();
        let had_work = writer.pending.since.is_some();
        writer.recover()?;
        let has_work = writer.pending.since.is_some();
        drop(writer);
        if has_work && !had_work {
            self.shared.work.notify_one();
        }
        if let Some(cause) = self.shared.tree.as_ref().and_then(Sequencer::problem) {
            let hint = "see to the disk: calls go on by themselves once a checkpoint can be made";
            return Err(AuditError::Unavailable { dir: self.dir.clone(), cause, hint });
        }
        self.room.check()
    }

    /// What is signed of the log, by whom, and how far.
    pub fn state(&self) -> LogState {
        let standing = self.shared.tree.as_ref().map(|tree| tree.standing().borrow().clone());
        LogState::of(self.head(), standing)
    }

    /// Waits until a checkpoint covers the record; at once where nothing is sealed.
    ///
    /// # Errors
    /// [`AuditError::Unavailable`] when the log is closed meanwhile.
    pub async fn covered(&self, receipt: &Receipt) -> Result<(), AuditError> {
        let Some(tree) = &self.shared.tree else { return Ok(()) };
        let mut standing = tree.standing();
        let reached = standing.wait_for(|standing| standing.covered >= receipt.seq).await.map(drop);
        reached.map_err(|_| self.shared.writer.lock().unavailable())
    }

    /// Waits until the newest checkpoint is signed by these keys; at once where nothing is sealed.
    ///
    /// # Errors
    /// [`AuditError::Unavailable`] when the log is closed meanwhile.
    pub async fn signed_by(&self, signers: &[Signer]) -> Result<(), AuditError> {
        let Some(tree) = &self.shared.tree else { return Ok(()) };
        let mut standing = tree.standing();
        let is_signed = |standing: &Standing| {
            let newest = standing.newest.as_deref();
            newest.is_some_and(|signed| signers.iter().all(|signer| signed.verify(signer.public()).is_ok()))
        };
        let reached = standing.wait_for(is_signed).await.map(drop);
        reached.map_err(|_| self.shared.writer.lock().unavailable())
    }

    /// Has other keys sign checkpoints from now on. One checkpoint is signed by the old and the new ones, and kept. Say so
    /// in a record before.
    pub fn change_signers(&self, sealing: Sealing) {
        if let Some(tree) = &self.shared.tree {
            tree.change_signers(sealing);
        }
    }

    /// Where it is.
    pub fn dir(&self) -> &Path {
        &self.dir
    }

    /// Number and hash (SHA-256 in lower-case hex) of the last record written.
    pub fn head(&self) -> (u64, String) {
        let at = self.shared.writer.lock().at();
        (at.seq, at.hash.as_str().to_owned())
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        self.shared.writer.lock().pending.is_closing = true;
        self.shared.work.notify_one();
        if let Some(syncer) = self.syncer.take() {
            // It ends after a last sync; a panic in it has been printed already.
            let _ = syncer.join();
        }
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Log").field("head", &self.head()).finish()
    }
}

/// What the first new records have to say about the log that was found.
fn notes(end: &End) -> Vec<Record<'static>> {
    let note = |reason: &'static str, count| Record {
        reason: Some(reason.into()),
        count,
        ..Record::new(Kind::Lifecycle, Outcome::Failed)
    };
    let mut notes = Vec::new();
    if end.torn_bytes > 0 {
        let reason = "the log ended in an incomplete record; its bytes were cut off";
        notes.push(note(reason, Some(end.torn_bytes)));
    }
    if end.is_head_lost {
        let reason = "the head file was gone: records before this one may be missing";
        notes.push(note(reason, None));
    }
    notes
}

impl Shared {
    fn sync_until_closed(&self, disk: &Disk, delay: Duration) {
        let mut writer = self.writer.lock();
        loop {
            let Some(since) = writer.pending.since else {
                if writer.pending.is_closing {
                    return;
                }
                self.work.wait(&mut writer);
                continue;
            };
            self.gather(&mut writer, since + delay);
            let batch = writer.take_batch();
            let synced = MutexGuard::unlocked(&mut writer, || disk.sync(&batch));
            if let Err(error) = &synced {
                tracing::error!(%error, "the audit log cannot be synced; calls are refused from now on");
                writer.sync_failed(error);
            }
            if let (Ok(()), Some(tree)) = (&synced, &self.tree) {
                tree.synced(batch.head.seq);
            }
            self.progress.send_modify(|progress| match synced {
                Ok(()) => progress.synced = batch.head.seq,
                Err(_) => progress.is_failed = true,
            });
            if synced.is_err() {
                return;
            }
        }
    }

    /// Lets records come together until `deadline`, or until somebody waits for the disk.
    fn gather(&self, writer: &mut MutexGuard<'_, Writer>, deadline: Instant) {
        while !writer.pending.is_urgent && !writer.pending.is_closing {
            if self.work.wait_until(writer, deadline).timed_out() {
                return;
            }
        }
    }
}

/// The files that a sync touches besides the segments.
struct Disk {
    directory: File,
    head: HeadFile,
    path: PathBuf,
}

impl Disk {
    fn open(dir: &Path) -> Result<Self, AuditError> {
        Ok(Self {
            directory: File::open(dir).map_err(AuditError::io("open", dir))?,
            head: HeadFile::open(dir)?,
            path: dir.to_owned(),
        })
    }

    fn sync(&self, batch: &Batch) -> io::Result<()> {
        for file in &batch.files {
            file.sync_data()?;
            if file.metadata()?.nlink() == 0 {
                let what = "a file of the log was deleted while it was being written";
                return Err(io::Error::new(io::ErrorKind::NotFound, what));
            }
        }
        if batch.is_directory_changed {
            self.directory.sync_all()?;
        }
        // Behind the sync, so that the head never promises more than there is. Without it the log is whole but a missing
        // end would go unnoticed, which is no reason to stop.
        if let Err(error) = self.head.write(&batch.head) {
            tracing::warn!(dir = %self.path.display(), %error, "the head file of the audit log cannot be written");
        }
        Ok(())
    }
}
