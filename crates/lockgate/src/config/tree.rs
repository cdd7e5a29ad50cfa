//! Settings before they have types: values that remember where they come from.
//!
//! File, environment and flags are laid over each other here, so that one check and one deserialisation serve all
//! three, and an error can name the line, the variable or the flag that caused it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use crate::diagnostic::Diagnostic;

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Origin {
    /// Nobody said anything.
    Default,
    /// The file, at this byte.
    File(usize),
    /// An environment variable.
    Variable(String),
    /// A flag, with its dashes.
    Flag(&'static str),
    /// Another file: path, line and column.
    Elsewhere(String),
}

/// A value and where it comes from.
#[derive(Debug, Clone)]
pub(super) struct Item {
    pub(super) value: Value,
    /// Of the value itself.
    pub(super) origin: Origin,
    /// Of the key or bracket that introduces it.
    pub(super) key_origin: Origin,
}

/// What TOML can say.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Text(String),
    Integer(i64),
    Float(f64),
    Boolean(bool),
    /// Dates and times; no setting takes one, so the text is enough to say so.
    Datetime(String),
    List(Vec<Item>),
    Table(BTreeMap<String, Item>),
}

/// The file that was read, for line and column.
#[derive(Debug, Clone, Default)]
pub(crate) struct Source {
    /// None when there is no file.
    pub(super) path: Option<PathBuf>,
    pub(super) text: String,
}

/// All settings that somebody made.
#[derive(Debug, Clone)]
pub(crate) struct Tree {
    pub(super) root: Item,
    pub(super) source: Source,
}

impl Tree {
    /// No file.
    pub(crate) fn empty() -> Self {
        Self { root: table(Origin::Default), source: Source::default() }
    }

    /// Reads a file; returns what could be read together with every syntax error.
    pub(crate) fn read(path: &Path) -> (Self, Vec<Diagnostic>) {
        match std::fs::read_to_string(path) {
            Ok(text) => Self::parse(path, text),
            Err(error) => {
                let problem = Diagnostic::new("LG-C001", format!("cannot read {}", path.display()))
                    .because(&error)
                    .hint("check the path, or leave --config away: no file is needed");
                (Self::empty(), vec![problem])
            }
        }
    }

    /// Reads text that stands in `path`.
    pub(crate) fn parse(path: &Path, text: String) -> (Self, Vec<Diagnostic>) {
        let (document, errors) = DeTable::parse_recoverable(&text);
        let root = Item {
            value: Value::Table(members(document.get_ref())),
            origin: Origin::File(0),
            key_origin: Origin::File(0),
        };
        let source = Source { path: Some(path.to_owned()), text: text.clone() };
        let problems = errors
            .iter()
            .map(|error| {
                let at = error.span().map_or(0, |span| span.start);
                Diagnostic::new("LG-C002", error.message().to_owned()).at(source.place(&Origin::File(at)))
            })
            .collect();
        (Self { root, source }, problems)
    }

    /// Lays a value over what is there; makes the tables on the way.
    pub(super) fn set(&mut self, section: &str, key: &str, value: Value, origin: &Origin) {
        let Value::Table(sections) = &mut self.root.value else { return };
        let section = sections.entry(section.to_owned()).or_insert_with(|| table(origin.clone()));
        if let Value::Table(members) = &mut section.value {
            let item = Item { value, origin: origin.clone(), key_origin: origin.clone() };
            members.insert(key.to_owned(), item);
        }
    }

    /// Appends a table to a list of tables like `[[server]]`.
    pub(super) fn push(&mut self, list: &str, members: Vec<(&str, Value)>, origin: &Origin) {
        let Value::Table(sections) = &mut self.root.value else { return };
        let list = sections.entry(list.to_owned()).or_insert_with(|| Item {
            value: Value::List(Vec::new()),
            origin: origin.clone(),
            key_origin: origin.clone(),
        });
        if let Value::List(items) = &mut list.value {
            let mut item = table(origin.clone());
            item.value = Value::Table(
                members
                    .into_iter()
                    .map(|(key, value)| {
                        let item = Item { value, origin: origin.clone(), key_origin: origin.clone() };
                        (key.to_owned(), item)
                    })
                    .collect(),
            );
            items.push(item);
        }
    }

    /// Takes over the servers of another file, and says what else stands in it.
    pub(super) fn take_servers(&mut self, other: Self) -> Vec<String> {
        let Self { root, source } = other;
        let Value::Table(mut sections) = root.value else { return Vec::new() };
        let servers = sections.remove("server");
        let Value::Table(own) = &mut self.root.value else { return Vec::new() };
        if let Some(mut servers) = servers {
            moved(&mut servers, &source);
            let Item { origin, key_origin, .. } = &servers;
            let empty = Item {
                value: Value::List(Vec::new()),
                origin: origin.clone(),
                key_origin: key_origin.clone(),
            };
            let list = own.entry("server".to_owned()).or_insert(empty);
            if let (Value::List(list), Value::List(more)) = (&mut list.value, servers.value) {
                list.extend(more);
            }
        }
        sections.into_keys().collect()
    }

