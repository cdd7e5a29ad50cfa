//! `lockgate audit query`.

use std::path::PathBuf;

use clap::Args;
use lockgate_admin::AuditQuestion;

use super::OutputArgs;

/// `lockgate audit query`.
#[derive(Debug, Args)]
pub(crate) struct QueryArgs {
    /// Only of agents whose id contains this; `=ID` for exactly this one
    #[arg(long, value_name = "TEXT")]
    pub(crate) agent: Option<String>,
    /// Only to servers whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub(crate) server: Option<String>,
    /// Only for tools, prompts and resources whose name contains this
    #[arg(long, value_name = "TEXT")]
    pub(crate) tool: Option<String>,
    /// Only of this MCP method, or about this, where a record is of another kind
    #[arg(long, value_name = "TEXT")]
    pub(crate) method: Option<String>,
    /// Only what ended like this: ok, denied, held, killed, screened, refused (all of those four and more), failed, cancelled; several between commas
    #[arg(long, value_name = "VERDICT")]
    pub(crate) verdict: Option<String>,
    /// Only these: call, refusal, link, stream, identity, policy, detect, crypto, lifecycle; several between commas
    #[arg(long, value_name = "KIND")]
    pub(crate) kind: Option<String>,
    /// Only with this JSON-RPC code or HTTP status
    #[arg(long, value_name = "CODE", allow_negative_numbers = true)]
    pub(crate) code: Option<i64>,
    /// Only what a policy whose id contains this decided
    #[arg(long, value_name = "TEXT")]
    pub(crate) rule: Option<String>,
    /// Only with a finding whose id contains this
    #[arg(long, value_name = "TEXT")]
    pub(crate) finding: Option<String>,
    /// Only over links whose key exchange group contains this
    #[arg(long, value_name = "TEXT")]
    pub(crate) group: Option<String>,
    /// Only over links that a quantum computer could not break, or only over others
    #[arg(long, value_name = "WHICH", value_parser = ["yes", "no"])]
    pub(crate) quantum_safe: Option<String>,
    /// Only at or after this: a time (RFC 3339), a day in UTC, or a span until now such as 2h or 7d
    #[arg(long, value_name = "WHEN")]
    pub(crate) since: Option<String>,
    /// Only before this, in the same forms
    #[arg(long, value_name = "WHEN")]
    pub(crate) until: Option<String>,
    /// Only records with a smaller number: the next page
    #[arg(long, value_name = "SEQ")]
    pub(crate) before: Option<u64>,
    /// How many at most, the newest
    #[arg(long, short = 'n', value_name = "N", default_value_t = 100)]
    pub(crate) limit: usize,
    /// All that match
    #[arg(long, conflicts_with = "limit")]
    pub(crate) all: bool,
    /// The lines as they stand in the log: OCSF events, byte for byte as they were signed
    #[arg(long)]
    pub(crate) raw: bool,
    /// Read every record, and believe no index
    #[arg(long)]
    pub(crate) scan: bool,
    /// Also of a log that is named with --dir: keep what is made of its index, in its folder
    #[arg(long, requires = "dir", conflicts_with = "scan")]
    pub(crate) keep_index: bool,
    /// The log's directory, such as a copy [default: the state directory's log]
    #[arg(long, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

impl QueryArgs {
    /// The question, as the admin interface would be asked it.
    pub(crate) fn question(&self) -> AuditQuestion {
        AuditQuestion {
            agent: self.agent.clone(),
            server: self.server.clone(),
            tool: self.tool.clone(),
            method: self.method.clone(),
            verdict: self.verdict.clone(),
            kind: self.kind.clone(),
            code: self.code,
            rule: self.rule.clone(),
            finding: self.finding.clone(),
            group: self.group.clone(),
            quantum_safe: self.quantum_safe.clone(),
            since: self.since.clone(),
            until: self.until.clone(),
            before: self.before,
            limit: (!self.all).then_some(self.limit),
        }
    }
}
