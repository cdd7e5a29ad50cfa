//! The leaves of a JSON text: where each value stands and how large it is, without the value itself in the path.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Objects and lists within each other that are looked into; what is deeper is one leaf as a whole.
const DEPTH_MAX: usize = 8;

/// Longest path, in bytes; a leaf with a longer one stands under its beginning.
const PATH_BYTES_MAX: usize = 128;

/// Longest key that is shown, in bytes.
const KEY_BYTES_MAX: usize = 64;

/// Digits that a key may have and still be shown: names of fields have few, numbers of people many.
const KEY_DIGITS_MAX: usize = 4;

/// A value that has no parts, or is not taken apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Leaf<'a> {
    /// Where it stands, like `patient.names[0]`.
    pub path: String,
    /// What is committed to: `s` and the text of a string without its escapes, or `v` and the JSON text of anything else.
    pub value: Cow<'a, str>,
    /// Whether it is a string.
    pub is_text: bool,
}

/// The leaves of a JSON text in their order, at most `max`; and whether there are more. What is no JSON has none.
#[must_use]
pub fn leaves(raw: &str, max: usize) -> (Vec<Leaf<'_>>, bool) {
    let mut found = Leaves { all: Vec::new(), max, is_cut: false };
    if let Ok(raw) = serde_json::from_str::<&RawValue>(raw) {
        found.walk(raw, String::new(), 0);
    }
    (found.all, found.is_cut)
}

/// The values at a path of keys, like `["patient", "id"]`; each element of a list that stands on the way. Stops behind
/// `max`.
pub(crate) fn at<'a>(raw: &'a str, path: &[String], max: usize) -> Vec<&'a RawValue> {
    let mut found = Vec::new();
    if let Ok(raw) = serde_json::from_str::<&RawValue>(raw) {
        descend(raw, path, 0, max, &mut found);
    }
    found
}

fn descend<'a>(raw: &'a RawValue, path: &[String], depth: usize, max: usize, found: &mut Vec<&'a RawValue>) {
    if found.len() > max || depth > 2 * DEPTH_MAX {
        return;
    }
    match raw.get().as_bytes().first() {
        Some(b'[') => {
            let items: Vec<&RawValue> = serde_json::from_str(raw.get()).unwrap_or_default();
            for item in items {
                descend(item, path, depth + 1, max, found);
            }
        }
        Some(b'{') => {
            let Some((key, rest)) = path.split_first() else { return };
            // A key that stands twice counts twice: whichever a server reads, it is found.
            for (_, value) in members(raw).into_iter().filter(|(name, _)| name.as_ref() == key.as_str()) {
                descend(value, rest, depth + 1, max, found);
            }
        }
        _ if path.is_empty() => found.push(raw),
        _ => {}
    }
}

/// The outermost keys.
pub(crate) fn keys(raw: &str) -> Vec<String> {
    let Ok(raw) = serde_json::from_str::<&RawValue>(raw) else { return Vec::new() };
    members(raw).into_iter().map(|(key, _)| key.into_owned()).collect()
}

struct Leaves<'a> {
    all: Vec<Leaf<'a>>,
    max: usize,
    is_cut: bool,
}

impl<'a> Leaves<'a> {
    fn walk(&mut self, raw: &'a RawValue, path: String, depth: usize) {
        if self.all.len() >= self.max {
            self.is_cut = true;
            return;
        }
        let text = raw.get();
        let parts = if depth < DEPTH_MAX { text.as_bytes().first() } else { None };
        match parts {
            Some(b'{') => {
                let members = members(raw);
                if members.is_empty() {
                    return self.push(path, text.into(), false);
                }
                for (key, value) in members {
                    let key = shown(&key);
                    let below = if path.is_empty() { key.to_owned() } else { format!("{path}.{key}") };
                    self.walk(value, below, depth + 1);
                }
            }
            Some(b'[') => {
                let items: Vec<&'a RawValue> = serde_json::from_str(text).unwrap_or_default();
                if items.is_empty() {
                    return self.push(path, text.into(), false);
                }
                for (number, item) in items.into_iter().enumerate() {
                    if self.all.len() >= self.max {
                        self.is_cut = true;
                        return;
                    }
                    self.walk(item, format!("{path}[{number}]"), depth + 1);
                }
            }
            _ => match string(text) {
                Some(value) => self.push(path, value, true),
                None => self.push(path, text.into(), false),
            },
        }
    }

    fn push(&mut self, mut path: String, value: Cow<'a, str>, is_text: bool) {
        path.truncate(path.floor_char_boundary(PATH_BYTES_MAX));
        self.all.push(Leaf { path, value, is_text });
    }
}

