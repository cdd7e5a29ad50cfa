//! Schemas of a document to JSON Schema 2020-12 that stands alone: what it refers to comes along as `$defs`.

use std::collections::{BTreeMap, HashMap, VecDeque};

use serde_json::{Map, Value, json};

use crate::limits::Limits;
use crate::names;
use crate::pointer::Root;
use crate::text::clean;

/// Compact size up to which what a `$ref` means is put in its place, in bytes: shorter than a definition of its own.
const INLINE_BYTES_MAX: usize = 200;

/// Most values of an `enum` that are shown; with more only the type is.
const ENUM_MAX: usize = 200;

/// Largest default or example that is shown, in bytes.
const SAMPLE_BYTES_MAX: usize = 120;

/// Deepest nesting of a schema, in schemas. Each takes two levels of JSON, and messages of MCP are read to 64.
const DEPTH_MAX: usize = 24;

/// Longest pattern that is shown, in bytes.
const PATTERN_BYTES_MAX: usize = 256;

/// Keywords whose value is taken over as it is.
const PLAIN: &[&str] = &[
    "type",
    "const",
    "format",
    "minimum",
    "maximum",
    "multipleOf",
    "minLength",
    "maxLength",
    "minItems",
    "maxItems",
    "uniqueItems",
    "minProperties",
    "maxProperties",
    "contentEncoding",
    "contentMediaType",
    "deprecated",
];

/// Keywords with one schema, and with a list of them.
const ONE: &[&str] =
    &["items", "additionalProperties", "not", "if", "then", "else", "contains", "propertyNames"];
const SEVERAL: &[&str] = &["allOf", "oneOf", "anyOf", "prefixItems"];

/// What a schema is converted for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// What a caller gives: all that it says is kept, and what only answers hold is not.
    Arguments,
    /// What an API answers: types and descriptions alone. APIs keep less strictly to what they say, and clients refuse a
    /// result that does not fit.
    Results,
}

impl Purpose {
    /// Room for all of it, in bytes.
    pub(crate) fn bytes_max(self, limits: &Limits) -> usize {
        match self {
            Self::Arguments => limits.schema_bytes_max,
            Self::Results => limits.schema_bytes_max / 2,
        }
    }
}

/// Converts the schemas of one operation.
pub(crate) struct Converter<'a> {
    pub(crate) root: Root<'a>,
    limits: &'a Limits,
    purpose: Purpose,
    /// How many `$ref`s deep definitions are taken along.
    levels_max: usize,
    names: HashMap<&'a str, String>,
    waiting: VecDeque<(&'a str, usize)>,
    defs: BTreeMap<String, Value>,
    room: usize,
    /// What cannot be converted.
    pub(crate) problems: Vec<String>,
}

impl<'a> Converter<'a> {
    pub(crate) fn new(root: Root<'a>, limits: &'a Limits, purpose: Purpose, levels_max: usize) -> Self {
        Self {
            root,
            limits,
            purpose,
            levels_max,
            names: HashMap::new(),
            waiting: VecDeque::new(),
            defs: BTreeMap::new(),
            room: purpose.bytes_max(limits),
            problems: Vec::new(),
        }
    }

    /// Whether it has all become too large, so that nothing more is converted.
    pub(crate) fn is_full(&self) -> bool {
        self.room == 0
    }

    /// One schema.
    pub(crate) fn convert(&mut self, schema: &'a Value) -> Value {
        self.at(schema, 0, 0)
    }

    /// The definitions that converted schemas refer to.
    pub(crate) fn definitions(&mut self) -> Map<String, Value> {
        while let Some((reference, level)) = self.waiting.pop_front() {
            let name = self.names[reference].clone();
            let converted = match self.root.follow(reference) {
                Ok(target) => self.at(target, 0, level),
                Err(_) => json!({}),
            };
            self.defs.insert(name, converted);
            if self.is_full() {
                break;
            }
        }
        std::mem::take(&mut self.defs).into_iter().collect()
    }

    pub(crate) fn spend(&mut self, bytes: usize) {
        self.room = self.room.saturating_sub(bytes);
    }

