//! What comes back over the tunnel for one request: a JSON body or an event stream, and how it can go wrong.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::BodyExt as _;
use lockgate_mcp::sse::{Event, Splitter};
use lockgate_mcp::{Limits, Message, reply};
use lockgate_transport::http::{Body, PoolError};

use crate::endpoint::Endpoint;
use crate::trouble;

/// Framing that an event may add to the message in it: `data: ` on each line, id, type.
const FRAMING_BYTES_MAX: usize = 64 << 10;

/// Pause before a stream that ended is opened again, unless the server asks for another; it grows up to the maximum.
const RESUME_MS: u64 = 1_000;
const RESUME_MS_MAX: u64 = 30_000;

/// Longest pause that a server can ask for: an hour.
const RETRY_MS_MAX: u64 = 3_600_000;

/// Bytes of an answer that is no message which are repeated in the error.
const EXCERPT_BYTES_MAX: usize = 200;

/// Why a request has no answer of its own.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unanswered {
    /// The tunnel, before or during the exchange.
    #[error("{0}")]
    Tunnel(PoolError),
    /// The stream ended, or the answer was empty.
    #[error("the stream ended before the answer came")]
    NoAnswer,
    /// The gateway no longer knows the session.
    #[error("the session has ended")]
    SessionLost,
    /// A status that says no, with whatever came with it.
    #[error("the gateway answered {0}")]
    Status(StatusCode, Bytes),
    /// An answer that is no message.
    #[error("the answer is no MCP message: {0}")]
    Malformed(String),
}

impl Unanswered {
    /// The JSON-RPC error for the client that waits. An error of the gateway is passed on as it is, under the right id.
    pub(super) fn reply(&self, id: Option<&str>, endpoint: &Endpoint) -> Bytes {
        let own = |code: &'static str, text: String, hint: Option<&str>| {
            let data = serde_json::json!({ "lockgate": { "code": code, "hint": hint } });
            reply::error(id, reply::code::UPSTREAM, &text, Some(&data))
        };
        match self {
            Self::Tunnel(error) => {
                let problem = trouble::exchange(error, endpoint);
                let why = problem.causes.first().map_or_else(String::new, |cause| format!(": {cause}"));
                own(problem.code, format!("{}{why}", problem.what), problem.hints.first().map(String::as_str))
            }
            Self::NoAnswer => own(
                "LG-M002",
                "the answer's stream ended before the answer came".to_owned(),
                Some("repeat the call if it is safe to repeat"),
            ),
            Self::SessionLost => own(
                "LG-M003",
                "the session has ended and could not be opened anew".to_owned(),
                Some("connect again"),
            ),
            Self::Status(status, body) => error_of(id, body).unwrap_or_else(|| {
                own("LG-N004", format!("the gateway answered {status}: {}", excerpt(body)), None)
            }),
            Self::Malformed(why) => own("LG-M001", format!("the answer is no MCP message: {why}"), None),
        }
    }
}

/// The gateway's JSON-RPC error, under the id of the request if it has none itself.
fn error_of(id: Option<&str>, body: &Bytes) -> Option<Bytes> {
    let message = Message::decode(body.clone(), &Limits::default()).ok()?;
    message.error_raw()?;
    if message.id_raw().is_some() || id.is_none() {
        return Some(body.clone());
    }
    #[derive(serde::Deserialize)]
    struct Error {
        code: i64,
        #[serde(default)]
        message: String,
        data: Option<serde_json::Value>,
    }
    let error: Error = serde_json::from_str(message.error_raw()?).ok()?;
    Some(reply::error(id, error.code, &error.message, error.data.as_ref()))
}

/// Whether an answer is an event stream.
pub(super) fn is_stream(response: &Response<Body>) -> bool {
    let media = response.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    media.is_some_and(|media| {
        media.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case("text/event-stream"))
    })
}

