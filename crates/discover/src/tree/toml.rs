//! TOML, by the reader that our own configuration uses.

use toml_edit::{Document, Item, Table, TableLike, Value as Written};

use super::{Budget, Limits, Member, Node, Unreadable, Value, syntax};

pub(super) fn read(text: &str, limits: &Limits) -> Result<Node, Unreadable> {
    let document = Document::parse(text).map_err(|error| {
        let at = error.span().map_or(0, |span| span.start);
        syntax(text, at, error.message())
    })?;
    let mut budget = Budget::new(limits);
    let table: &Table = document.as_table();
    Ok(Node { span: 0..text.len(), value: members(table, 0, &mut budget)? })
}

fn members(table: &dyn TableLike, depth: usize, budget: &mut Budget<'_>) -> Result<Value, Unreadable> {
    budget.value(depth)?;
    let mut found = Vec::new();
    for (name, item) in table.iter() {
        let name_span = table.key(name).and_then(toml_edit::Key::span).unwrap_or_default();
        found.push(Member { name: name.to_owned(), name_span, node: item_node(item, depth + 1, budget)? });
    }
    Ok(Value::Map(found))
}

fn item_node(item: &Item, depth: usize, budget: &mut Budget<'_>) -> Result<Node, Unreadable> {
    let span = item.span().unwrap_or_default();
    let value = match item {
        Item::None => Value::Null,
        Item::Value(written) => return value_node(written, depth, budget),
        Item::Table(table) => members(table, depth, budget)?,
        Item::ArrayOfTables(tables) => {
            let mut items = Vec::new();
            for table in tables {
                let span = table.span().unwrap_or_default();
                items.push(Node { span, value: members(table, depth + 1, budget)? });
            }
            Value::List(items)
        }
    };
    Ok(Node { span, value })
}

fn value_node(written: &Written, depth: usize, budget: &mut Budget<'_>) -> Result<Node, Unreadable> {
    budget.value(depth)?;
    let span = written.span().unwrap_or_default();
    let value = match written {
        Written::String(text) => Value::Text(text.value().clone()),
        Written::Integer(number) => Value::Number(number.value().to_string()),
        Written::Float(number) => Value::Number(number.value().to_string()),
        Written::Boolean(flag) => Value::Bool(*flag.value()),
        Written::Datetime(_) => Value::Null,
        Written::Array(array) => {
            let items = array.iter().map(|item| value_node(item, depth + 1, budget));
            Value::List(items.collect::<Result<_, _>>()?)
        }
        Written::InlineTable(table) => members(table, depth, budget)?,
    };
    Ok(Node { span, value })
}
