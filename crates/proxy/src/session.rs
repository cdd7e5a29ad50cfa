//! Legacy sessions (revisions up to 2025-11-25).
//!
//! The id that a client holds is minted here, random, and good for one agent on one route only; what an upstream
//! calls its session stays inside. A session is no authentication: each request is bound to its caller first, and a
//! session of another caller, or of another route, does not exist for this one (404).

use std::collections::HashMap;
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lockgate_crypto::{digest, random};
use lockgate_mcp::Message;
use lru::LruCache;
use parking_lot::Mutex;

use crate::upstream::UpstreamSession;

/// Random bytes of a session id: 256 bits, so that guessing is out of the question.
const ID_BYTES: usize = 32;

/// One legacy session.
pub struct Session {
    /// SHA-256 of the id, in hex; what logs and records show.
    pub fingerprint: String,
    agent: String,
    route: String,
    version: Mutex<Option<String>>,
    init: Message,
    initialized: Mutex<Option<Message>>,
    upstreams: Mutex<HashMap<String, UpstreamSession>>,
    /// Held while one caller opens a lost upstream session anew, so that the others wait and do not do it too.
    pub(crate) recovery: tokio::sync::Mutex<()>,
    owed: Mutex<LruCache<String, Owed>>,
    used_ms: AtomicU64,
}

/// A result that a client may still fetch by resuming its stream: what is needed to judge it then.
#[derive(Clone, Debug)]
pub struct Owed {
    /// Server id.
    pub server: String,
    /// The call's method.
    pub method: String,
    /// The call's subject (tool, prompt, URI).
    pub name: Option<String>,
}

impl Session {
    /// The protocol version that the server chose, once it has.
    pub fn version(&self) -> Option<String> {
        self.version.lock().clone()
    }

    /// Notes the version that the server chose.
    pub fn set_version(&self, version: &str) {
        *self.version.lock() = Some(version.to_owned());
    }

    /// The client's `initialize` request; sent again when an upstream has lost the session.
    pub fn init(&self) -> &Message {
        &self.init
    }

    /// The `notifications/initialized` message, once the client has sent it.
    pub fn initialized(&self) -> Option<Message> {
        self.initialized.lock().clone()
    }

    /// Notes that the client has sent `notifications/initialized`.
    pub fn set_initialized(&self, message: Message) {
        *self.initialized.lock() = Some(message);
    }

    /// The session at `server`.
    pub fn upstream(&self, server: &str) -> Option<UpstreamSession> {
        self.upstreams.lock().get(server).cloned()
    }

    /// All sessions at servers.
    pub fn upstreams(&self) -> Vec<(String, UpstreamSession)> {
        self.upstreams.lock().iter().map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// Notes the session at `server`, in place of an earlier one.
    pub fn set_upstream(&self, server: &str, session: UpstreamSession) {
        self.upstreams.lock().insert(server.to_owned(), session);
    }

    /// Notes that the answer to `id` has not reached the client.
    pub fn owe(&self, id: &str, owed: Owed) {
        self.owed.lock().put(id.to_owned(), owed);
    }

    /// Takes note of what `id` was, when its answer comes after all.
    pub fn settle(&self, id: &str) -> Option<Owed> {
        self.owed.lock().pop(id)
    }
}

/// Why a session cannot be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SessionError {
    /// No such session for this caller on this route.
    #[error("no such session")]
    Unknown,
    /// The request needs a session id and has none.
    #[error("this request needs the `Mcp-Session-Id` that `initialize` returned")]
    Missing,
}

/// All legacy sessions of a node.
pub struct Sessions {
    table: Mutex<LruCache<[u8; 32], Arc<Session>>>,
    owed_max: NonZeroUsize,
}

impl Sessions {
    /// An empty table for up to `sessions_max` sessions, each owing up to `owed_max` results.
    pub fn new(sessions_max: usize, owed_max: usize) -> Self {
        let at_least_one = |n| NonZeroUsize::new(n).unwrap_or(NonZeroUsize::MIN);
        Self {
            table: Mutex::new(LruCache::new(at_least_one(sessions_max))),
            owed_max: at_least_one(owed_max),
        }
    }

