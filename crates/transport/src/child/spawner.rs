//! The thread that forks.
//!
//! `PR_SET_PDEATHSIG` fires when the forking thread ends. Threads of an async runtime's pool come and go, so
//! one thread of its own forks all children and never ends.

use std::io;
use std::process::{Child, Command};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use tokio::sync::oneshot;

struct Job {
    command: Command,
    reply: oneshot::Sender<io::Result<Child>>,
}

static SPAWNER: OnceLock<Sender<Job>> = OnceLock::new();

/// Forks and executes `command` on the spawner thread.
pub(super) async fn spawn(command: Command) -> io::Result<Child> {
    let (reply, answer) = oneshot::channel();
    let ended = || io::Error::other("the spawner thread has ended");
    spawner()?.send(Job { command, reply }).map_err(|_| ended())?;
    answer.await.map_err(|_| ended())?
}

fn spawner() -> io::Result<&'static Sender<Job>> {
    if let Some(sender) = SPAWNER.get() {
        return Ok(sender);
    }
    let (sender, jobs) = channel();
    thread::Builder::new().name("lockgate-spawn".into()).spawn(move || serve(&jobs))?;
    // If two callers raced, the loser's sender is dropped and its thread ends before it forked anything.
    Ok(SPAWNER.get_or_init(|| sender))
}

fn serve(jobs: &Receiver<Job>) {
    for mut job in jobs {
        let outcome = job.command.spawn();
        // Nobody waits any more: the child must not outlive its caller, nor stay a zombie.
        if let Err(Ok(mut orphan)) = job.reply.send(outcome) {
            let _ = orphan.kill();
            let _ = orphan.wait();
        }
    }
}
