//! Results reduced to the fields that a caller may see.
//!
//! Two rules, which may come together ([`Fields`]):
//!
//! * **only** these fields pass. What cannot be reduced to fields (text that is not JSON, pictures, resources, links)
//!   is withheld, and so is everything beside the content: `_meta`, unknown members, the texts of errors.
//! * these fields are **hidden**. Everything else passes, except text in which a hidden name is mentioned.
//!
//! The same rules hold for what a server says of its own accord ([`said()`]).
//!
//! Reduced are `structuredContent`, each text of `content`, `contents` and `messages` that is a JSON object or array, and
//! under `hidden` everything else that is JSON. Values that pass keep their bytes; the objects around them are written anew.
//! What can be read in two ways (a name twice in one object) is withheld as a whole.
//!
//! A client that holds results against the tool's `outputSchema` will miss the fields that the schema requires: take
//! `outputSchema` out of the definitions that such a caller is shown.

mod fields;
mod said;
mod write;

pub use fields::{Fields, NoField};
pub use said::said;

use std::borrow::Cow;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use crate::error::DecodeError;
use crate::limits::Limits;
use crate::message::{Kind, Message};
use crate::text;
use write::Writer;

/// Stands where something was withheld.
pub const WITHHELD: &str = "[withheld by policy]";

/// A projection, and whether it took anything away.
#[derive(Debug, Clone)]
pub struct Projected {
    /// What may pass: a valid message with the same id.
    pub message: Message,
    /// Something was hidden, dropped or withheld.
    pub reduced: bool,
}

