//! HTTP headers that mirror the body (MCP 2026-07-28, Streamable HTTP; SEP-2243).
//!
//! A modern request says in its headers what it says in its body, so that intermediaries can route
//! it unread. That is only safe if somebody compares the two: [`check`] does, before any decision,
//! and decisions are made on the body alone. [`mirror`] writes the headers for a message that has
//! none, because it came over stdio or was changed on its way.

mod number;
mod param;
mod value;

use http::{HeaderMap, HeaderName, HeaderValue};
use serde_json::json;

use crate::error::{DecodeError, shortened};
use crate::message::{Kind, Message};
use crate::reply::code;
use crate::version::{self, Era};

pub use param::{ParamError, ParamHeaders};
pub use value::{decode_value, encode_value};

use param::Argument;

/// `MCP-Protocol-Version`.
pub const PROTOCOL_VERSION: HeaderName = HeaderName::from_static("mcp-protocol-version");
/// `Mcp-Method`.
pub const METHOD: HeaderName = HeaderName::from_static("mcp-method");
/// `Mcp-Name`.
pub const NAME: HeaderName = HeaderName::from_static("mcp-name");
/// `Mcp-Session-Id`, legacy only.
pub const SESSION_ID: HeaderName = HeaderName::from_static("mcp-session-id");
/// `Last-Event-ID`, legacy only.
pub const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// What the name of every mirrored argument's header starts with.
pub const PARAM_PREFIX: &str = "mcp-param-";

const META_VERSION: &str = "io.modelcontextprotocol/protocolVersion";
const META_CAPABILITIES: &str = "io.modelcontextprotocol/clientCapabilities";

/// Why headers and body do not make one request, ordered as they are checked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeaderError {
    /// An `Mcp-*` header more than once, even with one value: readers differ on which counts.
    #[error("Header mismatch: {name} is given more than once, send it once")]
    Repeated {
        /// The header.
        name: HeaderName,
    },
    /// A value with characters that no header may have, or that does not decode.
    #[error("Header mismatch: the value of {name} cannot be read, send visible ASCII or =?base64?…?=")]
    Unreadable {
        /// The header.
        name: HeaderName,
    },
    /// A response, which modern clients do not send.
    #[error("Invalid request: a modern client sends requests and notifications only")]
    Response,
    /// A modern request without its metadata.
    #[error("Invalid params: request _meta lacks {member}")]
    Metadata {
        /// The member of `_meta` that is missing or of the wrong type.
        member: &'static str,
    },
    /// A header that the body calls for is missing.
    #[error("Header mismatch: {name} is missing, it must repeat {body:?} of the body")]
    Missing {
        /// The header.
        name: HeaderName,
        /// What the body says, shortened.
        body: String,
    },
    /// A header says something else than the body.
    #[error("Header mismatch: {name} says {header:?}, the body says {body:?}")]
    Mismatch {
        /// The header.
        name: HeaderName,
        /// What the header says, decoded and shortened.
        header: String,
        /// What the body says, shortened.
        body: String,
    },
    /// A header for an argument that the body does not have.
    #[error("Header mismatch: {name} is given, but the body has no such argument")]
    Unexpected {
        /// The header.
        name: HeaderName,
    },
    /// The arguments cannot be read in one way, so nothing can be compared with them.
    #[error("Header mismatch: the arguments that headers mirror cannot be read: {0}")]
    Arguments(DecodeError),
    /// A method that the modern era no longer has. Nothing else about such a request matters.
    #[error("Method not found: {method} is gone since {}", version::LATEST_MODERN)]
    Removed {
        /// The method.
        method: String,
    },
    /// A protocol version that we do not know.
    #[error("Unsupported protocol version {requested:?}: use one of {}", version::known().join(", "))]
    Unsupported {
        /// The version asked for, shortened.
        requested: String,
    },
}

impl HeaderError {
    /// The JSON-RPC code of the answer.
    #[must_use]
    pub fn code(&self) -> i64 {
        match self {
            Self::Response => code::INVALID_REQUEST,
            Self::Metadata { .. } => code::INVALID_PARAMS,
            Self::Removed { .. } => code::METHOD_NOT_FOUND,
            Self::Unsupported { .. } => code::UNSUPPORTED_VERSION,
            _ => code::HEADER_MISMATCH,
        }
    }

