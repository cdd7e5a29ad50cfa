//! Writing Cedar text out of text that others wrote.
//!
//! Everything from a role file goes through [`text`], [`pattern`] or
//! [`attribute`]: what comes out is one literal, whatever went in.

/// Words that Cedar does not take as attribute names after a dot.
const RESERVED: &[&str] = &[
    "true",
    "false",
    "if",
    "then",
    "else",
    "in",
    "is",
    "like",
    "has",
    "principal",
    "action",
    "resource",
    "context",
    "__cedar",
];

/// A string literal with its quotes.
pub(super) fn text(value: &str) -> String {
    let mut literal = String::with_capacity(value.len() + 2);
    literal.push('"');
    for c in value.chars() {
        push(&mut literal, c);
    }
    literal.push('"');
    literal
}

/// A pattern for `like`, with its quotes: `*` stands for any text, `\*` for a
/// star and `\\` for a backslash.
pub(super) fn pattern(value: &str) -> String {
    let mut literal = String::from("\"");
    let mut chars = value.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '*' => literal.push('*'),
            '\\' if chars.peek() == Some(&'*') => {
                chars.next();
                literal.push_str("\\*");
            }
            '\\' if chars.peek() == Some(&'\\') => {
                chars.next();
                literal.push_str("\\\\");
            }
            other => push(&mut literal, other),
        }
    }
    literal.push('"');
    literal
}

/// A pattern for `like` that matches `prefix`, taken literally, and whatever
/// follows.
pub(super) fn prefix(prefix: &str) -> String {
    let mut literal = String::from("\"");
    for c in prefix.chars() {
        match c {
            '*' => literal.push_str("\\*"),
            other => push(&mut literal, other),
        }
    }
    literal.push_str("*\"");
    literal
}

/// A pattern for `like` that matches this text and no other. Unlike `==` it
/// fails on what is no text.
pub(super) fn exactly(value: &str) -> String {
    let all = prefix(value);
    format!("{}\"", &all[..all.len() - 2])
}

/// Plain letters and signs stay readable; all else becomes `\u{…}`.
fn push(literal: &mut String, c: char) {
    match c {
        '"' => literal.push_str("\\\""),
        '\\' => literal.push_str("\\\\"),
        ' '..='~' => literal.push(c),
        c if c.is_alphanumeric() => literal.push(c),
        c => literal.push_str(&format!("\\u{{{:x}}}", u32::from(c))),
    }
}

/// `base.name`, or `base["name"]` where the name is no identifier.
pub(super) fn attribute(base: &str, name: &str) -> String {
    if is_identifier(name) { format!("{base}.{name}") } else { format!("{base}[{}]", text(name)) }
}

/// `base has name`.
pub(super) fn has(base: &str, name: &str) -> String {
    if is_identifier(name) { format!("{base} has {name}") } else { format!("{base} has {}", text(name)) }
}

fn is_identifier(name: &str) -> bool {
    name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
        && name.starts_with(|c: char| c == '_' || c.is_ascii_alphabetic())
        && !RESERVED.contains(&name)
}

/// A set literal of things that are Cedar already.
pub(super) fn set(items: impl IntoIterator<Item = String>) -> String {
    format!("[{}]", items.into_iter().collect::<Vec<_>>().join(", "))
}

/// What a condition rests on: each step is there only if the ones before are.
#[derive(Clone, Debug, Default)]
pub(super) struct Guard(Vec<String>);

impl Guard {
    /// Adds the path `names` below `base`; gives the expression at its end.
    pub(super) fn reach(&mut self, base: &str, names: &[&str]) -> String {
        let mut at = base.to_owned();
        for name in names {
            let step = has(&at, name);
            if !self.0.contains(&step) {
                self.0.push(step);
            }
            at = attribute(&at, name);
        }
        at
    }

    /// The condition, false where what it rests on is missing.
    pub(super) fn else_false(&self, condition: &str) -> String {
        let mut parts = self.0.clone();
        parts.push(if condition.contains(" || ") { format!("({condition})") } else { condition.to_owned() });
        parts.join(" && ")
    }

    /// The condition, true where what it rests on is missing.
    pub(super) fn else_true(&self, condition: &str) -> String {
        if self.0.is_empty() {
            return condition.to_owned();
        }
        format!("if {} then {condition} else true", self.0.join(" && "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn literals() {
        for (value, expected) in [
            ("plain", "\"plain\""),
            ("a\"b\\c", "\"a\\\"b\\\\c\""),
            ("é\n*", "\"é\\u{a}*\""),
            ("\u{202e}", "\"\\u{202e}\""),
        ] {
            assert_eq!(text(value), expected);
        }
        assert_eq!(pattern("c-*\"\\*\\\\*\\x"), "\"c-*\\\"\\*\\\\*\\\\x\"");
        assert_eq!(prefix("a*b"), "\"a\\*b*\"");
        assert_eq!(attribute("context.input", "if"), "context.input[\"if\"]");
        assert_eq!(attribute("context.input", "a-b"), "context.input[\"a-b\"]");
        assert_eq!(has("context", "input"), "context has input");
    }
}
