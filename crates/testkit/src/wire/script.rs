//! What each tool does, as a list of steps. Nothing here touches a socket, so that the same script
//! is played over HTTP and over standard output, and can be tested as a value.

use std::time::Duration;

use serde_json::{json, value::RawValue};

use super::call::{Arguments, Call};

/// Most events or notifications that a client may ask for.
const PIECES_MAX: u32 = 100_000;
/// Most bytes that `large` and `flood` send; a flood ends, so that a broken test does too.
const BYTES_MAX: usize = 1 << 30;
/// Size of one piece of a flood.
const FLOOD_PIECE_BYTES: usize = 64 * 1024;
/// A result that a typed model would change: fields that it does not know, numbers that it cannot
/// hold, spaces and escapes that it would write in another way.
pub(super) const EXACT_RESULT: &str = r#"{"content":[{"type":"text","text":"caf\u00e9 \ud83d\ude00 \/ é","vendor":{"n":1.0,"big":18446744073709551616,"tiny":1E-400}}],  "structuredContent" : {"1.0":1.0,"0.1":0.10,"neg":-0},"x-unknown":[null,true , false],"resultType":"complete","_meta":{"example.com/k":"\u0041"} }"#;

/// How messages are framed on the way to this client.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Framing {
    /// HTTP/1.1: a JSON body, or a stream of events.
    Http,
    /// One message a line.
    Lines,
}

/// The start of an HTTP response.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Head {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    /// Whether what is sent is framed as chunks.
    pub(super) chunked: bool,
}

/// One thing that the server does.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Send the start of the response.
    Begin(Head),
    /// Send these bytes.
    Send(Vec<u8>),
    /// Send these bytes as often as that.
    Repeat(Vec<u8>, usize),
    /// Wait.
    Pause(Duration),
    /// Wait until that many clients wait under this key.
    Meet(String, usize),
    /// Do nothing until the client goes away.
    Hang,
    /// Close the connection without a word (over lines: end the process).
    Close,
}

/// Builds steps for one framing.
struct Writer {
    framing: Framing,
    steps: Vec<Step>,
}

impl Writer {
    fn begin(&mut self, status: u16, headers: Vec<(String, String)>, chunked: bool) {
        if self.framing == Framing::Http {
            self.steps.push(Step::Begin(Head { status, headers, chunked }));
        }
    }

    fn stream(&mut self) {
        let headers = [("content-type", "text/event-stream"), ("cache-control", "no-store")];
        self.begin(200, owned(&headers), true);
    }

    /// One message of a stream.
    fn event(&mut self, message: &str) {
        let bytes = match self.framing {
            Framing::Http => format!("data: {message}\n\n"),
            Framing::Lines => format!("{message}\n"),
        };
        self.steps.push(Step::Send(bytes.into_bytes()));
    }

    /// The whole answer as one body, whose stated length is `extra` bytes off.
    fn body(&mut self, status: u16, headers: &[(&str, &str)], body: &str, extra: i64) {
        if self.framing == Framing::Lines {
            return self.event(body);
        }
        let length = i64::try_from(body.len()).unwrap_or(i64::MAX).saturating_add(extra).max(0);
        let mut headers = owned(headers);
        headers.push(("content-length".to_owned(), length.to_string()));
        self.begin(status, headers, false);
        self.steps.push(Step::Send(body.as_bytes().to_vec()));
    }

    fn json(&mut self, body: &str) {
        self.body(200, &[("content-type", "application/json")], body, 0);
    }
}

fn owned(headers: &[(&str, &str)]) -> Vec<(String, String)> {
    headers.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
}