/// Reads a body that is no stream.
pub(super) async fn collect(mut body: Body, bytes_max: usize) -> Result<Bytes, Unanswered> {
    let mut first = Bytes::new();
    let mut rest = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(Unanswered::Tunnel)?.into_data() else { continue };
        if first.len() + rest.len() + data.len() > bytes_max {
            return Err(Unanswered::Malformed(format!("it is larger than {bytes_max} bytes")));
        }
        // The common body comes in one piece, which is not copied.
        if first.is_empty() && rest.is_empty() {
            first = data;
        } else {
            if rest.is_empty() {
                rest.extend_from_slice(&std::mem::take(&mut first));
            }
            rest.extend_from_slice(&data);
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

/// The events of a stream, one after the other.
pub(super) struct Events {
    body: Body,
    splitter: Splitter,
}

impl Events {
    pub(super) fn new(body: Body, limits: &Limits) -> Self {
        Self { body, splitter: Splitter::new(limits.message_bytes_max + FRAMING_BYTES_MAX) }
    }

    /// The next event; none when the stream ended, by whoever's will.
    pub(super) async fn next(&mut self) -> Option<Event> {
        loop {
            match self.splitter.next() {
                Ok(Some(event)) => return Some(event),
                Ok(None) => {}
                Err(error) => {
                    tracing::warn!(%error, "stream given up");
                    return None;
                }
            }
            match self.body.frame().await? {
                Ok(frame) => {
                    if let Ok(data) = frame.into_data() {
                        self.splitter.push(&data);
                    }
                }
                Err(error) => {
                    tracing::debug!(%error, "stream broke");
                    return None;
                }
            }
        }
    }
}

/// Where a stream stopped, and when to come back.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) last: Option<HeaderValue>,
    retry_ms: Option<u64>,
    attempts: u32,
}

impl Place {
    pub(super) fn note(&mut self, event: &Event) {
        self.attempts = 0;
        if let Some(id) = &event.id {
            // An empty id means: resume from nowhere in particular.
            self.last = HeaderValue::try_from(id.as_str()).ok().filter(|id| !id.is_empty());
        }
        self.retry_ms = event.retry.or(self.retry_ms);
    }

    pub(super) fn pause(&mut self) -> Duration {
        let asked = self.retry_ms.unwrap_or(RESUME_MS).min(RETRY_MS_MAX);
        let pause = (asked << self.attempts.min(5)).min(RESUME_MS_MAX.max(asked));
        self.attempts += 1;
        Duration::from_millis(pause)
    }
}

fn excerpt(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(EXCERPT_BYTES_MAX)]);
    crate::output::visible(text.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn endpoint() -> Endpoint {
        "https://gw:1/mcp".parse().unwrap()
    }

    #[test]
    fn errors_of_the_gateway_keep_their_words_and_get_the_id() {
        let said = br#"{"jsonrpc":"2.0","error":{"code":-32020,"message":"no","data":{"x":1}}}"#;
        let reply = Unanswered::Status(StatusCode::BAD_REQUEST, Bytes::from_static(said))
            .reply(Some("\"7\""), &endpoint());
        let value: serde_json::Value = serde_json::from_slice(&reply).unwrap();
        assert_eq!(value["id"], "7");
        assert_eq!(value["error"]["code"], -32020);
        assert_eq!(value["error"]["data"]["x"], 1);
        let named = br#"{"jsonrpc":"2.0","id":7,"error":{"code":-1,"message":"no"}}"#;
        let reply =
            Unanswered::Status(StatusCode::OK, Bytes::from_static(named)).reply(Some("7"), &endpoint());
        assert_eq!(&reply[..], named);
    }

    #[test]
    fn other_answers_become_errors_of_our_own() {
        for (unanswered, code) in [
            (Unanswered::Status(StatusCode::BAD_GATEWAY, Bytes::from_static(b"<html>\x1b")), "LG-N004"),
            (Unanswered::NoAnswer, "LG-M002"),
            (Unanswered::SessionLost, "LG-M003"),
            (Unanswered::Malformed("x".into()), "LG-M001"),
        ] {
            let reply = unanswered.reply(Some("1"), &endpoint());
            let value: serde_json::Value = serde_json::from_slice(&reply).unwrap();
            assert_eq!(
                (value["id"].as_i64(), value["error"]["data"]["lockgate"]["code"].as_str()),
                (Some(1), Some(code))
            );
            assert!(crate::registry::find(code).is_some());
        }
    }
}
