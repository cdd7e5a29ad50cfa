//! The map: nodes, what leads from one to another, and what is wrong. Nothing in it is secret, and it is what
//! `lockgate discover --output json` prints.

use serde::{Deserialize, Serialize};

use crate::launch::{Package, Pin};
use crate::secret::Sighting;

/// Value of [`Map::schema`]. The number changes when a reader of the old one would misread the new one.
pub const SCHEMA: &str = "lockgate.discovery/1";

/// Everything that was found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Map {
    /// [`SCHEMA`].
    pub schema: String,
    /// When it was made, milliseconds since 1970.
    pub at_ms: u64,
    /// How long that took, milliseconds.
    pub took_ms: u64,
    /// By kind and id.
    pub nodes: Vec<Node>,
    /// What leads from node to node.
    pub links: Vec<Link>,
    /// What is wrong, the worst first.
    pub findings: Vec<Finding>,
    /// Where was looked, and what came of it.
    pub sources: Vec<Source>,
}

/// Something that speaks MCP, or that a speaker depends on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Node {
    /// Asks servers for tools.
    Client(ClientNode),
    /// Offers tools.
    Server(Box<ServerNode>),
    /// A node of ours.
    Gateway(GatewayNode),
    /// What a server is run from.
    Package(PackageNode),
    /// A secret, known by its fingerprint alone.
    Credential(CredentialNode),
}

impl Node {
    /// Its id, unique in a map and the same in the next map of this machine.
    #[must_use]
    pub fn id(&self) -> &str {
        match self {
            Self::Client(node) => &node.id,
            Self::Server(node) => &node.id,
            Self::Gateway(node) => &node.id,
            Self::Package(node) => &node.id,
            Self::Credential(node) => &node.id,
        }
    }

    /// Its name for people. Foreign text: make it visible before it is printed.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Client(node) => &node.name,
            Self::Server(node) => node.names.first().map_or(&node.id, |name| name),
            Self::Gateway(node) => &node.name,
            Self::Package(node) => &node.purl,
            Self::Credential(node) => &node.fingerprint,
        }
    }
}

/// A client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClientNode {
    /// `client:cursor`.
    pub id: String,
    /// Like `Cursor`.
    pub name: String,
    /// Its files with servers in them.
    pub files: Vec<String>,
    /// Whether it runs now.
    pub running: bool,
}

/// How a server is spoken to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Transport {
    /// As a child process.
    Stdio,
    /// Streamable HTTP.
    Http,
    /// The HTTP of before, with server-sent events of its own (2024-11-05).
    Sse,
}

/// How its callers prove who they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Authentication {
    /// The operating system sees to it: a child process is its parent's.
    Local,
    /// It answered without asking who calls.
    None,
    /// It refused who said nothing.
    Required,
    /// It refused and said where tokens come from (RFC 9728).
    OAuth,
    /// A client sends credentials; whether they are needed is not known.
    Sent,
    /// Not known: it was not asked.
    Unknown,
}

/// How sure it is that it is an MCP server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Confidence {
    /// It speaks like one.
    Likely,
    /// A client has it as one.
    Configured,
    /// It answered as one.
    Confirmed,
}

/// A server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerNode {
    /// `server:` and a keyed hash of how it is reached.
    pub id: String,
    /// What those who use it call it, and what it calls itself.
    pub names: Vec<String>,
    /// How it is spoken to.
    pub transport: Transport,
    /// Its command line, without secrets.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub command: Vec<String>,
    /// Its URL, without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub url: Option<String>,
    /// Package URL of what it is run from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub package: Option<String>,
    /// How firmly that is named.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pin: Option<Pin>,
    /// Who owns it, by the registry or its own card.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// Version that it reported, or that the registry has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// How sure it is.
    pub confidence: Confidence,
    /// Whether some client or gateway has it in its configuration.
    pub configured: bool,
    /// Whether it runs, or answered.
    pub running: bool,
    /// Whether calls reach it through a gateway of ours.
    pub behind_gateway: bool,
    /// Whether some client reaches it without one.
    pub direct: bool,
    /// How callers prove who they are.
    pub authentication: Authentication,
    /// What its link negotiates; none for a local one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Names of environment variables that it is given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub env: Vec<String>,
    /// Names of headers that it is sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub headers: Vec<String>,
    /// Secrets in its configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Sighting>,
    /// Processes.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub processes: Vec<u32>,
    /// TCP addresses at which it listens.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub listens: Vec<String>,
    /// Its tools, where they are known.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<Tool>,
    /// Who has it in a configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub used_from: Vec<Use>,
    /// Where in a cluster it runs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub cluster: Vec<String>,
}