    /// The HTTP status of the answer.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        match self {
            Self::Removed { .. } => 404,
            _ => 400,
        }
    }

    /// The `data` of the answer: for an unsupported version those that are supported. A gateway
    /// whose upstream knows fewer says so with [`unsupported_data`] instead.
    #[must_use]
    pub fn data(&self) -> Option<serde_json::Value> {
        match self {
            Self::Unsupported { requested } => Some(unsupported_data(version::known(), requested)),
            _ => None,
        }
    }
}

/// The `data` of error -32022.
#[must_use]
pub fn unsupported_data(supported: &[&str], requested: &str) -> serde_json::Value {
    json!({ "supported": supported, "requested": requested })
}

/// Compares the headers of a POST with its body and says which era it speaks.
///
/// A modern request must have the three standard headers, each once and equal to the body, and
/// its metadata; with `tool`, the definition of the tool it calls, its `Mcp-Param-*` headers too.
/// Headers for arguments that the tool does not mirror are none of our business. Of a legacy
/// message only the version counts: its other mirrored headers are not to be trusted.
///
/// # Errors
/// [`HeaderError`] for the first thing that is wrong.
pub fn check(
    headers: &HeaderMap,
    message: &Message,
    tool: Option<&ParamHeaders>,
) -> Result<Era, HeaderError> {
    refuse_repeated(headers)?;
    let header = plain(headers, PROTOCOL_VERSION)?;
    let removed = message.method().filter(|method| version::is_removed(method));
    if let (Some(Era::Modern), Kind::Request, Some(method)) =
        (header.and_then(version::era), message.kind(), removed)
    {
        return Err(HeaderError::Removed { method: method.to_owned() });
    }
    let era = era(header, message)?;
    if era == Era::Modern {
        check_modern(headers, message, tool)?;
    }
    Ok(era)
}

fn refuse_repeated(headers: &HeaderMap) -> Result<(), HeaderError> {
    for name in headers.keys().filter(|name| name.as_str().starts_with("mcp-")) {
        if headers.get_all(name).iter().nth(1).is_some() {
            return Err(HeaderError::Repeated { name: name.clone() });
        }
    }
    Ok(())
}

/// Which era the two version fields agree on.
fn era(header: Option<&str>, message: &Message) -> Result<Era, HeaderError> {
    let unsupported = |requested| HeaderError::Unsupported { requested: shortened(requested) };
    let known = |requested| version::era(requested).ok_or_else(|| unsupported(requested));
    if message.method() == Some("initialize") {
        return header.map_or(Ok(Era::Legacy), known);
    }
    match (header, message.meta_protocol_version()) {
        (None, None) => Ok(Era::Legacy),
        (None, Some(body)) => Err(HeaderError::Missing { name: PROTOCOL_VERSION, body: shortened(body) }),
        (Some(header), Some(body)) if header != body => Err(HeaderError::Mismatch {
            name: PROTOCOL_VERSION,
            header: shortened(header),
            body: shortened(body),
        }),
        (Some(header), Some(_)) => known(header),
        (Some(header), None) => match (known(header)?, message.kind()) {
            (Era::Modern, Kind::Result | Kind::Error) => Err(HeaderError::Response),
            (Era::Modern, Kind::Request) => Err(HeaderError::Metadata { member: META_VERSION }),
            (era, _) => Ok(era),
        },
    }
}

fn check_modern(
    headers: &HeaderMap,
    message: &Message,
    tool: Option<&ParamHeaders>,
) -> Result<(), HeaderError> {
    let required = message.kind() == Kind::Request;
    let capabilities = message.meta_member_raw(META_CAPABILITIES);
    if required && !capabilities.is_some_and(|raw| raw.starts_with('{')) {
        return Err(HeaderError::Metadata { member: META_CAPABILITIES });
    }
    if let Some(method) = message.method() {
        agree(METHOD, plain(headers, METHOD)?, method, required)?;
    }
    if let Some(name) = message.name().filter(|_| mirrors_name(message)) {
        let header = decoded(headers, &NAME)?;
        agree(NAME, header.as_deref(), name, required)?;
    }
    match tool {
        Some(tool) if message.method() == Some("tools/call") => check_params(headers, message, tool),
        _ => Ok(()),
    }
}

