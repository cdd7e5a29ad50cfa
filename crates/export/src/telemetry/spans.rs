//! Calls as spans, named and described by the semantic conventions of OpenTelemetry for MCP.

use std::sync::Arc;
use std::time::Duration;

use lockgate_live::{Call, Event, STAGES, Trace, Verdict, What};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::error::ExportError;
use crate::otlp::{self, number, object, text};
use crate::sink::HttpSink;
use crate::standing::Standing;

/// Calls that may wait to be sent: some 8 MB, and half a minute of an outage at 250 kept calls a second.
pub const SPANS_MAX: usize = 8_192;

/// Most calls in a request: what takes less than a millisecond to write.
const BATCH_MAX: usize = 64;

/// How long a request waits for further calls, in milliseconds.
const LINGER_MS: u64 = 500;

/// Longest time that a request may take, in seconds.
const SEND_S_MAX: u64 = 10;

/// First and longest pause after a failure, in milliseconds.
const PAUSE_MS: (u64, u64) = (500, 30_000);

/// The stage that forwards, by its place in [`STAGES`].
const FORWARD: usize = 7;

/// `SpanKind` of the protocol: inside, on the server's side, on the client's side.
const INTERNAL: u8 = 1;
const SERVER: u8 = 2;
const CLIENT: u8 = 3;

/// Where events are handed over.
#[derive(Debug)]
pub struct SpanFeed {
    sender: mpsc::Sender<Event>,
    standing: Arc<Standing>,
}

impl SpanFeed {
    /// Takes an event, if it is a call that is traced. Never waits: what finds no room is counted as lost.
    pub fn seen(&self, event: &Event) {
        let What::Call(call) = &event.what else { return };
        if call.trace.is_some() && self.sender.try_send(event.clone()).is_err() {
            self.standing.lost(1);
        }
    }
}

/// Sends what a feed takes.
#[derive(Debug)]
pub struct Spans {
    receiver: mpsc::Receiver<Event>,
    standing: Arc<Standing>,
}

/// A feed, and what sends from it.
pub fn spans(standing: &Arc<Standing>) -> (SpanFeed, Spans) {
    let (sender, receiver) = mpsc::channel(SPANS_MAX);
    let feed = SpanFeed { sender, standing: Arc::clone(standing) };
    (feed, Spans { receiver, standing: Arc::clone(standing) })
}

impl Spans {
    /// Sends to `sink` until `end`, or until the feed is gone.
    pub async fn run(mut self, sink: HttpSink, end: CancellationToken) {
        let send = async {
            while let Some(batch) = self.batch().await {
                self.deliver(&sink, &batch).await;
            }
        };
        tokio::select! {
            () = send => {}
            () = end.cancelled() => {}
        }
    }

    async fn batch(&mut self) -> Option<Vec<Event>> {
        let mut batch = vec![self.receiver.recv().await?];
        let more = async {
            while batch.len() < BATCH_MAX {
                match self.receiver.recv().await {
                    Some(event) => batch.push(event),
                    None => return,
                }
            }
        };
        let _ = timeout(Duration::from_millis(LINGER_MS), more).await;
        Some(batch)
    }

    /// Sends a batch until it is taken, or refused for good.
    async fn deliver(&self, sink: &HttpSink, batch: &[Event]) {
        let request = request(&sink.node, batch);
        let mut pause = PAUSE_MS.0;
        loop {
            let limit = Duration::from_secs(SEND_S_MAX);
            let sent = timeout(limit, otlp::send(sink, &request, "rejectedSpans")).await;
            let error = match sent.unwrap_or(Err(ExportError::Late(limit))) {
                Ok(()) => return self.standing.sent(batch.len() as u64),
                Err(error) => error,
            };
            if self.standing.failed(error.to_string()) {
                tracing::warn!(%error, "traces are not taken");
            }
            if !error.may_pass() {
                return self.standing.lost(batch.len() as u64);
            }
            let asked = error.retry_after().map(|asked| asked.min(Duration::from_millis(PAUSE_MS.1)));
            sleep(asked.unwrap_or(Duration::from_millis(pause))).await;
            pause = (pause * 2).min(PAUSE_MS.1);
        }
    }
}

fn request(node: &str, batch: &[Event]) -> Value {
    let spans: Vec<Value> = batch.iter().flat_map(of).collect();
    json!({ "resourceSpans": [{
        "resource": otlp::resource(node),
        "scopeSpans": [{ "scope": { "name": "lockgate.proxy" }, "spans": spans }],
    }]})
}

