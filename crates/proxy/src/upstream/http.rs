//! Streamable HTTP upstreams, over pooled connections.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use lockgate_mcp::sse::{Event, Splitter};
use lockgate_mcp::{Era, Message};
use lockgate_transport::http::{Body, Pool, PoolError};
use tokio::time::{Instant, timeout, timeout_at};

use super::{Answer, AnswerBody, Exchange, Frame, Frames, UpstreamError, UpstreamSession, Verb};
use crate::limits::Limits;

/// The header that carries a legacy session id.
pub const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

/// Characters kept of an answer that is no MCP message, for the error text.
const OPAQUE_CHARS_MAX: usize = 200;

/// A server behind a streamable-HTTP endpoint.
pub struct HttpUpstream {
    endpoint: Uri,
    pool: Pool,
    limits: Arc<Limits>,
}

impl HttpUpstream {
    /// The server at `endpoint`, reached through `pool`.
    pub fn new(endpoint: Uri, pool: Pool, limits: Arc<Limits>) -> Self {
        Self { endpoint, pool, limits }
    }

    /// The connections to this server.
    pub fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(crate) fn describe(&self) -> String {
        let host = self.endpoint.host().unwrap_or_default();
        let port = self.endpoint.port().map(|p| format!(":{p}")).unwrap_or_default();
        format!("{}://{host}{port}{}", self.endpoint.scheme_str().unwrap_or("http"), self.endpoint.path())
    }

    pub(crate) async fn exchange(
        &self,
        exchange: &Exchange<'_>,
        session: Option<&UpstreamSession>,
    ) -> Result<Answer, UpstreamError> {
        let id = match session {
            Some(UpstreamSession::Http(id)) => id.as_deref(),
            _ => None,
        };
        let started = Instant::now();
        let response = timeout(self.limits.first_byte(), self.pool.request(self.request(exchange, id)?))
            .await
            .map_err(|_| UpstreamError::Timeout {
                what: "begin its answer",
                seconds: self.limits.first_byte_s_max,
            })?
            .map_err(unreachable)?;
        self.answer(response, id.is_some() && exchange.era == Era::Legacy, exchange.verb, started).await
    }

    fn request(
        &self,
        exchange: &Exchange<'_>,
        session: Option<&str>,
    ) -> Result<Request<Full<Bytes>>, UpstreamError> {
        let (method, body) = match exchange.verb {
            Verb::Post => (Method::POST, exchange.screened.message().bytes().clone()),
            Verb::Get => (Method::GET, Bytes::new()),
            Verb::Delete => (Method::DELETE, Bytes::new()),
        };
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.endpoint.clone();
        let headers = request.headers_mut();
        pass_request_headers(exchange.headers, exchange.era, headers);
        if let Some(id) = session {
            let value = HeaderValue::from_str(id).map_err(|_| UpstreamError::SessionLost)?;
            headers.insert(SESSION_ID, value);
        }
        Ok(request)
    }

    async fn answer(
        &self,
        response: Response<Body>,
        had_session: bool,
        verb: Verb,
        started: Instant,
    ) -> Result<Answer, UpstreamError> {
        let (parts, body) = response.into_parts();
        match parts.status {
            StatusCode::NOT_FOUND if had_session => return Err(UpstreamError::SessionLost),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN
                if is_challenge(&parts.headers, parts.status) =>
            {
                return Err(UpstreamError::Unauthorized(parts.status));
            }
            _ => {}
        }
        let session = parts
            .headers
            .get(SESSION_ID)
            .and_then(|v| v.to_str().ok())
            .map(|id| UpstreamSession::Http(Some(Arc::from(id))));
        let media = media_type(&parts.headers);
        let body = if media == "text/event-stream" && parts.status.is_success() {
            let life = if verb == Verb::Get { self.limits.stream() } else { self.limits.call() };
            AnswerBody::Stream(Frames::Http(Box::new(Events::new(body, started + life, &self.limits))))
        } else {
            let bytes = self.collect(body, started).await?;
            self.whole(bytes, media == "application/json", parts.status)?
        };
        let mut headers = HeaderMap::new();
        pass_response_headers(&parts.headers, &mut headers);
        Ok(Answer { status: parts.status, headers, session, body })
    }

    fn whole(&self, bytes: Bytes, json: bool, status: StatusCode) -> Result<AnswerBody, UpstreamError> {
        if bytes.is_empty() {
            return Ok(AnswerBody::Empty);
        }
        if !json {
            return if status.is_success() {
                Err(UpstreamError::Malformed(
                    "its content type is neither application/json nor text/event-stream".into(),
                ))
            } else {
                Ok(AnswerBody::Opaque(beginning(&bytes)))
            };
        }
        match Message::decode(bytes.clone(), &self.limits.results()) {
            Ok(message) => Ok(AnswerBody::One(message)),
            Err(_) if !status.is_success() => Ok(AnswerBody::Opaque(beginning(&bytes))),
            Err(error) => Err(UpstreamError::Malformed(error.to_string())),
        }
    }

