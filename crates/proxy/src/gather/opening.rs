//! How a conversation with all servers opens, in either era.

use lockgate_mcp::{Era, Kind, Message, version};
use serde_json::{Map, Value, json};

use crate::answer::Reply;
use crate::call::Call;
use crate::decode::Inbound;
use crate::pipeline::session_header;
use crate::recover::chosen_version;
use crate::refusal::Refusal;
use crate::screen::screen_text;
use crate::upstream::{UpstreamError, UpstreamSession};

use super::ask::{Asking, Part, Sorted, ask_all, sort};
use super::whole;

/// What servers announce that they offer subscriptions with.
const SUBSCRIPTIONS: [&str; 2] = ["listChanged", "subscribe"];

/// Opens a session at each server, and one for all of them here.
pub(super) async fn initialize(
    call: &mut Call,
    inbound: &Inbound,
    message: Message,
) -> Result<Reply, Refusal> {
    let parts = ask_all(call, inbound, &message, |asking: Asking<'_>| async move {
        let mut answer = asking.exchange_anew().await?;
        let session = answer.session.take().unwrap_or(UpstreamSession::Http(None));
        let result = asking.finish(answer).await?;
        let version = chosen_version(&result).map_err(|error| asking.refusal(error))?;
        Ok((result, (session, version)))
    })
    .await;
    let (came, missing) = judged(call, parts)?;
    let node = call.node.clone();
    let (id, session) = node.sessions.open(call.link.party(), inbound.target.route(), message, node.now_ms());
    // Each server is spoken to in the version that it chose; the client gets the oldest of them.
    let oldest = came.iter().map(|(_, (_, (_, version)))| version.clone()).min();
    let oldest = oldest.unwrap_or_else(|| version::LATEST_LEGACY.to_owned());
    let mut results = Vec::new();
    for (server, (result, (upstream, version))) in came {
        session.set_upstream(&server.id, upstream, Some(version));
        results.push((server.id.clone(), result));
    }
    session.set_version(&oldest);
    call.session = Some(session);
    let result = json!({
        "protocolVersion": oldest,
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

/// What all servers together offer to a modern client.
pub(super) async fn discover(call: &mut Call, inbound: &Inbound, message: Message) -> Result<Reply, Refusal> {
    let parts = ask_all(call, inbound, &message, |asking: Asking<'_>| async move {
        let answer = asking.exchange().await?;
        let result = asking.finish(answer).await?;
        match result.kind() {
            Kind::Error => Err(asking.refusal(UpstreamError::Declined(result.error_code()))),
            _ => Ok((result, ())),
        }
    })
    .await;
    let (came, missing) = judged(call, parts).map_err(|refusal| unspoken(&message, refusal))?;
    let results: Vec<_> =
        came.into_iter().map(|(server, (result, ()))| (server.id.clone(), result)).collect();
    let offered = |v: &Value, version: &str| {
        v["supportedVersions"].as_array().is_some_and(|all| all.iter().any(|x| x.as_str() == Some(version)))
    };
    let by_all = |version: &&str| results.iter().all(|(_, v)| offered(v, version));
    let versions: Vec<&str> = version::known().iter().copied().filter(by_all).collect();
    whole(
        call,
        json!({
            "resultType": "complete",
            "supportedVersions": versions,
            "capabilities": unsubscribed(capabilities(&results)),
            "instructions": instructions(&results, &missing),
            "ttlMs": 0,
            "cacheScope": "private",
            "_meta": { "io.modelcontextprotocol/serverInfo": own_info() },
        }),
    )
}

/// Servers that answer, but not to `server/discover`, are of the earlier era: the client learns which versions to try.
fn unspoken(message: &Message, refusal: Refusal) -> Refusal {
    let Refusal::Upstream { error: UpstreamError::Declined(_) | UpstreamError::Unsupported(_), .. } =
        &refusal
    else {
        return refusal;
    };
    let legacy = version::known().iter().copied().filter(|known| version::era(known) == Some(Era::Legacy));
    let requested = message.meta_protocol_version().unwrap_or_default().to_owned();
    Refusal::Unspoken { requested, supported: legacy.collect() }
}

/// Sorts what servers say of themselves, after detection has read it: their instructions go straight to a model.
fn judged<T>(call: &mut Call, parts: Vec<Part<(Message, T)>>) -> Result<Sorted<(Value, T)>, Refusal> {
    let mut judged = Vec::new();
    let method = call.method().to_owned();
    for (server, part) in parts {
        let part = part.and_then(|(message, rest)| {
            screen_text(call, &server.id, &method, &message)?;
            let result = message.result_raw().and_then(|raw| serde_json::from_str(raw).ok());
            let malformed = || Refusal::Upstream {
                server: server.id.clone(),
                error: UpstreamError::Malformed("its result is no JSON object".to_owned()),
            };
            Ok((result.filter(Value::is_object).ok_or_else(malformed)?, rest))
        });
        judged.push((server, part));
    }
    sort(call, judged)
}

fn own_info() -> Value {
    json!({ "name": "lockgate", "version": env!("CARGO_PKG_VERSION") })
}

/// What any of the servers can do.
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

/// Capabilities without the subscriptions, which in the modern era are not offered over all servers.
fn unsubscribed(mut capabilities: Value) -> Value {
    for flags in capabilities.as_object_mut().into_iter().flat_map(Map::values_mut) {
        let Some(flags) = flags.as_object_mut() else { continue };
        flags.retain(|name, _| !SUBSCRIPTIONS.contains(&name.as_str()));
    }
    capabilities
}

/// The servers' own instructions, and which servers are missing. Not why: that may be text of the server's choosing, and
/// this is read by a model.
fn instructions(results: &[(String, Value)], missing: &Map<String, Value>) -> String {
    let mut text = String::from("Names are prefixed with the id of the server that they belong to.");
    for (id, result) in results {
        if let Some(own) = result["instructions"].as_str() {
            text.push_str(&format!("\n\n{id}: {own}"));
        }
    }
    for id in missing.keys() {
        text.push_str(&format!("\n\n{id} is not available now."));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn capabilities_are_joined_member_by_member() {
        let results = vec![
            ("a".to_owned(), json!({"capabilities": {"tools": {"listChanged": true}, "logging": {}}})),
            ("b".to_owned(), json!({"capabilities": {"tools": {}, "resources": {"subscribe": true}}})),
        ];
        let expected =
            json!({"tools": {"listChanged": true}, "logging": {}, "resources": {"subscribe": true}});
        assert_eq!(capabilities(&results), expected);
        let offered = json!({"tools": {}, "logging": {}, "resources": {}});
        assert_eq!(unsubscribed(expected), offered, "what cannot be subscribed to here is not announced");
    }
}
