//! Requests of a server that its client may not be asked are answered here, with an error.
//!
//! The answer goes the way of the client's own: it needs a permit like any other. Where policy lets this client answer
//! nothing, the server hears nothing either.

use std::sync::Arc;
use std::time::Duration;

use lockgate_mcp::{Era, Message, reply};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::call::Call;
use crate::node::Server;
use crate::pipeline::clearance;
use crate::recover::{exchange_in_session, session_headers};
use crate::refusal::Refusal;
use crate::upstream::{Exchange, Frame, Verb, prefix};

/// Answers on their way to the servers of one stream. A server that asks more than this at once gets no answer to the
/// rest, and waits in vain by its own doing.
const DECLINED_AT_ONCE_MAX: usize = 4;

/// Time in which a server must take such an answer, in seconds.
const DECLINE_S_MAX: u64 = 10;

/// Answers requests of servers with errors, a few at a time.
pub(crate) struct Decliner(Arc<Semaphore>);

impl Default for Decliner {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(DECLINED_AT_ONCE_MAX)))
    }
}

impl Decliner {
    /// Has the request in `frame` answered with an error, in the name of the caller of `call`.
    pub(crate) fn decline(&self, call: Call, server: &Arc<Server>, frame: &Frame) {
        // In the modern era servers ask within results, and take no answers.
        let Some(id) = own_id(frame).filter(|_| call.era == Era::Legacy) else { return };
        let Ok(place) = Arc::clone(&self.0).try_acquire_owned() else {
            tracing::warn!(target: "lockgate::permit", server = %server.id, "too many requests that may not pass: one stays without an answer");
            return;
        };
        let server = Arc::clone(server);
        tokio::spawn(async move {
            let _place = place;
            let sent = timeout(Duration::from_secs(DECLINE_S_MAX), send(&call, &server, &id)).await;
            match sent {
                Ok(Ok(())) => {}
                Ok(Err(refusal)) => {
                    tracing::debug!(target: "lockgate::permit", server = %server.id, %refusal, "a request that may not pass stays without an answer");
                }
                Err(_) => {
                    tracing::debug!(target: "lockgate::permit", server = %server.id, "a server does not take the answer to its request");
                }
            }
        });
    }
}

/// The id by which the server knows its request.
fn own_id(frame: &Frame) -> Option<String> {
    let id = frame.message.as_ref()?.id_raw()?;
    if frame.server.is_none() {
        return Some(id.to_owned());
    }
    // In the stream of all servers it carries the server's own id before it.
    let address: String = serde_json::from_str(id).ok()?;
    prefix::split(&address).map(|(_, own)| own.to_owned())
}

async fn send(call: &Call, server: &Arc<Server>, id: &str) -> Result<(), Refusal> {
    let text = "policy does not let this be asked of the client";
    let bytes = reply::error(Some(id), reply::code::POLICY_DENIED, text, None);
    let answer = Message::decode(bytes, &call.node.limits.requests()).map_err(Refusal::Decode)?;
    let session = call.session.as_ref();
    let version =
        session.and_then(|session| session.upstream_version(&server.id).or_else(|| session.version()));
    let headers = session_headers(version.as_deref());
    let screened = clearance(call, &server.id, &headers, answer).await?;
    let exchange = Exchange {
        verb: Verb::Post,
        screened: &screened,
        headers: &headers,
        era: call.era,
        agent: call.link.party(),
        caller: &call.link.caller,
    };
    exchange_in_session(call, server, &exchange).await.map(drop)
}
