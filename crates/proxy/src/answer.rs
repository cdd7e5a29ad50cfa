//! Stage 8: forward a screened message to its server, keep its legacy session, and judge what comes back.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use lockgate_detect::{Screened, Verdict};
use lockgate_mcp::{Era, Kind, Message, list, reply};
use lockgate_policy::Query;

use crate::call::Call;
use crate::decode::Inbound;
use crate::node::Server;
use crate::pipeline::{clearance, session_header};
use crate::refusal::Refusal;
use crate::session::{Session, SessionError};
use crate::upstream::{Answer, AnswerBody, Exchange, Frames, UpstreamError, UpstreamSession, Verb};

/// What goes back to the client, before it is recorded.
pub enum Reply {
    /// One message, judged; or none.
    Whole {
        /// HTTP status.
        status: StatusCode,
        /// Response headers.
        headers: HeaderMap,
        /// The message.
        message: Option<Message>,
    },
    /// A stream, to be judged event by event.
    Stream {
        /// HTTP status.
        status: StatusCode,
        /// Response headers.
        headers: HeaderMap,
        /// Whose stream it is.
        server: Arc<Server>,
        /// The stream.
        frames: Frames,
        /// Whether the client listens, rather than waits for the answer to a call.
        listen: bool,
    },
}

/// Forwards `screened` to `server`.
///
/// # Errors
/// The refusals of stage 8, and those of stages 6 and 7 on the result.
pub async fn forward(
    call: &mut Call,
    inbound: &Inbound,
    server: &Arc<Server>,
    screened: Screened,
) -> Result<Reply, Refusal> {
    let agent = call.link.caller.agent.to_string();
    let exchange = Exchange {
        verb: inbound.verb,
        screened: &screened,
        headers: &inbound.headers,
        era: inbound.era,
        agent: &agent,
    };
    let mut answer = exchange_in_session(call, server, &exchange).await?;
    let method = screened.message().method();
    let mut opened = None;
    if inbound.era == Era::Legacy && method == Some("initialize") {
        opened = open_session(call, inbound, server, &screened, answer.session.take());
    }
    if let Some(session) = &call.session
        && method == Some("notifications/initialized")
    {
        session.set_initialized(screened.message().clone());
    }
    if inbound.verb == Verb::Delete
        && answer.status.is_success()
        && let Some(id) = &inbound.session_id
    {
        call.node.sessions.close(id);
    }
    let mut reply = conclude(call, server, answer, inbound.verb == Verb::Get).await?;
    if let Some((name, value)) = opened {
        let (Reply::Whole { headers, .. } | Reply::Stream { headers, .. }) = &mut reply;
        headers.insert(name, value);
    }
    Ok(reply)
}

fn open_session(
    call: &mut Call,
    inbound: &Inbound,
    server: &Server,
    screened: &Screened,
    upstream: Option<UpstreamSession>,
) -> Option<(http::HeaderName, HeaderValue)> {
    let upstream = upstream?;
    let node = &call.node;
    let (id, session) = node.sessions.open(
        &call.link.caller.agent,
        inbound.target.route(),
        screened.message().clone(),
        node.now_ms(),
    );
    session.set_upstream(&server.id, upstream);
    call.session = Some(session);
    Some(session_header(&id))
}

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
    if exchange.verb == Verb::Delete {
        // Gone already: that is what the client asked for.
        return Ok(Answer {
            status: StatusCode::NO_CONTENT,
            headers: HeaderMap::new(),
            session: None,
            body: AnswerBody::Empty,
        });
    }
    let fresh = recover(call, server, session, held.as_ref(), exchange).await?;
    server.upstream.exchange(exchange, Some(&fresh)).await.map_err(upstream_error)
}

async fn recover(
    call: &Call,
    server: &Arc<Server>,
    session: &Arc<Session>,
    lost: Option<&UpstreamSession>,
    exchange: &Exchange<'_>,
) -> Result<UpstreamSession, Refusal> {
    let _alone = session.recovery.lock().await;
    match session.upstream(&server.id) {
        Some(other) if !lost.is_some_and(|lost| other.is_same(lost)) => return Ok(other),
        _ => {}
    }
    let headers = session_headers(session);
    let replay = |screened| Exchange { verb: Verb::Post, screened, headers: &headers, ..*exchange };
    let upstream_error = |error| Refusal::Upstream { server: server.id.clone(), error };
    // The session's own messages pass policy and detection again: both may have changed since.
    let init = clearance(&call.node, &call.link, &server.id, session.init().clone())?;
    let answer = server.upstream.exchange(&replay(&init), None).await.map_err(upstream_error)?;
    let fresh = answer.session.clone().ok_or(Refusal::Session(SessionError::Unknown))?;
    finish(answer).await.map_err(upstream_error)?;
    if let Some(initialized) = session.initialized() {
        let initialized = clearance(&call.node, &call.link, &server.id, initialized)?;
        server.upstream.exchange(&replay(&initialized), Some(&fresh)).await.map_err(upstream_error)?;
    }
    session.set_upstream(&server.id, fresh.clone());
    call.node.metrics.sessions_recovered.inc();
    tracing::info!(target: "lockgate::forward", server = %server.id, session = %session.fingerprint, "upstream session opened anew");
    Ok(fresh)
}

fn session_headers(session: &Session) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
    if let Some(version) = session.version().and_then(|v| HeaderValue::from_str(&v).ok()) {
        headers.insert("mcp-protocol-version", version);
    }
    headers
}

