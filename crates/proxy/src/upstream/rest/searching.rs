//! The two tools of an offer that is too large to list: one finds operations, one turns them on.

use lockgate_openapi::Tool;
use serde_json::{Value, json};

use super::offer::{Offer, text};
use super::party::{ACTIVE_MAX, Party};

/// Finds operations.
pub(super) const SEARCH: &str = "search_operations";

/// Turns them on.
pub(super) const ACTIVATE: &str = "activate_operations";

/// Operations that one search shows, unless it asks for fewer.
const FOUND_MAX: usize = 20;

/// Characters of a description in what is found. The whole definition comes with turning it on.
const SHOWN_CHARS: usize = 240;

/// Their definitions.
pub(super) fn definitions(title: &str, count: usize) -> [Value; 2] {
    let hints = |title: &str| json!({ "title": title, "readOnlyHint": true, "destructiveHint": false, "idempotentHint": true, "openWorldHint": false });
    [
        json!({
            "name": SEARCH,
            "title": "Search operations",
            "description": format!("Finds operations of {title} by words; there are {count}. Turn on what you need with {ACTIVATE}, then call it as a tool."),
            "inputSchema": { "type": "object", "additionalProperties": false, "required": ["query"], "properties": {
                "query": { "type": "string", "description": "Words for what you want to do, like: list open invoices" },
                "max": { "type": "integer", "minimum": 1, "maximum": FOUND_MAX, "description": "How many to show" },
            } },
            "annotations": hints("Search operations"),
        }),
        json!({
            "name": ACTIVATE,
            "title": "Turn operations on",
            "description": format!("Adds operations, by the names that {SEARCH} gives, to your tools; at most {ACTIVE_MAX} at once. Those that you may not use do not appear."),
            "inputSchema": { "type": "object", "additionalProperties": false, "required": ["names"], "properties": {
                "names": { "type": "array", "minItems": 1, "maxItems": ACTIVE_MAX, "items": { "type": "string" } },
            } },
            "annotations": hints("Turn operations on"),
        }),
    ]
}

/// Answers a search.
pub(super) fn search(offer: &Offer, arguments: &Value) -> Value {
    let Some(query) = text(arguments, "query") else { return failed("give words to look for in `query`") };
    let max = arguments.get("max").and_then(Value::as_u64).and_then(|max| usize::try_from(max).ok());
    let found = offer.catalogue.search(query, max.unwrap_or(FOUND_MAX).clamp(1, FOUND_MAX));
    if found.is_empty() {
        return told(format!("Nothing fits. Try other words; there are {} operations.", offer.len()));
    }
    let found: Vec<Value> = found.into_iter().map(shown).collect();
    told(Value::from(found).to_string())
}

fn shown(tool: &Tool) -> Value {
    let description: String = tool.description.chars().take(SHOWN_CHARS).collect();
    let arguments = serde_json::from_str::<Value>(tool.input_schema()).unwrap_or_default();
    let arguments: Vec<&String> =
        arguments["properties"].as_object().into_iter().flat_map(serde_json::Map::keys).collect();
    json!({
        "name": tool.name,
        "method": tool.method,
        "path": tool.path,
        "does": tool.hints.word(),
        "description": description,
        "arguments": arguments,
    })
}

/// Turns operations on; whether the list of tools is another now.
pub(super) fn activate(offer: &Offer, party: &Party, arguments: &Value) -> (Value, bool) {
    let names: Option<Vec<String>> = arguments
        .get("names")
        .and_then(Value::as_array)
        .map(|names| names.iter().filter_map(Value::as_str).take(ACTIVE_MAX).map(str::to_owned).collect());
    let Some(names) = names.filter(|names| !names.is_empty()) else {
        return (failed("give the names of operations in `names`"), false);
    };
    let (known, unknown): (Vec<String>, Vec<String>) =
        names.into_iter().partition(|name| offer.tool(name).is_some());
    let changed = party.activate(&known);
    let mut said = match known.is_empty() {
        true => String::new(),
        false => format!("On: {}. List your tools again and call them.", known.join(", ")),
    };
    if !unknown.is_empty() {
        let unknown =
            unknown.iter().map(|name| name.chars().filter(|c| !c.is_control()).take(64).collect::<String>());
        said.push_str(&format!(" Not known: {}; see {SEARCH}.", unknown.collect::<Vec<_>>().join(", ")));
    }
    (result(said.trim_start(), known.is_empty()), changed)
}

fn told(text: String) -> Value {
    result(&text, false)
}

/// A result that says what was wrong with the call.
pub(super) fn failed(text: &str) -> Value {
    result(text, true)
}

fn result(text: &str, is_error: bool) -> Value {
    json!({ "content": [{ "type": "text", "text": text }], "isError": is_error })
}
