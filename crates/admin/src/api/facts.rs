//! What policy is told of the world, and by whom.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Every fact of the configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Facts {
    /// By name.
    pub facts: Vec<FactView>,
}

/// How a fact stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactView {
    /// Its name in policies.
    pub name: String,
    /// Where it comes from, as the configuration writes it.
    pub from: String,
    /// What selects its record.
    pub key: Option<String>,
    /// How old it may be.
    pub max_age_ms: u64,
    /// How long a call may wait for it.
    pub deadline_ms: u64,
    /// Of how many keys something is known.
    pub known: u64,
    /// Failures of its provider in a row.
    pub failures: u32,
    /// Whether the provider is not asked for now, because it failed.
    pub resting: bool,
    /// When it was last used, and what came of it.
    pub last: Option<FactUsed>,
}

/// One use of a fact.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactUsed {
    /// When.
    pub at_ms: u64,
    /// What selected the record.
    pub key: Option<String>,
    /// How old it was.
    pub age_ms: Option<u64>,
    /// Whether policy was told.
    pub present: bool,
    /// In words; why not, if it was not.
    pub outcome: String,
    /// Code of the reason, if it was not.
    pub code: Option<String>,
}

/// Asks for a fact now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FactQuestion {
    /// Its name.
    pub name: String,
    /// What selects the record.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A fact as it is now.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FactAnswer {
    /// Its name.
    pub name: String,
    /// How it was found.
    #[serde(flatten)]
    pub used: FactUsed,
    /// What policy would be told.
    pub record: Option<Map<String, Value>>,
}

/// A statement that was taken.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FactReceipt {
    /// Name of the fact.
    pub fact: String,
    /// What selects the record.
    pub key: Option<String>,
    /// When it was issued.
    pub issued_ms: u64,
    /// Until when it can be used.
    pub until_ms: u64,
    /// Whether it takes the record back.
    pub withdrawn: bool,
}
