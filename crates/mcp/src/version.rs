//! Protocol revisions and the two eras they fall into.

/// The newest revision that opens with `initialize`.
pub const LATEST_LEGACY: &str = "2025-11-25";

/// The newest revision that carries its metadata in each request.
pub const LATEST_MODERN: &str = "2026-07-28";

/// What a Streamable HTTP request without `MCP-Protocol-Version` speaks, by the specification.
pub const ASSUMED_WITHOUT_HEADER: &str = "2025-03-26";

/// Every revision we know, oldest first.
const KNOWN: &[&str] = &["2024-11-05", "2025-03-26", "2025-06-18", "2025-11-25", "2026-07-28"];

/// How a revision of MCP sets up its conversations.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Era {
    /// Up to 2025-11-25: a handshake by `initialize`, sessions, requests in both directions.
    Legacy,
    /// From 2026-07-28: stateless, each request describes itself, headers mirror the body.
    Modern,
}

/// The era of a revision that we know, `None` for any other text.
#[must_use]
pub fn era(version: &str) -> Option<Era> {
    let known = KNOWN.contains(&version);
    known.then(|| if version > LATEST_LEGACY { Era::Modern } else { Era::Legacy })
}

/// Every revision we know, oldest first; the `data.supported` of error -32022.
#[must_use]
pub fn known() -> &'static [&'static str] {
    KNOWN
}

/// Whether a method of the legacy era is gone since 2026-07-28, so that a modern server does not
/// know it (MCP 2026-07-28, changelog; SEP-2567, SEP-2575, SEP-2663).
#[must_use]
pub fn is_removed(method: &str) -> bool {
    const REMOVED: &[&str] = &[
        "initialize",
        "ping",
        "logging/setLevel",
        "resources/subscribe",
        "resources/unsubscribe",
        "tasks/list",
        "tasks/result",
    ];
    REMOVED.contains(&method)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eras_split_after_the_last_handshake() {
        assert_eq!(era(LATEST_LEGACY), Some(Era::Legacy));
        assert_eq!(era(LATEST_MODERN), Some(Era::Modern));
        assert_eq!(era(ASSUMED_WITHOUT_HEADER), Some(Era::Legacy));
        for unknown in ["", "2026-07-29", "2099-01-01", "DRAFT", "2025-11-25 "] {
            assert_eq!(era(unknown), None, "{unknown}");
        }
        assert!(KNOWN.is_sorted());
    }
}
