//! Stage 4: an HTTP request becomes one message for one target.
//!
//! All that a later stage relies on is established here, in this order: the request is meant for this node (Host,
//! Origin), it goes to something that is served, its body is one sound message, and its headers say what the body says.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::request::Parts;
use http::{HeaderMap, Method, Request, header};
use http_body::Body as _;
use http_body_util::BodyExt;
use lockgate_mcp::{Era, Message, headers, version};
use tokio::time::timeout;

use crate::call::Call;
use crate::link::LinkContext;
use crate::node::{Node, Server};
use crate::pipeline;
use crate::refusal::Refusal;
use crate::unread::Received;
use crate::upstream::Verb;
use crate::upstream::http::SESSION_ID;

/// A listening stream (GET) passes the same stages as a message; this is the message that stands for it.
const LISTEN: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/lockgate/listen"}"#;
/// And this one for the end of a session (DELETE).
const END_SESSION: &[u8] = br#"{"jsonrpc":"2.0","method":"notifications/lockgate/end-session"}"#;

/// Where a request goes.
#[derive(Clone)]
pub enum Target {
    /// One server, as itself.
    Server(Arc<Server>),
    /// All servers together, names prefixed by server id.
    All,
}

impl Target {
    /// The route of all servers together; no server can be called so.
    pub const ALL: &str = "*";

    /// The name under which sessions are bound to this target.
    pub fn route(&self) -> &str {
        match self {
            Target::Server(server) => &server.id,
            Target::All => Self::ALL,
        }
    }
}

/// A request that was decoded.
pub struct Inbound {
    /// What it asks for.
    pub verb: Verb,
    /// Where it goes.
    pub target: Target,
    /// The path by which it came.
    pub path: Arc<str>,
    /// Its headers.
    pub headers: HeaderMap,
    /// The legacy session id that it carries.
    pub session_id: Option<String>,
    /// Its protocol era.
    pub era: Era,
}

/// Decodes one request.
///
/// # Errors
/// The refusals of stage 4.
pub async fn request(call: &mut Call, request: Request<Received>) -> Result<(Inbound, Message), Refusal> {
    let (mut parts, body) = request.into_parts();
    let node = call.node.clone();
    check_size(&parts.headers, &node)?;
    check_host(&call.link, &parts)?;
    let target = route(&call.link, &node, parts.uri.path())?;
    call.note_server(target.route());
    let verb = verb(&parts.method)?;
    let message = match verb {
        Verb::Post => posted(call, &node, &parts.headers, body).await?,
        Verb::Get => standing_for(LISTEN, &node)?,
        Verb::Delete => standing_for(END_SESSION, &node)?,
    };
    call.note_message(&message);
    let era = match verb {
        Verb::Post => {
            let params = match &target {
                Target::Server(server) => message.name().and_then(|name| server.param_headers(name)),
                Target::All => {
                    node.split_name(&message).and_then(|(server, name)| server.param_headers(&name))
                }
            };
            headers::check(&parts.headers, &message, params.as_deref())?
        }
        Verb::Get | Verb::Delete => era_of(&parts.headers)?,
    };
    if era == Era::Modern && verb != Verb::Post {
        return Err(Refusal::Verb(parts.method));
    }
    call.era = era;
    let (trace, message) = node.tracing.begin(message, &mut parts.headers);
    call.trace = trace;
    let session_id = match era {
        Era::Legacy => parts.headers.get(SESSION_ID).map(|v| v.to_str().unwrap_or_default().to_owned()),
        Era::Modern => None,
    };
    let path = parts.uri.path().into();
    Ok((Inbound { verb, target, path, headers: parts.headers, session_id, era }, message))
}

fn check_size(headers: &HeaderMap, node: &Node) -> Result<(), Refusal> {
    let (count_max, bytes_max) = (node.limits.header_count_max, node.limits.header_bytes_max);
    let bytes: usize = headers.iter().map(|(name, value)| name.as_str().len() + value.len()).sum();
    if headers.len() > count_max || bytes > bytes_max {
        return Err(Refusal::Headers { count_max, bytes_max });
    }
    Ok(())
}

/// Refuses requests that were meant for another host: a page in a browser whose name was pointed at this address (DNS
/// rebinding), or one of another origin.
pub(crate) fn check_host(link: &LinkContext, parts: &Parts) -> Result<(), Refusal> {
    let host = match parts.uri.authority() {
        Some(authority) => authority.as_str(),
        None => parts.headers.get(header::HOST).and_then(|v| v.to_str().ok()).unwrap_or_default(),
    };
    if !is_served(link, host) || parts.headers.get_all(header::HOST).iter().count() > 1 {
        return Err(Refusal::Host(shown(host)));
    }
    if let Some(origin) = parts.headers.get(header::ORIGIN) {
        let origin = origin.to_str().unwrap_or("?");
        let site = origin.split_once("://").map_or("", |(_, site)| site);
        if !is_served(link, site) && !link.origins.iter().any(|allowed| allowed == origin) {
            return Err(Refusal::Origin(shown(origin)));
        }
    }
    Ok(())
}

