//! Whom a child's message is for.

use std::collections::{HashMap, HashSet, VecDeque};
use std::time::Duration;

use lockgate_mcp::{Kind, Message};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::upstream::UpstreamError;

/// Bytes of messages kept until their client listens: enough for hundreds of notifications, or a few that are large.
const BACKLOG_BYTES_MAX: usize = 4 << 20;

/// Calls that their clients have left, and the child has not answered. One that owes so many is ended.
const LEFT_MAX: usize = 1024;

/// Member of `_meta` that tells to which `subscriptions/listen` a notification belongs (MCP 2026-07-28).
const SUBSCRIPTION_ID: &str = "io.modelcontextprotocol/subscriptionId";

/// Who waits for what of one child.
pub(super) struct State {
    calls: HashMap<String, Slot>,
    listener: Option<mpsc::Sender<Message>>,
    backlog: VecDeque<Message>,
    backlog_bytes: usize,
    backlog_max: usize,
    shared: bool,
    /// Ids of calls whose client has left, and which the child has not answered yet. Under such an id no other call can
    /// begin: the late answer would be taken for its own.
    left: HashSet<String>,
    /// No call is taken any more.
    is_shut: bool,
    used: Instant,
    /// How the child ended, once it has.
    pub(super) last_words: Option<String>,
}

/// A call in flight, under the id that the child knows.
pub(super) struct Slot {
    pub(super) to: mpsc::Sender<Message>,
    pub(super) number: u64,
    pub(super) token: Option<String>,
    /// The client's own id and progress token, where they were replaced.
    pub(super) original: Option<Original>,
}

#[derive(Clone)]
pub(super) struct Original {
    pub(super) id: String,
    pub(super) token: Option<String>,
}

/// A message, as the party that it is for knows it.
pub(super) struct Placed {
    pub(super) to: mpsc::Sender<Message>,
    pub(super) message: Message,
    /// The call that goes on after it.
    pub(super) call: Option<String>,
}

impl State {
    /// Of a child that has said nothing yet; `shared` by several clients or not.
    pub(super) fn new(shared: bool, backlog_max: usize) -> Self {
        Self {
            calls: HashMap::new(),
            listener: None,
            backlog: VecDeque::new(),
            backlog_bytes: 0,
            backlog_max,
            shared,
            left: HashSet::new(),
            is_shut: false,
            used: Instant::now(),
            last_words: None,
        }
    }

    pub(super) fn touch(&mut self) {
        self.used = Instant::now();
    }

    /// Whether nobody waits for anything.
    pub(super) fn is_at_rest(&self) -> bool {
        self.calls.is_empty() && self.listener.as_ref().is_none_or(mpsc::Sender::is_closed)
    }

    /// For how long nobody has waited for anything.
    pub(super) fn rested(&self, now: Instant) -> Option<Duration> {
        self.is_at_rest().then(|| now.duration_since(self.used))
    }

    /// Takes no more calls.
    pub(super) fn shut(&mut self) {
        self.is_shut = true;
    }

    /// Takes no more calls if there are none; whether that is so.
    pub(super) fn shut_if_at_rest(&mut self) -> bool {
        self.is_shut |= self.is_at_rest();
        self.is_shut
    }

    /// Notes a call.
    ///
    /// # Errors
    /// The child is about to end, and another can be started; or the id is taken.
    pub(super) fn expect(&mut self, id: String, slot: Slot) -> Result<(), UpstreamError> {
        if self.is_shut {
            return Err(UpstreamError::SessionLost);
        }
        if self.calls.contains_key(&id) || self.left.contains(&id) {
            let taken = format!("request id {id} is in use by a call in flight");
            return Err(UpstreamError::Malformed(taken));
        }
        self.calls.insert(id, slot);
        Ok(())
    }

    /// Drops a call; whether it was still waiting.
    pub(super) fn forget(&mut self, id: &str) -> bool {
        self.touch();
        let was_waiting = self.calls.remove(id).is_some();
        // Where ids are chosen here, none comes twice.
        if was_waiting && !self.shared {
            self.left.insert(id.to_owned());
            self.is_shut |= self.left.len() >= LEFT_MAX;
        }
        was_waiting
    }

    pub(super) fn backlog_len(&self) -> usize {
        self.backlog.len()
    }

    /// Hands over what was kept, and what comes from now on. `to` must have room for the backlog.
    pub(super) fn attach(&mut self, to: mpsc::Sender<Message>) {
        self.touch();
        self.backlog_bytes = 0;
        for message in self.backlog.drain(..) {
            let _ = to.try_send(message);
        }
        self.listener = Some(to);
    }

