//! YAML to values. The parser gives events, so that nothing is built before it was counted; aliases are put in place here
//! and count for all that they stand for.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

use crate::error::Rejected;
use crate::limits::Limits;

/// Most anchors that are kept. A document of an API has a handful, if any.
const ANCHORS_MAX: usize = 10_000;

/// Reads one YAML document.
///
/// # Errors
/// What is wrong, with line and column.
pub(crate) fn read(text: &str, limits: &Limits) -> Result<Value, Rejected> {
    let mut builder = Builder { limits, nodes: 0, open: Vec::new(), anchors: HashMap::new(), done: None };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| {
            let marker = error.marker();
            let what = crate::text::clean(error.info(), 200);
            Rejected::one(format!("line {}, column {}", marker.line(), marker.col() + 1), what)
        })?;
        builder.take(event).map_err(|what| {
            Rejected::one(format!("line {}, column {}", span.start.line(), span.start.col() + 1), what)
        })?;
    }
    builder.done.ok_or_else(|| Rejected::one("", "it is empty"))
}

struct Builder<'a> {
    limits: &'a Limits,
    nodes: usize,
    open: Vec<Open>,
    /// Anchored values, each with its size.
    anchors: HashMap<usize, (Value, Size)>,
    done: Option<Value>,
}

/// How much a value is.
#[derive(Clone, Copy)]
struct Size {
    /// Values in it, itself included.
    nodes: usize,
    /// Levels below it.
    height: usize,
}

impl Size {
    const ONE: Self = Self { nodes: 1, height: 0 };
}

/// A collection that is being read.
struct Open {
    anchor: usize,
    /// Levels below it so far.
    height: usize,
    /// Values before it.
    before: usize,
    items: Items,
}

