//! Cryptographic agility: what is in force, what a change would do, the change, and how far it is.
//!
//! Algorithms and profiles are names here; what they mean is in the catalog (`lockgate crypto catalog`) and in the
//! profiles (`lockgate crypto profiles`).

use lockgate_crypto::Posture;
use serde::{Deserialize, Serialize};

use super::change::Migration;

/// What is in force, everywhere, and why.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CryptoShow {
    /// Generation of everything below. It rises with every change and never falls.
    pub epoch: u64,
    /// Listeners first, then upstreams, then exceptions.
    pub places: Vec<Place>,
    /// Peers that were seen, the last seen first.
    pub peers: Vec<PeerUse>,
    /// What may not be used, whatever a profile says.
    pub bans: Vec<BanView>,
    /// Dates that algorithms in force have, the nearest first.
    pub endings: Vec<EndingView>,
    /// The signed document in force; `None` without one.
    pub document: Option<DocumentView>,
    /// What `rollback` would bring back; `None` when there is nothing before.
    pub rollback: Option<String>,
    /// The last change and how far it is.
    pub migration: Migration,
}

/// Where a profile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PlaceKind {
    /// A listener of this node.
    Listener,
    /// An MCP server that is reached by https.
    Upstream,
    /// A peer that has a profile of its own for a time.
    Exception,
}

/// A place with its profile, and what that comes to now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// Listener, upstream or exception.
    pub kind: PlaceKind,
    /// Name of the listener or server, or the peer's id (a `*` at its end stands for any end).
    pub name: String,
    /// Dated name of the profile.
    pub profile: String,
    /// Who chose it, in one sentence: the configuration, a person, an exception, a drill.
    pub why: String,
    /// Dated name of the profile that the configuration names here; another than `profile` while a change holds.
    pub configured: String,
    /// When an exception or a drill ends.
    pub until_ms: Option<u64>,
    /// Epoch in which this place last changed.
    pub epoch: u64,
    /// Key exchange groups in force, in order of preference.
    pub groups: Vec<String>,
    /// Signatures in force, in order of preference.
    pub signatures: Vec<String>,
    /// Ciphers in force, in order of preference.
    pub ciphers: Vec<String>,
    /// What the node's own certificates are made of here.
    pub identities: Vec<String>,
    /// Which implementation each group uses.
    pub providers: Vec<ProviderView>,
    /// What the profile names and may not be used now.
    pub left_out: Vec<LeftOut>,
    /// Dates that its algorithms have.
    pub endings: Vec<EndingView>,
}

/// An algorithm and the implementation that is used for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProviderView {
    /// Catalog id.
    pub algorithm: String,
    /// Name of the implementation.
    pub provider: String,
}

/// An algorithm that a profile names and that is not in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeftOut {
    /// Catalog id.
    pub algorithm: String,
    /// Why: a ban, a date, or no code for it.
    pub why: String,
}

/// A ban in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BanView {
    /// `ALGORITHM` or `PROVIDER/ALGORITHM`, to lift it by.
    pub target: String,
    /// Why.
    pub reason: String,
    /// Since when.
    pub since_ms: u64,
    /// Who banned it.
    pub by: String,
    /// Whether hybrids that contain it may still be used.
    pub keep_hybrids: bool,
    /// Whether it comes from the signed document, which alone can lift it.
    pub signed: bool,
    /// Every algorithm that it takes away.
    pub covers: Vec<String>,
}

/// An algorithm with its dates.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EndingView {
    /// Catalog id.
    pub algorithm: String,
    /// `current`, `warned` or `over`, as of today.
    pub phase: String,
    /// Day from which it is warned of, RFC 3339 full-date.
    pub warn_after: Option<String>,
    /// Last day on which it may be used, RFC 3339 full-date.
    pub not_after: Option<String>,
}

/// The signed document in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DocumentView {
    /// Path of the file.
    pub file: String,
    /// Its own number, which never falls.
    pub epoch: u64,
    /// SHA-256 of its bytes.
    pub sha256: String,
    /// SHA-256 of the public key that signed it.
    pub signer: String,
    /// Names of the profiles that it defines.
    pub profiles: Vec<String>,
}

/// A peer as it was last seen.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PeerUse {
    /// Its SPIFFE id, or its address.
    pub agent: String,
    /// When.
    pub last_seen_ms: u64,
    /// Its links that are up.
    pub live_links: u64,
    /// What its last handshake negotiated.
    pub posture: Option<Posture>,
    /// What its last ClientHello offered.
    pub capabilities: Option<CapabilitiesView>,
    /// The profile by which it says that it dials.
    pub following: Option<String>,
}

