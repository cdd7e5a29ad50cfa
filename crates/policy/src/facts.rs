//! Facts from outside: what is known of the world when a call is decided.
//!
//! Policy asks nobody. Which facts a call needs is answered by
//! [`Policies::needed_facts`](crate::Policies::needed_facts); somebody with a
//! network gets them and hands them in.

use std::collections::BTreeMap;

use serde_json::{Map, Value};

/// The facts that are known for one call: name → record. A fact that is
/// missing here, or too old to be handed in, is missing in `context.facts`,
/// and a permit that needs it cannot match.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct FactValues(BTreeMap<String, Map<String, Value>>);

impl FactValues {
    /// No facts.
    pub const fn new() -> Self {
        FactValues(BTreeMap::new())
    }

    /// Adds the record of a fact, in place of an earlier one.
    pub fn insert(&mut self, name: impl Into<String>, record: Map<String, Value>) {
        self.0.insert(name.into(), record);
    }

    /// The record of a fact.
    pub fn get(&self, name: &str) -> Option<&Map<String, Value>> {
        self.0.get(name)
    }

    /// All facts, by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Map<String, Value>)> {
        self.0.iter().map(|(name, record)| (name.as_str(), record))
    }

    /// Whether nothing is known.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// SHA-256 of the facts in canonical form, lower-case hexadecimal: what the
    /// record of a decision says that it rested on.
    pub fn digest(&self) -> String {
        let text = serde_json::to_string(&self.0).expect("strings as keys and JSON as values");
        // What is nested too deeply for the canonical form stays as it is.
        let text = lockgate_mcp::canonical::canonicalize(&text).unwrap_or(text.into_bytes());
        lockgate_crypto::digest::hex(&lockgate_crypto::digest::sha256(&text))
    }
}

impl FromIterator<(String, Map<String, Value>)> for FactValues {
    fn from_iter<I: IntoIterator<Item = (String, Map<String, Value>)>>(facts: I) -> Self {
        FactValues(facts.into_iter().collect())
    }
}

/// What a fact looks like: every field is there, with its type, or the fact
/// counts as missing.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FactShape {
    /// Its name in `context.facts`.
    pub name: String,
    /// The fields of its record and their types.
    pub fields: BTreeMap<String, FactType>,
    /// What selects the record: the name of a top-level argument, or `agent`
    /// for the caller. `None` is one record for all calls.
    pub key: Option<String>,
}

/// The type of a fact's field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FactType {
    /// A string; Cedar's `String`.
    Text,
    /// A whole number of 64 bits; `Long`.
    Integer,
    /// Yes or no; `Bool`.
    Flag,
    /// A time stamp of RFC 3339; `datetime`, in milliseconds.
    Time,
    /// An array of strings; `Set<String>`.
    Texts,
}
