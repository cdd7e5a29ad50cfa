//! Bodies of requests: what their argument is, and how it is written.

use base64::Engine as _;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig, STANDARD};
use serde_json::{Map, Value, json};

use crate::error::CallError;
use crate::multipart;
use crate::percent::encode;
use crate::pointer::Root;
use crate::style::{deep, members, word, word_or_json};

/// Reads base64 with or without its padding.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &base64::alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// How a body is written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Kind {
    Json,
    /// `application/x-www-form-urlencoded`; the members that are written deep.
    Form {
        deep: Vec<String>,
    },
    /// `multipart/form-data`; the members that are files.
    Multipart {
        files: Vec<String>,
    },
    /// Text as it is given.
    Text,
    /// Bytes, given as base64.
    Bytes,
}

/// A body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Body {
    /// What the caller calls it.
    pub(crate) argument: String,
    pub(crate) kind: Kind,
    pub(crate) media: String,
    pub(crate) required: bool,
}

/// A body with its schema, still in the document.
pub(crate) struct Described<'a> {
    pub(crate) body: Body,
    pub(crate) schema: Option<&'a Value>,
    pub(crate) description: String,
}

/// Reads what a request may carry, and takes the kind that says most.
///
/// # Errors
/// Why it cannot be used, in words.
pub(crate) fn read<'a>(
    given: &'a Value,
    root: &Root<'a>,
    chars_max: usize,
) -> Result<Option<Described<'a>>, String> {
    let given = root.resolve(given)?;
    let content = given.get("content").and_then(Value::as_object).ok_or("the request body has no content")?;
    let mut kinds: Vec<(u8, &String, &Value)> = content
        .iter()
        .filter(|(media, _)| is_media(media))
        .map(|(media, value)| (rank(media), media, value))
        .collect();
    kinds.sort_by_key(|(rank, ..)| *rank);
    let Some((rank, media, value)) = kinds.first().copied() else {
        return if content.is_empty() {
            Ok(None)
        } else {
            Err("the request body has no media type that can be sent".to_owned())
        };
    };
    let schema = value.get("schema");
    let kind = match rank {
        0 => Kind::Json,
        1 => Kind::Form {
            deep: encoded(value, |encoding| encoding.get("style") == Some(&json!("deepObject"))),
        },
        2 => Kind::Multipart { files: files(schema, value, root)? },
        3 => Kind::Text,
        _ => Kind::Bytes,
    };
    let media = if media.contains('*') { "application/octet-stream".to_owned() } else { bare(media) };
    let required = given.get("required").and_then(Value::as_bool).unwrap_or(false);
    let description = given.get("description").and_then(Value::as_str).unwrap_or_default();
    let description = crate::text::clean(description, chars_max);
    let body = Body { argument: String::new(), kind, media, required };
    Ok(Some(Described { body, schema, description }))
}

/// A media type without its parameters.
pub(crate) fn bare(media: &str) -> String {
    media.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

fn is_media(media: &str) -> bool {
    let is_part = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"!#$&^_.+-*".contains(&b))
    };
    bare(media).split_once('/').is_some_and(|(kind, rest)| is_part(kind) && is_part(rest))
}

/// Whether a media type is JSON (RFC 6839, section 3.1).
pub(crate) fn is_json(media: &str) -> bool {
    let media = bare(media);
    media == "application/json" || media.ends_with("+json") || media == "text/json"
}

/// Whether a media type is text that a model can read.
pub(crate) fn is_text(media: &str) -> bool {
    let media = bare(media);
    media.starts_with("text/")
        || media.ends_with("+xml")
        || [
            "application/xml",
            "application/yaml",
            "application/x-yaml",
            "application/x-ndjson",
            "application/javascript",
            "application/graphql",
        ]
        .contains(&media.as_str())
}

fn rank(media: &str) -> u8 {
    match bare(media).as_str() {
        json if is_json(json) => 0,
        "application/x-www-form-urlencoded" => 1,
        "multipart/form-data" => 2,
        text if is_text(text) => 3,
        _ => 4,
    }
}

fn encoded(media: &Value, is: impl Fn(&Value) -> bool) -> Vec<String> {
    let encoding = media.get("encoding").and_then(Value::as_object).into_iter().flatten();
    encoding.filter(|(_, encoding)| is(encoding)).map(|(name, _)| name.clone()).collect()
}

/// The members of a multipart body that are files: bytes by their schema, or by their encoding.
fn files(schema: Option<&Value>, media: &Value, root: &Root<'_>) -> Result<Vec<String>, String> {
    let mut files = encoded(media, |encoding| {
        let content = encoding.get("contentType").and_then(Value::as_str).unwrap_or("text/plain");
        !is_json(content) && !is_text(content)
    });
    let Some(schema) = schema else { return Ok(files) };
    let properties = root.resolve(schema)?.get("properties").and_then(Value::as_object);
    for (name, member) in properties.into_iter().flatten() {
        if is_file(root.resolve(member)?, root) && !files.contains(name) {
            files.push(name.clone());
        }
    }
    Ok(files)
}

fn is_file(schema: &Value, root: &Root<'_>) -> bool {
    let is = |key: &str, value: &str| schema.get(key).and_then(Value::as_str) == Some(value);
    let items = schema.get("items").and_then(|items| root.resolve(items).ok());
    is("format", "binary")
        || schema.get("contentMediaType").is_some_and(|_| !is("contentMediaType", "application/json"))
        || items.is_some_and(|items| items.get("format").and_then(Value::as_str) == Some("binary"))
}

/// What a member that is a file looks like to the caller.
pub(crate) fn file_schema(description: &str) -> Value {
    let what = if description.is_empty() {
        "A file, as base64.".to_owned()
    } else {
        format!("{description} (a file, as base64)")
    };
    json!({ "type": "string", "contentEncoding": "base64", "description": what })
}

impl Body {
    /// The bytes of `value`, and their media type.
    pub(crate) fn write(&self, value: &Value) -> Result<(Vec<u8>, String), CallError> {
        let name = &self.argument;
        let plain = |bytes: Vec<u8>| Ok((bytes, self.media.clone()));
        match &self.kind {
            Kind::Json => plain(value.to_string().into_bytes()),
            Kind::Form { deep } => plain(form(members(name, value)?, deep).into_bytes()),
            Kind::Multipart { files } => multipart::write(name, members(name, value)?, files),
            Kind::Text => match value {
                Value::String(text) => plain(text.clone().into_bytes()),
                other => plain(word_or_json(other).into_bytes()),
            },
            Kind::Bytes => plain(bytes(name, value)?),
        }
    }
}

/// The bytes that base64 stands for.
pub(crate) fn bytes(name: &str, value: &Value) -> Result<Vec<u8>, CallError> {
    let text = value.as_str().ok_or_else(|| CallError::unfit(name, "must be text: bytes as base64"))?;
    let text: String = text.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    LENIENT.decode(text).map_err(|_| CallError::unfit(name, "is no base64"))
}

/// Bytes as base64.
pub(crate) fn base64(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

fn form(members: &Map<String, Value>, deep_ones: &[String]) -> String {
    let mut pairs = Vec::new();
    for (name, value) in members {
        match value {
            Value::Null => {}
            Value::Array(_) | Value::Object(_) if deep_ones.contains(name) => pairs.extend(deep(name, value)),
            Value::Array(items) if items.iter().all(|item| word(item).is_some()) => {
                pairs.extend(items.iter().map(|item| (encode(name), encode(&word_or_json(item)))));
            }
            one => pairs.push((encode(name), encode(&word_or_json(one)))),
        }
    }
    pairs.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("&")
}
