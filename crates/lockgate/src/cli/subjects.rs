//! `lockgate audit subject|hold|retention`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::{OutputArgs, help};

/// Where the configuration is, for a node that does not run.
#[derive(Debug, Clone, Args)]
pub(crate) struct OfConfig {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "LOCKGATE_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `lockgate audit subject …`.
#[derive(Debug, Subcommand)]
pub(crate) enum SubjectVerb {
    /// Write all records of a subject into a folder, with content where its keys are there, and with proofs
    #[command(after_help = help::SUBJECT)]
    Export {
        /// KIND:ID like patient:4711, or the SPIFFE id of an agent
        #[arg(value_name = "ID")]
        subject: String,
        /// The folder to make
        #[arg(long, value_name = "DIR")]
        out: PathBuf,
        #[command(flatten)]
        of: OfConfig,
    },
    /// Destroy the keys of a subject, for good: content, tags and pseudonyms; the log stays as it is, and verifies
    #[command(after_help = help::SUBJECT)]
    Erase {
        /// KIND:ID like patient:4711, or the SPIFFE id of an agent
        #[arg(value_name = "ID")]
        subject: String,
        /// On what ground, for the receipt; nothing personal
        #[arg(long, value_name = "TEXT")]
        basis: String,
        #[command(flatten)]
        of: OfConfig,
    },
}

/// `lockgate audit hold …`.
#[derive(Debug, Subcommand)]
pub(crate) enum HoldVerb {
    /// Keep a subject, or everything, from being erased and from expiring
    #[command(after_help = help::HOLD)]
    Add {
        /// KIND:ID like patient:4711, or the SPIFFE id of an agent
        #[arg(value_name = "ID", required_unless_present = "all", conflicts_with = "all")]
        subject: Option<String>,
        /// Hold everything
        #[arg(long)]
        all: bool,
        /// Why, for the record; nothing personal
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        of: OfConfig,
    },
    /// List all holds
    List(OfConfig),
    /// Lift a hold
    Lift {
        /// The id that `lockgate audit hold list` shows
        id: String,
        /// Why, for the record
        #[arg(long, value_name = "TEXT")]
        reason: String,
        #[command(flatten)]
        of: OfConfig,
    },
}

/// `lockgate audit retention`.
#[derive(Debug, Clone, Args)]
pub(crate) struct RetentionArgs {
    /// Do now what is due; a node does so every hour
    #[arg(long)]
    pub(crate) apply: bool,
    #[command(flatten)]
    pub(crate) of: OfConfig,
}

impl SubjectVerb {
    pub(crate) fn of(&self) -> &OfConfig {
        match self {
            SubjectVerb::Export { of, .. } | SubjectVerb::Erase { of, .. } => of,
        }
    }
}

impl HoldVerb {
    pub(crate) fn of(&self) -> &OfConfig {
        match self {
            HoldVerb::Add { of, .. } | HoldVerb::List(of) | HoldVerb::Lift { of, .. } => of,
        }
    }
}
