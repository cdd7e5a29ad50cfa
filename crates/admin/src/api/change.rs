//! Changes of what is in force, and how far the last one is.

use serde::{Deserialize, Serialize};

use super::crypto::{BanView, Plan, Scope};

/// Puts a profile in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ApplyRequest {
    /// Name or alias of the profile.
    pub profile: String,
    /// Where.
    #[serde(default)]
    pub scope: Scope,
    /// Seconds that links get to move; the node's default when absent, 0 for at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_s: Option<u64>,
    /// Do it even if peers are cut off by it.
    #[serde(default)]
    pub cut_off: bool,
    /// Seconds after which it ends by itself. Without it a change holds until the next one; for peers it must be given,
    /// because exceptions end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_s: Option<u64>,
    /// Why; must be given for peers.
    #[serde(default)]
    pub reason: String,
    /// Who asks, for the audit log: a user and a machine.
    pub by: String,
}

/// Takes the last change back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RollbackRequest {
    /// Seconds that links get to move; the node's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_s: Option<u64>,
    /// Who asks.
    pub by: String,
}

/// Forbids an algorithm, or one implementation of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BanRequest {
    /// `ALGORITHM` or `PROVIDER/ALGORITHM`.
    pub target: String,
    /// Why, for the audit log and for whoever meets the ban.
    pub reason: String,
    /// Close links that used it at once, instead of after they had time to move.
    #[serde(default)]
    pub now: bool,
    /// Go on using hybrids that contain it.
    #[serde(default)]
    pub keep_hybrids: bool,
    /// Seconds that links get to move; the node's default when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub drain_s: Option<u64>,
    /// Who asks.
    pub by: String,
}

/// Lifts a ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiftRequest {
    /// As it was banned: `ALGORITHM` or `PROVIDER/ALGORITHM`.
    pub target: String,
    /// Who asks.
    pub by: String,
}

/// A change that is in force since the answer was sent. Links may still move: see [`Migration`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    /// The new epoch.
    pub epoch: u64,
    /// The epoch before.
    pub epoch_before: u64,
    /// What was done, in one sentence.
    pub what: String,
    /// Who asked.
    pub by: String,
    /// What was in force, one line a difference.
    pub before: Vec<String>,
    /// What is in force, one line a difference.
    pub after: Vec<String>,
    /// The ban that was set or lifted.
    pub ban: Option<BanView>,
    /// When it ends by itself.
    pub until_ms: Option<u64>,
    /// How far the links are.
    pub migration: Migration,
}

/// How far links have followed the last change.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Migration {
    /// The epoch to which they move.
    pub epoch: u64,
    /// When the change was published; 0 if there was none since the start.
    pub started_ms: u64,
    /// When links that are left are cut; `None` when nothing had to move.
    pub closes_at_ms: Option<u64>,
    /// Links that had to move.
    pub to_move: u64,
    /// Those that have.
    pub moved: u64,
    /// Links that may stay.
    pub stayed: u64,
    /// Links that were cut at the deadline.
    pub killed: u64,
    /// Whether nothing is left to move.
    pub done: bool,
    /// When the last of them had moved; `None` while some are left.
    pub done_ms: Option<u64>,
    /// Whose links are left, those with most first; at most 100.
    pub waiting: Vec<Waiting>,
}

/// A peer whose links have still to move.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Its SPIFFE id, or its address.
    pub agent: String,
    /// How many.
    pub links: u64,
    /// Whether it follows notices in band.
    pub told: bool,
}

/// Rehearses an emergency.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DrillRequest {
    /// `lattice-broken` or `classical-broken`.
    pub drill: String,
    /// Really put the emergency's profile in force, for a time.
    #[serde(default)]
    pub live: bool,
    /// For how long, in seconds; only when live.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_s: Option<u64>,
    /// Who asks.
    pub by: String,
}

/// What a drill found.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Drill {
    /// Which emergency.
    pub drill: String,
    /// Dated name of its profile.
    pub profile: String,
    /// Whether it is in force now.
    pub live: bool,
    /// Who stays, moves and would be cut off.
    pub plan: Plan,
    /// Steps that were really made, with what they took.
    pub steps: Vec<DrillStep>,
    /// The change, when live. It takes itself back at `until_ms`; `rollback` ends it before.
    pub change: Option<Change>,
}

/// A step of a drill.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillStep {
    /// What was done.
    pub step: String,
    /// Whether it worked.
    pub ok: bool,
    /// What came of it.
    pub detail: String,
    /// Time in microseconds.
    pub took_us: u64,
}

/// Replaces a root of the authority.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateRootRequest {
    /// Catalog id of the root's algorithm.
    pub algorithm: String,
    /// Seconds for which the old root stays trusted beside the new one.
    pub overlap_s: u64,
    /// Who asks.
    pub by: String,
}

/// A root that was replaced.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotatedRoot {
    /// Catalog id of the algorithm.
    pub algorithm: String,
    /// When the old root leaves the bundle.
    pub old_retires_at_ms: u64,
    /// Fingerprint of the bundle with both.
    pub fingerprint: String,
    /// Number of the signed bundle.
    pub bundle_sequence: u64,
    /// Epoch in which peers are told.
    pub epoch: u64,
}

/// In which form an inventory is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum InventoryFormat {
    /// Our own document, `lockgate.crypto-inventory/1`.
    #[default]
    Json,
    /// CycloneDX 1.7, a cryptographic bill of materials.
    Cyclonedx,
}

impl InventoryFormat {
    /// Its name in the query.
    pub fn name(self) -> &'static str {
        match self {
            Self::Json => "json",
            Self::Cyclonedx => "cyclonedx",
        }
    }
}
