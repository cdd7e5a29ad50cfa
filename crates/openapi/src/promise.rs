//! What a result promises: types and descriptions alone. APIs keep less strictly to what they say of themselves, and clients
//! refuse a result that does not fit, so nothing is promised that is often broken.

use serde_json::{Map, Value, json};

use crate::schema::Converter;

/// Deepest nesting of `allOf` in each other that is joined.
const JOINED_MAX: usize = 24;

/// The types of JSON Schema.
const TYPES: [&str; 7] = ["object", "array", "string", "number", "integer", "boolean", "null"];

impl<'a> Converter<'a> {
    /// Types, members and items alone, each of which may be null or missing.
    pub(crate) fn relaxed(
        &mut self,
        schema: &'a Map<String, Value>,
        depth: usize,
        level: usize,
    ) -> Map<String, Value> {
        let mut converted = Map::new();
        self.spend(16);
        if ["oneOf", "anyOf", "not", "if"].iter().any(|key| schema.contains_key(*key)) {
            return converted;
        }
        if let Some(parts) = schema.get("allOf").and_then(Value::as_array) {
            return self.joined(schema, parts, depth, level);
        }
        let types = match schema.get("type") {
            Some(Value::String(one)) => vec![one.as_str()],
            Some(Value::Array(several)) => several.iter().filter_map(Value::as_str).collect(),
            _ if schema.contains_key("properties") => vec!["object"],
            _ => return converted,
        };
        let mut types: Vec<&str> = types.into_iter().filter(|name| TYPES.contains(name)).collect();
        if types.is_empty() {
            return converted;
        }
        // At the top of a result there is an object and nothing else.
        if depth + level > 0 && !types.contains(&"null") {
            types.push("null");
        }
        converted.insert("type".to_owned(), if let [one] = types[..] { json!(one) } else { json!(types) });
        if schema.contains_key("properties") {
            let properties = self.properties(&schema["properties"], depth, level);
            converted.insert("properties".to_owned(), Value::Object(properties));
        }
        for key in ["items", "additionalProperties"] {
            if let Some(inner) = schema.get(key).filter(|inner| inner.is_object()) {
                let inner = self.at(inner, depth + 1, level);
                converted.insert(key.to_owned(), inner);
            }
        }
        converted
    }

    /// The members of all parts together, where all are objects that stand here or behind a `$ref`.
    fn joined(
        &mut self,
        schema: &'a Map<String, Value>,
        parts: &'a [Value],
        depth: usize,
        level: usize,
    ) -> Map<String, Value> {
        let mut properties = Map::new();
        let own = schema.get("properties").map(|own| self.properties(own, depth, level)).unwrap_or_default();
        for part in parts {
            let Ok(part) = self.root.resolve(part) else { return Map::new() };
            let Some(part) = part.as_object().filter(|_| depth < JOINED_MAX) else { return Map::new() };
            if part.is_empty()
                || part.keys().all(|key| matches!(key.as_str(), "description" | "title" | "example"))
            {
                continue;
            }
            let converted = self.relaxed(part, depth + 1, level);
            let is_object = converted
                .get("type")
                .is_some_and(|types| types == "object" || types == &json!(["object", "null"]));
            if !is_object {
                return Map::new();
            }
            let inner = converted.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
            properties.extend(inner);
        }
        properties.extend(own);
        let types = if depth + level > 0 { json!(["object", "null"]) } else { json!("object") };
        Map::from_iter([("type".to_owned(), types), ("properties".to_owned(), Value::Object(properties))])
    }
}
