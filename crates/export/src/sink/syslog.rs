//! Syslog messages (RFC 5424) over TLS, each behind its length (RFC 5425, section 4.3).
//!
//! Syslog has no answers: what was written may still be on its way when a connection breaks. What was sent shortly before
//! is therefore sent again over the next one.

use std::collections::VecDeque;
use std::time::Duration;

use lockgate_audit::{Entry, Outcome};
use lockgate_transport::Io;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use super::{SyslogSink, word};
use crate::Line;
use crate::error::ExportError;

/// How long after it was sent a record is sent again when the connection breaks, in seconds: more than a retransmission
/// takes to give up hope on a bad line.
const DOUBTED_S_MAX: u64 = 15;

/// Most records that are remembered for that.
const DOUBTED_MAX: usize = 4096;

/// Facility 13, "log audit" (RFC 5424, table 1).
const FACILITY: u8 = 13;

pub(crate) struct Syslog {
    sink: SyslogSink,
    io: Option<Io>,
    doubted: VecDeque<(Instant, String)>,
}

impl Syslog {
    pub(super) fn new(sink: &SyslogSink) -> Self {
        let sink = SyslogSink {
            dialer: sink.dialer.clone(),
            host: sink.host.clone(),
            port: sink.port,
            node: sink.node.clone(),
        };
        Self { sink, io: None, doubted: VecDeque::new() }
    }

    pub(super) fn reset(&mut self) {
        self.io = None;
    }

    pub(super) async fn send(&mut self, lines: &[Line]) -> Result<(), ExportError> {
        if self.is_gone().await {
            self.io = None;
        }
        if self.io.is_none() {
            let link = self.sink.dialer.dial(&self.sink.host, self.sink.port).await;
            let mut io = link.map_err(|error| ExportError::Unreachable(error.to_string()))?.io;
            let old = Duration::from_secs(DOUBTED_S_MAX);
            self.doubted.retain(|(sent, _)| sent.elapsed() < old);
            let again: String = self.doubted.iter().map(|(_, frame)| frame.as_str()).collect();
            write(&mut io, &again).await?;
            self.io = Some(io);
        }
        let frames: Vec<String> = lines.iter().map(|line| frame(line, &self.sink.node)).collect();
        let io = self.io.as_mut().expect("it was just opened");
        write(io, &frames.concat()).await?;
        let now = Instant::now();
        self.doubted.extend(frames.into_iter().map(|frame| (now, frame)));
        let surplus = self.doubted.len().saturating_sub(DOUBTED_MAX);
        self.doubted.drain(..surplus);
        Ok(())
    }

    /// Whether the server has closed the connection. It has nothing to say, so that anything to read is the end.
    async fn is_gone(&mut self) -> bool {
        let Some(io) = &mut self.io else { return true };
        let mut byte = [0];
        timeout(Duration::from_millis(1), io.read(&mut byte)).await.is_ok()
    }
}

async fn write(io: &mut Io, text: &str) -> Result<(), ExportError> {
    let broken = |error: std::io::Error| ExportError::Unreachable(format!("the connection broke: {error}"));
    io.write_all(text.as_bytes()).await.map_err(broken)?;
    io.flush().await.map_err(broken)
}

/// `LENGTH SP <PRI>1 TIME HOST lockgate - KIND [lockgate seq="N"] MESSAGE`. The message is the line, JSON in UTF-8, behind
/// a byte order mark (RFC 5424, section 6.4).
fn frame(line: &Line, node: &str) -> String {
    let entry = Entry::parse(&line.text).ok();
    // Informational, warning, error; notice for what cannot be read.
    let severity = match entry.as_ref().map(|entry| entry.record.outcome) {
        Some(Outcome::Ok | Outcome::Cancelled) => 6,
        Some(Outcome::Refused) => 4,
        Some(Outcome::Failed) => 3,
        None => 5,
    };
    let priority = FACILITY * 8 + severity;
    let time = entry.as_ref().map_or("-", |entry| entry.time.as_str());
    let kind = entry.as_ref().map_or_else(|| "-".to_owned(), |entry| word(entry.record.kind));
    let message = format!(
        "<{priority}>1 {time} {} lockgate - {kind} [lockgate seq=\"{}\"] \u{feff}{}",
        host(node),
        line.seq,
        line.text
    );
    format!("{} {message}", message.len())
}

/// A host name may have printable ASCII only, 255 at most (RFC 5424, section 6).
fn host(node: &str) -> String {
    let name: String = node.chars().filter(char::is_ascii_graphic).take(255).collect();
    if name.is_empty() { "-".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_what_rfc_5424_and_5425_ask_for() {
        let text = r#"{"schema":"lockgate.audit/1","seq":7,"prev":"00","time":"2026-11-22T14:00:00.000000Z","kind":"refusal","outcome":"refused","name":"é"}"#;
        let framed = frame(&Line { seq: 7, text: text.to_owned() }, "gw one\n");
        let (length, message) = framed.split_once(' ').unwrap();
        assert_eq!(length.parse::<usize>().unwrap(), message.len(), "the length counts bytes");
        let begin =
            "<108>1 2026-11-22T14:00:00.000000Z gwone lockgate - refusal [lockgate seq=\"7\"] \u{feff}{";
        assert!(message.starts_with(begin), "{message}");
        assert!(message.ends_with(text));
        let odd = frame(&Line { seq: 8, text: "no record".to_owned() }, "");
        assert!(odd.contains("<109>1 - - lockgate - - [lockgate seq=\"8\"]"), "{odd}");
    }
}
