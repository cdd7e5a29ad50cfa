//! The stdio relay: lines of a client that knows nothing of tunnels, as streamable HTTP through one.
//!
//! The two eras of MCP differ in what stdio leaves out. A *legacy* client shakes hands once; the relay keeps the
//! session id and version for it, listens for what the server says by itself, and resumes streams that broke. A
//! *modern* client says everything in each message; the relay mirrors what HTTP wants mirrored, and a cancelled call
//! is a stream that is dropped. A call is never sent twice once the gateway may have seen it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use lockgate_mcp::headers::{self, ParamHeaders};
use lockgate_mcp::{Kind, Limits, Message, list, reply, salvage_id};
use lockgate_transport::http::Body;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, BufReader};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::answer::{Events, Unanswered, collect, is_stream};
use super::lines::{self, Line};
use super::session::Session;
use super::tunnel::Tunnel;

/// Messages that wait for a slow reader of stdout; then the tunnel's flow control slows the sender.
const QUEUE_MESSAGES_MAX: usize = 64;

/// How long calls in flight may go on after stdin has ended.
const DRAIN_S_MAX: u64 = 30;

/// How long the farewell to the session may take.
const FAREWELL_S_MAX: u64 = 2;

/// How long the gateway may take to accept a notification, which it answers before it acts.
const ACCEPT_S_MAX: u64 = 30;

/// Pause before a stream that ended is opened again, unless the server asks for another; it grows up to the maximum.
const RESUME_MS: u64 = 1_000;
const RESUME_MS_MAX: u64 = 30_000;

/// Longest pause that a server can ask for: an hour.
const RETRY_MS_MAX: u64 = 3_600_000;

/// Tools whose mirrored arguments are remembered.
const TOOLS_MAX: usize = 10_000;

/// A relay between one client and one gateway.
pub(super) struct Relay {
    tunnel: Tunnel,
    out: mpsc::Sender<Bytes>,
    session: Session,
    /// What headers must mirror of each tool's arguments, from the lists that passed.
    tools: Mutex<HashMap<String, Arc<ParamHeaders>>>,
    calls: Mutex<HashMap<String, Call>>,
    /// The tasks of calls, and of answers to the server.
    calling: TaskTracker,
    /// The tasks of listening streams.
    listening: TaskTracker,
    /// Cancelled when the relay ends; streams that would go on for ever end with it.
    ended: CancellationToken,
    requests: Limits,
    results: Limits,
}

/// A request that waits for its answer.
#[derive(Clone)]
struct Call {
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
                    let text = format!("the message is larger than {} bytes", self.requests.message_bytes_max);
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
            endless: message.method() == Some("subscriptions/listen"),
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

    /// Sends what has no answer. The client expects none, so that a failure goes to the log.
    async fn notify(self: &Arc<Self>, message: &Message) {
        let deadline = Duration::from_secs(ACCEPT_S_MAX);
        let sent = tokio::time::timeout(deadline, self.post(message)).await.unwrap_or(Err(Unanswered::NoAnswer));
        let refused = match sent {
            Ok(response) if response.status().is_success() => return,
            Ok(response) => Unanswered::Status(response.status(), Bytes::new()),
            Err(unanswered) => unanswered,
        };
        tracing::warn!(method = message.method().unwrap_or("response"), "not delivered: {refused}");
    }

    /// Sends a request and passes on everything that comes before and with its answer. `swallow` keeps the answer
    /// itself from the client.
    async fn exchange(self: &Arc<Self>, message: &Message, swallow: Option<&str>) -> Result<(), Unanswered> {
        let response = self.post(message).await?;
        if message.method() == Some("initialize") {
            self.session.learn_id(response.headers());
        }
        let id = message.id_raw();
        let status = response.status();
        if !status.is_success() {
            let body = collect(response.into_body(), self.results.message_bytes_max).await?;
            return Err(Unanswered::Status(status, body));
        }
        if is_stream(&response) {
            return self.stream(response, message, swallow).await;
        }
        let body = collect(response.into_body(), self.results.message_bytes_max).await?;
        if body.is_empty() {
            return Err(Unanswered::NoAnswer);
        }
        let answer = Message::decode(body, &self.results).map_err(|error| Unanswered::Malformed(error.to_string()))?;
        if answer.id_raw() != id {
            // An error without an id, which JSON-RPC allows, still answers this request.
            return Err(Unanswered::Status(status, answer.bytes().clone()));
        }
        self.pass(&answer, Some(message), swallow).await;
        Ok(())
    }

