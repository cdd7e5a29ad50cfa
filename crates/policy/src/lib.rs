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
//! [`SCHEMA_TEXT`], or role files ([`role`]) that compile to it. Tool-level
//! decisions need three names and one condition:
//!
//! ```cedar
//! @id("billing-invoices")
//! permit(
//!   principal == Lockgate::Agent::"spiffe://example.org/agent/billing",
//!   action in Lockgate::Action::"tools/call",
//!   resource == Lockgate::Tool::"billing/list_invoices"
//! ) when { context.link.quantum_safe };
//! ```
//!
//! # Three questions
//! * [`Policies::connect`]: may this caller reach that server at all?
//! * [`Policies::allows`]: could such a call ever pass? For lists. What only a
//!   call can tell is unknown, and Cedar evaluates as far as it can.
//! * [`Policies::decide`]: does this call pass, with these arguments, now,
//!   given these facts ([`Circumstances`])?
//!
//! A denial has a [`Consequence`]: it is all, or the call waits for a person
//! ([`Approval`]), or the agent is cut off.
//!
//! # What holds
//! * **Deny by default.** An empty set denies everything; a method that is not
//!   in the schema is in no group, so no `action in …` reaches it.
//! * **`forbid` beats `permit`, and failure beats both.** Cedar skips a policy
//!   that fails, which makes a failing `forbid` a hole. Here any failure
//!   denies, and so do arguments that do not fit the pinned definition, if any
//!   policy reads them.
//! * **Strict validation at load**, every mistake at once with its line and
//!   column ([`PolicyError`]), against the tools, facts and zones that are
//!   known ([`Options`]). Nothing is half-loaded; what did not change is not
//!   checked again.
//! * **What was decided on is what is forwarded.** [`Permit`] owns the message
//!   and only [`Policies::decide`] makes one, after checking that the query is
//!   about that very message.
//! * **Flat cost.** Cedar's own search is linear; [`Policies`] hands it only
//!   the policies whose scope fits the call ([`Policies::considered`]), and
//!   makes of the context only what those read. If they read nothing but the
//!   link, what they say is remembered.
//! * **Names cannot break out.** Ids are built, not pasted; `server/name` is
//!   reversible whatever the two hold.
#![forbid(unsafe_code)]

mod absent;
pub mod arguments;
mod clause;
mod clock;
mod context;
mod decide;
mod digest;
mod entity;
mod error;
mod explain;
mod facts;
mod frame;
mod framing;
mod index;
mod inspect;
mod known;
mod link;
mod load;
mod lost;
mod members;
mod memo;
mod method;
mod nearest;
mod options;
mod permit;
mod policies;
mod possible;
mod query;
mod rates;
mod reads;
pub mod role;
mod role_file;
mod rule;
mod schema;
mod shapes;
mod source;
mod starter;
mod terms;
mod validate;
mod verdict;

pub use cedar_policy::Effect;
pub use error::{Fault, PolicyError};
pub use facts::{FactShape, FactType, FactValues};
pub use inspect::{Inspected, Placed};
pub use lost::Lost;
pub use method::RESPONSE;
pub use options::{Definition, Definitions, Options};
pub use permit::{Cause, Consequence, Denial, Permit, Refused, ResultFields};
pub use policies::Policies;
pub use query::{Approval, Circumstances, Query};
pub use schema::SCHEMA_TEXT;
pub use source::Source;
pub use starter::starter;
