//! What an answer means, without a socket: everything in it is a stranger's.

use lockgate_mcp::sse::Splitter;
use serde_json::Value;

use crate::map::{Authentication, Confidence, Tool};

/// Letters of a name that is taken from an answer.
const NAME_LETTERS_MAX: usize = 200;
/// `UnsupportedProtocolVersion` (MCP 2026-07-28).
const UNSUPPORTED_VERSION: i64 = lockgate_mcp::reply::code::UNSUPPORTED_VERSION;

/// An answer over HTTP, its body cut at the limit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// `Content-Type` without parameters, in lower case.
    pub kind: String,
    /// `WWW-Authenticate`.
    pub challenge: Option<String>,
    /// The body, or what came of it within limit and time.
    pub body: Vec<u8>,
}

/// What a positive answer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// How sure it is.
    pub confidence: Confidence,
    /// How it wants callers to prove who they are.
    pub authentication: Authentication,
    /// Its own name.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
}

/// What a server card says.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Card {
    /// Its name.
    pub name: Option<String>,
    /// Its version.
    pub version: Option<String>,
    /// Path of its endpoint at the same place.
    pub path: Option<String>,
}

impl Answer {
    /// The JSON-RPC message in it: the body, or the first event that holds one.
    #[must_use]
    pub fn message(&self) -> Option<Value> {
        let whole = |bytes: &[u8]| {
            serde_json::from_slice::<Value>(bytes).ok().filter(|value| value["jsonrpc"] == "2.0")
        };
        if self.kind != "text/event-stream" {
            return whole(&self.body);
        }
        self.events().find_map(|event| whole(&event.data?))
    }

    /// Whether a JSON-RPC message is in it.
    #[must_use]
    pub fn is_json_rpc(&self) -> bool {
        self.message().is_some()
    }

    fn events(&self) -> impl Iterator<Item = lockgate_mcp::sse::Event> {
        let mut splitter = Splitter::new(self.body.len().max(1) + 2);
        splitter.push(&self.body);
        // A stream that stays open, or was cut, has no empty line behind its last event.
        splitter.push(b"\n\n");
        std::iter::from_fn(move || splitter.next().ok().flatten())
    }

    fn refusal(&self) -> Option<Verdict> {
        if !matches!(self.status, 401 | 403) {
            return None;
        }
        let challenge = self.challenge.as_deref().unwrap_or_default();
        // RFC 9728 section 5.1: only a protected resource has such metadata.
        let metadata = challenge.contains("resource_metadata");
        let authentication = if metadata { Authentication::OAuth } else { Authentication::Required };
        Some(Verdict { confidence: Confidence::Likely, authentication, name: None, version: None })
    }
}

/// The answer to `server/discover`.
#[must_use]
pub fn modern(answer: &Answer) -> Option<Verdict> {
    if let Some(refused) = answer.refusal() {
        return Some(refused);
    }
    let message = answer.message()?;
    if message["error"]["code"].as_i64() == Some(UNSUPPORTED_VERSION) {
        return Some(confirmed(&Value::Null));
    }
    let result = message.get("result")?;
    let is_discovery = result.get("supportedVersions").is_some() || result.get("protocolVersions").is_some();
    (is_discovery || (result.get("capabilities").is_some() && result.get("serverInfo").is_some()))
        .then(|| confirmed(&result["serverInfo"]))
}

/// The answer to `initialize`.
#[must_use]
pub fn legacy(answer: &Answer) -> Option<Verdict> {
    if let Some(refused) = answer.refusal() {
        return Some(refused);
    }
    let message = answer.message()?;
    let result = message.get("result")?;
    result["protocolVersion"].as_str()?;
    Some(confirmed(&result["serverInfo"]))
}

fn confirmed(info: &Value) -> Verdict {
    Verdict {
        confidence: Confidence::Confirmed,
        authentication: Authentication::None,
        name: text(&info["name"]),
        version: text(&info["version"]),
    }
}

/// A server card.
#[must_use]
pub fn card(answer: &Answer) -> Option<Card> {
    if answer.status != 200 {
        return None;
    }
    let card: Value = serde_json::from_slice(&answer.body).ok()?;
    let card = card.as_object()?;
    let info = card.get("serverInfo").unwrap_or(&Value::Null);
    let is_card = ["serverInfo", "protocolVersion", "mcp_version", "transport", "transports", "remotes"]
        .iter()
        .any(|name| card.contains_key(*name));
    let path = card
        .get("transport")
        .and_then(|transport| text(&transport["endpoint"]))
        .filter(|path| path.starts_with('/') && !path.starts_with("//"));
    let name = text(&info["name"]).or_else(|| text(card.get("name")?));
    let version = text(&info["version"]).or_else(|| text(card.get("version")?));
    is_card.then_some(Card { name, version, path })
}

