//! The configuration: one optional TOML file, laid over by environment and flags.
//!
//! Two stages. [`load`](load::load) is pure apart from reading the file: it lays defaults, file, environment and
//! flags over each other, checks the whole against the schema of the types below and returns every error at once.
//! What comes out is [`Settings`]: no value in it can be invalid, and nothing was bound, started or written yet.

use std::collections::BTreeMap;
use std::path::PathBuf;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

mod attest;
mod check;
mod credential;
mod crypto;
mod detect;
mod exports;
mod facts;
mod limits;
mod load;
mod scopes;
mod servers;
mod settings;
mod subjects;
mod target;
mod telemetry;
mod tree;
mod witness;

pub(crate) use attest::{Access, AttestPlan, ISSUER_PLACE, KeySource, TokenPlan, TokenSource};
use attest::{Attest, Register};
use credential::Credential;
pub(crate) use credential::{CredentialPlace, CredentialPlan, ExchangeFrom};
pub(crate) use crypto::{Crypto, Exception, ExceptionTarget, check_peer};
use detect::Detect;
pub(crate) use detect::DetectPlan;
pub(crate) use exports::{Export, ExportKind, ExportPlan, ExportTo};
pub(crate) use facts::{Fact, FactPlan, FactSource};
pub(crate) use limits::Limits;
pub(crate) use load::{Flags, ServerFlag, ServerText, load};
use scopes::ScopeNeed;
pub(crate) use settings::{FOREIGN, ServerPlan, Settings, TUNNEL, TlsFiles};
pub(crate) use subjects::{RetentionMonths, SubjectPlace};
pub(crate) use target::Target;
use telemetry::Telemetry;
pub(crate) use telemetry::TelemetryPlan;
pub(crate) use tree::{Origin, Tree};
use witness::{AuditWitness, Witness};
pub(crate) use witness::{WitnessPlan, read_keys};

/// Lockgate's configuration file. Everything in it is optional.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Config {
    /// This node: its name, its trust domain and where it listens.
    pub(crate) node: Node,
    /// Further listeners, each with its own profile and, if need be, its own certificate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) listener: Vec<Listener>,
    /// The MCP servers behind the gateway.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) server: Vec<Server>,
    /// What policy is told of the world.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) fact: Vec<Fact>,
    /// Where audit records are brought.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) export: Vec<Export>,
    /// Traces and figures for a collector of OpenTelemetry.
    pub(crate) telemetry: Telemetry,
    /// How the algorithms in force may change while the node runs.
    pub(crate) crypto: Crypto,
    /// Those who are held to another profile for a while.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) exception: Vec<Exception>,
    /// How agents prove what they are, besides by invites.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) attest: Vec<Attest>,
    /// Who agents are by what they proved.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) register: Vec<Register>,
    /// What of scopes the calls of those need who come by a token.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) scope: Vec<ScopeNeed>,
    /// Bounds on everything that a peer can make grow.
    pub(crate) limits: Limits,
    /// The signed, tamper-evident record of calls.
    pub(crate) audit: Audit,
    /// Logs of other nodes that this node witnesses.
    pub(crate) witness: Witness,
    /// The rules that permit calls.
    pub(crate) policy: Policy,
    /// What detection does with what it finds.
    pub(crate) detect: Detect,
    /// The sealed store of the credentials that this node presents to servers.
    pub(crate) secrets: Secrets,
    /// The admin interface: status, metrics, approvals.
    pub(crate) admin: Admin,
    /// What is told on stderr.
    pub(crate) log: Log,
}

/// This node: its name, its trust domain and where it listens.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Node {
    /// Name of this node in its SPIFFE id, spiffe://TRUST-DOMAIN/node/NAME.
    pub(crate) name: String,
    /// SPIFFE trust domain of the local authority. It is fixed when the authority is made.
    pub(crate) trust_domain: String,
    /// Algorithms that tunnels may use; see `lockgate crypto profiles`.
    pub(crate) profile: String,
    /// HOST:PORT for tunnels of connectors; port 0 lets the system choose.
    pub(crate) listen: String,
    /// HOST:PORT for clients without a connector, under profile pq-kex, or "off". Without a value it is the port after `listen` if that is on loopback, and off otherwise.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) foreign: Option<String>,
    /// Further host names and IP addresses under which clients reach this node; they go into its certificate, and requests for other hosts are refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) names: Vec<String>,
    /// URL under which clients without a connector reach this node, like https://gw.example: issuer and audience of its access tokens. Without a value it is the foreign listener's address, or the tunnel's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) url: Option<String>,
    /// Life of the certificates of agents, in seconds. They renew themselves at two thirds of it; a connector that did not run by then has to enrol again.
    #[schemars(range(min = 60, max = 86_400))]
    pub(crate) agent_lifetime_s: u64,
    /// Web origins whose pages may call foreign listeners, like https://inspector.example. Requests of other pages are refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) origins: Vec<String>,
}

impl Default for Node {
    fn default() -> Self {
        Self {
            name: "gateway".to_owned(),
            trust_domain: "lockgate.internal".to_owned(),
            profile: "pq-hybrid".to_owned(),
            listen: format!("127.0.0.1:{}", crate::endpoint::PORT_DEFAULT),
            foreign: None,
            names: Vec::new(),
            url: None,
            agent_lifetime_s: lockgate_identity::AGENT_LIFETIME.as_secs(),
            origins: Vec::new(),
        }
    }
}

