//! stdio upstreams: child processes that speak newline-delimited JSON-RPC.
//!
//! A [`Conversation`] is one child and one party. In the legacy era the party is a session, so ids and progress tokens
//! are the client's own. In the modern era it is an agent, whose clients may choose the same ids at the same time:
//! there, ids and progress tokens are replaced on the way in and restored on the way out, and nobody else's calls can
//! ever meet them.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, StatusCode, header};
use bytes::Bytes;
use lockgate_mcp::{Era, Kind, Message, sse};
use lockgate_transport::child::{self, Child};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::http::chain;
use super::{Answer, AnswerBody, Exchange, Frame, Frames, UpstreamError, UpstreamSession, Verb};
use crate::limits::Limits;

/// Messages that may wait for one reader before the child itself has to wait: back-pressure, not a buffer.
const QUEUE_MESSAGES_MAX: usize = 16;

/// Member of `_meta` that tells to which `subscriptions/listen` a notification belongs (MCP 2026-07-28).
const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// A server started as a child process.
pub struct StdioUpstream {
    spawner: Arc<child::Spawner>,
    spec: child::Spec,
    limits: Arc<Limits>,
    /// Modern era: the conversation of each agent.
    agents: Mutex<HashMap<String, Arc<Conversation>>>,
}

impl StdioUpstream {
    /// The server that `spawner` starts by `spec`.
    pub fn new(spawner: Arc<child::Spawner>, spec: child::Spec, limits: Arc<Limits>) -> Self {
        Self { spawner, spec, limits, agents: Mutex::default() }
    }

    pub(crate) fn describe(&self) -> String {
        format!("stdio:{}", self.spec.program)
    }

    /// Child processes alive now.
    pub fn children(&self) -> usize {
        self.spawner.alive()
    }

    /// Ends the conversations of agents that have said nothing for `idle`.
    pub fn reap(&self, idle: Duration) {
        let now = Instant::now();
        self.agents.lock().retain(|_, conversation| !conversation.is_idle(now, idle));
    }

    pub(crate) async fn exchange(
        &self,
        exchange: &Exchange<'_>,
        session: Option<&UpstreamSession>,
    ) -> Result<Answer, UpstreamError> {
        let held = match session {
            Some(UpstreamSession::Child(conversation)) if conversation.is_over() => {
                return Err(UpstreamError::SessionLost);
            }
            Some(UpstreamSession::Child(conversation)) => Some(conversation.clone()),
            _ => None,
        };
        let message = exchange.screened.message();
        match (exchange.verb, held, exchange.era) {
            (Verb::Post, Some(conversation), _) => self.post(&conversation, message).await,
            (Verb::Post, None, Era::Modern) => {
                self.post(&self.conversation_of(exchange.agent).await?, message).await
            }
            (Verb::Post, None, Era::Legacy) if message.method() == Some("initialize") => {
                let conversation = self.converse(false).await?;
                let mut answer = self.post(&conversation, message).await?;
                answer.session = Some(UpstreamSession::Child(conversation));
                Ok(answer)
            }
            (Verb::Get, Some(conversation), _) => {
                Ok(stream(Frames::Child(Box::new(conversation.listen(self.limits.stream())))))
            }
            (Verb::Delete, Some(conversation), _) => {
                conversation.ended.cancel();
                Ok(empty(StatusCode::OK))
            }
            (_, None, _) => {
                Err(UpstreamError::Unsupported("a stdio server needs a session: send `initialize` first"))
            }
        }
    }

    async fn post(
        &self,
        conversation: &Arc<Conversation>,
        message: &Message,
    ) -> Result<Answer, UpstreamError> {
        if message.kind() != Kind::Request {
            conversation.send(message.bytes().clone()).await?;
            return Ok(empty(StatusCode::ACCEPTED));
        }
        let mut listener = conversation.call(message, self.limits.call()).await?;
        let first = timeout(self.limits.first_byte(), listener.receive())
            .await
            .map_err(|_| UpstreamError::Timeout {
                what: "begin its answer",
                seconds: self.limits.first_byte_s_max,
            })?
            .ok_or_else(|| UpstreamError::Broken(conversation.last_words()))??;
        if is_final(&first) {
            return Ok(one(first));
        }
        listener.peeked = Some(first);
        Ok(stream(Frames::Child(Box::new(listener))))
    }

    async fn conversation_of(&self, agent: &str) -> Result<Arc<Conversation>, UpstreamError> {
        if let Some(found) = self.agents.lock().get(agent).filter(|c| !c.is_over()) {
            return Ok(found.clone());
        }
        let fresh = self.converse(true).await?;
        let mut agents = self.agents.lock();
        // Another call of the same agent may have been quicker: then its child serves both, and ours ends here.
        match agents.get(agent).filter(|c| !c.is_over()) {
            Some(found) => Ok(found.clone()),
            None => {
                agents.insert(agent.to_owned(), fresh.clone());
                Ok(fresh)
            }
        }
    }

