//! All servers together, at `/mcp`: names of tools and prompts are prefixed `server_`, URIs and task ids `server+`.
//!
//! Whatever names one thing goes to the one server that has it, through the same stages as a call made there
//! directly: policy and audit see the real server and the real name. Whatever concerns all of them is asked of all of
//! them at once, each with its own permit and its own deadline (`ask`); a server that is down is left out and named,
//! and takes nobody with it.
//!
//! Server ids have neither `_` nor `+`, so a prefixed name can be read in one way only. What a server puts into the
//! *content* of its results (resource links, task ids) is its own and stays as it is.

mod ask;
mod lists;
mod opening;

use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use lockgate_mcp::{Era, Kind, Message, headers, reply};
use serde_json::{Map, Value, json};

use crate::answer::{self, Reply};
use crate::call::Call;
use crate::decode::Inbound;
use crate::node::Server;
use crate::pipeline::permit;
use crate::refusal::Refusal;
use crate::screen::screen;
use crate::upstream::{Answer, AnswerBody, Frames, UpstreamError, Verb, prefix};

use ask::{Asking, ask_all, sort};

/// The server and its own name for what a prefixed name means; none if the method names nothing.
pub fn split<'a>(method: &str, name: &'a str) -> Option<(&'a str, &'a str)> {
    name.split_once(separator(method)?)
}

fn separator(method: &str) -> Option<char> {
    match method {
        "tools/call" | "prompts/get" => Some('_'),
        "resources/read" | "resources/subscribe" | "resources/unsubscribe" => Some('+'),
        "tasks/get" | "tasks/update" | "tasks/cancel" | "tasks/result" => Some('+'),
        _ => None,
    }
}

/// Answers a message to all servers together.
///
/// # Errors
/// The refusals of stages 6 to 8.
pub async fn answer(call: &mut Call, inbound: &Inbound, message: Message) -> Result<Reply, Refusal> {
    let method = message.method().unwrap_or_default().to_owned();
    match (inbound.verb, message.kind(), method.as_str()) {
        (Verb::Get, ..) => listen(call, inbound, &message).await,
        (Verb::Delete, ..) => close(call, inbound, &message).await,
        (_, Kind::Result | Kind::Error, _) => respond(call, inbound, message).await,
        (_, Kind::Notification, "notifications/progress") => report(call, inbound, message).await,
        (_, Kind::Notification, _) => tell_all(call, inbound, message).await,
        (_, _, "initialize") => opening::initialize(call, inbound, message).await,
        (_, _, "server/discover") => opening::discover(call, inbound, message).await,
        (_, _, "logging/setLevel") => tell_all(call, inbound, message).await,
        (_, _, "ping") if inbound.era == Era::Legacy => whole(call, json!({})),
        (_, _, "completion/complete") => complete(call, inbound, message).await,
        (_, _, method) if lists::listed(method).is_some() => lists::answer(call, inbound, message).await,
        (_, _, method) if separator(method).is_some() => one(call, inbound, message).await,
        _ => Err(Refusal::NoMethod { method, era: inbound.era }),
    }
}

fn nobody(name: impl Into<String>) -> Refusal {
    Refusal::NoSubject { name: name.into() }
}

/// What names one thing, to the server that has it.
async fn one(call: &mut Call, inbound: &Inbound, message: Message) -> Result<Reply, Refusal> {
    let Some((server, name)) = call.node.split_name(&message) else {
        return Err(nobody(message.name().unwrap_or_default()));
    };
    let mut inbound = ask::inbound_for(call, inbound, &server);
    if inbound.headers.contains_key(headers::NAME) {
        let value = HeaderValue::from_str(&headers::encode_value(&name)).map_err(|_| nobody(&name))?;
        inbound.headers.insert(headers::NAME, value);
    }
    to_one(call, &inbound, &server, message.with_name(&name)).await
}

async fn to_one(
    call: &mut Call,
    inbound: &Inbound,
    server: &Arc<Server>,
    message: Message,
) -> Result<Reply, Refusal> {
    call.note_server(&server.id);
    call.note_name(message.name());
    let permit = permit(call, inbound, &server.id, message).await?;
    let screened = screen(call, permit).await?;
    let reply = answer::forward(call, inbound, server, screened).await?;
    Ok(match reply {
        Reply::Stream { status, headers, server, frames, listen } => {
            let frames = Frames::Prefixed(server.id.as_str().into(), Box::new(frames));
            Reply::Stream { status, headers, server, frames, listen }
        }
        whole => whole,
    })
}

/// The server whose id stands before the `+` of a JSON string, and the server's own JSON behind it.
fn addressed(call: &Call, raw: Option<&str>) -> Option<(Arc<Server>, String)> {
    let address: String = serde_json::from_str(raw?).ok()?;
    let (server, own) = prefix::split(&address)?;
    Some((call.node.server(server)?, own.to_owned()))
}

/// The client's answer to a request of one server, which went out with that server's prefix on its id.
async fn respond(call: &mut Call, inbound: &Inbound, message: Message) -> Result<Reply, Refusal> {
    let Some((server, id)) = addressed(call, message.id_raw()) else {
        return Err(nobody(message.id_raw().unwrap_or_default()));
    };
    let inbound = ask::inbound_for(call, inbound, &server);
    to_one(call, &inbound, &server, message.with_id(&id)).await
}

