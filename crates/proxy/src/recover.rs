//! Legacy sessions that a server has lost are opened anew, and their client does not notice.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use lockgate_detect::Screened;
use lockgate_mcp::{Era, Kind, Message};

use crate::answer::finish;
use crate::call::Call;
use crate::node::Server;
use crate::pipeline::clearance;
use crate::refusal::Refusal;
use crate::session::{Session, SessionError};
use crate::upstream::{Answer, AnswerBody, Exchange, UpstreamError, UpstreamSession, Verb};

/// Sends within the session, and opens a session that the server has lost anew, once. The server did not know the
/// session, so it has not acted on the message, and sending it again cannot act twice.
pub(crate) async fn exchange_in_session(
    call: &Call,
    server: &Arc<Server>,
    exchange: &Exchange<'_>,
) -> Result<Answer, Refusal> {
    let upstream_error = |error| Refusal::Upstream { server: server.id.clone(), error };
    let held = call.session.as_ref().and_then(|session| session.upstream(&server.id));
    let first = match (&call.session, &held) {
        // One of several servers that was down when the session began: it joins now.
        (Some(_), None) => Err(UpstreamError::SessionLost),
        _ => server.upstream.exchange(exchange, held.as_ref()).await,
    };
    let (Err(UpstreamError::SessionLost), Some(session)) = (&first, &call.session) else {
        return first.map_err(upstream_error);
    };
    if let Some(status) = moot(exchange) {
        return Ok(Answer { status, headers: HeaderMap::new(), session: None, body: AnswerBody::Empty });
    }
    let fresh = recover(call, server, session, held.as_ref()).await?;
    let mut headers = exchange.headers.clone();
    // An event of the lost session: in the new one it is another, or none.
    headers.remove("last-event-id");
    let again = Exchange { headers: &headers, ..*exchange };
    server.upstream.exchange(&again, Some(&fresh)).await.map_err(upstream_error)
}

/// The status that answers what means nothing outside the session that was lost: its end, and the client's answer to a
/// request in it. In the new session that answer could meet another request with the same id.
fn moot(exchange: &Exchange<'_>) -> Option<StatusCode> {
    match (exchange.verb, exchange.screened.message().kind()) {
        (Verb::Delete, _) => Some(StatusCode::NO_CONTENT),
        (Verb::Post, Kind::Result | Kind::Error) => Some(StatusCode::ACCEPTED),
        _ => None,
    }
}

async fn recover(
    call: &Call,
    server: &Arc<Server>,
    session: &Arc<Session>,
    lost: Option<&UpstreamSession>,
) -> Result<UpstreamSession, Refusal> {
    let _alone = session.recovery.lock().await;
    match session.upstream(&server.id) {
        Some(other) if !lost.is_some_and(|lost| other.is_same(lost)) => return Ok(other),
        _ => {}
    }
    // The session's own messages pass policy and detection again: both may have changed since.
    let (fresh, version) = open_at(call, server, session.init().clone()).await?;
    // Of several servers each may speak its own version. Where there is one, it is the client's, and cannot change.
    let is_alone = session.spans_one();
    if is_alone && session.version().is_some_and(|agreed| agreed != version) {
        return Err(SessionError::Unknown.into());
    }
    if let Some(initialized) = session.initialized() {
        say_initialized(call, server, initialized, (&fresh, &version)).await?;
    }
    session.set_upstream(&server.id, fresh.clone(), (!is_alone).then_some(version));
    call.node.metrics.sessions_recovered.inc();
    tracing::info!(target: "lockgate::forward", server = %server.id, session = %session.fingerprint, "upstream session opened anew");
    Ok(fresh)
}

/// Opens a session at `server` with this `initialize`; gives it, and the version that the server chose.
pub(crate) async fn open_at(
    call: &Call,
    server: &Server,
    init: Message,
) -> Result<(UpstreamSession, String), Refusal> {
    let upstream_error = |error| Refusal::Upstream { server: server.id.clone(), error };
    let headers = session_headers(None);
    let init = clearance(call, &server.id, &headers, init).await?;
    let opening = posted(call, &init, &headers);
    let mut answer = server.upstream.exchange(&opening, None).await.map_err(upstream_error)?;
    let fresh = answer.session.take().unwrap_or(UpstreamSession::Http(None));
    let result = finish(answer, init.message().id_raw()).await.map_err(upstream_error)?;
    let version = chosen_version(&result).map_err(upstream_error)?;
    Ok((fresh, version))
}

/// Tells `server` that its session, of this version, is open.
pub(crate) async fn say_initialized(
    call: &Call,
    server: &Server,
    initialized: Message,
    (session, version): (&UpstreamSession, &str),
) -> Result<(), Refusal> {
    let headers = session_headers(Some(version));
    let initialized = clearance(call, &server.id, &headers, initialized).await?;
    let opened = posted(call, &initialized, &headers);
    let said = server.upstream.exchange(&opened, Some(session)).await;
    said.map(drop).map_err(|error| Refusal::Upstream { server: server.id.clone(), error })
}

fn posted<'a>(call: &'a Call, screened: &'a Screened, headers: &'a HeaderMap) -> Exchange<'a> {
    let (agent, caller) = (call.link.party(), &call.link.caller);
    Exchange { verb: Verb::Post, screened, headers, era: Era::Legacy, agent, caller }
}

/// The version that a server chose in its answer to `initialize`.
pub(crate) fn chosen_version(answer: &Message) -> Result<String, UpstreamError> {
    if answer.kind() == Kind::Error {
        return Err(UpstreamError::Declined(answer.error_code()));
    }
    let raw = answer.result_member_raw("protocolVersion").unwrap_or_default();
    serde_json::from_str(raw)
        .map_err(|_| UpstreamError::Malformed("the result of initialize has no protocolVersion".to_owned()))
}

pub(crate) fn session_headers(version: Option<&str>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    if let Some(version) = version.and_then(|v| HeaderValue::from_str(v).ok()) {
        headers.insert("mcp-protocol-version", version);
    }
    headers
}
