//! The command line: what can be asked, and help that teaches.
//!
//! Only shapes stand here. What the verbs do is in [`crate::verbs`], and what flags mean together with file and
//! environment is in [`crate::config`].

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

use crate::endpoint::Endpoint;

mod audit;
mod crypto;
mod discover;
mod duration;
mod facts;
mod help;
mod policy;
mod report;
mod threats;
mod watch;

pub(crate) use audit::QueryArgs;
pub(crate) use crypto::{
    ApplyArgs, BanArgs, CryptoVerb, DrillArgs, InventoryForm, LiftArgs, PlanArgs, RollbackArgs, ScopeArgs,
};
pub(crate) use discover::{AdoptArgs, Bad, DiscoverArgs, DiscoverVerb, MapFormat};
pub(crate) use duration::Seconds;
pub(crate) use facts::FactsVerb;
pub(crate) use policy::{
    BackgroundArgs, ExplainCallArgs, LinkForm, PolicyArgs, PolicyVerb, ProveArgs, SetArgs,
};
pub(crate) use report::{FailOn, ReportArgs};
pub(crate) use threats::{FailAt, ScanArgs, ScanOutput, SuppressArgs, ThreatsVerb};
pub(crate) use watch::{DashboardArgs, TapArgs, TopArgs};

/// Carries MCP traffic through post-quantum tunnels, and decides, watches and records every call.
#[derive(Debug, Parser)]
#[command(name = "lockgate", version, max_term_width = 100, after_help = help::TOP, disable_help_subcommand = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// Flags of every verb.
#[derive(Debug, Args)]
pub(crate) struct Global {
    /// Where authority, audit log and store are kept [default: $LOCKGATE_STATE, else $XDG_STATE_HOME/lockgate, else ~/.local/state/lockgate]
    #[arg(long, global = true, value_name = "DIR", display_order = 900)]
    pub(crate) state: Option<PathBuf>,
    /// How much to tell on stderr, like `info` or `warn,lockgate_proxy=debug`
    #[arg(long, global = true, value_name = "FILTER", display_order = 901)]
    pub(crate) log: Option<String>,
}

/// What can be asked.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Start everything at once: authority, gateway and a sample MCP server
    #[command(after_help = help::UP)]
    Up(UpArgs),
    /// Put MCP servers behind a post-quantum tunnel
    #[command(after_help = help::GATEWAY)]
    Gateway(GatewayArgs),
    /// Reach a gateway from an MCP client, over stdio or local HTTP
    #[command(after_help = help::CONNECT)]
    Connect(ConnectArgs),
    /// Put one stdio server behind a tunnel in one command
    #[command(after_help = help::WRAP)]
    Wrap(WrapArgs),
    /// Show the running node: servers, links and the proof of each link
    #[command(after_help = help::STATUS)]
    Status(OutputArgs),
    /// Open the dashboard of the running node in a browser on this machine
    #[command(after_help = help::DASHBOARD)]
    Dashboard(DashboardArgs),
    /// Follow calls, links and changes as they happen, like a log
    #[command(after_help = help::TAP)]
    Tap(TapArgs),
    /// Watch the node: rates, latencies, refusals, who calls what, links by group
    #[command(after_help = help::TOP_VIEW)]
    Top(TopArgs),
    /// Make one handshake with a gateway and show what was negotiated
    #[command(after_help = help::PING)]
    Ping(PingArgs),
    /// Check this machine, and say what to do about what is found
    #[command(after_help = help::DOCTOR)]
    Doctor(DoctorArgs),
    /// Explain an error code or a stage, offline
    #[command(after_help = help::EXPLAIN)]
    Explain(ExplainArgs),
    /// Find clients, servers and packages of MCP on this machine, and what is wrong with them
    #[command(after_help = help::DISCOVER)]
    Discover(DiscoverArgs),
    /// Put the servers of a client behind this machine's gateway, in its own configuration
    #[command(after_help = help::ADOPT)]
    Adopt(AdoptArgs),
    /// Who may connect: agents, invites, revocations and this authority
    #[command(subcommand)]
    Identity(IdentityVerb),
    /// Calls that wait for a person to approve or reject them
    #[command(after_help = help::APPROVALS)]
    Approvals(ApprovalsArgs),
    /// What was found suspicious, and what waits for approval
    #[command(subcommand)]
    Threats(ThreatsVerb),
    /// Check tool definitions in files or of servers, for continuous integration
    #[command(after_help = help::SCAN)]
    Scan(ScanArgs),
    /// The signed, tamper-evident record of every call and every refusal
    #[command(subcommand)]
    Audit(AuditVerb),
    /// Where audit records are brought, and how far
    #[command(after_help = help::EXPORTS)]
    Exports(OutputArgs),
    /// Write what the audit log proves of a period: for auditors, control by control
    #[command(after_help = help::REPORT)]
    Report(ReportArgs),
    /// The rules that permit calls
    #[command(subcommand)]
    Policy(PolicyVerb),
    /// Credentials that this node presents to servers, sealed
    #[command(subcommand)]
    Secret(SecretVerb),
    /// What policy is told of the world
    #[command(subcommand)]
    Facts(FactsVerb),
    /// Algorithms and profiles: show, plan, change, ban, probe, rehearse
    #[command(subcommand)]
    Crypto(CryptoVerb),
    /// The configuration file
    #[command(subcommand)]
    Config(ConfigVerb),
    /// Serve the built-in sample MCP server on stdin and stdout
    #[command(hide = true)]
    Sample,
}

