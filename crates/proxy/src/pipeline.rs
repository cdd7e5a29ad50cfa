//! The nine stages, read top to bottom.
//!
//! [`serve_link`] is stages 1 to 3, once a link; [`serve_call`] is stages 4 to 9, once a call. `forward` takes a
//! [`Screened`], which only detection makes, out of a [`Permit`], which only policy makes: a call that was not
//! decided on cannot be forwarded, because it does not compile.

use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use hyper::body::Incoming;
use lockgate_audit::Outcome;
use lockgate_detect::Screened;
use lockgate_identity::Principal;
use lockgate_mcp::{Era, Kind, Message, reply};
use lockgate_policy::Permit;
use lockgate_transport::{Accepted, Link};
use serde_json::Value;

use crate::answer::{self, Reply};
use crate::bearer::{self, Head};
use crate::bearer_answers;
use crate::body::Body;
use crate::call::Call;
use crate::decode::{self, Inbound, Target};
use crate::face::{self, Face};
use crate::gather;
use crate::link::LinkContext;
use crate::node::Node;
use crate::permit::{self, Asked, may_connect};
use crate::refusal::Refusal;
use crate::relay;
use crate::screen::{screen, screen_own};
use crate::session::SessionError;
use crate::stage::Stage;
use crate::unread::{self, Received};
use crate::upstream::http::SESSION_ID;
use crate::upstream::{Verb, is_listening};
use crate::{oauth, tasks, wellknown};

/// Resources and tasks that one subscription may name: each is decided on by itself.
const SUBJECTS_MAX: usize = 256;

/// Serves one link from its socket to its end: accept, secure, verify, and then its calls.
pub async fn serve_link(node: Arc<Node>, face: Arc<Face>, accepted: Accepted) {
    let peer = accepted.peer;
    let link = match Box::pin(face.secure(accepted)).await {
        Ok(link) => link,
        Err(refused) => return node.record_refused_link(&face, peer, refused),
    };
    let begun = Instant::now();
    let caller = match face.verify(&link) {
        Ok(caller) => {
            let roles = node.enrolment.roles(&caller.agent);
            caller.with_roles(roles)
        }
        Err(refused) => return node.record_refused_link(&face, peer, refused),
    };
    let live = match node.enter(&face, &link, caller) {
        Ok(live) => live,
        Err(refused) => return node.record_refused_link(&face, peer, refused),
    };
    live.context.verified(begun.elapsed());
    // The evidence, some 6 kB of certificate, has served its purpose: an idle link should not hold it.
    let Link { io, .. } = link;
    face::serve_http(node.clone(), live.context.clone(), io).await;
    node.tell_link_end(&live.context);
}

/// Serves one call and gives the response that was recorded.
pub async fn serve_call(
    node: Arc<Node>,
    link: Arc<LinkContext>,
    request: Request<Incoming>,
) -> Response<Body> {
    let (request, rest) = unread::watch(request);
    let response = serve_request(node, link.clone(), request).await;
    // The last answer of a condemned link waits for nobody.
    if !link.condemned.is_cancelled() {
        rest.discard().await;
    }
    response
}

async fn serve_request(
    node: Arc<Node>,
    link: Arc<LinkContext>,
    request: Request<Received>,
) -> Response<Body> {
    if let Some(path) = wellknown::path(request.uri().path()) {
        return wellknown::serve(&node, &link, path, request).await;
    }
    let bearers = node.bearers();
    let request = match bearer_answers::metadata(bearers.as_deref(), &link, request) {
        Ok(response) => return response,
        Err(request) => request,
    };
    if let Some(place) = oauth::place(request.uri().path()) {
        return oauth::serve(&node, &link, place, request).await;
    }
    link.count_call();
    let path = request.uri().path().to_owned();
    let head = Head { method: request.method(), path: &path, headers: request.headers() };
    let begun = Instant::now();
    let bound = bearer::bind(bearers.as_deref(), &link, head).await;
    let mut call = Call::open(&node, bound.as_ref().unwrap_or(&link));
    call.times.bearer(begun);
    let outcome = match bound {
        Ok(_) => attempt(&mut call, request).await,
        Err(refusal) => Err(refusal),
    };
    let mut response = record(call, outcome).await;
    bearer_answers::advertise(bearers.as_deref(), &path, &mut response);
    response
}

