//! JSON as editors write it: RFC 8259 with `//` and `/* */`, and commas at the end.

use std::ops::Range;

use super::{Budget, Limits, Member, Node, Unreadable, Value, syntax};

pub(super) fn read(text: &str, limits: &Limits) -> Result<Node, Unreadable> {
    let mut reader = Reader { text, bytes: text.as_bytes(), at: 0, budget: Budget::new(limits) };
    if text.starts_with('\u{feff}') {
        reader.at = '\u{feff}'.len_utf8();
    }
    reader.space()?;
    let node = reader.value(0)?;
    reader.space()?;
    if reader.at < text.len() {
        return Err(reader.wrong("something stands after the end of the value"));
    }
    Ok(node)
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
    budget: Budget<'a>,
}

impl Reader<'_> {
    fn wrong(&self, what: &str) -> Unreadable {
        syntax(self.text, self.at, what)
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    /// White space and comments.
    fn space(&mut self) -> Result<(), Unreadable> {
        loop {
            match (self.peek(), self.bytes.get(self.at + 1)) {
                (Some(b' ' | b'\t' | b'\r' | b'\n'), _) => self.at += 1,
                (Some(b'/'), Some(b'/')) => {
                    let rest = &self.bytes[self.at..];
                    self.at += rest.iter().position(|byte| *byte == b'\n').unwrap_or(rest.len());
                }
                (Some(b'/'), Some(b'*')) => {
                    let inside = self.at + 2;
                    let end = self.text.get(inside..).and_then(|rest| rest.find("*/"));
                    self.at = inside + end.ok_or_else(|| self.wrong("a comment has no end"))? + 2;
                }
                _ => return Ok(()),
            }
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, Unreadable> {
        self.budget.value(depth)?;
        let start = self.at;
        let value = match self.peek() {
            Some(b'{') => self.map(depth)?,
            Some(b'[') => self.list(depth)?,
            Some(b'"') => Value::Text(self.string()?),
            Some(b'-' | b'0'..=b'9') => self.number(),
            _ => self.word()?,
        };
        Ok(Node { span: start..self.at, value })
    }

    fn map(&mut self, depth: usize) -> Result<Value, Unreadable> {
        let mut members = Vec::new();
        self.at += 1;
        loop {
            self.space()?;
            match self.peek() {
                Some(b'}') => {
                    self.at += 1;
                    return Ok(Value::Map(members));
                }
                Some(b'"') => {}
                _ => return Err(self.wrong("expected a name in quotes or }")),
            }
            let start = self.at;
            let name = self.string()?;
            let name_span = start..self.at;
            self.space()?;
            if self.peek() != Some(b':') {
                return Err(self.wrong("expected : after a name"));
            }
            self.at += 1;
            self.space()?;
            let node = self.value(depth + 1)?;
            members.push(Member { name, name_span, node });
            self.space()?;
            self.comma(b'}')?;
        }
    }

    fn list(&mut self, depth: usize) -> Result<Value, Unreadable> {
        let mut items = Vec::new();
        self.at += 1;
        loop {
            self.space()?;
            if self.peek() == Some(b']') {
                self.at += 1;
                return Ok(Value::List(items));
            }
            items.push(self.value(depth + 1)?);
            self.space()?;
            self.comma(b']')?;
        }
    }

    fn comma(&mut self, end: u8) -> Result<(), Unreadable> {
        match self.peek() {
            Some(b',') => self.at += 1,
            Some(byte) if byte == end => {}
            _ => return Err(self.wrong("expected a comma or the end")),
        }
        Ok(())
    }

    fn string(&mut self) -> Result<String, Unreadable> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'\\') => self.at += 2,
                Some(b'"') => break,
                Some(b'\n') | None => return Err(syntax(self.text, start, "a text has no end")),
                Some(_) => self.at += 1,
            }
        }
        self.at += 1;
        let Some(quoted) = self.text.get(start..self.at) else {
            return Err(syntax(self.text, start, "a text has no end"));
        };
        decoded(quoted)
            .ok_or_else(|| syntax(self.text, start, "a text has an escape that JSON does not know"))
    }

    fn number(&mut self) -> Value {
        Value::Number(
            self.text[self.run(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))].to_owned(),
        )
    }

    fn word(&mut self) -> Result<Value, Unreadable> {
        let start = self.at;
        let word = self.run(|byte| byte.is_ascii_alphabetic());
        match &self.text[word] {
            "true" => Ok(Value::Bool(true)),
            "false" => Ok(Value::Bool(false)),
            "null" => Ok(Value::Null),
            _ => Err(syntax(self.text, start, "expected a value")),
        }
    }

    fn run(&mut self, belongs: impl Fn(u8) -> bool) -> Range<usize> {
        let start = self.at;
        while self.peek().is_some_and(&belongs) {
            self.at += 1;
        }
        start..self.at
    }
}

/// The text of a quoted one. Raw tabs, which JSON forbids and editors leave, are taken as they are.
fn decoded(quoted: &str) -> Option<String> {
    let inner = &quoted[1..quoted.len() - 1];
    if !inner.contains('\\') {
        return Some(inner.to_owned());
    }
    if inner.contains(char::is_control) {
        return serde_json::from_str(&quoted.replace('\t', "\\t")).ok();
    }
    serde_json::from_str(quoted).ok()
}
