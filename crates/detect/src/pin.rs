//! Pins: what a tool's definition was when it was first trusted.

use lockgate_crypto::digest::{Sha256, hex, sha256};
use serde::{Deserialize, Serialize};

/// A tool definition that is trusted, bound to its server.
///
/// The whole item is pinned, unknown members too: name, title, description,
/// both schemas, annotations, icons and `_meta`. Attacks have been shown in
/// every one of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pin {
    /// The id of the server.
    pub server: String,
    /// The tool's name.
    pub tool: String,
    /// SHA-256 of `definition`, lower-case hex.
    pub sha256: String,
    /// The definition as canonical JSON text, to show what changed.
    pub definition: String,
    /// When the definition was first seen, in milliseconds since 1970.
    pub first_seen_ms: u64,
    /// Whether a person approved it; false is trust on first use.
    pub approved: bool,
    /// What a person accepted with the approval, besides the definition itself.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<String>,
}

impl Pin {
    pub(crate) fn new(server: &str, tool: &str, definition: String, now_ms: u64) -> Self {
        Pin {
            server: server.to_owned(),
            tool: tool.to_owned(),
            sha256: hex(&sha256(definition.as_bytes())),
            definition,
            first_seen_ms: now_ms,
            approved: false,
            accepted: Vec::new(),
        }
    }

    /// A key to store the pin under: one per server and tool, 64 hex digits
    /// whatever the two are called. A newer pin replaces the older one.
    pub fn key(&self) -> String {
        hex(&subject_hash(&self.server, &self.tool, ""))
    }

    /// The id under which a person approves this definition: 16 hex digits,
    /// the same after a restart, different for every other definition.
    pub(crate) fn approval_id(&self) -> String {
        hex(&subject_hash(&self.server, &self.tool, &self.sha256)[..8])
    }
}

pub(crate) fn subject_hash(server: &str, tool: &str, definition: &str) -> [u8; 32] {
    let mut hash = Sha256::new();
    for text in [server, tool, definition] {
        // Lengths first, so that ("a", "bc") and ("ab", "c") differ.
        hash.update(&(text.len() as u64).to_be_bytes());
        hash.update(text.as_bytes());
    }
    hash.finish()
}