async fn attempt(call: &mut Call, request: Request<Received>) -> Result<Reply, Refusal> {
    call.node.admit()?;
    authenticate(&call.node, &call.link)?;
    let decoded = decode::request(call, request).await;
    call.times.end(Stage::Decode);
    let (inbound, message) = decoded?;
    let bound = bind(call, &inbound, &message);
    call.times.end(Stage::Bind);
    bound?;
    match &inbound.target {
        Target::Server(server) => {
            let permit = permit(call, &inbound, &server.id, message).await;
            call.times.end(Stage::Permit);
            let screened = screen(call, permit?).await;
            call.times.end(Stage::Screen);
            answer::forward(call, &inbound, server, screened?).await
        }
        Target::All => {
            bearer::reaches(&call.node, &call.link, &inbound, None, &message)?;
            gather::answer(call, &inbound, message).await
        }
    }
}

/// The part of stage 5 that the link alone decides: asked first, so that a peer without an identity cannot make this node
/// read and decode what it sends.
fn authenticate(node: &Node, link: &LinkContext) -> Result<(), Refusal> {
    if link.condemned.is_cancelled() {
        return Err(Refusal::Cut);
    }
    node.check_revoked(link)?;
    if link.identity_required && matches!(*link.caller.principal, Principal::Anonymous) {
        return Err(Refusal::Unauthenticated("this listener serves enrolled agents only".to_owned()));
    }
    if link.is_expired() {
        return Err(Refusal::Unauthenticated("the proof of identity of this link has expired".to_owned()));
    }
    Ok(())
}

/// Stage 5. The caller is the link's own; what is bound here is the session, to this caller and this route.
fn bind(call: &mut Call, inbound: &Inbound, message: &Message) -> Result<(), Refusal> {
    let link = &call.link;
    let Some(id) = &inbound.session_id else {
        return match inbound.verb {
            Verb::Delete => Err(SessionError::Missing.into()),
            Verb::Get | Verb::Post => Ok(()),
        };
    };
    if message.method() == Some("initialize") {
        return Ok(());
    }
    let session = call.node.sessions.find(id, link.party(), inbound.target.route(), call.node.now_ms())?;
    let said = inbound.headers.get("mcp-protocol-version").and_then(|v| v.to_str().ok());
    if let (Some(said), Some(agreed)) = (said, session.version())
        && said != agreed
    {
        return Err(Refusal::Version { agreed, said: said.to_owned() });
    }
    call.session = Some(session);
    Ok(())
}

/// Stage 6: policy decides on the caller, the message, the link, and all else that a decision rests on.
pub(crate) async fn permit(
    call: &mut Call,
    inbound: &Inbound,
    server: &str,
    message: Message,
) -> Result<Permit, Refusal> {
    bearer::reaches(&call.node, &call.link, inbound, Some(server), &message)?;
    let is_of_task = message.method().is_some_and(|method| method.starts_with("tasks/"));
    if let Some(task) = message.name().filter(|_| is_of_task)
        && call.node.begun.of(server, task, call.link.party()).is_none()
    {
        // What its client may not ask at all is said first, as a server would.
        return Err(match inbound.era == Era::Modern && !tasks::are_declared(&message) {
            true => Refusal::TasksUndeclared,
            false => Refusal::NoTask { task: task.to_owned() },
        });
    }
    let decided = Asked::by(call, server, &inbound.headers).decide(message).await;
    call.note_facts(decided.facts);
    let permit = decided.result?;
    call.note_permit(&permit);
    call.narrow(call.cuts().and(&decided.cuts));
    if is_listening(permit.message().method().unwrap_or_default()) {
        subscribe(call, inbound, server, permit.message()).await?;
    }
    Ok(permit)
}

/// To be told of a resource or a task takes a permit for that, in whichever way it is asked for: one subscription of the
/// modern era names many.
async fn subscribe(
    call: &mut Call,
    inbound: &Inbound,
    server: &str,
    message: &Message,
) -> Result<(), Refusal> {
    for (method, member, name) in subjects(message)? {
        if member == "taskId" && call.node.begun.of(server, &name, call.link.party()).is_none() {
            return Err(Refusal::NoTask { task: name });
        }
        let mut params = serde_json::Map::new();
        params.insert(member.to_owned(), name.as_str().into());
        let bytes = reply::call(Some("0"), method, Some(&Value::from(params).to_string()));
        let asked = Message::decode(bytes, &call.node.limits.requests()).map_err(Refusal::Decode)?;
        bearer::reaches(&call.node, &call.link, inbound, Some(server), &asked)?;
        let _ = clearance(call, server, &inbound.headers, asked).await?;
        call.note_subject(method, name);
    }
    Ok(())
}

