//! Streams of the server: a few messages, or what changes for as long as somebody listens.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use lockgate_mcp::{Limits, Message, reply, sse};
use serde_json::{Value, json};
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::RecvError;
use tokio::time::{Instant, timeout_at};

use super::party::{Change, Party, SUBSCRIPTION_ID, list_changed};
use crate::upstream::{Frame, UpstreamError};

/// What a subscription asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub(super) tools: bool,
    pub(super) resources: bool,
}

impl Wanted {
    /// Of `params.notifications` (MCP 2026-07-28).
    pub(super) fn of(notifications: &Value) -> Self {
        let wants = |name: &str| notifications.get(name) == Some(&Value::Bool(true));
        Self { tools: wants("toolsListChanged"), resources: wants("resourcesListChanged") }
    }

    fn accepted(self) -> Value {
        let all = [("toolsListChanged", self.tools), ("resourcesListChanged", self.resources)];
        all.into_iter().filter(|(_, wants)| *wants).map(|(name, _)| (name.to_owned(), json!(true))).collect()
    }
}

/// Messages of the server to one listener.
pub struct Said {
    ready: VecDeque<Message>,
    listening: Option<Listening>,
}

struct Listening {
    own: Receiver<Change>,
    all: Receiver<Change>,
    wanted: Wanted,
    /// Id of the subscription, as JSON.
    id: Option<String>,
    deadline: Instant,
    /// Keeps the sender of `own`.
    _party: Arc<Party>,
}

impl Said {
    /// These messages, and then the end.
    pub(super) fn these(messages: Vec<Message>) -> Self {
        Self { ready: messages.into(), listening: None }
    }

    /// What changes from now on, for `life`; a subscription hears first what of it was accepted.
    pub(super) fn listening(
        party: &Arc<Party>,
        all: Receiver<Change>,
        subscription: Option<(Wanted, String)>,
        life: Duration,
    ) -> Self {
        let mut ready = VecDeque::new();
        let everything = Wanted { tools: true, resources: true };
        let (wanted, id) = subscription.map_or((everything, None), |(wanted, id)| (wanted, Some(id)));
        if let Some(id) = &id {
            let params = format!(
                "{{\"_meta\":{{\"{SUBSCRIPTION_ID}\":{id}}},\"notifications\":{}}}",
                wanted.accepted()
            );
            let bytes = reply::call(None, "notifications/subscriptions/acknowledged", Some(&params));
            ready.push_back(Message::decode(bytes, &Limits::default()).expect("it was written here"));
        }
        let (own, deadline) = (party.changes.subscribe(), Instant::now() + life);
        let _party = Arc::clone(party);
        Self { ready, listening: Some(Listening { own, all, wanted, id, deadline, _party }) }
    }

    pub(crate) async fn next(&mut self) -> Option<Result<Frame, UpstreamError>> {
        loop {
            if let Some(message) = self.ready.pop_front() {
                let raw = sse::encode(message.bytes());
                return Some(Ok(Frame { server: None, raw, event: None, message: Some(message) }));
            }
            let listening = self.listening.as_mut()?;
            let change = async {
                tokio::select! {
                    change = listening.own.recv() => change,
                    change = listening.all.recv() => change,
                }
            };
            let change = match timeout_at(listening.deadline, change).await {
                // It has listened for long enough; its client begins anew.
                Err(_) | Ok(Err(RecvError::Closed)) => return None,
                Ok(Err(RecvError::Lagged(_))) => Change::Everything,
                Ok(Ok(change)) => change,
            };
            let id = listening.id.as_deref();
            if listening.wanted.tools {
                self.ready.push_back(list_changed("tools", id));
            }
            if listening.wanted.resources && change == Change::Everything {
                self.ready.push_back(list_changed("resources", id));
            }
        }
    }
}
