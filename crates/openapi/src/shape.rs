//! Answers made smaller: fields that are kept, and lists that are cut where a limit is, with a word about it.

use serde_json::{Map, Value};

/// The fields of `value` that `paths` name, such as `id` or `items.owner.login`; lists are walked through. Without paths it is
/// all of it.
pub(crate) fn kept(value: &Value, paths: &[String]) -> Value {
    if paths.is_empty() {
        return value.clone();
    }
    let paths: Vec<&str> = paths.iter().map(String::as_str).collect();
    keep(value, &paths)
}

fn keep(value: &Value, paths: &[&str]) -> Value {
    match value {
        Value::Array(items) => items.iter().map(|item| keep(item, paths)).collect(),
        Value::Object(members) => {
            let mut kept = Map::new();
            for (name, value) in members {
                if paths.contains(&name.as_str()) {
                    kept.insert(name.clone(), value.clone());
                    continue;
                }
                let below = |path: &&str| path.strip_prefix(name.as_str())?.strip_prefix('.').map(|_| ());
                let inner: Vec<&str> = paths
                    .iter()
                    .filter(|path| below(path).is_some())
                    .map(|path| &path[name.len() + 1..])
                    .collect();
                if !inner.is_empty() {
                    kept.insert(name.clone(), keep(value, &inner));
                }
            }
            Value::Object(kept)
        }
        other => other.clone(),
    }
}

/// What was cut.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cut {
    pub(crate) shown: usize,
    pub(crate) all: usize,
}

/// Cuts the list of an answer, itself or its longest member, so that it takes at most `bytes_max` as JSON. None if there is no
/// list whose cutting would do.
pub(crate) fn cut(value: &Value, bytes_max: usize) -> Option<(Value, Cut)> {
    match value {
        Value::Array(items) => {
            let shown = fitting(items, bytes_max.saturating_sub(2));
            (shown > 0).then(|| (Value::Array(items[..shown].to_vec()), Cut { shown, all: items.len() }))
        }
        Value::Object(members) => {
            let lists = members.iter().filter_map(|(name, value)| Some((name, value.as_array()?)));
            let (name, items) = lists.max_by_key(|(_, items)| items.iter().map(length).sum::<usize>())?;
            let mut rest = members.clone();
            rest.insert(name.clone(), Value::Array(Vec::new()));
            let left = bytes_max.checked_sub(Value::Object(rest.clone()).to_string().len())?;
            let shown = fitting(items, left);
            rest.insert(name.clone(), Value::Array(items[..shown].to_vec()));
            (shown > 0).then_some((Value::Object(rest), Cut { shown, all: items.len() }))
        }
        _ => None,
    }
}

fn length(value: &Value) -> usize {
    value.to_string().len()
}

fn fitting(items: &[Value], bytes_max: usize) -> usize {
    let mut used = 0;
    items
        .iter()
        .take_while(|item| {
            used += length(item) + 1;
            used <= bytes_max
        })
        .count()
}

/// The beginning of a text, at most `bytes_max` long.
pub(crate) fn beginning(text: &str, bytes_max: usize) -> &str {
    let mut end = text.len().min(bytes_max);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_kept_through_lists() {
        let value = json!([{ "id": 1, "owner": { "login": "a", "mail": "b" }, "x": 1 }]);
        let paths = ["id".to_owned(), "owner.login".to_owned()];
        assert_eq!(kept(&value, &paths), json!([{ "id": 1, "owner": { "login": "a" } }]));
        assert_eq!(kept(&value, &[]), value);
    }

    #[test]
    fn lists_are_cut_to_what_fits() {
        let value = json!({ "n": 3, "items": ["aaaa", "bbbb", "cccc"], "few": [1] });
        let (shown, what) = cut(&value, 45).unwrap();
        assert_eq!(what, Cut { shown: 2, all: 3 });
        assert!(shown.to_string().len() <= 45);
        assert_eq!(cut(&json!("text"), 3), None);
        assert_eq!(beginning("äöü", 3), "ä");
    }
}
