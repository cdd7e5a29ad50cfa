//! `lockgate discover` and `lockgate adopt`.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::{OutputArgs, Seconds, help};

/// `lockgate discover`, which looks, or compares two looks.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub(crate) struct DiscoverArgs {
    #[command(subcommand)]
    pub(crate) verb: Option<DiscoverVerb>,
    /// Look for projects below this folder, too; repeat for several [default: those that clients remember]
    #[arg(long, value_name = "DIR")]
    pub(crate) projects: Vec<PathBuf>,
    /// Ask this address or range, too: HOST, HOST:PORT, a URL, 10.0.0.0/24:8080, or `local` for what listens here; repeat for several
    #[arg(long, value_name = "TARGET")]
    pub(crate) probe: Vec<String>,
    /// With --probe: also list the tools of servers that ask nobody who they are
    #[arg(long, requires = "probe")]
    pub(crate) list_tools: bool,
    /// Ask each https:// server on the map what TLS it supports, by some dozens of handshakes
    #[arg(long)]
    pub(crate) posture: bool,
    /// Look through the cluster of this kubeconfig, too; nothing in it is run
    #[arg(long, value_name = "FILE")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// Look names and owners up in this MCP registry
    #[arg(long, value_name = "URL")]
    pub(crate) registry: Option<String>,
    /// The gateway's configuration file (TOML) [default: the one that `lockgate adopt` keeps]
    #[arg(long, value_name = "FILE", env = "LOCKGATE_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// Draw the map, or write it as a bill of materials
    #[arg(long, value_name = "FORMAT", value_enum)]
    pub(crate) format: Option<MapFormat>,
    /// Keep looking, and report what changes, until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
    /// Time between two looks of --watch, like 10s or 5m
    #[arg(long, value_name = "TIME", default_value = "10s")]
    pub(crate) every: Seconds,
    /// End with exit code 1 if anything is at least this bad
    #[arg(long, value_name = "SEVERITY", value_enum)]
    pub(crate) fail_on: Option<Bad>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `lockgate discover …`.
#[derive(Debug, Subcommand)]
pub(crate) enum DiscoverVerb {
    /// Compare two maps that `lockgate discover --output json` wrote; exit code 1 if they differ
    #[command(after_help = help::DISCOVER_DIFF)]
    Diff {
        /// The map of before
        #[arg(value_name = "OLD")]
        old: PathBuf,
        /// The map of now
        #[arg(value_name = "NEW")]
        new: PathBuf,
        #[command(flatten)]
        output: OutputArgs,
    },
}

impl DiscoverArgs {
    pub(crate) fn output(&self) -> &OutputArgs {
        match &self.verb {
            Some(DiscoverVerb::Diff { output, .. }) => output,
            None => &self.output,
        }
    }
}

/// A form of the map for other programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum MapFormat {
    // CycloneDX 1.7 with a CBOM.
    Cyclonedx,
    // Graphviz.
    Dot,
    // Mermaid.
    Mermaid,
}

/// How bad a finding has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Bad {
    Info,
    Low,
    Medium,
    High,
}

/// `lockgate adopt`.
#[derive(Debug, Args)]
pub(crate) struct AdoptArgs {
    /// Whose servers: claude-code, cursor, vscode, codex, … as `lockgate discover` names them
    #[arg(value_name = "CLIENT", required_unless_present_any = ["all", "undo"])]
    pub(crate) client: Option<String>,
    /// Every client's
    #[arg(long, conflicts_with = "client")]
    pub(crate) all: bool,
    /// Only this file, even if it is not where the client keeps it
    #[arg(long, value_name = "FILE", requires = "client")]
    pub(crate) file: Option<PathBuf>,
    /// Look for projects below this folder, too; repeat for several
    #[arg(long, value_name = "DIR")]
    pub(crate) projects: Vec<PathBuf>,
    /// Put the configurations back as they were
    #[arg(long)]
    pub(crate) undo: bool,
    /// With --undo: also where a file was changed since; what was changed is lost
    #[arg(long, requires = "undo")]
    pub(crate) force: bool,
    /// Do it without asking
    #[arg(long, conflicts_with = "dry_run")]
    pub(crate) yes: bool,
    /// Show what would change, and change nothing
    #[arg(long)]
    pub(crate) dry_run: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}
