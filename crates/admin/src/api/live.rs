//! What happened of late.

use lockgate_live::{Filter, FilterError, Summary};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Which events somebody wants. Everything absent: all of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct LiveQuery {
    /// Only events after the one of this number. A stream that is not told begins with what is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<u64>,
    /// Most events of one answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// A part of the agent's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// A part of the server's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// A part of the tool's, prompt's or resource's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// Verdicts between commas; `refused` is every refusal of the node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// `call`, `link`, `note`, between commas.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

impl LiveQuery {
    /// The conditions of the query.
    ///
    /// # Errors
    /// A name that is none, or a text that is too long.
    pub fn filter(&self) -> Result<Filter, FilterError> {
        let (agent, server, tool) = (self.agent.clone(), self.server.clone(), self.tool.clone());
        Filter { agent, server, tool, ..Filter::default() }
            .verdicts(self.verdict.as_deref().unwrap_or_default())?
            .kinds(self.kind.as_deref().unwrap_or_default())?
            .bounded()
    }
}

/// Events of late. Their texts come from callers and servers: show them escaped.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Live {
    /// When the node was started, in milliseconds since the Unix epoch: numbers count from 1 on each start.
    pub launch: u64,
    /// Number of the oldest event that is still kept; 0 if there is none.
    pub first: u64,
    /// Number of the newest event; 0 if there is none.
    pub last: u64,
    /// Events that were asked for and are not kept any more.
    pub missed: u64,
    /// Events that were lost on their way here since the start, because there were too many at once.
    pub dropped: u64,
    /// Oldest first, each a `lockgate_live::Numbered`.
    pub events: Vec<Box<RawValue>>,
}

/// What the events come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LiveSummary {
    /// When the node was started, in milliseconds since the Unix epoch.
    pub launch: u64,
    /// Rates, latencies, edges, rules, refusals, handshakes and postures.
    #[serde(flatten)]
    pub summary: Summary,
}