/// What a ClientHello offered.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CapabilitiesView {
    /// Key exchange groups.
    pub groups: Vec<String>,
    /// Signatures.
    pub signatures: Vec<String>,
    /// Ciphers.
    pub ciphers: Vec<String>,
}

/// Which places are meant. All lists empty: every listener whose connections come from Lockgate's own connectors,
/// which is the listener `tunnel`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scope {
    /// Names of listeners.
    pub listeners: Vec<String>,
    /// Names of servers that are reached by https.
    pub upstreams: Vec<String>,
    /// SPIFFE ids of peers, or beginnings of such ids with a `*` at the end.
    pub peers: Vec<String>,
}

/// Asks what a change of profile would do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanRequest {
    /// Name or alias of the profile.
    pub profile: String,
    /// Where.
    #[serde(default)]
    pub scope: Scope,
}

/// What a change would do. Nothing was changed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// Epoch in force, for which the plan holds.
    pub epoch: u64,
    /// Dated name of the planned profile.
    pub profile: String,
    /// The places that would change.
    pub places: Vec<PlannedPlace>,
    /// The live links there.
    pub links: Vec<PlannedLink>,
    /// Peers that have no link now but were seen there.
    pub peers: Vec<PlannedPeer>,
    /// Certificates that would be issued, the node's own first.
    pub certificates: Vec<PlannedCertificate>,
    /// Costs of a full handshake with the preferred choices, before and after, place by place.
    pub costs: Vec<PlannedCost>,
    /// Live links and peers that may stay.
    pub stays: u64,
    /// Those that would move to a new link.
    pub moves: u64,
    /// Those that would be cut off.
    pub refused: u64,
}

/// A place that would change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedPlace {
    /// Listener, upstream or exception.
    pub kind: PlaceKind,
    /// Its name.
    pub name: String,
    /// Dated name of the profile in force.
    pub from: String,
    /// Dated name of the planned one.
    pub to: String,
}

/// What becomes of a link or of a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// The link may stay as it is.
    Stays,
    /// A new link first, then the old one ends.
    Moves,
    /// No new link is possible: the peer is cut off.
    Refused,
}

/// What would become of a live link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedLink {
    /// Number of the link.
    pub number: u64,
    /// Listener or server.
    pub place: String,
    /// Who is at the other end.
    pub agent: String,
    /// Its address.
    pub peer: Option<String>,
    /// What becomes of it.
    pub verdict: Verdict,
    /// Why it may not stay, and why a new one is impossible; one sentence each.
    pub why: Vec<String>,
    /// What a new handshake would negotiate.
    pub foreseen: Option<ForeseenView>,
    /// What the verdict rests on: what the peer's last ClientHello offered.
    pub capabilities: Option<CapabilitiesView>,
}

/// What would become of a peer that has no link now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedPeer {
    /// Its SPIFFE id, or its address.
    pub agent: String,
    /// When it was last seen.
    pub last_seen_ms: u64,
    /// What becomes of it.
    pub verdict: Verdict,
    /// Why it would be refused; one sentence each.
    pub why: Vec<String>,
    /// What a new handshake would negotiate.
    pub foreseen: Option<ForeseenView>,
    /// What the verdict rests on.
    pub capabilities: Option<CapabilitiesView>,
}

/// What a handshake would negotiate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForeseenView {
    /// Key exchange group.
    pub group: String,
    /// What the node would sign with.
    pub signature: String,
    /// Whether the peer probably has to send its first message twice.
    pub hello_retry_likely: bool,
}

/// A certificate that a change would ask for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedCertificate {
    /// `root`, `node` or `agent`.
    pub role: String,
    /// The authority's domain, the node's id or the agent's id.
    pub name: String,
    /// Algorithm in use; `None` where a certificate is added.
    pub from: Option<String>,
    /// Algorithm of the new one.
    pub to: String,
}

/// What a full handshake costs before and after.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedCost {
    /// Listener, upstream or exception.
    pub place: String,
    /// Under the profile in force.
    pub before: CostView,
    /// Under the planned one.
    pub after: CostView,
}

/// What a full handshake with mutual authentication costs, measured in memory on this machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CostView {
    /// The preferred group.
    pub group: String,
    /// The preferred signature.
    pub signature: String,
    /// Bytes from the client.
    pub bytes_up: u64,
    /// Bytes from the server.
    pub bytes_down: u64,
    /// Time at the client in microseconds.
    pub client_us: u64,
    /// Time at the server in microseconds.
    pub server_us: u64,
}