/// What a subscription names: for each the method that is permitted for it, and the member that names it there.
fn subjects(message: &Message) -> Result<Vec<(&'static str, &'static str, String)>, Refusal> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Asked {
        #[serde(default)]
        resource_subscriptions: Vec<String>,
        #[serde(default)]
        task_ids: Vec<String>,
    }
    let Some(raw) = message.params_member_raw("notifications") else { return Ok(Vec::new()) };
    let unreadable = |_| Refusal::NoSubject { name: "a subscription that cannot be read".to_owned() };
    let Asked { resource_subscriptions, task_ids } = serde_json::from_str(raw).map_err(unreadable)?;
    if resource_subscriptions.len() + task_ids.len() > SUBJECTS_MAX {
        return Err(Refusal::Subscriptions { limit: SUBJECTS_MAX });
    }
    let resources = resource_subscriptions.into_iter().map(|uri| ("resources/subscribe", "uri", uri));
    Ok(resources.chain(task_ids.into_iter().map(|task| ("tasks/get", "taskId", task))).collect())
}

/// Stages 6 and 7 for what the node sends on a caller's behalf: a page of a list, or the opening of a lost session.
pub(crate) async fn clearance(
    call: &Call,
    server: &str,
    headers: &HeaderMap,
    message: Message,
) -> Result<Screened, Refusal> {
    let permit = Asked::by(call, server, headers).decide(message).await.result?;
    screen_own(call, permit)
}

/// The paths of the servers that the caller of `link` may open, and of all of them together. What it may not open is not
/// there for it, in error messages neither.
pub(crate) fn paths(node: &Node, link: &LinkContext) -> Vec<String> {
    let policies = node.policies.load();
    let may_open = |server: &str| {
        ["initialize", "server/discover"]
            .iter()
            .any(|method| permit::allows(&policies, link, (server, method, None)))
    };
    let own = node.servers().map(|server| server.id.clone());
    let own = own.filter(|id| may_connect(node, link, id) && may_open(id));
    std::iter::once("/mcp".to_owned()).chain(own.map(|id| format!("/servers/{id}/mcp"))).collect()
}

/// Stage 9: what happened is written down, and only then does the answer leave.
async fn record(mut call: Call, outcome: Result<Reply, Refusal>) -> Response<Body> {
    let reply = match outcome {
        Ok(reply) => reply,
        Err(refusal) => return refuse(call, refusal).await,
    };
    let (status, headers, body) = match reply {
        Reply::Whole { status, headers, message } => {
            let (outcome, code, bytes) = summary(status, message.as_ref());
            message.iter().for_each(|message| call.note_result(message));
            if let Err(unrecorded) = call.record(outcome, code, bytes).await {
                return unrecorded.response(&call);
            }
            (status, headers, message.map_or_else(Body::empty, |m| Body::whole(m.bytes().clone())))
        }
        Reply::Stream { status, headers, server, frames, listen } => {
            match relay::begin(call, server, frames, listen).await {
                Ok(body) => (status, headers, body),
                Err((call, unrecorded)) => return unrecorded.response(&call),
            }
        }
    };
    let mut response = Response::new(body);
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    response
}

/// Condemns a link when it is dropped: with the answer, or when the client takes its call back to escape that.
struct LastWord(Arc<LinkContext>);

impl Drop for LastWord {
    fn drop(&mut self) {
        self.0.condemn();
    }
}

async fn refuse(mut call: Call, refusal: Refusal) -> Response<Body> {
    tracing::debug!(target: "lockgate", stage = refusal.stage().name(), code = refusal.code(), %refusal, "refused");
    let _last = refusal.kills().then(|| LastWord(call.link.clone()));
    if refusal.kills() {
        call.node.clone().kill(&call, &refusal).await;
    }
    match call.record_refusal(&refusal).await {
        Ok(()) => refusal.for_caller(call.cuts()).response(&call),
        Err(unrecorded) => unrecorded.response(&call),
    }
}

/// How a whole answer is recorded: an error of the server is an answer, and its code is kept.
pub(crate) fn summary(status: StatusCode, message: Option<&Message>) -> (Outcome, Option<i64>, usize) {
    let bytes = message.map_or(0, |m| m.bytes().len());
    match message {
        Some(m) if m.kind() == Kind::Error => (Outcome::Failed, m.error_code(), bytes),
        _ if status.is_client_error() || status.is_server_error() => {
            (Outcome::Failed, Some(i64::from(status.as_u16())), bytes)
        }
        _ => (Outcome::Ok, None, bytes),
    }
}

/// The header that gives a client its session id.
pub(crate) fn session_header(id: &str) -> (http::HeaderName, HeaderValue) {
    (SESSION_ID, HeaderValue::from_str(id).expect("a session id is base64url"))
}
