//! The two answers.

use std::{collections::BTreeSet, sync::Arc};

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
    pub(crate) result: Option<ResultFields>,
    pub(crate) shadow: Option<String>,
    pub(crate) approved_by: Option<String>,
    pub(crate) record_for: Option<String>,
}

/// What of a result may pass.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResultFields {
    /// Only these fields, as dotted paths; `None` is all of them.
    pub only: Option<BTreeSet<String>>,
    /// Never these, as names or dotted paths.
    pub hidden: BTreeSet<String>,
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

    /// What of the result may pass; `None` is all of it.
    pub fn result(&self) -> Option<&ResultFields> {
        self.result.as_ref()
    }

    /// What policies in shadow mode would have done otherwise, in words.
    pub fn shadow(&self) -> Option<&str> {
        self.shadow.as_deref()
    }

    /// Who approved the call, where it needed that.
    pub fn approved_by(&self) -> Option<&str> {
        self.approved_by.as_deref()
    }

    /// The purpose for which records keep what is said in the call, encrypted; `None` is not at all.
    pub fn record_for(&self) -> Option<&str> {
        self.record_for.as_deref()
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
    /// Policy would let it pass once a person approved it.
    Held,
    /// What would permit it has been used as often as it may be for now.
    RateLimited,
    /// The arguments do not fit the pinned definition of the tool, so that no
    /// policy can judge them.
    Misfit,
    /// A policy could not be evaluated. Cedar would skip it, and a skipped
    /// `forbid` would let the call pass; Lockgate denies. Worth an alert.
    PolicyFailed,
    /// The method needs a name and the call has none.
    NoSubject,
    /// The query does not describe the message: a bug of the caller of
    /// [`Policies::decide`](crate::Policies::decide). Worth an alert.
    Mismatch,
}

/// What follows from a denial, weakest first in severity: a hold may end well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Consequence {
    /// The call is refused.
    Deny,
    /// The call waits for a person. With an [`Approval`](crate::Approval) of
    /// this digest it passes.
    Hold {
        /// SHA-256 over agent, server, method, name and canonical arguments,
        /// lower-case hexadecimal.
        digest: String,
        /// The texts beside the arguments that are in the digest, too:
        /// policies look for words in them.
        beside: Vec<String>,
    },
    /// The call is refused, its link is cut and the agent is locked out.
    Kill,
}

/// A call that policy does not let pass.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{reason} (hint: {hint})")]
pub struct Denial {
    /// Why, for machines.
    pub cause: Cause,
    /// What follows from it.
    pub consequence: Consequence,
    /// The first of `policies`; `None` where no policy spoke.
    pub policy: Option<String>,
    /// The policies that forbid it, hold it, limit it or failed.
    pub policies: Vec<String>,
    /// In how many milliseconds trying again can help.
    pub retry_ms: Option<u64>,
    /// What policies in shadow mode would have done otherwise, in words.
    pub shadow: Option<String>,
    /// The generation of the policy set that decided.
    pub generation: u64,
    /// Who may not do what to what, and why: one sentence.
    pub reason: String,
    /// What to change to allow it, down to the line and the file.
    pub hint: String,
    /// The message, for its id.
    pub message: Message,
}

/// A caller that may not be connected with a server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{reason} (hint: {hint})")]
pub struct Refused {
    /// The policy that forbids it; `None` where none permits anything.
    pub policy: Option<String>,
    /// [`Consequence::Deny`] or [`Consequence::Kill`].
    pub consequence: Consequence,
    /// Who may not reach what, and why: one sentence.
    pub reason: String,
    /// What to change to allow it.
    pub hint: String,
}
