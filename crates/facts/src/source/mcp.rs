//! Facts out of a tool of one of this node's own servers.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, OnceLock, Weak};

use serde_json::{Map, Value};

use super::http::ANSWER_BYTES_MAX;
use crate::absence::{Absence, shown};
use crate::document::{self, Told};

/// What a call of a tool will give: the `result` of its answer as JSON text, or why there is none.
pub type Answer<'a> = Pin<Box<dyn Future<Output = Result<String, String>> + Send + 'a>>;

/// Whoever can call the tools of this node's servers: the proxy. Calls are made in the node's own name, never with the
/// rights of whoever's call needs the fact.
pub trait Tools: Send + Sync {
    /// Calls a tool.
    fn call<'a>(&'a self, server: &'a str, tool: &'a str, arguments: Map<String, Value>) -> Answer<'a>;
}

/// Where the one who calls tools will be: facts are made before the proxy is.
#[derive(Clone, Default)]
pub struct Slot(Arc<OnceLock<Weak<dyn Tools>>>);

impl Slot {
    /// Tells who calls tools; the first one stays.
    pub fn fill(&self, tools: Weak<dyn Tools>) {
        let _ = self.0.set(tools);
    }

    pub(crate) async fn fetch(
        &self,
        server: &str,
        tool: &str,
        arguments: Map<String, Value>,
    ) -> Result<Told, Absence> {
        let tools = self.0.get().and_then(Weak::upgrade);
        let tools = tools.ok_or_else(|| Absence::Unreachable("this node calls no tools yet".into()))?;
        let result = tools.call(server, tool, arguments).await.map_err(|why| Absence::Refused(shown(why)))?;
        if result.len() > ANSWER_BYTES_MAX {
            return Err(Absence::TooLarge { bytes_max: ANSWER_BYTES_MAX });
        }
        record(document::read(result.as_bytes())?)
    }
}

/// The record in a tool's result: its structured content, or else the JSON of its one text.
fn record(mut result: Value) -> Result<Told, Absence> {
    if result.get("isError").is_some_and(|flag| *flag != Value::Bool(false)) {
        return Err(Absence::Refused("the tool says that it failed".into()));
    }
    if let Some(structured) = result.get_mut("structuredContent").filter(|content| !content.is_null()) {
        return document::record(structured.take());
    }
    let texts = result.get("content").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    match texts {
        [only] if only["type"] == "text" => {
            let text = only["text"].as_str().unwrap_or_default();
            document::record(document::read(text.as_bytes())?)
        }
        _ => Err(Absence::malformed("the result has no structured content, and not exactly one text")),
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Slot({})", if self.0.get().is_some() { "filled" } else { "empty" })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn records_are_found_in_results() {
        let text = |text: &str| json!({"content": [{"type": "text", "text": text}]});
        for (result, expected) in [
            (json!({"structuredContent": {"n": 1}, "content": []}), Some(json!({"n": 1}))),
            (text(r#"{"n":1}"#), Some(json!({"n": 1}))),
            (
                json!({"structuredContent": null, "content": [{"type": "text", "text": "{}"}]}),
                Some(json!({})),
            ),
            (json!({"isError": true, "structuredContent": {"n": 1}}), None),
            (json!({"isError": "true", "structuredContent": {"n": 1}}), None),
            (text("two patients"), None),
            (text(r#"{"n":1,"n":2}"#), None),
            (json!({"content": [{"type": "text", "text": "{}"}, {"type": "text", "text": "{}"}]}), None),
            (json!({"content": [{"type": "image", "text": "{}"}]}), None),
            (json!({"structuredContent": [1]}), None),
            (json!([]), None),
        ] {
            let found = record(result.clone()).ok().map(|told| Value::Object(told.record));
            assert_eq!(found, expected, "{result}");
        }
    }
}
