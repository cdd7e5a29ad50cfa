//! What a record is selected by: the value of one argument of the call, or who calls.

use std::fmt;

use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::FactShape;
use crate::absence::Absence;

/// Longest key in bytes: an id or a SPIFFE id. It goes into URLs and records.
pub const KEY_BYTES_MAX: usize = 512;

/// The key that stands for the caller instead of an argument.
pub const AGENT: &str = "agent";

/// Whom and what a decision is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The caller's id, as policy knows it.
    pub agent: &'a str,
    /// The server that is called.
    pub server: &'a str,
    /// The arguments of the call, as they came.
    pub arguments_raw: Option<&'a str>,
}

/// The key of a fact for a subject; none if the fact has no key.
pub(crate) fn of(shape: &FactShape, subject: &Subject<'_>) -> Result<Option<String>, Absence> {
    let Some(name) = &shape.key else { return Ok(None) };
    let key = match name.as_str() {
        AGENT if subject.agent.is_empty() => return Err(Absence::NoKey(name.clone())),
        AGENT => subject.agent.to_owned(),
        name => argument(name, subject.arguments_raw)?,
    };
    check(name, &key)?;
    Ok(Some(key))
}

/// Whether a text can be a key.
pub(crate) fn check(name: &str, key: &str) -> Result<(), Absence> {
    let why = match key {
        "" => "it is empty",
        key if key.len() > KEY_BYTES_MAX => "it is too long",
        key if key.contains(char::is_control) => "it has control characters",
        _ => return Ok(()),
    };
    Err(Absence::BadKey { argument: name.to_owned(), why })
}

fn argument(name: &str, arguments_raw: Option<&str>) -> Result<String, Absence> {
    let missing = || Absence::NoKey(name.to_owned());
    let bad = |why| Absence::BadKey { argument: name.to_owned(), why };
    let raw = arguments_raw.ok_or_else(missing)?;
    let mut deserializer = serde_json::Deserializer::from_str(raw);
    let found =
        deserializer.deserialize_any(Member(name)).map_err(|_| bad("the arguments cannot be read"))?;
    match found.ok_or_else(missing)? {
        Value::String(text) => Ok(text),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Number(number) if number.is_i64() => Ok(number.to_string()),
        Value::Number(_) => Err(bad("it is a number with a fraction, or too large")),
        Value::Null => Err(bad("it is null")),
        Value::Array(_) | Value::Object(_) => Err(bad("it is a list or an object")),
    }
}

/// Finds one member of an object without keeping the rest, which a caller can make large.
struct Member<'a>(&'a str);

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(name) = members.next_key::<String>()? {
            if name != self.0 {
                members.next_value::<IgnoredAny>()?;
            } else if found.replace(members.next_value()?).is_some() {
                return Err(serde::de::Error::custom("the argument stands twice"));
            }
        }
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, arguments: Option<&str>) -> Result<Option<String>, Absence> {
        let shape =
            FactShape { name: "f".to_owned(), fields: Default::default(), key: Some(name.to_owned()) };
        of(&shape, &Subject { agent: "spiffe://x/agent/a", server: "s", arguments_raw: arguments })
    }

    #[test]
    fn scalars_select_and_nothing_else() {
        for (arguments, expected) in [
            (r#"{"p":"a b"}"#, "a b"),
            (r#"{"q":{"p":1},"p":-7}"#, "-7"),
            (r#"{"p":true}"#, "true"),
            ("{\"p\":\"\\u0061\"}", "a"),
        ] {
            assert_eq!(key("p", Some(arguments)).unwrap().as_deref(), Some(expected));
        }
        for bad in [
            r#"{"p":1.5}"#,
            r#"{"p":18446744073709551615}"#,
            r#"{"p":null}"#,
            r#"{"p":["a"]}"#,
            r#"{"p":{}}"#,
            r#"{"p":""}"#,
            "{\"p\":\"a\\n\"}",
            r#"{"p":"a","p":"b"}"#,
            r#"{"p":"a","\u0070":"b"}"#,
            "[]",
            "{",
            &format!("{{\"p\":\"{}\"}}", "x".repeat(KEY_BYTES_MAX + 1)),
        ] {
            assert!(matches!(key("p", Some(bad)), Err(Absence::BadKey { .. })), "{bad}");
        }
        assert_eq!(key("p", Some(r#"{"P":"a"}"#)), Err(Absence::NoKey("p".to_owned())));
        assert_eq!(key("p", None), Err(Absence::NoKey("p".to_owned())));
    }

    /// Whoever calls cannot choose to be somebody else.
    #[test]
    fn the_agent_is_never_an_argument() {
        assert_eq!(key(AGENT, Some(r#"{"agent":"boss"}"#)).unwrap().as_deref(), Some("spiffe://x/agent/a"));
    }
}
