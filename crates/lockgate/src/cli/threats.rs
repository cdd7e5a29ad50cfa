//! `lockgate threats …` and `lockgate scan`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{OutputArgs, Seconds, help};

/// `lockgate threats …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ThreatsVerb {
    /// List what waits for a person, and what is suppressed
    #[command(after_help = help::THREATS)]
    List(OutputArgs),
    /// Show one that waits, with everything that changed
    Show {
        /// The id that `lockgate threats list` shows
        id: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Approve a tool definition, or a server that moved, so that it can be used again
    Approve {
        /// The id that `lockgate threats list` shows
        id: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Be silent about a finding for a while, for a reason
    #[command(after_help = help::THREATS_SUPPRESS)]
    Suppress(SuppressArgs),
    /// Speak again of what was suppressed
    Unsuppress {
        /// The id that `lockgate threats list` shows
        id: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Count findings of the audit log, and say what would quieten each
    Tune {
        /// How far back, like 24h or 7d
        #[arg(long, value_name = "TIME", default_value = "7d")]
        since: Seconds,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Tell what other rules would have done with recorded calls
    #[command(after_help = help::THREATS_REPLAY)]
    Replay {
        /// How far back, like 24h or 7d
        #[arg(long, value_name = "TIME", default_value = "24h")]
        since: Seconds,
        /// A configuration with the [detect] to try
        #[arg(long, value_name = "FILE")]
        ruleset: PathBuf,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// `lockgate threats suppress`.
#[derive(Debug, Args)]
pub(crate) struct SuppressArgs {
    /// The finding, like LG-D007
    pub(crate) finding: String,
    /// Only of this server
    #[arg(long, value_name = "NAME")]
    pub(crate) server: Option<String>,
    /// Only of this tool or method
    #[arg(long, value_name = "NAME", requires = "server")]
    pub(crate) tool: Option<String>,
    /// Why, for those who read the record
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// For how long, like 8h or 30d
    #[arg(long = "for", value_name = "TIME", default_value = "7d", conflicts_with = "until")]
    pub(crate) lifetime: Seconds,
    /// Until when, like 2027-01-31 or 2027-01-31T18:00:00Z
    #[arg(long, value_name = "TIME")]
    pub(crate) until: Option<String>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `lockgate scan`.
#[derive(Debug, Args)]
pub(crate) struct ScanArgs {
    /// Files with answers to tools/list or one definition a line, - for standard input, or servers: https://…, "stdio:COMMAND ARGS"
    #[arg(required = true, value_name = "TARGET")]
    pub(crate) targets: Vec<String>,
    /// Name of the server, where a target does not tell it
    #[arg(long, value_name = "NAME")]
    pub(crate) server: Option<String>,
    /// The least severity for which the command fails
    #[arg(long, value_enum, default_value_t = FailAt::High)]
    pub(crate) fail_on: FailAt,
    /// The longest time that a server may take
    #[arg(long, value_name = "TIME", default_value = "30s")]
    pub(crate) timeout: Seconds,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t = ScanOutput::Human)]
    pub(crate) output: ScanOutput,
}

/// From which severity on a scan fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailAt {
    /// Whatever is found
    Low,
    /// Medium and high
    Medium,
    /// High
    High,
    /// In no case
    Never,
}

/// How a scan prints what it found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ScanOutput {
    /// For people
    Human,
    /// One JSON document
    Json,
    /// One JSON object a line
    Jsonl,
    /// SARIF 2.1.0, for code hosts
    Sarif,
}
