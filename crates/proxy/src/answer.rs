//! Stage 8: forward a screened message to its server, keep its legacy session, and judge what comes back.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use lockgate_detect::Screened;
use lockgate_mcp::list::{self, Item};
use lockgate_mcp::{Era, Kind, Message, reply};

use crate::call::Call;
use crate::decode::Inbound;
use crate::node::Server;
use crate::permit::{allows, connect, may_cut};
use crate::pipeline::session_header;
use crate::recover::exchange_in_session;
use crate::refusal::Refusal;
use crate::results::{Cuts, projected, projected_tasks};
use crate::screen::{screen_text, warned};
use crate::tasks;
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
    let link = call.link.clone();
    let exchange = Exchange {
        verb: inbound.verb,
        screened: &screened,
        headers: &inbound.headers,
        era: inbound.era,
        agent: link.party(),
        caller: &link.caller,
    };
    call.note_forwarded();
    let answer = exchange_in_session(call, server, &exchange).await;
    call.times.answered();
    let mut answer = answer?;
    let method = screened.message().method();
    let mut opened = None;
    if inbound.era == Era::Legacy && method == Some("initialize") {
        opened = open_session(call, inbound, server, &screened, &mut answer);
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
    let concluded = conclude(call, server, answer, inbound.verb == Verb::Get).await;
    match (concluded, opened) {
        (Ok(mut reply), Some(id)) => {
            let (Reply::Whole { headers, .. } | Reply::Stream { headers, .. }) = &mut reply;
            let (name, value) = session_header(&id);
            headers.insert(name, value);
            Ok(reply)
        }
        (Err(refusal), Some(id)) => {
            // The client will never hear of the session.
            call.node.sessions.close(&id);
            Err(refusal)
        }
        (concluded, None) => concluded,
    }
}

/// Opens the client's session at this node, unless the server keeps none or has said no; gives its id.
fn open_session(
    call: &mut Call,
    inbound: &Inbound,
    server: &Server,
    screened: &Screened,
    answer: &mut Answer,
) -> Option<String> {
    let upstream: UpstreamSession = answer.session.take()?;
    if matches!(&answer.body, AnswerBody::One(message) if message.kind() == Kind::Error) {
        return None;
    }
    let node = &call.node;
    let init = screened.message().clone();
    let (id, session) = node.sessions.open(call.link.party(), inbound.target.route(), init, node.now_ms());
    session.set_upstream(&server.id, upstream, None);
    call.session = Some(session);
    Some(id)
}

/// Reads an answer to its result, for what the gateway asked under the id `asked` itself.
pub(crate) async fn finish(answer: Answer, asked: Option<&str>) -> Result<Message, UpstreamError> {
    let mut frames = match answer.body {
        AnswerBody::One(message) => return answers(message, asked),
        AnswerBody::Stream(frames) => frames,
        AnswerBody::Opaque(_) => return Err(UpstreamError::Declined(Some(answer.status.as_u16().into()))),
        AnswerBody::Empty => return Err(UpstreamError::Malformed("the answer is empty".to_owned())),
    };
    while let Some(frame) = frames.next().await {
        if let Some(message) = frame?.message.filter(|m| matches!(m.kind(), Kind::Result | Kind::Error)) {
            return answers(message, asked);
        }
    }
    Err(UpstreamError::Broken("the stream ended before the result".to_owned()))
}

/// The message, if it answers the request `asked` (none: nothing was asked). An error without an id answers anything.
fn answers(message: Message, asked: Option<&str>) -> Result<Message, UpstreamError> {
    if !matches!(message.kind(), Kind::Result | Kind::Error) {
        let said = "it sends a message of its own where an answer belongs".to_owned();
        return Err(UpstreamError::Malformed(said));
    }
    match (message.id_raw(), asked) {
        (None, _) => Ok(message),
        (Some(answered), Some(asked)) if answered == asked => Ok(message),
        (Some(answered), asked) => {
            let asked = asked.map_or_else(|| "nothing".to_owned(), |id| format!("request {id}"));
            let said = format!("it answers request {answered} where {asked} was asked");
            Err(UpstreamError::Malformed(said))
        }
    }
}

