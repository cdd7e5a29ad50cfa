//! What goes over the wire: plain data, one document a question.
//!
//! Times are milliseconds since the Unix epoch (`…_ms`); hashes and fingerprints are lower-case hex.

use lockgate_crypto::Posture;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

mod audit;
mod change;
mod crypto;
mod dashboard;
mod enforcement;
mod exports;
mod facts;
mod live;
mod subjects;

pub use audit::{AuditFound, AuditQuestion};
pub use change::{
    ApplyRequest, BanRequest, Change, Drill, DrillRequest, DrillStep, InventoryFormat, LiftRequest,
    Migration, RollbackRequest, RotateRootRequest, RotatedRoot, Waiting,
};
pub use crypto::{
    BanView, CapabilitiesView, CostView, CryptoShow, DocumentView, EndingView, ForeseenView, LeftOut,
    PeerUse, Place, PlaceKind, Plan, PlanRequest, PlannedCertificate, PlannedCost, PlannedLink, PlannedPeer,
    PlannedPlace, ProviderView, Scope, Verdict,
};
pub(crate) use dashboard::{Session, SessionRequest};
pub use dashboard::{Ticket, TicketRequest};
pub use live::{Live, LiveQuery, LiveSummary};

pub use exports::{ExportView, Exports, TelemetryView};
pub use facts::{FactAnswer, FactQuestion, FactReceipt, FactUsed, FactView, Facts};
pub use subjects::{
    DueView, EraseRequest, ErasedView, ExportRequest, HoldRequest, HoldView, Holds, KnownView,
    LiftHoldRequest, RetentionView,
};

pub use enforcement::{
    AgentView, ApproveRequest, HeldCall, HeldCalls, Identities, MadeRevocation, RejectRequest,
    RestoreRequest, Restored, RevocationView, RevokeRequest,
};

/// A document that the interface gives, by its name and version.
pub trait Document: Serialize {
    /// Like `lockgate.status/1`. The number changes when a reader of the old one would misread the new one.
    const SCHEMA: &'static str;
}

/// A document with its schema in front, as it is sent and as `--output json` prints it.
#[derive(Debug, Serialize)]
pub struct Versioned<T> {
    schema: &'static str,
    #[serde(flatten)]
    document: T,
}

impl<'a, T: Document> Versioned<&'a T> {
    /// The document with its schema.
    pub fn of(document: &'a T) -> Self {
        Self { schema: T::SCHEMA, document }
    }
}

macro_rules! documents {
    ($($document:ty = $schema:literal;)+) => {
        $(impl Document for $document { const SCHEMA: &'static str = $schema; })+
    };
}

documents! {
    Status = "lockgate.status/1";
    Exports = "lockgate.exports/1";
    ErasedView = "lockgate.erasure/1";
    KnownView = "lockgate.subject/1";
    HoldView = "lockgate.hold/1";
    Holds = "lockgate.holds/1";
    RetentionView = "lockgate.retention/1";
    Facts = "lockgate.facts/1";
    Ticket = "lockgate.dashboard-ticket/1";
    Session = "lockgate.dashboard-session/1";
    Live = "lockgate.live/1";
    LiveSummary = "lockgate.live-summary/1";
    FactAnswer = "lockgate.fact-answer/1";
    FactReceipt = "lockgate.fact-receipt/1";
    Links = "lockgate.links/1";
    Upstreams = "lockgate.upstreams/1";
    MintedInvite = "lockgate.invite/1";
    Invites = "lockgate.invites/1";
    Certificate = "lockgate.certificate/1";
    Threats = "lockgate.threats/1";
    SuppressionView = "lockgate.suppression/1";
    Approval = "lockgate.approval/1";
    Pins = "lockgate.pins/1";
    AuditTail = "lockgate.audit-tail/1";
    AuditFound = "lockgate.audit-query/1";
    Reloaded = "lockgate.reload/1";
    Draining = "lockgate.drain/1";
    CryptoShow = "lockgate.crypto-show/1";
    Plan = "lockgate.crypto-plan/1";
    Change = "lockgate.crypto-change/1";
    Migration = "lockgate.crypto-migration/1";
    Drill = "lockgate.crypto-drill/1";
    RotatedRoot = "lockgate.root-rotated/1";
    MadeRevocation = "lockgate.revocation/1";
    Restored = "lockgate.restored/1";
    Identities = "lockgate.identities/1";
    HeldCalls = "lockgate.held-calls/1";
    HeldCall = "lockgate.held-call/1";
}

/// The node at a glance.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Status {
    /// Version of the program.
    pub version: String,
    /// The node's SPIFFE id.
    pub node: String,
    /// When it started.
    pub since_ms: u64,
    /// Whether it takes no more links.
    pub draining: bool,
    /// Where it listens.
    pub listeners: Vec<Listener>,
    /// Generation of the crypto profiles in force.
    pub epoch: u64,
    /// Live links that have not followed it yet.
    #[serde(default)]
    pub links_below_epoch: u64,
    /// What may not be used, whatever a profile says.
    #[serde(default)]
    pub bans: Vec<BanView>,
    /// Dates of algorithms in force that are warned of by now, the nearest first.
    #[serde(default)]
    pub endings: Vec<EndingView>,
    /// The last change, while links still move.
    #[serde(default)]
    pub migration: Option<Migration>,
    /// Fingerprint of the authority's bundle.
    pub authority: String,
    /// Generation of the policies in force.
    pub policy_generation: u64,
    /// Their number.
    pub policies: u64,
    /// Prohibitions that reloads took out of force since the node started, each with where it stood.
    #[serde(default)]
    pub lost_forbids: Vec<String>,
    /// Live links.
    pub links: u64,
    /// Those of them that hold against a quantum adversary.
    pub links_quantum_safe: u64,
    /// Legacy MCP sessions open.
    pub sessions: u64,
    /// Calls between their first stage and their record.
    pub calls_in_flight: u64,
    /// MCP servers behind the node.
    pub upstreams: u64,
    /// Those of them that are left alone after failures.
    pub upstreams_failing: u64,
    /// Tool definitions that wait for an approval.
    pub threats: u64,
    /// Whether the dashboard may decide about what waits for a person.
    #[serde(default)]
    pub write: bool,
    /// The audit log.
    pub audit: AuditView,
}

/// A place where the node listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// Its name in the configuration.
    pub name: String,
    /// Base URL for those who connect.
    pub url: String,
    /// Dated name of its crypto profile; `None` without a tunnel.
    pub profile: Option<String>,
}

