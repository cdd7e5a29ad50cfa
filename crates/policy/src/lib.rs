//! Permit or denial: deny by default, pure.
//!
//! This crate is stage 6 of a call, *permit*: from who is calling
//! ([`lockgate_identity::Caller`]), what the call is
//! ([`lockgate_mcp::Message`]) and which link it came over
//! ([`Posture`](lockgate_crypto::Posture)) it makes a [`Permit`] or a
//! [`Denial`]. It awaits nothing, and reads no clock, disk or network: the same
//! inputs give the same answer, so a decision can be replayed from the log.
//!
//! # The language
//! Policies are [Cedar](https://www.cedarpolicy.com), in the vocabulary of
//! [`SCHEMA_TEXT`]. Tool-level decisions need three names and one condition:
//!
//! ```cedar
//! @id("billing-invoices")
//! permit(
//!   principal == Lockgate::Agent::"spiffe://example.org/agent/billing",
//!   action == Lockgate::Action::"tools/call",
//!   resource == Lockgate::Tool::"billing/list_invoices"
//! ) when { context.link.quantum_safe };
//! ```
//!
//! # What holds
//! * **Deny by default.** An empty set denies everything; a method that is not
//!   in the schema is in no group, so no `action in …` reaches it.
//! * **`forbid` beats `permit`, and failure beats both.** Cedar skips a policy
//!   that fails, which makes a failing `forbid` a hole. Here any failure denies.
//! * **Strict validation at load**, every mistake at once with its line and
//!   column ([`PolicyError`]). Nothing is half-loaded.
//! * **What was decided on is what is forwarded.** [`Permit`] owns the message
//!   and only [`Policies::decide`] makes one, after checking that the query is
//!   about that very message.
//! * **Flat cost.** Cedar's own search is linear; [`Policies`] hands it only
//!   the policies whose scope fits the call ([`Policies::considered`]), and
//!   remembers decisions in a table of fixed size, keyed by everything that a
//!   decision reads.
//! * **Names cannot break out.** Ids are built, not pasted; `server/name` is
//!   reversible whatever the two hold.
#![forbid(unsafe_code)]

pub mod arguments;
mod decide;
mod entity;
mod error;
mod explain;
mod facts;
mod index;
mod link;
mod memo;
mod method;
mod nearest;
mod options;
mod permit;
mod query;
pub mod role;
mod source;
mod starter;

pub use decide::Policies;
pub use error::{Fault, PolicyError};
pub use facts::{FactShape, FactType, FactValues};
pub use method::RESPONSE;
pub use options::{Definition, Definitions, Options};
pub use permit::{Cause, Consequence, Denial, Permit, Refused, ResultFields};
pub use query::{Approval, Circumstances, Query};
pub use source::{SCHEMA_TEXT, Source};
pub use starter::starter;
