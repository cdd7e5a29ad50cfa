//! The pipeline: nine stages from an accepted socket to a recorded answer.
//!
//! ```text
//! accept → secure → verify │ decode → bind → permit → screen → forward → record
//!        once a link       │                  once a call
//! ```
//!
//! [`pipeline`] is that table as two short functions. Everything else serves them: [`face`] is the listeners,
//! [`agility`] has links follow a change of cryptography, [`decode`] turns HTTP into one message, [`answer`] and [`relay`] judge what comes back, [`gather`] makes several
//! servers look like one, [`upstream`] reaches them, [`session`] keeps legacy sessions apart and `recover` brings back
//! those that a server lost, [`refusal`] is the one place where an error becomes a response, and [`call`] sees to it
//! that each call leaves exactly one record, and `tell` lets those who look on see it.
//!
//! What is absent on purpose: no algorithm is named here, no private key is opened, and a message is never re-written
//! unless a rule asked for it: the bytes that were decided on are the bytes that are forwarded.
#![forbid(unsafe_code)]

pub mod agility;
pub mod answer;
pub mod approvals;
pub mod bearer;
mod bearer_answers;
pub mod bearer_rules;
pub mod body;
pub mod call;
pub mod circuit;
pub mod decode;
pub mod face;
pub mod facts;
pub mod gather;
mod hold;
mod kill;
pub mod limits;
pub mod link;
pub mod metrics;
pub mod node;
pub mod oauth;
pub mod own;
mod permit;
mod pins;
pub mod pipeline;
mod recover;
pub mod refusal;
pub mod relay;
mod reload;
mod results;
pub mod revoke;
mod said;
pub mod scopes;
mod screen;
pub mod session;
pub mod stage;
mod stall;
pub mod tasks;
mod tell;
pub mod trace;
pub mod unread;
pub mod upstream;
pub mod wellknown;
pub mod witness;

pub use bearer_answers::TokenProblem;
pub use limits::Limits;
pub use node::{Node, NodeView, Parts, Server};
pub use refusal::Refusal;
pub use stage::Stage;