/// Reads an answer to its result, for answers that the gateway asked for itself.
pub(crate) async fn finish(answer: Answer) -> Result<Message, UpstreamError> {
    let mut frames = match answer.body {
        AnswerBody::One(message) => return Ok(message),
        AnswerBody::Stream(frames) => frames,
        AnswerBody::Opaque(text) => return Err(UpstreamError::Malformed(text)),
        AnswerBody::Empty => return Err(UpstreamError::Malformed("the answer is empty".to_owned())),
    };
    while let Some(frame) = frames.next().await {
        if let Some(message) = frame?.message.filter(|m| matches!(m.kind(), Kind::Result | Kind::Error)) {
            return Ok(message);
        }
    }
    Err(UpstreamError::Broken("the stream ended before the result".to_owned()))
}

/// Judges the beginning of an answer.
pub(crate) async fn conclude(
    call: &mut Call,
    server: &Arc<Server>,
    answer: Answer,
    listen: bool,
) -> Result<Reply, Refusal> {
    let (status, mut headers) = (answer.status, answer.headers);
    match answer.body {
        AnswerBody::Empty => Ok(Reply::Whole { status, headers, message: None }),
        AnswerBody::One(message) => {
            check_id(call, server, &message)?;
            let message = judge(call, server, message).await?;
            Ok(Reply::Whole { status, headers, message: Some(message) })
        }
        AnswerBody::Opaque(text) => {
            let message = format!("{} answered {}: {text}", server.id, status.as_u16());
            let bytes = reply::error(call.id_raw(), reply::code::UPSTREAM, &message, None);
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let message = Message::decode(bytes, &call.node.limits.results()).map_err(Refusal::Decode)?;
            Ok(Reply::Whole { status, headers, message: Some(message) })
        }
        AnswerBody::Stream(frames) => {
            Ok(Reply::Stream { status, headers, server: server.clone(), frames, listen })
        }
    }
}

fn check_id(call: &Call, server: &Server, message: &Message) -> Result<(), Refusal> {
    let answered = message.id_raw().filter(|id| *id != "null");
    match (answered, call.id_raw()) {
        (Some(answered), Some(asked)) if answered != asked => Err(Refusal::Upstream {
            server: server.id.clone(),
            error: UpstreamError::Malformed(format!("it answers request {answered} where {asked} was asked")),
        }),
        _ => Ok(()),
    }
}

/// Policy and detection on a result: lists show what this caller could use and what detection does not hold, and text
/// that hides something is withheld. A result that nothing objects to passes byte for byte.
///
/// # Errors
/// [`Refusal::Withheld`], or the reason why a new pin cannot be kept.
pub(crate) async fn judge(
    call: &mut Call,
    server: &Arc<Server>,
    message: Message,
) -> Result<Message, Refusal> {
    let method = call.method().to_owned();
    if message.kind() == Kind::Result {
        if let Some((key, of)) = listed(&method) {
            return judge_list(call, server, message, key, of).await;
        }
        if method == "initialize"
            && let (Some(session), Some(raw)) = (&call.session, message.result_member_raw("protocolVersion"))
        {
            session.set_version(raw.trim_matches('"'));
        }
    }
    screen_text(call, &server.id, &method, &message)?;
    Ok(message)
}

/// The text rules of detection on any message from a server.
pub(crate) fn screen_text(
    call: &mut Call,
    server: &str,
    method: &str,
    message: &Message,
) -> Result<(), Refusal> {
    let screened = call.node.detector.screen_result(server, method, message);
    match screened.verdict {
        Verdict::Pass => {
            call.note_findings(&screened.findings);
            Ok(())
        }
        Verdict::Withhold => {
            let worst = screened.findings.into_iter().max_by_key(|f| f.severity);
            Err(Refusal::Withheld(Box::new(worst.expect("a verdict to withhold comes with its finding"))))
        }
    }
}

/// The member that holds a list's items, and the method that uses one of them.
fn listed(method: &str) -> Option<(&'static str, &'static str)> {
    match method {
        "tools/list" => Some(("tools", "tools/call")),
        "prompts/list" => Some(("prompts", "prompts/get")),
        "resources/list" => Some(("resources", "resources/read")),
        _ => None,
    }
}

async fn judge_list(
    call: &mut Call,
    server: &Arc<Server>,
    message: Message,
    key: &'static str,
    of: &'static str,
) -> Result<Message, Refusal> {
    let malformed = |error: lockgate_mcp::DecodeError| Refusal::Upstream {
        server: server.id.clone(),
        error: UpstreamError::Malformed(error.to_string()),
    };
    let mut hidden = Default::default();
    if key == "tools" {
        let items = list::items(&message, key).map_err(malformed)?;
        server.learn(&items);
        let observed = call.node.detector.observe_tools(&server.id, &items, call.node.now_ms());
        call.note_findings(&observed.findings);
        call.node.keep_pins(observed.new_pins).await.map_err(|error| Refusal::Upstream {
            server: server.id.clone(),
            error: UpstreamError::Malformed(format!("its tools cannot be pinned: {error}")),
        })?;
        hidden = observed.held;
    } else {
        screen_text(call, &server.id, key, &message)?;
    }
    let policies = call.node.policies.load();
    let link = call.link.clone();
    let kept = list::retain(&message, key, |item| {
        let query = Query {
            caller: &link.caller,
            server: &server.id,
            method: of,
            name: Some(&item.name),
            posture: link.posture.as_deref(),
            loopback: link.is_loopback(),
        };
        !hidden.contains(item.name.as_ref()) && policies.allows(&query)
    })
    .map_err(malformed)?;
    // What is left is this caller's own view: no cache may hand it to another.
    Ok(if call.era == Era::Modern { list::mark_private(&kept) } else { kept })
}
