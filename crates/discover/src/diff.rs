//! What changed between two maps of the same machine.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::map::{Finding, Map, Node};

/// Value of [`Diff::schema`].
pub const SCHEMA: &str = "lockgate.discovery-diff/1";

/// What is new, gone and changed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diff {
    /// [`SCHEMA`].
    pub schema: String,
    /// Changes of nodes.
    pub nodes: Vec<Change>,
    /// Findings that were not there before.
    pub found: Vec<Finding>,
    /// Findings that are gone.
    pub mended: Vec<Finding>,
}

/// A change of one node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// How.
    pub how: How,
    /// Its id.
    pub id: String,
    /// Its kind: `server`, `client`, …
    pub kind: String,
    /// Its name.
    pub name: String,
    /// Members that differ, with what they were and are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<Member>,
}

/// What happened to a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum How {
    /// It is new.
    Added,
    /// It is gone.
    Removed,
    /// It is another.
    Changed,
}

/// A member of a node that differs.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Member {
    /// Its name.
    pub name: String,
    /// What it was; null for nothing.
    pub was: Value,
    /// What it is.
    pub is: Value,
}

impl Diff {
    /// Whether nothing changed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.nodes.is_empty() && self.found.is_empty() && self.mended.is_empty()
    }
}

/// Members that change without anything having changed: process numbers are new after each start.
const FLEETING: &[&str] = &["processes", "links", "links_quantum_safe"];

/// Compares two maps.
#[must_use]
pub fn between(old: &Map, new: &Map) -> Diff {
    let by_id = |map: &Map| -> BTreeMap<String, Value> {
        let value =
            |node: &Node| serde_json::to_value(node).expect("a node is strings, numbers, lists and maps");
        map.nodes.iter().map(|node| (node.id().to_owned(), value(node))).collect()
    };
    let name = |map: &Map, id: &str| {
        map.nodes.iter().find(|node| node.id() == id).map_or(String::new(), |node| node.name().to_owned())
    };
    let (before, after) = (by_id(old), by_id(new));
    let mut nodes = Vec::new();
    for (id, node) in &after {
        let kind = node["kind"].as_str().unwrap_or_default().to_owned();
        let (how, members) = match before.get(id) {
            None => (How::Added, Vec::new()),
            Some(was) => (How::Changed, members(was, node)),
        };
        if how == How::Added || !members.is_empty() {
            nodes.push(Change { how, id: id.clone(), kind, name: name(new, id), members });
        }
    }
    for (id, node) in before.iter().filter(|(id, _)| !after.contains_key(*id)) {
        let kind = node["kind"].as_str().unwrap_or_default().to_owned();
        nodes.push(Change {
            how: How::Removed,
            id: id.clone(),
            kind,
            name: name(old, id),
            members: Vec::new(),
        });
    }
    let missing = |from: &Map, other: &Map| -> Vec<Finding> {
        let is_there = |finding: &&Finding| {
            !other.findings.iter().any(|other| other.id == finding.id && other.about == finding.about)
        };
        from.findings.iter().filter(is_there).cloned().collect()
    };
    Diff { schema: SCHEMA.to_owned(), nodes, found: missing(new, old), mended: missing(old, new) }
}

fn members(was: &Value, is: &Value) -> Vec<Member> {
    let (Some(was), Some(is)) = (was.as_object(), is.as_object()) else { return Vec::new() };
    let mut names: Vec<&String> = was.keys().chain(is.keys()).collect();
    names.sort();
    names.dedup();
    let differs = |name: &&String| was.get(*name) != is.get(*name) && !FLEETING.contains(&name.as_str());
    let member = |name: &String| Member {
        name: name.clone(),
        was: was.get(name).cloned().unwrap_or_default(),
        is: is.get(name).cloned().unwrap_or_default(),
    };
    names.into_iter().filter(differs).map(member).collect()
}