/// What a link negotiates.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tls {
    /// `TLSv1.3`; none where it is plain.
    pub protocol: Option<String>,
    /// Key exchange group.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub group: Option<String>,
    /// How the server signs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signature: Option<String>,
    /// Cipher suite.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cipher: Option<String>,
    /// Whether key exchange holds against a quantum adversary.
    pub quantum_safe_key_exchange: Option<bool>,
    /// Whether authentication does.
    pub quantum_safe_authentication: Option<bool>,
    /// Groups that it supports, all of them where it was asked for each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<String>,
    /// Signatures that it supports, likewise.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub signatures: Vec<String>,
    /// Whose order of groups decides.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub preference: Option<String>,
    /// What becomes of clients that could do better, the worst that was seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub downgrade: Option<String>,
}

/// A tool and what it says that it can touch. The hints are the server's own claims.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tool {
    /// Its name.
    pub name: String,
    /// Whether it claims to change nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_only: Option<bool>,
    /// Whether it may destroy what is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destructive: Option<bool>,
    /// Whether it reaches out into the world.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open_world: Option<bool>,
}

/// A client's entry.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Use {
    /// `client:cursor`.
    pub client: String,
    /// The client's name for the server.
    pub name: String,
    /// The file.
    pub file: String,
    /// `user`, `project`, `system` or `plugin`.
    pub scope: String,
    /// The project.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<String>,
    /// Whether the client uses it.
    pub enabled: bool,
}

/// A node of ours.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GatewayNode {
    /// `gateway:` and its SPIFFE id, or its URL.
    pub id: String,
    /// Its SPIFFE id, or its URL.
    pub name: String,
    /// Where it listens.
    pub listens: Vec<String>,
    /// Profiles of its tunnels.
    pub profiles: Vec<String>,
    /// Links that are up.
    pub links: u64,
    /// Those of them that hold against a quantum adversary.
    pub links_quantum_safe: u64,
    /// Agents that have links now, or had calls of late.
    pub agents: Vec<String>,
    /// Whether it answered.
    pub running: bool,
}

/// What a server is run from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PackageNode {
    /// `package:` and its package URL.
    pub id: String,
    /// Package URL (ECMA-427).
    pub purl: String,
    /// Its parts.
    pub package: Package,
    /// Name in the MCP registry, if it is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub registered_as: Option<String>,
}

/// A secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialNode {
    /// `credential:` and its fingerprint.
    pub id: String,
    /// Keyed hash.
    pub fingerprint: String,
    /// Where it stands: file and place.
    pub places: Vec<String>,
}

/// What leads from one node to another.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Link {
    /// Id of a node.
    pub from: String,
    /// Id of another.
    pub to: String,
    /// How.
    pub relation: Relation,
}

/// How nodes belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Relation {
    /// A client reaches a server.
    Uses,
    /// A client reaches a gateway, in a tunnel.
    Tunnel,
    /// A gateway has a server behind it.
    Serves,
    /// A server is run from a package.
    RunsFrom,
    /// A server is given a credential.
    Holds,
}

/// How bad it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// Worth knowing.
    Info,
    /// Better mended.
    Low,
    /// Mend it.
    Medium,
    /// Mend it now.
    High,
}

/// Something that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// Which kind, like `shadow-server`; it does not change.
    pub id: String,
    /// Code that `lockgate explain` knows.
    pub code: String,
    /// How bad.
    pub severity: Severity,
    /// Id of the node, or a file.
    pub about: String,
    /// What is the matter.
    pub what: String,
    /// What to do.
    pub fix: String,
}

/// Where was looked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// `configurations`, `processes`, `network`, `kubernetes`, `registry` or `gateway`.
    pub kind: String,
    /// Where.
    pub place: String,
    /// What came of it.
    pub result: String,
    /// Whether all of it was seen.
    pub complete: bool,
}