fn is_served(link: &LinkContext, authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|b| b.is_ascii_digit()) && !host.ends_with(':') => host,
        _ => authority,
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    let is_own = |local: SocketAddr| host.parse() == Ok(local.ip().to_canonical());
    link.local.is_some_and(is_own) || link.hosts.iter().any(|served| served.eq_ignore_ascii_case(host))
}

fn shown(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(100).collect()
}

fn route(link: &LinkContext, node: &Node, path: &str) -> Result<Target, Refusal> {
    let target = match path.strip_prefix("/servers/").and_then(|rest| rest.strip_suffix("/mcp")) {
        Some(id) => node.server(id).map(Target::Server),
        None if path == "/mcp" => Some(node.common_target()),
        None => None,
    };
    target.ok_or_else(|| Refusal::Route { path: shown(path), served: pipeline::paths(node, link).join(", ") })
}

fn verb(method: &Method) -> Result<Verb, Refusal> {
    match *method {
        Method::POST => Ok(Verb::Post),
        Method::GET => Ok(Verb::Get),
        Method::DELETE => Ok(Verb::Delete),
        _ => Err(Refusal::Verb(method.clone())),
    }
}

fn era_of(headers: &HeaderMap) -> Result<Era, Refusal> {
    let said = headers.get("mcp-protocol-version").and_then(|v| v.to_str().ok());
    Ok(said.and_then(version::era).unwrap_or(Era::Legacy))
}

async fn posted(
    call: &mut Call,
    node: &Node,
    headers: &HeaderMap,
    body: Received,
) -> Result<Message, Refusal> {
    let media = headers.get(header::CONTENT_TYPE).and_then(|v| v.to_str().ok()).unwrap_or_default();
    if !is_json(media) || headers.contains_key(header::CONTENT_ENCODING) {
        return Err(Refusal::MediaType);
    }
    let bytes = collect(body, node.limits.request_bytes_max, node.limits.request()).await?;
    Message::decode(bytes.clone(), &node.limits.requests()).map_err(|error| {
        if let Some(id) = lockgate_mcp::salvage_id(&bytes, &node.limits.requests()) {
            call.note_id(id);
        }
        Refusal::Decode(error)
    })
}

/// Whether a media type says JSON, and nothing that would have it read in another way than as UTF-8.
fn is_json(media: &str) -> bool {
    let mut parts = media.split(';').map(|part| part.trim().to_ascii_lowercase());
    parts.next().as_deref() == Some("application/json")
        && parts.all(|part| match part.split_once('=') {
            Some(("charset", set)) => set.trim_matches('"') == "utf-8",
            _ => true,
        })
}

/// Reads a body of up to `limit` bytes to its end, within `wait`. The usual body arrives as one frame and is not copied;
/// one in many small frames is copied once, however small they are.
pub(crate) async fn collect(body: Received, limit: usize, wait: Duration) -> Result<Bytes, Refusal> {
    if body.size_hint().lower() > limit as u64 {
        return Err(Refusal::TooLarge { limit });
    }
    timeout(wait, read(body, limit)).await.map_err(|_| Refusal::Incomplete)?
}

async fn read(mut body: Received, limit: usize) -> Result<Bytes, Refusal> {
    let (mut first, mut rest) = (Bytes::new(), BytesMut::new());
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Refusal::Incomplete)?.into_data() else { continue };
        if first.len() + rest.len() + data.len() > limit {
            return Err(Refusal::TooLarge { limit });
        }
        match (first.is_empty(), rest.is_empty()) {
            (true, true) => first = data,
            (_, true) => {
                rest.extend_from_slice(&std::mem::take(&mut first));
                rest.extend_from_slice(&data);
            }
            (_, false) => rest.extend_from_slice(&data),
        }
    }
    Ok(if rest.is_empty() { first } else { rest.freeze() })
}

fn standing_for(text: &'static [u8], node: &Node) -> Result<Message, Refusal> {
    Message::decode(Bytes::from_static(text), &node.limits.requests()).map_err(Refusal::Decode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_as_utf_8_or_not_at_all() {
        for (media, expected) in [
            ("application/json", true),
            ("Application/JSON; charset=UTF-8", true),
            ("application/json;charset=\"utf-8\"; profile=x", true),
            // To a server that obeys it, `+ACI-` is a quotation mark.
            ("application/json; charset=utf-7", false),
            ("application/json; charset=utf-8; charset=utf-16", false),
            ("application/json-seq", false),
            ("text/plain", false),
            ("", false),
        ] {
            assert_eq!(is_json(media), expected, "{media}");
        }
    }
}
