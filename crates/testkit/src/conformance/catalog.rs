//! The fixture's data: what it lists, and the answers that never change.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::LazyLock,
};

use rmcp::model::{
    CallToolResult, ElicitationSchema, InputRequests, Prompt, Resource, ResourceContents, ResourceTemplate,
    Tool,
};
use serde::Deserialize;
use serde_json::Value;

/// The parsed `catalog.json`.
#[derive(Deserialize)]
pub(super) struct Catalog {
    /// `tools/list`.
    pub(super) tools: Vec<Tool>,
    /// Results of the tools that need no code.
    pub(super) answers: BTreeMap<String, CallToolResult>,
    /// What a tool or prompt asks of the client before it completes: one map of requests a round.
    pub(super) rounds: BTreeMap<String, Vec<InputRequests>>,
    /// Those of `rounds` that hand out a `requestState` and want it back.
    pub(super) stateful: BTreeSet<String>,
    /// Tools that run as tasks, with what each asks of the client while it runs.
    pub(super) jobs: BTreeMap<String, InputRequests>,
    /// Forms that a tool sends to a client that keeps a session (`elicitation/create`).
    pub(super) forms: BTreeMap<String, ElicitationSchema>,
    /// `resources/list`.
    pub(super) resources: Vec<Resource>,
    /// `resources/templates/list`.
    pub(super) templates: Vec<ResourceTemplate>,
    /// `resources/read`, by URI.
    pub(super) contents: BTreeMap<String, ResourceContents>,
    /// `prompts/list`.
    pub(super) prompts: Vec<Prompt>,
    /// `prompts/get`, by name; `{argument}` stands for that argument's value.
    pub(super) messages: BTreeMap<String, Vec<Value>>,
}

/// The one catalogue, parsed at first use.
pub(super) static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    serde_json::from_str(include_str!("catalog.json")).expect("catalog.json is tested to parse")
});

/// `template` with each `{name}` replaced by that argument's text, in every string it holds.
pub(super) fn fill(template: &Value, arguments: &BTreeMap<String, String>) -> Value {
    match template {
        Value::String(text) => {
            let filled = arguments
                .iter()
                .fold(text.clone(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value));
            Value::String(filled)
        }
        Value::Array(items) => items.iter().map(|item| fill(item, arguments)).collect(),
        Value::Object(members) => {
            members.iter().map(|(name, value)| (name.clone(), fill(value, arguments))).collect()
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn every_name_in_the_catalogue_is_listed() {
        let tools: BTreeSet<&str> = CATALOG.tools.iter().map(|tool| tool.name.as_ref()).collect();
        let prompts: BTreeSet<&str> = CATALOG.prompts.iter().map(|prompt| prompt.name.as_str()).collect();
        for name in CATALOG.answers.keys().chain(CATALOG.forms.keys()).chain(CATALOG.jobs.keys()) {
            assert!(tools.contains(name.as_str()), "{name} has an answer but is no tool");
        }
        for name in CATALOG.rounds.keys() {
            let listed = tools.contains(name.as_str()) || prompts.contains(name.as_str());
            assert!(listed, "{name} asks for input but is not listed");
        }
        for name in &CATALOG.stateful {
            assert!(CATALOG.rounds.contains_key(name), "{name} keeps a state but has no rounds");
        }
        for name in CATALOG.messages.keys() {
            assert!(prompts.contains(name.as_str()), "{name} has messages but is no prompt");
        }
    }

    #[test]
    fn fill_reaches_nested_strings() {
        let arguments = BTreeMap::from([("who".to_owned(), "you".to_owned())]);
        let filled = fill(&json!([{ "text": "to {who} and {whom}", "n": 1 }]), &arguments);
        assert_eq!(filled, json!([{ "text": "to you and {whom}", "n": 1 }]));
    }
}
