//! Who talks to the server: a session of the legacy era, or an agent of the modern one.

use std::time::Duration;

use lockgate_mcp::{Limits, Message, reply};
use parking_lot::Mutex;
use tokio::sync::broadcast;
use tokio::time::Instant;

/// Operations that one party has on at once. A model reads all of them on every turn.
pub(super) const ACTIVE_MAX: usize = 64;

/// Member of `_meta` that tells to which `subscriptions/listen` a notification belongs (MCP 2026-07-28).
pub(super) const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// What those who listen are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Change {
    /// The tools of one party.
    Tools,
    /// All that the server offers.
    Everything,
}

/// What one party has turned on.
pub struct Party {
    active: Mutex<Vec<String>>,
    used: Mutex<Instant>,
    pub(super) changes: broadcast::Sender<Change>,
}

impl Party {
    pub(super) fn new() -> Self {
        let (changes, _) = broadcast::channel(4);
        Self { active: Mutex::default(), used: Mutex::new(Instant::now()), changes }
    }

    pub(super) fn touch(&self) {
        *self.used.lock() = Instant::now();
    }

    pub(super) fn rested(&self) -> Duration {
        self.used.lock().elapsed()
    }

    pub(super) fn active(&self) -> Vec<String> {
        self.active.lock().clone()
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.active.lock().iter().any(|active| active == name)
    }

    /// Turns operations on; of too many, those that came first are turned off again. Whether anything changed.
    pub(super) fn activate(&self, names: &[String]) -> bool {
        let mut active = self.active.lock();
        let before = active.clone();
        for name in names {
            active.retain(|other| other != name);
            active.push(name.clone());
        }
        let over = active.len().saturating_sub(ACTIVE_MAX);
        active.drain(..over);
        let changed = *active != before;
        drop(active);
        if changed {
            let _ = self.changes.send(Change::Tools);
        }
        changed
    }
}

/// `notifications/tools/list_changed` or its like; for a subscription, with its id.
pub(super) fn list_changed(what: &str, subscription: Option<&str>) -> Message {
    let params = subscription.map(|id| format!("{{\"_meta\":{{\"{SUBSCRIPTION_ID}\":{id}}}}}"));
    let bytes = reply::call(None, &format!("notifications/{what}/list_changed"), params.as_deref());
    Message::decode(bytes, &Limits::default()).expect("it was written here")
}
