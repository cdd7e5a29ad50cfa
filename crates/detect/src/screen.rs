//! The answers of the stage.

use lockgate_mcp::Message;
use lockgate_policy::Permit;

use crate::finding::Finding;

/// A call that may be forwarded: permitted, and not held.
///
/// Only [`Detector::screen_call`](crate::Detector::screen_call) makes one, out
/// of a permit that only policy makes.
#[derive(Clone, Debug)]
#[must_use = "a screened call that is dropped is never forwarded"]
pub struct Screened {
    pub(crate) permit: Permit,
    pub(crate) findings: Vec<Finding>,
}

impl Screened {
    /// The message to forward.
    pub fn message(&self) -> &Message {
        self.permit.message()
    }

    /// The permit that it was made from.
    pub fn permit(&self) -> &Permit {
        &self.permit
    }

    /// What the rules found without holding the call.
    pub fn findings(&self) -> &[Finding] {
        &self.findings
    }

    /// Gives the permit and the findings back, which ends the right to forward.
    pub fn into_parts(self) -> (Permit, Vec<Finding>) {
        (self.permit, self.findings)
    }
}

/// A call that is not forwarded.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{} ({}; hint: {hint})", finding.reason, finding.id)]
pub struct Held {
    /// Why.
    pub finding: Finding,
    /// The permit, with the message in it.
    pub permit: Permit,
    /// What a person can do about it.
    pub hint: String,
}

/// What to do with a server's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Hand it on.
    Pass,
    /// Answer with an error instead.
    Withhold,
}

/// What the rules say about a server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultScreen {
    /// What was found; may be non-empty for an answer that passes.
    pub findings: Vec<Finding>,
    /// Pass or withhold. Withheld exactly if a finding is of high severity.
    pub verdict: Verdict,
}
