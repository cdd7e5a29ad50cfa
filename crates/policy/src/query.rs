//! What a decision is about and what it rests on.

use lockgate_crypto::Posture;
use lockgate_identity::Caller;
use lockgate_mcp::Message;

use crate::{facts::FactValues, method::RESPONSE};

/// Who wants to do what to what, and over which link.
#[derive(Clone, Copy, Debug)]
pub struct Query<'a> {
    /// Who.
    pub caller: &'a Caller,
    /// The id of the server.
    pub server: &'a str,
    /// The MCP method, or [`RESPONSE`] for a message that answers a request of
    /// the server.
    pub method: &'a str,
    /// The tool or prompt name, the resource URI or the task id, as the server
    /// knows it. Ignored where the method is about the server as a whole.
    pub name: Option<&'a str>,
    /// What the link negotiated; `None` if it is not encrypted.
    pub posture: Option<&'a Posture>,
    /// Both ends of the link are on this machine.
    pub loopback: bool,
}

/// What a decision rests on beside the call itself. All of it is input: policy
/// has no clock and asks nobody.
#[derive(Clone, Copy, Debug)]
pub struct Circumstances<'a> {
    /// The time, in milliseconds since 1970.
    pub now_ms: u64,
    /// The facts that are known; see
    /// [`Policies::needed_facts`](crate::Policies::needed_facts).
    pub facts: &'a FactValues,
    /// The texts that travel beside the message and go on to the server, such
    /// as the values of headers. `context.touched` looks into them too.
    pub carried: &'a [&'a str],
    /// A human's yes to this call, if there is one.
    pub approval: Option<&'a Approval>,
}

impl Circumstances<'static> {
    /// Only the time is known.
    pub const fn at(now_ms: u64) -> Self {
        static FACTS: FactValues = FactValues::new();
        Circumstances { now_ms, facts: &FACTS, carried: &[], approval: None }
    }
}

/// A human's yes to one call. It is good for exactly the call of its digest,
/// and only as far as the policies that it names hold the call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Approval {
    /// The digest of the call that was held:
    /// [`Consequence::Hold`](crate::Consequence::Hold).
    pub digest: String,
    /// The ids of the policies that held it: [`Denial::policies`](crate::Denial::policies).
    pub policies: Vec<String>,
    /// Who said yes.
    pub by: String,
}

/// Whether the query is about this very message, so that no decision on one
/// thing can let another pass.
pub(crate) fn describes(query: &Query<'_>, message: &Message) -> bool {
    let same_method = match message.method() {
        Some(method) => method == query.method && method != RESPONSE,
        None => query.method == RESPONSE,
    };
    same_method && message.name() == query.name
}
