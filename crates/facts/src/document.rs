//! Reading what providers say: strict JSON, and the provider's own time in it.

use std::fmt;

use jiff::Timestamp;
use serde::de::{Deserialize, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::absence::Absence;

/// The member of a document that says of when it is (RFC 3339).
pub const AS_OF: &str = "as_of";

/// A record as a provider told it.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Told {
    pub(crate) record: Map<String, Value>,
    /// Of when it is, by the provider, in milliseconds since the Unix epoch.
    pub(crate) as_of_ms: Option<u64>,
    /// How old it was when it came, where only that is known, in milliseconds.
    pub(crate) age_ms: u64,
}

/// Reads one JSON value. A name that stands twice in an object is refused, since the next reader could take the other
/// value for the truth.
pub(crate) fn read(bytes: &[u8]) -> Result<Value, Absence> {
    serde_json::from_slice::<Strict>(bytes).map(|strict| strict.0).map_err(Absence::malformed)
}

/// A whole answer that is one record.
pub(crate) fn record(value: Value) -> Result<Told, Absence> {
    match value {
        Value::Null => Err(Absence::NoRecord),
        Value::Object(mut record) => {
            let as_of_ms = record.remove(AS_OF).map(|as_of| moment_ms(&as_of)).transpose()?;
            Ok(Told { record, as_of_ms, age_ms: 0 })
        }
        _ => Err(Absence::malformed("it is no JSON object")),
    }
}

/// One record out of an object of records by key. The whole may say of when it is, and each record may, too.
pub(crate) fn selected(whole: &Map<String, Value>, key: &str) -> Result<Told, Absence> {
    let common = match whole.get(AS_OF) {
        Some(text @ Value::String(_)) => Some(moment_ms(text)?),
        _ => None,
    };
    let value = whole.get(key).ok_or(Absence::NoRecord)?;
    if !matches!(value, Value::Object(_) | Value::Null) {
        return Err(Absence::malformed("the record under this key is no JSON object"));
    }
    let told = record(value.clone())?;
    Ok(Told { as_of_ms: told.as_of_ms.or(common), ..told })
}

/// A moment that stands in a document, in milliseconds since the Unix epoch.
fn moment_ms(value: &Value) -> Result<u64, Absence> {
    let wrong = || Absence::malformed("its as_of is no time like 2026-11-22T14:00:00+01:00");
    let time = value.as_str().and_then(time).ok_or_else(wrong)?;
    u64::try_from(time.as_millisecond()).map_err(|_| wrong())
}