fn check_params(headers: &HeaderMap, message: &Message, tool: &ParamHeaders) -> Result<(), HeaderError> {
    let arguments = message.arguments_raw().unwrap_or("{}");
    for leaf in tool.leaves() {
        let argument = leaf.argument(arguments).map_err(HeaderError::Arguments)?;
        let name = leaf.header.clone();
        let body = || match &argument {
            Argument::Text(text) => shortened(text),
            Argument::Number(number) => shortened(number),
            Argument::None => String::new(),
        };
        match (decoded(headers, &name)?, &argument) {
            (None, Argument::None) => {}
            (Some(_), Argument::None) => return Err(HeaderError::Unexpected { name }),
            (None, _) => return Err(HeaderError::Missing { name, body: body() }),
            (Some(header), _) if leaf.agrees(&header, &argument) => {}
            (Some(header), _) => {
                return Err(HeaderError::Mismatch { name, header: shortened(&header), body: body() });
            }
        }
    }
    Ok(())
}

/// Whether the specification mirrors the subject of this method; others keep theirs in the body.
fn mirrors_name(message: &Message) -> bool {
    !matches!(message.method(), None | Some("completion/complete")) && message.kind() == Kind::Request
}

fn agree(name: HeaderName, header: Option<&str>, body: &str, required: bool) -> Result<(), HeaderError> {
    match header {
        Some(header) if header == body => Ok(()),
        Some(header) => Err(HeaderError::Mismatch { name, header: shortened(header), body: shortened(body) }),
        None if required => Err(HeaderError::Missing { name, body: shortened(body) }),
        None => Ok(()),
    }
}

/// A header that is never encoded.
fn plain(headers: &HeaderMap, name: HeaderName) -> Result<Option<&str>, HeaderError> {
    match headers.get(&name).map(HeaderValue::to_str) {
        None => Ok(None),
        Some(Ok(value)) => Ok(Some(value)),
        Some(Err(_)) => Err(HeaderError::Unreadable { name }),
    }
}

/// A header that may be encoded.
fn decoded(headers: &HeaderMap, name: &HeaderName) -> Result<Option<String>, HeaderError> {
    let Some(value) = headers.get(name) else { return Ok(None) };
    match decode_value(value.as_bytes()) {
        Some(text) => Ok(Some(text)),
        None => Err(HeaderError::Unreadable { name: name.clone() }),
    }
}

/// The headers that a modern message must be sent with. None for a message without a protocol
/// version in its `_meta`: a legacy session's version is known to who keeps the session.
///
/// Arguments that cannot be mirrored are left out, as are those that cannot be read in one way;
/// the receiver refuses the call then.
#[must_use]
pub fn mirror(message: &Message, tool: Option<&ParamHeaders>) -> Vec<(HeaderName, HeaderValue)> {
    let mut headers = Vec::new();
    let (Some(version), Some(method)) = (message.meta_protocol_version(), message.method()) else {
        return headers;
    };
    let mut push = |name: HeaderName, value: &str| {
        // Only a version can fail this; the receiver refuses it as missing.
        if let Ok(value) = HeaderValue::from_str(value) {
            headers.push((name, value));
        }
    };
    push(PROTOCOL_VERSION, version);
    push(METHOD, method);
    if let Some(name) = message.name().filter(|_| mirrors_name(message)) {
        push(NAME, &encode_value(name));
    }
    if let (Some(tool), "tools/call", Some(arguments)) = (tool, method, message.arguments_raw()) {
        for leaf in tool.leaves() {
            match leaf.argument(arguments) {
                Ok(Argument::Text(text)) => push(leaf.header.clone(), &encode_value(&text)),
                Ok(Argument::Number(number)) => push(leaf.header.clone(), number),
                Ok(Argument::None) | Err(_) => {}
            }
        }
    }
    headers
}
