//! Header values that carry any text (MCP 2026-07-28, "Value Encoding").

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

const PREFIX: &str = "=?base64?";
const SUFFIX: &str = "?=";

/// `text` as a header value: itself where that is safe, else its UTF-8 bytes as
/// `=?base64?…?=`. Unsafe are characters outside visible ASCII and space, space at either end,
/// and text that looks like an encoded value.
#[must_use]
pub fn encode_value(text: &str) -> String {
    let visible = text.bytes().all(|byte| matches!(byte, 0x20..=0x7e));
    let padded = text.starts_with(' ') || text.ends_with(' ');
    let looks_encoded = text.starts_with(PREFIX) && text.ends_with(SUFFIX);
    if visible && !padded && !looks_encoded {
        text.to_owned()
    } else {
        format!("{PREFIX}{}{SUFFIX}", STANDARD.encode(text))
    }
}

/// The text of a header value, `None` if it is not visible ASCII, space and tab, or encodes
/// something other than UTF-8 text in padded standard base64 (RFC 4648 section 4).
#[must_use]
pub fn decode_value(value: &[u8]) -> Option<String> {
    let value = std::str::from_utf8(value).ok()?;
    if !value.bytes().all(|byte| matches!(byte, 0x20..=0x7e | b'\t')) {
        return None;
    }
    match value.strip_prefix(PREFIX).and_then(|rest| rest.strip_suffix(SUFFIX)) {
        Some(encoded) => String::from_utf8(STANDARD.decode(encoded).ok()?).ok(),
        None => Some(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn examples_of_the_specification() {
        for (text, value) in [
            ("us-west1", "us-west1"),
            ("Hello, 世界", "=?base64?SGVsbG8sIOS4lueVjA==?="),
            (" padded ", "=?base64?IHBhZGRlZCA=?="),
            ("line1\nline2", "=?base64?bGluZTEKbGluZTI=?="),
            ("=?base64?literal?=", "=?base64?PT9iYXNlNjQ/bGl0ZXJhbD89?="),
            ("", ""),
            ("a b", "a b"),
            ("=?BASE64?x?=", "=?BASE64?x?="),
        ] {
            assert_eq!(encode_value(text), value);
            assert_eq!(decode_value(value.as_bytes()).as_deref(), Some(text));
        }
    }

    #[test]
    fn refuses_bad_values() {
        for value in [
            &b"\xff"[..],
            b"a\x00",
            b"a\x7f",
            b"=?base64?SGVsbG8?=",
            b"=?base64?!!!?=",
            b"=?base64?/w==?=",
            b"=?base64?SGVsbG9=?=",
        ] {
            assert_eq!(decode_value(value), None, "{}", value.escape_ascii());
        }
    }

    proptest! {
        #[test]
        fn any_text_comes_back(text in any::<String>()) {
            let value = encode_value(&text);
            prop_assert!(http::HeaderValue::from_str(&value).is_ok());
            prop_assert_eq!(decode_value(value.as_bytes()), Some(text));
        }

        #[test]
        fn any_bytes_decode_or_not(bytes in any::<Vec<u8>>()) {
            if let Some(text) = decode_value(&bytes) {
                prop_assert_eq!(decode_value(encode_value(&text).as_bytes()), Some(text));
            }
        }
    }
}
