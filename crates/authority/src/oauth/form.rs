//! Form bodies (`application/x-www-form-urlencoded`, RFC 6749, appendix B), read strictly: each name once, all of it text.

use std::collections::BTreeMap;

/// Largest body, in bytes: two tokens of the largest kind, percent-encoded nowhere, and their names.
pub const FORM_BYTES_MAX: usize = 64 << 10;
/// Most fields: the largest request of RFC 8693 has eleven.
const FIELDS_MAX: usize = 24;

/// What is wrong with a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FormError {
    /// Longer than [`FORM_BYTES_MAX`].
    #[error("the body is larger than 64 KiB")]
    TooLarge,
    /// Too many fields.
    #[error("the body has more than 24 fields")]
    TooMany,
    /// A name twice: which one counts would be a matter of taste (RFC 6749, section 3.2).
    #[error("a parameter is there twice")]
    Twice,
    /// Something that is no form encoding of UTF-8 text.
    #[error("the body is no form encoding of UTF-8 text without control characters")]
    Encoding,
}

/// The fields of a form.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Form(BTreeMap<String, String>);

impl Form {
    /// Reads a body.
    ///
    /// # Errors
    /// [`FormError`].
    pub fn parse(body: &[u8]) -> Result<Self, FormError> {
        if body.len() > FORM_BYTES_MAX {
            return Err(FormError::TooLarge);
        }
        let mut fields = BTreeMap::new();
        if body.is_empty() {
            return Ok(Self(fields));
        }
        for pair in body.split(|byte| *byte == b'&') {
            if fields.len() >= FIELDS_MAX {
                return Err(FormError::TooMany);
            }
            let at = pair.iter().position(|byte| *byte == b'=').ok_or(FormError::Encoding)?;
            let (name, value) = (decode(&pair[..at])?, decode(&pair[at + 1..])?);
            if name.is_empty() {
                return Err(FormError::Encoding);
            }
            if fields.insert(name, value).is_some() {
                return Err(FormError::Twice);
            }
        }
        Ok(Self(fields))
    }

    /// A field. One that is empty counts as left out (RFC 6749, section 3.2).
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }
}

/// Writes a value as a form has it.
pub(crate) fn encode(value: &str, form: &mut String) {
    const DIGITS: &[u8; 16] = b"0123456789ABCDEF";
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'*' => {
                form.push(char::from(byte))
            }
            b' ' => form.push('+'),
            byte => {
                let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
                form.extend(['%', digit(byte >> 4), digit(byte & 15)]);
            }
        }
    }
}

fn decode(text: &[u8]) -> Result<String, FormError> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.iter();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'+' => b' ',
            b'%' => {
                let mut digit = || {
                    let letter = char::from(*rest.next()?);
                    letter.to_digit(16).and_then(|digit| u8::try_from(digit).ok())
                };
                let (high, low) = (digit().ok_or(FormError::Encoding)?, digit().ok_or(FormError::Encoding)?);
                high << 4 | low
            }
            // A raw = in a value is what sloppy clients write after base64; it reads in one way only.
            byte if byte.is_ascii_graphic() => *byte,
            _ => return Err(FormError::Encoding),
        });
    }
    let text = String::from_utf8(bytes).map_err(|_| FormError::Encoding)?;
    if text.chars().any(char::is_control) { Err(FormError::Encoding) } else { Ok(text) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn good_forms() {
        let form = Form::parse(b"grant_type=a%3Ab&scope=x+y&empty=&t=e30=").unwrap();
        assert_eq!(form.get("grant_type"), Some("a:b"));
        assert_eq!(form.get("scope"), Some("x y"));
        assert_eq!(form.get("empty"), None);
        assert_eq!(form.get("t"), Some("e30="));
        assert_eq!(Form::parse(b"").unwrap().get("a"), None);
    }

    #[test]
    fn bad_forms() {
        for (body, error) in [
            (&b"a=1&a=2"[..], FormError::Twice),
            (b"a=1&%61=2", FormError::Twice),
            (b"a=&a=1", FormError::Twice),
            (b"a", FormError::Encoding),
            (b"=1", FormError::Encoding),
            (b"a=1&", FormError::Encoding),
            (b"a=%", FormError::Encoding),
            (b"a=%4", FormError::Encoding),
            (b"a=%4g", FormError::Encoding),
            (b"a=%ff", FormError::Encoding),
            (b"a=%00", FormError::Encoding),
            (b"a=%0d%0ab", FormError::Encoding),
            (b"a=\xc3\xa9", FormError::Encoding),
            (b"a=b c", FormError::Encoding),
            (b"{\"a\":1}", FormError::Encoding),
        ] {
            assert_eq!(Form::parse(body), Err(error), "{}", String::from_utf8_lossy(body));
        }
        let many = (0..25).map(|n| format!("k{n}=v")).collect::<Vec<_>>().join("&");
        assert_eq!(Form::parse(many.as_bytes()), Err(FormError::TooMany));
        assert_eq!(Form::parse(&vec![b'a'; FORM_BYTES_MAX + 1]), Err(FormError::TooLarge));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_or_refused(body in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = Form::parse(&body);
        }

        #[test]
        fn what_is_encoded_comes_back(value in "[^\\p{Cc}]{1,40}") {
            let all: String = value.bytes().map(|byte| format!("%{byte:02X}")).collect();
            let mut needed = String::new();
            encode(&value, &mut needed);
            for encoded in [all, needed] {
                let form = Form::parse(format!("a={encoded}").as_bytes()).unwrap();
                prop_assert_eq!(form.get("a"), Some(value.as_str()));
            }
        }
    }
}
