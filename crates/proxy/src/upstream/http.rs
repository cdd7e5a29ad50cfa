//! Streamable HTTP upstreams, over pooled connections.

use std::sync::Arc;

use bytes::{Buf, Bytes};
use http::header::{self, HeaderMap, HeaderName, HeaderValue};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body::Body as _;
use http_body_util::{BodyExt, Full};
use lockgate_mcp::sse::{Event, Splitter, SseError};
use lockgate_mcp::{Era, Message};
use lockgate_transport::http::{Body, LinkStatus, Pool, PoolError};
use tokio::time::{Instant, timeout, timeout_at};

use super::credential::Credential;
use super::headers::{media_type, pass_request_headers, pass_response_headers};
use super::{Answer, AnswerBody, Exchange, Frame, Frames, UpstreamError, UpstreamSession, Verb};
use crate::limits::Limits;

/// The header that carries a legacy session id.
pub const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");

/// The media types of the answers, without parameters: both are UTF-8 and nothing else.
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const EVENTS: HeaderValue = HeaderValue::from_static("text/event-stream");

/// What servers built on the SDKs' examples answer to a session id that they do not know.
const NO_SESSION: i64 = -32000;

/// Characters kept of an answer that is no MCP message, for the error text.
const OPAQUE_CHARS_MAX: usize = 200;

/// A server behind a streamable-HTTP endpoint.
pub struct HttpUpstream {
    endpoint: Uri,
    pool: Pool,
    /// Connections of streams that only listen. Over HTTP/1.1 each holds one for as long as its client stays, so that a few
    /// hundred clients, doing nothing, would leave none for calls.
    listeners: Pool,
    limits: Arc<Limits>,
    credential: Option<Arc<Credential>>,
}

impl HttpUpstream {
    /// The server at `endpoint`, reached through `pool`.
    pub fn new(endpoint: Uri, pool: Pool, limits: Arc<Limits>) -> Self {
        let listening =
            lockgate_transport::http::Limits { links_max: limits.sessions_max, ..Default::default() };
        let listeners = Pool::new(pool.target().clone(), listening);
        Self { endpoint, pool, listeners, limits, credential: None }
    }

    /// The same, with a credential of this node on each request. Without its value nothing is sent.
    #[must_use]
    pub fn with_credential(mut self, credential: Arc<Credential>) -> Self {
        self.credential = Some(credential);
        self
    }

    /// The connections to this server that are open now.
    pub fn links(&self) -> Vec<LinkStatus> {
        self.pool.links().into_iter().chain(self.listeners.links()).collect()
    }

    /// What it is dialled by; none over plain HTTP.
    pub fn suite(&self) -> Option<lockgate_crypto::Suite> {
        self.pool.target().dialer().suite()
    }

    /// Uses no present connection for a new request, see [`Pool::retire`].
    pub fn retire(&self) {
        self.pool.retire();
        self.listeners.retire();
    }

    /// Moves to new connections, made by what the dialer has in force now; exchanges under way end where they are. See
    /// [`Pool::replace`].
    ///
    /// # Errors
    /// As [`Pool::replace`]; then the present connections stay in use.
    pub async fn replace(&self) -> Result<(), PoolError> {
        let (calls, listeners) = tokio::join!(self.pool.replace(), self.listeners.replace());
        calls.and(listeners)
    }

    /// Closes what [`HttpUpstream::replace`] or [`HttpUpstream::retire`] left, at once. Returns how many connections
    /// there were.
    pub fn cut_retired(&self) -> usize {
        self.pool.cut_retired() + self.listeners.cut_retired()
    }

    pub(super) fn pool(&self) -> &Pool {
        &self.pool
    }

    pub(super) fn endpoint(&self) -> &Uri {
        &self.endpoint
    }

    pub(super) fn credential(&self) -> Option<&Arc<Credential>> {
        self.credential.as_ref()
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
        let deadline = Instant::now() + self.limits.life(exchange.listens());
        let pool = if exchange.listens() { &self.listeners } else { &self.pool };
        let mut request = self.request(exchange, id)?;
        if let Some(credential) = &self.credential {
            let (name, value) = credential.header(exchange.caller).await?;
            // In place of whatever the client sent under this name.
            request.headers_mut().insert(name, value);
        }
        let response = timeout(self.limits.first_byte(), pool.request(request))
            .await
            .map_err(|_| UpstreamError::Timeout {
                what: "begin its answer",
                seconds: self.limits.first_byte_s_max,
            })?
            .map_err(unreachable)?;
        let had_session = id.is_some() && exchange.era == Era::Legacy;
        let answer = self.answer(response, exchange.listens(), deadline).await;
        if let (Err(UpstreamError::Unauthorized(_)), Some(credential)) = (&answer, &self.credential) {
            credential.refused(exchange.caller);
        }
        match answer? {
            lost if had_session && is_session_lost(&lost) => Err(UpstreamError::SessionLost),
            answer => Ok(answer),
        }
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
        if exchange.verb == Verb::Post {
            // As it was read here. With a character set of the client's choice, a server could read other text in it.
            headers.insert(header::CONTENT_TYPE, JSON);
        }
        if let Some(id) = session {
            let value = HeaderValue::from_str(id).map_err(|_| UpstreamError::SessionLost)?;
            headers.insert(SESSION_ID, value);
        }
        Ok(request)
    }

