//! Legacy sessions (revisions up to 2025-11-25).
//!
//! The id that a client holds is minted here, random, and good for one agent on one route only; what an upstream
//! calls its session stays inside. A session is no authentication: each request is bound to its caller first, and a
//! session of another caller, or of another route, does not exist for this one (404).

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use lockgate_crypto::{digest, random};
use lockgate_mcp::Message;
use lru::LruCache;
use parking_lot::Mutex;

use crate::decode::Target;
use crate::results::Cuts;
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
    upstreams: Mutex<HashMap<String, AtServer>>,
    /// Held while one caller opens a lost upstream session anew, so that the others wait and do not do it too.
    pub(crate) recovery: tokio::sync::Mutex<()>,
    owed: Mutex<VecDeque<(String, Owed)>>,
    owed_max: usize,
    used_ms: AtomicU64,
}

/// A session as one server knows it.
struct AtServer {
    session: UpstreamSession,
    /// The version that this server chose, where that may be another than its neighbours chose.
    version: Option<String>,
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
    /// What is taken from its result.
    pub(crate) cuts: Cuts,
    /// The generation of the policies that permitted it.
    pub(crate) generation: Option<u64>,
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

    /// Whether it is a session at one server, rather than at all of them together.
    pub fn spans_one(&self) -> bool {
        self.route != Target::ALL
    }

    /// The session at `server`.
    pub fn upstream(&self, server: &str) -> Option<UpstreamSession> {
        self.upstreams.lock().get(server).map(|at| at.session.clone())
    }

    /// The protocol version that `server` chose, where the session spans several servers.
    pub fn upstream_version(&self, server: &str) -> Option<String> {
        self.upstreams.lock().get(server)?.version.clone()
    }

    /// Notes the session at `server`, in place of an earlier one, and the version that it chose if that is its own matter.
    pub fn set_upstream(&self, server: &str, session: UpstreamSession, version: Option<String>) {
        self.upstreams.lock().insert(server.to_owned(), AtServer { session, version });
    }

    /// Notes that the answer to `id` has not reached the client. The oldest of too many is forgotten. Of two calls under one
    /// id, nobody knows whose answer comes first: it is held to the rules of both.
    pub fn owe(&self, id: &str, mut owed: Owed) {
        let mut all = self.owed.lock();
        for (_, other) in all.iter().filter(|(other, _)| other == id) {
            owed.cuts = owed.cuts.and(&other.cuts);
        }
        all.retain(|(other, _)| other != id);
        all.push_back((id.to_owned(), owed));
        if all.len() > self.owed_max {
            all.pop_front();
        }
    }

    /// Takes note of what `id` was, when its answer comes after all. Only the server that was asked can answer.
    pub fn settle(&self, id: &str, server: &str) -> Option<Owed> {
        let mut all = self.owed.lock();
        let at = all.iter().position(|(other, owed)| other == id && owed.server == server)?;
        all.remove(at).map(|(_, owed)| owed)
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
    table: Mutex<Table>,
    sessions_max: usize,
    owed_max: usize,
}

/// The sessions by the hash of their id, in the order of their use, and how many each agent holds.
struct Table {
    sessions: LruCache<[u8; 32], Arc<Session>>,
    held: HashMap<String, usize>,
}

impl Table {
    fn insert(&mut self, key: [u8; 32], session: Arc<Session>) {
        *self.held.entry(session.agent.clone()).or_default() += 1;
        self.sessions.push(key, session);
    }

    fn remove(&mut self, key: &[u8; 32]) {
        let Some(session) = self.sessions.pop(key) else { return };
        if let Some(held) = self.held.get_mut(&session.agent) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&session.agent);
            }
        }
    }

    /// Of the agent that holds the most sessions, the one unused for longest: so nobody can push out the sessions of
    /// others by opening many.
    fn dispensable(&self) -> Option<[u8; 32]> {
        let most = self.held.values().max()?;
        let mut oldest_first = self.sessions.iter().rev();
        oldest_first.find(|(_, session)| self.held.get(&session.agent) == Some(most)).map(|(key, _)| *key)
    }
}

impl Sessions {
    /// An empty table for up to `sessions_max` sessions, each owing up to `owed_max` results.
    pub fn new(sessions_max: usize, owed_max: usize) -> Self {
        let table = Table { sessions: LruCache::unbounded(), held: HashMap::new() };
        Self { table: Mutex::new(table), sessions_max: sessions_max.max(1), owed_max: owed_max.max(1) }
    }

