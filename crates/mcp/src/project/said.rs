//! What a server says of its own accord, under the rules that hold for its results.
//!
//! A server that may not show a field in a result could say it beside: in a progress message, a log line, a question.
//!
//! * **Notifications** keep what is of the protocol: tokens, ids, levels, numbers, dates, URIs. Free text is withheld
//!   where only certain fields may pass, and where it mentions what is hidden. A notification that the protocol does not
//!   know is nothing but free text, and is dropped where only certain fields may pass.
//! * **Requests** (sampling, elicitation) pass whole or not at all: half a question would be answered wrongly.

use super::{Fields, Projected, TASK_WORDS, WITHHELD, Writer, has_no_more, is_task, result, scalar, write};
use crate::error::DecodeError;
use crate::limits::Limits;
use crate::message::{Kind, Message};
use crate::text;

/// Members of `_meta` that tell what a message belongs to.
const BELONGS: [&str; 2] = ["io.modelcontextprotocol/subscriptionId", "progressToken"];

/// Reduces a request or notification of a server to what may pass; nothing if it may not pass at all. What nothing is
/// taken away from keeps every byte. Answers are for [`project`](super::project()), and pass as they are.
#[must_use]
pub fn said(message: &Message, fields: &Fields) -> Option<Projected> {
    let Some(method) = message.method().filter(|_| !fields.is_everything()) else {
        return Some(Projected { message: message.clone(), reduced: false });
    };
    let mut writer = Writer::new(fields);
    let id = match message.id_raw() {
        Some(id) if scalar(id, &mut writer) => format!("\"id\":{id},"),
        Some(_) => return None,
        None => String::new(),
    };
    if !writer.unmentioned(method) {
        return None;
    }
    writer.restart();
    let params = message.params_raw().unwrap_or("{}");
    let passes = match (message.kind(), fields.only.is_some()) {
        (Kind::Request, true) => asked(method, params, &mut writer),
        (_, true) => told(method, params, &mut writer),
        (_, false) => writer.document(params),
    };
    let (params, reduced) = writer.finish();
    if !passes.unwrap_or(false) || (reduced && message.kind() == Kind::Request) {
        return None;
    }
    if !reduced && has_no_more(message, &["jsonrpc", "id", "method", "params"]) {
        return Some(Projected { message: message.clone(), reduced });
    }
    let method = text::encode(method);
    let written = format!(r#"{{"jsonrpc":"2.0",{id}"method":{method},"params":{params}}}"#);
    let message = Message::decode(written.into(), &Limits::ours()).ok()?;
    Some(Projected { message, reduced: true })
}

/// A request under `only`: those without any text of the server.
fn asked(method: &str, params: &str, writer: &mut Writer<'_>) -> Result<bool, DecodeError> {
    if !matches!(method, "ping" | "roots/list") {
        return Ok(false);
    }
    members(params, writer, |name, value, writer| match name {
        "_meta" => belongs(value, writer),
        _ => Ok(false),
    })
}

/// A notification under `only`.
fn told(method: &str, params: &str, writer: &mut Writer<'_>) -> Result<bool, DecodeError> {
    let words: &[&str] = match method {
        "notifications/progress" => &["progressToken"],
        "notifications/message" => &["level"],
        "notifications/cancelled" => &["requestId"],
        "notifications/resources/updated" => &["uri"],
        "notifications/elicitation/complete" => &["elicitationId"],
        "notifications/tasks/status" | "notifications/tasks" => {
            return if is_task(&write::members(params)?, writer) {
                result(params, writer).map(|()| true)
            } else {
                Ok(false)
            };
        }
        "notifications/subscriptions/acknowledged" => &[],
        list if list.ends_with("/list_changed") => &[],
        _ => return Ok(false),
    };
    members(params, writer, |name, value, writer| match (method, name) {
        (_, "_meta") => belongs(value, writer),
        ("notifications/progress", "progress" | "total") => Ok(is_number(value) && scalar(value, writer)),
        ("notifications/message", "data") => {
            writer.push(&text::encode(WITHHELD));
            writer.reduced();
            Ok(true)
        }
        // What the client asked for itself, said back.
        ("notifications/subscriptions/acknowledged", "notifications") => flags(value, writer),
        _ => Ok(words.contains(&name) && scalar(value, writer)),
    })
}

/// Writes an object of the members that `each` writes.
fn members<'f>(
    raw: &str,
    writer: &mut Writer<'f>,
    mut each: impl FnMut(&str, &str, &mut Writer<'f>) -> Result<bool, DecodeError>,
) -> Result<bool, DecodeError> {
    let members = write::members(raw)?;
    writer.open('{');
    for (name, value) in &members {
        let mark = writer.member(name);
        let kept = each(name, value, writer)?;
        writer.keep(mark, kept);
    }
    writer.close('}');
    Ok(true)
}

/// `_meta` with nothing but what the message belongs to.
pub(super) fn belongs(raw: &str, writer: &mut Writer<'_>) -> Result<bool, DecodeError> {
    members(raw, writer, |name, value, writer| match name {
        "io.modelcontextprotocol/related-task" => members(value, writer, |name, value, writer| {
            Ok(TASK_WORDS.contains(&name) && scalar(value, writer))
        }),
        _ => Ok(BELONGS.contains(&name) && scalar(value, writer)),
    })
}

/// An object of flags, and of lists of words.
fn flags(raw: &str, writer: &mut Writer<'_>) -> Result<bool, DecodeError> {
    members(raw, writer, |_, value, writer| {
        if !value.starts_with('[') {
            return Ok(matches!(value, "true" | "false") && scalar(value, writer));
        }
        writer.open('[');
        for item in write::items(value)? {
            let mark = writer.item();
            let kept = scalar(item, writer);
            writer.keep(mark, kept);
        }
        writer.close(']');
        Ok(true)
    })
}

fn is_number(raw: &str) -> bool {
    raw.starts_with(|first: char| first == '-' || first.is_ascii_digit())
}
