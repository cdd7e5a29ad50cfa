//! Attestation of a process on this machine by the Unix socket that it opened.
//!
//! The kernel names the process at the other end as a descriptor (`SO_PEERPIDFD`, Linux 6.5), not as a number that may
//! be another's by the time we look. What is proven is of the process that *connected*: one that inherits an open
//! socket, or is handed one, is taken for the one that opened it.

use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};
use tokio::sync::Semaphore;

use super::{Attested, Attestor, Evidence, Judged, Kind, procfs};
use crate::AuthorityError;

/// Processes that are looked at side by side: each may cost the hash of a large executable.
const LOOKS_MAX: usize = 4;
/// Longest time for one attestation, in seconds: a gigabyte is hashed in about that.
const LOOK_S_MAX: u64 = 10;

/// Who opened a Unix socket, as the kernel noted it then.
#[derive(Debug)]
pub struct Peer {
    pub(super) pidfd: OwnedFd,
    pid: u32,
    uid: u32,
}

impl Peer {
    /// Asks the kernel about the other end of a connected socket.
    ///
    /// # Errors
    /// [`AuthorityError::Kernel`] where there is no `SO_PEERPIDFD`; [`AuthorityError::Refused`] if that process has
    /// ended already.
    pub fn of(socket: &(impl AsFd + AsRawFd)) -> Result<Self, AuthorityError> {
        let credentials = getsockopt(&socket.as_fd(), sockopt::PeerCredentials).map_err(not_told)?;
        let pidfd = getsockopt(&socket.as_fd(), sockopt::PeerPidfd).map_err(|error| match error {
            Errno::ENOPROTOOPT | Errno::ENOSYS | Errno::EOPNOTSUPP => AuthorityError::Kernel,
            Errno::ESRCH | Errno::EINVAL => {
                AuthorityError::refused(Kind::Process, "alive", "the process has ended")
            }
            other => not_told(other),
        })?;
        // Zero: it is in a PID namespace that ours does not contain.
        let pid = u32::try_from(credentials.pid()).unwrap_or_default();
        Ok(Self { pidfd, pid, uid: credentials.uid() })
    }

    /// The user id that it had when it connected.
    pub fn uid(&self) -> u32 {
        self.uid
    }

    /// Its process id, for messages: not what anything is decided by.
    pub fn pid(&self) -> u32 {
        self.pid
    }
}

fn not_told(error: Errno) -> AuthorityError {
    AuthorityError::Unreachable {
        what: "the kernel, for a socket's peer,".to_owned(),
        cause: error.to_string(),
    }
}

/// Attests processes.
#[derive(Debug)]
pub struct Process {
    looks: Semaphore,
}

impl Default for Process {
    fn default() -> Self {
        Self { looks: Semaphore::new(LOOKS_MAX) }
    }
}

impl Attestor for Process {
    fn kind(&self) -> Kind {
        Kind::Process
    }

    fn attest<'a>(&'a self, evidence: Evidence<'a>) -> Judged<'a> {
        Box::pin(async move {
            let Evidence::Process(peer) = evidence else { return Err(evidence.not_for(Kind::Process)) };
            let facts = look(&self.looks, Kind::Process, &peer.pidfd).await?;
            same_as_connected(Kind::Process, peer, &facts)?;
            Ok(told(Kind::Process, &facts))
        })
    }
}

/// Reads a process on a thread that may block, a few at once.
pub(super) async fn look(
    looks: &Semaphore,
    by: Kind,
    pidfd: &OwnedFd,
) -> Result<procfs::Facts, AuthorityError> {
    let busy = AuthorityError::Busy { limit: "attestations of processes" };
    let deadline = Duration::from_secs(LOOK_S_MAX);
    let Ok(Ok(_place)) = tokio::time::timeout(deadline, looks.acquire()).await else { return Err(busy) };
    let pidfd = pidfd.try_clone().map_err(|source| AuthorityError::Io {
        action: "duplicate",
        path: "a process descriptor".into(),
        source,
    })?;
    let read = tokio::task::spawn_blocking(move || procfs::read_owned(by, &pidfd));
    match tokio::time::timeout(deadline, read).await {
        Ok(Ok(facts)) => facts,
        Ok(Err(panic)) => std::panic::resume_unwind(panic.into_panic()),
        Err(_) => Err(AuthorityError::refused(by, "time", "its executable was not hashed within 10 s")),
    }
}

/// What the kernel noted at the connection must be what it says now.
pub(super) fn same_as_connected(by: Kind, peer: &Peer, facts: &procfs::Facts) -> Result<(), AuthorityError> {
    if facts.pid != peer.pid {
        let found = format!("it connected as process {}, and is process {} now", peer.pid, facts.pid);
        return Err(AuthorityError::refused(by, "process id", found));
    }
    if facts.uid != peer.uid {
        let found = format!("it connected as user {}, and is user {} now", peer.uid, facts.uid);
        return Err(AuthorityError::refused(by, "user", found));
    }
    Ok(())
}

pub(super) fn told(by: Kind, facts: &procfs::Facts) -> Attested {
    let mut attested = Attested::new(by, format!("process {} of user {}", facts.pid, facts.uid));
    facts.tell("unix", &mut attested);
    attested.add("unix:gid", &facts.gid.to_string());
    if let Some(cgroup) = &facts.cgroup {
        attested.add("unix:cgroup", cgroup);
        if let Some(id) = procfs::container(cgroup) {
            attested.add("unix:container", id);
        }
        if let Some(unit) = procfs::unit(cgroup) {
            attested.add("unix:systemd", unit);
        }
    }
    attested
}