/// A JSON-RPC result whose `result` is exactly `raw`.
pub(super) fn result(id: &str, raw: &str) -> String {
    format!(r#"{{"jsonrpc":"2.0","id":{id},"result":{raw}}}"#)
}

/// A JSON-RPC error.
pub(super) fn error(id: &str, code: i64, message: &str) -> String {
    let message = json!(message);
    format!(r#"{{"jsonrpc":"2.0","id":{id},"error":{{"code":{code},"message":{message}}}}}"#)
}

/// A tool result with one text.
pub(super) fn text_result(text: &str) -> String {
    let text = json!(text);
    format!(r#"{{"content":[{{"type":"text","text":{text}}}],"resultType":"complete"}}"#)
}

/// The names of all tools, with one sentence each; `tools/list` is made of them.
pub(super) const TOOLS: [(&str, &str); 14] = [
    ("echo", "Returns the request as it arrived."),
    ("exact", "Returns exactly the given result."),
    ("raw", "Answers with exactly the given status, headers and body."),
    ("events", "Streams exactly the given bytes."),
    ("large", "Returns a text of the given length."),
    ("slow", "Streams events with a pause before each."),
    ("progress", "Reports progress under the caller's own token."),
    ("meet", "Answers when all clients with the same key have called."),
    ("hang", "Never completes its answer."),
    ("die", "Closes the connection half-way."),
    ("lie", "States a length that is not the length of its body."),
    ("flood", "Streams events as fast as they are read."),
    ("expire", "Forgets every session."),
    ("redefine", "Changes its own description."),
];

/// The steps by which `tool` answers. `arrived` is the request as it came, for `echo`.
///
/// # Errors
/// One sentence, for a tool that does not exist or an argument out of bounds.
pub(super) fn script(call: &Call<'_>, framing: Framing, arrived: &str) -> Result<Vec<Step>, String> {
    let (Some(tool), Some(params), Some(id)) = (call.tool(), &call.params, call.id) else {
        return Err("this is no call of a tool".to_owned());
    };
    let (id, given) = (id.get(), &params.arguments);
    if given.pieces > PIECES_MAX || given.bytes > BYTES_MAX {
        return Err(format!("at most {PIECES_MAX} pieces and {BYTES_MAX} bytes"));
    }
    let mut out = Writer { framing, steps: Vec::new() };
    let label = text_result(&given.label);
    match tool {
        "echo" => out.json(&result(id, &text_result(arrived))),
        "exact" => out.json(&result(id, given.text.as_deref().unwrap_or(EXACT_RESULT))),
        "raw" => raw(&mut out, given, id),
        "events" => {
            out.stream();
            let bytes = given.text.as_deref().unwrap_or_default().replace("$ID", id);
            out.steps.push(Step::Send(bytes.into_bytes()));
        }
        "large" => {
            let message = result(id, &text_result(&"x".repeat(given.bytes)));
            if given.sse {
                out.stream();
                out.event(&message);
            } else {
                out.json(&message);
            }
        }
        "slow" | "progress" => {
            let token = params.meta.as_ref().and_then(|meta| meta.progress_token);
            pieces(&mut out, given, token.map(RawValue::get));
            out.event(&result(id, &label));
        }
        "meet" => {
            out.steps.push(Step::Meet(given.key.clone(), given.count.max(1)));
            out.json(&result(id, &label));
        }
        "hang" => {
            partial(&mut out, &given.after, &result(id, &label))?;
            out.steps.push(Step::Hang);
        }
        "die" => {
            partial(&mut out, &given.after, &result(id, &label))?;
            out.steps.push(Step::Close);
        }
        "lie" => {
            let headers = [("content-type", "application/json")];
            out.body(200, &headers, &result(id, &label), given.extra);
            out.steps.push(Step::Close);
        }
        "flood" => {
            flood(&mut out, given.bytes);
            out.event(&result(id, &label));
        }
        "expire" | "redefine" => out.json(&result(id, &text_result("Done."))),
        _ => return Err(format!("there is no tool `{tool}`")),
    }
    Ok(out.steps)
}

fn raw(out: &mut Writer, given: &Arguments, id: &str) {
    let headers = given.headers.iter().map(|(name, value)| (name.as_str(), value.as_str()));
    let headers: Vec<(&str, &str)> = headers.collect();
    let body = given.text.as_deref().unwrap_or_default().replace("$ID", id);
    out.body(given.status.unwrap_or(200), &headers, &body, 0);
}

fn flood(out: &mut Writer, bytes: usize) {
    out.stream();
    let filler = "x".repeat(FLOOD_PIECE_BYTES);
    let piece = notification("notifications/message", &json!(filler).to_string(), out.framing);
    let times = bytes.div_ceil(piece.len());
    out.steps.push(Step::Repeat(piece, times));
}

fn notification(method: &str, data: &str, framing: Framing) -> Vec<u8> {
    let message =
        format!(r#"{{"jsonrpc":"2.0","method":"{method}","params":{{"level":"info","data":{data}}}}}"#);
    match framing {
        Framing::Http => format!("data: {message}\n\n").into_bytes(),
        Framing::Lines => format!("{message}\n").into_bytes(),
    }
}

/// The notifications of `slow` and `progress`: under the caller's token when it gave one.
fn pieces(out: &mut Writer, given: &Arguments, token: Option<&str>) {
    out.stream();
    for piece in 1..=given.pieces {
        out.steps.push(Step::Pause(Duration::from_millis(given.interval_ms)));
        match token {
            Some(token) => out.event(&format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/progress","params":{{"progressToken":{token},"progress":{piece},"total":{},"message":{}}}}}"#,
                given.pieces,
                json!(given.label),
            )),
            None => {
                let bytes = notification("notifications/message", &piece.to_string(), out.framing);
                out.steps.push(Step::Send(bytes));
            }
        }
    }
}

/// The beginning of an answer, as far as `after` says.
fn partial(out: &mut Writer, after: &str, message: &str) -> Result<(), String> {
    match after {
        "" | "nothing" => {}
        "headers" => out.stream(),
        "event" => {
            out.stream();
            let bytes = notification("notifications/message", "\"begun\"", out.framing);
            out.steps.push(Step::Send(bytes));
        }
        "body" => {
            let half = message.len() / 2;
            let rest = i64::try_from(message.len() - half).unwrap_or(i64::MAX);
            out.body(200, &[("content-type", "application/json")], &message[..half], rest);
        }
        _ => {
            return Err(format!("`after` is nothing, headers, event or body, not `{after}`"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn steps(tool: &str, arguments: &str, framing: Framing) -> Result<Vec<Step>, String> {
        let text = format!(
            r#"{{"jsonrpc":"2.0","id":1e2,"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments},"_meta":{{"progressToken":"t\u0031"}}}}}}"#
        );
        let call: Call<'_> = serde_json::from_str(&text).expect("a call");
        script(&call, framing, "ARRIVED")
    }

    fn sent(steps: &[Step]) -> String {
        let bytes = steps.iter().flat_map(|step| match step {
            Step::Send(bytes) => bytes.clone(),
            _ => Vec::new(),
        });
        String::from_utf8(bytes.collect()).expect("text")
    }

    #[test]
    fn ids_tokens_and_results_stay_as_they_came() {
        let exact = steps("exact", r#"{"text":"{ \"a\":1.0}"}"#, Framing::Lines).expect("steps");
        assert_eq!(sent(&exact), "{\"jsonrpc\":\"2.0\",\"id\":1e2,\"result\":{ \"a\":1.0}}\n");
        let progress = steps("progress", r#"{"pieces":1}"#, Framing::Http).expect("steps");
        assert!(sent(&progress).contains(r#""progressToken":"t\u0031""#));
        let events = steps("events", r#"{"text":": c\nid: $ID\r\n\r\n"}"#, Framing::Http);
        assert_eq!(sent(&events.expect("steps")), ": c\nid: 1e2\r\n\r\n");
    }

    #[test]
    fn a_lie_is_exactly_as_large_as_asked() {
        for (extra, closed) in [(0, true), (7, true), (-7, true)] {
            let lie = steps("lie", &format!(r#"{{"extra":{extra}}}"#), Framing::Http).expect("steps");
            let Some(Step::Begin(head)) = lie.first() else { panic!("no head") };
            let stated = head.headers.iter().find(|(name, _)| name == "content-length");
            let stated: i64 = stated.expect("a length").1.parse().expect("a number");
            assert_eq!(stated, i64::try_from(sent(&lie).len()).expect("small") + extra);
            assert_eq!(lie.last() == Some(&Step::Close), closed);
        }
    }

    #[test]
    fn every_listed_tool_has_a_script_and_no_other() {
        for (tool, _) in TOOLS {
            for framing in [Framing::Http, Framing::Lines] {
                assert!(steps(tool, r#"{"bytes":10,"pieces":2}"#, framing).is_ok(), "{tool}");
            }
        }
        assert!(steps("unknown", "{}", Framing::Http).is_err());
        assert!(steps("large", r#"{"bytes":99999999999}"#, Framing::Http).is_err());
        assert!(steps("die", r#"{"after":"lunch"}"#, Framing::Http).is_err());
    }

    #[test]
    fn half_a_body_states_its_whole_length() {
        let die = steps("die", r#"{"after":"body"}"#, Framing::Http).expect("steps");
        let whole = sent(&steps("large", "{}", Framing::Http).expect("steps"));
        let Some(Step::Begin(head)) = die.first() else { panic!("no head") };
        assert!(head.headers.contains(&("content-length".to_owned(), whole.len().to_string())));
        assert!(sent(&die).len() < whole.len());
    }
}
