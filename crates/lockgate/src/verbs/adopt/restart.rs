//! A gateway that runs does not know new servers: one that a connector started is ended, and the next connector starts it again.

use std::collections::BTreeSet;
use std::time::Duration;

use super::gateway::GatewayFile;
use crate::client;
use crate::connect::start;
use crate::diagnostic::Diagnostic;
use crate::state::State;

/// Longest wait for a gateway to finish its calls, in seconds.
const DRAIN_S_MAX: u64 = 30;
/// Time between two looks, in milliseconds.
const LOOK_MS: u64 = 100;

/// Whether a person has to start the node again.
pub(super) async fn after_change(state: &State, gateway: &GatewayFile) -> Result<bool, Diagnostic> {
    let Ok(note) = state.running() else { return Ok(false) };
    let admin = client::admin(state)?;
    let served = admin.upstreams().await.map_err(|error| client::unanswered(&error))?;
    let served: BTreeSet<String> = served.upstreams.into_iter().map(|upstream| upstream.id).collect();
    if gateway.names().all(|name| served.contains(name)) {
        return Ok(false);
    }
    if start::started_by_connector(state) != Some(note.pid) {
        return Ok(true);
    }
    admin.drain().await.map_err(|error| client::unanswered(&error))?;
    let deadline = tokio::time::Instant::now() + Duration::from_secs(DRAIN_S_MAX);
    while state.is_locked() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
    Ok(state.is_locked())
}
