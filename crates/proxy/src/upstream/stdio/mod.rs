//! stdio upstreams: child processes that speak newline-delimited JSON-RPC.
//!
//! A [`Conversation`] is one child and one party. In the legacy era the party is a session, so ids and progress tokens
//! are the client's own. In the modern era it is an agent, whose clients may choose the same ids at the same time:
//! there, ids and progress tokens are replaced on the way in and restored on the way out, and nobody else's calls can
//! ever meet them.
//!
//! Children come and go under their sessions: one that died, was idle for long, or had to make room for another is
//! started again when its session is used next.

mod conversation;
mod place;

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, StatusCode, header};
use lockgate_mcp::{Era, Kind, Message};
use lockgate_transport::child::{self, Child, ChildError};
use parking_lot::Mutex;
use tokio::time::{Instant, timeout};

pub use conversation::{Conversation, Listener};

use super::http::chain;
use super::{Answer, AnswerBody, Exchange, Frames, UpstreamError, UpstreamSession, Verb};
use crate::limits::Limits;

/// How long a child must have had nothing to do before it can be ended to make room for another party's, in seconds.
const REST_S_MIN: u64 = 60;

/// A server started as a child process.
pub struct StdioUpstream {
    spawner: Arc<child::Spawner>,
    spec: child::Spec,
    limits: Arc<Limits>,
    /// Modern era: the conversation of each agent.
    agents: Mutex<HashMap<String, Arc<Conversation>>>,
    /// Every conversation, whoever holds it.
    all: Mutex<Vec<Weak<Conversation>>>,
    /// Held by who starts a child for an agent, so that the agent's other calls wait and share it.
    turn: tokio::sync::Mutex<()>,
}

impl StdioUpstream {
    /// The server that `spawner` starts by `spec`.
    pub fn new(spawner: Arc<child::Spawner>, spec: child::Spec, limits: Arc<Limits>) -> Self {
        let turn = tokio::sync::Mutex::new(());
        Self { spawner, spec, limits, agents: Mutex::default(), all: Mutex::default(), turn }
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
        self.agents.lock().retain(|_, conversation| {
            !conversation.is_over() && conversation.rested(now).is_none_or(|rested| rested <= idle)
        });
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
        let method = exchange.screened.message().method();
        match (exchange.verb, held, exchange.era) {
            (Verb::Post, Some(conversation), _) => self.post(&conversation, exchange).await,
            (Verb::Post, None, Era::Modern) => self.post_of_agent(exchange).await,
            (Verb::Post, None, Era::Legacy) if method == Some("initialize") => {
                let conversation = self.converse(false).await?;
                let mut answer = self.post(&conversation, exchange).await?;
                answer.session = Some(UpstreamSession::Child(conversation));
                Ok(answer)
            }
            (Verb::Get, Some(conversation), _) => {
                Ok(stream(Frames::Child(Box::new(conversation.listen(self.limits.life(true))))))
            }
            (Verb::Delete, Some(conversation), _) => {
                conversation.end();
                Ok(empty(StatusCode::OK))
            }
            (_, None, _) => {
                Err(UpstreamError::Unsupported("a stdio server needs a session: send `initialize` first"))
            }
        }
    }

    async fn post_of_agent(&self, exchange: &Exchange<'_>) -> Result<Answer, UpstreamError> {
        let conversation = self.conversation_of(exchange.agent).await?;
        match self.post(&conversation, exchange).await {
            // Its child ended before it was handed the message.
            Err(UpstreamError::SessionLost) => {
                self.post(&self.conversation_of(exchange.agent).await?, exchange).await
            }
            answer => answer,
        }
    }

    /// Hands over a message and waits for the beginning of its answer. A child that reads nothing takes as little of the
    /// caller's time as one that says nothing.
    async fn post(
        &self,
        conversation: &Arc<Conversation>,
        exchange: &Exchange<'_>,
    ) -> Result<Answer, UpstreamError> {
        let seconds = self.limits.first_byte_s_max;
        timeout(self.limits.first_byte(), self.begin(conversation, exchange))
            .await
            .unwrap_or(Err(UpstreamError::Timeout { what: "begin its answer", seconds }))
    }

    async fn begin(
        &self,
        conversation: &Arc<Conversation>,
        exchange: &Exchange<'_>,
    ) -> Result<Answer, UpstreamError> {
        let message = exchange.screened.message();
        if message.kind() != Kind::Request {
            conversation.tell(message).await?;
            return Ok(empty(StatusCode::ACCEPTED));
        }
        let life = self.limits.life(exchange.listens());
        let mut listener = conversation.call(message, life, exchange.listens()).await?;
        let first = listener.receive().await.ok_or_else(|| conversation.broken())??;
        if place::is_final(&first) {
            return Ok(one(first));
        }
        listener.unread(first);
        Ok(stream(Frames::Child(Box::new(listener))))
    }

    async fn conversation_of(&self, agent: &str) -> Result<Arc<Conversation>, UpstreamError> {
        let found = || self.agents.lock().get(agent).filter(|c| !c.is_over()).cloned();
        if let Some(found) = found() {
            return Ok(found);
        }
        let _turn = self.turn.lock().await;
        if let Some(found) = found() {
            return Ok(found);
        }
        let fresh = self.converse(true).await?;
        self.agents.lock().insert(agent.to_owned(), fresh.clone());
        Ok(fresh)
    }

    async fn converse(&self, shared: bool) -> Result<Arc<Conversation>, UpstreamError> {
        let child = self.spawn().await.map_err(|error| match error {
            ChildError::TooMany { children_max, .. } => UpstreamError::TooManyChildren(children_max),
            other => UpstreamError::Unreachable(chain(&other)),
        })?;
        let conversation = Conversation::begin(child, shared, &self.limits);
        let mut all = self.all.lock();
        all.retain(|held| held.upgrade().is_some_and(|held| !held.is_over()));
        all.push(Arc::downgrade(&conversation));
        Ok(conversation)
    }

    /// Starts a child; if there are too many, in the place of the one that has had nothing to do for longest. Many clients
    /// leave without ending their session, and its child must not keep out the others until it has been idle for good.
    async fn spawn(&self) -> Result<Child, ChildError> {
        let refused = match self.spawner.spawn(&self.spec).await {
            Err(refused @ ChildError::TooMany { .. }) => refused,
            other => return other,
        };
        let now = Instant::now();
        let at_rest = {
            let all = self.all.lock();
            let all = all.iter().filter_map(Weak::upgrade);
            all.filter_map(|held| Some((held.rested(now)?, held))).max_by_key(|(rested, _)| *rested)
        };
        match at_rest {
            Some((rested, conversation)) if rested >= Duration::from_secs(REST_S_MIN) => {
                conversation.end();
                conversation.gone().await;
                self.spawner.spawn(&self.spec).await
            }
            _ => Err(refused),
        }
    }
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
