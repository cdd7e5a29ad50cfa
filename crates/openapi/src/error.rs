//! What can be wrong, ordered by blame: the document's fault, then the call's.

use std::fmt;

/// One thing that is wrong with a document, and where.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Problem {
    /// JSON pointer (RFC 6901) into the document; of text that cannot be read at all, `line N, column M`.
    pub at: String,
    /// What is wrong there.
    pub what: String,
}

impl Problem {
    pub(crate) fn new(at: impl Into<String>, what: impl Into<String>) -> Self {
        Self { at: at.into(), what: what.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at.is_empty() {
            true => f.write_str(&self.what),
            false => write!(f, "{}: {}", self.at, self.what),
        }
    }
}

/// A document that gives no tool at all, with everything that is wrong with it, up to
/// [`Limits::problems_max`](crate::Limits::problems_max).
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the document cannot be used: {}", .problems.first().map(ToString::to_string).unwrap_or_default())]
pub struct Rejected {
    /// What is wrong; never empty.
    pub problems: Vec<Problem>,
}

impl Rejected {
    pub(crate) fn one(at: impl Into<String>, what: impl Into<String>) -> Self {
        Self { problems: vec![Problem::new(at, what)] }
    }
}

/// A call that does not become a request. The text is for the model, which can do better next time.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The arguments are no JSON object.
    #[error("the arguments must be an object")]
    NoObject,
    /// An argument that has to be there.
    #[error("the argument `{0}` is missing")]
    Missing(String),
    /// An argument that the tool does not have.
    #[error("there is no argument `{name}`; the arguments of this tool: {known}")]
    Unknown {
        /// Its name, as far as it is shown.
        name: String,
        /// Those that there are.
        known: String,
    },
    /// An argument of a type, or with characters, that its place cannot carry.
    #[error("the argument `{name}` {why}")]
    Unfit {
        /// Its name.
        name: String,
        /// Why it does not fit.
        why: &'static str,
    },
    /// The request would be larger than its limit.
    #[error("the request would be larger than {bytes_max} bytes: give less in the arguments")]
    TooLarge {
        /// The limit.
        bytes_max: usize,
    },
}

impl CallError {
    pub(crate) fn unfit(name: &str, why: &'static str) -> Self {
        Self::Unfit { name: name.to_owned(), why }
    }
}
