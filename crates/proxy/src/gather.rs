//! All servers together, at `/mcp`: names of tools and prompts are prefixed `server_`, URIs and task ids `server+`.
//!
//! Whatever names one thing goes to the one server that has it, through the same stages as a call made there
//! directly: policy and audit see the real server and the real name. Whatever concerns all of them is asked of all of
//! them at once, each with its own permit and its own deadline; a server that is down is left out and named, and
//! takes nobody with it.
//!
//! Server ids have neither `_` nor `+`, so a prefixed name can be read in one way only.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use lockgate_detect::Screened;
use lockgate_mcp::{Era, Kind, Message, headers, list, reply};
use serde_json::{Map, Value, json};
use tokio::time::timeout;

use crate::answer::{self, Reply, finish, judge};
use crate::call::Call;
use crate::decode::Inbound;
use crate::node::Server;
use crate::pipeline::{clearance, permit, screen, session_header};
use crate::refusal::Refusal;
use crate::session::Session;
use crate::upstream::{Answer, AnswerBody, Exchange, Frames, UpstreamError, UpstreamSession, Verb};

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

/// The list that a method asks for: its key, and how its items are prefixed.
fn listed(method: &str) -> Option<(&'static str, char)> {
    match method {
        "tools/list" => Some(("tools", '_')),
        "prompts/list" => Some(("prompts", '_')),
        "resources/list" => Some(("resources", '+')),
        "resources/templates/list" => Some(("resourceTemplates", '+')),
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
        (_, Kind::Notification, _) => tell_all(call, inbound, message).await,
        (_, _, "initialize") => initialize(call, inbound, message).await,
        (_, _, "server/discover") => discover(call, inbound, message).await,
        (_, _, "logging/setLevel") => tell_all(call, inbound, message).await,
        (_, _, "ping") => whole(call, json!({})),
        (_, _, "completion/complete") => complete(call, inbound, message).await,
        (_, _, method) if listed(method).is_some() => lists(call, inbound, message).await,
        (_, _, method) if separator(method).is_some() => one(call, inbound, message).await,
        _ => Err(unknown(call, &method)),
    }
}

fn unknown(call: &Call, what: &str) -> Refusal {
    Refusal::Route { path: what.to_owned(), served: call.node.paths().join(", ") }
}

/// What names one thing, to the server that has it.
async fn one(call: &mut Call, inbound: &Inbound, message: Message) -> Result<Reply, Refusal> {
    let Some((server, name)) = call.node.split_name(&message) else {
        let named = message.name().unwrap_or_default().to_owned();
        return Err(unknown(call, &named));
    };
    let mut headers = inbound.headers.clone();
    if headers.contains_key("mcp-name") {
        let value = HeaderValue::from_str(&headers::encode_value(&name)).map_err(|_| unknown(call, &name))?;
        headers.insert("mcp-name", value);
    }
    let inbound = Inbound {
        headers,
        target: inbound.target.clone(),
        session_id: inbound.session_id.clone(),
        ..*inbound
    };
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
    let permit = permit(call, &server.id, message)?;
    let screened = screen(call, permit)?;
    let reply = answer::forward(call, inbound, server, screened).await?;
    Ok(match reply {
        Reply::Stream { status, headers, server, frames, listen } => {
            let frames = Frames::Prefixed(server.id.clone(), Box::new(frames));
            Reply::Stream { status, headers, server, frames, listen }
        }
        whole => whole,
    })
}

/// The client's answer to a request of one server, which went out with that server's prefix on its id.
async fn respond(call: &mut Call, inbound: &Inbound, message: Message) -> Result<Reply, Refusal> {
    let id: String = message.id_raw().and_then(|raw| serde_json::from_str(raw).ok()).unwrap_or_default();
    let found =
        id.split_once('+').and_then(|(server, raw)| Some((call.node.server(server)?, raw.to_owned())));
    let Some((server, raw)) = found else { return Err(unknown(call, &id)) };
    to_one(call, inbound, &server, message.with_id(&raw)).await
}

/// Completion names its prompt or resource one level deeper than everything else.
async fn complete(call: &mut Call, inbound: &Inbound, message: Message) -> Result<Reply, Refusal> {
    let raw = message.params_member_raw("ref").unwrap_or("{}");
    let mut reference: Map<String, Value> = serde_json::from_str(raw).unwrap_or_default();
    let (key, by) =
        if reference.contains_key("uri") { ("uri", "resources/read") } else { ("name", "prompts/get") };
    let named = reference.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let found = split(by, &named).and_then(|(id, rest)| Some((call.node.server(id)?, rest.to_owned())));
    let Some((server, rest)) = found else { return Err(unknown(call, &named)) };
    reference.insert(key.to_owned(), rest.into());
    let message =
        message.with_params_member("ref", &Value::from(reference).to_string()).map_err(Refusal::Decode)?;
    to_one(call, inbound, &server, message).await
}

