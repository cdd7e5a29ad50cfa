//! What may be sent again after its link was cut under it, when the gateway may have seen it.

use std::collections::HashSet;

use lockgate_mcp::Message;
use lockgate_tunnel::Repeat;
use parking_lot::Mutex;
use serde::Deserialize;

/// Methods that ask and change nothing, or whose second time changes the same as the first.
const REPEATABLE: [&str; 17] = [
    "ping",
    "server/discover",
    // A second session; the first is used by nobody and ends by itself.
    "initialize",
    "tools/list",
    "resources/list",
    "resources/templates/list",
    "resources/read",
    "resources/subscribe",
    "resources/unsubscribe",
    "subscriptions/listen",
    "prompts/list",
    "prompts/get",
    "completion/complete",
    "logging/setLevel",
    "notifications/initialized",
    "notifications/cancelled",
    "notifications/roots/list_changed",
];

/// Tools remembered as safe to call twice.
const TOOLS_MAX: usize = 10_000;

/// Bytes of all their names together.
const NAMES_BYTES_MAX: usize = 1 << 20;

/// Tools that are safe to call twice: by their own word, in a list that passed the gateway's judgement.
#[derive(Debug, Default)]
pub(super) struct Repeatable(Mutex<Names>);

#[derive(Debug, Default)]
struct Names {
    tools: HashSet<String>,
    bytes: usize,
}

/// What counts of a tool's annotations (MCP, `ToolAnnotations`).
#[derive(Deserialize)]
struct Tool {
    #[serde(default)]
    annotations: Annotations,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Annotations {
    #[serde(default)]
    read_only_hint: Option<bool>,
    #[serde(default)]
    idempotent_hint: Option<bool>,
}

impl Repeatable {
    /// Learns what a listed tool, as it was written, says of itself. A later list takes back what an earlier one said.
    pub(super) fn learn(&self, name: &str, raw: &str) {
        let said = serde_json::from_str::<Tool>(raw).map(|tool| tool.annotations);
        let safe =
            said.is_ok_and(|said| said.read_only_hint == Some(true) || said.idempotent_hint == Some(true));
        let mut names = self.0.lock();
        if names.tools.remove(name) {
            names.bytes -= name.len();
        }
        if safe && names.tools.len() < TOOLS_MAX && names.bytes + name.len() <= NAMES_BYTES_MAX {
            names.bytes += name.len();
            names.tools.insert(name.to_owned());
        }
    }

    /// Whether a message may be sent again.
    pub(super) fn of(&self, message: &Message) -> Repeat {
        match message.method() {
            Some("tools/call") if message.name().is_some_and(|name| self.0.lock().tools.contains(name)) => {
                Repeat::Safe
            }
            method => of_method(method),
        }
    }
}

/// Whether a message with this method may be sent again, when nothing is known of tools.
pub(super) fn of_method(method: Option<&str>) -> Repeat {
    match method {
        Some(method) if REPEATABLE.contains(&method) => Repeat::Safe,
        // Answers to the server, too: whether it took the first is not known.
        _ => Repeat::Never,
    }
}

#[cfg(test)]
mod tests {
    use lockgate_mcp::Limits;

    use super::*;

    fn call(tool: &str) -> Message {
        let text =
            format!(r#"{{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{{"name":"{tool}"}}}}"#);
        Message::decode(text.into(), &Limits::default()).unwrap()
    }

    #[test]
    fn tools_are_called_twice_only_by_their_own_word() {
        let tools = Repeatable::default();
        assert_eq!(tools.of(&call("a")), Repeat::Never, "unknown");
        for (annotations, expected) in [
            (r#","annotations":{"readOnlyHint":true}"#, Repeat::Safe),
            (r#","annotations":{"idempotentHint":true,"destructiveHint":true}"#, Repeat::Safe),
            (r#","annotations":{"readOnlyHint":false}"#, Repeat::Never),
            (r#","annotations":{}"#, Repeat::Never),
            (r#","annotations":{"readOnlyHint":"true"}"#, Repeat::Never),
            ("", Repeat::Never),
        ] {
            tools.learn("a", &format!(r#"{{"name":"a"{annotations}}}"#));
            assert_eq!(tools.of(&call("a")), expected, "{annotations}");
        }
    }

    #[test]
    fn methods_that_only_ask() {
        for (method, expected) in [
            (Some("tools/list"), Repeat::Safe),
            (Some("ping"), Repeat::Safe),
            (Some("tools/call"), Repeat::Never),
            (Some("sampling/createMessage"), Repeat::Never),
            (Some("vendor/anything"), Repeat::Never),
            (None, Repeat::Never),
        ] {
            assert_eq!(of_method(method), expected, "{method:?}");
        }
    }

    #[test]
    fn memory_is_bounded() {
        let tools = Repeatable::default();
        let name = "x".repeat(NAMES_BYTES_MAX / 2 + 1);
        for first in ["a", "b"] {
            tools.learn(&format!("{first}{name}"), r#"{"annotations":{"readOnlyHint":true}}"#);
        }
        assert_eq!(tools.0.lock().tools.len(), 1);
    }
}