    async fn answer(
        &self,
        response: Response<Body>,
        listens: bool,
        deadline: Instant,
    ) -> Result<Answer, UpstreamError> {
        let (parts, body) = response.into_parts();
        if is_challenge(&parts.headers, parts.status) {
            return Err(UpstreamError::Unauthorized(parts.status));
        }
        if parts.status.is_redirection() {
            let status = parts.status;
            return Err(UpstreamError::Malformed(format!(
                "it answered {status}, and redirects are not followed"
            )));
        }
        let session = parts
            .headers
            .get(SESSION_ID)
            .and_then(|v| v.to_str().ok())
            .map(|id| UpstreamSession::Http(Some(Arc::from(id))));
        let media = media_type(&parts.headers);
        let is_stream = media == EVENTS && parts.status.is_success();
        let body = if is_stream {
            AnswerBody::Stream(Frames::Http(Box::new(Events::new(body, listens, deadline, &self.limits))))
        } else {
            let bytes = self.collect(body, deadline).await?;
            self.whole(bytes, JSON == media, parts.status)?
        };
        let mut headers = HeaderMap::new();
        pass_response_headers(&parts.headers, &mut headers);
        match &body {
            AnswerBody::Stream(_) => headers.insert(header::CONTENT_TYPE, EVENTS),
            AnswerBody::One(_) => headers.insert(header::CONTENT_TYPE, JSON),
            AnswerBody::Empty | AnswerBody::Opaque(_) => None,
        };
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
        if status.is_success() {
            let decoded = Message::decode(bytes, &self.limits.results());
            return decoded.map(AnswerBody::One).map_err(|error| UpstreamError::Malformed(error.to_string()));
        }
        let decoded = Message::decode(bytes.clone(), &self.limits.results());
        Ok(decoded.map_or_else(|_| AnswerBody::Opaque(beginning(&bytes)), AnswerBody::One))
    }

    /// Reads a body to its end. The common small body arrives as one frame and is not copied.
    pub(super) async fn collect(&self, mut body: Body, deadline: Instant) -> Result<Bytes, UpstreamError> {
        let limit = self.limits.result_bytes_max;
        if body.size_hint().lower() > limit as u64 {
            return Err(UpstreamError::TooLarge { limit });
        }
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
    listens: bool,
    deadline: Instant,
    limits: lockgate_mcp::Limits,
    seconds: u64,
    ended: bool,
}

impl Events {
    fn new(body: Body, listens: bool, deadline: Instant, limits: &Limits) -> Self {
        Self {
            body,
            listens,
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
                Err(SseError::TooLarge { event_bytes_max: limit }) => {
                    return Some(Err(UpstreamError::TooLarge { limit }));
                }
                Err(error) => return Some(Err(UpstreamError::Malformed(error.to_string()))),
            }
            match timeout_at(self.deadline, self.body.frame()).await {
                // It has listened for long enough; its client begins anew.
                Err(_) if self.listens => return None,
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
            Some(data) if !data.is_empty() => match Message::decode(data.clone(), &self.limits) {
                Ok(message) => Some(message),
                // Clients of MCP look at events of the type "message" only. Others need not hold a message, but what
                // cannot be judged is not passed on.
                Err(_) if event.event.as_deref().is_some_and(|name| name != "message") => {
                    return Ok(Frame {
                        server: None,
                        raw: Bytes::from_static(b":\n\n"),
                        event: None,
                        message: None,
                    });
                }
                Err(error) => return Err(UpstreamError::Malformed(error.to_string())),
            },
            _ => None,
        };
        Ok(Frame { server: None, raw: event.raw.clone(), event: Some(event), message })
    }
}

/// Whether the server says that it does not know the session. By the specification that is a 404. Many servers answer
/// 400 instead, with the code that the SDKs' examples use and the word in the text; either way they have not acted.
fn is_session_lost(answer: &Answer) -> bool {
    match (&answer.body, answer.status) {
        (_, StatusCode::NOT_FOUND) => true,
        (AnswerBody::One(message), StatusCode::BAD_REQUEST) => {
            let text = message.error_raw().unwrap_or_default().to_ascii_lowercase();
            message.error_code() == Some(NO_SESSION) && text.contains("session")
        }
        _ => false,
    }
}

fn is_challenge(headers: &HeaderMap, status: StatusCode) -> bool {
    status == StatusCode::UNAUTHORIZED
        || (status == StatusCode::FORBIDDEN && headers.contains_key(header::WWW_AUTHENTICATE))
}

fn beginning(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(4 * OPAQUE_CHARS_MAX)]);
    text.chars().filter(|c| !c.is_control()).take(OPAQUE_CHARS_MAX).collect()
}

pub(super) fn unreachable(error: PoolError) -> UpstreamError {
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