/// Judges the beginning of an answer.
async fn conclude(
    call: &mut Call,
    server: &Arc<Server>,
    answer: Answer,
    listen: bool,
) -> Result<Reply, Refusal> {
    let upstream_error = |error| Refusal::Upstream { server: server.id.clone(), error };
    let (status, mut headers) = (answer.status, answer.headers);
    if !call.cuts().is_empty() {
        // Headers are text of the server, too. The type of the content is written here.
        let media = headers.remove(header::CONTENT_TYPE);
        headers = media.map(|media| (header::CONTENT_TYPE, media)).into_iter().collect();
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    }
    match answer.body {
        AnswerBody::Empty if call.asks() && status.is_success() => {
            Err(upstream_error(UpstreamError::Malformed("the answer to a request is empty".to_owned())))
        }
        AnswerBody::Empty => Ok(Reply::Whole { status, headers, message: None }),
        AnswerBody::One(message) => {
            let message = answers(message, call.id_raw()).map_err(upstream_error)?;
            let message = judge(call, server, message).await?;
            Ok(Reply::Whole { status, headers, message: Some(message) })
        }
        AnswerBody::Opaque(text) => {
            let message = format!("{} answered {}: {text}", server.id, status.as_u16());
            let bytes = reply::error(call.id_raw(), reply::code::UPSTREAM, &message, None);
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
            let message = Message::decode(bytes, &call.node.limits.results()).map_err(Refusal::Decode)?;
            let message = judge(call, server, message).await?;
            Ok(Reply::Whole { status, headers, message: Some(message) })
        }
        AnswerBody::Stream(frames) => {
            Ok(Reply::Stream { status, headers, server: server.clone(), frames, listen })
        }
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
    let cuts = in_force(call, server)?;
    call.narrow(cuts);
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
    tasks::note(call, &server.id, &message).await;
    let mut message = projected(call, &method, message);
    if method == "resources/templates/list" && !reads_there(call, server) {
        // Templates are no names that a policy could be asked about one by one.
        let none = list::retain(&message, "resourceTemplates", |_| false);
        message = none.map_err(|error| malformed(server, &error))?;
    }
    screen_text(call, &server.id, &method, &message)?;
    message = warned(call, message);
    Ok(if call.era == Era::Modern { own_view(&method, message) } else { message })
}

/// What is taken from the result of a call by now. Policies that came into force since it was permitted may have closed its
/// server to its caller, may never permit it any more, or may let less of its result pass.
///
/// # Errors
/// [`Refusal::Nowhere`]: nothing passes.
pub(crate) fn in_force(call: &Call, server: &Server) -> Result<Cuts, Refusal> {
    if call.link.own.is_some() {
        return Ok(call.cuts().clone());
    }
    let policies = call.node.policies.load();
    if call.permitted_under().is_none_or(|generation| generation == policies.generation()) {
        return Ok(call.cuts().clone());
    }
    // That it was closed meanwhile is no deed of the caller, whatever would follow from a call now.
    connect(&call.node, &policies, &call.link, &server.id).map_err(|_| Refusal::Nowhere)?;
    if !allows(&policies, &call.link, (&server.id, call.method(), call.name())) {
        return Err(Refusal::Nowhere);
    }
    let now = Cuts::at_most(&call.node, &call.link, (&server.id, call.method(), call.name()));
    Ok(call.cuts().and(&now))
}

/// What a server lets anybody share was fetched under this caller's permits: no cache may hand it to another.
fn own_view(method: &str, message: Message) -> Message {
    let is_cacheable = matches!(method, "resources/read" | "resources/templates/list" | "server/discover");
    match is_cacheable && message.result_member_raw("cacheScope").is_some() {
        true => list::mark_private(&message),
        false => message,
    }
}

/// The member that holds a list's items, and the method that uses one of them.
fn listed(method: &str) -> Option<(&'static str, &'static str)> {
    match method {
        "tools/list" => Some(("tools", "tools/call")),
        "prompts/list" => Some(("prompts", "prompts/get")),
        "resources/list" => Some(("resources", "resources/read")),
        "tasks/list" => Some(("tasks", "tasks/get")),
        _ => None,
    }
}

fn malformed(server: &Server, error: &lockgate_mcp::DecodeError) -> Refusal {
    Refusal::Upstream { server: server.id.clone(), error: UpstreamError::Malformed(error.to_string()) }
}

/// Whether the caller may read anything at a server.
fn reads_there(call: &Call, server: &Server) -> bool {
    let policies = call.node.policies.load();
    let mut callers = call.link.caller.everybody();
    callers.all(|caller| policies.reaches(caller, &server.id, "resources/read"))
}

async fn judge_list(
    call: &mut Call,
    server: &Arc<Server>,
    message: Message,
    key: &'static str,
    of: &'static str,
) -> Result<Message, Refusal> {
    let malformed = |error: lockgate_mcp::DecodeError| malformed(server, &error);
    let mut hidden = Default::default();
    if key == "tools" {
        let items = list::items(&message, key).map_err(malformed)?;
        server.learn(&items);
        let observed = call.node.detector.observe_tools(&server.id, &items, call.node.now_ms());
        call.note_findings(&observed.findings);
        call.node.keep_pins(server, observed.new_pins).await?;
        hidden = observed.held;
    } else {
        screen_text(call, &server.id, key, &message)?;
    }
    let policies = call.node.policies.load();
    let link = call.link.clone();
    let (begun, party) = (&call.node.begun, link.party());
    let may_use = |item: &Item<'_>| {
        let is_hidden = match key {
            "tasks" => begun.of(&server.id, &item.name, party).is_none(),
            _ => hidden.contains(item.name.as_ref()),
        };
        !is_hidden && allows(&policies, &link, (&server.id, of, Some(&item.name)))
    };
    let mut kept = list::retain(&message, key, may_use).map_err(malformed)?;
    if key == "tools" {
        // What is cut is not what the definition promises, and clients hold results against it.
        let cut = |item: &Item<'_>| may_cut(&policies, &link, (&server.id, of, Some(&item.name)));
        kept = list::without(&kept, key, "outputSchema", cut).map_err(malformed)?;
    }
    if key == "tasks" {
        kept = projected_tasks(call, &server.id, kept);
    }
    // What is left is this caller's own view.
    Ok(if call.era == Era::Modern { list::mark_private(&kept) } else { kept })
}
