//! The answers of the stage.

use lockgate_crypto::digest::hex;
use lockgate_mcp::{Message, canonical};
use lockgate_policy::{Approval, Permit};

use crate::{finding::Finding, pin::subject_hash, response::Response};

/// Who calls, and when. Without a caller it is the node itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Scene<'a> {
    /// The agent's id; empty for the node's own calls.
    pub agent: &'a str,
    /// Its roles.
    pub roles: &'a [String],
    /// What belongs together: a session, or else a link.
    pub session: &'a str,
    /// Now, in milliseconds since 1970.
    pub now_ms: u64,
}

/// A call that may be forwarded: permitted, and not held.
///
/// Only [`Detector::screen_call`](crate::Detector::screen_call) makes one, out
/// of a permit that only policy makes.
#[derive(Clone, Debug)]
#[must_use = "a screened call that is dropped is never forwarded"]
pub struct Screened {
    pub(crate) permit: Permit,
    pub(crate) findings: Vec<Finding>,
    pub(crate) warnings: Vec<String>,
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

    /// What the model is to be told with the result, in the words of [`Finding::reason`].
    pub fn warnings(&self) -> &[String] {
        &self.warnings
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
    /// What else was found on the way.
    pub others: Vec<Finding>,
    /// What follows: [`Response::Hold`], [`Response::Deny`] or [`Response::Kill`].
    pub response: Response,
    /// By what an approval of exactly this call would be known; `None` where no approval helps.
    pub digest: Option<String>,
    /// The permit, with the message in it.
    pub permit: Permit,
    /// What a person can do about it.
    pub hint: String,
}

impl Held {
    /// The right to forward the call after all, for a person's approval of exactly this one.
    ///
    /// # Errors
    /// The held call back, if the approval is of another.
    pub fn approved(self, approval: &Approval) -> Result<Screened, Box<Held>> {
        if self.digest.as_deref() != Some(&approval.digest) {
            return Err(Box::new(self));
        }
        let mut findings = self.others;
        findings.push(self.finding);
        Ok(Screened { permit: self.permit, findings, warnings: Vec::new() })
    }
}

/// What a held call is known by: its caller, all that it asks, and why it is held.
pub(crate) fn call_digest(scene: &Scene<'_>, permit: &Permit, rule: &str) -> Option<String> {
    let message = permit.message();
    let arguments = match message.arguments_raw() {
        Some(raw) => String::from_utf8(canonical::canonicalize(raw).ok()?).ok()?,
        None => String::new(),
    };
    let call = [message.method()?, message.name().unwrap_or_default(), rule, &arguments].map(|part| {
        // Lengths first, so that no part can end in another.
        format!("{}:{part}", part.len())
    });
    Some(hex(&subject_hash(scene.agent, permit.server(), &call.concat())))
}

/// What to do with a server's answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    /// Hand it on.
    Pass,
    /// Hand it on, and tell the model what was found.
    Warn,
    /// Answer with an error instead.
    Withhold,
}

/// What the rules say about a server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResultScreen {
    /// What was found; may be non-empty for an answer that passes.
    pub findings: Vec<Finding>,
    /// What follows from the gravest of them.
    pub verdict: Verdict,
}