    pub(crate) fn at(&mut self, schema: &'a Value, depth: usize, level: usize) -> Value {
        let schema = match schema {
            Value::Object(members) => members,
            Value::Bool(_) => return schema.clone(),
            _ => {
                self.problems.push("a schema is no object".to_owned());
                return json!({});
            }
        };
        if depth > DEPTH_MAX || self.is_full() {
            return json!({});
        }
        if let Some(reference) = schema.get("$ref") {
            return self.reference(schema, reference, depth, level);
        }
        let mut converted = match self.purpose {
            Purpose::Arguments => self.members(schema, depth, level),
            Purpose::Results => self.relaxed(schema, depth, level),
        };
        self.note(schema, &mut converted);
        if self.purpose == Purpose::Arguments && schema.get("nullable") == Some(&Value::Bool(true)) {
            converted = nullable(converted);
        }
        Value::Object(converted)
    }

    fn note(&mut self, schema: &Map<String, Value>, converted: &mut Map<String, Value>) {
        for (key, chars_max) in [("title", 80), ("description", self.limits.note_chars_max)] {
            let text = schema.get(key).and_then(Value::as_str).map(|text| clean(text, chars_max));
            if let Some(text) = text.filter(|text| !text.is_empty()) {
                self.spend(text.len() + key.len() + 6);
                converted.insert(key.to_owned(), text.into());
            }
        }
    }

    fn reference(
        &mut self,
        schema: &'a Map<String, Value>,
        reference: &'a Value,
        depth: usize,
        level: usize,
    ) -> Value {
        let Some(reference) = reference.as_str() else {
            self.problems.push("a $ref is no text".to_owned());
            return json!({});
        };
        let target = match self.root.follow(reference) {
            Ok(target) => target,
            Err(why) => {
                self.problems.push(why);
                return json!({});
            }
        };
        if is_small(target) {
            return self.at(target, depth + 1, level);
        }
        if level >= self.levels_max {
            let name = reference.rsplit('/').next().unwrap_or_default();
            let what = format!("{}; its definition is left out here for its size", clean(name, 80));
            self.spend(what.len() + 20);
            return json!({ "description": what });
        }
        if !self.names.contains_key(reference) {
            let wished = names::member(reference.rsplit('/').next().unwrap_or_default());
            let name = names::unique(&wished, |name| self.names.values().any(|taken| taken == name));
            self.names.insert(reference, name);
            self.waiting.push_back((reference, level + 1));
        }
        let place = format!("#/$defs/{}", self.names[reference]);
        self.spend(place.len() + 12);
        let mut converted = Map::from_iter([("$ref".to_owned(), Value::String(place))]);
        self.note(schema, &mut converted);
        let nullable_here = schema.get("nullable") == Some(&Value::Bool(true));
        if nullable_here && self.purpose == Purpose::Arguments {
            converted = nullable(converted);
        }
        Value::Object(converted)
    }

    fn members(&mut self, schema: &'a Map<String, Value>, depth: usize, level: usize) -> Map<String, Value> {
        let mut converted = Map::new();
        for (key, value) in schema {
            self.spend(key.len() + 4);
            match key.as_str() {
                plain
                    if PLAIN.contains(&plain) && is_shallow(value, 1) && size(value) <= SAMPLE_BYTES_MAX =>
                {
                    self.spend(8);
                    converted.insert(key.clone(), value.clone());
                }
                one if ONE.contains(&one) => {
                    let schema = self.at(value, depth + 1, level);
                    converted.insert(key.clone(), schema);
                }
                several if SEVERAL.contains(&several) => {
                    let schemas = value.as_array().map(Vec::as_slice).unwrap_or_default();
                    let schemas: Vec<Value> =
                        schemas.iter().map(|schema| self.at(schema, depth + 1, level)).collect();
                    if !schemas.is_empty() {
                        converted.insert(key.clone(), Value::Array(schemas));
                    }
                }
                "properties" | "patternProperties" => {
                    let properties = self.properties(value, depth, level);
                    converted.insert(key.clone(), Value::Object(properties));
                }
                "enum" => self.choices(value, &mut converted),
                "pattern" => {
                    if let Some(pattern) = value.as_str().filter(|text| text.len() <= PATTERN_BYTES_MAX) {
                        self.spend(pattern.len());
                        converted.insert(key.clone(), pattern.into());
                    }
                }
                "default" | "example" => self.sample(key, value, &mut converted),
                _ => {}
            }
        }
        bounds(schema, &mut converted);
        self.required(schema, &mut converted);
        converted
    }