/// The span of a call, and those of its stages below it.
fn of(event: &Event) -> Vec<Value> {
    let What::Call(call) = &event.what else { return Vec::new() };
    let Some(trace) = &call.trace else { return Vec::new() };
    let end = event.at_ms.saturating_mul(1_000_000);
    let begin = end.saturating_sub(call.duration_us.saturating_mul(1_000));
    let mut spans = vec![whole(event.seq, call, trace, (begin, end))];
    let mut at = begin;
    // The first three are the link's, and were over before the call began.
    for (n, us) in call.stages.iter().enumerate().skip(3) {
        let Some(us) = us else { continue };
        let until = (at + u64::from(*us) * 1_000).min(end);
        spans.push(part(n, call, trace, (at, until)));
        at = until;
    }
    spans
}

fn whole(seq: Option<u64>, call: &Call, trace: &Trace, (begin, end): (u64, u64)) -> Value {
    let mut attributes = subject(call);
    attributes.extend([
        text("lockgate.agent", call.agent()),
        text("lockgate.verdict", call.verdict.name()),
        text("lockgate.listener", &call.link.listener),
    ]);
    let texts = [
        ("lockgate.stage", &call.stage),
        ("lockgate.tls.group", &call.link.group),
        ("lockgate.profile", &call.link.profile),
        ("client.address", &call.link.peer),
    ];
    attributes.extend(texts.into_iter().filter_map(|(key, value)| Some(text(key, value.as_deref()?))));
    attributes.extend(seq.map(|seq| number("lockgate.audit.seq", seq)));
    attributes.extend(call.policy_generation.map(|of| number("lockgate.policy.generation", of)));
    if let Some(safe) = call.link.quantum_safe {
        attributes.push(json!({ "key": "lockgate.quantum_safe", "value": { "boolValue": safe } }));
    }
    let lists = [
        ("lockgate.policies", call.policies.iter().map(String::as_str).collect::<Vec<_>>()),
        ("lockgate.findings", call.findings.iter().map(|found| found.id.as_str()).collect()),
    ];
    for (key, values) in lists.into_iter().filter(|(_, values)| !values.is_empty()) {
        let values: Vec<Value> = values.into_iter().map(|value| json!({ "stringValue": value })).collect();
        attributes.push(json!({ "key": key, "value": { "arrayValue": { "values": values } } }));
    }
    let span = object([
        ("traceId", trace.id.to_string().into()),
        ("spanId", trace.span.to_string().into()),
        ("parentSpanId", trace.parent.map(|parent| parent.to_string()).into()),
        ("name", name(call).into()),
        ("kind", SERVER.into()),
        ("startTimeUnixNano", begin.to_string().into()),
        ("endTimeUnixNano", end.to_string().into()),
        ("attributes", attributes.into()),
        ("status", status(call)),
    ]);
    Value::Object(span)
}

fn part(n: usize, call: &Call, trace: &Trace, (begin, end): (u64, u64)) -> Value {
    let refused = call.stage.as_deref() == Some(STAGES[n]);
    let (name, kind, attributes) = match n {
        FORWARD => (name(call), CLIENT, subject(call)),
        _ => (format!("lockgate.{}", STAGES[n]), INTERNAL, Vec::new()),
    };
    let number = u8::try_from(n + 1).expect("there are nine stages");
    let span = object([
        ("traceId", trace.id.to_string().into()),
        ("spanId", trace.span.part(number).to_string().into()),
        ("parentSpanId", trace.span.to_string().into()),
        ("name", name.into()),
        ("kind", kind.into()),
        ("startTimeUnixNano", begin.to_string().into()),
        ("endTimeUnixNano", end.to_string().into()),
        ("attributes", attributes.into()),
        ("status", if refused { status(call) } else { Value::Null }),
    ]);
    Value::Object(span)
}

/// `{mcp.method.name} {target}`, where targets are few: URIs are not.
fn name(call: &Call) -> String {
    match (call.method.as_str(), &call.name) {
        ("", _) => "mcp".to_owned(),
        (method @ ("tools/call" | "prompts/get"), Some(name)) => format!("{method} {name}"),
        (method, _) => method.to_owned(),
    }
}