    /// Reads a body to its end. The common small body arrives as one frame and is not copied.
    async fn collect(&self, mut body: Body, started: Instant) -> Result<Bytes, UpstreamError> {
        let limit = self.limits.result_bytes_max;
        if body.size_hint().lower() > limit as u64 {
            return Err(UpstreamError::TooLarge { limit });
        }
        let deadline = started + self.limits.call();
        let mut first = Bytes::new();
        let mut rest: Vec<u8> = Vec::new();
        loop {
            let frame = timeout_at(deadline, body.frame()).await.map_err(|_| UpstreamError::Timeout {
                what: "finish its answer",
                seconds: self.limits.call_s_max,
            })?;
            let Some(frame) = frame else { break };
            let Ok(mut data) = frame.map_err(|e| UpstreamError::Broken(chain(&e)))?.into_data() else {
                continue;
            };
            if first.len() + rest.len() + data.remaining() > limit {
                return Err(UpstreamError::TooLarge { limit });
            }
            if first.is_empty() {
                first = data;
            } else {
                if rest.is_empty() {
                    rest.reserve(first.len() + data.len());
                    rest.extend_from_slice(&first);
                }
                rest.extend_from_slice(&data.copy_to_bytes(data.remaining()));
            }
        }
        Ok(if rest.is_empty() { first } else { Bytes::from(rest) })
    }
}

/// Server-sent events of one response.
pub struct Events {
    body: Body,
    splitter: Splitter,
    deadline: Instant,
    limits: lockgate_mcp::Limits,
    seconds: u64,
    ended: bool,
}

impl Events {
    fn new(body: Body, deadline: Instant, limits: &Limits) -> Self {
        Self {
            body,
            splitter: Splitter::new(limits.result_bytes_max),
            deadline,
            limits: limits.results(),
            seconds: limits.call_s_max,
            ended: false,
        }
    }

    pub(crate) async fn next(&mut self) -> Option<Result<Frame, UpstreamError>> {
        if self.ended {
            return None;
        }
        let item = self.advance().await;
        self.ended = !matches!(item, Some(Ok(_)));
        item
    }

    async fn advance(&mut self) -> Option<Result<Frame, UpstreamError>> {
        loop {
            match self.splitter.next() {
                Ok(Some(event)) => return Some(self.frame(event)),
                Ok(None) => {}
                Err(error) => return Some(Err(UpstreamError::Malformed(error.to_string()))),
            }
            match timeout_at(self.deadline, self.body.frame()).await {
                Err(_) => {
                    return Some(Err(UpstreamError::Timeout {
                        what: "finish its answer",
                        seconds: self.seconds,
                    }));
                }
                Ok(None) => return None,
                Ok(Some(Err(error))) => return Some(Err(UpstreamError::Broken(chain(&error)))),
                Ok(Some(Ok(frame))) => {
                    if let Ok(data) = frame.into_data() {
                        self.splitter.push(&data);
                    }
                }
            }
        }
    }

    fn frame(&self, event: Event) -> Result<Frame, UpstreamError> {
        let message = match &event.data {
            Some(data) if !data.is_empty() => Some(
                Message::decode(data.clone(), &self.limits)
                    .map_err(|e| UpstreamError::Malformed(e.to_string()))?,
            ),
            _ => None,
        };
        Ok(Frame { raw: event.raw.clone(), event: Some(event), message })
    }
}

/// Headers of a client's request that are ours, the connection's or the client's secrets, and never the server's.
/// Compared with `eq_ignore_ascii_case` by `HeaderName`, which is lower-case already.
const WITHHELD_FROM_SERVER: [HeaderName; 17] = [
    header::HOST,
    header::AUTHORIZATION,
    header::COOKIE,
    header::ORIGIN,
    header::REFERER,
    header::CONTENT_LENGTH,
    header::ACCEPT_ENCODING,
    header::CONNECTION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::PROXY_AUTHORIZATION,
    header::EXPECT,
    header::FORWARDED,
    header::CONTENT_ENCODING,
    SESSION_ID,
];

fn pass_request_headers(from: &HeaderMap, era: Era, to: &mut HeaderMap) {
    for (name, value) in from {
        let mirrored = name.as_str().starts_with("mcp-") && *name != "mcp-protocol-version";
        let withheld = WITHHELD_FROM_SERVER.contains(name)
            || name.as_str().starts_with("sec-")
            || name.as_str().starts_with("proxy-")
            || name.as_str().starts_with("x-forwarded-")
            || *name == "keep-alive"
            || *name == "dpop"
            || (era == Era::Legacy && mirrored);
        if !withheld {
            to.append(name.clone(), value.clone());
        }
    }
}

/// Response headers that mean something to an MCP client and nothing about our connection to the server.
fn pass_response_headers(from: &HeaderMap, to: &mut HeaderMap) {
    for (name, value) in from {
        let passed = matches!(
            name.as_str(),
            "content-type"
                | "cache-control"
                | "x-accel-buffering"
                | "retry-after"
                | "allow"
                | "mcp-protocol-version"
        );
        if passed {
            to.append(name.clone(), value.clone());
        }
    }
}

fn is_challenge(headers: &HeaderMap, status: StatusCode) -> bool {
    status == StatusCode::UNAUTHORIZED || headers.contains_key(header::WWW_AUTHENTICATE)
}

fn media_type(headers: &HeaderMap) -> String {
    let value = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn beginning(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * OPAQUE_CHARS_MAX)]);
    text.chars().filter(|c| !c.is_control()).take(OPAQUE_CHARS_MAX).collect()
}

fn unreachable(error: PoolError) -> UpstreamError {
    match error {
        PoolError::Dial(dial) if dial.is_crypto_refusal() => UpstreamError::CryptoRefused(dial.to_string()),
        unsent if unsent.is_unsent() => UpstreamError::Unreachable(chain(&unsent)),
        sent => UpstreamError::Broken(chain(&sent)),
    }
}

/// An error with its causes, in one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}
