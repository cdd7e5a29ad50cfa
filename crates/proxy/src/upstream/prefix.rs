//! One server's stream among those of all servers together: whatever in it is an address carries the server's id.
//!
//! Ids and progress tokens of the server's own requests become `server+id`, so that the client's answer finds its way
//! back; so do URIs of its resources, and event ids, so that a stream can be resumed at the server that it came from.

use std::sync::Arc;

use bytes::Bytes;
use lockgate_mcp::sse::{self, Event};
use lockgate_mcp::{Kind, Message};
use serde_json::Value;

use super::Frame;

/// What stands between the server's id and the server's own name for something.
const SEPARATOR: char = '+';

/// The server's id and the rest of an address that [`join`] made.
pub(crate) fn split(address: &str) -> Option<(&str, &str)> {
    address.split_once(SEPARATOR)
}

fn join(server: &str, own: &str) -> String {
    format!("{server}{SEPARATOR}{own}")
}

fn join_json(server: &str, own: &str) -> String {
    Value::from(join(server, own)).to_string()
}

/// A frame of `server` as clients of all servers together see it.
pub(super) fn frame(server: &Arc<str>, frame: Frame) -> Frame {
    let message = frame.message.map(|m| message(server, &m));
    let raw = match &frame.event {
        Some(event) if !event.is_comment => framed(server, event, message.as_ref()),
        // Comments keep the connection alive, and name nothing.
        Some(_) => frame.raw,
        None => message.as_ref().map_or(frame.raw, |m| sse::encode(m.bytes())),
    };
    let event = frame.event.map(|event| Event {
        raw: raw.clone(),
        id: event.id.as_deref().map(|id| join(server, id)),
        ..event
    });
    Frame { server: Some(server.clone()), raw, event, message }
}

/// The event anew, with its id prefixed. Only the fields that mean something to a client of MCP are kept.
fn framed(server: &str, event: &Event, message: Option<&Message>) -> Bytes {
    let mut text = String::new();
    if let Some(id) = &event.id {
        text.push_str(&format!("id: {}\n", join(server, id)));
    }
    if let Some(name) = &event.event {
        text.push_str(&format!("event: {name}\n"));
    }
    if let Some(retry) = event.retry {
        text.push_str(&format!("retry: {retry}\n"));
    }
    let data = sse::encode(message.map_or(&b""[..], |m| m.bytes()));
    [text.as_bytes(), &data].concat().into()
}

fn message(server: &str, message: &Message) -> Message {
    let renamed = match (message.kind(), message.method()) {
        (Kind::Request, _) => Some(request(server, message)),
        (Kind::Notification, Some("notifications/resources/updated")) => {
            let uri =
                message.params_member_raw("uri").and_then(|raw| serde_json::from_str::<String>(raw).ok());
            uri.map(|uri| message.with_name(&join(server, &uri)))
        }
        // The server takes back a request of its own, which the client knows by another id.
        (Kind::Notification, Some("notifications/cancelled")) => {
            let id = message.params_member_raw("requestId").map(|raw| join_json(server, raw));
            id.and_then(|id| message.with_params_member("requestId", &id).ok())
        }
        _ => None,
    };
    renamed.unwrap_or_else(|| message.clone())
}

fn request(server: &str, message: &Message) -> Message {
    let id = join_json(server, message.id_raw().unwrap_or("null"));
    let token = message.progress_token_raw().map(|token| join_json(server, token));
    let renamed = message.with_id(&id);
    match token {
        Some(token) => renamed.with_progress_token(&token),
        None => renamed,
    }
}

#[cfg(test)]
mod tests {
    use lockgate_mcp::sse::Splitter;

    use super::*;

    fn seen(stream: &str) -> Vec<String> {
        let (mut splitter, server) = (Splitter::new(4096), Arc::from("docs"));
        splitter.push(stream.as_bytes());
        let mut seen = Vec::new();
        while let Some(event) = splitter.next().unwrap() {
            let data = event.data.clone().filter(|data| !data.is_empty());
            let message = data.map(|d| Message::decode(d, &lockgate_mcp::Limits::default()).unwrap());
            let raw = event.raw.clone();
            let frame = frame(&server, Frame { server: None, raw, event: Some(event), message });
            assert_eq!(frame.server.as_deref(), Some("docs"));
            seen.push(String::from_utf8(frame.raw.to_vec()).unwrap());
        }
        seen
    }

    #[test]
    fn whatever_is_an_address_carries_the_servers_id() {
        for (stream, expected) in [
            (": keep-alive\n\n", ": keep-alive\n\n"),
            ("id: 7\nretry: 1500\ndata: \n\n", "id: docs+7\nretry: 1500\ndata: \n\n"),
            (
                "id: 8\ndata: {\"jsonrpc\":\"2.0\",\"id\":1,\"method\":\"roots/list\",\"params\":{\"_meta\":{\"progressToken\":\"t\"}}}\n\n",
                "id: docs+8\ndata: {\"jsonrpc\":\"2.0\",\"id\":\"docs+1\",\"method\":\"roots/list\",\"params\":{\"_meta\":{\"progressToken\":\"docs+\\\"t\\\"\"}}}\n\n",
            ),
            (
                "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{\"uri\":\"file:///a\"}}\n\n",
                "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/resources/updated\",\"params\":{\"uri\":\"docs+file:///a\"}}\n\n",
            ),
            (
                "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":\"x\"}}\n\n",
                "data: {\"jsonrpc\":\"2.0\",\"method\":\"notifications/cancelled\",\"params\":{\"requestId\":\"docs+\\\"x\\\"\"}}\n\n",
            ),
            (
                "event: message\nid: 9\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"n\":1.0}}\n\n",
                "id: docs+9\nevent: message\ndata: {\"jsonrpc\":\"2.0\",\"id\":7,\"result\":{\"n\":1.0}}\n\n",
            ),
        ] {
            assert_eq!(seen(stream), [expected]);
        }
    }
}
