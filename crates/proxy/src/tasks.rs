//! Tasks that calls have become: the call that was permitted ends with the id of a task, and its result comes by another
//! call.
//!
//! A task is for the agent whose call it is, and its result is cut like the one of that call. Servers cannot tell agents
//! apart that come over the connections of one gateway; so this node keeps both, on the disk before the client hears of
//! the task. Of a task that it does not know (of another node, or too many ago) nobody gets anything.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;

use lockgate_crypto::digest;
use lockgate_mcp::{Kind, Message};
use lockgate_policy::ResultFields;
use lockgate_store::{Store, StoreError};
use lru::LruCache;
use parking_lot::Mutex;
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::call::Call;
use crate::results::Cuts;

/// The extension of tasks, as clients and servers declare it (SEP-2663).
pub(crate) const EXTENSION: &str = "io.modelcontextprotocol/tasks";

/// The part of the store that holds tasks.
pub const TASKS: &str = "tasks";

/// Tasks that are kept; the one not asked after for longest makes room.
const TASKS_MAX: usize = 10_000;

/// Those of them that one agent may have, so that none takes the room of all others.
const TASKS_PER_AGENT_MAX: usize = 1_000;

/// Longest id of a task that is kept, in bytes. Servers make them of a few dozen.
const ID_BYTES_MAX: usize = 1_024;

/// Largest result that can be the handle of a task, in bytes. What is larger is an answer.
const HANDLE_BYTES_MAX: usize = 64 << 10;

/// What is known of a task.
#[derive(Clone, Debug)]
pub(crate) struct Begun {
    /// Who called.
    agent: String,
    /// What is taken from the call's result.
    pub(crate) cuts: Cuts,
    /// The method and subject of the call.
    pub(crate) method: String,
    pub(crate) name: Option<String>,
    /// The generation of the policies that permitted it; none for one of before a restart, which other generations count.
    pub(crate) generation: Option<u64>,
}

/// The same on the disk.
#[derive(Serialize, Deserialize)]
struct Kept {
    server: String,
    task: String,
    agent: String,
    method: String,
    name: Option<String>,
    /// Each holds.
    fields: Vec<KeptFields>,
    /// When it was begun, in milliseconds since the Unix epoch.
    since_ms: u64,
}

#[derive(Serialize, Deserialize)]
struct KeptFields {
    only: Option<BTreeSet<String>>,
    hidden: BTreeSet<String>,
}

type Place = (String, String);

/// The tasks of a node.
pub struct Tasks {
    store: Store,
    known: Mutex<LruCache<Place, Begun>>,
}

impl Tasks {
    /// Those that were kept.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn load(store: Store) -> Result<Self, StoreError> {
        let mut kept: Vec<(String, Kept)> = store.list_json(TASKS, "")?;
        kept.sort_by_key(|(_, task)| task.since_ms);
        let over = kept.len().saturating_sub(TASKS_MAX);
        for (key, _) in kept.drain(..over) {
            store.delete(TASKS, &key)?;
        }
        let mut known = LruCache::new(NonZeroUsize::new(TASKS_MAX).expect("tasks are remembered"));
        for (_, Kept { server, task, agent, method, name, fields, .. }) in kept {
            let fields = fields.into_iter().map(|KeptFields { only, hidden }| ResultFields { only, hidden });
            let cuts = fields.fold(Cuts::default(), |cuts, fields| cuts.and(&Cuts::of_fields(Some(&fields))));
            known.put((server, task), Begun { agent, cuts, method, name, generation: None });
        }
        Ok(Self { store, known: Mutex::new(known) })
    }

    /// A task that a call of `agent` has become.
    pub(crate) fn of(&self, server: &str, task: &str, agent: &str) -> Option<Begun> {
        let begun = self.known.lock().get(&(server.to_owned(), task.to_owned())).cloned();
        begun.filter(|begun| begun.agent == agent)
    }

    /// Keeps a task. Blocks on the store.
    fn keep(&self, place: Place, begun: Begun, since_ms: u64) -> Result<(), StoreError> {
        let key = key(&place);
        let kept = Kept {
            server: place.0.clone(),
            task: place.1.clone(),
            agent: begun.agent.clone(),
            method: begun.method.clone(),
            name: begun.name.clone(),
            fields: begun
                .cuts
                .said()
                .map(|fields| KeptFields { only: fields.only.clone(), hidden: fields.hidden.clone() })
                .collect(),
            since_ms,
        };
        let gone = {
            let mut known = self.known.lock();
            let own = known.iter().filter(|(_, other)| other.agent == begun.agent);
            let own: Vec<&Place> = own.map(|(place, _)| place).collect();
            // The one not asked after for longest is the last.
            let oldest = own.last().filter(|_| own.len() >= TASKS_PER_AGENT_MAX).map(|&place| place.clone());
            oldest.iter().for_each(|place| drop(known.pop(place)));
            let pushed = known.push(place, begun).map(|(place, _)| place);
            oldest.into_iter().chain(pushed).collect::<Vec<_>>()
        };
        for key in gone.iter().map(self::key).filter(|gone| *gone != key) {
            self.store.delete(TASKS, &key)?;
        }
        self.store.put_json(TASKS, &key, &kept)
    }
}