    async fn converse(&self, shared: bool) -> Result<Arc<Conversation>, UpstreamError> {
        let child = self.spawner.spawn(&self.spec).await.map_err(|error| match error {
            child::ChildError::TooMany { children_max, .. } => UpstreamError::TooManyChildren(children_max),
            other => UpstreamError::Unreachable(chain(&other)),
        })?;
        Ok(Conversation::begin(child, shared, &self.limits))
    }
}

/// One child process, talking with one session (legacy) or one agent (modern).
pub struct Conversation {
    outbox: mpsc::Sender<Bytes>,
    state: Arc<Mutex<State>>,
    ended: CancellationToken,
    /// Whether several clients share this child, so that ids must be told apart.
    shared: bool,
    next: AtomicU64,
    _end_with_me: DropGuard,
}

struct State {
    calls: HashMap<String, Slot>,
    listener: Option<mpsc::Sender<Message>>,
    backlog: VecDeque<Message>,
    backlog_max: usize,
    last_words: Option<String>,
    used: Instant,
}

/// A call in flight, under the id that the child knows.
struct Slot {
    to: mpsc::Sender<Message>,
    number: u64,
    token: Option<String>,
    /// The client's own id and progress token, where they were replaced.
    original: Option<Original>,
}

#[derive(Clone)]
struct Original {
    id: String,
    token: Option<String>,
}

impl Conversation {
    fn begin(child: Child, shared: bool, limits: &Arc<Limits>) -> Arc<Self> {
        let ended = CancellationToken::new();
        let (outbox, inbox) = mpsc::channel(QUEUE_MESSAGES_MAX);
        let state = Arc::new(Mutex::new(State {
            calls: HashMap::new(),
            listener: None,
            backlog: VecDeque::new(),
            backlog_max: limits.backlog_messages_max,
            last_words: None,
            used: Instant::now(),
        }));
        tokio::spawn(converse(child, inbox, state.clone(), ended.clone(), limits.results()));
        Arc::new(Self {
            outbox,
            state,
            shared,
            next: AtomicU64::new(1),
            _end_with_me: ended.clone().drop_guard(),
            ended,
        })
    }

    fn is_over(&self) -> bool {
        self.ended.is_cancelled()
    }

    fn is_idle(&self, now: Instant, idle: Duration) -> bool {
        let state = self.state.lock();
        self.is_over() || (state.calls.is_empty() && now.duration_since(state.used) > idle)
    }

    fn last_words(&self) -> String {
        self.state.lock().last_words.clone().unwrap_or_else(|| "the process ended".to_owned())
    }

    async fn send(&self, line: Bytes) -> Result<(), UpstreamError> {
        self.state.lock().used = Instant::now();
        self.outbox.send(line).await.map_err(|_| UpstreamError::Broken(self.last_words()))
    }

    async fn call(self: &Arc<Self>, message: &Message, life: Duration) -> Result<Listener, UpstreamError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (to, from) = mpsc::channel(QUEUE_MESSAGES_MAX);
        let (sent, id, slot) = self.address(message, number, to);
        {
            let mut state = self.state.lock();
            if state.calls.contains_key(&id) {
                return Err(UpstreamError::Malformed(format!(
                    "request id {id} is in use by a call in flight"
                )));
            }
            state.calls.insert(id.clone(), slot);
        }
        let listener = Listener {
            from,
            peeked: None,
            call: Some((self.clone(), id)),
            deadline: Instant::now() + life,
            seconds: life.as_secs(),
            done: false,
        };
        self.send(sent.bytes().clone()).await?;
        Ok(listener)
    }

    /// Gives a request the id and progress token under which the child shall know it.
    fn address(&self, message: &Message, number: u64, to: mpsc::Sender<Message>) -> (Message, String, Slot) {
        let id = message.id_raw().unwrap_or("null").to_owned();
        let token = message.progress_token_raw().map(str::to_owned);
        if !self.shared {
            return (message.clone(), id, Slot { to, number, token, original: None });
        }
        let own = number.to_string();
        let mut sent = message.with_id(&own);
        if token.is_some() {
            sent = sent.with_progress_token(&own);
        }
        let slot = Slot {
            to,
            number,
            token: token.as_ref().map(|_| own.clone()),
            original: Some(Original { id, token }),
        };
        (sent, own, slot)
    }

    fn listen(&self, life: Duration) -> Listener {
        let (to, from) = mpsc::channel(QUEUE_MESSAGES_MAX + 1);
        let mut state = self.state.lock();
        while let Some(message) = state.backlog.pop_front() {
            if let Err(mpsc::error::TrySendError::Full(message)) = to.try_send(message) {
                state.backlog.push_front(message);
                break;
            }
        }
        state.listener = Some(to);
        Listener {
            from,
            peeked: None,
            call: None,
            deadline: Instant::now() + life,
            seconds: life.as_secs(),
            done: false,
        }
    }
}

