//! One child process and its party: what is said to it, and what becomes of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use lockgate_mcp::{Message, sse};
use lockgate_transport::child::{self, Child, Handle};
use parking_lot::Mutex;
use tokio::sync::mpsc::{self, error::TrySendError};
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::sync::{CancellationToken, DropGuard};

use super::place::{Original, Placed, Slot, State, is_final};
use crate::limits::Limits;
use crate::upstream::{Frame, UpstreamError};

/// Messages that may wait for one reader before the child itself has to wait: back-pressure, not a buffer.
const QUEUE_MESSAGES_MAX: usize = 16;

/// How often a child that is due to end is looked at, whether it has nothing to do, in seconds.
const LOOK_S: u64 = 1;

/// One child process, talking with one session (legacy) or one agent (modern).
pub struct Conversation {
    core: Arc<Core>,
    next: AtomicU64,
    _end_with_me: DropGuard,
}

/// What the conversation shares with the task that runs its child.
struct Core {
    outbox: mpsc::Sender<Bytes>,
    state: Mutex<State>,
    /// Cancelled when the child is to end, or has.
    ended: CancellationToken,
    /// Cancelled when it is gone.
    gone: CancellationToken,
    /// Whether several clients share this child, so that ids must be told apart.
    shared: bool,
}

impl Conversation {
    pub(super) fn begin(child: Child, shared: bool, limits: &Limits) -> Arc<Self> {
        let (outbox, inbox) = mpsc::channel(QUEUE_MESSAGES_MAX);
        let ended = CancellationToken::new();
        let core = Arc::new(Core {
            outbox,
            state: Mutex::new(State::new(shared, limits.backlog_messages_max)),
            ended: ended.clone(),
            gone: CancellationToken::new(),
            shared,
        });
        tokio::spawn(run(child, inbox, core.clone(), limits.results()));
        Arc::new(Self { core, next: AtomicU64::new(1), _end_with_me: ended.drop_guard() })
    }

    pub(super) fn is_over(&self) -> bool {
        self.core.ended.is_cancelled()
    }

    /// Ends the child.
    pub(super) fn end(&self) {
        self.core.state.lock().shut();
        self.core.ended.cancel();
    }

    /// Resolves when the child is gone.
    pub(super) async fn gone(&self) {
        self.core.gone.cancelled().await;
    }

    /// For how long nothing has been asked of the child; none if it is at work, or over.
    pub(super) fn rested(&self, now: Instant) -> Option<Duration> {
        if self.is_over() { None } else { self.core.state.lock().rested(now) }
    }

    /// What to tell of a call that will have no answer.
    pub(super) fn broken(&self) -> UpstreamError {
        let why = match self.core.state.lock().last_words.clone() {
            Some(words) => words,
            None if self.is_over() => "the process ended".to_owned(),
            None => "its client reads more slowly than the others can wait".to_owned(),
        };
        UpstreamError::Broken(why)
    }

    /// Tells the child something that needs no answer.
    pub(super) async fn tell(&self, message: &Message) -> Result<(), UpstreamError> {
        // Here these would name ids and tokens that several clients may have chosen. A modern client cancels by leaving.
        let is_personal =
            matches!(message.method(), Some("notifications/cancelled" | "notifications/progress"));
        if self.core.shared && is_personal {
            return Ok(());
        }
        self.send(message.bytes().clone()).await
    }

    /// Hands a line to the child. One that is not handed over was not seen by the child and never will be.
    async fn send(&self, line: Bytes) -> Result<(), UpstreamError> {
        self.core.state.lock().touch();
        self.core.outbox.send(line).await.map_err(|_| UpstreamError::SessionLost)
    }

    pub(super) async fn call(
        self: &Arc<Self>,
        message: &Message,
        life: Duration,
        listens: bool,
    ) -> Result<Listener, UpstreamError> {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        let (to, from) = mpsc::channel(QUEUE_MESSAGES_MAX);
        let (sent, id, slot) = self.address(message, number, to);
        self.core.state.lock().expect(id.clone(), slot)?;
        let mut listener = Listener::new(from, life, listens);
        listener.call = Some((self.clone(), id));
        self.send(sent.bytes().clone()).await?;
        Ok(listener)
    }

    /// Gives a request the id and progress token under which the child shall know it.
    fn address(&self, message: &Message, number: u64, to: mpsc::Sender<Message>) -> (Message, String, Slot) {
        let id = message.id_raw().unwrap_or("null").to_owned();
        let token = message.progress_token_raw().map(str::to_owned);
        if !self.core.shared {
            return (message.clone(), id, Slot { to, number, token, original: None });
        }
        let own = number.to_string();
        let sent = message.with_id(&own).with_progress_token(&own);
        let slot = Slot {
            to,
            number,
            token: token.as_ref().map(|_| own.clone()),
            original: Some(Original { id, token }),
        };
        (sent, own, slot)
    }

    /// What the child says of its own accord, from now on.
    pub(super) fn listen(&self, life: Duration) -> Listener {
        let mut state = self.core.state.lock();
        let (to, from) = mpsc::channel(QUEUE_MESSAGES_MAX + state.backlog_len());
        state.attach(to);
        Listener::new(from, life, true)
    }
}

