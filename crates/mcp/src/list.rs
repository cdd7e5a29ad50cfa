//! List results: their items filtered, renamed and joined on the raw text.
//!
//! Which list a key is, and so which member names its items: `tools` and `prompts` by `name`,
//! `resources` by `uri`, `resourceTemplates` by `uriTemplate`, `tasks` by `taskId`.

use std::borrow::Cow;

use crate::error::{DecodeError, Place};
use crate::limits::Limits;
use crate::message::Message;
use crate::scan::{self, Scanner, Shape, Span, Value};
use crate::text;

/// One item of a list result, for example a tool definition.
#[derive(Debug, Clone)]
pub struct Item<'a> {
    /// The item exactly as written.
    pub raw: &'a str,
    /// What the item is addressed by, decoded.
    pub name: Cow<'a, str>,
    span: Span,
    name_span: Span,
}

/// The items of `result.<key>`, in order; none if the message has no such list.
///
/// # Errors
/// When the list is no array of objects, or an item has no name or can be read in two ways.
pub fn items<'a>(message: &'a Message, key: &str) -> Result<Vec<Item<'a>>, DecodeError> {
    let mut items = Vec::new();
    let Some(list) = message.result_member(key) else { return Ok(items) };
    let at = list.span.start as usize;
    if list.shape != Shape::Array {
        return Err(DecodeError::Type { member: "the list in result", expected: "an array", at });
    }
    let naming = naming(key);
    let text = message.text();
    Scanner::within(text, list.span.start, Limits::default().members_max).array(|scanner| {
        items.push(item(text, scanner, naming)?);
        Ok(())
    })?;
    Ok(items)
}

/// The message without the items that `keep` refuses. Order, cursor and all that is unknown stay;
/// if every item is kept, so does every byte.
///
/// # Errors
/// As [`items`].
pub fn retain(
    message: &Message,
    key: &str,
    mut keep: impl FnMut(&Item<'_>) -> bool,
) -> Result<Message, DecodeError> {
    let items = items(message, key)?;
    let kept: Vec<bool> = items.iter().map(&mut keep).collect();
    let last_kept = kept.iter().rposition(|kept| *kept);
    let mut edits = Vec::new();
    for (index, item) in items.iter().enumerate().filter(|(index, _)| !kept[*index]) {
        // An item goes with the comma behind it; those behind the last that stays go together,
        // with the comma before them.
        let span = match (last_kept, items.get(index + 1)) {
            (Some(last), _) if index > last => {
                Span { start: items[last].span.end, end: items[items.len() - 1].span.end }
            }
            (_, Some(next)) => Span { start: item.span.start, end: next.span.start },
            (_, None) => item.span,
        };
        edits.push((span, String::new()));
        if last_kept.is_some_and(|last| index > last) {
            break;
        }
    }
    Ok(message.with_result_edits(&edits))
}

/// The message with items addressed by the names that `rename` gives; `None` keeps a name.
///
/// # Errors
/// As [`items`].
pub fn rename(
    message: &Message,
    key: &str,
    mut rename: impl FnMut(&Item<'_>) -> Option<String>,
) -> Result<Message, DecodeError> {
    let edits: Vec<(Span, String)> = items(message, key)?
        .iter()
        .filter_map(|item| Some((item.name_span, text::encode(&rename(item)?))))
        .collect();
    Ok(message.with_result_edits(&edits))
}

/// The message with the member `member` taken out of the items that `which` names.
///
/// # Errors
/// As [`items`].
pub fn without(
    message: &Message,
    key: &str,
    member: &str,
    mut which: impl FnMut(&Item<'_>) -> bool,
) -> Result<Message, DecodeError> {
    let mut edits = Vec::new();
    for item in items(message, key)?.iter().filter(|item| which(item)) {
        let mut members: Vec<(Span, bool)> = Vec::new();
        Scanner::within(message.text(), item.span.start, usize::MAX).object(
            Place::Definition,
            |scanner, name| {
                let value = scanner.value()?;
                members.push((value.span, name == member));
                Ok(())
            },
        )?;
        let Some(at) = members.iter().position(|(_, is_meant)| *is_meant) else { continue };
        // From behind the value before it to behind its own; the first member takes the comma behind it along.
        let own = members[at].0;
        let before = at.checked_sub(1).map(|before| members[before].0.end);
        let (start, end) = match (before, members.get(at + 1)) {
            (Some(before), _) => (before, own.end),
            (None, Some(_)) => (item.span.start + 1, next_name(message.text(), own.end)),
            (None, None) => (item.span.start + 1, item.span.end - 1),
        };
        edits.push((Span { start, end }, String::new()));
    }
    Ok(message.with_result_edits(&edits))
}

/// Where the name of the next member begins, behind a value that ends at `at`.
fn next_name(text: &str, at: u32) -> u32 {
    let gap = text[at as usize..].find('"').expect("a member follows, as the scan has seen");
    at + u32::try_from(gap).expect("positions are of 32 bits")
}

/// The message with further items, each JSON text, at the end of its list, for example those of
/// another server. A message without this list is returned as it is.
///
/// # Errors
/// As [`items`], and when an item to be added is not JSON.
pub fn append<'r>(
    message: &Message,
    key: &str,
    raws: impl IntoIterator<Item = &'r str>,
) -> Result<Message, DecodeError> {
    let last = items(message, key)?.last().map(|item| item.span.end);
    let Some(list) = message.result_member(key) else { return Ok(message.clone()) };
    let mut added = String::new();
    for raw in raws {
        scan::whole(raw, &Limits::ours())?;
        if last.is_some() || !added.is_empty() {
            added.push(',');
        }
        added.push_str(raw);
    }
    let at = last.unwrap_or(list.span.start + 1);
    Ok(message.with_result_edits(&[(Span { start: at, end: at }, added)]))
}

/// The message with `result.cacheScope` at `"private"`, so that no shared cache hands one caller's
/// view to another (MCP 2026-07-28, SEP-2549). Legacy clients know no such member: leave theirs.
#[must_use]
pub fn mark_private(message: &Message) -> Message {
    if message.result_member_raw("cacheScope") == Some("\"private\"") {
        return message.clone();
    }
    message.with_result_member("cacheScope", "\"private\"").expect("the new value is JSON")
}

fn naming(key: &str) -> &'static str {
    match key {
        "resources" => "uri",
        "resourceTemplates" => "uriTemplate",
        "tasks" => "taskId",
        _ => "name",
    }
}

fn item<'a>(text: &'a str, scanner: &mut Scanner<'a>, naming: &'static str) -> Result<Item<'a>, DecodeError> {
    let at = scanner.at();
    if scanner.peek() != Some(b'{') {
        return Err(DecodeError::Type { member: "a list item", expected: "an object", at });
    }
    let mut name = None;
    let span = scanner.object(Place::Item, |scanner, member| {
        let value = scanner.value()?;
        if member == naming {
            name = Some(value);
        }
        Ok(())
    })?;
    let Some(Value { shape: Shape::String, span: name_span }) = name else {
        return Err(DecodeError::Nameless { member: naming, at });
    };
    let at = name_span.start as usize;
    let name = text::decode(name_span.of(text)).ok_or(DecodeError::Surrogate { at })?;
    Ok(Item { raw: span.of(text), name, span, name_span })
}