/// What one server said, or why it said nothing.
type Part<T> = (Arc<Server>, Result<T, Refusal>);

/// Asks every server that this caller may ask, all at once, each within its own deadline.
async fn ask_all<T, F>(
    call: &Call,
    message: &Message,
    ask: impl Fn(Arc<Server>, Screened) -> F,
) -> Vec<Part<T>>
where
    F: Future<Output = Result<T, Refusal>>,
{
    let seconds = call.node.limits.gather_s_max;
    join_all(call.node.servers().cloned().map(|server| {
        let cleared = clearance(&call.node, &call.link, &server.id, message.clone());
        let asked = cleared.map(|screened| ask(server.clone(), screened));
        async move {
            let result = match asked {
                Err(refusal) => Err(refusal),
                Ok(asked) => timeout(Duration::from_secs(seconds), asked).await.unwrap_or_else(|_| {
                    let error =
                        UpstreamError::Timeout { what: "answer for the list of all servers", seconds };
                    Err(Refusal::Upstream { server: server.id.clone(), error })
                }),
            };
            (server, result)
        }
    }))
    .await
}

fn exchange<'a>(call: &'a Call, inbound: &'a Inbound, screened: &'a Screened) -> Exchange<'a> {
    Exchange {
        verb: inbound.verb,
        screened,
        headers: &inbound.headers,
        era: inbound.era,
        agent: &call.link.caller.agent,
    }
}

/// What came, and why the rest did not, by server id.
type Sorted<T> = (Vec<(Arc<Server>, T)>, Map<String, Value>);

/// Splits the parts into what came and what did not. Fails only if nothing came at all: with the first refusal.
fn sort<T>(parts: Vec<Part<T>>) -> Result<Sorted<T>, Refusal> {
    let (mut came, mut missing, mut first) = (Vec::new(), Map::new(), None);
    for (server, part) in parts {
        match part {
            Ok(value) => came.push((server, value)),
            // What this caller may not use is not there for it: it is neither listed nor named.
            Err(refusal @ Refusal::Denied(_)) => drop(first.get_or_insert(refusal)),
            Err(refusal) => {
                missing.insert(server.id.clone(), refusal.to_string().into());
                first.get_or_insert(refusal);
            }
        }
    }
    match first {
        Some(refusal) if came.is_empty() => Err(refusal),
        _ => Ok((came, missing)),
    }
}

async fn initialize(call: &mut Call, inbound: &Inbound, message: Message) -> Result<Reply, Refusal> {
    let parts = {
        let call = &*call;
        ask_all(call, &message, |server, screened| async move {
            let upstream_error = |error| Refusal::Upstream { server: server.id.clone(), error };
            let mut answer = server
                .upstream
                .exchange(&exchange(call, inbound, &screened), None)
                .await
                .map_err(upstream_error)?;
            let session = answer.session.take().unwrap_or(UpstreamSession::Http(None));
            let result = finish(answer).await.map_err(upstream_error)?;
            let value = result_of(&result)
                .ok_or_else(|| upstream_error(UpstreamError::Malformed(result.text().to_owned())))?;
            Ok((session, value))
        })
        .await
    };
    let (came, missing) = sort(parts)?;
    let node = call.node.clone();
    let (id, session) =
        node.sessions.open(&call.link.caller.agent, inbound.target.route(), message, node.now_ms());
    let mut results = Vec::new();
    for (server, (upstream, value)) in came {
        session.set_upstream(&server.id, upstream);
        results.push((server.id.clone(), value));
    }
    let version = results
        .iter()
        .filter_map(|(_, v)| v["protocolVersion"].as_str())
        .min()
        .unwrap_or(lockgate_mcp::version::LATEST_LEGACY);
    session.set_version(version);
    call.session = Some(session);
    let result = json!({
        "protocolVersion": version,
        "capabilities": capabilities(&results),
        "serverInfo": own_info(),
        "instructions": instructions(&results, &missing),
    });
    let mut reply = whole(call, result)?;
    if let Reply::Whole { headers, .. } = &mut reply {
        let (name, value) = session_header(&id);
        headers.insert(name, value);
    }
    Ok(reply)
}