    /// Notes how the child ended, and tells all who wait.
    pub(super) fn close(&mut self, last_words: String) {
        self.last_words = Some(last_words);
        self.calls.clear();
        self.listener = None;
        self.backlog.clear();
    }

    /// Whom a child's message is for; none if nobody is there for it, now or ever.
    pub(super) fn place(&mut self, message: Message) -> Option<Placed> {
        self.touch();
        if is_final(&message) {
            self.left.remove(message.id_raw()?);
            let slot = self.calls.remove(message.id_raw()?)?;
            let message = match &slot.original {
                Some(original) => message.with_id(&original.id),
                None => message,
            };
            return Some(Placed { to: slot.to, message, call: None });
        }
        if let Some(id) = self.addressee(&message) {
            let slot = &self.calls[&id];
            let message = restored(slot.original.as_ref(), message);
            return Some(Placed { to: slot.to.clone(), message, call: Some(id) });
        }
        if self.shared {
            tracing::debug!(target: "lockgate::forward", method = message.method(), "a stdio server said something that belongs to no call; dropped");
            return None;
        }
        self.leave_for_listener(message)
    }

    /// The call that a notification or a request of the child belongs to.
    fn addressee(&self, message: &Message) -> Option<String> {
        if let Some(token) = message.progress_token_raw().filter(|_| message.kind() == Kind::Notification) {
            return self.find(|slot| slot.token.as_deref() == Some(token));
        }
        let named = match message.method() {
            Some("notifications/cancelled") if self.shared => message.params_member_raw("requestId"),
            _ => message.meta_member_raw(SUBSCRIPTION_ID),
        };
        match named {
            Some(id) => self.calls.contains_key(id).then(|| id.to_owned()),
            // Of several clients' calls it could be any one's, and none of them may see what is another's. Nor can a
            // modern client answer a request of the server.
            None if self.shared && (self.calls.len() != 1 || message.kind() == Kind::Request) => None,
            None => {
                let newest = self.calls.values().map(|slot| slot.number).max()?;
                self.find(|slot| slot.number == newest)
            }
        }
    }

    fn find(&self, is_it: impl Fn(&Slot) -> bool) -> Option<String> {
        self.calls.iter().find(|(_, slot)| is_it(slot)).map(|(id, _)| id.clone())
    }

    fn leave_for_listener(&mut self, message: Message) -> Option<Placed> {
        if let Some(to) = self.listener.clone().filter(|to| !to.is_closed()) {
            return Some(Placed { to, message, call: None });
        }
        self.listener = None;
        self.backlog_bytes += message.bytes().len();
        self.backlog.push_back(message);
        while self.backlog.len() > self.backlog_max || self.backlog_bytes > BACKLOG_BYTES_MAX {
            let dropped = self.backlog.pop_front()?;
            self.backlog_bytes -= dropped.bytes().len();
            tracing::warn!(target: "lockgate::forward", "nobody listens to a stdio server: its oldest message was dropped");
        }
        None
    }
}

fn restored(original: Option<&Original>, message: Message) -> Message {
    let Some(original) = original else { return message };
    if let (Some(_), Some(token)) = (message.progress_token_raw(), &original.token) {
        return message.with_progress_token(token);
    }
    if message.method() == Some("notifications/cancelled") {
        let id = message.with_params_member("requestId", &original.id);
        return id.expect("the id was decoded as JSON");
    }
    if message.meta_member_raw(SUBSCRIPTION_ID).is_some() {
        return message.with_meta_member(SUBSCRIPTION_ID, &original.id).expect("the id was decoded as JSON");
    }
    message
}

