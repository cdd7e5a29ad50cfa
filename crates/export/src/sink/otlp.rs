//! OTLP/HTTP, logs as JSON (OpenTelemetry Protocol 1.x, section "OTLP/HTTP"; the JSON mapping of protobuf, where 64-bit
//! numbers are texts).

use jiff::Timestamp;
use lockgate_audit::{Entry, Outcome, Record};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::http::{Post, authorized, shown};
use super::{HttpSink, word};
use crate::Line;
use crate::error::ExportError;

pub(crate) struct Otlp(HttpSink);

/// What a collector did not take.
#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Answer {
    partial_success: Option<Partial>,
}

#[derive(Deserialize, Default)]
#[serde(default, rename_all = "camelCase")]
struct Partial {
    rejected_log_records: Value,
    error_message: String,
}

impl Otlp {
    pub(super) fn new(sink: &HttpSink) -> Self {
        Self(sink.again())
    }

    pub(super) async fn send(&self, lines: &[Line]) -> Result<(), ExportError> {
        let headers = authorized(self.0.token.as_deref(), "Bearer")?;
        let body = serde_json::to_vec(&self.request(lines)).expect("plain data is JSON");
        let answer = Post { pool: &self.0.pool, path: &self.0.path, headers, body }.send().await?;
        // A collector may answer with protobuf or nothing; what it rejects it says in JSON to whoever asked in JSON.
        let answer: Answer = serde_json::from_slice(&answer).unwrap_or_default();
        let partial = answer.partial_success.unwrap_or_default();
        let rejected = match &partial.rejected_log_records {
            Value::Number(number) => number.as_u64().unwrap_or(0),
            Value::String(text) => text.parse().unwrap_or(0),
            _ => 0,
        };
        if rejected > 0 {
            let said = shown(partial.error_message.as_bytes());
            return Err(ExportError::Rejected { records: rejected, said });
        }
        Ok(())
    }

    fn request(&self, lines: &[Line]) -> Value {
        let records: Vec<Value> = lines.iter().map(record).collect();
        let resource = [text("service.name", "lockgate"), text("host.name", &self.0.node)];
        json!({ "resourceLogs": [{
            "resource": { "attributes": resource },
            "scopeLogs": [{ "scope": { "name": "lockgate.audit" }, "logRecords": records }],
        }]})
    }
}

fn text(key: &str, value: &str) -> Value {
    json!({ "key": key, "value": { "stringValue": value } })
}

/// A log record: the line as its body, and what is searched for as attributes.
fn record(line: &Line) -> Value {
    let mut record = Map::new();
    record.insert("body".into(), json!({ "stringValue": line.text }));
    let mut attributes =
        vec![json!({ "key": "lockgate.audit.seq", "value": { "intValue": line.seq.to_string() } })];
    if let Ok(entry) = Entry::parse(&line.text) {
        if let Ok(time) = entry.time.parse::<Timestamp>() {
            record.insert("timeUnixNano".into(), Value::String(time.as_nanosecond().to_string()));
        }
        let (number, name) = severity(entry.record.outcome);
        record.insert("severityNumber".into(), number.into());
        record.insert("severityText".into(), name.into());
        record.insert("eventName".into(), format!("lockgate.audit.{}", word(entry.record.kind)).into());
        attributes.extend(facts(&entry.record));
    }
    record.insert("attributes".into(), Value::Array(attributes));
    Value::Object(record)
}

/// Names by the semantic conventions of MCP and generative AI where they have one.
fn facts(record: &Record<'_>) -> Vec<Value> {
    let is_tool = record.method.as_deref() == Some("tools/call");
    let facts = [
        ("lockgate.agent", &record.agent),
        ("lockgate.server", &record.server),
        ("mcp.method.name", &record.method),
        (if is_tool { "gen_ai.tool.name" } else { "lockgate.name" }, &record.name),
        ("lockgate.stage", &record.stage),
        ("lockgate.reason", &record.reason),
    ];
    facts.into_iter().filter_map(|(key, value)| Some(text(key, value.as_deref()?))).collect()
}

/// `SeverityNumber` of the log data model.
fn severity(outcome: Outcome) -> (u8, &'static str) {
    match outcome {
        Outcome::Ok | Outcome::Cancelled => (9, "INFO"),
        Outcome::Refused => (13, "WARN"),
        Outcome::Failed => (17, "ERROR"),
    }
}