/// Messages for one call, or for a legacy client that listens.
pub struct Listener {
    from: mpsc::Receiver<Message>,
    peeked: Option<Message>,
    call: Option<(Arc<Conversation>, String)>,
    deadline: Instant,
    seconds: u64,
    done: bool,
}

impl Listener {
    pub(crate) async fn next(&mut self) -> Option<Result<Frame, UpstreamError>> {
        let message = match self.receive().await? {
            Ok(message) => message,
            Err(error) => return Some(Err(error)),
        };
        Some(Ok(Frame { raw: sse::encode(message.bytes()), event: None, message: Some(message) }))
    }

    async fn receive(&mut self) -> Option<Result<Message, UpstreamError>> {
        if self.done {
            return None;
        }
        if let Some(message) = self.peeked.take() {
            return Some(Ok(message));
        }
        match timeout_at(self.deadline, self.from.recv()).await {
            Err(_) => {
                self.done = true;
                Some(Err(UpstreamError::Timeout { what: "finish its answer", seconds: self.seconds }))
            }
            Ok(None) => {
                self.done = true;
                let (conversation, _) = self.call.as_ref()?;
                Some(Err(UpstreamError::Broken(conversation.last_words())))
            }
            Ok(Some(message)) => {
                self.done = self.call.is_some() && is_final(&message);
                Some(Ok(message))
            }
        }
    }
}

impl Drop for Listener {
    /// A call that is dropped before its answer is cancelled: in the modern era the child is told so, because leaving
    /// the stream is how a client cancels. A legacy client that leaves has not cancelled.
    fn drop(&mut self) {
        let Some((conversation, id)) = self.call.take() else { return };
        let unanswered = conversation.state.lock().calls.remove(&id).is_some();
        if unanswered && conversation.shared {
            let line = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
            );
            let _ = conversation.outbox.try_send(Bytes::from(line));
        }
    }
}

/// Runs one child until it ends, its party leaves, or it breaks the protocol.
async fn converse(
    child: Child,
    mut inbox: mpsc::Receiver<Bytes>,
    state: Arc<Mutex<State>>,
    ended: CancellationToken,
    limits: lockgate_mcp::Limits,
) {
    let Child { mut stdin, stdout: mut lines, handle } = child;
    let write = async {
        while let Some(line) = inbox.recv().await {
            if let Err(error) = stdin.send(&line).await {
                return format!("its stdin broke: {error}");
            }
        }
        "its party left".to_owned()
    };
    let read = async {
        loop {
            match lines.next_line().await {
                Ok(Some(line)) => deliver(&state, line, &limits).await,
                Ok(None) => return "it closed its stdout".to_owned(),
                Err(error) => return error.to_string(),
            }
        }
    };
    let why = tokio::select! {
        why = write => why,
        why = read => why,
        () = ended.cancelled() => "its party left".to_owned(),
    };
    ended.cancel();
    stdin.close();
    let exit = handle.stop().await;
    let mut state = state.lock();
    state.last_words = Some(last_words(&why, &exit, &handle.stderr_tail()));
    state.calls.clear();
    state.listener = None;
}

/// What to tell of a child that ended: why, how, and the last line that it wrote to stderr.
fn last_words(why: &str, exit: &child::Exit, stderr: &str) -> String {
    match stderr.lines().rev().find(|line| !line.trim().is_empty()) {
        Some(line) => {
            format!("{why} ({exit}); its last line on stderr: {}", line.chars().take(200).collect::<String>())
        }
        None => format!("{why} ({exit})"),
    }
}

async fn deliver(state: &Mutex<State>, line: Bytes, limits: &lockgate_mcp::Limits) {
    let message = match Message::decode(line, limits) {
        Ok(message) => message,
        Err(error) => {
            tracing::warn!(target: "lockgate::forward", %error, "a stdio server wrote a line that is no MCP message; skipped");
            return;
        }
    };
    let Some((to, message)) = place(&mut state.lock(), message) else { return };
    // A party that reads slowly makes its own child wait, and nobody else's.
    let _ = to.send(message).await;
}

/// Whom a child's message is for, and the message as that party knows it.
fn place(state: &mut State, message: Message) -> Option<(mpsc::Sender<Message>, Message)> {
    state.used = Instant::now();
    if is_final(&message) {
        let slot = state.calls.remove(message.id_raw()?)?;
        let message = match &slot.original {
            Some(original) => message.with_id(&original.id),
            None => message,
        };
        return Some((slot.to, message));
    }
    let slot = match (message.progress_token_raw(), message.meta_member_raw(SUBSCRIPTION_ID)) {
        (Some(token), _) => state.calls.values().find(|slot| slot.token.as_deref() == Some(token)),
        (None, Some(id)) => state.calls.get(id),
        (None, None) => state.calls.values().max_by_key(|slot| slot.number),
    };
    match slot {
        Some(slot) => Some((slot.to.clone(), restore(slot.original.as_ref(), message))),
        None => leave_for_listener(state, message),
    }
}

