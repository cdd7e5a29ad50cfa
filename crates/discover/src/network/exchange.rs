//! Bounded requests to one place.

use std::sync::Arc;
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, USER_AGENT, WWW_AUTHENTICATE};
use http::{Method, Request, Uri};
use http_body_util::{BodyExt as _, Full};
use lockgate_mcp::version::{LATEST_LEGACY, LATEST_MODERN};
use lockgate_transport::Dialer;
use lockgate_transport::http::{Limits as PoolLimits, Pool, Target, TargetError};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

use super::Limits;
use super::answer::{self, Answer};
use crate::map::Tool;

const SESSION: HeaderName = HeaderName::from_static("mcp-session-id");
const VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
const METHOD: HeaderName = HeaderName::from_static("mcp-method");
const BOTH: &str = "application/json, text/event-stream";

/// Scheme, host and port.
pub(super) struct Place {
    pub(super) scheme: &'static str,
    pub(super) host: String,
    pub(super) port: u16,
}

/// Requests to one place, and the sessions that they opened.
pub(super) struct Exchange {
    base: String,
    pool: Pool,
    limits: Limits,
    left: usize,
    /// Path, id and version.
    sessions: Vec<(String, HeaderValue)>,
}

impl Exchange {
    pub(super) fn new(place: &Place, dialer: Arc<Dialer>, limits: &Limits) -> Result<Self, TargetError> {
        let host = if place.host.contains(':') { format!("[{}]", place.host) } else { place.host.clone() };
        let base = format!("{}://{host}:{}", place.scheme, place.port);
        let uri: Uri = base.parse().map_err(|_| TargetError::Host { url: base.clone() })?;
        let few = PoolLimits { links_max: 2, idle_max: 1, idle_s_max: 5, ..PoolLimits::default() };
        let pool = Pool::new(Target::new(&uri, dialer)?, few);
        Ok(Self { base, pool, limits: limits.clone(), left: limits.requests_max, sessions: Vec::new() })
    }

    pub(super) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.base)
    }

    pub(super) async fn get(&mut self, path: &str, accept: &'static str) -> Option<Answer> {
        let mut request = self.request(Method::GET, path, Bytes::new())?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(accept));
        self.send(request).await.map(|(answer, _)| answer)
    }

    /// `server/discover` of 2026-07-28.
    pub(super) async fn discover(&mut self, path: &str) -> Option<Answer> {
        self.modern(path, "server/discover").await
    }

    async fn modern(&mut self, path: &str, method: &'static str) -> Option<Answer> {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": method, "params": {"_meta": {
            "io.modelcontextprotocol/protocolVersion": LATEST_MODERN,
            "io.modelcontextprotocol/clientInfo": {"name": "lockgate-discover", "version": env!("CARGO_PKG_VERSION")},
            "io.modelcontextprotocol/clientCapabilities": {},
        }}});
        let mut request = self.post(path, &message)?;
        request.headers_mut().insert(VERSION, HeaderValue::from_static(LATEST_MODERN));
        request.headers_mut().insert(METHOD, HeaderValue::from_static(method));
        self.send(request).await.map(|(answer, _)| answer)
    }

    /// `initialize` of 2025-11-25. A session that it opens is closed by [`Exchange::close`].
    pub(super) async fn initialize(&mut self, path: &str) -> Option<(Answer, Option<String>)> {
        let message = json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
            "protocolVersion": LATEST_LEGACY,
            "capabilities": {},
            "clientInfo": {"name": "lockgate-discover", "version": env!("CARGO_PKG_VERSION")},
        }});
        let request = self.post(path, &message)?;
        let (answer, headers) = self.send(request).await?;
        let session = headers.get(&SESSION).cloned();
        if let Some(id) = &session {
            self.sessions.push((path.to_owned(), id.clone()));
        }
        Some((answer, session.and_then(|id| id.to_str().ok().map(str::to_owned))))
    }

    /// `tools/list`, one page. `session` is there for a legacy server, with its id if it gave one.
    pub(super) async fn tools(&mut self, path: &str, session: Option<Option<&str>>) -> Vec<Tool> {
        let answer = match session {
            None => self.modern(path, "tools/list").await,
            Some(session) => self.legacy_tools(path, session).await,
        };
        answer.map(|answer| answer::tools(&answer, self.limits.tools_max)).unwrap_or_default()
    }

    async fn legacy_tools(&mut self, path: &str, session: Option<&str>) -> Option<Answer> {
        let session = session.map(HeaderValue::from_str).transpose().ok()?;
        let messages = [
            json!({"jsonrpc": "2.0", "method": "notifications/initialized"}),
            json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list", "params": {}}),
        ];
        let mut last = None;
        for message in &messages {
            let mut request = self.post(path, message)?;
            request.headers_mut().insert(VERSION, HeaderValue::from_static(LATEST_LEGACY));
            if let Some(id) = &session {
                request.headers_mut().insert(SESSION, id.clone());
            }
            last = self.send(request).await;
        }
        last.map(|(answer, _)| answer)
    }

    /// Closes every session that was opened.
    pub(super) async fn close(&mut self) {
        // There is always one request for it, whatever was asked before.
        self.left = self.left.max(self.sessions.len());
        for (path, id) in std::mem::take(&mut self.sessions) {
            if let Some(mut request) = self.request(Method::DELETE, &path, Bytes::new()) {
                request.headers_mut().insert(SESSION, id);
                request.headers_mut().insert(VERSION, HeaderValue::from_static(LATEST_LEGACY));
                self.send(request).await;
            }
        }
    }

    fn post(&self, path: &str, message: &Value) -> Option<Request<Full<Bytes>>> {
        let mut request = self.request(Method::POST, path, message.to_string().into())?;
        request.headers_mut().insert(ACCEPT, HeaderValue::from_static(BOTH));
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        Some(request)
    }

    fn request(&self, method: Method, path: &str, body: Bytes) -> Option<Request<Full<Bytes>>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().ok()?;
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("lockgate-discover"));
        Some(request)
    }

    async fn send(&mut self, request: Request<Full<Bytes>>) -> Option<(Answer, HeaderMap)> {
        self.left = self.left.checked_sub(1)?;
        let deadline = Instant::now() + Duration::from_millis(self.limits.answer_ms_max);
        let (parts, mut body) =
            timeout_at(deadline, self.pool.request(request)).await.ok()?.ok()?.into_parts();
        let text = |name: HeaderName| {
            parts.headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned)
        };
        let kind = text(CONTENT_TYPE).unwrap_or_default();
        let kind = kind.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
        let mut answer = Answer {
            status: parts.status.as_u16(),
            challenge: text(WWW_AUTHENTICATE),
            kind,
            body: Vec::new(),
        };
        // A stream may stay open for ever: what is wanted of it comes first.
        while let Ok(Some(Ok(frame))) = timeout_at(deadline, body.frame()).await {
            let Ok(mut data) = frame.into_data() else { continue };
            let room = self.limits.answer_bytes_max.saturating_sub(answer.body.len());
            let taken = data.remaining().min(room);
            answer.body.extend_from_slice(&data.copy_to_bytes(taken));
            let told =
                answer.kind == "text/event-stream" && (answer.is_json_rpc() || answer::opens_events(&answer));
            if told || taken == room {
                break;
            }
        }
        Some((answer, parts.headers))
    }
}
