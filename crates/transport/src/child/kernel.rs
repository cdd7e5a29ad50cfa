//! Two requests to the kernel about a child: to kill it with us, and to tell us of its end. The one file of
//! this crate with unsafe code.

use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::process::CommandExt;
use std::process::Command;

use rustix::io::Errno;
use rustix::process::{
    Pid, PidfdFlags, Signal, getpid, getppid, pidfd_open, set_parent_process_death_signal,
};
use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

/// Makes the process that `command` will start die when we do, even by `kill -9` (`PR_SET_PDEATHSIG`).
///
/// The kernel sends the signal when the *thread* that forked exits, not the process. Only a thread that lives
/// as long as the process may spawn: see [`spawner`](super::spawner).
#[allow(unsafe_code)]
pub(super) fn die_with_parent(command: &mut Command) {
    let parent = getpid();
    // SAFETY: the closure runs in the forked child before exec, where only async-signal-safe work is allowed.
    // It makes two direct system calls (prctl, getppid), allocates nothing, takes no lock, and touches no
    // memory but `parent`, a copied integer. `io::Error::from` on an errno does not allocate.
    unsafe {
        command.pre_exec(move || arm(parent));
    }
}

fn arm(parent: Pid) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    // A parent that died between fork and prctl sends no signal any more.
    if getppid() == Some(parent) { Ok(()) } else { Err(Errno::SRCH.into()) }
}

/// A descriptor that becomes readable, for good, when the child `id` has exited.
#[allow(unsafe_code)]
pub(super) fn watch(id: Pid) -> io::Result<AsyncFd<OwnedFd>> {
    let fd = pidfd_open(id, PidfdFlags::NONBLOCK)?;
    // SAFETY: an `OwnedFd` is open, and names the same file, until it is dropped; the `AsyncFd` owns it.
    let watched = unsafe { AsyncFd::register_with_interest(fd, Interest::READABLE) };
    Ok(watched?)
}