    pub(crate) fn properties(&mut self, given: &'a Value, depth: usize, level: usize) -> Map<String, Value> {
        let mut properties = Map::new();
        for (name, schema) in given.as_object().into_iter().flatten() {
            if self.is_hidden(schema) || self.is_full() {
                continue;
            }
            self.spend(name.len() + 6);
            let schema = self.at(schema, depth + 1, level);
            properties.insert(name.clone(), schema);
        }
        properties
    }

    /// Whether a member is not for this direction.
    fn is_hidden(&self, schema: &Value) -> bool {
        let mark = match self.purpose {
            Purpose::Arguments => "readOnly",
            Purpose::Results => "writeOnly",
        };
        let says = |schema: &Value| schema.get(mark) == Some(&Value::Bool(true));
        says(schema) || self.root.resolve(schema).is_ok_and(says)
    }

    fn required(&self, schema: &Map<String, Value>, converted: &mut Map<String, Value>) {
        let Some(required) = schema.get("required").and_then(Value::as_array) else { return };
        let given = schema.get("properties").and_then(Value::as_object);
        let stays = |name: &&Value| {
            let schema = name.as_str().and_then(|name| given?.get(name));
            name.is_string() && !schema.is_some_and(|schema| self.is_hidden(schema))
        };
        let mut required: Vec<Value> = required.iter().filter(stays).cloned().collect();
        required.dedup();
        if !required.is_empty() {
            converted.insert("required".to_owned(), Value::Array(required));
        }
    }

    fn choices(&mut self, value: &Value, converted: &mut Map<String, Value>) {
        let Some(choices) = value.as_array().filter(|choices| (1..=ENUM_MAX).contains(&choices.len())) else {
            return;
        };
        if choices.iter().all(|choice| size(choice) <= SAMPLE_BYTES_MAX && is_shallow(choice, 3)) {
            self.spend(choices.iter().map(size).sum());
            converted.insert("enum".to_owned(), value.clone());
        }
    }

    fn sample(&mut self, key: &str, value: &Value, converted: &mut Map<String, Value>) {
        let size = size(value);
        if size > SAMPLE_BYTES_MAX || !is_shallow(value, 3) || crate::text::hidden(&value.to_string()) > 0 {
            return;
        }
        self.spend(size);
        match key {
            "default" => converted.insert("default".to_owned(), value.clone()),
            _ => converted.insert("examples".to_owned(), json!([value])),
        };
    }
}

/// The same schema, or null. OpenAPI 3.0 has a keyword for what JSON Schema says by the type.
fn nullable(mut schema: Map<String, Value>) -> Map<String, Value> {
    match schema.get("type") {
        Some(Value::String(one)) if !schema.contains_key("const") && !schema.contains_key("allOf") => {
            let types = json!([one, "null"]);
            schema.insert("type".to_owned(), types);
            if let Some(Value::Array(choices)) = schema.get_mut("enum")
                && !choices.contains(&Value::Null)
            {
                choices.push(Value::Null);
            }
            schema
        }
        None if schema.is_empty() => schema,
        _ => {
            let notes: Vec<(String, Value)> =
                ["title", "description"].iter().filter_map(|key| schema.remove_entry(*key)).collect();
            let either = json!([Value::Object(schema), { "type": "null" }]);
            notes.into_iter().chain([("anyOf".to_owned(), either)]).collect()
        }
    }
}

/// OpenAPI 3.0 says by a boolean that a bound is exclusive; JSON Schema since draft 6 by a number.
fn bounds(schema: &Map<String, Value>, converted: &mut Map<String, Value>) {
    for (key, inclusive) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        match schema.get(key) {
            Some(Value::Bool(true)) => {
                if let Some(bound) = converted.remove(inclusive) {
                    converted.insert(key.to_owned(), bound);
                }
            }
            Some(bound @ Value::Number(_)) => {
                converted.insert(key.to_owned(), bound.clone());
            }
            _ => {}
        }
    }
}

fn is_small(schema: &Value) -> bool {
    let Some(members) = schema.as_object() else { return true };
    let is_flat = |value: &Value| match value {
        Value::Object(_) => false,
        Value::Array(items) => items.iter().all(|item| !item.is_object() && !item.is_array()),
        _ => true,
    };
    !members.contains_key("$ref")
        && members.iter().filter(|(key, _)| !key.starts_with("x-")).all(|(_, value)| is_flat(value))
        && members
            .iter()
            .filter(|(key, _)| *key != "description")
            .map(|(key, value)| key.len() + size(value))
            .sum::<usize>()
            <= INLINE_BYTES_MAX
}

