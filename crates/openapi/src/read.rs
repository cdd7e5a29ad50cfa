//! Bytes to a tree of values, JSON or YAML, within limits.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use crate::error::Rejected;
use crate::limits::Limits;
use crate::yaml;

/// Reads a document: JSON if it begins as JSON does, else YAML.
///
/// # Errors
/// What is wrong with its text, and where.
pub fn document(bytes: &[u8], limits: &Limits) -> Result<Value, Rejected> {
    if bytes.len() > limits.document_bytes_max {
        let (size, max) = (bytes.len(), limits.document_bytes_max);
        return Err(Rejected::one("", format!("it has {size} bytes, and at most {max} are read")));
    }
    let text = std::str::from_utf8(bytes)
        .map_err(|error| Rejected::one(format!("byte {}", error.valid_up_to()), "it is not UTF-8 here"))?;
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.trim_start().starts_with('{') {
        return match json(text, limits) {
            // A YAML document may begin with a brace, too.
            Err(problem) => yaml::read(text, limits).map_err(|_| problem),
            read => read,
        };
    }
    yaml::read(text, limits)
}

fn json(text: &str, limits: &Limits) -> Result<Value, Rejected> {
    let mut nodes = 0;
    let mut reader = serde_json::Deserializer::from_str(text);
    let seed = Seed { nodes: &mut nodes, depth: 0, limits };
    let read = seed.deserialize(&mut reader).and_then(|value| reader.end().map(|()| value));
    read.map_err(|error| {
        let what = error.to_string();
        let what = what.split(" at line ").next().unwrap_or_default();
        let what = crate::text::clean(what, 200);
        Rejected::one(format!("line {}, column {}", error.line(), error.column()), what)
    })
}

/// Reads a value, counting.
struct Seed<'a> {
    nodes: &'a mut usize,
    depth: usize,
    limits: &'a Limits,
}

impl Seed<'_> {
    fn deeper(&mut self) -> Seed<'_> {
        Seed { nodes: self.nodes, depth: self.depth + 1, limits: self.limits }
    }

    fn count<E: serde::de::Error>(&mut self) -> Result<(), E> {
        *self.nodes += 1;
        if *self.nodes > self.limits.nodes_max {
            return Err(E::custom(format!("more than {} values", self.limits.nodes_max)));
        }
        if self.depth > self.limits.depth_max {
            return Err(E::custom(format!("nested more than {} deep", self.limits.depth_max)));
        }
        Ok(())
    }
}

impl<'de> DeserializeSeed<'de> for Seed<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(mut self, deserializer: D) -> Result<Value, D::Error> {
        self.count()?;
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element_seed(self.deeper())? {
            items.push(item);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some(name) = map.next_key::<String>()? {
            let value = map.next_value_seed(self.deeper())?;
            if members.contains_key(&name) {
                // Two readers could take either of them.
                return Err(A::Error::custom(format!("the member {name:?} stands twice")));
            }
            members.insert(name, value);
        }
        Ok(Value::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hostile_text_is_refused_in_bounds() {
        let small = Limits { nodes_max: 100, depth_max: 10, document_bytes_max: 4096, ..Limits::default() };
        let bomb =
            "a: &a [1,1,1,1,1,1,1,1,1,1]\nb: &b [*a,*a,*a,*a,*a,*a,*a,*a,*a,*a]\nc: [*b,*b,*b,*b,*b,*b]\n";
        let deep_json = format!("{{\"a\":{}1{}}}", "[".repeat(50), "]".repeat(50));
        let deep_yaml = format!("a: {}1{}", "[".repeat(50), "]".repeat(50));
        let wide = format!("[{}1]", "1,".repeat(200));
        for (text, what) in [
            (bomb, "values"),
            (&deep_json, "deep"),
            (&deep_yaml, "deep"),
            (&wide, "values"),
            ("{\"a\":1,\"a\":2}", "twice"),
            ("a: 1\na: 2\n", "twice"),
            ("a: *b\n", ""),
            ("a: &a\n  b: *a\n", ""),
            ("{\"a\":", ""),
            ("a: [1", ""),
            (&"x".repeat(5000), "bytes"),
            ("a: 1\n---\nb: 2\n", "one document"),
        ] {
            let rejected = document(text.as_bytes(), &small).unwrap_err();
            assert!(rejected.problems[0].what.contains(what), "{text:.40}: {rejected}");
        }
        assert!(document(b"\xff\xfe", &small).is_err());
        let far = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        assert!(document(far.as_bytes(), &Limits::default()).is_err());
    }
}