    /// Opens a session and gives the id for its client. The one unused for longest makes room if need be.
    pub fn open(&self, agent: &str, route: &str, init: Message, now_ms: u64) -> (String, Arc<Session>) {
        let id = random::token_base64url(ID_BYTES);
        let key = digest::sha256(id.as_bytes());
        let session = Arc::new(Session {
            fingerprint: digest::hex(&key)[..16].to_owned(),
            agent: agent.to_owned(),
            route: route.to_owned(),
            version: Mutex::new(None),
            init,
            initialized: Mutex::new(None),
            upstreams: Mutex::default(),
            recovery: tokio::sync::Mutex::new(()),
            owed: Mutex::new(LruCache::new(self.owed_max)),
            used_ms: AtomicU64::new(now_ms),
        });
        self.table.lock().push(key, session.clone());
        (id, session)
    }

    /// The session of `id`, if it is this agent's on this route.
    ///
    /// # Errors
    /// [`SessionError::Unknown`], whatever the reason, so that ids cannot be probed.
    pub fn find(
        &self,
        id: &str,
        agent: &str,
        route: &str,
        now_ms: u64,
    ) -> Result<Arc<Session>, SessionError> {
        let key = digest::sha256(id.as_bytes());
        let session = self.table.lock().get(&key).cloned().ok_or(SessionError::Unknown)?;
        if session.agent != agent || session.route != route {
            return Err(SessionError::Unknown);
        }
        session.used_ms.store(now_ms, Ordering::Relaxed);
        Ok(session)
    }

    /// Ends the session of `id`.
    pub fn close(&self, id: &str) {
        self.table.lock().pop(&digest::sha256(id.as_bytes()));
    }

    /// Ends the sessions that have not been used since `before_ms`; gives their number.
    pub fn reap(&self, before_ms: u64) -> usize {
        let mut table = self.table.lock();
        let stale: Vec<_> = table
            .iter()
            .filter(|(_, s)| s.used_ms.load(Ordering::Relaxed) < before_ms)
            .map(|(k, _)| *k)
            .collect();
        for key in &stale {
            table.pop(key);
        }
        stale.len()
    }

    /// Sessions open now.
    pub fn len(&self) -> usize {
        self.table.lock().len()
    }

    /// Whether no session is open.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn init() -> Message {
        let text = br#"{"jsonrpc":"2.0","id":0,"method":"initialize","params":{}}"#;
        Message::decode(Bytes::from_static(text), &lockgate_mcp::Limits::requests()).unwrap()
    }

    #[test]
    fn a_session_exists_for_its_caller_on_its_route_only() {
        let sessions = Sessions::new(8, 8);
        let (id, _) = sessions.open("a", "crm", init(), 1);
        assert!(sessions.find(&id, "a", "crm", 2).is_ok());
        for (id, agent, route) in
            [(id.as_str(), "b", "crm"), (&id, "a", "docs"), ("guess", "a", "crm"), ("", "a", "crm")]
        {
            assert_eq!(
                sessions.find(id, agent, route, 2).err(),
                Some(SessionError::Unknown),
                "{agent} {route}"
            );
        }
        sessions.close(&id);
        assert!(sessions.find(&id, "a", "crm", 3).is_err());
    }

    #[test]
    fn the_table_is_bounded_and_idle_sessions_end() {
        let sessions = Sessions::new(2, 8);
        let ids: Vec<_> = (0..3).map(|n| sessions.open("a", "crm", init(), n).0).collect();
        assert_eq!(sessions.len(), 2);
        assert!(sessions.find(&ids[0], "a", "crm", 10).is_err(), "the one unused for longest made room");
        assert!(sessions.find(&ids[2], "a", "crm", 10).is_ok());
        assert_eq!(sessions.reap(5), 1, "only the one that was not used since");
        assert!(sessions.find(&ids[2], "a", "crm", 11).is_ok());
    }

    #[test]
    fn what_is_owed_is_settled_once_and_bounded() {
        let sessions = Sessions::new(2, 2);
        let (_, session) = sessions.open("a", "crm", init(), 0);
        for id in ["1", "2", "3"] {
            session.owe(id, Owed { server: "crm".into(), method: "tools/list".into(), name: None });
        }
        assert!(session.settle("1").is_none(), "the oldest made room");
        assert_eq!(session.settle("3").unwrap().method, "tools/list");
        assert!(session.settle("3").is_none());
    }
}
