//! Questions that people ask of policies, and their answers.
//!
//! | question | answered by |
//! |---|---|
//! | does it still decide as we agreed? | [`cases`]: calls with the decision that they ought to get |
//! | why was this denied? | [`explain`]: the rule, or the nearest permit and the clause that was false |
//! | who can use this tool, what can this agent do? | [`who_can`], by evaluation with the arguments left open |
//! | can anything ever …? | [`prove`], for all calls at once |
//! | what changes with this set? | [`diff`], by proof or by samples; [`replay`] for what really happened |
//! | what would be enough? | [`suggest`]: the least that covers what was used |
//!
//! Everything here reads policies and decides by [`Policies::decide`](lockgate_policy::Policies::decide); nothing here
//! is on the way of a call. Answers say how sure they are: a proof, a decision about one call, or samples.
#![forbid(unsafe_code)]

mod call;
pub mod cases;
mod clause;
pub mod diff;
mod envs;
mod error;
mod example;
mod explain;
mod forms;
mod invariant;
pub mod moment;
mod prove;
pub mod replay;
mod solver;
pub mod suggest;
mod types;
mod unseen;
pub mod who_can;
mod world;

pub use call::{Call, Decided, LinkKind, Outcome, whole_id};
pub use clause::{Clause, Held};
pub use error::AnalysisError;
pub use explain::{Explanation, RuleReport, explain};
pub use invariant::Invariant;
pub use prove::{Example, Proof, Verdict, prove};
pub use unseen::Assumed;
pub use world::World;
