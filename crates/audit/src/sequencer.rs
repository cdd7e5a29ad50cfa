//! The thread that turns records into a signed tree, behind the sync and never on the way of a call.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use lockgate_crypto::note::NoteKey;
use parking_lot::{Condvar, Mutex};
use tokio::sync::watch;

use crate::error::AuditError;
use crate::tlog::checkpoint::Signed;
use crate::tree::{Sealing, Tree};

/// Records that are taken in at a time: the thread looks up in between.
const RECORDS_AT_ONCE: usize = 4096;

/// How long after a failure it is tried again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// What the tree has to do, and how it stands.
pub(crate) struct Sequencer {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    inbox: Mutex<Inbox>,
    rung: Condvar,
    standing: watch::Sender<Standing>,
}

#[derive(Default)]
struct Inbox {
    /// The last record on the disk.
    synced: u64,
    is_closing: bool,
    /// Keys that are to sign from now on.
    sealing: Option<Arc<Sealing>>,
}

/// How the tree stands.
#[derive(Clone, Debug, Default)]
pub(crate) struct Standing {
    /// The newest checkpoint.
    pub(crate) newest: Option<Arc<Signed>>,
    /// The last record that it covers.
    pub(crate) covered: u64,
    /// Who signs.
    pub(crate) keys: Vec<NoteKey>,
    /// Why there is none at the moment.
    pub(crate) problem: Option<String>,
}

impl Sequencer {
    /// Opens the tree and starts the thread. `synced` is the last record on the disk, `first` the oldest.
    pub(crate) fn start(dir: &Path, sealing: Sealing, first: u64, synced: u64) -> Result<Self, AuditError> {
        let sealing = Arc::new(sealing);
        let tree = Tree::open(dir, Arc::clone(&sealing), first)?;
        let shared = Arc::new(Shared {
            inbox: Mutex::new(Inbox { synced, ..Inbox::default() }),
            rung: Condvar::new(),
            standing: watch::Sender::new(standing(&tree, &sealing)),
        });
        let worker = Worker { shared: Arc::clone(&shared), dir: dir.to_owned(), sealing, first };
        let thread = std::thread::Builder::new()
            .name("audit-tree".to_owned())
            .spawn(move || worker.run(tree))
            .map_err(AuditError::io("start the thread that makes the tree", dir))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Says how far the log is on the disk.
    pub(crate) fn synced(&self, seq: u64) {
        self.shared.inbox.lock().synced = seq;
        self.shared.rung.notify_one();
    }

    /// Has other keys sign from now on.
    pub(crate) fn change_signers(&self, sealing: Sealing) {
        self.shared.inbox.lock().sealing = Some(Arc::new(sealing));
        self.shared.rung.notify_one();
    }

    /// How the tree stands, now and whenever that changes.
    pub(crate) fn standing(&self) -> watch::Receiver<Standing> {
        self.shared.standing.subscribe()
    }

    /// Why no tree is made at the moment.
    pub(crate) fn problem(&self) -> Option<String> {
        self.shared.standing.borrow().problem.clone()
    }
}

impl Drop for Sequencer {
    /// Takes in what is on the disk, makes a last checkpoint and ends.
    fn drop(&mut self) {
        self.shared.inbox.lock().is_closing = true;
        self.shared.rung.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic in it has been printed already.
            let _ = thread.join();
        }
    }
}

fn standing(tree: &Tree, sealing: &Sealing) -> Standing {
    let newest = tree.newest().cloned().map(Arc::new);
    let covered = tree.covered();
    let keys = sealing.signers.iter().map(|signer| signer.public().clone()).collect();
    Standing { newest, covered, keys, problem: None }
}

struct Worker {
    shared: Arc<Shared>,
    dir: PathBuf,
    sealing: Arc<Sealing>,
    first: u64,
}

/// What is to be done next.
struct Work {
    synced: u64,
    is_closing: bool,
    sealing: Option<Arc<Sealing>>,
}

impl Worker {
    fn run(mut self, tree: Tree) {
        let mut tree = Some(tree);
        let mut committed: Option<Instant> = None;
        loop {
            let has_work = |tree: &Option<Tree>, inbox: &Inbox| {
                let behind =
                    tree.as_ref().is_none_or(|tree| tree.integrated() < inbox.synced || tree.is_ahead());
                behind || inbox.is_closing || inbox.sealing.is_some()
            };
            let work = self.wait(|inbox| has_work(&tree, inbox));
            let done = self.work(&mut tree, &work, &mut committed);
            if let Err(error) = done {
                tracing::error!(%error, "the tree of the audit log cannot be written; calls are refused until it can");
                self.shared.standing.send_modify(|standing| standing.problem = Some(error.to_string()));
                if let Some(sealing) = work.sealing {
                    self.shared.inbox.lock().sealing.get_or_insert(sealing);
                }
                // Half of it may be written: from the last checkpoint on again.
                tree = None;
                if work.is_closing {
                    return;
                }
                self.pause(Instant::now() + RETRY_AFTER);
            } else if work.is_closing {
                return;
            }
        }
    }

    fn wait(&self, has_work: impl Fn(&Inbox) -> bool) -> Work {
        let mut inbox = self.shared.inbox.lock();
        while !has_work(&inbox) {
            self.shared.rung.wait(&mut inbox);
        }
        Work { synced: inbox.synced, is_closing: inbox.is_closing, sealing: inbox.sealing.take() }
    }

    /// Waits until `end`, or until the log is closed.
    fn pause(&self, end: Instant) {
        let mut inbox = self.shared.inbox.lock();
        while !inbox.is_closing && !self.shared.rung.wait_until(&mut inbox, end).timed_out() {}
    }

    fn work(
        &mut self,
        tree: &mut Option<Tree>,
        work: &Work,
        committed: &mut Option<Instant>,
    ) -> Result<(), AuditError> {
        let tree = match tree {
            Some(tree) => tree,
            None => tree.insert(Tree::open(&self.dir, Arc::clone(&self.sealing), self.first)?),
        };
        while tree.integrate(work.synced, RECORDS_AT_ONCE)? {}
        if let Some(sealing) = &work.sealing {
            tree.change_signers(Arc::clone(sealing))?;
            self.sealing = Arc::clone(sealing);
        } else {
            let due = committed.map(|at| at + Duration::from_millis(self.sealing.checkpoint_ms_min));
            if let Some(due) = due.filter(|due| *due > Instant::now() && !work.is_closing) {
                // What comes in the meantime goes into the same checkpoint.
                self.pause(due);
                let synced = self.shared.inbox.lock().synced;
                while tree.integrate(synced, RECORDS_AT_ONCE)? {}
            }
            if tree.is_ahead() {
                tree.commit()?;
            }
        }
        *committed = Some(Instant::now());
        let now = standing(tree, &self.sealing);
        self.shared.standing.send_replace(now);
        Ok(())
    }
}
