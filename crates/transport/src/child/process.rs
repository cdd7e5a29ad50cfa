//! One operating-system process and its group, owned until it is reaped.

use std::io;
use std::os::fd::OwnedFd;
use std::process::{Child, ExitStatus};

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::unix::AsyncFd;

use super::kernel;

/// A running child that leads its own process group.
///
/// The leader is not reaped before its group was killed: as long as it is a zombie, its number cannot be
/// given to an unrelated process, so a signal to the group can only reach the group.
#[derive(Debug)]
pub(super) struct Process {
    child: Child,
    group: Pid,
    readiness: AsyncFd<OwnedFd>,
    reaped: bool,
}

impl Process {
    /// Takes over `child`, which must have been started with `process_group(0)`.
    pub(super) fn adopt(mut child: Child) -> io::Result<Self> {
        let group = Pid::from_child(&child);
        match kernel::watch(group) {
            Ok(readiness) => Ok(Self { child, group, readiness, reaped: false }),
            Err(error) => {
                let _ = kill_process_group(group, Signal::KILL);
                let _ = child.wait();
                Err(error)
            }
        }
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Resolves once the leader has exited; it stays a zombie until [`Process::finish`]. Cancel-safe.
    pub(super) async fn exited(&self) -> io::Result<()> {
        // Never cleared: a pidfd of an exited process stays readable.
        self.readiness.readable().await.map(|mut guard| {
            guard.retain_ready();
        })
    }

    /// Sends `signal` to every process of the group. A group that has already gone is not an error.
    pub(super) fn signal(&self, signal: Signal) {
        if let Err(error) = kill_process_group(self.group, signal) {
            tracing::debug!(group = self.group.as_raw_nonzero(), %error, "child: signal not sent");
        }
    }

    /// Kills what is left of the group and reaps the leader. Call after [`Process::exited`], else it waits.
    pub(super) fn finish(mut self) -> io::Result<ExitStatus> {
        self.signal(Signal::KILL);
        self.reaped = true;
        self.child.wait()
    }
}

impl Drop for Process {
    /// The runtime is going down with the child still running. No grace is left; no zombie either.
    fn drop(&mut self) {
        if !self.reaped {
            self.signal(Signal::KILL);
            let _ = self.child.wait();
        }
    }
}