/// Reduces an answer to the fields that may pass. Requests and notifications are returned as they are (see [`said()`]),
/// and an answer of which nothing is taken away keeps every byte.
#[must_use]
pub fn project(message: &Message, fields: &Fields) -> Projected {
    let (member, raw) = match message.kind() {
        Kind::Result => ("result", message.result_raw()),
        Kind::Error => ("error", message.error_raw()),
        Kind::Request | Kind::Notification => {
            return Projected { message: message.clone(), reduced: false };
        }
    };
    let raw = raw.expect("an answer has a result or an error");
    let mut writer = Writer::new(fields);
    let written = match member {
        "result" => result(raw, &mut writer),
        _ => error(raw, &mut writer),
    };
    if written.is_err() {
        writer.start_again();
        writer.push(if member == "result" { NOTHING_LEFT } else { ERROR_LEFT });
    }
    let (body, reduced) = writer.finish();
    if !reduced && has_no_more(message, &["jsonrpc", "id", member]) {
        return Projected { message: message.clone(), reduced };
    }
    let id = message.id_raw().unwrap_or("null");
    let text = format!(r#"{{"jsonrpc":"2.0","id":{id},"{member}":{body}}}"#);
    let message = Message::decode(text.into(), &Limits::ours()).expect("it is written as an answer");
    Projected { message, reduced: true }
}

/// A result of which nothing could be read.
const NOTHING_LEFT: &str = r#"{"content":[{"type":"text","text":"[withheld by policy]"}],"isError":true}"#;

/// The same in the era in which results have a type, in place of a question of the server.
const NOTHING_ASKED: &str =
    r#"{"resultType":"complete","content":[{"type":"text","text":"[withheld by policy]"}],"isError":true}"#;

/// An error of which nothing could be read; -32603 is an internal error (JSON-RPC 2.0).
const ERROR_LEFT: &str = r#"{"code":-32603,"message":"[withheld by policy]"}"#;

/// Whether the message has no members but these.
fn has_no_more(message: &Message, known: &[&str]) -> bool {
    write::members(message.text())
        .is_ok_and(|members| members.iter().all(|(name, _)| known.contains(&&**name)))
}

/// Stands in `content` for what was withheld there.
const BLOCK_LEFT: &str = r#"{"type":"text","text":"[withheld by policy]"}"#;

/// Stands in `contents` for what was withheld there.
const CONTENTS_LEFT: &str = r#"{"uri":"withheld:","text":"[withheld by policy]"}"#;

/// Stands in `messages` for what was withheld there.
const MESSAGE_LEFT: &str = r#"{"role":"user","content":{"type":"text","text":"[withheld by policy]"}}"#;

/// Stands in `tasks` for what was withheld there.
const TASK_LEFT: &str = r#"{"taskId":"withheld","status":"working"}"#;

/// What of a task is of the protocol.
const TASK_WORDS: [&str; 8] =
    ["taskId", "status", "createdAt", "lastUpdatedAt", "ttl", "ttlMs", "pollInterval", "pollIntervalMs"];

/// Longest string that passes under `only` as a word of the protocol, in bytes.
const WORD_BYTES_MAX: usize = 128;

/// Members of an object that was read once: each name, decoded, and its value as written.
type Members<'a> = Vec<(Cow<'a, str>, &'a str)>;

fn result(raw: &str, writer: &mut Writer<'_>) -> Result<(), DecodeError> {
    let members = write::members(raw)?;
    let is_task = is_task(&members, writer);
    let asks = |name: &str, value: &str| name == "resultType" && value == r#""input_required""#;
    // The questions that a task has are members beside its status, and left out like others.
    if !is_task && writer.fields().only.is_some() && members.iter().any(|(name, value)| asks(name, value)) {
        // A question of the server is free text, and without it the answer makes no sense.
        writer.push(NOTHING_ASKED);
        writer.reduced();
        return Ok(());
    }
    let is_list = member(&members, "tasks").is_some();
    let is_cached = member(&members, "cacheScope").is_some();
    writer.open('{');
    for (name, value) in &members {
        let mark = writer.member(name);
        let kept = match &**name {
            "structuredContent" => writer.document(value).unwrap_or(false),
            "content" => list(value, writer, BLOCK_LEFT, block)?,
            "contents" => list(value, writer, CONTENTS_LEFT, contents)?,
            "messages" => list(value, writer, MESSAGE_LEFT, prompt)?,
            "isError" | "resultType" => scalar(value, writer),
            "completion" if writer.fields().only.is_some() => {
                // A completion is what the server has, and without it the client still needs its list.
                const NONE: &str = r#"{"values":[],"hasMore":false}"#;
                writer.push(NONE);
                if *value != NONE {
                    writer.reduced();
                }
                true
            }
            // How long it may be cached is of the protocol, which requires it; what is left is for nobody else.
            "ttlMs" | "cacheScope" if is_cached && writer.fields().only.is_some() => {
                let own = if name == "ttlMs" { "0" } else { "\"private\"" };
                writer.push(own);
                if *value != own {
                    writer.reduced();
                }
                true
            }
            "task" if writer.fields().only.is_some() => task(value, writer)?,
            "tasks" if writer.fields().only.is_some() => list(value, writer, TASK_LEFT, words_of_task)?,
            "nextCursor" if is_list && writer.fields().only.is_some() => scalar(value, writer),
            // A task as the extension of 2026-07-28 has it: its result is a member.
            "result" if is_task => result(value, writer).map(|()| true)?,
            "error" if is_task => error(value, writer).map(|()| true)?,
            "_meta" if is_task && writer.fields().only.is_some() => said::belongs(value, writer)?,
            word if is_task && writer.fields().only.is_some() => {
                TASK_WORDS.contains(&word) && scalar(value, writer)
            }
            _ => writer.other(name, value)?,
        };
        writer.keep(mark, kept);
    }
    writer.close('}');
    Ok(())
}

/// The code of an error passes always, its texts as other texts do.
fn error(raw: &str, writer: &mut Writer<'_>) -> Result<(), DecodeError> {
    let members = write::members(raw)?;
    writer.open('{');
    for (name, value) in &members {
        let mark = writer.member(name);
        let kept = match &**name {
            "code" => scalar(value, writer),
            "message" => {
                let message = string(value).unwrap_or_default();
                if writer.free_text(&message) {
                    writer.push(value);
                } else {
                    writer.push(&text::encode(WITHHELD));
                    writer.reduced();
                }
                true
            }
            _ => writer.other(name, value)?,
        };
        writer.keep(mark, kept);
    }
    writer.close('}');
    Ok(())
}

/// A list of blocks. What is withheld of it leaves one block that says so, however much it was.
fn list(
    raw: &str,
    writer: &mut Writer<'_>,
    left: &str,
    each: impl Fn(&Members<'_>, &mut Writer<'_>) -> Result<bool, DecodeError>,
) -> Result<bool, DecodeError> {
    let items = write::items(raw)?;
    let mut told = false;
    writer.open('[');
    for item in items {
        let mark = writer.item();
        let kept = write::members(item).and_then(|members| each(&members, writer)).unwrap_or(false);
        writer.keep(mark, kept);
        if !kept && !std::mem::replace(&mut told, true) {
            let mark = writer.item();
            writer.push(left);
            writer.keep(mark, true);
        }
    }
    writer.close(']');
    Ok(true)
}

/// One block of `content`.
fn block(members: &Members<'_>, writer: &mut Writer<'_>) -> Result<bool, DecodeError> {
    let kind = member(members, "type").and_then(string).unwrap_or_default();
    if kind != "text" && writer.fields().only.is_some() {
        return Ok(false);
    }
    writer.open('{');
    for (name, value) in members {
        let mark = writer.member(name);
        let kept = match (&*kind, &**name) {
            (_, "type") => scalar(value, writer),
            ("text", "text") => {
                if !document_text(value, writer) {
                    return Ok(false);
                }
                true
            }
            ("image" | "audio", "data") => bytes(value, writer),
            ("resource", "resource") => contents(&write::members(value)?, writer)?,
            _ => writer.other(name, value)?,
        };
        if !kept && matches!(&**name, "data" | "resource") {
            return Ok(false);
        }
        writer.keep(mark, kept);
    }
    writer.close('}');
    Ok(true)
}

/// One of the `messages` of a prompt.
fn prompt(members: &Members<'_>, writer: &mut Writer<'_>) -> Result<bool, DecodeError> {
    writer.open('{');
    for (name, value) in members {
        let mark = writer.member(name);
        let kept = match &**name {
            "role" => scalar(value, writer),
            "content" if value.starts_with('[') => list(value, writer, BLOCK_LEFT, block)?,
            "content" if !block(&write::members(value)?, writer)? => return Ok(false),
            "content" => true,
            _ => writer.other(name, value)?,
        };
        writer.keep(mark, kept);
    }
    writer.close('}');
    Ok(true)
}

/// One of `contents`, or what an embedded resource holds.
fn contents(members: &Members<'_>, writer: &mut Writer<'_>) -> Result<bool, DecodeError> {
    writer.open('{');
    for (name, value) in members {
        let mark = writer.member(name);
        let kept = match &**name {
            "uri" | "mimeType" => scalar(value, writer),
            "text" => {
                if !document_text(value, writer) {
                    return Ok(false);
                }
                true
            }
            "blob" => {
                if writer.fields().only.is_some() || !bytes(value, writer) {
                    return Ok(false);
                }
                true
            }
            _ => writer.other(name, value)?,
        };
        writer.keep(mark, kept);
    }
    writer.close('}');
    Ok(true)
}

/// The handle of a task that was begun: what a client needs to ask for it, and no texts.
fn task(raw: &str, writer: &mut Writer<'_>) -> Result<bool, DecodeError> {
    words_of_task(&write::members(raw)?, writer)
}

fn words_of_task(members: &Members<'_>, writer: &mut Writer<'_>) -> Result<bool, DecodeError> {
    writer.open('{');
    for (name, value) in members {
        let mark = writer.member(name);
        let kept = TASK_WORDS.contains(&&**name) && scalar(value, writer);
        writer.keep(mark, kept);
    }
    writer.close('}');
    Ok(true)
}

/// A JSON string whose text is a document is written reduced; other text passes or not.
fn document_text(raw: &str, writer: &mut Writer<'_>) -> bool {
    let Some(text) = string(raw) else { return false };
    if text.trim_ascii_start().starts_with(['{', '[']) {
        let mut inner = Writer::new(writer.fields());
        if let Ok(true) = inner.document(&text) {
            let (document, reduced) = inner.finish();
            match reduced {
                true => writer.push(&text::encode(&document)),
                false => writer.push(raw),
            }
            if reduced {
                writer.reduced();
            }
            return true;
        }
        if !writer.fields().is_everything() {
            // Not readable in one way, so nobody knows what it holds.
            return false;
        }
    }
    let passes = writer.free_text(&text);
    if passes {
        writer.push(raw);
    }
    passes
}

/// Bytes in base64 pass unless they are text that mentions what is hidden.
fn bytes(raw: &str, writer: &mut Writer<'_>) -> bool {
    let Some(encoded) = string(raw) else { return false };
    let decoded = STANDARD.decode(encoded.as_bytes()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    let passes = decoded.is_none_or(|text| writer.unmentioned(&text));
    if passes {
        writer.push(raw);
    }
    passes
}

/// A value that is no container: a word of the protocol.
fn scalar(raw: &str, writer: &mut Writer<'_>) -> bool {
    let passes = is_word(raw, writer);
    if passes {
        writer.push(raw);
    }
    passes
}

fn is_word(raw: &str, writer: &Writer<'_>) -> bool {
    match raw.as_bytes().first() {
        Some(b'{' | b'[') => false,
        _ if writer.fields().only.is_some() && raw.len() > WORD_BYTES_MAX => false,
        Some(b'"') => string(raw).is_some_and(|text| writer.unmentioned(&text)),
        _ => true,
    }
}

/// Whether these are the members of a task: it has an id, and still has it when it was cut.
fn is_task(members: &Members<'_>, writer: &Writer<'_>) -> bool {
    let id = member(members, "taskId").filter(|id| id.starts_with('"'));
    id.is_some_and(|id| writer.fields().only.is_none() || is_word(id, writer))
}

fn string(raw: &str) -> Option<Cow<'_, str>> {
    raw.starts_with('"').then(|| text::decode(raw)).flatten()
}

fn member<'a>(members: &Members<'a>, name: &str) -> Option<&'a str> {
    members.iter().find(|(member, _)| member == name).map(|(_, value)| *value)
}
