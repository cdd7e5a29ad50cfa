//! One question to all servers at once.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use http::{HeaderMap, HeaderValue};
use lockgate_detect::Screened;
use lockgate_mcp::{Message, headers};
use serde_json::{Map, Value};
use tokio::time::timeout;

use crate::answer::finish;
use crate::call::Call;
use crate::decode::Inbound;
use crate::node::Server;
use crate::permit::may_connect;
use crate::pipeline::clearance;
use crate::recover::exchange_in_session;
use crate::refusal::Refusal;
use crate::upstream::{Answer, Exchange, UpstreamError};

/// What one server is asked, with the permit to ask it.
pub(super) struct Asking<'a> {
    pub(super) call: &'a Call,
    pub(super) server: Arc<Server>,
    pub(super) screened: Screened,
    inbound: Inbound,
}

impl Asking<'_> {
    /// Asks, within the session.
    pub(super) async fn exchange(&self) -> Result<Answer, Refusal> {
        exchange_in_session(self.call, &self.server, &self.as_exchange()).await
    }

    /// Asks outside any session, as `initialize` is asked.
    pub(super) async fn exchange_anew(&self) -> Result<Answer, Refusal> {
        self.server.upstream.exchange(&self.as_exchange(), None).await.map_err(|error| self.refusal(error))
    }

    /// The result or error that an answer comes to.
    pub(super) async fn finish(&self, answer: Answer) -> Result<Message, Refusal> {
        let asked = self.screened.message().id_raw();
        finish(answer, asked).await.map_err(|error| self.refusal(error))
    }

    /// The fault of this server.
    pub(super) fn refusal(&self, error: UpstreamError) -> Refusal {
        Refusal::Upstream { server: self.server.id.clone(), error }
    }

    /// The same question with a message that goes on from the first.
    pub(super) async fn go_on(&mut self, message: Message) -> Result<(), Refusal> {
        self.screened = clearance(self.call, &self.server.id, &self.inbound.headers, message).await?;
        Ok(())
    }

    fn as_exchange(&self) -> Exchange<'_> {
        Exchange {
            verb: self.inbound.verb,
            screened: &self.screened,
            headers: &self.inbound.headers,
            era: self.inbound.era,
            agent: self.call.link.party(),
            caller: &self.call.link.caller,
        }
    }
}

/// The request as `server` may see it. A header that the protocol does not know may be a secret that its client shares
/// with one of the servers, and nobody here can tell which: none gets it.
pub(super) fn inbound_for(call: &Call, inbound: &Inbound, server: &Server) -> Inbound {
    let mut shown = HeaderMap::new();
    for (name, value) in &inbound.headers {
        let known = ["content-type", "accept", "user-agent", "traceparent", "tracestate"];
        // Which event was the last is known of one server only.
        if known.contains(&name.as_str()) || name.as_str().starts_with("mcp-") {
            shown.append(name.clone(), value.clone());
        }
    }
    let version = call.session.as_ref().and_then(|session| session.upstream_version(&server.id));
    if let Some(version) = version.and_then(|version| HeaderValue::from_str(&version).ok()) {
        shown.insert(headers::PROTOCOL_VERSION, version);
    }
    Inbound {
        headers: shown,
        target: inbound.target.clone(),
        path: inbound.path.clone(),
        session_id: inbound.session_id.clone(),
        verb: inbound.verb,
        era: inbound.era,
    }
}

/// What one server said, or why it said nothing.
pub(super) type Part<T> = (Arc<Server>, Result<T, Refusal>);

/// Asks every server that this caller may ask, all at once, each within its own deadline.
pub(super) async fn ask_all<'a, T, F>(
    call: &'a Call,
    inbound: &Inbound,
    message: &Message,
    ask: impl Fn(Asking<'a>) -> F,
) -> Vec<Part<T>>
where
    F: Future<Output = Result<T, Refusal>>,
{
    let seconds = call.node.limits.gather_s_max;
    let ask = &ask;
    // Who asks all servers does not ask for those that it may not reach: they are not there, and it is no offence.
    let open = call.node.servers().filter(|server| may_connect(&call.node, &call.link, &server.id));
    join_all(open.map(|server| {
        let inbound = inbound_for(call, inbound, &server);
        async move {
            let cleared = clearance(call, &server.id, &inbound.headers, message.clone()).await;
            let asked =
                cleared.map(|screened| ask(Asking { call, server: server.clone(), screened, inbound }));
            let result = match asked {
                Err(refusal) => Err(refusal),
                Ok(asked) => timeout(Duration::from_secs(seconds), asked).await.unwrap_or_else(|_| {
                    let error =
                        UpstreamError::Timeout { what: "answer for the list of all servers", seconds };
                    Err(Refusal::Upstream { server: server.id.clone(), error })
                }),
            };
            (server, result)
        }
    }))
    .await
}

/// What came, and why the rest did not, by server id.
pub(super) type Sorted<T> = (Vec<(Arc<Server>, T)>, Map<String, Value>);

/// Splits the parts into what came and what did not. Fails only if nothing came at all: with the first refusal.
pub(super) fn sort<T>(call: &mut Call, parts: Vec<Part<T>>) -> Result<Sorted<T>, Refusal> {
    let (mut came, mut missing, mut first) = (Vec::new(), Map::new(), None);
    if parts.is_empty() {
        return Err(Refusal::Nowhere);
    }
    for (server, part) in parts {
        match part {
            Ok(value) => came.push((server, value)),
            Err(refusal) if refusal.kills() => return Err(refusal),
            Err(refusal) => {
                if let Refusal::Withheld(finding) = &refusal {
                    call.note_findings(std::slice::from_ref(&**finding));
                }
                // What this caller may not use is not there for it: it is neither listed nor named.
                if !matches!(refusal, Refusal::Denied(_) | Refusal::NotConnected(_)) {
                    missing.insert(server.id.clone(), refusal.to_string().into());
                }
                first.get_or_insert(refusal);
            }
        }
    }
    match first {
        Some(refusal) if came.is_empty() => Err(refusal),
        _ => Ok((came, missing)),
    }
}
