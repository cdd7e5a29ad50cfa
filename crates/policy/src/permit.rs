//! The two answers.

use std::sync::Arc;

use lockgate_mcp::Message;

/// A call that policy lets pass, together with the message it was decided on.
///
/// The fields are private and only [`Policies::decide`](crate::Policies::decide)
/// makes one, so code that asks for a `Permit` cannot be reached without a
/// decision, and what is forwarded is what was decided on.
#[derive(Clone, Debug)]
#[must_use = "a permit that is dropped is a call that is never forwarded"]
pub struct Permit {
    pub(crate) message: Message,
    pub(crate) server: String,
    pub(crate) policies: Arc<[String]>,
    pub(crate) generation: u64,
}

impl Permit {
    /// The message that was decided on.
    pub fn message(&self) -> &Message {
        &self.message
    }

    /// The id of the server that it may go to.
    pub fn server(&self) -> &str {
        &self.server
    }

    /// The ids of the policies that permit it (never empty).
    pub fn policies(&self) -> &[String] {
        &self.policies
    }

    /// The generation of the policy set that decided.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Gives the message back for forwarding. The right to forward it ends
    /// with the permit, so this is the last thing to do with one.
    pub fn into_message(self) -> Message {
        self.message
    }
}

/// Why a call is denied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// No policy permits it: the default.
    NotPermitted,
    /// No policy permits it, and it is no method that Lockgate knows: to the
    /// caller it is as if the method did not exist.
    UnknownMethod,
    /// A `forbid` policy matches.
    Forbidden,
    /// A policy could not be evaluated. Cedar would skip it, and a skipped
    /// `forbid` would let the call pass; Lockgate denies. Worth an alert.
    PolicyFailed,
    /// The method needs a name and the call has none.
    NoSubject,
    /// The query does not describe the message: a bug of the caller of
    /// [`Policies::decide`](crate::Policies::decide). Worth an alert.
    Mismatch,
}

/// A call that policy does not let pass.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason} (hint: {hint})")]
pub struct Denial {
    /// Why, for machines.
    pub cause: Cause,
    /// The policy that forbids it or that failed; `None` where no policy spoke.
    pub policy: Option<String>,
    /// Who may not do what to what, and why: one sentence.
    pub reason: String,
    /// What to change to allow it, down to the line and the file.
    pub hint: String,
    /// The message, for its id.
    pub message: Message,
}