/// The text of a JSON string; none of anything else.
pub(crate) fn string(raw: &str) -> Option<Cow<'_, str>> {
    let inner = raw.strip_prefix('"')?.strip_suffix('"')?;
    if !inner.contains('\\') {
        return Some(inner.into());
    }
    serde_json::from_str(raw).ok().map(Cow::Owned)
}

/// A key, if it reads like the name of a field. Some callers put what is personal into keys.
#[must_use]
pub fn shown(key: &str) -> &str {
    let begins = key.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_' || c == '$');
    let fits = key.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.$".contains(&byte));
    let digits = key.bytes().filter(u8::is_ascii_digit).count();
    if begins && fits && key.len() <= KEY_BYTES_MAX && digits <= KEY_DIGITS_MAX { key } else { "*" }
}

/// The members of an object in their order, those that stand twice too.
fn members(raw: &RawValue) -> Vec<(Cow<'_, str>, &RawValue)> {
    struct Members;
    impl<'de> Visitor<'de> for Members {
        type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut members = Vec::new();
            while let Some(Key(key)) = map.next_key()? {
                members.push((key, map.next_value()?));
            }
            Ok(members)
        }
    }
    let mut reader = serde_json::Deserializer::from_str(raw.get());
    reader.deserialize_map(Members).unwrap_or_default()
}

/// A key, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Key<'a>(#[serde(borrow)] Cow<'a, str>);

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn shown_leaves(raw: &str) -> Vec<String> {
        let (all, is_cut) = leaves(raw, 32);
        let mut lines: Vec<String> = all
            .iter()
            .map(|leaf| format!("{}={}{}", leaf.path, if leaf.is_text { "s" } else { "v" }, leaf.value))
            .collect();
        lines.extend(is_cut.then(|| "cut".to_owned()));
        lines
    }

    #[test]
    fn paths_and_values() {
        for (raw, expected) in [
            (r#"{"id":7,"name":"A\u006en"}"#, vec!["id=v7", "name=sAnn"]),
            (
                r#"{"a":{"b":[1.50,{"c":null}]},"d":[],"e":{}}"#,
                vec!["a.b[0]=v1.50", "a.b[1].c=vnull", "d=v[]", "e=v{}"],
            ),
            (
                r#"{"ann@example.org":1,"4711":2,"p47110815":3,"ok_1":4}"#,
                vec!["*=v1", "*=v2", "*=v3", "ok_1=v4"],
            ),
            (r#"{"a":1,"a":2}"#, vec!["a=v1", "a=v2"]),
            ("\"x\"", vec!["=sx"]),
            ("{", vec![]),
            (r#"[[[[[[[[["deep"]]]]]]]]]"#, vec![r#"[0][0][0][0][0][0][0][0]=v["deep"]"#]),
        ] {
            assert_eq!(shown_leaves(raw), expected, "{raw}");
        }
    }

    #[test]
    fn many_leaves_are_cut_and_say_so() {
        let list = format!("[{}]", vec!["1"; 100].join(","));
        let (all, is_cut) = leaves(&list, 32);
        assert_eq!((all.len(), is_cut), (32, true));
        let (all, is_cut) = leaves("[1,2]", 2);
        assert_eq!((all.len(), is_cut), (2, false));
    }

    #[test]
    fn what_a_path_names_is_found_in_lists_too() {
        let path = ["patients".to_owned(), "id".to_owned()];
        let raw = r#"{"patients":[{"id":"a"},{"id":2},{"no":1}],"patients":{"id":"c"}}"#;
        let found: Vec<&str> = at(raw, &path, 16).into_iter().map(RawValue::get).collect();
        assert_eq!(found, ["\"a\"", "2", "\"c\""]);
        assert!(at(raw, &["patients".to_owned()], 16).is_empty(), "an object is no subject");
    }

    proptest! {
        /// No path ever holds a value, and nothing panics.
        #[test]
        fn paths_hold_no_values(secret in "[a-z]{3,8}@[a-z]{3,8}", key in "\\PC{0,20}", depth in 0_usize..12) {
            let mut raw = serde_json::json!({ &key: &secret, &secret: 1 }).to_string();
            for _ in 0..depth {
                raw = format!("[{raw}]");
            }
            for leaf in leaves(&raw, 32).0 {
                prop_assert!(!leaf.path.contains(&secret), "{}", leaf.path);
                prop_assert!(leaf.path.len() <= PATH_BYTES_MAX);
            }
        }
    }
}
