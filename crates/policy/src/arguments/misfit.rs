//! Why arguments cannot be weighed.

use std::fmt;

use lockgate_mcp::{
    DecodeError,
    tree::{Shape as Json, Tree},
};

/// Longest path in an error, in characters: an agent chooses the names in it.
const PATH_CHARS_MAX: usize = 160;

/// Why arguments do not fit. The call is denied: a policy that cannot read an argument cannot decide on it.
///
/// Paths look like `customer.tags[2]`. They hold names, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Misfit {
    /// Not JSON, too large, or readable in two ways.
    #[error("the arguments cannot be read: {0}")]
    Unreadable(#[from] DecodeError),
    /// Another type than the definition says.
    #[error("{} must be {expected}, not {found}", shown(path))]
    Type {
        /// Where.
        path: String,
        /// What the definition says.
        expected: Expected,
        /// What came.
        found: Found,
    },
    /// The definition requires it.
    #[error("{} is missing", shown(path))]
    Missing {
        /// Which one.
        path: String,
    },
    /// The definition allows no further members here, or the record stands in a list: policies compare the elements
    /// of a set whole, so nothing may be left out of them.
    #[error("{} is not in the tool's definition", shown(path))]
    Undeclared {
        /// Which one.
        path: String,
    },
    /// A number that no policy can compare exactly: an integer beyond 64 bits, or a number with more than four
    /// decimals, more than 15 digits, or beyond the range of Cedar's decimal. Nothing is rounded, in nobody's favour.
    #[error("{} cannot be weighed: {reason}", shown(path))]
    Unweighable {
        /// Which one.
        path: String,
        /// Why.
        reason: &'static str,
    },
    /// Two names in one object differ only in case: some servers read them as one.
    #[error(
        "{} and `{}` differ only in case, and servers differ in which of them they read",
        shown(path),
        plain(other)
    )]
    Case {
        /// The second one.
        path: String,
        /// The name of the first.
        other: String,
    },
    /// The scan of keys and paths exceeds [`SCAN_BYTES_MAX`](super::SCAN_BYTES_MAX).
    #[error("the names in the arguments are too long and too deep to be listed")]
    TooManyNames,
}

impl Misfit {
    /// A value of the wrong type, at the place that [`Misfit::inside`] adds to.
    pub(super) fn of(expected: Expected, value: &Tree<'_>) -> Self {
        Misfit::Type { path: String::new(), expected, found: Found::of(value) }
    }

    /// The same, one level further out.
    pub(super) fn inside(mut self, step: &str) -> Self {
        match &mut self {
            Misfit::Unreadable(_) | Misfit::TooManyNames => {}
            Misfit::Type { path, .. }
            | Misfit::Missing { path }
            | Misfit::Undeclared { path }
            | Misfit::Case { path, .. }
            | Misfit::Unweighable { path, .. } => {
                let joint = if path.is_empty() || path.starts_with('[') { "" } else { "." };
                *path = format!("{step}{joint}{path}");
            }
        }
        self
    }

    /// The same, as an element of a list.
    pub(super) fn at(self, index: usize) -> Self {
        self.inside(&format!("[{index}]"))
    }
}

/// What the definition says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A string.
    Text,
    /// True or false.
    Flag,
    /// An integer, written as one: `1.0` and `1e3` are integers to some parsers and not to others.
    Integer,
    /// Any number.
    Number,
    /// An array.
    List,
    /// An object.
    Record,
    /// Anything but null, which a set cannot hold.
    NotNull,
}

/// What came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// A string.
    Text,
    /// True or false.
    Flag,
    /// A number.
    Number,
    /// An array.
    List,
    /// An object.
    Record,
    /// Null.
    Null,
}

impl Found {
    fn of(value: &Tree<'_>) -> Self {
        match value.shape() {
            Json::Object => Found::Record,
            Json::Array => Found::List,
            Json::String => Found::Text,
            Json::Number => Found::Number,
            Json::Bool => Found::Flag,
            Json::Null => Found::Null,
        }
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Expected::Text => "a string",
            Expected::Flag => "true or false",
            Expected::Integer => "an integer",
            Expected::Number => "a number",
            Expected::List => "an array",
            Expected::Record => "an object",
            Expected::NotNull => "a value",
        })
    }
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Found::Text => "a string",
            Found::Flag => "true or false",
            Found::Number => "such a number",
            Found::List => "an array",
            Found::Record => "an object",
            Found::Null => "null",
        })
    }
}

/// A path that cannot garble a log or a terminal.
fn shown(path: &str) -> String {
    if path.is_empty() {
        return "the arguments as a whole".to_owned();
    }
    format!("argument `{}`", plain(path))
}

fn plain(path: &str) -> String {
    let mut plain = String::new();
    let mut chars = path.chars();
    for char in chars.by_ref().take(PATH_CHARS_MAX) {
        match char {
            '`' => plain.push('\''),
            ' '..='~' => plain.push(char),
            _ if char.is_alphanumeric() => plain.push(char),
            _ => plain.extend(char.escape_unicode()),
        }
    }
    if chars.next().is_some() {
        plain.push('…');
    }
    plain
}