/// Whether a message ends its call.
pub(super) fn is_final(message: &Message) -> bool {
    matches!(message.kind(), Kind::Result | Kind::Error)
}
#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn message(text: &str) -> Message {
        Message::decode(Bytes::from(text.to_owned()), &lockgate_mcp::Limits::default()).unwrap()
    }

    /// Two clients of one agent that chose the same id and the same progress token.
    fn shared() -> (State, Vec<mpsc::Receiver<Message>>) {
        let mut state = State::new(true, 2);
        let mut receivers = Vec::new();
        for number in [1, 2] {
            let (to, from) = mpsc::channel(4);
            let original = Some(Original { id: "7".into(), token: Some("\"t\"".into()) });
            let own = number.to_string();
            state.expect(own.clone(), Slot { to, number, token: Some(own), original }).unwrap();
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
            let Placed { to, message, .. } = state.place(message(text)).unwrap();
            to.send(message).await.unwrap();
            let got = receivers[receiver].recv().await.unwrap();
            assert!(got.text().contains(expected), "{}", got.text());
        }
        assert!(state.is_at_rest());
        assert!(
            state.place(message(r#"{"jsonrpc":"2.0","id":1,"result":{}}"#)).is_none(),
            "answered already"
        );
    }

    #[test]
    fn subscriptions_and_their_end_find_the_call_that_listens() {
        let (mut state, _receivers) = shared();
        let text = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{"_meta":{"io.modelcontextprotocol/subscriptionId":1}}}"#;
        let placed = state.place(message(text)).unwrap();
        assert_eq!(placed.message.meta_member_raw(SUBSCRIPTION_ID), Some("7"));
        assert_eq!(placed.call.as_deref(), Some("1"));
        let text = r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":2}}"#;
        let placed = state.place(message(text)).unwrap();
        assert_eq!(placed.message.params_member_raw("requestId"), Some("7"));
        assert_eq!(placed.call.as_deref(), Some("2"));
    }

    #[test]
    fn what_could_be_any_clients_is_nobodys() {
        let log =
            r#"{"jsonrpc":"2.0","method":"notifications/message","params":{"level":"info","data":"secret"}}"#;
        let asks = r#"{"jsonrpc":"2.0","id":9,"method":"sampling/createMessage","params":{}}"#;
        let foreign = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":3,"progress":1}}"#;
        let (mut state, _receivers) = shared();
        for text in [log, asks, foreign] {
            assert!(state.place(message(text)).is_none(), "{text}");
        }
        assert!(state.backlog.is_empty(), "nobody will ever listen to it");
        assert!(state.forget("1"));
        let placed = state.place(message(log)).expect("one call in flight: it is its own");
        assert_eq!(placed.call.as_deref(), Some("2"));
        assert!(state.place(message(asks)).is_none(), "no modern client could answer");
    }

    #[test]
    fn what_nobody_waits_for_is_kept_for_a_listener_within_bounds() {
        let note = |level: &str| {
            message(&format!(
                r#"{{"jsonrpc":"2.0","method":"notifications/message","params":{{"level":"{level}"}}}}"#
            ))
        };
        let mut state = State::new(false, 100);
        for n in 0..150 {
            assert!(state.place(note(&n.to_string())).is_none());
        }
        let (to, mut from) = mpsc::channel(state.backlog_len());
        state.attach(to);
        for n in 50..150 {
            let kept = from.try_recv().expect("all that was kept is handed over, in order");
            assert_eq!(kept.params_member_raw("level"), Some(format!("\"{n}\"").as_str()));
        }
        drop(from);
        assert!(state.is_at_rest(), "the listener left");
        let large = "x".repeat(BACKLOG_BYTES_MAX / 2);
        for _ in 0..3 {
            assert!(state.place(note(&large)).is_none());
        }
        assert_eq!(state.backlog_len(), 1, "bounded in bytes too");
    }

    #[test]
    fn the_late_answer_to_a_call_that_was_left_is_nobody_elses() {
        let slot = || Slot { to: mpsc::channel(1).0, number: 1, token: None, original: None };
        let mut state = State::new(false, 1);
        state.expect("5".into(), slot()).unwrap();
        assert!(state.forget("5"));
        let again = state.expect("5".into(), slot());
        assert!(matches!(again, Err(UpstreamError::Malformed(_))), "it would get the answer to the first");
        assert!(state.place(message(r#"{"jsonrpc":"2.0","id":5,"result":{}}"#)).is_none());
        state.expect("5".into(), slot()).unwrap();
        for n in 0..LEFT_MAX {
            let id = format!("\"{n}\"");
            state.expect(id.clone(), slot()).unwrap();
            state.forget(&id);
        }
        assert!(matches!(state.expect("6".into(), slot()), Err(UpstreamError::SessionLost)), "it is ended");
    }

    #[test]
    fn a_child_that_is_about_to_end_takes_no_call() {
        let slot = || Slot { to: mpsc::channel(1).0, number: 1, token: None, original: None };
        let mut state = State::new(false, 1);
        state.expect("1".into(), slot()).unwrap();
        assert!(!state.shut_if_at_rest(), "a call is in flight");
        assert!(
            matches!(state.expect("1".into(), slot()), Err(UpstreamError::Malformed(_))),
            "its id is taken"
        );
        assert!(state.rested(Instant::now()).is_none());
        state.forget("1");
        assert!(state.shut_if_at_rest());
        assert!(matches!(state.expect("2".into(), slot()), Err(UpstreamError::SessionLost)));
    }
}