/// How a reading verb writes its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    // Plain comments, so that help stays one line for each flag.
    // Text and tables for people.
    Human,
    // One JSON document, with its schema's name and version.
    Json,
    // One JSON line for each item.
    Jsonl,
}

/// `--output` of reading verbs.
#[derive(Debug, Clone, Copy, Args)]
pub(crate) struct OutputArgs {
    /// For people, as one JSON document, or as one JSON line for each item
    #[arg(long, value_name = "FORM", value_enum, default_value_t = Output::Human, display_order = 800)]
    pub(crate) output: Output,
}

/// Flags that a gateway takes, under whatever verb it runs.
#[derive(Debug, Clone, Args)]
pub(crate) struct NodeArgs {
    /// Address for tunnels of connectors; port 0 lets the system choose
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Address for clients without a connector (profile pq-kex), or `off`
    #[arg(long, value_name = "ADDR|off")]
    pub(crate) foreign: Option<String>,
    /// Address of the admin interface (loopback only); port 0 lets the system choose
    #[arg(long, value_name = "ADDR")]
    pub(crate) admin: Option<SocketAddr>,
    /// Algorithms that tunnels may use; see `lockgate crypto profiles`
    #[arg(long, value_name = "NAME")]
    pub(crate) profile: Option<String>,
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "LOCKGATE_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `lockgate up`.
#[derive(Debug, Args)]
pub(crate) struct UpArgs {
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// `lockgate gateway`.
#[derive(Debug, Args)]
pub(crate) struct GatewayArgs {
    /// A server: http://…, https://… or 'stdio:COMMAND ARGS'; repeat for several
    #[arg(long, value_name = "[NAME=]TARGET")]
    pub(crate) to: Vec<String>,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
}

/// `lockgate wrap`.
#[derive(Debug, Args)]
pub(crate) struct WrapArgs {
    /// Name of the server in its URL and in policies [default: from the command]
    #[arg(long, value_name = "NAME")]
    pub(crate) name: Option<String>,
    #[command(flatten)]
    pub(crate) node: NodeArgs,
    /// The stdio server's command line
    #[arg(last = true, required = true, value_name = "CMD")]
    pub(crate) command: Vec<String>,
}

/// `lockgate connect`.
#[derive(Debug, Args)]
pub(crate) struct ConnectArgs {
    /// https://HOST:PORT/servers/NAME/mcp, or …/mcp for all servers [default: the invite's gateway, all servers]
    #[arg(value_name = "URL", required_unless_present_any = ["invite", "local"])]
    pub(crate) url: Option<Endpoint>,
    /// A server of this machine's own gateway by its name; the gateway is started if it does not run
    #[arg(long, value_name = "NAME", conflicts_with_all = ["url", "invite"])]
    pub(crate) local: Option<String>,
    /// Offer local HTTP on this loopback address instead of stdio
    #[arg(long, value_name = "ADDR")]
    pub(crate) listen: Option<SocketAddr>,
    /// Enrol with the one-time code of `lockgate identity invite`
    #[arg(long, value_name = "CODE", env = "LOCKGATE_INVITE", hide_env_values = true)]
    pub(crate) invite: Option<String>,
    /// Algorithms that the tunnel may use; nothing weaker is ever followed
    #[arg(long, value_name = "NAME", default_value = "pq-hybrid")]
    pub(crate) profile: String,
    /// Whether to follow the gateway to other algorithms that are no weaker; `never` also forgets what was followed
    #[arg(long, value_name = "HOW", value_enum, default_value_t = Follow::Safe)]
    pub(crate) follow: Follow,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// How a connector answers when its gateway announces other algorithms.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Follow {
    // Moves, unless what is announced is weaker than its own profile.
    Safe,
    // Stays with its own profile.
    Never,
}

/// `lockgate ping`.
#[derive(Debug, Args)]
pub(crate) struct PingArgs {
    /// https://HOST:PORT, a path is allowed [default: the node on this machine]
    #[arg(value_name = "URL")]
    pub(crate) url: Option<Endpoint>,
    /// Handshakes to make; the later ones show resumption
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub(crate) count: u32,
    /// Algorithms that the handshake may use
    #[arg(long, value_name = "NAME", default_value = "pq-hybrid")]
    pub(crate) profile: String,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `lockgate doctor`.
#[derive(Debug, Args)]
pub(crate) struct DoctorArgs {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "LOCKGATE_CONFIG", hide_env_values = true)]
    pub(crate) config: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `lockgate explain`.
#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    /// An error code like LG-C003, a stage like `permit`, or nothing for the whole list
    #[arg(value_name = "CODE|STAGE")]
    pub(crate) topic: Option<String>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `lockgate identity …`.
#[derive(Debug, Subcommand)]
pub(crate) enum IdentityVerb {
    /// Make a one-time code with which one connector may enrol
    #[command(after_help = help::INVITE)]
    Invite {
        /// The agent's name in certificates, policies and the audit log
        #[arg(long, value_name = "NAME")]
        name: String,
        /// How long the code can be used, like 15m or 2h
        #[arg(long, value_name = "TIME", default_value = "15m")]
        lifetime: Seconds,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List agents that were seen, invites, and who is revoked
    List(OutputArgs),
    /// Lock out an agent, key, role, token or certificate at once, or make an invite unusable
    #[command(after_help = help::REVOKE)]
    Revoke {
        /// agent/NAME, spiffe://…, key:FINGERPRINT, role:NAME, token:ID, serial:HEX, local-user or invite:ID
        target: String,
        /// Why, for the record and for those who look at it later
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        /// For how long, like 15m or 7d [default: until it is restored]
        #[arg(long = "for", value_name = "TIME")]
        lifetime: Option<Seconds>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Lift a revocation
    Restore {
        /// What was revoked, as `lockgate identity list` shows it
        target: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show this machine's authority: trust domain, fingerprint, roots
    Show(OutputArgs),
    /// Show who this user's connectors are, and what is proven of a process started from here
    #[command(after_help = help::WHOAMI)]
    Whoami {
        /// The workload socket of a node [default: the one of the running node]
        #[arg(long, value_name = "PATH")]
        socket: Option<PathBuf>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show whom this machine believes: roots and issuers of tokens, and where each came from
    Trust(OutputArgs),
    /// Replace a root of the authority; for a while the old one is trusted, too
    #[command(after_help = help::ROTATE_ROOT)]
    RotateRoot {
        /// Algorithm of the root, as `lockgate identity show` lists it
        #[arg(value_name = "ALGORITHM")]
        algorithm: String,
        /// How long the old root stays trusted, like 7d: longer than any peer is away
        #[arg(long, value_name = "TIME", default_value = "7d")]
        overlap: Seconds,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// `lockgate approvals`, which lists, watches, or does what a verb says.
#[derive(Debug, Args)]
pub(crate) struct ApprovalsArgs {
    #[command(subcommand)]
    pub(crate) verb: Option<ApprovalsVerb>,
    /// Show calls that wait, and then each one as it comes, until Ctrl-C
    #[arg(long)]
    pub(crate) watch: bool,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

/// `lockgate approvals …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ApprovalsVerb {
    /// List calls that wait, and what was decided about others
    #[command(after_help = help::APPROVALS)]
    List(OutputArgs),
    /// Show one call with all its arguments
    Show {
        /// The id that `lockgate approvals list` shows
        id: String,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Let a call pass once, when it is made again with the same arguments
    Approve {
        /// The id that `lockgate approvals list` shows
        id: String,
        /// How long the approval can be used, like 10m or 2h [default: 10m]
        #[arg(long = "for", value_name = "TIME")]
        lifetime: Option<Seconds>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Have a call refused when it is made again
    Reject {
        /// The id that `lockgate approvals list` shows
        id: String,
        /// Why; the model that asked reads it
        #[arg(long, value_name = "TEXT", default_value = "")]
        reason: String,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// `lockgate audit …`.
#[derive(Debug, Subcommand)]
pub(crate) enum AuditVerb {
    /// Show the last records, and follow new ones on request
    #[command(after_help = help::AUDIT)]
    Tail {
        /// How many records
        #[arg(long, short = 'n', value_name = "N", default_value_t = 20)]
        lines: usize,
        /// Keep going: show each new record as it is written
        #[arg(long, short)]
        follow: bool,
        /// The lines as they stand in the log: OCSF events, byte for byte as they were signed
        #[arg(long)]
        raw: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Find records: by agent, tool, verdict, rule, posture, time
    #[command(after_help = help::AUDIT_QUERY)]
    Query(Box<QueryArgs>),
    /// Check every record, the signed trees over them, or one proof; needs the public key only
    #[command(after_help = help::AUDIT_VERIFY)]
    Verify {
        /// The log's directory, or a `.tlog-proof` file [default: the state directory's log]
        #[arg(value_name = "DIR|PROOF")]
        path: Option<PathBuf>,
        /// First record to check
        #[arg(long, value_name = "SEQ")]
        from: Option<u64>,
        /// Last record to check
        #[arg(long, value_name = "SEQ")]
        to: Option<u64>,
        /// A key that must have signed: a verifier key, or a file with one a line [default: those of the state directory]
        #[arg(long = "key", value_name = "KEY|FILE")]
        keys: Vec<String>,
        /// A key of a witness, or a file with one a line [default: those that this node asks]
        #[arg(long = "witness", value_name = "KEY|FILE")]
        witnesses: Vec<String>,
        /// How many witnesses must have cosigned [default: none; 1 with --witness]
        #[arg(long, value_name = "N")]
        quorum: Option<usize>,
        /// A checkpoint that was seen before or elsewhere, which must be a beginning of this log
        #[arg(long = "seen", value_name = "FILE")]
        seen: Vec<PathBuf>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Write the proof of one record: a file that anybody with the public key can check
    #[command(after_help = help::AUDIT_PROVE)]
    Prove {
        /// The record's number, or the `uid` of its event
        #[arg(value_name = "SEQ|EVENT")]
        record: String,
        /// The file to write
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
        /// The log's directory [default: the state directory's log]
        #[arg(long, value_name = "DIR")]
        dir: Option<PathBuf>,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Show whose logs this node witnesses, and who witnesses its own
    #[command(after_help = help::AUDIT_WITNESS)]
    Witness(OutputArgs),
    /// Print the public keys that checkpoints are signed with
    #[command(after_help = help::AUDIT_KEY)]
    Key {
        /// Have new keys sign from the next start on; the old ones vouch for them once
        #[arg(long)]
        rotate: bool,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// `lockgate secret …`.
#[derive(Debug, Subcommand)]
pub(crate) enum SecretVerb {
    /// Seal a secret, read from stdin or a file, in place of one of the same name
    #[command(after_help = help::SECRET)]
    Put {
        /// Lower-case letters, digits and hyphens
        name: String,
        /// Read it from this file instead of stdin
        #[arg(long, value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        config: ConfigFile,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// List the names of sealed secrets, and whether they open
    List {
        #[command(flatten)]
        config: ConfigFile,
        #[command(flatten)]
        output: OutputArgs,
    },
    /// Remove a secret; its server gets nothing any more
    Remove {
        /// The name that `lockgate secret list` shows
        name: String,
        #[command(flatten)]
        config: ConfigFile,
        #[command(flatten)]
        output: OutputArgs,
    },
}

/// The configuration that says where the key of the sealed store is.
#[derive(Debug, Args)]
pub(crate) struct ConfigFile {
    /// Configuration file (TOML)
    #[arg(long, value_name = "FILE", env = "LOCKGATE_CONFIG", hide_env_values = true)]
    config: Option<PathBuf>,
}

impl SecretVerb {
    pub(crate) fn config(&self) -> Option<&std::path::Path> {
        let (Self::Put { config, .. } | Self::List { config, .. } | Self::Remove { config, .. }) = self;
        config.config.as_deref()
    }

    pub(crate) fn output(&self) -> &OutputArgs {
        let (Self::Put { output, .. } | Self::List { output, .. } | Self::Remove { output, .. }) = self;
        output
    }
}

/// `lockgate config …`.
#[derive(Debug, Subcommand)]
pub(crate) enum ConfigVerb {
    /// Print the configuration file's JSON Schema
    #[command(after_help = help::CONFIG)]
    Schema,
    /// Check file and environment, and show every error at once; binds nothing
    Validate(ConfigArgs),
    /// Show each setting in force, and where it comes from
    Show(ConfigArgs),
}

/// Which configuration, and how to show it.
#[derive(Debug, Args)]
pub(crate) struct ConfigArgs {
    /// Configuration file (TOML)
    #[arg(value_name = "FILE", env = "LOCKGATE_CONFIG", hide_env_values = true)]
    pub(crate) file: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) output: OutputArgs,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    #[test]
    fn shapes_are_consistent() {
        super::Cli::command().debug_assert();
    }
}