/// A time as RFC 3339 (section 5.6) writes it, with its zone: nothing shorter, nothing looser.
pub(crate) fn time(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let form = b"0000-00-00T00:00:00";
    if bytes.len() < form.len() + 1 || bytes.len() > form.len() + "+00:00".len() + ".000000000".len() {
        return None;
    }
    let (date, rest) = bytes.split_at(form.len());
    let fits = |pattern: &[u8], given: &[u8]| {
        pattern.len() == given.len()
            && pattern.iter().zip(given).all(|(wanted, given)| match wanted {
                b'0' => given.is_ascii_digit(),
                wanted => wanted == given,
            })
    };
    let zone = match rest.strip_prefix(b".") {
        Some(fraction) => {
            let digits = fraction.iter().take_while(|byte| byte.is_ascii_digit()).count();
            (1..=9).contains(&digits).then(|| &fraction[digits..])?
        }
        None => rest,
    };
    let zoned = zone == b"Z" || fits(b"+00:00", zone) || fits(b"-00:00", zone);
    // A leap second would be read as another moment than was meant.
    let leap = date.ends_with(b":60");
    (fits(form, date) && zoned && !leap).then(|| text.parse().ok())?
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Self)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value, E> {
        Ok(Value::Number(number.into()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Value, E> {
        Number::from_f64(number).map(Value::Number).ok_or_else(|| E::custom("a number that is none"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::String(text.to_owned()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if map.contains_key(&name) {
                return Err(A::Error::custom("a name stands twice in one object"));
            }
            let Strict(value) = members.next_value()?;
            map.insert(name, value);
        }
        Ok(Value::Object(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn documents_are_read_strictly() {
        for bad in [
            "",
            "{",
            "{} {}",
            "{\"a\":1,\"a\":1}",
            "{\"a\":{\"b\":1,\"\\u0062\":2}}",
            "nul",
            "{\"a\":1e999}",
            "\u{feff}{}",
            "{'a':1}",
            "[1,]",
            "{\"a\":NaN}",
        ] {
            assert!(matches!(read(bad.as_bytes()), Err(Absence::Malformed(_))), "{bad}");
        }
        assert!(read(b"\"\xff\"").is_err());
        assert!(read(("[".repeat(5_000) + &"]".repeat(5_000)).as_bytes()).is_err());
        let value = read(br#" {"a":[1,-1,1.5,true,null,"x"],"A":{}} "#).unwrap();
        assert_eq!(value, serde_json::json!({"a": [1, -1, 1.5, true, null, "x"], "A": {}}));
    }

    #[test]
    fn times_have_a_zone_and_one_form() {
        for good in [
            "2026-11-22T14:00:00Z",
            "2026-11-22T14:00:00+01:00",
            "2026-11-22T14:00:00.5-00:30",
            "2026-11-22T14:00:00.123456789Z",
        ] {
            assert!(time(good).is_some(), "{good}");
        }
        for bad in [
            "",
            "2026-11-22",
            "2026-11-22T14:00:00",
            "2026-11-22 14:00:00Z",
            "2026-11-22T14:00Z",
            "2026-11-22T14:00:00z",
            "2026-11-22T14:00:00+0100",
            "2026-11-22T14:00:00+01",
            "2026-02-30T00:00:00Z",
            "2026-11-22T25:00:00Z",
            "2026-11-22T14:00:60Z",
            "2026-11-22T14:00:00.Z",
            "2026-11-22T14:00:00,5Z",
            "2026-11-22T14:00:00.1234567890Z",
            "+002026-11-22T14:00:00Z",
            "2026-11-22T14:00:00[Europe/Berlin]",
            "2026-11-22T14:00:00+01:00[Europe/Berlin]",
            " 2026-11-22T14:00:00Z",
            "２026-11-22T14:00:00Z",
        ] {
            assert!(time(bad).is_none(), "{bad}");
        }
        let noon = time("2026-11-22T13:00:00Z").unwrap();
        assert_eq!(time("2026-11-22T14:00:00+01:00"), Some(noon));
    }

    #[test]
    fn the_time_of_a_record_goes_before_that_of_the_whole() {
        let whole = read(
            br#"{"as_of":"1970-01-01T00:00:10Z","a":{"n":1},"b":{"n":2,"as_of":"1970-01-01T00:00:20Z"},
                "c":7,"d":null,"e":{"as_of":"soon"}}"#,
        );
        let Ok(Value::Object(whole)) = whole else { panic!("an object") };
        assert_eq!(selected(&whole, "a").unwrap().as_of_ms, Some(10_000));
        assert_eq!(selected(&whole, "b").unwrap().as_of_ms, Some(20_000));
        assert!(!selected(&whole, "b").unwrap().record.contains_key(AS_OF));
        assert_eq!(selected(&whole, "x"), Err(Absence::NoRecord));
        assert_eq!(selected(&whole, "d"), Err(Absence::NoRecord));
        for key in ["c", "e", "as_of"] {
            assert!(matches!(selected(&whole, key), Err(Absence::Malformed(_))), "{key}");
        }
        // Before 1970 is no time that anything can be of.
        assert!(record(serde_json::json!({"as_of": "1969-12-31T23:59:59Z"})).is_err());
        assert!(record(serde_json::json!({"as_of": 5})).is_err());
    }
}
