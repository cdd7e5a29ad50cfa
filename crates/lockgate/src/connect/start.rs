//! `lockgate connect --local NAME`: a server of this machine's own gateway, which is started if it does not run.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::OpenOptionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::diagnostic::Diagnostic;
use crate::endpoint::Endpoint;
use crate::state::{self, State};

/// Longest wait for a gateway to be ready, in seconds. It makes keys on its first start.
const START_S_MAX: u64 = 30;
/// Time between two looks, in milliseconds.
const LOOK_MS: u64 = 50;

/// The address of a server of this machine's gateway.
pub(super) async fn endpoint(name: &str, state: &State) -> Result<Endpoint, Diagnostic> {
    state.create()?;
    let mut started = if state.is_locked() { None } else { Some(start(state)?) };
    let deadline = tokio::time::Instant::now() + Duration::from_secs(START_S_MAX);
    loop {
        if let Ok(note) = state.running() {
            let url = format!("{}/servers/{name}/mcp", note.endpoint);
            return url.parse().map_err(|why: String| {
                Diagnostic::new("LG-U001", format!("\"{name}\" is no server's name")).cause(why)
            });
        }
        let ended = started.as_mut().is_some_and(|child| matches!(child.try_wait(), Ok(Some(_))));
        // Another connector may have been faster: then its gateway holds the lock, and ours has ended for that.
        if (ended && !state.is_locked()) || tokio::time::Instant::now() > deadline {
            return Err(Diagnostic::new("LG-G022", "this machine's gateway did not start")
                .cause(format!("what it said is in {}", log(state).display()))
                .hint(format!(
                    "see it yourself: lockgate gateway --config {}",
                    state.gateway_config().display()
                )));
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

/// Starts the gateway in a process group of its own, so that it outlives this connector and what ends its client.
fn start(state: &State) -> Result<Child, Diagnostic> {
    let config = state.gateway_config();
    if !config.exists() {
        return Err(Diagnostic::new(
            "LG-S004",
            format!("no node runs on {}, and no server was adopted there", state.root().display()),
        )
        .hint("put servers behind it: lockgate adopt --all")
        .hint("or start one yourself: lockgate gateway --to …"));
    }
    let failed = |error: std::io::Error| {
        Diagnostic::new("LG-G022", "this machine's gateway did not start").because(&error)
    };
    let log = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(log(state))
        .map_err(failed)?;
    let program = std::env::current_exe().map_err(failed)?;
    let child = Command::new(program)
        .args(["gateway", "--output", "json", "--config"])
        .arg(config)
        .arg("--state")
        .arg(state.root())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .process_group(0)
        .spawn()
        .map_err(failed)?;
    state::write_private(&mark(state), child.id().to_string().as_bytes())?;
    Ok(child)
}

/// The process that a connector started last as the gateway.
pub(crate) fn started_by_connector(state: &State) -> Option<u32> {
    fs::read_to_string(mark(state)).ok()?.trim().parse().ok()
}

fn log(state: &State) -> PathBuf {
    state.root().join("run/gateway.log")
}

fn mark(state: &State) -> PathBuf {
    state.root().join("run/gateway.pid")
}