fn restore(original: Option<&Original>, message: Message) -> Message {
    let Some(original) = original else { return message };
    if let (Some(_), Some(token)) = (message.progress_token_raw(), &original.token) {
        return message.with_progress_token(token);
    }
    if message.meta_member_raw(SUBSCRIPTION_ID).is_some() {
        return message.with_meta_member(SUBSCRIPTION_ID, &original.id).expect("the id was decoded as JSON");
    }
    message
}

fn leave_for_listener(state: &mut State, message: Message) -> Option<(mpsc::Sender<Message>, Message)> {
    if let Some(to) = state.listener.as_ref().filter(|to| !to.is_closed()) {
        return Some((to.clone(), message));
    }
    state.listener = None;
    if state.backlog.len() == state.backlog_max {
        state.backlog.pop_front();
        tracing::warn!(target: "lockgate::forward", "nobody listens to a stdio server: its oldest message was dropped");
    }
    state.backlog.push_back(message);
    None
}

fn is_final(message: &Message) -> bool {
    matches!(message.kind(), Kind::Result | Kind::Error)
}

fn one(message: Message) -> Answer {
    Answer {
        status: StatusCode::OK,
        headers: media("application/json"),
        session: None,
        body: AnswerBody::One(message),
    }
}

fn stream(frames: Frames) -> Answer {
    let mut headers = media("text/event-stream");
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Answer { status: StatusCode::OK, headers, session: None, body: AnswerBody::Stream(frames) }
}

fn empty(status: StatusCode) -> Answer {
    Answer { status, headers: HeaderMap::new(), session: None, body: AnswerBody::Empty }
}

fn media(value: &'static str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> Message {
        Message::decode(Bytes::from(text.to_owned()), &lockgate_mcp::Limits::default()).unwrap()
    }

    fn state() -> State {
        State {
            calls: HashMap::new(),
            listener: None,
            backlog: VecDeque::new(),
            backlog_max: 2,
            last_words: None,
            used: Instant::now(),
        }
    }

    /// Two clients of one agent that chose the same id and the same progress token.
    fn shared() -> (State, Vec<mpsc::Receiver<Message>>) {
        let mut state = state();
        let mut receivers = Vec::new();
        for number in [1, 2] {
            let (to, from) = mpsc::channel(4);
            let original = Original { id: "7".into(), token: Some("\"t\"".into()) };
            let own = number.to_string();
            state.calls.insert(own.clone(), Slot { to, number, token: Some(own), original: Some(original) });
            receivers.push(from);
        }
        (state, receivers)
    }

    #[tokio::test]
    async fn same_ids_and_tokens_of_two_clients_meet_their_own_call() {
        let (mut state, mut receivers) = shared();
        let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":2,"progress":1}}"#;
        for (text, receiver, expected) in [
            (progress, 1, r#""progressToken":"t""#),
            (r#"{"jsonrpc":"2.0","id":1,"result":{"of":"first"}}"#, 0, r#""id":7,"result":{"of":"first"}"#),
            (r#"{"jsonrpc":"2.0","id":2,"result":{"of":"second"}}"#, 1, r#""id":7,"result":{"of":"second"}"#),
        ] {
            let (to, message) = place(&mut state, message(text)).unwrap();
            to.send(message).await.unwrap();
            let got = receivers[receiver].recv().await.unwrap();
            assert!(got.text().contains(expected), "{}", got.text());
        }
        assert!(state.calls.is_empty());
        assert!(
            place(&mut state, message(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#)).is_none(),
            "answered already"
        );
    }

    #[test]
    fn subscriptions_find_the_call_that_listens() {
        let (mut state, _receivers) = shared();
        let text = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":1}}}"#;
        let (_, placed) = place(&mut state, message(text)).unwrap();
        assert_eq!(placed.meta_member_raw(SUBSCRIPTION_ID), Some("7"));
    }

    #[test]
    fn what_nobody_waits_for_is_kept_for_a_listener_within_bounds() {
        let mut state = state();
        for level in ["a", "b", "c"] {
            let text = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"{level}"}}}}"#
            );
            assert!(place(&mut state, message(&text)).is_none());
        }
        let kept: Vec<_> =
            state.backlog.iter().map(|m| m.params_member_raw("level").unwrap().to_owned()).collect();
        assert_eq!(kept, ["\"b\"", "\"c\""]);
    }
}