    /// Passes on a stream until it brings the answer. One that broke before is resumed where the server can, which is
    /// where it numbers its events (legacy only).
    async fn stream(self: &Arc<Self>, response: Response<Body>, message: &Message, swallow: Option<&str>) -> Result<(), Unanswered> {
        let mut events = Events::new(response.into_body(), &self.results);
        let mut place = Place::default();
        loop {
            while let Some(event) = events.next().await {
                place.note(&event);
                let Some(answer) = self.read_event(event.data).await else { continue };
                let answers = matches!(answer.kind(), Kind::Result | Kind::Error) && answer.id_raw() == message.id_raw();
                self.pass(&answer, answers.then_some(message), swallow).await;
                if answers {
                    return Ok(());
                }
            }
            let Some(last) = place.last.clone() else { return Err(Unanswered::NoAnswer) };
            tokio::time::sleep(place.pause()).await;
            let response = self.get(Some(&last)).await?;
            if !response.status().is_success() || !is_stream(&response) {
                return Err(Unanswered::NoAnswer);
            }
            events = Events::new(response.into_body(), &self.results);
        }
    }

    /// Listens for what the server says by itself, until the session or the relay ends.
    fn listen(self: &Arc<Self>) {
        let over = self.session.listen();
        let relay = Arc::clone(self);
        self.listening.spawn(async move {
            tokio::select! {
                () = relay.hear() => {}
                () = over.cancelled() => {}
                () = relay.ended.cancelled() => {}
            }
        });
    }

    async fn hear(&self) {
        let mut place = Place::default();
        loop {
            match self.get(place.last.as_ref()).await {
                Ok(response) if response.status().is_success() && is_stream(&response) => {
                    let mut events = Events::new(response.into_body(), &self.results);
                    while let Some(event) = events.next().await {
                        place.note(&event);
                        if let Some(message) = self.read_event(event.data).await {
                            self.pass(&message, None, None).await;
                        }
                    }
                }
                // A server need not offer this stream (405), and a session that is gone (404) has none.
                Ok(response) if response.status().is_client_error() => return,
                Ok(response) => tracing::debug!(status = %response.status(), "no listening stream yet"),
                Err(unanswered) => tracing::debug!("no listening stream yet: {unanswered}"),
            }
            tokio::time::sleep(place.pause()).await;
        }
    }

    /// The message in an event. One that cannot be read is answered, if it is an answer that somebody waits for.
    async fn read_event(&self, data: Option<Bytes>) -> Option<Message> {
        let data = data.filter(|data| !data.is_empty())?;
        match Message::decode(data.clone(), &self.results) {
            Ok(message) => Some(message),
            Err(error) => {
                tracing::warn!(%error, "a message from the server was left out");
                let id = salvage_id(&data, &self.results).filter(|id| self.calls.lock().contains_key(id))?;
                let text = format!("the answer is no MCP message: {error}");
                Message::decode(reply::error(Some(&id), reply::code::UPSTREAM, &text, None), &self.results).ok()
            }
        }
    }

    /// Passes a message to the client, after learning from it what later requests need.
    async fn pass(&self, message: &Message, answers: Option<&Message>, swallow: Option<&str>) {
        match answers.and_then(Message::method) {
            Some("initialize") => self.session.learn_version(message),
            Some("tools/list") => self.learn_tools(message),
            _ => {}
        }
        if answers.is_none() || swallow.is_none() || message.id_raw() != swallow {
            self.say(message.bytes().clone()).await;
        }
    }

    fn learn_tools(&self, result: &Message) {
        let Ok(items) = list::items(result, "tools") else { return };
        let mut tools = self.tools.lock();
        for item in items {
            let name = &item.name;
            // An invalid annotation is the server's mistake: nothing is mirrored, and the gateway says what is missing.
            match ParamHeaders::from_tool_raw(item.raw) {
                Ok(params) if !params.is_empty() && tools.len() < TOOLS_MAX => {
                    tools.insert(name.to_string(), Arc::new(params));
                }
                _ => drop(tools.remove(name.as_ref())),
            }
        }
    }

