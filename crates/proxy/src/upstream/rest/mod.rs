//! REST APIs as MCP servers: stage 8 ends in a server of our own, which speaks both eras of the protocol to the stages before
//! it and HTTP to the API.
//!
//! What it offers is an [`Offer`], made of the API's description; another one can take its place while calls run. A large
//! offer is not listed whole: its clients search it, and turn on what they need ([`Party`]). Calls are by the operations'
//! own names in either case, so that policy, pins and records see what is really called.

mod offer;
mod party;
mod protocol;
mod said;
mod searching;
mod send;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use ::http::{HeaderMap, HeaderValue, StatusCode, header};
use arc_swap::ArcSwap;
use bytes::Bytes;
use lockgate_mcp::{Era, Kind, Message, reply};
use parking_lot::Mutex;
use tokio::time::Instant;

pub use offer::Offer;
pub use party::Party;
pub use said::Said;

use super::http::HttpUpstream;
use super::{Answer, AnswerBody, Exchange, Frames, UpstreamError, UpstreamSession, Verb};
use crate::limits::Limits;
use party::Change;
use protocol::Reply;

/// An API behind a server of our own.
pub struct RestUpstream {
    /// The server's id, which its resources are named by.
    server: String,
    http: HttpUpstream,
    offer: ArcSwap<Offer>,
    /// Modern era: what each agent has turned on.
    agents: Mutex<HashMap<String, Arc<Party>>>,
    /// Told to all who listen.
    changes: tokio::sync::broadcast::Sender<Change>,
    limits: Arc<Limits>,
}

/// Changes that a listener may lag behind. One that missed some is told once, which is all that a change says.
const CHANGES_MAX: usize = 16;

/// Agents whose choices are remembered; the one unused for longest makes room.
const AGENTS_MAX: usize = 10_000;

impl RestUpstream {
    /// The server `server` with `offer`, over the API that `http` reaches: its endpoint is where the API begins.
    pub fn new(server: &str, http: HttpUpstream, offer: Offer, limits: Arc<Limits>) -> Self {
        let (changes, _) = tokio::sync::broadcast::channel(CHANGES_MAX);
        let (server, offer) = (server.to_owned(), ArcSwap::from_pointee(offer));
        Self { server, http, offer, agents: Mutex::default(), changes, limits }
    }

    /// The connections to the API.
    pub fn http(&self) -> &HttpUpstream {
        &self.http
    }

    /// What is offered now.
    pub fn offer(&self) -> Arc<Offer> {
        self.offer.load_full()
    }

    /// Offers this from now on, and tells all who listen. Calls under way end as they began.
    pub fn put_offer(&self, offer: Offer) {
        self.offer.store(Arc::new(offer));
        let _ = self.changes.send(Change::Everything);
    }

    /// Forgets what agents turned on that have said nothing for `idle`.
    pub fn reap(&self, idle: Duration) {
        self.agents.lock().retain(|_, party| party.rested() <= idle);
    }

    pub(crate) fn describe(&self) -> String {
        format!("openapi:{}", self.http.describe())
    }

    pub(crate) async fn exchange(
        &self,
        exchange: &Exchange<'_>,
        session: Option<&UpstreamSession>,
    ) -> Result<Answer, UpstreamError> {
        let message = exchange.screened.message();
        let held = match session {
            Some(UpstreamSession::Rest(party)) => Some(Arc::clone(party)),
            _ => None,
        };
        let is_opening = message.method() == Some("initialize");
        let party = match (exchange.era, held) {
            (_, Some(party)) => party,
            (Era::Modern, None) => self.party_of(exchange.agent),
            (Era::Legacy, None) if is_opening => Arc::new(Party::new()),
            (Era::Legacy, None) => {
                return Err(UpstreamError::Unsupported(
                    "this server needs a session: send `initialize` first",
                ));
            }
        };
        party.touch();
        match exchange.verb {
            Verb::Get => {
                let said = Said::listening(&party, self.changes.subscribe(), None, self.limits.life(true));
                return Ok(stream(said));
            }
            Verb::Delete => return Ok(empty(StatusCode::OK)),
            Verb::Post if message.kind() != Kind::Request => return Ok(empty(StatusCode::ACCEPTED)),
            Verb::Post => {}
        }
        let id = message.id_raw().unwrap_or("null").to_owned();
        let asked = protocol::Asked { upstream: self, exchange, party: &party, offer: &self.offer.load() };
        let mut answer = match asked.answer().await? {
            Reply::Result(result) => self.one(reply::result(&id, &result.to_string()), StatusCode::OK)?,
            Reply::Raw(result) => self.one(reply::result(&id, &result), StatusCode::OK)?,
            Reply::Error { code, text } => {
                let status =
                    StatusCode::from_u16(reply::http_status(exchange.era, code)).unwrap_or(StatusCode::OK);
                self.one(reply::error(Some(&id), code, &text, None), status)?
            }
            Reply::Changed(result) => {
                let last = self.message(reply::result(&id, &result.to_string()))?;
                stream(Said::these(vec![party::list_changed("tools", None), last]))
            }
            Reply::Subscribed(wanted) => {
                let life = self.limits.life(true);
                stream(Said::listening(&party, self.changes.subscribe(), Some((wanted, id)), life))
            }
        };
        if is_opening && exchange.era == Era::Legacy {
            answer.session = Some(UpstreamSession::Rest(party));
        }
        Ok(answer)
    }

    fn party_of(&self, agent: &str) -> Arc<Party> {
        let mut agents = self.agents.lock();
        if let Some(known) = agents.get(agent) {
            return Arc::clone(known);
        }
        if agents.len() >= AGENTS_MAX {
            let oldest =
                agents.iter().max_by_key(|(_, party)| party.rested()).map(|(agent, _)| agent.clone());
            oldest.and_then(|oldest| agents.remove(&oldest));
        }
        Arc::clone(agents.entry(agent.to_owned()).or_insert_with(|| Arc::new(Party::new())))
    }

    fn message(&self, bytes: Bytes) -> Result<Message, UpstreamError> {
        Message::decode(bytes, &self.limits.results())
            .map_err(|error| UpstreamError::Malformed(error.to_string()))
    }

    fn one(&self, bytes: Bytes, status: StatusCode) -> Result<Answer, UpstreamError> {
        let body = AnswerBody::One(self.message(bytes)?);
        Ok(Answer { status, headers: media("application/json"), session: None, body })
    }

    /// When a call that begins now must have ended.
    fn deadline(&self) -> Instant {
        Instant::now() + self.limits.call()
    }
}

fn stream(said: Said) -> Answer {
    let mut headers = media("text/event-stream");
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    let body = AnswerBody::Stream(Frames::Rest(Box::new(said)));
    Answer { status: StatusCode::OK, headers, session: None, body }
}

fn empty(status: StatusCode) -> Answer {
    Answer { status, headers: HeaderMap::new(), session: None, body: AnswerBody::Empty }
}

fn media(value: &'static str) -> HeaderMap {
    HeaderMap::from_iter([(header::CONTENT_TYPE, HeaderValue::from_static(value))])
}
