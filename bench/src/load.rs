//! The load: callers that each have one call in flight, and check what they get.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use bytes::Bytes;
use futures_util::future::try_join_all;
use http::header::{ACCEPT, CONTENT_TYPE, HOST as HOST_HEADER};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lockgate_transport::{Alpn, Dialer};
use serde::Serialize;

use crate::bed::HOST;
use crate::upstream;

/// First id of a caller. All ids of a run have the same length, and so have all responses.
const FIRST_ID: u64 = 1_000_000;
/// Bytes of an unexpected answer that are shown.
const SHOWN_BYTES_MAX: usize = 300;

const INITIALIZE: &str = r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{"protocolVersion":"2025-11-25","capabilities":{},"clientInfo":{"name":"lockgate-bench","version":"1"}}}"#;
const INITIALIZED: &str = r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#;
const MODERN_META: &str = r#","_meta":{"io.modelcontextprotocol/protocolVersion":"2026-07-28","io.modelcontextprotocol/clientInfo":{"name":"lockgate-bench","version":"1"},"io.modelcontextprotocol/clientCapabilities":{}}"#;

/// Headers and body of a call in the modern era, for whoever has links of his own.
pub(crate) fn modern_call(tool: &str) -> (HeaderMap, String) {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    let mut header = |name, value: &str| {
        let value = HeaderValue::from_str(value).expect("names of tools are ASCII");
        headers.insert(HeaderName::from_static(name), value);
    };
    header("mcp-protocol-version", "2026-07-28");
    header("mcp-method", "tools/call");
    header("mcp-name", tool);
    (headers, call_body(FIRST_ID, tool, MODERN_META))
}

fn call_body(id: u64, tool: &str, meta: &str) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{{"query":"berth 17"}}{meta}}}}}"#
    )
}

/// Which half of the protocol's history a call belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Era {
    /// 2025-11-25: sessions.
    Legacy,
    /// 2026-07-28: stateless, mirrored headers.
    Modern,
}

/// What a caller asks for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Work {
    pub(crate) era: Era,
    pub(crate) tool: &'static str,
    pub(crate) result_kib: usize,
}

/// Where callers go.
pub(crate) struct Target {
    pub(crate) name: &'static str,
    pub(crate) dialer: Dialer,
    pub(crate) port: u16,
    pub(crate) path: &'static str,
    /// The process whose work is counted.
    pub(crate) process: Option<u32>,
}

enum Sender {
    Http1(http1::SendRequest<Full<Bytes>>),
    Http2(http2::SendRequest<Full<Bytes>>),
}

/// One link with at most one call in flight.
pub(crate) struct Caller {
    sender: Sender,
    uri: Uri,
    headers: HeaderMap,
    work: Work,
    id: u64,
    reply_bytes: usize,
    /// What the link negotiated, for the report.
    pub(crate) link: String,
}

impl Caller {
    /// Opens a link, and a session in the legacy era, and makes a first call whose answer is compared byte for byte.
    pub(crate) async fn open(target: &Target, work: Work) -> Result<Self> {
        let link = target.dialer.dial(HOST, target.port).await.context(target.name)?;
        let negotiated = link.posture.as_ref().map_or_else(
            || "plain TCP".to_owned(),
            |posture| {
                let signature = posture.peer_signature.as_deref().unwrap_or("none");
                format!("{}, {}, {signature}", posture.group, posture.cipher)
            },
        );
        let (h2, io) = (link.alpn == Some(Alpn::H2), TokioIo::new(link.io));
        let sender = if h2 {
            let (sender, connection) = http2::handshake(TokioExecutor::new(), io).await?;
            tokio::spawn(connection);
            Sender::Http2(sender)
        } else {
            let (sender, connection) = http1::handshake(io).await?;
            tokio::spawn(connection);
            Sender::Http1(sender)
        };
        let authority = format!("{HOST}:{}", target.port);
        let mut headers = HeaderMap::new();
        if !h2 {
            headers.insert(HOST_HEADER, authority.parse()?);
        }
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        let scheme = if h2 { format!("https://{authority}") } else { String::new() };
        let uri = format!("{scheme}{}", target.path).parse()?;
        let mut caller = Self { sender, uri, headers, work, id: FIRST_ID, reply_bytes: 0, link: negotiated };
        caller.begin().await.with_context(|| format!("{}, {:?} era", target.name, work.era))?;
        Ok(caller)
    }