/// A further listener.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Listener {
    /// Its name in status, records and commands: lower-case letters, digits and hyphens. Without one it is listener, and listener-2 for the second without a name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    /// HOST:PORT; port 0 lets the system choose.
    pub(crate) address: String,
    /// Algorithms that this listener permits; see `lockgate crypto profiles`.
    #[serde(default = "foreign_profile")]
    pub(crate) profile: String,
    /// A certificate from outside, instead of those that the local authority issues.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) tls: Option<Tls>,
    /// Whether each call needs an identity: a certificate of this node's authority or an access token. A client without one is told where tokens come from (401, RFC 9728).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(crate) identity_required: bool,
}

fn foreign_profile() -> String {
    "pq-kex".to_owned()
}

/// A certificate from outside.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Tls {
    /// PEM file with the certificate first and its chain after it.
    pub(crate) certificate: PathBuf,
    /// PEM file with the private key (PKCS#8), readable by its owner only.
    pub(crate) key: PathBuf,
}

/// An MCP server behind the gateway. It is reached by `to`, or started by `command`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Server {
    /// Name in URLs, tool prefixes and policies: lower-case letters, digits and hyphens.
    pub(crate) name: String,
    /// http://…, https://…, or "stdio:COMMAND ARGS" with the quoting of a POSIX shell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) to: Option<String>,
    /// The command line of a stdio server as a list, for arguments that quoting would make unreadable.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) command: Vec<String>,
    /// Further environment variables of a stdio server.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) env: BTreeMap<String, String>,
    /// Working directory of a stdio server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) cwd: Option<PathBuf>,
    /// PEM file with the roots that an https:// server's certificate must lead to, instead of the system's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) roots: Option<PathBuf>,
    /// Algorithms that the connection to an https:// server may use.
    #[serde(default = "foreign_profile")]
    pub(crate) profile: String,
    /// Groups that it belongs to; policies can name a group in place of its servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) groups: Vec<String>,
    /// Country in which it is run, by its two letters (ISO 3166-1), for reports on transfers; nothing else reads it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) country: Option<String>,
    /// What this node proves itself by to the server, out of the sealed store or by exchange; the client's credentials never go there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) credential: Option<Credential>,
}

/// The sealed store of the credentials that this node presents.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Secrets {
    /// File with the key, 32 bytes or 64 hexadecimal digits, if it is not to lie beside what it seals.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) key: Option<PathBuf>,
}

/// The signed, tamper-evident record of calls.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Audit {
    /// Size at which a new file is begun, in bytes.
    #[schemars(range(min = 65_536))]
    pub(crate) segment_bytes_max: u64,
    /// Longest wait of a record until a sync to the disk begins, in milliseconds.
    #[schemars(range(min = 1, max = 1000))]
    pub(crate) sync_ms_max: u64,
    /// MCP methods, like tools/call, whose answers wait until their record is on the disk.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) durable: Vec<String>,
    /// Whom calls are about, and where that stands in them.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) subject: Vec<SubjectPlace>,
    /// How many witnesses have to cosign a checkpoint before it is handed out as cosigned.
    pub(crate) quorum: usize,
    /// Who is asked to cosign checkpoints of this log.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) witness: Vec<AuditWitness>,
    /// For how many months what is kept.
    #[serde(skip_serializing_if = "RetentionMonths::is_empty")]
    pub(crate) retention: RetentionMonths,
}

impl Default for Audit {
    fn default() -> Self {
        let lockgate_audit::Options { segment_bytes_max, sync_ms_max, .. } =
            lockgate_audit::Options::default();
        Self {
            segment_bytes_max,
            sync_ms_max,
            durable: Vec::new(),
            subject: Vec::new(),
            quorum: 1,
            witness: Vec::new(),
            retention: RetentionMonths::default(),
        }
    }
}

/// The rules that permit calls.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Policy {
    /// Role files (*.toml) and Cedar files (*.cedar). Without any, all of both in STATE/policy.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) files: Vec<PathBuf>,
    /// Whether the audit log keeps what is said in all calls, encrypted, for `policy replay` and `policy suggest`. Where a rule has it kept for a purpose of its own, it is kept for that one.
    pub(crate) record_arguments: bool,
}

/// The admin interface: status, metrics, approvals.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Admin {
    /// HOST:PORT, on loopback only; port 0 lets the system choose.
    pub(crate) listen: String,
    /// Whether the dashboard may approve and reject what waits for a person. It can look in any case, and never do more.
    pub(crate) write: bool,
}

impl Default for Admin {
    fn default() -> Self {
        Self { listen: "127.0.0.1:0".to_owned(), write: false }
    }
}

/// What is told on stderr.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Log {
    /// A level, or levels for parts: info, or warn,lockgate_proxy=debug.
    pub(crate) level: String,
    /// How each line is written.
    pub(crate) format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Human }
    }
}

/// How a log line is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LogFormat {
    /// For people.
    Human,
    /// One JSON object for each line.
    Json,
}

/// The JSON Schema of [`Config`].
pub(crate) fn schema() -> serde_json::Value {
    let mut schema = schemars::schema_for!(Config).to_value();
    schema["title"] = "Lockgate configuration".into();
    schema
}
