//! JSON: members are replaced, taken out and put in where they stand.

use std::ops::Range;

use super::{Change, EditError};
use crate::tree::{self, Format, Limits, Node};

/// The text with the object at `span` changed.
pub(super) fn apply(
    text: &str,
    span: Range<usize>,
    changes: &[Change<'_>],
    limits: &Limits,
) -> Result<String, EditError> {
    let mut object = text[span.clone()].to_owned();
    for change in changes {
        // The object is small, so that it is read again after each step and no place is ever guessed.
        let node = tree::read(&object, Format::Json, limits)?;
        object = match change {
            Change::Set(name, value) => set(&object, &node, name, &value.to_string()),
            Change::Remove(name) => remove(&object, &node, name),
        };
    }
    Ok(format!("{}{object}{}", &text[..span.start], &text[span.end..]))
}

fn set(object: &str, node: &Node, name: &str, value: &str) -> String {
    if let Some(old) = node.get(name) {
        return format!("{}{value}{}", &object[..old.span.start], &object[old.span.end..]);
    }
    let member = format!("\"{name}\": {value}");
    let Some(last) = node.members().last() else { return format!("{{ {member} }}") };
    // As the last member is set apart from what is before it, so is the new one from it.
    let line = object[..last.name_span.start].rfind('\n').map(|at| &object[at..last.name_span.start]);
    let gap = line.filter(|line| line.trim().is_empty()).unwrap_or(" ");
    format!("{},{gap}{member}{}", &object[..last.node.span.end], &object[last.node.span.end..])
}

fn remove(object: &str, node: &Node, name: &str) -> String {
    let members = node.members();
    let Some(at) = members.iter().rposition(|member| member.name == name) else { return object.to_owned() };
    let (start, end) = (members[at].name_span.start, members[at].node.span.end);
    match (at.checked_sub(1).map(|before| &members[before]), members.get(at + 1)) {
        // Up to the next one, with the comma between, but not the comments ahead of the next one.
        (_, Some(next)) => {
            let between = &object[end..next.name_span.start];
            let comma = comma(between).map_or(0, |at| at + 1);
            let rest = &between[comma..];
            let space = rest.len() - rest.trim_start().len();
            format!("{}{}", &object[..start], &object[end + comma + space..])
        }
        // The last one: with the comma before it, and without one after it.
        (Some(before), None) => {
            let cut = before.node.span.end;
            let between = &object[cut..start];
            let without = comma(between)
                .map_or_else(|| between.to_owned(), |at| format!("{}{}", &between[..at], &between[at + 1..]));
            let tail = &object[end..];
            let tail = comma(tail).map_or(tail, |at| &tail[at + 1..]);
            format!("{}{}{tail}", &object[..cut], without.trim_end())
        }
        (None, None) => "{}".to_owned(),
    }
}

/// Where the comma is in a text of white space and comments.
fn comma(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], bytes.get(at + 1)) {
            (b',', _) => return Some(at),
            (b'/', Some(b'/')) => at += text[at..].find('\n').unwrap_or(text.len() - at),
            (b'/', Some(b'*')) => at += text[at..].find("*/").map_or(text.len() - at, |end| end + 2),
            (b'}', _) => return None,
            _ => at += 1,
        }
    }
    None
}
