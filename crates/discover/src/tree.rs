//! Configuration files as trees: JSON with comments, TOML and YAML alike, each value with its place in the text.
//!
//! Reading is lenient, since it is somebody else's file and the question is only what stands in it: comments, commas at
//! the end and names that stand twice are fine. It is bounded all the same, see [`Limits`].

use std::ops::Range;

mod json;
mod toml;
mod yaml;

/// What a file may cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a file. Some clients keep their history beside their servers, which grows to some ten megabytes.
    pub bytes_max: usize,
    /// Bytes of TOML and YAML, which no client uses for more than settings.
    pub settings_bytes_max: usize,
    /// Values of a file: a tree takes about a hundred bytes for each.
    pub values_max: usize,
    /// Nesting. Reading is recursive, and no client nests deeper than a dozen levels.
    pub depth_max: usize,
    /// Servers of one file; nobody writes as many by hand.
    pub servers_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            bytes_max: 32 << 20,
            settings_bytes_max: 1 << 20,
            values_max: 500_000,
            depth_max: 48,
            servers_max: 1_000,
        }
    }
}

/// How a file is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// JSON, with comments and commas at the end.
    Json,
    /// TOML.
    Toml,
    /// YAML, its first document.
    Yaml,
}

impl Format {
    /// The format that a file's name promises; JSON without a promise.
    #[must_use]
    pub fn of(name: &str) -> Self {
        let end = name.rsplit('.').next().unwrap_or_default().to_ascii_lowercase();
        match end.as_str() {
            "toml" => Self::Toml,
            "yaml" | "yml" => Self::Yaml,
            _ => Self::Json,
        }
    }
}

/// Why a text is no tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is not what its name promises.
    #[error("line {line}: {what}")]
    Syntax {
        /// Line, from 1.
        line: usize,
        /// What is wrong there.
        what: String,
    },
    /// It is larger than anything that a client would write.
    #[error("more than {limit} {what} ({name}); it was not read")]
    TooMuch {
        /// What there is too much of.
        what: &'static str,
        /// Name of the limit.
        name: &'static str,
        /// The limit.
        limit: usize,
    },
}

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// Bytes of the text.
    pub span: Range<usize>,
    /// The value.
    pub value: Value,
}

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// Nothing, or something that no client means, like a date or a YAML alias.
    Null,
    /// True or false.
    Bool(bool),
    /// A number as written.
    Number(String),
    /// A text, decoded.
    Text(String),
    /// A list.
    List(Vec<Node>),
    /// Members in the order written. A name can stand twice.
    Map(Vec<Member>),
}

/// A member of a map.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Its name, decoded.
    pub name: String,
    /// Where the name stands, with its quotes.
    pub name_span: Range<usize>,
    /// Its value.
    pub node: Node,
}

impl Node {
    /// The members of a map, none of anything else.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        match &self.value {
            Value::Map(members) => members,
            _ => &[],
        }
    }

    /// The items of a list, none of anything else.
    #[must_use]
    pub fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// A member by its name; the last of several, as every client reads it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Node> {
        self.members().iter().rev().find(|member| member.name == name).map(|member| &member.node)
    }

    /// The first of these members that there is.
    #[must_use]
    pub fn any_of(&self, names: &[&str]) -> Option<&Node> {
        names.iter().find_map(|name| self.get(name))
    }

    /// The text of a text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        match &self.value {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// Text, number or flag, as a text: environment variables are written as any of them.
    #[must_use]
    pub fn scalar(&self) -> Option<String> {
        match &self.value {
            Value::Text(text) | Value::Number(text) => Some(text.clone()),
            Value::Bool(flag) => Some(flag.to_string()),
            _ => None,
        }
    }

    /// Whether it is this flag.
    #[must_use]
    pub fn is(&self, flag: bool) -> bool {
        self.value == Value::Bool(flag)
    }
}

/// Reads a text. An empty one is an empty map: clients make such files.
///
/// # Errors
/// [`Unreadable`].
pub fn read(text: &str, format: Format, limits: &Limits) -> Result<Node, Unreadable> {
    let (limit, name) = match format {
        Format::Json => (limits.bytes_max, "bytes_max"),
        Format::Toml | Format::Yaml => (limits.settings_bytes_max, "settings_bytes_max"),
    };
    if text.len() > limit {
        return Err(Unreadable::TooMuch { what: "bytes", name, limit });
    }
    if text.trim_start_matches('\u{feff}').trim().is_empty() {
        return Ok(Node { span: 0..text.len(), value: Value::Map(Vec::new()) });
    }
    match format {
        Format::Json => json::read(text, limits),
        Format::Toml => toml::read(text, limits),
        Format::Yaml => yaml::read(text, limits),
    }
}

/// Counts values against the limit.
struct Budget<'a> {
    limits: &'a Limits,
    values: usize,
}

impl<'a> Budget<'a> {
    fn new(limits: &'a Limits) -> Self {
        Self { limits, values: 0 }
    }

    fn value(&mut self, depth: usize) -> Result<(), Unreadable> {
        self.values += 1;
        let Limits { values_max, depth_max, .. } = *self.limits;
        if self.values > values_max {
            return Err(Unreadable::TooMuch { what: "values", name: "values_max", limit: values_max });
        }
        if depth > depth_max {
            return Err(Unreadable::TooMuch { what: "levels", name: "depth_max", limit: depth_max });
        }
        Ok(())
    }
}

fn syntax(text: &str, at: usize, what: impl Into<String>) -> Unreadable {
    let before = text.as_bytes().get(..at).unwrap_or(text.as_bytes());
    let line = 1 + before.iter().filter(|byte| **byte == b'\n').count();
    Unreadable::Syntax { line, what: what.into() }
}

#[cfg(test)]
mod tests;