/// How far the client is with a request of one server.
async fn report(call: &mut Call, inbound: &Inbound, message: Message) -> Result<Reply, Refusal> {
    let Some((server, token)) = addressed(call, message.progress_token_raw()) else {
        return Err(nobody(message.progress_token_raw().unwrap_or_default()));
    };
    let inbound = ask::inbound_for(call, inbound, &server);
    to_one(call, &inbound, &server, message.with_progress_token(&token)).await
}

/// Completion names its prompt or resource one level deeper than everything else.
async fn complete(call: &mut Call, inbound: &Inbound, message: Message) -> Result<Reply, Refusal> {
    let raw = message.params_member_raw("ref").unwrap_or("{}");
    let mut reference: Map<String, Value> = serde_json::from_str(raw).unwrap_or_default();
    let (key, by) =
        if reference.contains_key("uri") { ("uri", "resources/read") } else { ("name", "prompts/get") };
    let named = reference.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let found = split(by, &named).and_then(|(id, rest)| Some((call.node.server(id)?, rest.to_owned())));
    let Some((server, rest)) = found else { return Err(nobody(named)) };
    reference.insert(key.to_owned(), rest.into());
    let message =
        message.with_params_member("ref", &Value::from(reference).to_string()).map_err(Refusal::Decode)?;
    let inbound = ask::inbound_for(call, inbound, &server);
    to_one(call, &inbound, &server, message).await
}

async fn tell_all(call: &mut Call, inbound: &Inbound, message: Message) -> Result<Reply, Refusal> {
    let parts = ask_all(call, inbound, &message, |asking| async move { asking.exchange().await }).await;
    // A level that one server cannot set, or a note that it does not want, is no reason to fail for the others.
    sort(call, parts)?;
    if let (Some(session), Some("notifications/initialized")) = (&call.session, message.method()) {
        session.set_initialized(message.clone());
    }
    match message.kind() {
        Kind::Request => whole(call, json!({})),
        _ => Ok(Reply::Whole { status: StatusCode::ACCEPTED, headers: HeaderMap::new(), message: None }),
    }
}

async fn listen(call: &mut Call, inbound: &Inbound, message: &Message) -> Result<Reply, Refusal> {
    if let Some(last) = inbound.headers.get(headers::LAST_EVENT_ID) {
        return resume(call, inbound, message, last.to_str().unwrap_or_default()).await;
    }
    let parts = ask_all(call, inbound, message, |asking: Asking<'_>| async move {
        match asking.exchange().await? {
            Answer { body: AnswerBody::Stream(frames), .. } => Ok(frames),
            _ => Err(asking.refusal(UpstreamError::Unsupported("the server offers no stream of its own"))),
        }
    })
    .await;
    let (came, _) = sort(call, parts).map_err(|refusal| match refusal {
        denied @ (Refusal::Denied(_) | Refusal::Nowhere) => denied,
        // Clients that find no stream to listen to go on without.
        _ => Refusal::Verb(Method::GET),
    })?;
    let Some((server, _)) = came.first() else { return Err(Refusal::Verb(Method::GET)) };
    let server = server.clone();
    let streams = came
        .into_iter()
        .map(|(server, frames)| Frames::Prefixed(server.id.as_str().into(), Box::new(frames)));
    let frames = Frames::merge(streams);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(Reply::Stream { status: StatusCode::OK, headers, server, frames, listen: true })
}

/// Resumes the stream that broke off after the event `last`, at the server that it came from.
async fn resume(call: &mut Call, inbound: &Inbound, message: &Message, last: &str) -> Result<Reply, Refusal> {
    let found = prefix::split(last).and_then(|(id, own)| Some((call.node.server(id)?, own)));
    let Some((server, own)) = found else { return Err(nobody(last)) };
    let mut inbound = ask::inbound_for(call, inbound, &server);
    let value = HeaderValue::from_str(own).map_err(|_| nobody(last))?;
    inbound.headers.insert(headers::LAST_EVENT_ID, value);
    to_one(call, &inbound, &server, message.clone()).await
}

async fn close(call: &mut Call, inbound: &Inbound, message: &Message) -> Result<Reply, Refusal> {
    // A server that cannot be told ends its part by itself some time. For the client the session is over either way.
    ask_all(call, inbound, message, |asking| async move { asking.exchange().await }).await;
    if let Some(id) = &inbound.session_id {
        call.node.sessions.close(id);
    }
    Ok(Reply::Whole { status: StatusCode::OK, headers: HeaderMap::new(), message: None })
}

fn whole(call: &Call, result: Value) -> Result<Reply, Refusal> {
    let bytes: Bytes = reply::result(call.id_raw().unwrap_or("null"), &result.to_string());
    let message = Message::decode(bytes, &call.node.limits.results()).map_err(Refusal::Decode)?;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(Reply::Whole { status: StatusCode::OK, headers, message: Some(message) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixed_names_split_at_the_first_separator_only() {
        for (method, name, expected) in [
            ("tools/call", "crm_get_customer", Some(("crm", "get_customer"))),
            ("tools/call", "plain", None),
            ("prompts/get", "docs-2_intro", Some(("docs-2", "intro"))),
            ("resources/read", "fs+file:///a_b+c", Some(("fs", "file:///a_b+c"))),
            ("tasks/get", "jobs+12", Some(("jobs", "12"))),
            ("tools/list", "crm_get", None),
        ] {
            assert_eq!(split(method, name), expected, "{method} {name}");
        }
    }
}
