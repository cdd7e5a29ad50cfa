//! Parameters of an operation: where they go and how they are written.

use serde_json::Value;

use crate::limits::Limits;
use crate::pointer::Root;
use crate::text::clean;

/// Where a parameter goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    Path,
    Query,
    Header,
    Cookie,
}

/// How a value that is not one word is written (OpenAPI 3.1, section 4.8.12.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Style {
    Simple,
    Form,
    Label,
    Matrix,
    Space,
    Pipe,
    Deep,
    /// As JSON text (`content` in place of `schema`).
    Json,
}

/// One parameter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Parameter {
    /// What the caller calls it.
    pub(crate) argument: String,
    /// What it is called on the wire.
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) style: Style,
    pub(crate) explode: bool,
    pub(crate) required: bool,
    /// A path parameter that spans several segments, by the document's own word (`x-multi-segment`).
    pub(crate) segments: bool,
}

/// A parameter with what describes it.
pub(crate) struct Described<'a> {
    pub(crate) parameter: Parameter,
    pub(crate) schema: Option<&'a Value>,
    pub(crate) description: String,
}

/// Headers that are the connection's, the node's or the protocol's own. A document that asks for one does not get it, or a call
/// could speak as somebody else, say where it ends, or turn a reading method into a writing one.
fn is_reserved(name: &str) -> bool {
    const NAMES: &[&str] = &[
        "accept",
        "accept-encoding",
        "authorization",
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "cookie",
        "expect",
        "forwarded",
        "host",
        "keep-alive",
        "set-cookie",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "via",
        "x-http-method",
        "x-http-method-override",
        "x-method-override",
        "x-original-url",
        "x-real-ip",
        "x-rewrite-url",
    ];
    const BEGINNINGS: &[&str] = &["proxy-", "sec-", "x-forwarded-", "mcp-"];
    let name = name.to_ascii_lowercase();
    NAMES.contains(&name.as_str()) || BEGINNINGS.iter().any(|begins| name.starts_with(begins))
}

/// A token (RFC 9110, section 5.6.2), as names of headers and cookies are.
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b))
}

/// Reads a parameter. `None` for one that is not the caller's to give.
///
/// # Errors
/// Why it cannot be used, in words.
pub(crate) fn read<'a>(
    given: &'a Value,
    root: &Root<'a>,
    limits: &Limits,
) -> Result<Option<Described<'a>>, String> {
    let given = root.resolve(given)?;
    let text = |key: &str| given.get(key).and_then(Value::as_str);
    let flag = |key: &str| given.get(key).and_then(Value::as_bool);
    let name = text("name").filter(|name| !name.is_empty()).ok_or("a parameter has no name")?;
    let shown = clean(name, 80);
    let place = match text("in") {
        Some("path") => Place::Path,
        Some("query") => Place::Query,
        Some("header") => Place::Header,
        Some("cookie") => Place::Cookie,
        other => {
            return Err(format!(
                "the parameter {shown:?} is in {:?}, which is no place",
                clean(other.unwrap_or("nothing"), 40)
            ));
        }
    };
    let required = place == Place::Path || flag("required").unwrap_or(false);
    if matches!(place, Place::Header | Place::Cookie) && !is_token(name) {
        return Err(format!("the parameter {shown:?} has a name that no header can have"));
    }
    if place == Place::Header && is_reserved(name) {
        return Ok(None);
    }
    let content = given.get("content").and_then(Value::as_object).and_then(|content| content.values().next());
    let schema = match content {
        Some(media) => media.get("schema"),
        None => given.get("schema"),
    };
    let (style, explode) = match (content, text("style"), place) {
        (Some(_), ..) => (Style::Json, false),
        (None, None, Place::Path | Place::Header) => (Style::Simple, false),
        (None, None, Place::Query | Place::Cookie) => (Style::Form, true),
        (None, Some("simple"), Place::Path | Place::Header) => (Style::Simple, false),
        (None, Some("label"), Place::Path) => (Style::Label, false),
        (None, Some("matrix"), Place::Path) => (Style::Matrix, false),
        (None, Some("form"), Place::Query | Place::Cookie) => (Style::Form, true),
        (None, Some("spaceDelimited"), Place::Query) => (Style::Space, false),
        (None, Some("pipeDelimited"), Place::Query) => (Style::Pipe, false),
        (None, Some("deepObject"), Place::Query) => (Style::Deep, true),
        (None, Some(style), _) => {
            return Err(format!(
                "the parameter {shown:?} has the style {:?}, which its place does not have",
                clean(style, 40)
            ));
        }
    };
    let parameter = Parameter {
        argument: String::new(),
        name: name.to_owned(),
        place,
        style,
        explode: flag("explode").unwrap_or(explode),
        required,
        segments: place == Place::Path && flag("x-multi-segment").unwrap_or(false),
    };
    let description = clean(text("description").unwrap_or_default(), limits.note_chars_max);
    Ok(Some(Described { parameter, schema, description }))
}
