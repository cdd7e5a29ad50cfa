//! Whether a record is of the shape that the configuration promises to policy.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use crate::absence::Absence;
use crate::document;
use crate::{FactShape, FactType};

/// Longest text in a record, in bytes: a name, an id, a remark. Policies compare texts, they do not read books.
pub const TEXT_BYTES_MAX: usize = 4096;

/// Most texts in a set: each is an entry that the policy engine compares with.
pub const TEXTS_MAX: usize = 256;

/// The record with the members of the shape and no others. Times come out in UTC with milliseconds, sets sorted.
///
/// # Errors
/// [`Absence::Shape`] for the first member that is missing or of another type.
pub fn fit(shape: &FactShape, mut record: Map<String, Value>) -> Result<Map<String, Value>, Absence> {
    let mut fitted = Map::new();
    for (name, kind) in &shape.fields {
        let value = record.remove(name).unwrap_or(Value::Null);
        let is = described(&value);
        let value = of_type(*kind, value).ok_or_else(|| Absence::Shape {
            field: name.clone(),
            is,
            wanted: wanted(*kind),
        })?;
        fitted.insert(name.clone(), value);
    }
    Ok(fitted)
}

/// Whether the record is about what was asked for, as far as it says.
pub(crate) fn is_about(
    shape: &FactShape,
    record: &Map<String, Value>,
    key: Option<&str>,
) -> Result<(), Absence> {
    let (Some(name), Some(key)) = (&shape.key, key) else { return Ok(()) };
    let says = match record.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(number @ Value::Number(_)) => number.to_string(),
        Some(Value::Bool(flag)) => flag.to_string(),
        _ => return Ok(()),
    };
    if says == key { Ok(()) } else { Err(Absence::Other(name.clone())) }
}

fn of_type(kind: FactType, value: Value) -> Option<Value> {
    match (kind, value) {
        (FactType::Text, Value::String(text)) => {
            (text.len() <= TEXT_BYTES_MAX).then_some(Value::String(text))
        }
        (FactType::Integer, Value::Number(number)) => number.as_i64().map(Value::from),
        (FactType::Flag, Value::Bool(flag)) => Some(Value::Bool(flag)),
        (FactType::Time, Value::String(text)) => {
            let time = document::time(&text)?;
            Some(Value::String(time.strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()))
        }
        (FactType::Texts, Value::Array(items)) => {
            if items.len() > TEXTS_MAX {
                return None;
            }
            let texts = items.into_iter().map(|item| match item {
                Value::String(text) if text.len() <= TEXT_BYTES_MAX => Some(text),
                _ => None,
            });
            let texts: BTreeSet<String> = texts.collect::<Option<_>>()?;
            Some(texts.into_iter().map(Value::String).collect())
        }
        _ => None,
    }
}

fn described(value: &Value) -> &'static str {
    match value {
        Value::Null => "is missing",
        Value::Bool(_) => "is true or false",
        Value::Number(number) if number.as_i64().is_some() => "is a whole number",
        Value::Number(_) => "is a number with a fraction, or too large",
        Value::String(text) if text.len() > TEXT_BYTES_MAX => "is a text that is too long",
        Value::String(_) => "is a text",
        Value::Array(_) => "is a list",
        Value::Object(_) => "is an object",
    }
}

fn wanted(kind: FactType) -> &'static str {
    match kind {
        FactType::Text => "text",
        FactType::Integer => "integer",
        FactType::Flag => "flag",
        FactType::Time => "time (RFC 3339, with its zone)",
        FactType::Texts => "texts",
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn shape() -> FactShape {
        let fields = [
            ("name", FactType::Text),
            ("count", FactType::Integer),
            ("on", FactType::Flag),
            ("at", FactType::Time),
            ("tags", FactType::Texts),
        ];
        FactShape {
            name: "thing".to_owned(),
            fields: fields.into_iter().map(|(name, kind)| (name.to_owned(), kind)).collect(),
            key: Some("name".to_owned()),
        }
    }

    fn good() -> Map<String, Value> {
        let record = json!({"name": "n", "count": -3, "on": false, "at": "2026-11-22T14:00:00.5+01:00",
            "tags": ["b", "a", "b"]});
        record.as_object().unwrap().clone()
    }

    #[test]
    fn a_record_that_fits_has_one_form() {
        let mut record = good();
        record.insert("ssn".to_owned(), json!("secret"));
        let fitted = fit(&shape(), record).unwrap();
        assert_eq!(
            Value::Object(fitted),
            json!({"name": "n", "count": -3, "on": false, "at": "2026-11-22T13:00:00.500Z", "tags": ["a", "b"]})
        );
    }

    #[test]
    fn each_wrong_member_is_told() {
        for (field, wrong) in [
            ("name", json!(7)),
            ("name", json!(null)),
            ("name", json!("x".repeat(TEXT_BYTES_MAX + 1))),
            ("count", json!(1.0)),
            ("count", json!(9_223_372_036_854_775_808_u64)),
            ("count", json!("1")),
            ("on", json!("true")),
            ("on", json!(1)),
            ("at", json!("2026-11-22T14:00:00")),
            ("at", json!(1_795_305_600)),
            ("tags", json!("a")),
            ("tags", json!(["a", 1])),
            ("tags", json!(vec!["a"; TEXTS_MAX + 1])),
            ("tags", json!({"a": 1})),
        ] {
            let mut record = good();
            record.insert(field.to_owned(), wrong.clone());
            let error = fit(&shape(), record).unwrap_err();
            assert!(
                matches!(&error, Absence::Shape { field: told, .. } if told == field),
                "{wrong}: {error}"
            );
        }
        let mut missing = good();
        missing.remove("on");
        assert!(fit(&shape(), missing).unwrap_err().to_string().contains("\"on\" is missing"));
    }

    #[test]
    fn an_answer_to_another_question_is_noticed() {
        assert!(is_about(&shape(), &good(), Some("n")).is_ok());
        assert_eq!(is_about(&shape(), &good(), Some("m")), Err(Absence::Other("name".to_owned())));
        assert!(is_about(&FactShape { key: Some("patient".into()), ..shape() }, &good(), Some("m")).is_ok());
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            ".{0,12}".prop_map(Value::from),
            Just(json!("2026-03-29T02:30:00+01:00")),
        ];
        leaf.prop_recursive(3, 24, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                prop::collection::btree_map(".{0,4}", inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        /// Whatever comes: what fits has exactly the members of the shape, each of its type, and fits again unchanged.
        #[test]
        fn what_fits_is_of_the_shape(values in prop::collection::vec(any_json(), 5), replace in 0_u8..32) {
            let mut record = good();
            for (n, (name, value)) in ["name", "count", "on", "at", "tags"].iter().zip(values).enumerate() {
                if replace & (1 << n) != 0 {
                    record.insert((*name).to_owned(), value);
                }
            }
            if let Ok(fitted) = fit(&shape(), record) {
                prop_assert!(fitted.keys().eq(shape().fields.keys()));
                prop_assert!(fitted["name"].is_string() && fitted["count"].is_i64() && fitted["on"].is_boolean());
                prop_assert!(fitted["at"].as_str().is_some_and(|at| at.ends_with('Z')));
                prop_assert!(fitted["tags"].as_array().unwrap().iter().all(Value::is_string));
                prop_assert_eq!(fit(&shape(), fitted.clone()).unwrap(), fitted);
            }
        }
    }
}
