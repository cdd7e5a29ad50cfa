//! Audit records as logs of OpenTelemetry.

use jiff::Timestamp;
use lockgate_audit::{Entry, Outcome, Record};
use serde_json::{Map, Value, json};

use super::{HttpSink, word};
use crate::Line;
use crate::error::ExportError;
use crate::otlp::{self, number, text};

pub(crate) struct Otlp(HttpSink);

impl Otlp {
    pub(super) fn new(sink: &HttpSink) -> Self {
        Self(sink.again())
    }

    pub(super) async fn send(&self, lines: &[Line]) -> Result<(), ExportError> {
        otlp::send(&self.0, &self.request(lines), "rejectedLogRecords").await
    }

    fn request(&self, lines: &[Line]) -> Value {
        let records: Vec<Value> = lines.iter().map(record).collect();
        json!({ "resourceLogs": [{
            "resource": otlp::resource(&self.0.node),
            "scopeLogs": [{ "scope": { "name": "lockgate.audit" }, "logRecords": records }],
        }]})
    }
}

/// A log record: the line as its body, and what is searched for as attributes.
fn record(line: &Line) -> Value {
    let mut record = Map::new();
    record.insert("body".into(), json!({ "stringValue": line.text }));
    let mut attributes = vec![number("lockgate.audit.seq", line.seq)];
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
