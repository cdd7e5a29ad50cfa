//! The answers that we write ourselves.

use bytes::Bytes;
use serde_json::Value;

use crate::text;
use crate::version::Era;

/// JSON-RPC error codes: those of the specifications, and ours.
///
/// MCP reserves -32099 to -32020 for itself and forbids new uses of -32019 to -32000, so ours lie
/// outside -32768 to -32000 altogether.
pub mod code {
    /// Not JSON (JSON-RPC 2.0).
    pub const PARSE_ERROR: i64 = -32700;
    /// JSON, but not a message (JSON-RPC 2.0).
    pub const INVALID_REQUEST: i64 = -32600;
    /// Unknown method (JSON-RPC 2.0).
    pub const METHOD_NOT_FOUND: i64 = -32601;
    /// Wrong or missing parameters (JSON-RPC 2.0).
    pub const INVALID_PARAMS: i64 = -32602;
    /// The receiver failed (JSON-RPC 2.0).
    pub const INTERNAL_ERROR: i64 = -32603;
    /// HTTP headers and body disagree (MCP 2026-07-28).
    pub const HEADER_MISMATCH: i64 = -32020;
    /// The client lacks a capability that the call needs (MCP 2026-07-28).
    pub const MISSING_CLIENT_CAPABILITY: i64 = -32021;
    /// A protocol version that is not supported here (MCP 2026-07-28).
    pub const UNSUPPORTED_VERSION: i64 = -32022;

    /// Policy does not permit the call.
    pub const POLICY_DENIED: i64 = -31001;
    /// Detection holds the call until somebody approves it.
    pub const HELD: i64 = -31002;
    /// The server behind the gateway failed, or could not be reached.
    pub const UPSTREAM: i64 = -31003;
    /// The call could not be recorded, so it is refused.
    pub const AUDIT: i64 = -31004;
    /// A limit on load is reached; the call may be tried again later.
    pub const OVERLOADED: i64 = -31005;
    /// Policy killed the call: its link is cut and its agent locked out.
    pub const KILLED: i64 = -31006;
    /// The call waits for a person's approval; it may be made again later.
    pub const AWAITING_APPROVAL: i64 = -31007;
    /// The caller's agent, key, role, token or certificate is revoked.
    pub const REVOKED: i64 = -31008;
}

/// The HTTP status that goes with an error of this code over Streamable HTTP.
///
/// Modern clients learn it from the status whether a server speaks their era, and they read the
/// body of a 400 or 404 before they fall back. Legacy ones expect 200 for whatever was a
/// well-formed request. An error that comes from the server keeps the server's status.
#[must_use]
pub fn http_status(era: Era, code: i64) -> u16 {
    match (code, era) {
        (code::PARSE_ERROR | code::INVALID_REQUEST | code::HEADER_MISMATCH, _)
        | (code::MISSING_CLIENT_CAPABILITY | code::UNSUPPORTED_VERSION, _) => 400,
        (code::METHOD_NOT_FOUND, Era::Modern) => 404,
        (code::POLICY_DENIED | code::HELD | code::KILLED | code::REVOKED, Era::Modern) => 403,
        (code::UPSTREAM, Era::Modern) => 502,
        (code::AUDIT | code::OVERLOADED | code::AWAITING_APPROVAL, Era::Modern) => 503,
        _ => 200,
    }
}

/// An error message. Without an id the member is left out: MCP ids are strings or numbers, so a
/// null, as plain JSON-RPC would have it, breaks clients that check.
///
/// `id_raw` is JSON as [`Message::id_raw`](crate::Message::id_raw) gives it.
#[must_use]
pub fn error(id_raw: Option<&str>, code: i64, message: &str, data: Option<&Value>) -> Bytes {
    let id = id_raw.map(|raw| format!("\"id\":{raw},")).unwrap_or_default();
    let data = data.map(|data| format!(",\"data\":{data}")).unwrap_or_default();
    let message = text::encode(message);
    Bytes::from(format!(
        "{{\"jsonrpc\":\"2.0\",{id}\"error\":{{\"code\":{code},\"message\":{message}{data}}}}}"
    ))
}

/// A result message; `id_raw` and `result_raw` are JSON.
#[must_use]
pub fn result(id_raw: &str, result_raw: &str) -> Bytes {
    Bytes::from(format!("{{\"jsonrpc\":\"2.0\",\"id\":{id_raw},\"result\":{result_raw}}}"))
}

/// A request, or without an id a notification; `id_raw` and `params_raw` are JSON.
#[must_use]
pub fn call(id_raw: Option<&str>, method: &str, params_raw: Option<&str>) -> Bytes {
    let id = id_raw.map(|raw| format!("\"id\":{raw},")).unwrap_or_default();
    let params = params_raw.map(|raw| format!(",\"params\":{raw}")).unwrap_or_default();
    let method = text::encode(method);
    Bytes::from(format!("{{\"jsonrpc\":\"2.0\",{id}\"method\":{method}{params}}}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Kind, Limits, Message};

    fn decoded(bytes: Bytes) -> Message {
        Message::decode(bytes, &Limits::default()).unwrap()
    }

    #[test]
    fn what_we_write_we_can_read() {
        let data = serde_json::json!({"supported": ["a\"b"]});
        let reply = decoded(error(Some("\"x\\n1\""), code::POLICY_DENIED, "no: \"t\"\n", Some(&data)));
        assert_eq!((reply.kind(), reply.id_raw()), (Kind::Error, Some("\"x\\n1\"")));
        assert_eq!(reply.error_code(), Some(code::POLICY_DENIED));

        let reply = decoded(error(None, code::PARSE_ERROR, "m", None));
        assert_eq!((reply.kind(), reply.id_raw()), (Kind::Error, None));

        let reply = decoded(result("1.0", "{\"a\":1}"));
        assert_eq!((reply.id_raw(), reply.result_raw()), (Some("1.0"), Some("{\"a\":1}")));

        let request = decoded(call(Some("9"), "tools/list", Some("{}")));
        assert_eq!((request.kind(), request.params_raw()), (Kind::Request, Some("{}")));
        assert_eq!(decoded(call(None, "notifications/x", None)).kind(), Kind::Notification);
    }

    #[test]
    fn own_codes_are_outside_the_reserved_range() {
        let gates = [code::POLICY_DENIED, code::HELD, code::KILLED, code::AWAITING_APPROVAL, code::REVOKED];
        for own in gates.into_iter().chain([code::UPSTREAM, code::AUDIT, code::OVERLOADED]) {
            assert!(!(-32768..=-32000).contains(&own));
            assert_eq!(http_status(Era::Legacy, own), 200);
            assert!(http_status(Era::Modern, own) >= 400);
        }
    }

    #[test]
    fn modern_statuses() {
        for (code, status) in [
            (code::HEADER_MISMATCH, 400),
            (code::MISSING_CLIENT_CAPABILITY, 400),
            (code::UNSUPPORTED_VERSION, 400),
            (code::PARSE_ERROR, 400),
            (code::METHOD_NOT_FOUND, 404),
            (code::INVALID_PARAMS, 200),
        ] {
            assert_eq!(http_status(Era::Modern, code), status, "{code}");
        }
    }
}