/// Whether it is metadata of a protected resource (RFC 9728).
#[must_use]
pub fn protected_resource(answer: &Answer) -> bool {
    let metadata = serde_json::from_slice::<Value>(&answer.body);
    answer.status == 200
        && metadata.is_ok_and(|metadata| {
            metadata["resource"].is_string() && metadata["authorization_servers"].is_array()
        })
}

/// Whether it is the stream of the earlier transport, which begins by saying where to post (2024-11-05).
#[must_use]
pub fn opens_events(answer: &Answer) -> bool {
    let first = || answer.events().find(|event| !event.is_comment);
    answer.status == 200
        && answer.kind == "text/event-stream"
        && first().is_some_and(|event| {
            event.event.as_deref() == Some("endpoint") && event.data.is_some_and(|data| !data.is_empty())
        })
}

/// The tools of an answer to `tools/list`.
#[must_use]
pub fn tools(answer: &Answer, tools_max: usize) -> Vec<Tool> {
    let message = answer.message().unwrap_or_default();
    let tools = message["result"]["tools"].as_array().map(Vec::as_slice).unwrap_or_default();
    let tool = |tool: &Value| {
        let hints = &tool["annotations"];
        Some(Tool {
            name: text(&tool["name"])?,
            read_only: hints["readOnlyHint"].as_bool(),
            destructive: hints["destructiveHint"].as_bool(),
            open_world: hints["openWorldHint"].as_bool(),
        })
    };
    tools.iter().take(tools_max).filter_map(tool).collect()
}

fn text(value: &Value) -> Option<String> {
    value.as_str().filter(|text| !text.is_empty()).map(|text| text.chars().take(NAME_LETTERS_MAX).collect())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    fn answer(status: u16, kind: &str, body: &str) -> Answer {
        Answer { status, kind: kind.into(), challenge: None, body: body.into() }
    }

    #[test]
    fn what_is_an_mcp_server_and_what_is_not() {
        let json = "application/json";
        let events = "text/event-stream";
        let is =
            |answer: &Answer| modern(answer).or_else(|| legacy(answer)).map(|verdict| verdict.confidence);
        for (status, kind, body, confidence) in [
            (
                200,
                json,
                r#"{"jsonrpc":"2.0","id":1,"result":{"supportedVersions":["2026-07-28"],"serverInfo":{"name":"s"}}}"#,
                Some(Confidence::Confirmed),
            ),
            (
                400,
                json,
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32022,"message":"no"}}"#,
                Some(Confidence::Confirmed),
            ),
            (
                200,
                events,
                "event: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{\"protocolVersion\":\"2025-11-25\"}}",
                Some(Confidence::Confirmed),
            ),
            (401, "text/html", "<html>", Some(Confidence::Likely)),
            (200, "text/html", "<html>", None),
            (200, json, r#"{"jsonrpc":"2.0","id":1,"result":{}}"#, None),
            (200, json, r#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601}}"#, None),
            (200, json, r#"{"result":{"protocolVersion":"x"}}"#, None),
            (200, json, "[[[[", None),
            (200, events, "data: {", None),
        ] {
            assert_eq!(is(&answer(status, kind, body)), confidence, "{body}");
        }
        let challenged = Answer {
            challenge: Some("Bearer resource_metadata=\"https://h\"".into()),
            ..answer(401, "", "")
        };
        assert_eq!(modern(&challenged).unwrap().authentication, Authentication::OAuth);
    }

    #[test]
    fn cards_events_and_tools() {
        assert_eq!(
            card(&answer(
                200,
                "",
                r#"{"serverInfo":{"name":"n","version":"1"},"transport":{"endpoint":"/x"}}"#
            )),
            Some(Card { name: Some("n".into()), version: Some("1".into()), path: Some("/x".into()) })
        );
        for none in ["{}", "[]", "x", r#"{"name":"n"}"#] {
            assert_eq!(card(&answer(200, "", none)), None, "{none}");
        }
        let evil = card(&answer(200, "", r#"{"transport":{"endpoint":"//evil.example/x"}}"#)).unwrap();
        assert_eq!(evil.path, None);
        assert!(opens_events(&answer(
            200,
            "text/event-stream",
            ": hi\n\nevent: endpoint\ndata: /messages?x=1\n\n"
        )));
        assert!(!opens_events(&answer(200, "text/event-stream", "event: other\ndata: x\n\n")));
        let many = (0..3)
            .map(|n| format!("{{\"name\":\"t{n}\",\"annotations\":{{\"destructiveHint\":true}}}}"))
            .collect::<Vec<_>>()
            .join(",");
        let listed = tools(
            &answer(
                200,
                "application/json",
                &format!("{{\"jsonrpc\":\"2.0\",\"id\":1,\"result\":{{\"tools\":[{many}]}}}}"),
            ),
            2,
        );
        assert_eq!(listed.len(), 2);
        assert_eq!(listed[0].destructive, Some(true));
    }
}
