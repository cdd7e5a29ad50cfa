//! What a connector keeps of a legacy session, so that its client, which knows only lines, need not.

use http::{HeaderMap, HeaderValue};
use lockgate_mcp::{Message, headers};
use parking_lot::Mutex;
use tokio_util::sync::CancellationToken;

/// The session of one stdio client. Empty until `initialize` is answered, and for modern clients for ever.
#[derive(Debug, Default)]
pub(super) struct Session {
    state: Mutex<State>,
    /// Whose turn it is to open the session anew after the gateway lost it.
    pub(super) reviving: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    id: Option<HeaderValue>,
    version: Option<HeaderValue>,
    /// The client's `initialize`, to open the session anew with.
    hello: Option<Message>,
    /// Ends the listening stream.
    listening: Option<CancellationToken>,
}

impl Session {
    /// Remembers what a new session is opened with.
    pub(super) fn begin(&self, hello: &Message) {
        let mut state = self.state.lock();
        state.end_listening();
        *state = State { hello: Some(hello.clone()), ..State::default() };
    }

    /// Takes the id from the answer's headers.
    pub(super) fn learn_id(&self, answer: &HeaderMap) {
        if let Some(id) = answer.get(headers::SESSION_ID) {
            self.state.lock().id = Some(id.clone());
        }
    }

    /// Takes the version that the result of `initialize` settles on.
    pub(super) fn learn_version(&self, result: &Message) {
        let version = result.result_member_raw("protocolVersion");
        let version = version.and_then(|raw| serde_json::from_str::<String>(raw).ok());
        if let Some(version) = version.and_then(|text| HeaderValue::try_from(text).ok()) {
            self.state.lock().version = Some(version);
        }
    }

    /// The session's headers, for every request after `initialize`.
    pub(super) fn sign(&self, headers: &mut HeaderMap) {
        let state = self.state.lock();
        if let Some(id) = &state.id {
            headers.insert(headers::SESSION_ID, id.clone());
        }
        if let Some(version) = &state.version {
            headers.insert(headers::PROTOCOL_VERSION, version.clone());
        }
    }

    /// The id, if the server gave one.
    pub(super) fn id(&self) -> Option<HeaderValue> {
        self.state.lock().id.clone()
    }

    /// What the session was opened with.
    pub(super) fn hello(&self) -> Option<Message> {
        self.state.lock().hello.clone()
    }

    /// Begins to listen; a stream that listens already ends.
    pub(super) fn listen(&self) -> CancellationToken {
        let token = CancellationToken::new();
        let mut state = self.state.lock();
        state.end_listening();
        state.listening = Some(token.clone());
        token
    }

    /// Ends the listening stream, and gives the id away for the farewell.
    pub(super) fn end(&self) -> Option<HeaderValue> {
        let mut state = self.state.lock();
        state.end_listening();
        state.id.take()
    }
}

impl State {
    fn end_listening(&mut self) {
        if let Some(token) = self.listening.take() {
            token.cancel();
        }
    }
}
