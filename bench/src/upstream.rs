//! The minimal MCP server that all calls go to: HTTP/1.1, both protocol eras, results made beforehand.
//!
//! It does as little as a server can, so that what is measured is what stands in front of it.

use std::borrow::Cow;
use std::convert::Infallible;
use std::io::Write as _;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::net::TcpListener;

/// The path of the endpoint; others are answered alike.
pub(crate) const PATH: &str = "/mcp";
/// The tools: their names, and the size of their results in KiB.
pub(crate) const TOOLS: [(&str, usize); 2] = [("result-1-kib", 1), ("result-64-kib", 64)];

/// What a result is filled with: plain text with line breaks and quotes, as tools return it.
const TEXT: &str = r#"Berth 17: manifest \"B-2041\" checked, three seals intact, next tide 06:40.\n"#;

static RESULTS: LazyLock<[String; 2]> = LazyLock::new(|| TOOLS.map(|(_, kib)| result(kib)));
static SESSIONS: AtomicU64 = AtomicU64::new(0);

/// The result of `initialize`.
const INITIALIZED: &str = r#"{"protocolVersion":"2025-11-25","capabilities":{"tools":{}},"serverInfo":{"name":"lockgate-bench","version":"1"}}"#;
/// What is read of a message.
#[derive(Deserialize)]
struct Message<'a> {
    #[serde(borrow)]
    id: Option<&'a RawValue>,
    #[serde(borrow, default)]
    method: Cow<'a, str>,
    #[serde(borrow)]
    params: Option<Params<'a>>,
}

#[derive(Deserialize)]
struct Params<'a> {
    #[serde(borrow)]
    name: Option<Cow<'a, str>>,
}

/// Serves on a port of the system's choice, and prints it.
pub(crate) async fn serve() -> Result<()> {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await?;
    let mut out = std::io::stdout().lock();
    writeln!(out, "{}", listener.local_addr()?.port())?;
    out.flush()?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        // A connection that breaks is its client's affair.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), service_fn(answer)));
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (parts, body) = request.into_parts();
    let mut response = Response::new(Full::default());
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    *response.status_mut() = match parts.method {
        Method::POST => match serde_json::from_slice(&body) {
            Ok(message) => fill(&message, &mut response),
            Err(_) => StatusCode::BAD_REQUEST,
        },
        Method::DELETE => StatusCode::OK,
        _ => StatusCode::METHOD_NOT_ALLOWED,
    };
    Ok(response)
}

fn fill(message: &Message<'_>, response: &mut Response<Full<Bytes>>) -> StatusCode {
    let Some(id) = message.id else { return StatusCode::ACCEPTED };
    let result = match &*message.method {
        "initialize" => {
            let session = format!("bench-{}", SESSIONS.fetch_add(1, Ordering::Relaxed));
            let session = HeaderValue::from_str(&session).expect("a number is a header value");
            response.headers_mut().insert("mcp-session-id", session);
            INITIALIZED
        }
        "tools/call" => {
            let name = message.params.as_ref().and_then(|params| params.name.as_deref());
            let at = TOOLS.iter().position(|(tool, _)| Some(*tool) == name);
            let Some(at) = at else { return StatusCode::BAD_REQUEST };
            &RESULTS[at]
        }
        _ => "{}",
    };
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    *response.body_mut() = Full::new(reply(id.get(), result));
    StatusCode::OK
}

/// The whole response to the call with this id.
pub(crate) fn reply(id: &str, result: &str) -> Bytes {
    [r#"{"jsonrpc":"2.0","id":"#, id, r#","result":"#, result, "}"].concat().into()
}

/// A tool's result of exactly this many KiB.
pub(crate) fn result(kib: usize) -> String {
    let (open, close) = (r#"{"resultType":"complete","content":[{"type":"text","text":""#, r#""}]}"#);
    let room = kib * 1024 - open.len() - close.len();
    let (whole, rest) = (TEXT.repeat(room / TEXT.len()), " ".repeat(room % TEXT.len()));
    [open, &whole, &rest, close].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_have_their_size_and_are_sound() {
        for (name, kib) in TOOLS {
            assert_eq!(result(kib).len(), kib * 1024);
            let reply: serde_json::Value =
                serde_json::from_slice(&reply("\"a\"", &result(kib))).expect("JSON");
            assert_eq!(reply["id"], "a", "{name}");
            assert!(reply["result"]["content"][0]["text"].is_string());
        }
        assert!(serde_json::from_str::<serde_json::Value>(INITIALIZED).is_ok());
    }

    #[test]
    fn messages_are_read_as_clients_write_them() {
        let call = r#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"a","_meta":{}}}"#;
        let message: Message<'_> = serde_json::from_str(call).expect("a call");
        assert_eq!(message.id.map(RawValue::get), Some("7"));
        assert_eq!(message.params.and_then(|params| params.name).as_deref(), Some("a"));
        let note = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
        assert!(serde_json::from_str::<Message<'_>>(note).expect("a notification").id.is_none());
    }
}
