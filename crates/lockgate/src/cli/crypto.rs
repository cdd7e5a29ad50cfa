//! `lockgate crypto …`: looking, planning, changing.

use std::path::PathBuf;

use clap::{ArgAction, Args, Subcommand, ValueEnum};

use super::duration::{Seconds, seconds_or_none};
use super::{OutputArgs, help};

/// `lockgate crypto …`.
#[derive(Debug, Subcommand)]
pub(crate) enum CryptoVerb {
    /// List profiles: named, dated sets of permitted algorithms
    #[command(after_help = help::PROFILES)]
    Profiles(OutputArgs),
    /// List every algorithm that this build knows
    Catalog(OutputArgs),
    /// Show what each listener, peer and upstream of the running node uses, and why
    #[command(after_help = help::SHOW)]
    Show {
        /// Also show what each profile comes to now, and what was left out of it
        #[arg(long)]
        effective: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Say what a change of profile would do, and change nothing
    #[command(after_help = help::PLAN)]
    Plan(PlanArgs),
    /// Put a profile in force on the running node; links move to it, no call fails
    #[command(after_help = help::APPLY)]
    Apply(ApplyArgs),
    /// Take the last change back
    Rollback(RollbackArgs),
    /// Forbid an algorithm, or one implementation of it, from now on
    #[command(after_help = help::BAN)]
    Ban(BanArgs),
    /// Lift a ban
    Lift(LiftArgs),
    /// Find out what a TLS endpoint supports, prefers and falls back to
    #[command(after_help = help::PROBE)]
    Probe {
        /// HOST:PORT of any TLS server
        #[arg(value_name = "HOST:PORT")]
        target: String,
        /// Server name to ask for [default: the host]
        #[arg(long, value_name = "NAME")]
        sni: Option<String>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List every link, key, certificate and algorithm in use
    #[command(after_help = help::INVENTORY)]
    Inventory {
        /// Our own document, or a CycloneDX 1.7 bill of materials
        #[arg(long, value_name = "FORM", value_enum, default_value_t = InventoryForm::Json)]
        format: InventoryForm,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Rehearse an emergency, and report who would be cut off
    #[command(after_help = help::DRILL)]
    Drill(DrillArgs),
    /// Make a key that signs crypto documents; keep it offline
    #[command(after_help = help::SIGN)]
    Keygen {
        /// Algorithm of the key
        #[arg(long, value_name = "ALGORITHM")]
        algorithm: Option<String>,
        /// Where the private key goes; the public one goes to the same name with .pub
        #[arg(value_name = "FILE")]
        file: PathBuf,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Sign a crypto document; writes FILE.sig
    #[command(after_help = help::SIGN)]
    Sign {
        /// The document (TOML, schema lockgate.crypto/1)
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// The private key that `lockgate crypto keygen` made
        #[arg(long, value_name = "FILE")]
        key: PathBuf,
        #[command(flatten)]
        output: OutputArgs,
    },
}

impl CryptoVerb {
    /// How its answer is written.
    pub(crate) fn output(&self) -> OutputArgs {
        match self {
            Self::Profiles(output)
            | Self::Catalog(output)
            | Self::Show { output, .. }
            | Self::Probe { output, .. }
            | Self::Inventory { output, .. }
            | Self::Keygen { output, .. }
            | Self::Sign { output, .. } => *output,
            Self::Plan(args) => args.output,
            Self::Apply(args) => args.output,
            Self::Rollback(args) => args.output,
            Self::Ban(args) => args.output,
            Self::Lift(args) => args.output,
            Self::Drill(args) => args.output,
        }
    }
}

/// Which places are meant.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct ScopeArgs {
    /// A listener; repeat for several [default: tunnel]
    #[arg(long = "listener", value_name = "NAME", action = ArgAction::Append)]
    pub(crate) listeners: Vec<String>,
    /// A server that is reached by https; repeat for several
    #[arg(long = "upstream", value_name = "NAME", action = ArgAction::Append)]
    pub(crate) upstreams: Vec<String>,
    /// A peer, by its SPIFFE id or the beginning of ids with a * at the end; repeat for several
    #[arg(long = "peer", value_name = "ID", action = ArgAction::Append)]
    pub(crate) peers: Vec<String>,
}

/// `lockgate crypto plan`.
#[derive(Debug, Args)]
pub(crate) struct PlanArgs {
    /// A profile; list them: lockgate crypto profiles
    #[arg(value_name = "PROFILE")]
    pub(crate) profile: String,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `lockgate crypto apply`.
#[derive(Debug, Args)]
pub(crate) struct ApplyArgs {
    /// A profile; list them: lockgate crypto profiles
    #[arg(value_name = "PROFILE")]
    pub(crate) profile: String,
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,
    /// How long links may take to move, like 30s or 2m; 0s cuts them at once [default: crypto.drain_s]
    #[arg(long, value_name = "TIME", value_parser = seconds_or_none)]
    pub(crate) drain: Option<u64>,
    /// Do it even if it cuts peers off
    #[arg(long)]
    pub(crate) cut_off: bool,
    /// End it by itself after this time, like 2h or 7d; needed with --peer
    #[arg(long = "for", value_name = "TIME")]
    pub(crate) lasts: Option<Seconds>,
    /// Why, for the record; needed with --peer
    #[arg(long, value_name = "TEXT", default_value = "", hide_default_value = true)]
    pub(crate) reason: String,
    /// Return as soon as it is in force, and do not wait until links have moved
    #[arg(long)]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `lockgate crypto rollback`.
#[derive(Debug, Args)]
pub(crate) struct RollbackArgs {
    /// How long links may take to move, like 30s or 2m; 0s cuts them at once [default: crypto.drain_s]
    #[arg(long, value_name = "TIME", value_parser = seconds_or_none)]
    pub(crate) drain: Option<u64>,
    /// Return as soon as it is in force, and do not wait until links have moved
    #[arg(long)]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `lockgate crypto ban`.
#[derive(Debug, Args)]
pub(crate) struct BanArgs {
    /// An algorithm; PROVIDER/ALGORITHM means one implementation of it
    #[arg(value_name = "ALGORITHM")]
    pub(crate) target: String,
    /// Why, for the record and for those who meet the ban
    #[arg(long, value_name = "TEXT")]
    pub(crate) reason: String,
    /// Cut links that used it at once
    #[arg(long, conflicts_with = "drain")]
    pub(crate) now: bool,
    /// Go on using hybrids that contain it
    #[arg(long)]
    pub(crate) keep_hybrids: bool,
    /// How long links may take to move, like 30s or 2m [default: crypto.drain_s]
    #[arg(long, value_name = "TIME", value_parser = seconds_or_none)]
    pub(crate) drain: Option<u64>,
    /// Return as soon as it is in force, and do not wait until links have moved
    #[arg(long)]
    pub(crate) no_wait: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `lockgate crypto lift`.
#[derive(Debug, Args)]
pub(crate) struct LiftArgs {
    /// What was banned, as `lockgate crypto show` says it
    #[arg(value_name = "ALGORITHM")]
    pub(crate) target: String,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `lockgate crypto drill`.
#[derive(Debug, Args)]
pub(crate) struct DrillArgs {
    /// Which emergency
    #[arg(value_name = "EMERGENCY", value_enum)]
    pub(crate) drill: Emergency,
    /// Really put the emergency's profile in force, for a time
    #[arg(long)]
    pub(crate) live: bool,
    /// For how long, like 60s
    #[arg(long = "for", value_name = "TIME", requires = "live")]
    pub(crate) lasts: Option<Seconds>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// An emergency that can be rehearsed; each has a profile of its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Emergency {
    // Lattices, or an implementation of them, can be broken.
    LatticeBroken,
    // Classical key exchange and signatures can be broken.
    ClassicalBroken,
}

impl Emergency {
    /// The name of the drill, which is its profile's alias.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::LatticeBroken => "lattice-broken",
            Self::ClassicalBroken => "classical-broken",
        }
    }
}

/// How an inventory is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum InventoryForm {
    // Our own document.
    Json,
    // CycloneDX 1.7.
    Cyclonedx,
}
