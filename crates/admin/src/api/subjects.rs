//! Those whom records are about: export, erasure, holds, retention.

use serde::{Deserialize, Serialize};

/// Asks for an erasure. The subject is personal: it is in no answer and in no record.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EraseRequest {
    /// `KIND:ID`, or the SPIFFE id of an agent.
    pub subject: String,
    /// On what ground, like `Art. 17(1)(b) GDPR, ticket 81`.
    pub basis: String,
    /// Who asks.
    pub by: String,
}

/// Asks what is known of a subject, to export it.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExportRequest {
    /// As in [`EraseRequest`].
    pub subject: String,
    /// Who asks.
    pub by: String,
}

/// Asks for a hold.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HoldRequest {
    /// As in [`EraseRequest`]; everything is held without it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Why.
    pub reason: String,
    /// Who asks.
    pub by: String,
}

/// Asks for the end of a hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LiftHoldRequest {
    /// Why.
    pub reason: String,
    /// Who asks.
    pub by: String,
}

/// What was erased.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ErasedView {
    /// The erasure, as its receipt names it; `None` if there was nothing to erase.
    pub id: Option<String>,
    /// Number of the record that is the receipt.
    pub receipt: Option<u64>,
    /// Keys that were destroyed.
    pub keys: u64,
    /// Months and purposes of them.
    pub scope: Vec<String>,
}

/// Under which names records know a subject.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownView {
    /// Each pseudonym with its month.
    pub pseudonyms: Vec<(String, String)>,
    /// Number of the record that says that this was asked.
    pub receipt: u64,
}

/// A hold.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HoldView {
    /// What it is lifted by.
    pub id: String,
    /// What kind of subject is held; `None` is everything. Which one it is, the node knows by a tag alone.
    pub kind: Option<String>,
    /// Why.
    pub reason: String,
    /// Who asked for it.
    pub by: String,
    /// Since when.
    pub since_ms: i64,
}

/// All holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holds {
    /// Oldest first.
    pub holds: Vec<HoldView>,
}

/// What goes when, or went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetentionView {
    /// By month.
    pub parts: Vec<DueView>,
}

/// A part of a month.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DueView {
    /// The month, like `2026-11`.
    pub month: String,
    /// `content` and `tags` are keys, `records` the records themselves.
    pub part: String,
    /// How many keys or records.
    pub count: u64,
    /// The first month in which it goes; `None`: it stays.
    pub goes: Option<String>,
    /// Whether it goes now.
    pub is_due: bool,
    /// How many of them a hold keeps.
    pub held: u64,
}

macro_rules! redacted {
    ($($name:ident)+) => {$(
        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.debug_struct(stringify!($name)).field("subject", &"[redacted]").finish_non_exhaustive()
            }
        }
    )+};
}

redacted!(EraseRequest ExportRequest HoldRequest);
