//! What a definition says, whichever member says it: every string at any depth, names of members too.

mod change;
mod entities;
mod inventory;
mod names;

use serde_json::Value;

pub use change::ChangeClass;
pub(crate) use change::class_of;
pub(crate) use entities::hosts;
pub(crate) use inventory::{Inventory, Mentioned};

/// Bytes of text of one definition that the rules on words read. The largest of 10,230 real definitions has 53 kB; what is
/// behind this is pinned, and searched for characters that do not show, all the same.
const TEXT_BYTES_MAX: usize = 1 << 20;

/// The strings of a definition.
#[derive(Debug, Default)]
pub(crate) struct Strings<'a> {
    /// Values: descriptions, titles, enums, defaults, examples, patterns.
    pub(crate) values: Vec<&'a str>,
    /// Names of members, among them those of the arguments.
    pub(crate) keys: Vec<&'a str>,
    bytes: usize,
}

impl<'a> Strings<'a> {
    /// Reads a definition. The tool's own name is no text of its definition.
    pub(crate) fn of(definition: &'a Value) -> Self {
        let mut strings = Strings::default();
        let Value::Object(members) = definition else { return strings };
        for (name, value) in members.iter().filter(|(name, _)| *name != "name") {
            strings.keys.push(name);
            strings.walk(value);
        }
        strings
    }

    /// The depth is bounded by [`canonical`](lockgate_mcp::canonical), which every definition has passed.
    fn walk(&mut self, value: &'a Value) {
        if self.bytes >= TEXT_BYTES_MAX {
            return;
        }
        match value {
            Value::String(text) => {
                self.bytes += text.len();
                self.values.push(text);
            }
            Value::Array(items) => items.iter().for_each(|item| self.walk(item)),
            Value::Object(members) => {
                for (name, value) in members {
                    self.bytes += name.len();
                    self.keys.push(name);
                    self.walk(value);
                }
            }
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }
}
