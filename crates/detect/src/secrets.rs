//! Credentials that this node injects, known by keyed fingerprints, found wherever they turn up.
//!
//! No agent is ever shown such a credential, so one in the arguments of a call, or in what a server answers, has leaked. The
//! match is exact: the value itself, in base64 at any alignment, in hexadecimal, and percent-encoded.

use std::collections::HashMap;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD_NO_PAD, URL_SAFE_NO_PAD};
use lockgate_crypto::digest::sha256;
use serde_json::Value;

/// Shortest credential that is looked for, in bytes: shorter ones turn up by chance.
pub const SECRET_BYTES_MIN: usize = 10;

/// Bytes by which a candidate is found before all of it is compared.
const HEAD: usize = 8;

/// Bits of the filter through which text passes, as a power of two: 8 kB, which stays in the first cache.
const FILTER_BITS: u32 = 16;

/// Fingerprints of credentials.
pub(crate) struct Secrets {
    key: [u8; 32],
    filter: Vec<u64>,
    heads: HashMap<u64, Vec<Print>>,
}

struct Print {
    name: String,
    bytes: usize,
    digest: [u8; 32],
}

impl std::fmt::Debug for Secrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Secrets([redacted], {} fingerprints)", self.heads.values().map(Vec::len).sum::<usize>())
    }
}

impl Secrets {
    /// None yet. The key is drawn by the caller, and differs from start to start.
    pub(crate) fn new(key: [u8; 32]) -> Self {
        Self { key, filter: vec![0; 1 << (FILTER_BITS - 6)], heads: HashMap::new() }
    }

    /// Looks for this credential from now on, in place of an earlier value of the name.
    pub(crate) fn learn(&mut self, name: &str, value: &[u8]) {
        for prints in self.heads.values_mut() {
            prints.retain(|print| print.name != name);
        }
        self.heads.retain(|_, prints| !prints.is_empty());
        if value.len() >= SECRET_BYTES_MIN {
            for view in views(value) {
                self.add(name, &view);
            }
        }
        self.filter.fill(0);
        for head in self.heads.keys() {
            let bit = slot(*head);
            self.filter[bit >> 6] |= 1 << (bit & 63);
        }
    }

    fn add(&mut self, name: &str, pattern: &[u8]) {
        let Some(head) = pattern.first_chunk::<HEAD>() else { return };
        let print = Print { name: name.to_owned(), bytes: pattern.len(), digest: self.digest(pattern) };
        self.heads.entry(self.head(*head)).or_default().push(print);
    }

    /// The name of the first credential in a JSON text, escapes undone.
    pub(crate) fn find(&self, raw: &str) -> Option<&str> {
        if self.heads.is_empty() {
            return None;
        }
        if let Some(found) = self.find_in(raw.as_bytes()) {
            return Some(found);
        }
        // Without a backslash every string stands there as it is.
        memchr::memchr(b'\\', raw.as_bytes())?;
        self.find_within(&serde_json::from_str(raw).ok()?)
    }

    fn find_within(&self, value: &Value) -> Option<&str> {
        match value {
            Value::String(text) => self.find_in(text.as_bytes()),
            Value::Array(items) => items.iter().find_map(|item| self.find_within(item)),
            Value::Object(members) => members
                .iter()
                .find_map(|(name, value)| self.find_in(name.as_bytes()).or_else(|| self.find_within(value))),
            _ => None,
        }
    }

    fn find_in(&self, text: &[u8]) -> Option<&str> {
        for (at, window) in text.windows(HEAD).enumerate() {
            let head = self.head(window.try_into().expect("windows are of this length"));
            let bit = slot(head);
            if self.filter[bit >> 6] >> (bit & 63) & 1 == 0 {
                continue;
            }
            let fits = |print: &&Print| {
                text.get(at..at + print.bytes).is_some_and(|whole| self.digest(whole) == print.digest)
            };
            if let Some(print) = self.heads.get(&head).and_then(|prints| prints.iter().find(fits)) {
                return Some(&print.name);
            }
        }
        None
    }

