//! The stdio relay: lines of a client that knows nothing of tunnels, as streamable HTTP through one.
//!
//! The two eras of MCP differ in what stdio leaves out. A *legacy* client shakes hands once; the relay keeps the
//! session id and version for it, listens for what the server says by itself, and resumes streams that broke. A
//! *modern* client says everything in each message; the relay mirrors what HTTP wants mirrored, and a cancelled call
//! is a stream that is dropped. A call that the gateway may have seen is sent again
//! only where that is safe (`repeat.rs`).

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use lockgate_mcp::headers::ParamHeaders;
use lockgate_mcp::{Kind, Limits, Message, reply, salvage_id};
use lockgate_tunnel::Repeat;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::Unanswered;
use super::exchange::is_endless;
use super::lines::{self, Line};
use super::repeat::Repeatable;
use super::session::Session;
use super::tunnel::Tunnel;

/// Messages that wait for a slow reader of stdout; then the tunnel's flow control slows the sender.
const QUEUE_MESSAGES_MAX: usize = 64;

/// How long calls in flight may go on after stdin has ended.
const DRAIN_S_MAX: u64 = 30;

/// How long the farewell to the session may take.
const FAREWELL_S_MAX: u64 = 2;

/// A relay between one client and one gateway.
pub(super) struct Relay {
    pub(super) tunnel: Tunnel,
    pub(super) out: mpsc::Sender<Bytes>,
    pub(super) session: Session,
    /// What headers must mirror of each tool's arguments, from the lists that passed.
    pub(super) tools: Mutex<HashMap<String, Arc<ParamHeaders>>>,
    /// Which of them may be called twice.
    pub(super) repeatable: Repeatable,
    pub(super) calls: Mutex<HashMap<String, Call>>,
    /// The tasks of calls, and of answers to the server.
    pub(super) calling: TaskTracker,
    /// The tasks of listening streams.
    pub(super) listening: TaskTracker,
    /// Cancelled when the relay ends; streams that would go on for ever end with it.
    pub(super) ended: CancellationToken,
    pub(super) requests: Limits,
    pub(super) results: Limits,
}

/// A request that waits for its answer.
#[derive(Clone)]
pub(super) struct Call {
    cancelled: CancellationToken,
    modern: bool,
    /// `subscriptions/listen` ends with the client, not with an answer.
    endless: bool,
}

/// Relays until stdin ends or `stop` is cancelled.
pub(super) async fn run(
    tunnel: Tunnel,
    input: impl AsyncRead + Unpin,
    output: impl AsyncWrite + Unpin + Send + 'static,
    stop: CancellationToken,
) -> std::io::Result<()> {
    let (out, queue) = mpsc::channel(QUEUE_MESSAGES_MAX);
    let writer = tokio::spawn(lines::write(output, queue));
    let limits = lockgate_proxy::Limits::default();
    let relay = Arc::new(Relay {
        tunnel,
        out,
        session: Session::default(),
        tools: Mutex::default(),
        repeatable: Repeatable::default(),
        calls: Mutex::default(),
        calling: TaskTracker::new(),
        listening: TaskTracker::new(),
        ended: CancellationToken::new(),
        requests: limits.requests(),
        results: limits.results(),
    });
    let closed = {
        let out = relay.out.clone();
        async move { out.closed().await }
    };
    let read = tokio::select! {
        read = relay.read(input) => read,
        () = stop.cancelled() => Ok(()),
        // Nobody reads our answers any more.
        () = closed => Ok(()),
    };
    relay.end(&stop).await;
    drop(relay);
    // What is queued is still written, unless nobody reads it.
    match tokio::time::timeout(Duration::from_secs(FAREWELL_S_MAX), writer).await {
        Ok(written) => written.unwrap_or_else(|error| Err(std::io::Error::other(error))).and(read),
        Err(_) => read,
    }
}

impl Relay {
    async fn read(self: &Arc<Self>, input: impl AsyncRead + Unpin) -> std::io::Result<()> {
        let mut input = BufReader::with_capacity(64 << 10, input);
        loop {
            match lines::read(&mut input, self.requests.message_bytes_max).await? {
                Line::End => return Ok(()),
                Line::TooLong => {
                    let text =
                        format!("the message is larger than {} bytes", self.requests.message_bytes_max);
                    self.say(reply::error(None, reply::code::INVALID_REQUEST, &text, None)).await;
                }
                Line::Text(line) => self.take(line).await,
            }
        }
    }