/// What a call is about, under the names of the conventions where they have one. Arguments and results never are.
fn subject(call: &Call) -> Vec<Value> {
    let mut attributes = Vec::new();
    if !call.method.is_empty() {
        attributes.push(text("mcp.method.name", &call.method));
    }
    if !call.server.is_empty() {
        attributes.push(text("lockgate.server", &call.server));
    }
    if let Some(name) = &call.name {
        match call.method.as_str() {
            "tools/call" => {
                attributes
                    .extend([text("gen_ai.operation.name", "execute_tool"), text("gen_ai.tool.name", name)]);
            }
            "prompts/get" => attributes.push(text("gen_ai.prompt.name", name)),
            method if method.starts_with("resources/") => attributes.push(text("mcp.resource.uri", name)),
            _ => {}
        }
    }
    if let Some(code) = call.code {
        attributes.push(text("rpc.response.status_code", &code.to_string()));
    }
    if call.verdict != Verdict::Ok {
        let code = call.code.map(|code| code.to_string());
        attributes.push(text("error.type", code.as_deref().unwrap_or(call.verdict.name())));
    }
    attributes
}

fn status(call: &Call) -> Value {
    match call.verdict {
        Verdict::Ok | Verdict::Cancelled => Value::Null,
        verdict => json!({ "code": 2, "message": call.reason.as_deref().unwrap_or(verdict.name()) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(call: &str) -> Event {
        let trace = r#""trace":{"id":"0af7651916cd43dd8448eb211c80319c","span":"b7ad6b7169203331"}"#;
        let text = format!(
            r#"{{"at_ms":1000,"seq":9,"kind":"call","link":{{"listener":"tunnel","agent":"spiffe://x/a"}},
                "duration_us":900,"stages":[50,60,70,100,100,100,null,400,50],{trace},{call}}}"#
        );
        serde_json::from_str(&text).unwrap()
    }

    #[test]
    fn a_call_is_a_span_with_its_stages_below_it_one_after_another() {
        let event = event(r#""verdict":"ok","server":"files","method":"tools/call","name":"read""#);
        let spans = of(&event);
        assert_eq!(spans[0]["name"], "tools/call read");
        assert_eq!(spans[0]["endTimeUnixNano"], "1000000000");
        assert_eq!(spans[0]["startTimeUnixNano"], "999100000");
        assert!(spans[0].get("parentSpanId").is_none() && spans[0].get("status").is_none());
        let names: Vec<&str> = spans[1..].iter().map(|span| span["name"].as_str().unwrap()).collect();
        let forward = "tools/call read";
        assert_eq!(
            names,
            ["lockgate.decode", "lockgate.bind", "lockgate.permit", forward, "lockgate.record"]
        );
        for pair in spans[1..].windows(2) {
            assert_eq!(pair[0]["endTimeUnixNano"], pair[1]["startTimeUnixNano"]);
        }
        let What::Call(call) = &event.what else { panic!() };
        // What the server was told hangs below the span that forwards.
        assert_eq!(spans[4]["spanId"], call.trace.unwrap().below(8).span.to_string());
        assert!(spans[1..].iter().all(|span| span["parentSpanId"] == spans[0]["spanId"]));
    }

    #[test]
    fn a_refusal_is_an_error_at_its_stage() {
        let call = r#""verdict":"denied","method":"resources/read","name":"file:///x","stage":"permit","code":-31001,
            "reason":"no rule","policies":["p"]"#;
        let spans = of(&event(call));
        assert_eq!(spans[0]["name"], "resources/read", "a URI is no name of a span");
        let failed: Vec<&str> = spans
            .iter()
            .filter(|span| span["status"]["code"] == 2)
            .map(|span| span["name"].as_str().unwrap())
            .collect();
        assert_eq!(failed, ["resources/read", "lockgate.permit"]);
        let attributes = spans[0]["attributes"].to_string();
        assert!(
            attributes.contains(r#"{"key":"error.type","value":{"stringValue":"-31001"}}"#),
            "{attributes}"
        );
        assert!(attributes.contains("mcp.resource.uri"));
    }

    #[test]
    fn what_finds_no_room_is_counted_and_nobody_waits() {
        let standing = Arc::default();
        let (feed, _spans) = spans(&standing);
        let kept = event(r#""verdict":"ok""#);
        (0..SPANS_MAX + 2).for_each(|_| feed.seen(&kept));
        let mut unkept = kept;
        let What::Call(call) = &mut unkept.what else { panic!() };
        call.trace = None;
        feed.seen(&unkept);
        assert_eq!(standing.view().lost, 2);
    }
}
