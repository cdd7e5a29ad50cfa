//! The task that owns a child's process: it stops it by stages, reaps it, and tells how it ended.

use std::fmt;
use std::io;
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Signal;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};

use super::Limits;
use super::clock::{Activity, Due};
use super::process::Process;
use super::stderr::Tail;
use super::stdin::Pipe;

/// What ended a child.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoppedBy {
    /// It exited, or crashed, unasked.
    Itself,
    /// It exited after its stdin was closed.
    EndOfFile,
    /// It exited after `SIGTERM`.
    Term,
    /// It had to be killed.
    Kill,
}

/// How a child ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exit {
    /// Its exit code, if it returned one.
    pub code: Option<i32>,
    /// The number of the signal that killed it, if one did.
    pub signal: Option<i32>,
    /// What made it end.
    pub stopped_by: StoppedBy,
}

impl fmt::Display for Exit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.code, self.signal) {
            (Some(code), _) => write!(f, "exited with code {code}")?,
            (None, Some(signal)) => write!(f, "was killed by signal {signal}")?,
            (None, None) => write!(f, "ended in an unknown way")?,
        }
        f.write_str(match self.stopped_by {
            StoppedBy::Itself => " by itself",
            StoppedBy::EndOfFile => " after its input was closed",
            StoppedBy::Term => " after SIGTERM",
            StoppedBy::Kill => " after it ignored end of input and SIGTERM",
        })
    }
}

/// The process of a [`Child`](super::Child). When the last clone is dropped, the child is stopped in the
/// background.
#[derive(Debug, Clone)]
pub struct Handle {
    id: u32,
    stop: Arc<DropGuard>,
    exit: watch::Receiver<Option<Exit>>,
    tail: Arc<Tail>,
    activity: Arc<Activity>,
    limits: Arc<Limits>,
}

impl Handle {
    /// The process id, which is the id of its group too.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Stops the child: end of input, `SIGTERM`, `SIGKILL`, each after its grace, the whole group at last.
    /// Resolves when the process is reaped. The stop goes on if the future is dropped.
    pub async fn stop(&self) -> Exit {
        self.stop.token().cancel();
        self.exited().await
    }

    /// Resolves when the child has ended and was reaped, for whatever reason.
    pub async fn exited(&self) -> Exit {
        let mut exit = self.exit.clone();
        match exit.wait_for(Option::is_some).await {
            Ok(ended) => ended.unwrap_or(UNKNOWN),
            // The keeper was dropped with its runtime, which killed the child.
            Err(_) => UNKNOWN,
        }
    }

    /// How the child ended, if it has.
    pub fn exit(&self) -> Option<Exit> {
        *self.exit.borrow()
    }

    /// Resolves when the idle or the maximum life of [`Limits`] is over; never, if both are `None`. Nothing
    /// is stopped: the caller knows whether calls are in flight. [`Handle::touch`] starts the idle time anew.
    pub async fn due(&self) -> Due {
        let seconds = |limit: Option<u64>| limit.map(Duration::from_secs);
        self.activity.due(seconds(self.limits.idle_s_max), seconds(self.limits.life_s_max)).await
    }

    /// Marks the child as used now.
    pub fn touch(&self) {
        self.activity.touch();
    }

    /// The last lines of its standard error, at most `stderr_tail_bytes_max` bytes. They may quote secrets:
    /// for the operator, not for clients.
    pub fn stderr_tail(&self) -> String {
        self.tail.text()
    }
}

const UNKNOWN: Exit = Exit { code: None, signal: None, stopped_by: StoppedBy::Kill };

/// Milliseconds that the last words on standard error get to arrive after the end. A process that left the
/// group may hold the pipe for longer.
const LAST_WORDS_MS_MAX: u64 = 200;

/// What belongs to a running child.
pub(super) struct Kept {
    pub(super) process: Process,
    pub(super) stdin: Arc<Pipe>,
    pub(super) tail: Arc<Tail>,
    /// The task that fills `tail`.
    pub(super) stderr: JoinHandle<()>,
    pub(super) place: OwnedSemaphorePermit,
}

/// Spawns the task that owns the process.
pub(super) fn keep(kept: Kept, activity: Arc<Activity>, limits: Arc<Limits>) -> Handle {
    let Kept { process, stdin, tail, mut stderr, place } = kept;
    let stop = CancellationToken::new();
    let (sender, exit) = watch::channel(None);
    let handle = Handle {
        id: process.id(),
        stop: Arc::new(stop.clone().drop_guard()),
        exit,
        tail,
        activity,
        limits: Arc::clone(&limits),
    };
    tokio::spawn(async move {
        let stopped_by = run(&process, &stdin, &stop, &limits).await;
        let id = process.id();
        let status = process.finish();
        stdin.close();
        let last_words = Duration::from_millis(LAST_WORDS_MS_MAX);
        if tokio::time::timeout(last_words, &mut stderr).await.is_err() {
            stderr.abort();
        }
        let exit = describe(status, stopped_by);
        tracing::info!(pid = id, %exit, "child ended");
        // Freed before anybody is told, so that who waits for the end can start another.
        drop(place);
        sender.send_replace(Some(exit));
    });
    handle
}

async fn run(process: &Process, stdin: &Pipe, stop: &CancellationToken, limits: &Limits) -> StoppedBy {
    tokio::select! {
        biased;
        _ = process.exited() => return StoppedBy::Itself,
        () = stop.cancelled() => {}
    }
    stdin.close();
    if ends_within(process, limits.eof_grace()).await {
        return StoppedBy::EndOfFile;
    }
    process.signal(Signal::TERM);
    if ends_within(process, limits.term_grace()).await {
        return StoppedBy::Term;
    }
    process.signal(Signal::KILL);
    // An error of the readiness source leaves the blocking wait in `finish`, which is short after SIGKILL.
    let _ = process.exited().await;
    StoppedBy::Kill
}

async fn ends_within(process: &Process, grace: Duration) -> bool {
    tokio::time::timeout(grace, process.exited()).await.is_ok()
}

fn describe(status: io::Result<ExitStatus>, stopped_by: StoppedBy) -> Exit {
    match status {
        Ok(status) => Exit { code: status.code(), signal: status.signal(), stopped_by },
        Err(error) => {
            tracing::warn!(%error, "child: its end could not be read");
            Exit { stopped_by, ..UNKNOWN }
        }
    }
}