/// Messages for one call, or for a legacy client that listens.
pub struct Listener {
    from: mpsc::Receiver<Message>,
    unread: Option<Message>,
    call: Option<(Arc<Conversation>, String)>,
    listens: bool,
    deadline: Instant,
    seconds: u64,
    done: bool,
}

impl Listener {
    fn new(from: mpsc::Receiver<Message>, life: Duration, listens: bool) -> Self {
        let (deadline, seconds) = (Instant::now() + life, life.as_secs());
        Self { from, unread: None, call: None, listens, deadline, seconds, done: false }
    }

    /// Puts back a message that was received.
    pub(super) fn unread(&mut self, message: Message) {
        self.unread = Some(message);
    }

    pub(crate) async fn next(&mut self) -> Option<Result<Frame, UpstreamError>> {
        let message = match self.receive().await? {
            Ok(message) => message,
            Err(error) => return Some(Err(error)),
        };
        Some(Ok(Frame {
            server: None,
            raw: sse::encode(message.bytes()),
            event: None,
            message: Some(message),
        }))
    }

    pub(super) async fn receive(&mut self) -> Option<Result<Message, UpstreamError>> {
        if self.done {
            return None;
        }
        if let Some(message) = self.unread.take() {
            return Some(Ok(message));
        }
        let received = timeout_at(self.deadline, self.from.recv()).await;
        self.done = match &received {
            Ok(Some(message)) => self.call.is_some() && is_final(message),
            Ok(None) | Err(_) => true,
        };
        match received {
            Ok(Some(message)) => Some(Ok(message)),
            Ok(None) => self.call.as_ref().map(|(conversation, _)| Err(conversation.broken())),
            // It has listened for long enough; its client begins anew.
            Err(_) if self.listens => None,
            Err(_) => Some(Err(UpstreamError::Timeout { what: "finish its answer", seconds: self.seconds })),
        }
    }
}

impl Drop for Listener {
    /// A call that is dropped before its answer is cancelled: in the modern era the child is told so, because leaving
    /// the stream is how a client cancels. A legacy client that leaves has not cancelled.
    fn drop(&mut self) {
        let Some((conversation, id)) = self.call.take() else { return };
        conversation.core.forget(&id);
    }
}

impl Core {
    /// Drops a call that nobody waits for any more.
    fn forget(&self, id: &str) {
        let was_waiting = self.state.lock().forget(id);
        if was_waiting && self.shared {
            let line = format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{{"requestId":{id}}}}}"#
            );
            // A child that has not read sixteen messages does not mind about one more.
            let _ = self.outbox.try_send(line.into());
        }
    }

    /// Hands a message of the child to whom it is for.
    async fn deliver(&self, line: Bytes, limits: &lockgate_mcp::Limits) {
        let message = match Message::decode(line, limits) {
            Ok(message) => message,
            Err(error) => {
                tracing::warn!(target: "lockgate::forward", %error, "a stdio server wrote a line that is no MCP message; skipped");
                return;
            }
        };
        let Some(Placed { to, message, call }) = self.state.lock().place(message) else { return };
        if !self.shared {
            // A party that reads slowly makes its own child wait, and nobody else's.
            let _ = to.send(message).await;
        } else if let (Err(TrySendError::Full(_)), Some(id)) = (to.try_send(message), call) {
            // Here others wait for the same child, so who reads slowly is left behind.
            self.forget(&id);
        }
    }
}

/// Runs one child until it ends, its party leaves, or it breaks the protocol.
async fn run(child: Child, mut inbox: mpsc::Receiver<Bytes>, core: Arc<Core>, limits: lockgate_mcp::Limits) {
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
                Ok(Some(line)) => core.deliver(line, &limits).await,
                Ok(None) => return "it closed its stdout".to_owned(),
                Err(error) => return error.to_string(),
            }
        }
    };
    let why = tokio::select! {
        why = write => why,
        why = read => why,
        () = core.ended.cancelled() => "its party left".to_owned(),
        () = retired(&handle, &core) => "it had nothing to do".to_owned(),
    };
    // Whoever has something to say from now on hears at once that nobody listens.
    core.state.lock().shut();
    core.ended.cancel();
    inbox.close();
    stdin.close();
    let exit = handle.stop().await;
    let stderr = handle.stderr_tail();
    if exit.stopped_by == child::StoppedBy::Itself {
        // For the operator: a child's last words may quote secrets, and are no business of its callers.
        tracing::warn!(target: "lockgate::forward", %why, %exit, stderr, "a stdio server ended by itself");
    }
    core.state.lock().close(format!("{why} ({exit})"));
    core.gone.cancel();
}

/// Resolves when the child is idle, or past its life, and nothing is in flight.
async fn retired(handle: &Handle, core: &Core) {
    loop {
        handle.due().await;
        if core.state.lock().shut_if_at_rest() {
            return;
        }
        // At work: it counts as used now, and one past its life is looked at again soon.
        handle.touch();
        sleep(Duration::from_secs(LOOK_S)).await;
    }
}
