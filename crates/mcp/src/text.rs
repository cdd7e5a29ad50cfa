//! JSON strings to text and back.

use std::borrow::Cow;

/// The text of a JSON string given with its quotes, `None` if it has an unpaired surrogate.
///
/// The string must have passed the scanner; without a backslash it is its own text.
pub(crate) fn decode(quoted: &str) -> Option<Cow<'_, str>> {
    let inner = quoted.get(1..quoted.len().checked_sub(1)?)?;
    if memchr::memchr(b'\\', inner.as_bytes()).is_none() {
        return Some(Cow::Borrowed(inner));
    }
    serde_json::from_str(quoted).ok().map(Cow::Owned)
}

/// `text` as a JSON string with its quotes, escaping only what must be (RFC 8785 section 3.2.2.2).
pub(crate) fn encode(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}
