//! YAML in block style: a member is a line or more of its own. Values are put in as JSON, which YAML can be.

use super::{Change, EditError, at};
use crate::tree::{self, Format, Limits, Node, Value};

/// The text with the mapping at `path` changed.
pub(super) fn apply(
    text: &str,
    path: &[String],
    changes: &[Change<'_>],
    limits: &Limits,
) -> Result<String, EditError> {
    let mut text = text.to_owned();
    for change in changes {
        let root = tree::read(&text, Format::Yaml, limits)?;
        let node = at(&root, path).ok_or_else(|| EditError::Missing(path.join(".")))?;
        let block = Block::of(&text, node).ok_or(EditError::Form(
            "it is not written with one member a line, so it cannot be changed in place; write it so, or change it by hand",
        ))?;
        text = match change {
            Change::Set(name, value) => block.set(name, &value.to_string()),
            Change::Remove(name) => block.remove(name),
        };
    }
    Ok(text)
}

struct Block<'a> {
    text: &'a str,
    node: &'a Node,
    /// Letters before each name but the first, which may stand behind a dash.
    indent: usize,
}

impl<'a> Block<'a> {
    /// None if members share lines.
    fn of(text: &'a str, node: &'a Node) -> Option<Self> {
        let column = |at: usize| at - text[..at].rfind('\n').map_or(0, |line| line + 1);
        let members = node.members();
        let first = members.first()?;
        let indent = column(first.name_span.start);
        let before = |at: usize| &text[at - column(at)..at];
        let alone = members.iter().skip(1).all(|member| {
            let at = member.name_span.start;
            column(at) == indent && before(at).chars().all(|c| c == ' ')
        });
        let lead = before(first.name_span.start);
        let begins = lead.chars().all(|c| c == ' ' || c == '-') && !text[node.span.clone()].starts_with('{');
        (alone && begins).then_some(Self { text, node, indent })
    }

    fn set(&self, name: &str, value: &str) -> String {
        let text = self.text;
        if let Some(member) = self.node.members().iter().rfind(|member| member.name == name) {
            // What stands behind a value of one line, such as a comment, stays.
            let end = self.value_end(member.name_span.end, &member.node);
            return format!("{} {value}{}", &text[..self.colon(member.name_span.end)], &text[end..]);
        }
        let Some(first) = self.node.members().first() else { return text.to_owned() };
        let end = self.line_end(self.value_end(first.name_span.end, &first.node));
        let newline = if text[..end].ends_with('\n') { "" } else { "\n" };
        let line = format!("{newline}{}{name}: {value}\n", " ".repeat(self.indent));
        format!("{}{line}{}", &text[..end], &text[end..])
    }

    fn remove(&self, name: &str) -> String {
        let text = self.text;
        let members = self.node.members();
        let Some(n) = members.iter().rposition(|member| member.name == name) else { return text.to_owned() };
        // The first one may stand behind a dash, which must stay; its value is emptied.
        if n == 0 {
            let member = &members[0];
            let end = self.value_end(member.name_span.end, &member.node);
            return format!("{} {{}}{}", &text[..self.colon(member.name_span.end)], &text[end..]);
        }
        let start = members[n].name_span.start - self.indent;
        let end = self.line_end(self.value_end(members[n].name_span.end, &members[n].node));
        format!("{}{}", &text[..start], &text[end..])
    }

    /// Behind the colon of a name.
    fn colon(&self, name_end: usize) -> usize {
        self.text[name_end..].find(':').map_or(name_end, |at| name_end + at + 1)
    }

    fn value_end(&self, name_end: usize, node: &Node) -> usize {
        let is_empty = node.value == Value::Null && node.span.is_empty();
        if is_empty { self.colon(name_end) } else { node.span.end.max(self.colon(name_end)) }
    }

    /// Behind the line break of the line that `at` is in.
    fn line_end(&self, at: usize) -> usize {
        // A block scalar ends behind its own line break.
        if self.text[..at].ends_with('\n') {
            return at;
        }
        self.text[at..].find('\n').map_or(self.text.len(), |next| at + next + 1)
    }
}