enum Items {
    List(Vec<Value>),
    /// Members, the key that waits for its value, and what `<<` brings in.
    Map(Map<String, Value>, Option<String>, Vec<Value>),
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>) -> Result<(), String> {
        match event {
            Event::Scalar(text, style, anchor, tag) => {
                let typed = style == ScalarStyle::Plain && tag.is_none();
                let value = if typed { plain(&text) } else { Value::String(text.into_owned()) };
                self.count(1)?;
                self.put(value, anchor, Size::ONE)
            }
            Event::SequenceStart(anchor, _) => self.begin(anchor, Items::List(Vec::new())),
            Event::MappingStart(anchor, _) => self.begin(anchor, Items::Map(Map::new(), None, Vec::new())),
            Event::SequenceEnd | Event::MappingEnd => self.end(),
            Event::Alias(anchor) => {
                let unknown = "the alias stands within what it means, or means nothing";
                let size = self.anchors.get(&anchor).ok_or(unknown)?.1;
                // Counted before it is copied.
                self.count(size.nodes)?;
                if self.open.len() + size.height > self.limits.depth_max {
                    return Err(self.too_deep());
                }
                let value = self.anchors[&anchor].0.clone();
                self.put(value, 0, size)
            }
            Event::DocumentStart(_) if self.done.is_some() => Err("only one document is read".to_owned()),
            _ => Ok(()),
        }
    }

    fn wants_key(&self) -> bool {
        matches!(self.open.last(), Some(Open { items: Items::Map(_, None, _), .. }))
    }

    fn too_many(&self) -> String {
        format!("more than {} values, aliases counted for what they stand for", self.limits.nodes_max)
    }

    fn too_deep(&self) -> String {
        format!("nested more than {} deep", self.limits.depth_max)
    }

    fn count(&mut self, nodes: usize) -> Result<(), String> {
        self.nodes = self.nodes.saturating_add(nodes);
        if self.nodes > self.limits.nodes_max { Err(self.too_many()) } else { Ok(()) }
    }

    fn begin(&mut self, anchor: usize, items: Items) -> Result<(), String> {
        if self.wants_key() {
            return Err("a key must be text".to_owned());
        }
        let before = self.nodes;
        self.count(1)?;
        if self.open.len() >= self.limits.depth_max {
            return Err(self.too_deep());
        }
        self.open.push(Open { anchor, height: 0, before, items });
        Ok(())
    }

    fn end(&mut self) -> Result<(), String> {
        let open = self.open.pop().expect("the parser ends only what it began");
        let value = match open.items {
            Items::List(items) => Value::Array(items),
            Items::Map(mut members, _, merged) => {
                // What stands there itself is stronger than what is brought in, and earlier than later.
                for other in merged.into_iter().filter_map(|other| match other {
                    Value::Object(members) => Some(members),
                    _ => None,
                }) {
                    for (name, value) in other {
                        members.entry(name).or_insert(value);
                    }
                }
                Value::Object(members)
            }
        };
        let size = Size { nodes: self.nodes - open.before, height: open.height };
        self.put(value, open.anchor, size)
    }

    fn put(&mut self, value: Value, anchor: usize, size: Size) -> Result<(), String> {
        if anchor > 0 {
            if self.anchors.len() >= ANCHORS_MAX {
                return Err(format!("more than {ANCHORS_MAX} anchors"));
            }
            // Kept beside the tree, so counted once more.
            self.count(size.nodes)?;
            self.anchors.insert(anchor, (value.clone(), size));
        }
        let Some(open) = self.open.last_mut() else {
            self.done = Some(value);
            return Ok(());
        };
        open.height = open.height.max(size.height + 1);
        match &mut open.items {
            Items::List(items) => items.push(value),
            Items::Map(members, key @ None, _) => {
                let name = match value {
                    Value::String(text) => text,
                    // Statuses are written as numbers.
                    Value::Number(number) => number.to_string(),
                    Value::Bool(value) => value.to_string(),
                    Value::Null => "null".to_owned(),
                    Value::Array(_) | Value::Object(_) => return Err("a key must be text".to_owned()),
                };
                if members.contains_key(&name) {
                    return Err(format!("the member {:?} stands twice", crate::text::clean(&name, 80)));
                }
                *key = Some(name);
            }
            Items::Map(members, key, merged) => {
                let name = key.take().expect("a value follows its key");
                match (name.as_str(), value) {
                    ("<<", Value::Array(several)) => merged.extend(several),
                    ("<<", one) => merged.push(one),
                    (_, value) => drop(members.insert(name, value)),
                }
            }
        }
        Ok(())
    }
}

/// A plain scalar by the core schema of YAML 1.2 (section 10.3.2), as far as JSON has a value for it.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return Value::String(text.to_owned());
    }
    let unsigned = text.strip_prefix('+').unwrap_or(text);
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        let number =
            unsigned.parse::<i64>().map(Number::from).or_else(|_| unsigned.parse::<u64>().map(Number::from));
        if let Ok(number) = number {
            return Value::Number(number);
        }
    }
    for (prefix, radix) in [("0x", 16), ("0o", 8)] {
        if let Some(Ok(number)) = text.strip_prefix(prefix).map(|digits| u64::from_str_radix(digits, radix)) {
            return number.into();
        }
    }
    let is_float = digits.bytes().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(&byte));
    let float = unsigned.parse::<f64>().ok().filter(|_| is_float).and_then(Number::from_f64);
    float.map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_aliases_and_merges() {
        let text = "a: &x { n: 1, s: '1' }\nb: { <<: *x, n: 2 }\nc: [*x, ~, yes, 0x1F, 1e3, 1.5, 2021-01-01, 3.0.3, -4, .5]\n200: !!str 7\n";
        let value = read(text, &Limits::default()).unwrap();
        let x = json!({ "n": 1, "s": "1" });
        let c = json!([x, null, "yes", 31, 1000.0, 1.5, "2021-01-01", "3.0.3", -4, 0.5]);
        assert_eq!(value, json!({ "a": x, "b": { "n": 2, "s": "1" }, "c": c, "200": "7" }));
    }
}
