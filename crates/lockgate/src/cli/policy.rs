//! `lockgate policy …`: checking, asking, proving.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand, ValueEnum};

use super::duration::Seconds;
use super::{OutputArgs, help};

/// `lockgate policy …`.
#[derive(Debug, Subcommand)]
pub(crate) enum PolicyVerb {
    /// Check policy files as strictly as a node does, and show every mistake at once
    #[command(after_help = help::POLICY)]
    Check {
        #[command(flatten)]
        set: SetArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show policy files, or the Cedar that they compile to
    Show {
        #[command(flatten)]
        set: SetArgs,
        /// The Cedar that role files compile to
        #[arg(long)]
        cedar: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Print the JSON Schema of role files, for completion in an editor
    #[command(after_help = help::POLICY_SCHEMA)]
    Schema {
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Decide the cases that stand beside the policy, and compare
    #[command(after_help = help::POLICY_TEST)]
    Test {
        /// NAME.test.toml files, or folders [default: the policy folder]
        #[arg(value_name = "FILE|DIR")]
        cases: Vec<PathBuf>,
        #[command(flatten)]
        set: PolicyArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Say why a call is decided as it is, and what would have to be otherwise
    #[command(after_help = help::POLICY_EXPLAIN)]
    Explain(ExplainCallArgs),
    /// List who can use a tool: always, sometimes, never
    #[command(after_help = help::POLICY_WHO)]
    WhoCan {
        /// SERVER/TOOL
        #[arg(value_name = "SERVER/TOOL")]
        tool: String,
        #[command(flatten)]
        set: PolicyArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List what an agent can use: always, sometimes, never
    #[command(after_help = help::POLICY_WHO)]
    WhatCan {
        /// agent/NAME, a whole SPIFFE id, local-user or anonymous
        #[arg(value_name = "AGENT")]
        agent: String,
        /// A role that the agent has by its registration; repeat for several
        #[arg(long = "role", value_name = "ROLE")]
        roles: Vec<String>,
        #[command(flatten)]
        set: PolicyArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Say what a new set newly makes possible, and what it no longer does
    #[command(after_help = help::POLICY_DIFF)]
    Diff {
        /// The old set: a file or a folder
        #[arg(value_name = "OLD")]
        old: PathBuf,
        /// The new set: a file or a folder [default: the policy folder]
        #[arg(value_name = "NEW")]
        new: Option<PathBuf>,
        #[command(flatten)]
        background: BackgroundArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Prove that something can never happen, or show a call that does it
    #[command(after_help = help::POLICY_PROVE)]
    Prove(ProveArgs),
    /// Decide recorded calls again under another set
    #[command(after_help = help::POLICY_REPLAY)]
    Replay {
        /// How far back, like 24h or 7d
        #[arg(long, value_name = "TIME", default_value = "24h")]
        since: Seconds,
        #[command(flatten)]
        set: PolicyArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Learn the least that covers what was used, as role files to review
    #[command(after_help = help::POLICY_SUGGEST)]
    Suggest {
        /// How far back, like 24h or 7d
        #[arg(long, value_name = "TIME", default_value = "7d")]
        since: Seconds,
        /// The zone in which hours are written
        #[arg(long, value_name = "ZONE", default_value = "UTC")]
        zone: String,
        /// Write the role files here, one for each group of callers; nothing is overwritten
        #[arg(long, value_name = "DIR")]
        out: Option<PathBuf>,
        #[command(flatten)]
        set: PolicyArgs,
        #[command(flatten)]
        output: OutputArgs,
    },
}

impl PolicyVerb {
    /// How the verb answers.
    pub(crate) fn output(&self) -> &OutputArgs {
        match self {
            Self::Check { output, .. }
            | Self::Show { output, .. }
            | Self::Schema { output }
            | Self::Test { output, .. }
            | Self::WhoCan { output, .. }
            | Self::WhatCan { output, .. }
            | Self::Diff { output, .. }
            | Self::Replay { output, .. }
            | Self::Suggest { output, .. } => output,
            Self::Explain(args) => &args.output,
            Self::Prove(args) => &args.output,
        }
    }
}

/// What policies are read against, besides their files.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct BackgroundArgs {
    /// Saved `tools/list` results, so that arguments are checked: [SERVER=]FILE [default: what the node has pinned]
    #[arg(long, value_name = "[SERVER=]FILE")]
    pub(crate) tools: Vec<String>,
    /// Configuration file (TOML), for the trust domain, facts and groups
    #[arg(long, value_name = "FILE", env = "LOCKGATE_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
}

/// A set of policies, as arguments.
#[derive(Debug, Clone, Args)]
pub(crate) struct SetArgs {
    /// Cedar files, role files (TOML) or folders of them [default: the state directory's]
    #[arg(value_name = "FILE|DIR")]
    pub(crate) files: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) background: BackgroundArgs,
}

/// A set of policies, as a flag.
#[derive(Debug, Clone, Args)]
pub(crate) struct PolicyArgs {
    /// Policy files or folders to use [default: the state directory's]
    #[arg(long, value_name = "FILE|DIR")]
    pub(crate) policy: Vec<PathBuf>,
    #[command(flatten)]
    pub(crate) background: BackgroundArgs,
}

/// `lockgate policy explain`.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("call").required(true).args(["tool", "server", "record"]))]
pub(crate) struct ExplainCallArgs {
    /// Who calls: agent/NAME, a whole SPIFFE id, local-user or anonymous
    #[arg(long, value_name = "AGENT", required_unless_present = "record")]
    pub(crate) agent: Option<String>,
    /// A role that the agent has by its registration; repeat for several
    #[arg(long = "role", value_name = "ROLE")]
    pub(crate) roles: Vec<String>,
    /// The tool that is called
    #[arg(long, value_name = "SERVER/TOOL")]
    pub(crate) tool: Option<String>,
    /// The server, for calls that are not of a tool
    #[arg(long, value_name = "SERVER", requires = "method")]
    pub(crate) server: Option<String>,
    /// The MCP method, for calls that are not of a tool
    #[arg(long, value_name = "METHOD", requires = "server")]
    pub(crate) method: Option<String>,
    /// The prompt, URI or task, where the method has one
    #[arg(long, value_name = "NAME", requires = "method")]
    pub(crate) name: Option<String>,
    /// The call's arguments
    #[arg(long, value_name = "JSON|@FILE")]
    pub(crate) arguments: Option<String>,
    /// When: 2026-11-22T14:00:00+01:00, or '2026-11-22 14:00 Europe/Berlin' [default: now]
    #[arg(long, value_name = "TIME")]
    pub(crate) at: Option<String>,
    /// A fact that is known, like staff.on_duty=2 or staff='{"on_duty":2}'; repeat for several
    #[arg(long = "fact", value_name = "NAME[.FIELD]=VALUE")]
    pub(crate) facts: Vec<String>,
    /// Over which link
    #[arg(long, value_name = "LINK", value_enum)]
    pub(crate) link: Option<LinkForm>,
    /// Both ends of the link are on this machine
    #[arg(long)]
    pub(crate) loopback: bool,
    /// A call of the audit log, by its number; other flags change parts of it
    #[arg(long, value_name = "N")]
    pub(crate) record: Option<u64>,
    #[command(flatten)]
    pub(crate) set: PolicyArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// Kinds of links.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum LinkForm {
    // Holds against a quantum computer.
    QuantumSafe,
    // Its key exchange holds, its signatures do not.
    QuantumSafeGroup,
    // Encrypted, but does not.
    Classical,
    // Not encrypted.
    Plain,
}

/// `lockgate policy prove`.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("what").required(true).multiple(true).args(["invariants", "never"]))]
pub(crate) struct ProveArgs {
    /// 'never-touch WORD', 'never WHO tool SERVER/TOOL', 'never WHO server SERVER', 'only WHO can SERVER/TOOL'
    #[arg(value_name = "INVARIANT")]
    pub(crate) invariants: Vec<String>,
    /// A Cedar permit for what must never be permitted
    #[arg(long, value_name = "CEDAR")]
    pub(crate) never: Vec<String>,
    #[command(flatten)]
    pub(crate) set: PolicyArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}