/// Whether a value has at most so many levels.
fn is_shallow(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels > 0 && items.iter().all(|item| is_shallow(item, levels - 1)),
        Value::Object(members) => levels > 0 && members.values().all(|value| is_shallow(value, levels - 1)),
        _ => true,
    }
}

/// About how long a value is as JSON, in bytes.
fn size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| size(item) + 1).sum::<usize>() + 2,
        Value::Object(members) => {
            members.iter().map(|(key, value)| key.len() + size(value) + 4).sum::<usize>() + 2
        }
    }
}

/// Levels of definitions that are tried, until all fits.
pub(crate) const LEVELS: [usize; 6] = [24, 6, 4, 2, 1, 0];

#[cfg(test)]
mod tests {
    use super::*;

    fn converted(document: &Value, purpose: Purpose) -> (Value, Map<String, Value>, Vec<String>) {
        let limits = Limits::default();
        let mut converter = Converter::new(Root::new(document, &limits), &limits, purpose, 24);
        let schema = converter.convert(&document["s"]);
        let defs = converter.definitions();
        (schema, defs, converter.problems)
    }

    #[test]
    fn the_words_of_openapi_become_those_of_json_schema() {
        for (schema, expected) in [
            (json!({ "type": "string", "nullable": true }), json!({ "type": ["string", "null"] })),
            (
                json!({ "type": "string", "nullable": true, "enum": ["a"] }),
                json!({ "type": ["string", "null"], "enum": ["a", null] }),
            ),
            (
                json!({ "type": "integer", "minimum": 1, "exclusiveMinimum": true, "example": 7 }),
                json!({ "type": "integer", "exclusiveMinimum": 1, "examples": [7] }),
            ),
            (
                json!({ "type": "object", "required": ["id", "n"], "properties": {
                    "id": { "type": "string", "readOnly": true }, "n": { "type": "number", "x-mcp-header": "Evil" } } }),
                json!({ "type": "object", "required": ["n"], "properties": { "n": { "type": "number" } } }),
            ),
            (
                json!({ "nullable": true, "description": "d", "allOf": [{ "type": "object" }] }),
                json!({ "description": "d", "anyOf": [{ "allOf": [{ "type": "object" }] }, { "type": "null" }] }),
            ),
            (
                json!({ "type": "string", "discriminator": {}, "xml": {}, "externalDocs": {} }),
                json!({ "type": "string" }),
            ),
        ] {
            let (got, _, problems) = converted(&json!({ "s": schema }), Purpose::Arguments);
            assert_eq!((got, problems.len()), (expected, 0), "{schema}");
        }
    }

    #[test]
    fn recursion_becomes_a_definition() {
        let node = json!({ "type": "object", "properties": { "next": { "$ref": "#/node" }, "more": { "type": "array", "items": { "$ref": "#/node" } } } });
        let document = json!({ "node": node, "s": { "$ref": "#/node" } });
        let (schema, defs, problems) = converted(&document, Purpose::Arguments);
        assert_eq!(schema, json!({ "$ref": "#/$defs/node" }));
        assert_eq!(defs["node"]["properties"]["next"], json!({ "$ref": "#/$defs/node" }));
        assert!(problems.is_empty());
    }

    #[test]
    fn what_leads_elsewhere_is_a_problem() {
        for reference in ["file:///etc/passwd", "http://169.254.169.254/", "#/none"] {
            let (_, _, problems) =
                converted(&json!({ "s": { "items": { "$ref": reference } } }), Purpose::Arguments);
            assert_eq!(problems.len(), 1, "{reference}");
        }
    }

    #[test]
    fn results_promise_little() {
        let document = json!({ "s": { "type": "object", "required": ["a"], "additionalProperties": false, "properties": {
            "a": { "type": "string", "format": "date", "enum": ["x"] }, "b": { "oneOf": [{ "type": "string" }] },
            "p": { "type": "string", "writeOnly": true } } } });
        let (schema, ..) = converted(&document, Purpose::Results);
        let expected =
            json!({ "type": "object", "properties": { "a": { "type": ["string", "null"] }, "b": {} } });
        assert_eq!(schema, expected);
    }
}
