//! JSON that has one meaning: no member twice, no depth without end.
//!
//! RFC 7515 section 4 has us refuse duplicate members, or take the last as others do; where two
//! readers of one token differ in that, one of them can be fooled.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;
use serde_json::{Map, Number, Value};

/// Deepest nesting that is read. The deepest tokens that we know of, Kubernetes', have four.
pub const DEPTH_MAX: usize = 16;

/// Reads an object.
///
/// # Errors
/// What is wrong with it, for the operator: no JSON, no object, a member twice, too deep. It
/// quotes nothing of the text.
pub fn object(text: &str) -> Result<Map<String, Value>, Flaw> {
    members(text, DEPTH_MAX)
}

/// Why a text is not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is no JSON.
    Syntax,
    /// It is JSON, but no object.
    NotAnObject,
    /// A member is there twice.
    Duplicate,
    /// It is nested deeper than [`DEPTH_MAX`].
    TooDeep,
    /// A number has no exact value here.
    Number,
}

impl fmt::Display for Flaw {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Syntax => "it is not JSON",
            Self::NotAnObject => "it is not a JSON object",
            Self::Duplicate => "a member is there twice",
            Self::TooDeep => "it is nested too deeply",
            Self::Number => "a number is too large",
        })
    }
}

impl std::error::Error for Flaw {}

/// The members of one object, their values unread.
struct Members<'t>(Vec<(String, &'t RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

fn members(text: &str, depth: usize) -> Result<Map<String, Value>, Flaw> {
    if !text.trim_start().starts_with('{') {
        return Err(Flaw::NotAnObject);
    }
    let depth = depth.checked_sub(1).ok_or(Flaw::TooDeep)?;
    let Members(members) = serde_json::from_str(text).map_err(|_| Flaw::Syntax)?;
    let mut map = Map::new();
    for (name, raw) in members {
        let value = value(raw.get(), depth)?;
        if map.insert(name, value).is_some() {
            return Err(Flaw::Duplicate);
        }
    }
    Ok(map)
}

/// One value. It is looked at byte by byte here, because what `serde_json` makes of a number depends
/// on features that other crates may switch on.
fn value(text: &str, depth: usize) -> Result<Value, Flaw> {
    let text = text.trim();
    match text.as_bytes().first() {
        Some(b'{') => members(text, depth).map(Value::Object),
        Some(b'[') => {
            let depth = depth.checked_sub(1).ok_or(Flaw::TooDeep)?;
            let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| Flaw::Syntax)?;
            let items = items.into_iter().map(|item| value(item.get(), depth));
            items.collect::<Result<_, _>>().map(Value::Array)
        }
        Some(b'"') => serde_json::from_str(text).map(Value::String).map_err(|_| Flaw::Syntax),
        Some(b't') => Ok(Value::Bool(true)),
        Some(b'f') => Ok(Value::Bool(false)),
        Some(b'n') => Ok(Value::Null),
        _ => number(text).map(Value::Number).ok_or(Flaw::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    if let Ok(whole) = text.parse::<i64>() {
        return Some(whole.into());
    }
    if let Ok(whole) = text.parse::<u64>() {
        return Some(whole.into());
    }
    if text.contains(['.', 'e', 'E']) {
        return text.parse().ok().filter(|number: &f64| number.is_finite()).and_then(Number::from_f64);
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn an_object_has_one_meaning_or_none() {
        let good = r#" {"a":1,"b":[true,null,{"c":"d\u00e9"}],"e":-7,"f":1.5,"g":18446744073709551615} "#;
        let read = Value::Object(object(good).unwrap());
        assert_eq!(
            read,
            json!({"a":1,"b":[true,null,{"c":"dé"}],"e":-7,"f":1.5,"g":18_446_744_073_709_551_615_u64})
        );
        for (text, flaw) in [
            ("", Flaw::NotAnObject),
            ("[]", Flaw::NotAnObject),
            ("\"{}\"", Flaw::NotAnObject),
            ("{", Flaw::Syntax),
            ("{}{}", Flaw::Syntax),
            ("{}x", Flaw::Syntax),
            ("{\"a\":1,}", Flaw::Syntax),
            ("{a:1}", Flaw::Syntax),
            ("{\"a\":01}", Flaw::Syntax),
            ("{\"a\":NaN}", Flaw::Syntax),
            ("{\"a\":\"\\ud800\"}", Flaw::Syntax),
            (r#"{"a":1,"a":1}"#, Flaw::Duplicate),
            (r#"{"a":1,"\u0061":1}"#, Flaw::Duplicate),
            (r#"{"x":[{"a":1,"a":2}]}"#, Flaw::Duplicate),
            (r#"{"a":18446744073709551616}"#, Flaw::Number),
            (r#"{"a":1e999}"#, Flaw::Number),
        ] {
            assert_eq!(object(text), Err(flaw), "{text}");
        }
    }

    #[test]
    fn depth_has_an_end() {
        let nested = |depth: usize| {
            let (open, close) = ("{\"a\":".repeat(depth - 1), "}".repeat(depth - 1));
            format!("{open}{{}}{close}")
        };
        assert!(object(&nested(DEPTH_MAX)).is_ok());
        assert_eq!(object(&nested(DEPTH_MAX + 1)), Err(Flaw::TooDeep));
        let arrays = format!("{{\"a\":{}{}}}", "[".repeat(100), "]".repeat(100));
        assert_eq!(object(&arrays), Err(Flaw::TooDeep));
        assert!(object(&format!("{{\"a\":{}", "[".repeat(100_000))).is_err(), "no overflow of the stack");
    }

    proptest! {
        /// Whatever is read, an ordinary reader reads the same.
        #[test]
        fn what_is_read_is_what_others_read(text in r#"\{("[abc]":([0-9]{1,3}|"[a-z]*"|\[\]|\{"x":[0-9]\}|true|null),?){0,4}\}"#) {
            let theirs = serde_json::from_str::<Value>(&text);
            match object(&text) {
                Ok(ours) => prop_assert_eq!(Value::Object(ours), theirs.unwrap()),
                Err(Flaw::Duplicate) => prop_assert!(theirs.is_ok()),
                Err(_) => prop_assert!(theirs.is_err()),
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
            let _ = object(&text);
        }
    }
}