/// Whether the sender of a message of the modern era declares tasks. Without that there are none for it.
pub(crate) fn are_declared(message: &Message) -> bool {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Capabilities {
        extensions: BTreeMap<String, IgnoredAny>,
    }
    let raw = message.meta_member_raw("io.modelcontextprotocol/clientCapabilities");
    let declared = raw.and_then(|raw| serde_json::from_str::<Capabilities>(raw).ok());
    declared.is_some_and(|declared| declared.extensions.contains_key(EXTENSION))
}

/// What a client is told that has not declared it.
pub(crate) fn required() -> Value {
    json!({ "requiredCapabilities": { "extensions": { EXTENSION: {} } } })
}

/// Ids come from servers: their hash has a length, and no signs that mean something.
fn key((server, task): &Place) -> String {
    digest::hex(&digest::sha256(format!("{}:{server}{task}", server.len()).as_bytes()))
}

/// Keeps the task that `call` has become, if `message`, its answer, says so. What cannot be kept is known until a restart
/// only.
pub(crate) async fn note(call: &Call, server: &str, message: &Message) {
    if call.method().starts_with("tasks/")
        || message.kind() != Kind::Result
        || message.bytes().len() > HANDLE_BYTES_MAX
    {
        return;
    }
    let Some(task) = id(message).filter(|task| task.len() <= ID_BYTES_MAX) else { return };
    let begun = Begun {
        agent: call.link.party().to_owned(),
        cuts: call.cuts().clone(),
        method: call.method().to_owned(),
        name: call.name().map(str::to_owned),
        generation: call.permitted_under(),
    };
    let (node, place) = (call.node.clone(), (server.to_owned(), task));
    let now_ms = node.now_ms();
    let kept = tokio::task::spawn_blocking(move || node.begun.keep(place, begun, now_ms)).await;
    match kept {
        Ok(Ok(())) => {}
        Ok(Err(error)) => {
            tracing::warn!(target: "lockgate::forward", %error, server, "a task is known until a restart only");
        }
        Err(panic) => std::panic::resume_unwind(panic.into_panic()),
    }
}

/// The id of the task that a call has become, if it has.
fn id(message: &Message) -> Option<String> {
    let read = |raw: &str| serde_json::from_str::<Value>(raw).ok();
    let id = match message.result_member_raw("task").and_then(read) {
        Some(task) => task.get("taskId").cloned(),
        None => message.result_member_raw("taskId").and_then(read),
    };
    id?.as_str().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begun(agent: &str, hidden: &[&str]) -> Begun {
        let hidden = hidden.iter().map(|name| (*name).to_owned()).collect();
        let cuts = Cuts::of_fields(Some(&ResultFields { only: None, hidden }));
        let (method, name) = ("tools/call".to_owned(), Some("long".to_owned()));
        Begun { agent: agent.to_owned(), cuts, method, name, generation: Some(1) }
    }

    fn place(server: &str, task: &str) -> Place {
        (server.to_owned(), task.to_owned())
    }

    #[test]
    fn a_task_outlives_a_restart_with_its_agent_and_its_cuts() {
        let store = Store::in_memory().unwrap();
        let tasks = Tasks::load(store.clone()).unwrap();
        tasks.keep(place("crm", "t/1"), begun("ann", &["ssn"]), 1).unwrap();
        for tasks in [tasks, Tasks::load(store).unwrap()] {
            let known = tasks.of("crm", "t/1", "ann").unwrap();
            assert_eq!(known.cuts.said().next().unwrap().hidden.first().unwrap(), "ssn");
            assert_eq!((known.method.as_str(), known.name.as_deref()), ("tools/call", Some("long")));
            for (server, task, agent) in
                [("crm", "t/1", "bob"), ("cr", "mt/1", "ann"), ("docs", "t/1", "ann"), ("crm", "t/2", "ann")]
            {
                assert!(tasks.of(server, task, agent).is_none(), "{server} {task} {agent}");
            }
        }
    }

    #[test]
    fn what_was_permitted_before_a_restart_is_of_no_generation_of_now() {
        let store = Store::in_memory().unwrap();
        Tasks::load(store.clone()).unwrap().keep(place("crm", "t"), begun("ann", &[]), 1).unwrap();
        assert_eq!(Tasks::load(store).unwrap().of("crm", "t", "ann").unwrap().generation, None);
    }

    #[test]
    fn who_begins_many_tasks_pushes_out_its_own() {
        let store = Store::in_memory().unwrap();
        let tasks = Tasks::load(store.clone()).unwrap();
        tasks.keep(place("crm", "bobs"), begun("bob", &[]), 0).unwrap();
        for n in 0..=TASKS_PER_AGENT_MAX as u64 {
            tasks.keep(place("crm", &n.to_string()), begun("ann", &[]), n).unwrap();
        }
        for tasks in [tasks, Tasks::load(store.clone()).unwrap()] {
            assert!(tasks.of("crm", "bobs", "bob").is_some() && tasks.of("crm", "1000", "ann").is_some());
            assert!(tasks.of("crm", "0", "ann").is_none());
        }
        assert_eq!(store.list(TASKS, "").unwrap().len(), TASKS_PER_AGENT_MAX + 1);
        // The same task again takes no further room.
        let tasks = Tasks::load(store.clone()).unwrap();
        tasks.keep(place("crm", "bobs"), begun("bob", &[]), 0).unwrap();
        assert_eq!(store.list(TASKS, "").unwrap().len(), TASKS_PER_AGENT_MAX + 1);
    }
}
