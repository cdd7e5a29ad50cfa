//! An answer cut to what its definition promises. APIs differ from what they say about themselves, and clients refuse a result
//! that does not fit its schema; so what does not fit is left out of the structured part, and named.

use serde_json::{Map, Value};

/// Most places that are named.
const PLACES_MAX: usize = 5;

/// `value` without what `schema` does not permit, and where that was.
pub(crate) fn fitted(value: &Value, schema: &Value) -> (Value, Vec<String>) {
    let (places, at) = (Vec::new(), String::new());
    let mut fitting = Fitting { definitions: schema.get("$defs"), places, at, level: 0 };
    let fitted = fitting.fit(value, schema, 0);
    (fitted.filter(Value::is_object).unwrap_or_else(|| Value::Object(Map::new())), fitting.places)
}

/// The schema of what nothing is said about.
static ANYTHING: Value = Value::Bool(true);

struct Fitting<'a> {
    definitions: Option<&'a Value>,
    places: Vec<String>,
    at: String,
    /// Levels of the value above where it is.
    level: usize,
}

/// Steps through value and schema, whose references may lead to each other for ever.
const DEPTH_MAX: usize = 200;

/// Deepest level of a value that is kept: a message has 64, and the result is around this.
const LEVEL_MAX: usize = 56;

impl<'a> Fitting<'a> {
    fn fit(&mut self, value: &Value, schema: &'a Value, depth: usize) -> Option<Value> {
        if depth > DEPTH_MAX {
            return None;
        }
        if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
            let name = reference.strip_prefix("#/$defs/")?;
            let definition = self.definitions.and_then(|all| all.get(name)).unwrap_or(&ANYTHING);
            return self.fit(value, definition, depth + 1);
        }
        if schema.get("type").is_some_and(|types| !is_of(value, types)) {
            return self.left_out();
        }
        Some(match value {
            Value::Object(members) => Value::Object(self.members(members, schema, depth)),
            Value::Array(items) => {
                let of = schema.get("items").unwrap_or(&ANYTHING);
                let fit = |(n, item): (usize, &Value)| self.step(&n.to_string(), item, of, depth);
                items.iter().enumerate().map(fit).map(|item| item.unwrap_or(Value::Null)).collect()
            }
            other => other.clone(),
        })
    }

    fn members(
        &mut self,
        members: &Map<String, Value>,
        schema: &'a Value,
        depth: usize,
    ) -> Map<String, Value> {
        let mut fitted = Map::new();
        for (name, value) in members {
            let of = schema.get("properties").and_then(|all| all.get(name));
            let of = of.or_else(|| schema.get("additionalProperties")).unwrap_or(&ANYTHING);
            let value = self.step(name, value, of, depth);
            fitted.extend(value.map(|value| (name.clone(), value)));
        }
        fitted
    }

    fn step(&mut self, name: &str, value: &Value, schema: &'a Value, depth: usize) -> Option<Value> {
        let before = self.at.len();
        self.at.push('/');
        self.at.push_str(name);
        self.level += 1;
        let fitted = match self.level > LEVEL_MAX {
            true => self.left_out(),
            false => self.fit(value, schema, depth + 1),
        };
        self.level -= 1;
        self.at.truncate(before);
        fitted
    }

    /// Names where something is missing.
    fn left_out(&mut self) -> Option<Value> {
        if self.places.len() < PLACES_MAX {
            self.places.push(crate::text::clean(&self.at, 120));
        }
        None
    }
}

fn is_of(value: &Value, types: &Value) -> bool {
    let is = |name: &str| match (name, value) {
        ("object", Value::Object(_)) | ("array", Value::Array(_)) | ("string", Value::String(_)) => true,
        ("boolean", Value::Bool(_)) | ("null", Value::Null) | ("number", Value::Number(_)) => true,
        ("integer", Value::Number(number)) => {
            !number.is_f64() || number.as_f64().is_some_and(|float| float.fract() == 0.0)
        }
        _ => false,
    };
    match types {
        Value::String(one) => is(one),
        Value::Array(several) => several.iter().filter_map(Value::as_str).any(is),
        _ => true,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    #[test]
    fn what_does_not_fit_is_left_out_and_named() {
        let schema = json!({
            "type": "object",
            "properties": {
                "id": { "type": ["integer", "null"] },
                "tags": { "type": ["array", "null"], "items": { "type": ["string", "null"] } },
                "next": { "$ref": "#/$defs/n" },
            },
            "$defs": { "n": { "type": ["object", "null"], "properties": { "next": { "$ref": "#/$defs/n" } } } },
        });
        let value = json!({ "id": "7", "more": [1], "next": { "next": { "next": 3 } }, "tags": ["a", 1] });
        let (fitted, places) = super::fitted(&value, &schema);
        assert_eq!(fitted, json!({ "tags": ["a", null], "next": { "next": {} }, "more": [1] }));
        assert_eq!(places, ["/id", "/next/next/next", "/tags/1"]);
        assert_eq!(super::fitted(&json!([1]), &schema).0, json!({}));
    }
}
