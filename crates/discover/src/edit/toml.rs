//! TOML: the reader keeps all that is between the values.

use serde_json::Value;
use toml_edit::{Array, DocumentMut, Item, TableLike};

use super::{Change, EditError};
use crate::tree::Unreadable;

/// The text with the table at `path` changed.
pub(super) fn apply(text: &str, path: &[String], changes: &[Change<'_>]) -> Result<String, EditError> {
    let parsed: Result<DocumentMut, toml_edit::TomlError> = text.parse();
    let mut document =
        parsed.map_err(|error| Unreadable::Syntax { line: 1, what: error.message().to_owned() })?;
    let missing = || EditError::Missing(path.join("."));
    let mut item = document.as_item_mut();
    for step in path {
        item = item.as_table_like_mut().and_then(|table| table.get_mut(step)).ok_or_else(missing)?;
    }
    let table = item.as_table_like_mut().ok_or_else(missing)?;
    for change in changes {
        match change {
            Change::Set(name, value) => set(table, name, value),
            Change::Remove(name) => drop(table.remove(name)),
        }
    }
    Ok(document.to_string())
}

fn set(table: &mut dyn TableLike, name: &str, value: &Value) {
    let mut new = match value {
        Value::Array(items) => {
            toml_edit::Value::Array(items.iter().filter_map(Value::as_str).collect::<Array>())
        }
        value => toml_edit::Value::from(value.as_str().unwrap_or_default()),
    };
    // A comment behind the old value stays behind the new one.
    if let Some(old) = table.get(name).and_then(Item::as_value) {
        *new.decor_mut() = old.decor().clone();
    }
    table.insert(name, Item::Value(new));
}
