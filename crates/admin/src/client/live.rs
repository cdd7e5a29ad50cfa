//! Questions about what happened of late, and the stream of it.

use std::time::Duration;

use axum::http::{HeaderValue, Method, StatusCode, header};
use bytes::{Buf, Bytes, BytesMut};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::task::AbortHandle;

use super::{ANSWER_BYTES_MAX, Client, ClientError, segment};
use crate::api::{Live, LiveQuery, LiveSummary, Ticket, TicketRequest};
use crate::fault::Fault;

/// Longest line of a stream in bytes: an event whose every text is of the greatest length has some 40 kB.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Longest silence of a stream: the node says every 15 seconds that it is there.
const SILENCE_MAX: Duration = Duration::from_secs(60);

/// What a stream brings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// The stream begins; so many events that were asked for are not kept any more.
    Begun {
        /// How many.
        missed: u64,
    },
    /// An event, as JSON text on one line: a `lockgate_live::Numbered`.
    Event(String),
    /// This end reads too slowly and was cut off; so many events were lost. Ask again with [`Tap::last`].
    Cut {
        /// How many.
        missed: u64,
    },
    /// The node ends.
    End,
}

/// A stream of events. Dropping it closes it.
#[derive(Debug)]
pub struct Tap {
    body: Incoming,
    buffer: BytesMut,
    last: Option<String>,
    connection: AbortHandle,
    client: Client,
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.connection.abort();
    }
}

impl Client {
    /// A ticket for the dashboard.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn ticket(&self, request: &TicketRequest) -> Result<Ticket, ClientError> {
        self.post("/v1/dashboard", request).await
    }

    /// Events of late.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn live(&self, query: &LiveQuery) -> Result<Live, ClientError> {
        self.get(&format!("/v1/live{}", written(query))).await
    }

    /// What the events come to.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn live_summary(&self) -> Result<LiveSummary, ClientError> {
        self.get("/v1/live/summary").await
    }

    /// Follows the events as they come; `last` is where another stream had come to.
    ///
    /// # Errors
    /// [`ClientError`].
    pub async fn tap(&self, query: &LiveQuery, last: Option<&str>) -> Result<Tap, ClientError> {
        let unreachable = |source| ClientError::Unreachable { addr: self.addr, source };
        let stream = TcpStream::connect(self.addr).await.map_err(unreachable)?;
        let shaken = http1::handshake(TokioIo::new(stream)).await;
        let (mut sender, connection) = shaken.map_err(|error| self.foreign(&error))?;
        // What ends it also ends the body, which tells.
        let connection = tokio::spawn(async move { drop(connection.await) }).abort_handle();
        let path = format!("/v1/live/stream{}", written(query));
        let mut request = self.request(Method::GET, &path, Bytes::new())?;
        if let Some(last) = last.and_then(|last| HeaderValue::from_str(last).ok()) {
            request.headers_mut().insert("last-event-id", last);
        }
        request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        let response = tokio::time::timeout(self.answer_max, sender.send_request(request)).await;
        let answer_s_max = self.answer_max.as_secs();
        let silent = |_| ClientError::Silent { addr: self.addr, answer_s_max };
        let response = response.map_err(silent)?.map_err(|error| self.foreign(&error))?;
        let status = response.status();
        if status != StatusCode::OK {
            let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect().await;
            let body = body.map_err(|error| self.foreign(&*error))?.to_bytes();
            return Err(match Fault::parse(status, &body) {
                Some(fault) => ClientError::Refused(fault),
                None => self.odd(format!("it answers {status}")),
            });
        }
        let (body, buffer) = (response.into_body(), BytesMut::new());
        Ok(Tap { body, buffer, last: last.map(str::to_owned), connection, client: self.clone() })
    }
}

