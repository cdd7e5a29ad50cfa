//! Upstreams: the MCP servers that calls are forwarded to.
//!
//! Whatever the transport, an upstream takes a [`Screened`] message and gives an [`Answer`]: nothing, one message, or
//! a stream of frames. Sessions of the legacy era are the upstream's own ([`UpstreamSession`]); the ids that clients
//! hold are minted by the pipeline and never leave it.

pub mod credential;
mod headers;
pub mod http;
pub(crate) mod prefix;
pub mod stdio;

pub(crate) use headers::{carried, named};

use std::sync::Arc;
use std::time::Instant;

use ::http::{HeaderMap, StatusCode};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream, SelectAll, StreamExt};
use lockgate_detect::Screened;
use lockgate_identity::Caller;
use lockgate_mcp::{Era, Message};

use crate::circuit::{Breaker, Circuit};
use crate::limits::Limits;

/// What a client asked for, by its HTTP method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// One message to the server.
    Post,
    /// Legacy era: listen to what the server says of its own accord, or resume a stream.
    Get,
    /// Legacy era: end the session.
    Delete,
}

/// One message on its way to an upstream.
pub struct Exchange<'a> {
    /// What to do.
    pub verb: Verb,
    /// The message; only detection can make this type, out of a permit.
    pub screened: &'a Screened,
    /// The client's headers; each transport takes from them what the server may see.
    pub headers: &'a HeaderMap,
    /// The protocol era of the message.
    pub era: Era,
    /// Whose call it is. Servers that keep state per connection keep one per agent.
    pub agent: &'a str,
    /// Who makes it, for credentials that are the caller's own.
    pub caller: &'a Caller,
}

impl Exchange<'_> {
    /// Whether the answer is a stream that lasts: it ends when its listener has had enough, not when a call is answered.
    pub fn listens(&self) -> bool {
        self.verb == Verb::Get || is_listening(self.screened.message().method().unwrap_or_default())
    }
}

/// Whether a call of this method listens for as long as its client likes.
pub fn is_listening(method: &str) -> bool {
    method == "subscriptions/listen"
}

/// The upstream's side of a legacy session.
#[derive(Clone)]
pub enum UpstreamSession {
    /// Streamable HTTP: the id that the server minted, if it did.
    Http(Option<Arc<str>>),
    /// stdio: the child process that this session talks to.
    Child(Arc<stdio::Conversation>),
}