    /// Where the value at this path comes from. A path is like `node.profile` or `server.0.to`.
    pub(crate) fn origin(&self, path: &str) -> Origin {
        let mut item = &self.root;
        for step in path.split('.') {
            let next = match &item.value {
                Value::Table(members) => members.get(step),
                Value::List(items) => step.parse::<usize>().ok().and_then(|n| items.get(n)),
                _ => None,
            };
            match next {
                Some(next) => item = next,
                None => return Origin::Default,
            }
        }
        item.origin.clone()
    }

    /// The place of a value for people, or nothing where it is a default.
    pub(crate) fn place(&self, path: &str) -> Option<String> {
        match self.origin(path) {
            Origin::Default => None,
            origin => Some(self.source.place(&origin)),
        }
    }

    /// The whole as JSON, to be deserialised.
    pub(super) fn to_json(&self) -> serde_json::Value {
        json(&self.root)
    }
}

impl Source {
    /// `lockgate.toml:7:1`, `environment variable LOCKGATE_…`, `flag --listen`.
    pub(crate) fn place(&self, origin: &Origin) -> String {
        match origin {
            Origin::Default => "default".to_owned(),
            Origin::File(offset) => {
                let name = self.path.as_deref().unwrap_or(Path::new("-")).display();
                let before = &self.text[..self.text.floor_char_boundary(*offset)];
                let line = before.matches('\n').count() + 1;
                let column = before.rsplit('\n').next().map_or(0, |rest| rest.chars().count()) + 1;
                format!("{name}:{line}:{column}")
            }
            Origin::Variable(name) => format!("environment variable {name}"),
            Origin::Flag(name) => format!("flag {name}"),
            Origin::Elsewhere(place) => place.clone(),
        }
    }
}

/// Gives what stands in another file places that say so.
fn moved(item: &mut Item, source: &Source) {
    for origin in [&mut item.origin, &mut item.key_origin] {
        *origin = Origin::Elsewhere(source.place(origin));
    }
    match &mut item.value {
        Value::List(items) => items.iter_mut().for_each(|item| moved(item, source)),
        Value::Table(members) => members.values_mut().for_each(|item| moved(item, source)),
        _ => {}
    }
}

fn table(origin: Origin) -> Item {
    Item { value: Value::Table(BTreeMap::new()), origin: origin.clone(), key_origin: origin }
}

fn members(table: &DeTable<'_>) -> BTreeMap<String, Item> {
    table
        .iter()
        .map(|(key, value)| {
            let item = Item {
                value: convert(value),
                origin: Origin::File(value.span().start),
                key_origin: Origin::File(key.span().start),
            };
            (key.get_ref().to_string(), item)
        })
        .collect()
}

fn convert(value: &Spanned<DeValue<'_>>) -> Value {
    match value.get_ref() {
        DeValue::String(text) => Value::Text(text.to_string()),
        // An integer beyond 64 bits has no setting either; the text shows it in the error.
        DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix())
            .map_or_else(|_| Value::Text(number.to_string()), Value::Integer),
        DeValue::Float(number) => Value::Float(number.as_str().parse().unwrap_or(f64::NAN)),
        DeValue::Boolean(flag) => Value::Boolean(*flag),
        DeValue::Datetime(datetime) => Value::Datetime(datetime.to_string()),
        DeValue::Array(items) => Value::List(
            items
                .iter()
                .map(|item| {
                    let origin = Origin::File(item.span().start);
                    Item { value: convert(item), origin: origin.clone(), key_origin: origin }
                })
                .collect(),
        ),
        DeValue::Table(table) => Value::Table(members(table)),
    }
}

fn json(item: &Item) -> serde_json::Value {
    match &item.value {
        Value::Text(text) | Value::Datetime(text) => text.clone().into(),
        Value::Integer(number) => (*number).into(),
        Value::Float(number) => (*number).into(),
        Value::Boolean(flag) => (*flag).into(),
        Value::List(items) => items.iter().map(json).collect(),
        Value::Table(members) => members
            .iter()
            .map(|(key, item)| (key.clone(), json(item)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> (Tree, Vec<Diagnostic>) {
        Tree::parse(Path::new("a.toml"), text.to_owned())
    }

    #[test]
    fn remembers_places() {
        let (mut tree, problems) = parse("[node]\nprofile = \"x\"\n\n[[server]]\nname = \"ä\"\nto = 'b'\n");
        assert!(problems.is_empty());
        assert_eq!(tree.place("node.profile").unwrap(), "a.toml:2:11");
        assert_eq!(tree.place("server.0.to").unwrap(), "a.toml:6:6");
        assert_eq!(tree.place("node.listen"), None);
        tree.set("node", "listen", Value::Text("y".to_owned()), &Origin::Flag("--listen"));
        assert_eq!(tree.place("node.listen").unwrap(), "flag --listen");
        let json = tree.to_json();
        assert_eq!(json["node"]["listen"], "y");
        assert_eq!(json["server"][0]["name"], "ä");
    }

    #[test]
    fn reports_every_syntax_error() {
        let (_, problems) = parse("[node\nprofile = 'x\nlisten = = 3\n");
        assert!(problems.len() >= 2, "{problems:?}");
        assert!(problems.iter().all(|p| p.place.as_deref().unwrap().starts_with("a.toml:")));
    }
}