    /// Opens a session and gives the id for its client. If there are too many, one of the agent that holds the most makes
    /// room: the one unused for longest.
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
            owed: Mutex::default(),
            owed_max: self.owed_max,
            used_ms: AtomicU64::new(now_ms),
        });
        let mut table = self.table.lock();
        table.insert(key, session.clone());
        if table.sessions.len() > self.sessions_max
            && let Some(key) = table.dispensable()
        {
            table.remove(&key);
        }
        drop(table);
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
        let session = self.table.lock().sessions.get(&key).cloned().ok_or(SessionError::Unknown)?;
        if session.agent != agent || session.route != route {
            return Err(SessionError::Unknown);
        }
        session.used_ms.store(now_ms, Ordering::Relaxed);
        Ok(session)
    }

    /// Ends the session of `id`.
    pub fn close(&self, id: &str) {
        self.table.lock().remove(&digest::sha256(id.as_bytes()));
    }

    /// Ends what `agent` has open at `server`: its sessions there, and the server's part in its sessions of all servers.
    pub fn end_at(&self, agent: &str, server: &str) {
        let mut table = self.table.lock();
        let own = |(_, session): &(&[u8; 32], &Arc<Session>)| session.agent == agent;
        let mut ended = Vec::new();
        for (key, session) in table.sessions.iter().filter(own) {
            session.upstreams.lock().remove(server);
            if session.route == server {
                ended.push(*key);
            }
        }
        for key in &ended {
            table.remove(key);
        }
    }

    /// Ends the sessions that have not been used since `before_ms`; gives their number. One whose client listens, or waits
    /// for an answer, is in use however long ago it said something.
    pub fn reap(&self, before_ms: u64) -> usize {
        let mut table = self.table.lock();
        let is_stale = |session: &Arc<Session>| {
            session.used_ms.load(Ordering::Relaxed) < before_ms && Arc::strong_count(session) == 1
        };
        let stale: Vec<_> = table.sessions.iter().filter(|(_, s)| is_stale(s)).map(|(k, _)| *k).collect();
        for key in &stale {
            table.remove(key);
        }
        stale.len()
    }

    /// Sessions open now.
    pub fn len(&self) -> usize {
        self.table.lock().sessions.len()
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
        let listening = sessions.find(&ids[1], "a", "crm", 2).unwrap();
        assert_eq!(sessions.reap(5), 0, "a client that listens is there, though it says nothing");
        drop(listening);
        assert_eq!(sessions.reap(5), 1, "only the one that was not used since");
        assert!(sessions.find(&ids[2], "a", "crm", 11).is_ok());
    }

    #[test]
    fn who_opens_many_sessions_pushes_out_its_own() {
        let sessions = Sessions::new(4, 8);
        let quiet = sessions.open("quiet", "crm", init(), 0).0;
        let loud: Vec<_> = (1..10).map(|n| sessions.open("loud", "crm", init(), n).0).collect();
        assert_eq!(sessions.len(), 4);
        assert!(
            sessions.find(&quiet, "quiet", "crm", 10).is_ok(),
            "the oldest of all, but not of the loudest"
        );
        let left: Vec<_> = loud.iter().map(|id| sessions.find(id, "loud", "crm", 10).is_ok()).collect();
        assert_eq!(left, [false, false, false, false, false, false, true, true, true]);
        sessions.close(&quiet);
        assert_eq!(sessions.reap(11), 3);
        assert!(sessions.is_empty() && sessions.table.lock().held.is_empty());
    }

    #[test]
    fn what_an_agent_has_open_at_one_server_ends_alone() {
        let sessions = Sessions::new(8, 8);
        let open = |agent: &str, route: &str| sessions.open(agent, route, init(), 1).0;
        let (own, all, other) = (open("a", "crm"), open("a", "*"), open("b", "crm"));
        sessions.end_at("a", "crm");
        assert!(sessions.find(&own, "a", "crm", 2).is_err());
        assert!(sessions.find(&all, "a", "*", 2).is_ok() && sessions.find(&other, "b", "crm", 2).is_ok());
    }

    #[test]
    fn what_is_owed_is_settled_once_and_bounded() {
        let sessions = Sessions::new(2, 2);
        let (_, session) = sessions.open("a", "crm", init(), 0);
        for id in ["1", "2", "3"] {
            session.owe(
                id,
                Owed {
                    server: "crm".into(),
                    method: "tools/list".into(),
                    name: None,
                    cuts: Cuts::default(),
                    generation: None,
                },
            );
        }
        assert!(session.settle("1", "crm").is_none(), "the oldest made room");
        assert!(session.settle("3", "docs").is_none(), "another server was asked");
        assert_eq!(session.settle("3", "crm").unwrap().method, "tools/list");
        assert!(session.settle("3", "crm").is_none());
    }
}