/// The audit log as the node sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditView {
    /// Number of the last record.
    pub seq: u64,
    /// SHA-256 of its line.
    pub head_hash: String,
    /// Why no record can be written, and so no call passes; `None` when all is well.
    pub problem: Option<String>,
    /// What of it is signed; `None` before the first checkpoint.
    #[serde(default)]
    pub checkpoint: Option<CheckpointView>,
}

/// The newest checkpoint of the audit log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointView {
    /// The log and its month.
    pub origin: String,
    /// Leaves of its tree: the records of the month, and one for its beginning.
    pub size: u64,
    /// Root of the tree.
    pub root: String,
    /// The last record that it covers.
    pub covers_seq: u64,
    /// When it was signed.
    pub signed_at_ms: Option<u64>,
    /// Keys of the log whose signatures verify: `NAME+ID ALGORITHM`.
    pub signed_by: Vec<String>,
    /// Names of others who cosigned it.
    pub cosigned_by: Vec<String>,
}

/// The live links.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Links {
    /// Oldest first.
    pub links: Vec<Link>,
}

/// A live link.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Link {
    /// Number of the link on this node, from 1.
    pub number: u64,
    /// Name of the listener that accepted it.
    pub listener: String,
    /// The peer's address, where the link has one.
    pub peer: Option<String>,
    /// Who is at the other end.
    pub agent: String,
    /// When it was accepted.
    pub since_ms: u64,
    /// Calls that it has carried.
    pub calls: u64,
    /// What was negotiated; `None` without a tunnel.
    pub posture: Option<Posture>,
    /// Whether every part of the posture holds against a quantum adversary; `None` without a tunnel.
    pub quantum_safe: Option<bool>,
    /// What keeps it from that, such as `group NAME`; `None` if nothing does.
    #[serde(default)]
    pub weakest: Option<String>,
    /// When the proof of the peer's identity ends; `None` if it does not.
    #[serde(default)]
    pub expires_at_ms: Option<u64>,
    /// The last epoch whose rules it was judged by and may stay under; `None` without a tunnel.
    #[serde(default)]
    pub epoch: Option<u64>,
}

/// The MCP servers behind the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Upstreams {
    /// By id.
    pub upstreams: Vec<Upstream>,
}

/// An MCP server behind the node.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Upstream {
    /// Its id, as in `/servers/ID/mcp`.
    pub id: String,
    /// Where it is: a URL or a command.
    pub address: String,
    /// `closed` (calls pass) or `open` (it is left alone for a while).
    pub circuit: String,
    /// Milliseconds until an open circuit is tried again.
    pub retry_ms: Option<u64>,
    /// The last failure since it last answered.
    pub last_error: Option<String>,
    /// Child processes alive, of a stdio server.
    pub children: Option<u64>,
    /// Connections to it, of an HTTP server.
    pub links: Vec<UpstreamLink>,
}

/// A connection to an upstream.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct UpstreamLink {
    /// Its address.
    pub peer: Option<String>,
    /// What TLS negotiated; `None` over plain HTTP.
    pub posture: Option<Posture>,
    /// What keeps it from holding against a quantum adversary; `None` if nothing does.
    #[serde(default)]
    pub weakest: Option<String>,
    /// Whether it only ends what it carries, and takes nothing new.
    #[serde(default)]
    pub retired: bool,
}

/// Asks for an invite.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewInvite {
    /// For whom; becomes the end of the agent's SPIFFE id.
    pub name: String,
    /// How long it can be used, in seconds; the node's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_s: Option<u64>,
}

