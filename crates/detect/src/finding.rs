//! What a rule found, for people and for the log.

use serde::{Deserialize, Serialize};

/// Invisible or control characters.
pub const INVISIBLE: &str = "LG-D001";

/// A tool definition that changed since it was first seen, or that cannot be
/// pinned at all.
pub const CHANGED: &str = "LG-D002";

/// A definition that names a tool of another server.
pub const FOREIGN_NAME: &str = "LG-D004";

/// A tool whose name looks like that of another, or is that of another in use.
pub const LOOK_ALIKE: &str = "LG-D005";

/// A server that is reached elsewhere than before.
pub const ENDPOINT: &str = "LG-D006";

/// A URL with a host outside of those that the tool may lead to.
pub const HOST: &str = "LG-D007";

/// A credential of the sealed store where it has no business.
pub const SECRET: &str = "LG-D008";

/// Headers that contradict the body, or a definition that claims headers it may not.
pub const HEADER: &str = "LG-D009";

/// Longest name of a server's choosing that is repeated in a reason, in
/// characters.
const NAME_CHARS_MAX: usize = 120;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Worth a line in the log.
    Low,
    /// Worth a look.
    Medium,
    /// Something was held or withheld because of it.
    High,
}

impl Severity {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            Severity::Low => "low",
            Severity::Medium => "medium",
            Severity::High => "high",
        }
    }
}

/// One thing that one rule found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule, like [`INVISIBLE`] or [`CHANGED`].
    pub id: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// The id of the server that it is about.
    pub server: String,
    /// The tool, or the method whose answer it is about.
    pub subject: String,
    /// What is wrong, in a sentence that a person understands. Holds no text of
    /// the server's but its names, escaped: it may be shown to an agent.
    pub reason: String,
    /// Where and what exactly: code points, byte offsets, hidden text made
    /// visible, members that changed. For people and the log only; handing it
    /// to an agent would deliver what was held back.
    pub evidence: String,
}

impl Finding {
    /// What a person accepts who approves a definition in spite of this.
    pub(crate) fn key(&self) -> String {
        format!("{} {}", self.id, self.evidence)
    }
}

/// A sentence that may hold text of a server, escaped and cut.
pub(crate) fn escaped(text: &str) -> String {
    let text = shown(text);
    text[1..text.len() - 1].to_owned()
}

/// A name of the server's choosing, quoted, escaped and cut for reading.
pub(crate) fn shown(name: &str) -> String {
    let mut text: String = name.chars().take(NAME_CHARS_MAX).collect();
    if text.len() < name.len() {
        text.push('…');
    }
    // Debug escapes controls and most format characters, but leaves some that
    // do not show; those are escaped here.
    let quoted = format!("{text:?}");
    quoted
        .chars()
        .flat_map(|c| {
            let hidden = crate::unicode::Class::of(c).is_some();
            let escaped = hidden.then(|| c.escape_unicode().collect::<Vec<char>>());
            escaped.unwrap_or_else(|| vec![c])
        })
        .collect()
}