    fn head(&self, bytes: [u8; HEAD]) -> u64 {
        let key = u64::from_le_bytes(*self.key.first_chunk().expect("a key is longer"));
        (u64::from_le_bytes(bytes) ^ key).wrapping_mul(0x9E37_79B9_7F4A_7C15)
    }

    fn digest(&self, bytes: &[u8]) -> [u8; 32] {
        sha256(&[&self.key[..], bytes].concat())
    }
}

fn slot(head: u64) -> usize {
    usize::try_from(head >> (64 - FILTER_BITS)).expect("as many bits fit")
}

/// The ways in which a value is likely to be written.
fn views(value: &[u8]) -> Vec<Vec<u8>> {
    let hex = |upper: bool| -> Vec<u8> {
        let text: String = value.iter().map(|byte| format!("{byte:02x}")).collect();
        if upper { text.to_uppercase().into_bytes() } else { text.into_bytes() }
    };
    let percent: String = value
        .iter()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(*byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect();
    let mut views = vec![value.to_vec(), percent.into_bytes(), hex(false), hex(true)];
    for engine in [&STANDARD_NO_PAD, &URL_SAFE_NO_PAD] {
        for shift in 0..3 {
            // What stands before and behind the value decides on the characters at both ends.
            let shifted = [&[0; 2][..shift], value].concat();
            let text = engine.encode(&shifted).into_bytes();
            let whole = (shifted.len() / 3) * 4;
            let begin = if shift == 0 { 0 } else { 4 };
            views.push(text[begin..whole].to_vec());
        }
    }
    views.sort();
    views.dedup();
    views
}

#[cfg(test)]
mod tests {
    use base64::engine::general_purpose::STANDARD;
    use proptest::prelude::*;

    use super::*;

    fn secrets() -> Secrets {
        let mut secrets = Secrets::new([7; 32]);
        secrets.learn("billing", b"sk-live-4f9a82+/77c1d0");
        secrets
    }

    #[test]
    fn a_credential_is_found_however_it_is_written() {
        let value = "sk-live-4f9a82+/77c1d0";
        for text in [
            value.to_owned(),
            format!("{{\"a\":[\"x{value}y\"]}}"),
            "\"sk-live-4f9a82+\\/77c1d0\"".to_owned(),
            "\"sk-live-\\u0034f9a82+/77c1d0\"".to_owned(),
            "{\"sk-live-\\u0034f9a82+/77c1d0\":1}".to_owned(),
            "sk-live-4f9a82%2B%2F77c1d0".to_owned(),
            STANDARD.encode(value),
            STANDARD.encode(format!("x{value}")),
            URL_SAFE_NO_PAD.encode(format!("xy{value}zz")),
            value.bytes().map(|byte| format!("{byte:02X}")).collect(),
        ] {
            assert_eq!(secrets().find(&text), Some("billing"), "{text}");
        }
        for text in ["sk-live-4f9a82+/77c1d", "sk-live-", "", "\\"] {
            assert_eq!(secrets().find(text), None, "{text}");
        }
    }

    #[test]
    fn a_new_value_takes_the_place_of_the_old_and_short_ones_are_left() {
        let mut secrets = secrets();
        secrets.learn("billing", b"another-value-1");
        assert_eq!(secrets.find("sk-live-4f9a82+/77c1d0"), None);
        assert_eq!(secrets.find("another-value-1"), Some("billing"));
        secrets.learn("short", b"abc");
        assert_eq!(secrets.find("abc abc abc"), None);
        assert!(!format!("{secrets:?}").contains("another"));
    }

    proptest! {
        #[test]
        fn a_credential_is_found_at_any_place(before in "[ -~é]{0,40}", after in "[ -~]{0,40}") {
            let text = serde_json::Value::from(format!("{before}sk-live-4f9a82+/77c1d0{after}")).to_string();
            let secrets = secrets();
            prop_assert_eq!(secrets.find(&text), Some("billing"));
        }

        #[test]
        fn other_text_holds_none(text in "(?s).{0,200}") {
            let secrets = secrets();
            prop_assert_eq!(secrets.find(&text), None);
        }
    }
}
