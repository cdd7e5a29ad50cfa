//! What a method promises (RFC 9110, section 9.2), as the annotations of a tool.

use serde_json::{Value, json};

/// The annotations of a tool. They are hints: what a server really does is its own matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Hints {
    /// It changes nothing.
    pub read_only: bool,
    /// It may take something away or write over it.
    pub destructive: bool,
    /// Called twice it does no more than once.
    pub idempotent: bool,
}

impl Hints {
    /// What follows from the method. Of `POST` nothing follows, so the worst is said.
    pub(crate) fn of(method: &str) -> Self {
        let read_only = matches!(method, "GET" | "HEAD" | "OPTIONS" | "QUERY");
        let idempotent = read_only || matches!(method, "PUT" | "DELETE");
        Self { read_only, destructive: !read_only, idempotent }
    }

    /// In one word, for a table.
    #[must_use]
    pub fn word(self) -> &'static str {
        match (self.read_only, self.idempotent) {
            (true, _) => "reads",
            (false, true) => "writes, repeatable",
            (false, false) => "writes",
        }
    }

    pub(crate) fn annotations(self, title: &str) -> Value {
        json!({
            "title": title,
            "readOnlyHint": self.read_only,
            "destructiveHint": self.destructive,
            "idempotentHint": self.idempotent,
            "openWorldHint": true,
        })
    }
}
