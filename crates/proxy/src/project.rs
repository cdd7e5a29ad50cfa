//! Cuts a result to the fields that may pass. What cannot be cut, because it is no JSON, is withheld.

use lockgate_policy::ResultFields;
use serde_json::{Map, Value, json};

/// What stands in the place of a part that was withheld.
const WITHHELD: &str = "[withheld by policy: only certain fields of this result may pass]";

/// Members of a result that are of the protocol. All others are the server's, and are cut or left out.
const PROTOCOL: [&str; 3] = ["isError", "resultType", "task"];

/// The part of a result that may pass.
pub(crate) fn result(mut whole: Map<String, Value>, fields: &ResultFields) -> Map<String, Value> {
    let mut kept: Map<String, Value> = Map::new();
    for name in PROTOCOL {
        if let Some(value) = whole.remove(name) {
            kept.insert(name.to_owned(), value);
        }
    }
    for name in ["content", "contents", "messages"] {
        if let Some(Value::Array(blocks)) = whole.remove(name) {
            let blocks = blocks.into_iter().map(|block| cut_block(block, fields)).collect();
            kept.insert(name.to_owned(), Value::Array(blocks));
        }
    }
    if let Some(structured) = whole.remove("structuredContent") {
        kept.insert("structuredContent".to_owned(), cut(structured, fields));
    }
    kept
}

/// A piece of content: its text, if that is JSON, cut to the fields.
fn cut_block(block: Value, fields: &ResultFields) -> Value {
    let Value::Object(mut block) = block else { return withheld() };
    // A message of a prompt wraps its content.
    if let Some(inner) = block.remove("content") {
        let role = block.remove("role").unwrap_or_else(|| "user".into());
        return json!({ "role": role, "content": cut_block(inner, fields) });
    }
    let Some(Value::String(text)) = block.remove("text") else { return withheld() };
    let cut = match serde_json::from_str::<Value>(&text) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => cut(value, fields).to_string(),
        _ => WITHHELD.to_owned(),
    };
    let mut kept = json!({ "text": cut });
    for name in ["type", "uri", "mimeType"] {
        if let Some(value) = block.remove(name) {
            kept[name] = value;
        }
    }
    kept
}

fn withheld() -> Value {
    json!({ "type": "text", "text": WITHHELD })
}

fn cut(value: Value, fields: &ResultFields) -> Value {
    let value = match &fields.only {
        Some(only) => {
            let paths: Vec<Vec<&str>> = only.iter().map(|path| path.split('.').collect()).collect();
            keep(value, &paths.iter().map(Vec::as_slice).collect::<Vec<_>>())
        }
        None => value,
    };
    hide(value, &mut Vec::new(), fields)
}

/// Only the members on one of `paths`. Arrays are no step of a path.
fn keep(value: Value, paths: &[&[&str]]) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(|item| keep(item, paths)).collect()),
        Value::Object(members) => Value::Object(
            members
                .into_iter()
                .filter_map(|(name, value)| {
                    let below: Vec<&[&str]> =
                        paths.iter().filter_map(|path| path.strip_prefix(&[name.as_str()][..])).collect();
                    let value = match below.iter().any(|path| path.is_empty()) {
                        true => value,
                        false if below.is_empty() => return None,
                        false => keep(value, &below),
                    };
                    Some((name, value))
                })
                .collect(),
        ),
        // Where fields are asked for, there are none.
        _ => Value::Null,
    }
}

/// Without the members that are hidden by their name, at any depth, or by their path. Text that is JSON is looked into.
fn hide(value: Value, path: &mut Vec<String>, fields: &ResultFields) -> Value {
    match value {
        Value::Array(items) => Value::Array(items.into_iter().map(|item| hide(item, path, fields)).collect()),
        Value::Object(members) => {
            let mut kept = Map::new();
            for (name, value) in members {
                path.push(name.clone());
                if !is_hidden(&name, path, fields) {
                    kept.insert(name, hide(value, path, fields));
                }
                path.pop();
            }
            Value::Object(kept)
        }
        Value::String(text) if !fields.hidden.is_empty() => match serde_json::from_str::<Value>(&text) {
            Ok(inner @ (Value::Object(_) | Value::Array(_))) => hide(inner, path, fields).to_string().into(),
            _ => Value::String(text),
        },
        other => other,
    }
}

fn is_hidden(name: &str, path: &[String], fields: &ResultFields) -> bool {
    let same = |hidden: &String| {
        hidden.eq_ignore_ascii_case(name)
            || (hidden.contains('.') && hidden.eq_ignore_ascii_case(&path.join(".")))
    };
    fields.hidden.iter().any(same)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fields(only: Option<&[&str]>, hidden: &[&str]) -> ResultFields {
        let set = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        ResultFields { only: only.map(set), hidden: set(hidden) }
    }

    fn of(value: Value) -> Map<String, Value> {
        match value {
            Value::Object(members) => members,
            other => panic!("{other}"),
        }
    }

    #[test]
    fn only_what_is_named_passes_and_what_is_no_json_does_not() {
        let only = fields(Some(&["name", "address.city"]), &[]);
        let row = json!({"name": "A", "ssn": "1", "address": {"city": "X", "street": "S"}});
        let whole = json!({
            "content": [
                {"type": "text", "text": row.to_string()},
                {"type": "text", "text": "ssn is 1"},
                {"type": "text", "text": "\"1\""},
                {"type": "image", "data": "1", "mimeType": "image/png"},
            ],
            "structuredContent": {"rows": row, "name": [row]},
            "isError": false,
            "_meta": {"ssn": "1"},
            "extra": "1",
        });
        let text = Value::Object(result(of(whole), &only)).to_string();
        let kept = result(of(json!({"structuredContent": [row]})), &only);
        assert_eq!(kept["structuredContent"], json!([{"name": "A", "address": {"city": "X"}}]));
        assert!(text.contains(r#""structuredContent":{"name":[{"#), "{text}");
        assert_eq!(text.matches("withheld").count(), 3, "{text}");
        assert!(!text.contains("extra") && !text.contains("_meta") && !text.contains("rows"), "{text}");
    }

    #[test]
    fn what_is_hidden_is_so_at_any_depth_and_in_text() {
        let hidden = fields(None, &["ssn", "card.number"]);
        let row = json!({
            "Ssn": "s3cret", "name": "A", "deep": [{"ssn": "s3cret"}], "number": 1,
            "card": {"number": "s3cret", "kind": "k"}, "note": "{\"ssn\":\"s3cret\",\"ok\":1}",
        });
        let whole = json!({"content": [{"type": "text", "text": row.to_string()}], "structuredContent": row});
        let text = Value::Object(result(of(whole), &hidden)).to_string();
        assert!(!text.contains("s3cret"), "{text}");
        assert!(text.contains("kind") && text.contains("number") && text.contains("ok"), "{text}");
    }

    #[test]
    fn contents_of_resources_and_prompts_are_cut_like_those_of_tools() {
        let only = fields(Some(&["name"]), &[]);
        let text = json!({"name": "A", "ssn": "s3cret"}).to_string();
        for whole in [
            json!({"contents": [{"uri": "x", "text": text}, {"uri": "y", "blob": "s3cret"}]}),
            json!({"messages": [{"role": "user", "content": {"type": "text", "text": text}}]}),
            json!({"description": "s3cret", "content": "s3cret"}),
        ] {
            let cut = Value::Object(result(of(whole), &only)).to_string();
            assert!(!cut.contains("s3cret"), "{cut}");
        }
    }
}
