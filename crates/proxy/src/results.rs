//! What of a result may pass, where the policies that permitted its call say so.
//!
//! The fields travel with the call: through streams, and with an answer that a client fetches later. A result that cannot
//! be cut to its fields is withheld whole.

use std::num::NonZeroUsize;
use std::sync::Arc;

use lockgate_mcp::{Kind, Message, reply};
use lockgate_policy::ResultFields;
use lru::LruCache;
use parking_lot::Mutex;
use serde_json::{Map, Value};

use crate::call::Call;
use crate::project;
use crate::refusal::Refusal;

/// Tasks whose results are still to be cut; the one not asked after for longest makes room.
const TASKS_MAX: usize = 10_000;

/// Fields of results that come as tasks: the call that was permitted ends with the task's id, and its result comes by
/// another call.
pub(crate) struct TaskFields(Mutex<LruCache<(String, String), Arc<ResultFields>>>);

impl Default for TaskFields {
    fn default() -> Self {
        let tasks = LruCache::new(NonZeroUsize::new(TASKS_MAX).expect("tasks are remembered"));
        Self(Mutex::new(tasks))
    }
}

impl TaskFields {
    fn get(&self, server: &str, task: &str) -> Option<Arc<ResultFields>> {
        self.0.lock().get(&(server.to_owned(), task.to_owned())).cloned()
    }

    fn put(&self, server: &str, task: String, fields: Arc<ResultFields>) {
        self.0.lock().put((server.to_owned(), task), fields);
    }
}

/// Whether results of a method are of the protocol rather than of the server's data: there is nothing to cut in them.
fn is_protocol(method: &str) -> bool {
    matches!(
        method,
        "initialize"
            | "ping"
            | "server/discover"
            | "logging/setLevel"
            | "completion/complete"
            | "tasks/cancel"
    ) || method.ends_with("/list")
        || method.ends_with("subscribe")
        || method == "subscriptions/listen"
}

/// The part of an answer to `call` that may pass. What no policy restricts passes as it came.
///
/// # Errors
/// [`Refusal::Unprojected`]: nothing of it may.
pub(crate) fn projected(
    call: &Call,
    server: &str,
    method: &str,
    message: Message,
) -> Result<Message, Refusal> {
    let tasks = &call.node.task_fields;
    let of_task =
        call.name().filter(|_| method.starts_with("tasks/")).and_then(|task| tasks.get(server, task));
    let all: Vec<&ResultFields> = call.fields().into_iter().chain(of_task.as_deref()).collect();
    if all.is_empty() || is_protocol(method) {
        return Ok(message);
    }
    if message.kind() == Kind::Error {
        return silent(call, &message);
    }
    if let (Some(task), Some(fields)) = (task_id(&message), call.shared_fields()) {
        tasks.put(server, task, fields);
    }
    all.into_iter().try_fold(message, |message, fields| cut(call, &message, fields))
}

/// The id of the task that a call has become, if it has.
fn task_id(message: &Message) -> Option<String> {
    let task = message.result_member_raw("task").or_else(|| message.result_raw())?;
    let task: Value = serde_json::from_str(task).ok()?;
    task.get("taskId")?.as_str().map(str::to_owned)
}

/// An error in the server's words could say what its result may not.
fn silent(call: &Call, message: &Message) -> Result<Message, Refusal> {
    let code = message.error_code().unwrap_or(reply::code::INTERNAL_ERROR);
    let text = "the server answered with an error; policy lets only certain fields of its answers pass";
    let bytes = reply::error(message.id_raw(), code, text, None);
    Message::decode(bytes, &call.node.limits.results()).map_err(Refusal::Decode)
}

fn cut(call: &Call, message: &Message, fields: &ResultFields) -> Result<Message, Refusal> {
    let unreadable = |why: &str| Refusal::Unprojected { why: why.to_owned() };
    // Only requests of our clients are answered with results that anybody sees.
    let (Some(id), Some(raw)) = (message.id_raw(), message.result_raw()) else {
        return Err(unreadable("it is no result"));
    };
    let whole: Map<String, Value> = serde_json::from_str(raw).map_err(|_| unreadable("it is no object"))?;
    let bytes = reply::result(id, &Value::Object(project::result(whole, fields)).to_string());
    Message::decode(bytes, &call.node.limits.results()).map_err(Refusal::Decode)
}