async fn discover(call: &mut Call, inbound: &Inbound, message: Message) -> Result<Reply, Refusal> {
    let (came, missing) = sort(results_of_all(call, inbound, &message).await)?;
    let results: Vec<_> = came.into_iter().map(|(server, value)| (server.id.clone(), value)).collect();
    let offered = |v: &Value, version: &str| {
        v["supportedVersions"].as_array().is_some_and(|all| all.iter().any(|x| x.as_str() == Some(version)))
    };
    let versions: Vec<&str> = lockgate_mcp::version::known()
        .iter()
        .copied()
        .filter(|version| results.iter().all(|(_, v)| offered(v, version)))
        .collect();
    whole(
        call,
        json!({
            "resultType": "complete",
            "supportedVersions": versions,
            "capabilities": capabilities(&results),
            "serverInfo": own_info(),
            "instructions": instructions(&results, &missing),
            "ttlMs": 0,
            "cacheScope": "private",
        }),
    )
}

async fn results_of_all(call: &Call, inbound: &Inbound, message: &Message) -> Vec<Part<Value>> {
    ask_all(call, message, |server, screened| async move {
        let answer = answer::exchange_in_session(call, &server, &exchange(call, inbound, &screened)).await?;
        let upstream_error = |error| Refusal::Upstream { server: server.id.clone(), error };
        let result = finish(answer).await.map_err(upstream_error)?;
        result_of(&result).ok_or_else(|| upstream_error(UpstreamError::Malformed(result.text().to_owned())))
    })
    .await
}

/// All pages of all lists, judged server by server, prefixed and put together.
async fn lists(call: &mut Call, inbound: &Inbound, message: Message) -> Result<Reply, Refusal> {
    let (key, separator) =
        listed(message.method().unwrap_or_default()).expect("the caller checked the method");
    let parts = {
        let call = &*call;
        ask_all(call, &message, |server, screened| pages(call, inbound, server, screened)).await
    };
    let (came, missing) = sort(parts)?;
    let mut items: Vec<String> = Vec::new();
    for (server, pages) in came {
        for page in pages {
            let judged = judge(call, &server, page).await?;
            let renamed =
                list::rename(&judged, key, |item| Some(format!("{}{separator}{}", server.id, item.name)));
            let renamed = renamed.map_err(Refusal::Decode)?;
            items.extend(
                list::items(&renamed, key).map_err(Refusal::Decode)?.iter().map(|item| item.raw.to_owned()),
            );
        }
    }
    let mut result = json!({ key: [] });
    if inbound.era == Era::Modern {
        result["resultType"] = "complete".into();
        result["ttlMs"] = 0.into();
        result["cacheScope"] = "private".into();
    }
    if !missing.is_empty() {
        result["_meta"] = json!({ "lockgate/unavailable": missing });
    }
    let Reply::Whole { status, headers, message: Some(empty) } = whole(call, result)? else {
        unreachable!("a whole reply has a message")
    };
    let full = list::append(&empty, key, items.iter().map(String::as_str)).map_err(Refusal::Decode)?;
    Ok(Reply::Whole { status, headers, message: Some(full) })
}

async fn pages(
    call: &Call,
    inbound: &Inbound,
    server: Arc<Server>,
    first: Screened,
) -> Result<Vec<Message>, Refusal> {
    let upstream_error = |error| Refusal::Upstream { server: server.id.clone(), error };
    let mut pages = Vec::new();
    let mut screened = first;
    while pages.len() < call.node.limits.list_pages_max {
        let answer = answer::exchange_in_session(call, &server, &exchange(call, inbound, &screened)).await?;
        let page = finish(answer).await.map_err(upstream_error)?;
        if page.kind() == Kind::Error {
            // A server without this kind of thing says "method not found": it has nothing to list.
            return match page.error_code() {
                Some(reply::code::METHOD_NOT_FOUND) => Ok(pages),
                _ => Err(upstream_error(UpstreamError::Malformed(page.text().to_owned()))),
            };
        }
        let cursor = page.result_member_raw("nextCursor").filter(|raw| *raw != "null").map(str::to_owned);
        pages.push(page);
        let Some(cursor) = cursor else { break };
        let next = screened.message().with_params_member("cursor", &cursor).map_err(Refusal::Decode)?;
        screened = clearance(&call.node, &call.link, &server.id, next)?;
    }
    Ok(pages)
}

