//! What policy is told of the world: who has an appointment, who is on duty, which ticket is open.
//!
//! A policy has no clock, no disk and no network. What it knows beside the call itself is given to it as *facts*: small
//! records of a declared shape. This crate finds them out, and it has one rule: **a fact that is not known for certain
//! is absent**, and a permit that needs it cannot match. A provider that hangs, lies, is late or was changed can take
//! permissions away; it cannot give any.
//!
//! # From a name to a record
//!
//! 1. Policy says which facts a decision reads ([`FactShape`]), and [`Facts::gather`] finds them, all at once.
//! 2. A fact may have a *key*: the value of one argument of the call ([`Subject`]), or who calls. It selects the record.
//! 3. What is known and young enough is told at once. Else the provider is asked: one question for each key however
//!    many calls wait, and no call for longer than the fact's deadline. A provider that keeps failing rests, so that it
//!    does not cost each call anew.
//! 4. The answer is read strictly ([`shape::fit`]): JSON without doubled names, each field of its type, none missing.
//! 5. Its age counts from the provider's own time where it tells one (`as_of`), else from the question. Older than
//!    `max_age`, or ahead of this node's clock, it is absent.
//!
//! # Providers
//!
//! | [`From`] | what it is | whose time counts |
//! |---|---|---|
//! | `File` | a JSON file: the record, or an object of records by key | `as_of`, else when it was last written |
//! | `Http` | one GET over TLS, or on loopback; no redirects | `as_of`, else the question, and the `Age` header |
//! | `Mcp` | a tool of one of this node's own servers | `as_of`, else the question |
//! | `Push` | statements signed by a configured key ([`push`]) | `as_of`, never later than `issued` |
//!
//! Ages are measured by the wall clock and by one that cannot be set back, and the older of the two counts.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail"))]

mod absence;
mod circuit;
mod document;
mod fact;
mod facts;
mod key;
mod known;
pub mod push;
pub mod shape;
mod source;
mod spec;

pub use absence::{Absence, FactUse, Outcome};
pub use circuit::{REST_MS_MAX, STRIKES_MAX};
pub use document::AS_OF;
pub use fact::{ABSENT_MS, QUESTIONS_MAX};
pub use facts::{Facts, Gathered, Keep, State, Used};
pub use key::{AGENT, KEY_BYTES_MAX, Subject};
pub use known::{Found, KEYS_MAX};
pub use lockgate_policy::{FactShape, FactType, FactValues};
pub use source::file::FILE_BYTES_MAX;
pub use source::http::{ANSWER_BYTES_MAX, Template};
pub use source::mcp::{Answer, Slot, Tools};
pub use spec::{
    DEADLINE_MS_DEFAULT, DEADLINE_MS_MAX, FACTS_MAX, FIELDS_MAX, From, MAX_AGE_MS_MAX, SKEW_MS_MAX, Spec,
};

/// Reads bytes as every provider's answer is read and fits them to a shape: for the fuzz target.
///
/// # Errors
/// [`Absence`].
pub fn read_record(
    bytes: &[u8],
    shape: &FactShape,
) -> Result<serde_json::Map<String, serde_json::Value>, Absence> {
    shape::fit(shape, document::record(document::read(bytes)?)?.record)
}
