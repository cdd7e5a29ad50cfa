//! `lockgate report`.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};
use lockgate_report::FRAMEWORKS;

use super::OutputArgs;

/// `lockgate report`.
#[derive(Debug, Args)]
pub(crate) struct ReportArgs {
    /// For which framework
    #[arg(value_name = "FRAMEWORK", value_parser = PossibleValuesParser::new(FRAMEWORKS.map(|framework| framework.id)))]
    pub(crate) framework: String,
    /// Which days, in UTC: 2026-Q4, 2026-11, 2026 or 2026-11-01..2026-11-30
    #[arg(long, value_name = "PERIOD")]
    pub(crate) period: String,
    /// Folder for index.html, report.json, evidence.jsonl and two OSCAL documents; it is made if need be
    #[arg(long, value_name = "DIR")]
    pub(crate) out: PathBuf,
    /// Configuration file (TOML), for listeners, servers and dates
    #[arg(long, value_name = "FILE", env = "LOCKGATE_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    /// The log's directory, such as a copy that an auditor was given [default: the state directory's]
    #[arg(long, value_name = "DIR")]
    pub(crate) from: Option<PathBuf>,
    /// Write over a report that is there already
    #[arg(long)]
    pub(crate) force: bool,
    /// End with exit code 1 if the report, which is written all the same, has any of these
    #[arg(long, value_name = "WHAT", value_enum)]
    pub(crate) fail_on: Option<FailOn>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// What makes a report a negative answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum FailOn {
    // What did not hold, or came close.
    Exceptions,
}