    async fn begin(&mut self) -> Result<()> {
        let mut header = |name, value| self.headers.insert(HeaderName::from_static(name), value);
        match self.work.era {
            Era::Modern => {
                header("mcp-protocol-version", HeaderValue::from_static("2026-07-28"));
                header("mcp-method", HeaderValue::from_static("tools/call"));
                header("mcp-name", HeaderValue::from_static(self.work.tool));
            }
            Era::Legacy => {
                let opened = self.send(INITIALIZE.into()).await?;
                let session = opened.headers().get("mcp-session-id").cloned();
                whole(opened).await?;
                let mut header = |name, value| self.headers.insert(HeaderName::from_static(name), value);
                header("mcp-session-id", session.context("initialize was answered without a session id")?);
                header("mcp-protocol-version", HeaderValue::from_static("2025-11-25"));
                let noted = self.send(INITIALIZED.into()).await?;
                ensure!(noted.status() == StatusCode::ACCEPTED, "initialized: status {}", noted.status());
                whole(noted).await?;
            }
        }
        let expected = upstream::reply(&self.id.to_string(), &upstream::result(self.work.result_kib));
        let first = self.send(self.call_body()).await?;
        let (status, body) = (first.status(), whole(first).await?);
        ensure!(
            status == StatusCode::OK && body == expected,
            "the answer is not the upstream's: status {status}, {} bytes: {}",
            body.len(),
            beginning(&body)
        );
        self.reply_bytes = expected.len();
        Ok(())
    }

    fn call_body(&self) -> Bytes {
        let meta = if self.work.era == Era::Modern { MODERN_META } else { "" };
        call_body(self.id, self.work.tool, meta).into()
    }

    async fn send(&mut self, body: Bytes) -> Result<Response<Incoming>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.uri.clone();
        *request.headers_mut() = self.headers.clone();
        Ok(match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
            Sender::Http2(sender) => {
                sender.ready().await?;
                sender.send_request(request).await?
            }
        })
    }

    /// Makes one call. The answer must have the status and the length that it had at first.
    async fn call(&mut self) -> Result<()> {
        self.id += 1;
        let response = self.send(self.call_body()).await?;
        let (status, mut body) = (response.status(), response.into_body());
        let (mut length, mut first) = (0, None);
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                length += data.len();
                first.get_or_insert(data);
            }
        }
        if status == StatusCode::OK && length == self.reply_bytes {
            return Ok(());
        }
        let first = first.unwrap_or_default();
        Err(anyhow!("call {}: status {status}, {length} bytes: {}", self.id, beginning(&first)))
    }

    async fn repeat(&mut self, until: Instant) -> Result<Vec<u64>> {
        let mut latencies_ns = Vec::new();
        let mut begun = Instant::now();
        while begun < until {
            self.call().await?;
            let ended = Instant::now();
            latencies_ns.push((ended - begun).as_nanos() as u64);
            begun = ended;
        }
        Ok(latencies_ns)
    }
}

/// Lets all callers call for so long. The latencies of all calls, sorted, in nanoseconds.
pub(crate) async fn repeat(callers: &mut [Caller], time: Duration) -> Result<Vec<u64>> {
    let until = Instant::now() + time;
    let mut latencies_ns =
        try_join_all(callers.iter_mut().map(|caller| caller.repeat(until))).await?.concat();
    latencies_ns.sort_unstable();
    Ok(latencies_ns)
}

async fn whole(response: Response<Incoming>) -> Result<Bytes> {
    Ok(response.into_body().collect().await?.to_bytes())
}

fn beginning(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(SHOWN_BYTES_MAX)]).into_owned()
}
