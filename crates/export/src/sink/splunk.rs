//! Splunk's HTTP Event Collector: `POST /services/collector/event`, events one after another, `Authorization: Splunk TOKEN`.
//! Where the token has indexer acknowledgement on, an answer carries an `ackId`, and the batch is taken when a question
//! for it says so.

use std::fmt::Write as _;
use std::time::Duration;

use ::http::{HeaderMap, HeaderName, HeaderValue, Uri};
use jiff::Timestamp;
use lockgate_audit::Entry;
use serde::Deserialize;
use serde_json::{Value, json};

use super::HttpSink;
use super::http::{Post, authorized, shown};
use crate::Line;
use crate::error::ExportError;

/// Time between two questions for an acknowledgement, in milliseconds.
const ACK_LOOK_MS: u64 = 500;

/// How long an acknowledgement may take, in seconds: below the limit of a batch.
const ACK_S_MAX: u64 = 25;

pub(crate) struct Splunk {
    sink: HttpSink,
    /// Tells this sender from others that use the same token.
    channel: HeaderValue,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Answer {
    code: i64,
    #[serde(default)]
    text: String,
    ack_id: Option<u64>,
}

impl Splunk {
    pub(super) fn new(sink: &HttpSink) -> Self {
        Self { sink: sink.again(), channel: HeaderValue::from_str(&uuid()).expect("a UUID is ASCII") }
    }

    pub(super) async fn send(&self, lines: &[Line]) -> Result<(), ExportError> {
        let mut body = String::new();
        lines.iter().for_each(|line| self.event(line, &mut body));
        let answer = self.post(&self.sink.path, body.into_bytes()).await?;
        let answer: Answer = serde_json::from_slice(&answer).map_err(|_| unclear(&answer))?;
        match (answer.code, answer.ack_id) {
            (0, None) => Ok(()),
            (0, Some(id)) => self.acknowledged(id, lines.len()).await,
            _ => Err(unclear(answer.text.as_bytes())),
        }
    }

    async fn post(&self, path: &Uri, body: Vec<u8>) -> Result<Vec<u8>, ExportError> {
        let mut headers: HeaderMap = authorized(self.sink.token.as_deref(), "Splunk")?;
        headers.insert(HeaderName::from_static("x-splunk-request-channel"), self.channel.clone());
        Post { pool: &self.sink.pool, path, headers, body }.send().await
    }

    /// Asks until the batch is indexed.
    async fn acknowledged(&self, id: u64, records: usize) -> Result<(), ExportError> {
        let path = Uri::from_static("/services/collector/ack");
        for _ in 0..ACK_S_MAX * 1000 / ACK_LOOK_MS {
            let body = json!({ "acks": [id] }).to_string().into_bytes();
            let answer = self.post(&path, body).await?;
            let answer: Value = serde_json::from_slice(&answer).map_err(|_| unclear(&answer))?;
            if answer["acks"][id.to_string()] == true {
                return Ok(());
            }
            tokio::time::sleep(Duration::from_millis(ACK_LOOK_MS)).await;
        }
        let said = format!("not indexed within {ACK_S_MAX} s");
        Err(ExportError::Rejected { records: records as u64, said })
    }

    fn event(&self, line: &Line, out: &mut String) {
        let time = Entry::parse(&line.text).ok().and_then(|entry| entry.time.parse::<Timestamp>().ok());
        // A line that is no JSON would break the batch; it is sent as the text that it is.
        let event = match serde_json::from_str::<serde::de::IgnoredAny>(&line.text) {
            Ok(_) => line.text.clone(),
            Err(_) => Value::String(line.text.clone()).to_string(),
        };
        let host = Value::String(self.sink.node.clone());
        out.push('{');
        if let Some(time) = time {
            let micros = time.as_microsecond();
            write!(out, "\"time\":{}.{:06},", micros / 1_000_000, micros % 1_000_000)
                .expect("a String takes every text");
        }
        write!(
            out,
            "\"host\":{host},\"source\":\"lockgate\",\"sourcetype\":\"lockgate:audit\",\"event\":{event}}}"
        )
        .expect("a String takes every text");
    }
}

/// A random UUID (RFC 9562, version 4), which is what a channel must be named by.
fn uuid() -> String {
    let mut bytes = [0; 16];
    lockgate_crypto::random::fill(&mut bytes);
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    let hex = lockgate_crypto::digest::hex(&bytes);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

fn unclear(said: &[u8]) -> ExportError {
    ExportError::Refused { status: 200, said: shown(said), retry_after: None }
}