impl UpstreamSession {
    /// Whether both are the same session.
    pub fn is_same(&self, other: &UpstreamSession) -> bool {
        match (self, other) {
            (UpstreamSession::Http(a), UpstreamSession::Http(b)) => a == b,
            (UpstreamSession::Child(a), UpstreamSession::Child(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// What an upstream answered.
pub struct Answer {
    /// HTTP status; of a stdio server, the one that streamable HTTP prescribes for the case.
    pub status: StatusCode,
    /// Response headers that the client may see.
    pub headers: HeaderMap,
    /// The session that the server opened with this answer.
    pub session: Option<UpstreamSession>,
    /// The answer itself.
    pub body: AnswerBody,
}

/// The shapes of an answer.
pub enum AnswerBody {
    /// No body (accepted notification, ended session).
    Empty,
    /// One JSON-RPC message.
    One(Message),
    /// Something that is not a JSON-RPC message, with an error status; only its beginning is kept.
    Opaque(String),
    /// Server-sent events, or their like.
    Stream(Frames),
}

/// A stream of frames from an upstream.
pub enum Frames {
    /// Server-sent events.
    Http(Box<http::Events>),
    /// Messages of a stdio server that belong to this call or listener.
    Child(Box<stdio::Listener>),
    /// One server's stream among those of all servers together: what it names carries its id.
    Prefixed(Arc<str>, Box<Frames>),
    /// The streams of several servers.
    Merged(Merged),
}

/// Frames of several streams, in the order in which they come.
pub struct Merged(SelectAll<BoxStream<'static, Result<Frame, UpstreamError>>>);

/// One frame of a stream: bytes that can be forwarded as they came, and the message in them, if there is one.
pub struct Frame {
    /// Whose frame it is, in the streams of all servers together.
    pub server: Option<Arc<str>>,
    /// The exact bytes of the event, its end included.
    pub raw: Bytes,
    /// The event around the message, where it came as one.
    pub event: Option<lockgate_mcp::sse::Event>,
    /// The message; comments and pure `retry` events have none.
    pub message: Option<Message>,
}

impl Frames {
    /// The next frame; `None` at the end of the stream. Cancel-safe: dropping the stream tells the upstream.
    pub async fn next(&mut self) -> Option<Result<Frame, UpstreamError>> {
        match self {
            Frames::Http(events) => events.next().await,
            Frames::Child(listener) => listener.next().await,
            Frames::Prefixed(server, inner) => {
                let frame = Box::pin(inner.next()).await?;
                Some(frame.map(|frame| prefix::frame(server, frame)))
            }
            Frames::Merged(merged) => merged.0.next().await,
        }
    }

    /// Whether the server tells by the stream which call a message belongs to. A child process has one stream for all of
    /// its calls.
    pub(crate) fn tells_calls_apart(&self) -> bool {
        match self {
            Frames::Http(_) => true,
            Frames::Child(_) | Frames::Merged(_) => false,
            Frames::Prefixed(_, inner) => inner.tells_calls_apart(),
        }
    }

    /// One stream of several. A server whose stream fails leaves; the others go on.
    pub fn merge(streams: impl Iterator<Item = Frames>) -> Frames {
        let streams = streams.map(|frames| {
            stream::unfold(frames, |mut frames| async move {
                match frames.next().await {
                    Some(Ok(frame)) => Some((Ok(frame), frames)),
                    Some(Err(_)) | None => None,
                }
            })
            .boxed()
        });
        Frames::Merged(Merged(stream::select_all(streams)))
    }
}

/// Why an upstream gave no usable answer, ordered by what the caller can do about it.
#[derive(Debug, thiserror::Error)]
pub enum UpstreamError {
    /// The server no longer knows the session; it can be opened anew.
    #[error("the server has ended this session")]
    SessionLost,
    /// Too many failures in a row; left alone for a while.
    #[error("the server failed {failures_max} times in a row ({last}); the next try is in {retry_ms} ms")]
    CircuitOpen {
        /// Milliseconds until the next try.
        retry_ms: u64,
        /// Failures that opened the circuit.
        failures_max: u32,
        /// The last failure.
        last: String,
    },
    /// No connection, or no process.
    #[error("the server cannot be reached: {0}")]
    Unreachable(String),
    /// The link to the server did not meet our cryptographic profile.
    #[error("the link to the server was refused: {0}")]
    CryptoRefused(String),
    /// No answer within the deadline.
    #[error("the server did not {what} within {seconds} s")]
    Timeout {
        /// What it did not do.
        what: &'static str,
        /// The deadline.
        seconds: u64,
    },
    /// The answer broke off, or its length was not what it said.
    #[error("the server's answer broke off: {0}")]
    Broken(String),
    /// The answer is larger than the limit.
    #[error("the server's answer is larger than {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// The answer is no MCP message, or answers something else.
    #[error("the server's answer is no valid MCP message: {0}")]
    Malformed(String),
    /// The server answered with an error where the gateway itself asked for something.
    #[error("the server declined{}", .0.map(|code| format!(" with error {code}")).unwrap_or_default())]
    Declined(Option<i64>),
    /// The server wants credentials that the gateway has not got.
    #[error("the server answered {0}: it wants credentials of its own, and the client's are never passed on")]
    Unauthorized(StatusCode),
    /// The credential that this node presents to the server is not there.
    #[error("the credential `{0}` for this server cannot be opened, so nothing is sent")]
    NoCredential(String),
    /// The authorization server of the server gave no token for the caller.
    #[error(
        "no credential for this caller could be gotten from the authorization server of `{0}`, so nothing is sent"
    )]
    NotExchanged(String),
    /// The server understood that the transport cannot do this.
    #[error("{0}")]
    Unsupported(&'static str),
    /// The server already runs as many children as it may.
    #[error("the server already runs {0} processes, its limit; end a session or raise the limit")]
    TooManyChildren(usize),
}

impl UpstreamError {
    /// Whether the upstream's health is to blame, so that its circuit counts it.
    pub fn counts(&self) -> bool {
        matches!(
            self,
            UpstreamError::Unreachable(_) | UpstreamError::Timeout { .. } | UpstreamError::Broken(_)
        )
    }
}

/// How to reach a server.
pub enum Transport {
    /// Streamable HTTP.
    Http(http::HttpUpstream),
    /// A child process that speaks newline-delimited JSON on stdin and stdout.
    Stdio(stdio::StdioUpstream),
}

/// An upstream with its circuit.
pub struct Upstream {
    transport: Transport,
    breaker: Breaker,
    limits: Arc<Limits>,
}

impl Upstream {
    /// An upstream over `transport`, within `limits`.
    pub fn new(transport: Transport, limits: Arc<Limits>) -> Self {
        let breaker = Breaker::new(limits.circuit_failures_max, limits.circuit_pause_ms_max);
        Self { transport, breaker, limits }
    }

    /// Sends one message and gives the beginning of the answer.
    ///
    /// # Errors
    /// [`UpstreamError`]; [`UpstreamError::SessionLost`] when `session` is one that the server no longer knows.
    pub async fn exchange(
        &self,
        exchange: &Exchange<'_>,
        session: Option<&UpstreamSession>,
    ) -> Result<Answer, UpstreamError> {
        if let Circuit::Open { retry_ms } = self.breaker.admit(Instant::now()) {
            let last = self.breaker.last_error().unwrap_or_default();
            let failures_max = self.limits.circuit_failures_max;
            return Err(UpstreamError::CircuitOpen { retry_ms, failures_max, last });
        }
        let answer = match &self.transport {
            Transport::Http(upstream) => upstream.exchange(exchange, session).await,
            Transport::Stdio(upstream) => upstream.exchange(exchange, session).await,
        };
        match &answer {
            // Nothing was heard of the server, or it had nothing to say: many begin a stream with its first event.
            Err(UpstreamError::TooManyChildren(_)) => {}
            Err(UpstreamError::Timeout { .. }) if exchange.listens() => {}
            Err(error) if error.counts() => self.report(error),
            Err(_) | Ok(_) => self.breaker.succeed(),
        }
        answer
    }

    /// Counts a failure that showed only after the answer had begun.
    pub fn report(&self, error: &UpstreamError) {
        // A child that ends has failed its own party; the next party gets another child.
        let is_own_matter =
            matches!((&self.transport, error), (Transport::Stdio(_), UpstreamError::Broken(_)));
        if error.counts() && !is_own_matter && self.breaker.fail(Instant::now(), error.to_string()) {
            tracing::warn!(target: "lockgate::forward", upstream = %self.describe(), %error, "circuit opened");
        }
    }

    /// The circuit's state now.
    pub fn circuit(&self) -> Circuit {
        self.breaker.look(Instant::now())
    }

    /// The last failure since the upstream last answered.
    pub fn last_error(&self) -> Option<String> {
        self.breaker.last_error()
    }

    /// Where the server is, for people: its URL without credentials, or its program.
    pub fn describe(&self) -> String {
        match &self.transport {
            Transport::Http(upstream) => upstream.describe(),
            Transport::Stdio(upstream) => upstream.describe(),
        }
    }

    /// The transport, for its own figures.
    pub fn transport(&self) -> &Transport {
        &self.transport
    }
}
