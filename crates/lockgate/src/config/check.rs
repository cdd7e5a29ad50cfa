//! Checks a [`Tree`] against the JSON Schema of the types, and finds every error at once.
//!
//! The schema is the one that `lockgate config schema` prints, made from the Rust types, so that what an editor
//! accepts and what Lockgate accepts cannot differ. Only the keywords that such schemas use are known here; a test
//! fails when the types begin to use another.

use serde_json::Value as Schema;

use super::tree::{Item, Origin, Tree, Value};
use crate::diagnostic::Diagnostic;

/// Every way in which the tree breaks the schema, in the order of the file.
pub(super) fn check(tree: &Tree, schema: &Schema) -> Vec<Diagnostic> {
    let mut checker = Checker { tree, root: schema, found: Vec::new() };
    checker.item(&tree.root, schema, "");
    checker.found.sort_by_key(|(offset, _)| *offset);
    checker.found.into_iter().map(|(_, diagnostic)| diagnostic).collect()
}

struct Checker<'a> {
    tree: &'a Tree,
    root: &'a Schema,
    found: Vec<(usize, Diagnostic)>,
}

impl<'a> Checker<'a> {
    fn item(&mut self, item: &Item, schema: &'a Schema, path: &str) {
        let schema = self.resolve(schema);
        if !self.type_fits(item, schema, path) {
            return;
        }
        match &item.value {
            Value::Table(members) => self.table(item, members, schema, path),
            Value::List(items) => {
                if let Some(of) = schema.get("items") {
                    for (n, item) in items.iter().enumerate() {
                        self.item(item, of, &format!("{path}.{n}"));
                    }
                }
            }
            Value::Integer(number) => self.range(item, *number, schema, path),
            Value::Text(text) => self.choice(item, text, schema, path),
            _ => {}
        }
    }

    /// Follows `$ref`, and `anyOf [X, null]`, which is how an optional X is written.
    fn resolve(&self, schema: &'a Schema) -> &'a Schema {
        if let Some(name) = schema.get("$ref").and_then(Schema::as_str) {
            let pointer = name.trim_start_matches('#');
            return self.root.pointer(pointer).map_or(schema, |found| self.resolve(found));
        }
        if let Some(options) = schema.get("anyOf").and_then(Schema::as_array) {
            let real = options.iter().find(|option| option["type"] != "null");
            return real.map_or(schema, |real| self.resolve(real));
        }
        schema
    }

    fn type_fits(&mut self, item: &Item, schema: &Schema, path: &str) -> bool {
        let allowed: Vec<&str> = match &schema["type"] {
            Schema::String(one) => vec![one],
            Schema::Array(many) => many.iter().filter_map(Schema::as_str).filter(|t| *t != "null").collect(),
            _ if schema.get("oneOf").is_some() || schema.get("enum").is_some() => vec!["string"],
            _ => return true,
        };
        let (is, shown) = describe(&item.value);
        if allowed.contains(&is) {
            return true;
        }
        let wanted: Vec<&str> = allowed.iter().map(|t| type_name(t)).collect();
        self.report(
            &item.origin,
            Diagnostic::new(
                "LG-C004",
                format!("`{}` takes {}, not {shown}", shorten(path), wanted.join(" or ")),
            ),
        );
        false
    }

    fn table(
        &mut self,
        item: &Item,
        members: &std::collections::BTreeMap<String, Item>,
        schema: &'a Schema,
        path: &str,
    ) {
        let properties = schema.get("properties").and_then(Schema::as_object);
        let known = || properties.into_iter().flat_map(serde_json::Map::keys);
        let further = schema.get("additionalProperties");
        for (key, member) in members {
            let below = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
            match (properties.and_then(|properties| properties.get(key)), further) {
                (Some(schema), _) => self.item(member, schema, &below),
                (None, Some(Schema::Bool(false))) => self.unknown(key, member, known(), path),
                (None, Some(schema)) => self.item(member, schema, &below),
                (None, None) => {}
            }
        }
        for required in schema["required"].as_array().into_iter().flatten().filter_map(Schema::as_str) {
            if !members.contains_key(required) {
                let about = schema["properties"][required]["description"].as_str().unwrap_or_default();
                self.report(
                    &item.key_origin,
                    Diagnostic::new("LG-C006", format!("{} has no `{required}`", table_name(path)))
                        .hint(format!("add `{required} = …`: {}", lower_first(first_sentence(about)))),
                );
            }
        }
    }

    fn unknown<'k>(&mut self, key: &str, member: &Item, known: impl Iterator<Item = &'k String>, path: &str) {
        let known: Vec<&str> = known.map(String::as_str).collect();
        let problem = Diagnostic::new("LG-C003", format!("unknown key `{key}` in {}", table_name(path)));
        let hint = match nearest(key, known.iter().copied()) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!("{} can hold: {}", table_name(path), known.join(", ")),
        };
        self.report(&member.key_origin, problem.hint(hint));
    }

    fn range(&mut self, item: &Item, number: i64, schema: &Schema, path: &str) {
        let least = schema["minimum"].as_i64();
        let most = schema["maximum"].as_i64();
        if least.is_some_and(|least| number < least) || most.is_some_and(|most| number > most) {
            let range = match (least, most) {
                (Some(least), Some(most)) => format!("from {least} to {most}"),
                (Some(least), None) => format!("{least} or more"),
                (None, Some(most)) => format!("up to {most}"),
                (None, None) => return,
            };
            self.report(
                &item.origin,
                Diagnostic::new("LG-C005", format!("`{}` is {number}, but must be {range}", shorten(path))),
            );
        }
    }

    fn choice(&mut self, item: &Item, text: &str, schema: &Schema, path: &str) {
        let listed = schema["enum"].as_array().into_iter().flatten().filter_map(Schema::as_str);
        let described =
            schema["oneOf"].as_array().into_iter().flatten().filter_map(|one| one["const"].as_str());
        let choices: Vec<&str> = listed.chain(described).collect();
        if choices.is_empty() || choices.contains(&text) {
            return;
        }
        let problem = Diagnostic::new("LG-C005", format!("`{}` cannot be \"{text}\"", shorten(path)));
        let hint = match nearest(text, choices.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"? The choices are: {}", choices.join(", ")),
            None => format!("the choices are: {}", choices.join(", ")),
        };
        self.report(&item.origin, problem.hint(hint));
    }

    fn report(&mut self, origin: &Origin, diagnostic: Diagnostic) {
        let offset = match origin {
            Origin::File(offset) => *offset,
            _ => usize::MAX,
        };
        self.found.push((offset, diagnostic.at(self.tree.source.place(origin))));
    }
}

