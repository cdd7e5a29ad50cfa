//! What OTLP/HTTP with JSON has in common for logs, spans and figures (OpenTelemetry Protocol 1.x, section "OTLP/HTTP"; the
//! JSON mapping of protobuf, where 64-bit numbers are texts).

use serde_json::{Map, Value, json};

use crate::error::ExportError;
use crate::sink::HttpSink;
use crate::sink::http::{Post, authorized, shown};

/// Sends a request, and looks at what of it the collector did not take: `rejected` is the member that counts it.
pub(crate) async fn send(sink: &HttpSink, request: &Value, rejected: &str) -> Result<(), ExportError> {
    let headers = authorized(sink.token.as_deref(), "Bearer")?;
    let body = serde_json::to_vec(request).expect("plain data is JSON");
    let answer = Post { pool: &sink.pool, path: &sink.path, headers, body }.send().await?;
    // A collector may answer with protobuf or nothing; what it rejects it says in JSON to whoever asked in JSON.
    let answer: Value = serde_json::from_slice(&answer).unwrap_or_default();
    let partial = &answer["partialSuccess"];
    let records = match &partial[rejected] {
        Value::Number(number) => number.as_u64().unwrap_or(0),
        Value::String(text) => text.parse().unwrap_or(0),
        _ => 0,
    };
    if records == 0 {
        return Ok(());
    }
    let said = partial["errorMessage"].as_str().unwrap_or_default();
    Err(ExportError::Rejected { records, said: shown(said.as_bytes()) })
}

/// The node, as a resource.
pub(crate) fn resource(node: &str) -> Value {
    json!({ "attributes": [text("service.name", "lockgate"), text("host.name", node)] })
}

/// An attribute that is a text.
pub(crate) fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// An attribute that is a number.
pub(crate) fn number(key: &str, value: impl std::fmt::Display) -> Value {
    json!({ "key": key, "value": { "intValue": value.to_string() } })
}

/// A map of what is there.
pub(crate) fn object<const N: usize>(members: [(&str, Value); N]) -> Map<String, Value> {
    members
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(key, value)| (key.to_owned(), value))
        .collect()
}