/// An invite with its code, which is shown this once.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MintedInvite {
    /// The invite.
    pub invite: Invite,
    /// What the agent's owner enters. Whoever has it becomes the agent.
    pub code: String,
}

impl std::fmt::Debug for MintedInvite {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MintedInvite").field("invite", &self.invite).field("code", &"[redacted]").finish()
    }
}

/// The invites that the node remembers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invites {
    /// Newest first.
    pub invites: Vec<Invite>,
}

/// An invite, without its code.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Invite {
    /// What to revoke it by. Says nothing about the code.
    pub id: String,
    /// For whom.
    pub name: String,
    /// The SPIFFE id that the agent gets.
    pub agent: String,
    /// When it ends.
    pub expires_at_ms: u64,
    /// When it was used; `None` while it was not.
    pub used_at_ms: Option<u64>,
}

/// Asks for a certificate for this machine's own agent.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Csr {
    /// PKCS#10 certification request, PEM.
    pub csr: String,
}

/// A certificate that was issued.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Certificate {
    /// The SPIFFE id that it carries.
    pub id: String,
    /// The certificate, PEM.
    pub certificate: String,
    /// The authority's roots, PEM.
    pub authority: String,
    /// End of its validity.
    pub not_after_ms: u64,
}

/// Tool definitions that are trusted: what policies on arguments are checked against.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pins {
    /// In no order.
    pub pins: Vec<PinView>,
}

/// A tool definition that is trusted. Its texts come from the server: show them escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PinView {
    /// Id of the server.
    pub server: String,
    /// Name of the tool.
    pub tool: String,
    /// The definition as canonical JSON.
    pub definition: String,
    /// SHA-256 of the definition, lower-case hexadecimal.
    pub sha256: String,
}

/// Tool definitions that wait for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threats {
    /// Oldest first.
    pub threats: Vec<Threat>,
    /// What detection is silent about for a while.
    #[serde(default)]
    pub suppressions: Vec<SuppressionView>,
}

/// What detection is silent about for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuppressionView {
    /// What it is taken back by.
    pub id: String,
    /// Code of the finding.
    pub finding: String,
    /// Id of the server; all without it.
    pub server: Option<String>,
    /// The tool or method; all without it.
    pub subject: Option<String>,
    /// Why.
    pub reason: String,
    /// Who said so.
    pub by: String,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Until when, in milliseconds since the Unix epoch.
    pub until_ms: u64,
}

/// Has detection be silent about a finding for a while.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SuppressRequest {
    /// Code of the finding.
    pub finding: String,
    /// Id of the server; all without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// The tool or method; all without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Why.
    pub reason: String,
    /// Who says so.
    pub by: String,
    /// Until when, in milliseconds since the Unix epoch.
    pub until_ms: u64,
}

/// A tool definition that waits for a person. Its texts come from the server: show them escaped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Threat {
    /// What to approve it by; another definition has another id.
    pub id: String,
    /// Id of the server.
    pub server: String,
    /// Name of the tool.
    pub tool: String,
    /// SHA-256 of the definition that is trusted; `None` when this is the first.
    pub old_hash: Option<String>,
    /// SHA-256 of this definition.
    pub new_hash: String,
    /// What differs, one line a change.
    pub changes: Vec<String>,
    /// What the difference amounts to, like `new imperative`.
    #[serde(default)]
    pub classes: Vec<String>,
    /// Why it is held.
    pub findings: Vec<FindingView>,
    /// This definition as canonical JSON.
    pub definition: String,
    /// When it was first seen.
    pub first_seen_ms: u64,
}

/// Why detection objects.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingView {
    /// Code for `lockgate explain`, like `LG-D002`.
    pub id: String,
    /// How bad it is.
    pub severity: String,
    /// In one sentence.
    pub reason: String,
    /// Where it was seen.
    pub evidence: String,
}

/// A definition that is trusted from now on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The id that was approved.
    pub id: String,
    /// Id of the server.
    pub server: String,
    /// Name of the tool.
    pub tool: String,
    /// SHA-256 of the definition.
    pub hash: String,
}

/// The newest records of the audit log.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct AuditTail {
    /// Oldest first, byte for byte as they are in the log. A line that is not JSON comes as a JSON string.
    pub records: Vec<Box<RawValue>>,
}

/// What a reload changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reloaded {
    /// Generation of the policies in force now.
    pub policy_generation: u64,
    /// Their number.
    pub policies: u64,
    /// Generation of the crypto profiles in force now.
    pub epoch: u64,
    /// What is in force that was not before, one line each.
    pub changed: Vec<String>,
    /// What the configuration says that needs a restart, one line each.
    pub restart_needed: Vec<String>,
}

/// A drain that has begun: no new links, calls under way may end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Draining {
    /// Links still live.
    pub links: u64,
    /// Calls still under way.
    pub calls_in_flight: u64,
    /// After this many seconds the links that are left are cut.
    pub drain_s_max: u64,
}