    /// One line from the client. Requests run side by side; everything else keeps its order.
    async fn take(self: &Arc<Self>, line: Bytes) {
        let message = match Message::decode(line.clone(), &self.requests) {
            Ok(message) => message,
            Err(error) => {
                let id = salvage_id(&line, &self.requests);
                return self.say(reply::error(id.as_deref(), error.code(), &error.to_string(), None)).await;
            }
        };
        match (message.kind(), message.method()) {
            (Kind::Request, Some("initialize")) => self.initialize(message).await,
            (Kind::Request, _) => self.call(message).await,
            (Kind::Notification, Some("notifications/cancelled")) => self.cancel(message).await,
            (Kind::Notification, Some("notifications/initialized")) => {
                self.notify(&message).await;
                self.listen();
            }
            (Kind::Notification, _) => self.notify(&message).await,
            (Kind::Result | Kind::Error, _) => {
                let relay = Arc::clone(self);
                self.calling.spawn(async move { relay.notify(&message).await });
            }
        }
    }

    /// Waits for the answer, since nothing else makes sense before it.
    async fn initialize(self: &Arc<Self>, message: Message) {
        self.session.begin(&message);
        if let Err(unanswered) = self.exchange(&message, None).await {
            self.refuse(&message, &unanswered).await;
        }
    }

    async fn call(self: &Arc<Self>, message: Message) {
        let Some(id) = message.id_raw().map(str::to_owned) else { return };
        let call = Call {
            cancelled: CancellationToken::new(),
            modern: message.meta_protocol_version().is_some(),
            endless: is_endless(&message),
        };
        if self.calls.lock().contains_key(&id) {
            let text = format!("the id {id} is in use by a request that is not answered yet");
            return self.say(reply::error(Some(&id), reply::code::INVALID_REQUEST, &text, None)).await;
        }
        self.calls.lock().insert(id.clone(), call.clone());
        let relay = Arc::clone(self);
        self.calling.spawn(async move {
            // Dropping the exchange closes its stream, and the gateway sees it at once.
            let unanswered = tokio::select! {
                answer = relay.exchange(&message, None) => answer.err(),
                () = call.cancelled.cancelled() => None,
            };
            relay.calls.lock().remove(&id);
            if let Some(unanswered) = unanswered {
                relay.refuse(&message, &unanswered).await;
            }
        });
    }

    /// In the modern era cancelling is to drop the stream; a legacy server is told so, and its answer is not awaited.
    async fn cancel(self: &Arc<Self>, message: Message) {
        let call = message.params_member_raw("requestId").and_then(|id| self.calls.lock().get(id).cloned());
        if call.as_ref().is_none_or(|call| !call.modern) {
            self.notify(&message).await;
        }
        if let Some(call) = call {
            call.cancelled.cancel();
        }
    }

    async fn refuse(&self, message: &Message, unanswered: &Unanswered) {
        tracing::warn!(method = message.method().unwrap_or_default(), "no answer: {unanswered}");
        self.say(unanswered.reply(message.id_raw(), self.tunnel.endpoint())).await;
    }

    pub(super) async fn say(&self, message: Bytes) {
        // A closed channel means that nobody reads: `run` ends for the same reason.
        let _ = self.out.send(message).await;
    }

    /// Lets calls in flight finish, unless told to stop, and says goodbye to the session.
    async fn end(self: &Arc<Self>, stop: &CancellationToken) {
        self.calls.lock().values().filter(|call| call.endless).for_each(|call| call.cancelled.cancel());
        self.calling.close();
        tokio::select! {
            () = self.calling.wait() => {}
            () = stop.cancelled() => {}
            () = self.out.closed() => {}
            () = tokio::time::sleep(Duration::from_secs(DRAIN_S_MAX)) => tracing::warn!("calls still in flight are given up"),
        }
        self.calls.lock().values().for_each(|call| call.cancelled.cancel());
        self.ended.cancel();
        self.listening.close();
        let mut headers = HeaderMap::new();
        self.session.sign(&mut headers);
        if self.session.end().is_some() {
            let farewell = self.send(self.request(Method::DELETE, headers, Bytes::new()), Repeat::Never);
            // The session ends by itself if this does not arrive.
            let _ = tokio::time::timeout(Duration::from_secs(FAREWELL_S_MAX), farewell).await;
        }
        let tasks = async { tokio::join!(self.calling.wait(), self.listening.wait()) };
        let _ = tokio::time::timeout(Duration::from_secs(FAREWELL_S_MAX), tasks).await;
    }
}
