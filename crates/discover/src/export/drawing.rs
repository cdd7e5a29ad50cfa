//! Drawings: Graphviz DOT and Mermaid.

use super::visible;
use crate::map::{Map, Node, Relation, Severity};

/// Letters of a label; more cannot be read in a drawing.
const LABEL_LETTERS_MAX: usize = 60;

/// The map as a Graphviz digraph.
#[must_use]
pub fn dot(map: &Map) -> String {
    let mut text = "digraph mcp {\n  rankdir=LR;\n  node [fontname=\"sans-serif\"];\n".to_owned();
    for (n, node) in drawn(map) {
        let shape = match node {
            Node::Client(_) => "ellipse",
            Node::Server(_) => "box",
            Node::Gateway(_) => "hexagon",
            Node::Package(_) => "component",
            Node::Credential(_) => "note",
        };
        let color = match worst(map, node) {
            Some(Severity::High) => ", color=red, penwidth=2",
            Some(Severity::Medium) => ", color=orange",
            _ => "",
        };
        let label = label(node).replace('\\', "\\\\").replace('"', "\\\"");
        text.push_str(&format!("  n{n} [shape={shape}, label=\"{label}\"{color}];\n"));
    }
    for (from, to, relation) in lines(map) {
        let style = if relation == Relation::Tunnel { ", style=bold" } else { "" };
        text.push_str(&format!("  n{from} -> n{to} [label=\"{}\"{style}];\n", word(relation)));
    }
    text.push_str("}\n");
    text
}

/// The map as a Mermaid flowchart.
#[must_use]
pub fn mermaid(map: &Map) -> String {
    let mut text = "flowchart LR\n".to_owned();
    for (n, node) in drawn(map) {
        let (open, close) = match node {
            Node::Client(_) => ("([", "])"),
            Node::Server(_) => ("[", "]"),
            Node::Gateway(_) => ("{{", "}}"),
            Node::Package(_) => ("[/", "/]"),
            Node::Credential(_) => ("[(", ")]"),
        };
        text.push_str(&format!("  n{n}{open}\"{}\"{close}\n", entities(&label(node))));
        match worst(map, node) {
            Some(Severity::High) => text.push_str(&format!("  style n{n} stroke:#c00,stroke-width:3px\n")),
            Some(Severity::Medium) => text.push_str(&format!("  style n{n} stroke:#e80\n")),
            _ => {}
        }
    }
    for (from, to, relation) in lines(map) {
        let arrow = if relation == Relation::Tunnel { "==>" } else { "-->" };
        text.push_str(&format!("  n{from} {arrow}|{}| n{to}\n", word(relation)));
    }
    text
}

fn drawn(map: &Map) -> impl Iterator<Item = (usize, &Node)> {
    map.nodes.iter().enumerate()
}

fn lines(map: &Map) -> impl Iterator<Item = (usize, usize, Relation)> {
    let place = |id: &str| map.nodes.iter().position(|node| node.id() == id);
    map.links.iter().filter_map(move |link| Some((place(&link.from)?, place(&link.to)?, link.relation)))
}

fn worst(map: &Map, node: &Node) -> Option<Severity> {
    map.findings.iter().filter(|finding| finding.about == node.id()).map(|finding| finding.severity).max()
}

fn word(relation: Relation) -> &'static str {
    match relation {
        Relation::Uses => "uses",
        Relation::Tunnel => "tunnel",
        Relation::Serves => "serves",
        Relation::RunsFrom => "runs from",
        Relation::Holds => "holds",
    }
}

fn label(node: &Node) -> String {
    let name = visible(node.name());
    match name.char_indices().nth(LABEL_LETTERS_MAX) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name,
    }
}

/// Mermaid knows characters by their number. A backslash, too, since Markdown reads it.
fn entities(text: &str) -> String {
    let plain = |c: char| c.is_alphanumeric() || " -._:/@,()…".contains(c);
    text.chars().map(|c| if plain(c) { c.to_string() } else { format!("#{};", u32::from(c)) }).collect()
}
