//! Percent-encoding (RFC 3986, section 2): each value for the place where it stands.

use std::fmt::Write as _;

/// Letters, digits and `-._~`: what never needs encoding (RFC 3986, section 2.3).
fn is_unreserved(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~')
}

/// `value` with everything encoded that could mean something in a path, a query, a form or a cookie.
pub(crate) fn encode(value: &str) -> String {
    encode_but(value, "")
}

/// The same, with the characters in `kept` as they are.
pub(crate) fn encode_but(value: &str, kept: &str) -> String {
    let mut encoded = String::with_capacity(value.len());
    for byte in value.bytes() {
        if is_unreserved(byte) || (byte.is_ascii() && kept.as_bytes().contains(&byte)) {
            encoded.push(char::from(byte));
        } else {
            write!(encoded, "%{byte:02X}").expect("writing to a string cannot fail");
        }
    }
    encoded
}

/// The text that `encoded` stands for; none if an escape is none, or it is no UTF-8.
pub(crate) fn decode(encoded: &str) -> Option<String> {
    if !encoded.contains('%') {
        return Some(encoded.to_owned());
    }
    let mut bytes = Vec::with_capacity(encoded.len());
    let mut rest = encoded.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (high, low) = (digit(rest.next())?, digit(rest.next())?);
        bytes.push(u8::try_from(high * 16 + low).expect("two hexadecimal digits are a byte"));
    }
    String::from_utf8(bytes).ok()
}

/// Whether a value can stand in one path segment and stay in it, whatever the server decodes before it routes: it holds no
/// separator, and is no dot segment, however often it is encoded.
pub(crate) fn stays_in_segment(value: &str) -> bool {
    /// Most layers of encoding that are looked through; servers decode once, and careless ones twice.
    const LAYERS_MAX: usize = 4;
    let mut layer = value.to_owned();
    for _ in 0..LAYERS_MAX {
        if layer.chars().any(|c| matches!(c, '/' | '\\') || c.is_control()) || is_dots(&layer) {
            return false;
        }
        match decode(&layer) {
            Some(decoded) if decoded != layer => layer = decoded,
            // What is no escape is not decoded by anybody.
            _ => return true,
        }
    }
    false
}

/// `.` or `..`, also with parameters behind it, which some servers strip (`..;a=b`).
pub(crate) fn is_dots(segment: &str) -> bool {
    matches!(segment.split(';').next(), Some("." | ".."))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_could_leave_a_segment_does_not() {
        for bad in [
            ".",
            "..",
            "a/b",
            "/",
            "a\\b",
            "..;",
            "..;x=1",
            "%2e",
            "%2e%2E",
            "%252e%252e",
            "a%2fb",
            "a%255cb",
            "a\nb",
            "\u{0}",
            "%00",
            "%25252525252e",
        ] {
            assert!(!stays_in_segment(bad), "{bad:?}");
        }
        for good in ["a", "a.b", "...", "50%", "%zz", "a b", "é", "a;b", "100%25", "a:b@c", "?q#f"] {
            assert!(stays_in_segment(good), "{good:?}");
        }
    }

    proptest! {
        #[test]
        fn encoded_text_is_plain_and_comes_back(text in any::<String>()) {
            let encoded = encode(&text);
            prop_assert!(encoded.bytes().all(|byte| is_unreserved(byte) || byte == b'%'));
            prop_assert_eq!(decode(&encoded), Some(text));
        }
    }
}