/// The query as part of a path.
fn written(query: &LiveQuery) -> String {
    let number = |number: Option<u64>| number.map(|number| number.to_string());
    let pairs = [
        ("after", number(query.after)),
        ("limit", number(query.limit.and_then(|limit| u64::try_from(limit).ok()))),
        ("agent", query.agent.clone()),
        ("server", query.server.clone()),
        ("tool", query.tool.clone()),
        ("verdict", query.verdict.clone()),
        ("kind", query.kind.clone()),
    ];
    let given =
        pairs.iter().filter_map(|(name, value)| Some(format!("{name}={}", segment(value.as_deref()?))));
    let given: Vec<String> = given.collect();
    if given.is_empty() { String::new() } else { format!("?{}", given.join("&")) }
}

impl Tap {
    /// Where it has come to, for the next one.
    pub fn last(&self) -> Option<&str> {
        self.last.as_deref()
    }

    /// What comes next.
    ///
    /// # Errors
    /// [`ClientError`] when the stream breaks without a word.
    pub async fn next(&mut self) -> Result<Seen, ClientError> {
        let (mut event, mut data) = (String::new(), String::new());
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                match seen(&event, std::mem::take(&mut data)) {
                    Some(seen) => return Ok(seen),
                    None => event.clear(),
                }
            } else if let Some(id) = line.strip_prefix("id: ") {
                self.last = Some(id.to_owned());
            } else if let Some(name) = line.strip_prefix("event: ") {
                event = name.to_owned();
            } else if let Some(text) = line.strip_prefix("data: ") {
                data = text.to_owned();
            }
        }
    }

    async fn line(&mut self) -> Result<String, ClientError> {
        loop {
            if let Some(end) = self.buffer.iter().position(|byte| *byte == b'\n') {
                let line = self.buffer.split_to(end);
                self.buffer.advance(1);
                return String::from_utf8(line.to_vec()).map_err(|error| self.client.foreign(&error));
            }
            if self.buffer.len() > LINE_BYTES_MAX {
                return Err(self
                    .client
                    .odd(format!("a line of its stream has more than {LINE_BYTES_MAX} bytes")));
            }
            let frame = tokio::time::timeout(SILENCE_MAX, self.body.frame()).await;
            let silence_s = SILENCE_MAX.as_secs();
            let silent = |_| self.client.odd(format!("its stream was silent for {silence_s} s"));
            let frame = frame.map_err(silent)?;
            let frame = frame.ok_or_else(|| self.client.odd("its stream ended without a word".to_owned()))?;
            let frame = frame.map_err(|error| self.client.foreign(&error))?;
            if let Some(data) = frame.data_ref() {
                self.buffer.extend_from_slice(data);
            }
        }
    }
}

fn seen(event: &str, data: String) -> Option<Seen> {
    #[derive(serde::Deserialize)]
    struct Missed {
        missed: u64,
    }
    let missed = || serde_json::from_str::<Missed>(&data).map_or(0, |said| said.missed);
    match event {
        "hello" => Some(Seen::Begun { missed: missed() }),
        "cut" => Some(Seen::Cut { missed: missed() }),
        "end" => Some(Seen::End),
        _ if data.is_empty() => None,
        _ => Some(Seen::Event(data)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queries_are_written_as_paths_take_them() {
        let text = |text: &str| Some(text.to_owned());
        assert_eq!(written(&LiveQuery::default()), "");
        let query = LiveQuery {
            after: Some(3),
            agent: text("a&b=c d"),
            verdict: text("denied,held"),
            ..LiveQuery::default()
        };
        assert_eq!(written(&query), "?after=3&agent=a%26b%3Dc%20d&verdict=denied%2Cheld");
    }

    #[test]
    fn what_is_said_is_told_apart() {
        for (event, data, found) in [
            ("", "", None),
            ("", "{}", Some(Seen::Event("{}".into()))),
            ("hello", r#"{"launch":1,"missed":2}"#, Some(Seen::Begun { missed: 2 })),
            ("cut", r#"{"missed":9}"#, Some(Seen::Cut { missed: 9 })),
            ("end", r#"{"missed":0}"#, Some(Seen::End)),
        ] {
            assert_eq!(seen(event, data.to_owned()), found, "{event}: {data}");
        }
    }
}