async fn tell_all(call: &mut Call, inbound: &Inbound, message: Message) -> Result<Reply, Refusal> {
    let parts = {
        let call = &*call;
        ask_all(call, &message, |server, screened| async move {
            answer::exchange_in_session(call, &server, &exchange(call, inbound, &screened)).await
        })
        .await
    };
    // A level that one server cannot set, or a note that it does not want, is no reason to fail for the others.
    sort(parts)?;
    if let (Some(session), Some("notifications/initialized")) = (&call.session, message.method()) {
        session.set_initialized(message.clone());
    }
    match message.kind() {
        Kind::Request => whole(call, json!({})),
        _ => Ok(Reply::Whole { status: StatusCode::ACCEPTED, headers: HeaderMap::new(), message: None }),
    }
}

async fn listen(call: &mut Call, inbound: &Inbound, message: &Message) -> Result<Reply, Refusal> {
    let parts = {
        let call = &*call;
        ask_all(call, message, |server, screened| async move {
            let answer =
                answer::exchange_in_session(call, &server, &exchange(call, inbound, &screened)).await?;
            match answer {
                Answer { body: AnswerBody::Stream(frames), .. } => Ok(frames),
                _ => Err(Refusal::Upstream {
                    server: server.id.clone(),
                    error: UpstreamError::Unsupported("the server offers no stream of its own"),
                }),
            }
        })
        .await
    };
    let (came, _) = sort(parts)?;
    let server = came.first().map(|(server, _)| server.clone()).ok_or_else(|| unknown(call, "GET"))?;
    let streams =
        came.into_iter().map(|(server, frames)| Frames::Prefixed(server.id.clone(), Box::new(frames)));
    let frames = Frames::merge(streams);
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(Reply::Stream { status: StatusCode::OK, headers, server, frames, listen: true })
}

async fn close(call: &mut Call, inbound: &Inbound, message: &Message) -> Result<Reply, Refusal> {
    let session: Option<Arc<Session>> = call.session.clone();
    let parts = {
        let call = &*call;
        ask_all(call, message, |server, screened| async move {
            answer::exchange_in_session(call, &server, &exchange(call, inbound, &screened)).await
        })
        .await
    };
    drop((session, parts));
    if let Some(id) = &inbound.session_id {
        call.node.sessions.close(id);
    }
    Ok(Reply::Whole { status: StatusCode::OK, headers: HeaderMap::new(), message: None })
}

fn result_of(message: &Message) -> Option<Value> {
    serde_json::from_str(message.result_raw()?).ok()
}

fn whole(call: &Call, result: Value) -> Result<Reply, Refusal> {
    let bytes: Bytes = reply::result(call.id_raw().unwrap_or("null"), &result.to_string());
    let message = Message::decode(bytes, &call.node.limits.results()).map_err(Refusal::Decode)?;
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(Reply::Whole { status: StatusCode::OK, headers, message: Some(message) })
}

fn own_info() -> Value {
    json!({ "name": "lockgate", "version": env!("CARGO_PKG_VERSION") })
}

/// What any of the servers can do. Subscriptions over all servers are not offered, so they are not announced.
fn capabilities(results: &[(String, Value)]) -> Value {
    let mut all = Map::new();
    for (_, result) in results {
        let Some(own) = result["capabilities"].as_object() else { continue };
        for (name, value) in own {
            let flags = all.entry(name.clone()).or_insert_with(|| json!({}));
            if let (Some(flags), Some(value)) = (flags.as_object_mut(), value.as_object()) {
                flags.extend(value.iter().map(|(k, v)| (k.clone(), v.clone())));
            }
        }
    }
    Value::Object(all)
}

fn instructions(results: &[(String, Value)], missing: &Map<String, Value>) -> String {
    let mut text = String::from("Names are prefixed with the id of the server that they belong to.");
    for (id, result) in results {
        if let Some(own) = result["instructions"].as_str() {
            text.push_str(&format!("\n\n{id}: {own}"));
        }
    }
    for (id, why) in missing {
        text.push_str(&format!("\n\n{id} is not available now: {}", why.as_str().unwrap_or_default()));
    }
    text
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

    #[test]
    fn capabilities_are_joined_member_by_member() {
        let results = vec![
            ("a".to_owned(), json!({"capabilities": {"tools": {"listChanged": true}, "logging": {}}})),
            ("b".to_owned(), json!({"capabilities": {"tools": {}, "resources": {"subscribe": true}}})),
        ];
        let expected =
            json!({"tools": {"listChanged": true}, "logging": {}, "resources": {"subscribe": true}});
        assert_eq!(capabilities(&results), expected);
    }
}
