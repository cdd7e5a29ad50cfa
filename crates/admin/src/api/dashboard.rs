//! How a browser comes to ask.

use serde::{Deserialize, Serialize};

/// Asks for a ticket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TicketRequest {
    /// Who will look, as records of what they decide say.
    pub by: String,
}

/// A ticket: good for one session, within a minute. Whoever has it may open the dashboard.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ticket {
    /// The ticket, for the fragment of the dashboard's URL.
    pub ticket: String,
    /// How long it can be used, in seconds.
    pub lifetime_s: u64,
    /// Whether the dashboard may change something: `admin.write`.
    pub write: bool,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { ticket: _, lifetime_s, write } = self;
        let mut shown = f.debug_struct("Ticket");
        shown.field("ticket", &"[redacted]").field("lifetime_s", lifetime_s).field("write", write).finish()
    }
}

/// Asks for a session.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SessionRequest {
    pub(crate) ticket: String,
}

/// A session of the dashboard.
#[derive(Serialize)]
pub(crate) struct Session {
    /// What its requests bring as bearer token.
    pub(crate) token: String,
    /// Who opened it.
    pub(crate) by: String,
}