    /// Posts a message. Where the gateway no longer knows the session, it is opened anew and the message, which then
    /// reached nobody, is posted once more.
    async fn post(self: &Arc<Self>, message: &Message) -> Result<Response<Body>, Unanswered> {
        let legacy = message.meta_protocol_version().is_none() && message.method() != Some("initialize");
        let session = self.session.id().filter(|_| legacy);
        let response = self.send(self.post_request(message, legacy)).await?;
        match session {
            Some(lost) if response.status() == StatusCode::NOT_FOUND => {
                self.revive(&lost).await?;
                self.send(self.post_request(message, legacy)).await
            }
            _ => Ok(response),
        }
    }

    fn post_request(&self, message: &Message, in_session: bool) -> Request<Full<Bytes>> {
        let tool = message.name().and_then(|name| self.tools.lock().get(name).cloned());
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json, text/event-stream"));
        headers.extend(headers::mirror(message, tool.as_deref()));
        if in_session {
            self.session.sign(&mut headers);
        }
        self.request(Method::POST, headers, message.bytes().clone())
    }

    async fn get(&self, last: Option<&HeaderValue>) -> Result<Response<Body>, Unanswered> {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT, HeaderValue::from_static("text/event-stream"));
        self.session.sign(&mut headers);
        if let Some(last) = last {
            headers.insert(headers::LAST_EVENT_ID, last.clone());
        }
        self.send(self.request(Method::GET, headers, Bytes::new())).await
    }

    fn request(&self, method: Method, headers: HeaderMap, body: Bytes) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = self.tunnel.endpoint().path.parse().expect("an endpoint's path is a URI");
        *request.headers_mut() = headers;
        request
    }

    async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Body>, Unanswered> {
        self.tunnel.send(request).await.map_err(Unanswered::Tunnel)
    }

    /// Opens the session anew with the client's own `initialize`. Its answer is not for the client, who has one.
    async fn revive(self: &Arc<Self>, lost: &HeaderValue) -> Result<(), Unanswered> {
        let _turn = self.session.reviving.lock().await;
        if self.session.id().as_ref() != Some(lost) {
            return Ok(());
        }
        let hello = self.session.hello().ok_or(Unanswered::SessionLost)?;
        tracing::info!("the session has ended; opening it anew");
        self.session.begin(&hello);
        Box::pin(self.exchange(&hello, hello.id_raw())).await.map_err(|unanswered| match unanswered {
            Unanswered::Tunnel(error) => Unanswered::Tunnel(error),
            _ => Unanswered::SessionLost,
        })?;
        let ready = reply::call(None, "notifications/initialized", None);
        let ready = Message::decode(ready, &self.requests).expect("our own notification is a message");
        let response = self.send(self.post_request(&ready, true)).await?;
        if !response.status().is_success() {
            return Err(Unanswered::SessionLost);
        }
        self.listen();
        Ok(())
    }

    async fn refuse(&self, message: &Message, unanswered: &Unanswered) {
        tracing::warn!(method = message.method().unwrap_or_default(), "no answer: {unanswered}");
        self.say(unanswered.reply(message.id_raw(), self.tunnel.endpoint())).await;
    }

    async fn say(&self, message: Bytes) {
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
            let farewell = self.send(self.request(Method::DELETE, headers, Bytes::new()));
            // The session ends by itself if this does not arrive.
            let _ = tokio::time::timeout(Duration::from_secs(FAREWELL_S_MAX), farewell).await;
        }
        let tasks = async { tokio::join!(self.calling.wait(), self.listening.wait()) };
        let _ = tokio::time::timeout(Duration::from_secs(FAREWELL_S_MAX), tasks).await;
    }
}

/// Where a stream stopped, and when to come back.
#[derive(Debug, Default)]
struct Place {
    last: Option<HeaderValue>,
    retry_ms: Option<u64>,
    attempts: u32,
}

impl Place {
    fn note(&mut self, event: &lockgate_mcp::sse::Event) {
        self.attempts = 0;
        if let Some(id) = &event.id {
            // An empty id means: resume from nowhere in particular.
            self.last = HeaderValue::try_from(id.as_str()).ok().filter(|id| !id.is_empty());
        }
        self.retry_ms = event.retry.or(self.retry_ms);
    }

    fn pause(&mut self) -> Duration {
        let asked = self.retry_ms.unwrap_or(RESUME_MS).min(RETRY_MS_MAX);
        let pause = (asked << self.attempts.min(5)).min(RESUME_MS_MAX.max(asked));
        self.attempts += 1;
        Duration::from_millis(pause)
    }
}
