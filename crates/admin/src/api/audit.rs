//! Questions to the audit log.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

/// Which records somebody wants. All that is given must hold; texts match a part of what they are compared with, whatever the
/// case of ASCII letters, and behind a `=` the whole. Lists are between commas.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuditQuestion {
    /// The agent's id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The server.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// Name of the tool, prompt or resource.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tool: Option<String>,
    /// MCP method, or what a record of another kind is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub method: Option<String>,
    /// `ok`, `denied`, `held`, `killed`, `screened`, `refused` (every refusal), `failed`, `cancelled`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub verdict: Option<String>,
    /// `call`, `refusal`, `link`, `stream`, `identity`, `policy`, `detect`, `crypto`, `lifecycle`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// JSON-RPC code or HTTP status.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub code: Option<i64>,
    /// Id of a policy that decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Id of a finding.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub finding: Option<String>,
    /// Key exchange group of the link.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// Whether the link was quantum-safe: `yes` or `no`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantum_safe: Option<String>,
    /// Not before: a time (RFC 3339), a day in UTC, or a span until now such as `2h`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub since: Option<String>,
    /// Before this time, in the same forms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub until: Option<String>,
    /// Only records with a smaller number: the next page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<u64>,
    /// Most records of one answer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
}

/// Records that were asked for.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditFound {
    /// The newest first, as flat records (`lockgate.record/1`).
    pub records: Vec<Box<RawValue>>,
    /// [`AuditQuestion::before`] of the next page; none behind the last record.
    pub next_before: Option<u64>,
    /// Whether it took too long, so that older records were not looked at.
    pub is_late: bool,
    /// Lines that were read to find them.
    pub read: u64,
    /// Lines that no index was there for.
    pub unindexed: u64,
    /// Lines of the log, in the part that was looked at, that are no records: the log is damaged.
    pub unreadable: u64,
    /// Files of the index that did not hold, so that the log itself was read.
    pub damaged: Vec<String>,
}
