//! A server that does what a closure says: for what the wire server cannot be told to do.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use http::{HeaderMap, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// A request as it came.
pub(crate) struct Seen {
    pub(crate) verb: String,
    pub(crate) headers: HeaderMap,
    /// The JSON body; null without one.
    pub(crate) body: Value,
}

impl Seen {
    pub(crate) fn method(&self) -> &str {
        self.body["method"].as_str().unwrap_or_default()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().unwrap())
    }

    /// A result for this request.
    pub(crate) fn result(&self, result: Value) -> Value {
        json!({"jsonrpc": "2.0", "id": self.body["id"], "result": result})
    }

    /// What a server says to open a legacy session, and to all that needs no thought.
    pub(crate) fn usual(&self, session: &str) -> Answer {
        match (self.verb.as_str(), self.method()) {
            ("GET", _) => status(405),
            ("POST", "initialize") => {
                let result = json!({"protocolVersion": self.body["params"]["protocolVersion"],
                    "capabilities": {"tools": {}}, "serverInfo": {"name": "scripted", "version": "1"}});
                let mut answer = whole(200, &self.result(result));
                answer.headers_mut().insert("mcp-session-id", session.parse().unwrap());
                answer
            }
            ("POST", _) if self.body["id"].is_null() || self.method().is_empty() => status(202),
            ("POST", _) => whole(200, &self.result(json!({}))),
            _ => status(200),
        }
    }
}

pub(crate) type Answer = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// Starts a server and gives its address.
pub(crate) async fn scripted(script: impl Fn(Seen) -> Answer + Send + Sync + 'static) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let script = Arc::new(script);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let script = script.clone();
            let service = hyper::service::service_fn(move |request: http::Request<hyper::body::Incoming>| {
                let script = script.clone();
                async move {
                    let (parts, body) = request.into_parts();
                    let bytes = body.collect().await.unwrap().to_bytes();
                    let body = serde_json::from_slice(&bytes).unwrap_or_default();
                    let seen = Seen { verb: parts.method.to_string(), headers: parts.headers, body };
                    Ok::<_, Infallible>(script(seen))
                }
            });
            tokio::spawn(
                hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
            );
        }
    });
    address
}

/// A JSON body.
pub(crate) fn whole(code: u16, body: &Value) -> Answer {
    typed(code, "application/json", &body.to_string())
}

/// Any body.
pub(crate) fn typed(code: u16, media: &str, body: &str) -> Answer {
    let body = Full::new(Bytes::from(body.to_owned())).boxed_unsync();
    Response::builder().status(code).header("content-type", media).body(body).unwrap()
}

/// No body.
pub(crate) fn status(code: u16) -> Answer {
    Response::builder().status(code).body(Full::new(Bytes::new()).boxed_unsync()).unwrap()
}

/// A stream of these events, which then ends.
pub(crate) fn events(text: &str) -> Answer {
    typed(200, "text/event-stream", text)
}

/// A stream of whatever is sent, until the sender is dropped.
pub(crate) fn stream_of(messages: mpsc::UnboundedReceiver<String>) -> Answer {
    let frames = stream::unfold(messages, |mut messages| async move {
        let text = messages.recv().await?;
        Some((Ok(Frame::data(Bytes::from(text))), messages))
    });
    let body = StreamBody::new(frames.boxed()).boxed_unsync();
    Response::builder().status(200).header("content-type", "text/event-stream").body(body).unwrap()
}

/// One event.
pub(crate) fn event(message: &Value) -> String {
    format!("data: {message}\n\n")
}
