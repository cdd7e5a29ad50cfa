//! `lockgate facts …`.

use std::path::PathBuf;

use clap::Subcommand;

use super::{OutputArgs, help};

/// `lockgate facts …`.
#[derive(Debug, Subcommand)]
pub(crate) enum FactsVerb {
    /// List facts: where each comes from, how the last use ended, and why it was absent
    #[command(after_help = help::FACTS)]
    List(OutputArgs),
    /// Ask for a fact now and show it
    Get {
        /// Name of the fact
        name: String,
        /// The value that selects the record
        #[arg(long, value_name = "VALUE")]
        key: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Sign a record and bring it to the node
    #[command(after_help = help::FACTS_PUSH)]
    Push {
        /// Name of the fact
        name: String,
        /// JSON file with the record
        #[arg(value_name = "FILE", required_unless_present = "withdraw", conflicts_with = "withdraw")]
        file: Option<PathBuf>,
        /// Take the last record back
        #[arg(long)]
        withdraw: bool,
        /// What the record is about: the value that selects it
        #[arg(long, value_name = "VALUE")]
        about: Option<String>,
        /// Private key that signs, as `lockgate crypto keygen` makes it
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        #[command(flatten)]
        output: OutputArgs,
    },
}
