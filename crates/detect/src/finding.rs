//! What a rule found, for people and for the log.

use serde::{Deserialize, Serialize};

/// Invisible or control characters.
pub const INVISIBLE: &str = "LG-D001";

/// A tool definition that changed since it was first seen, or that cannot be
/// pinned at all.
pub const CHANGED: &str = "LG-D002";

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

/// One thing that one rule found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The rule: [`INVISIBLE`] or [`CHANGED`].
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