/// The known word that was probably meant.
pub(super) fn nearest<'a>(word: &str, known: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    known
        .map(|candidate| (strsim::damerau_levenshtein(word, candidate), candidate))
        // Up to a third of the letters may be wrong: more than that is another word.
        .filter(|(distance, candidate)| *distance * 3 <= word.len().max(candidate.len()))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

fn describe(value: &Value) -> (&'static str, String) {
    match value {
        Value::Text(text) => ("string", format!("the text \"{}\"", excerpt(text))),
        Value::Integer(number) => ("integer", format!("the number {number}")),
        Value::Float(number) => ("number", format!("the number {number}")),
        Value::Boolean(flag) => ("boolean", format!("{flag}")),
        Value::Datetime(text) => ("datetime", format!("the date {text}")),
        Value::List(_) => ("array", "a list".to_owned()),
        Value::Table(_) => ("object", "a table".to_owned()),
    }
}

fn type_name(name: &str) -> &str {
    match name {
        "string" => "text in quotes",
        "integer" => "a whole number",
        "boolean" => "true or false",
        "array" => "a list",
        "object" => "a table",
        other => other,
    }
}

/// `[node]`, `[[server]]`, `[listener.tls]`, or the file as a whole.
fn table_name(path: &str) -> String {
    let steps: Vec<&str> = path.split('.').collect();
    match steps.as_slice() {
        [""] => "the file".to_owned(),
        [list, number] if number.parse::<usize>().is_ok() => format!("[[{list}]]"),
        steps => {
            let names: Vec<&str> =
                steps.iter().filter(|step| step.parse::<usize>().is_err()).copied().collect();
            format!("[{}]", names.join("."))
        }
    }
}

/// The path without list positions: `server.to`, not `server.0.to`; the place tells which one.
fn shorten(path: &str) -> String {
    path.split('.').filter(|step| step.parse::<usize>().is_err()).collect::<Vec<_>>().join(".")
}

fn excerpt(text: &str) -> String {
    match text.char_indices().nth(40) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

fn first_sentence(text: &str) -> &str {
    text.split(". ").next().unwrap_or(text).trim_end_matches('.')
}

fn lower_first(text: &str) -> String {
    let mut letters = text.chars();
    match letters.next() {
        Some(first) => first.to_lowercase().chain(letters).collect(),
        None => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keywords that [`Checker`] obeys, and those that say nothing about validity.
    const OBEYED: &[&str] = &[
        "$ref",
        "anyOf",
        "oneOf",
        "const",
        "enum",
        "type",
        "properties",
        "additionalProperties",
        "required",
        "items",
        "minimum",
        "maximum",
    ];
    const SILENT: &[&str] = &["$schema", "$defs", "title", "description", "default", "format", "examples"];

    fn keywords(schema: &Schema, path: &str) {
        let Some(object) = schema.as_object() else { return };
        for (key, value) in object {
            assert!(
                OBEYED.contains(&key.as_str()) || SILENT.contains(&key.as_str()),
                "{path}: {key} is not checked"
            );
            match key.as_str() {
                "properties" | "$defs" => {
                    for (name, below) in value.as_object().unwrap() {
                        keywords(below, &format!("{path}/{name}"));
                    }
                }
                "items" | "additionalProperties" => keywords(value, path),
                "anyOf" | "oneOf" => value.as_array().unwrap().iter().for_each(|below| keywords(below, path)),
                _ => {}
            }
        }
    }

    #[test]
    fn every_keyword_of_the_real_schema_is_obeyed() {
        keywords(&super::super::schema(), "");
    }

    #[test]
    fn nearest_words() {
        let known = ["listen", "profile", "foreign"];
        assert_eq!(nearest("lsiten", known.into_iter()), Some("listen"));
        assert_eq!(nearest("profil", known.into_iter()), Some("profile"));
        assert_eq!(nearest("xyz", known.into_iter()), None);
    }

    #[test]
    fn names_of_tables() {
        for (path, name) in [
            ("", "the file"),
            ("node", "[node]"),
            ("server.0", "[[server]]"),
            ("listener.1.tls", "[listener.tls]"),
        ] {
            assert_eq!(table_name(path), name);
        }
    }
}
