//! Judging one link: by the rule in force for its peer, and by what its peer was seen at before.

use std::sync::Arc;

use lockgate_audit::Record;
use lockgate_crypto::{Breach, Posture};

use super::Standing;
use crate::link::LinkContext;

/// What the rule in force says of a link.
pub(crate) enum Judged {
    /// It may stay: it satisfies its rule, there is none for its listener, or it has no tunnel to judge.
    Stays,
    /// It was made under a later epoch, and is judged when that one is published.
    Ahead,
    /// It may not stay.
    Goes(Vec<Breach>),
}

impl Standing {
    pub(crate) fn judge(&self, link: &LinkContext, now_ms: u64) -> Judged {
        let Some(posture) = &link.posture else { return Judged::Stays };
        if posture.epoch > self.in_force.epoch {
            return Judged::Ahead;
        }
        let Some(suite) = self.in_force.rule(&link.listener, &link.caller.agent, now_ms) else {
            return Judged::Stays;
        };
        let breaches = suite.judge(posture);
        if breaches.is_empty() { Judged::Stays } else { Judged::Goes(breaches) }
    }
}

/// A peer that proved who it is, and whose link is refused all the same.
#[derive(Debug)]
pub struct RefusedPeer {
    /// Who it is.
    pub(crate) agent: String,
    /// How it proved that.
    pub(crate) principal: String,
    /// What it negotiated.
    pub(crate) posture: Arc<Posture>,
    pub(crate) cause: Cause,
}

/// Why.
#[derive(Debug)]
pub(crate) enum Cause {
    /// The rule in force for it.
    Breach {
        /// The epoch in force.
        epoch: u64,
        /// What the link breaches.
        why: Vec<Breach>,
    },
    /// It was seen at a better level before.
    Continuity {
        /// The finding's id.
        finding: String,
        /// The finding, in a sentence.
        reason: String,
    },
}

impl RefusedPeer {
    pub(crate) fn of(link: &LinkContext, posture: &Arc<Posture>, cause: Cause) -> Box<Self> {
        Box::new(Self {
            agent: link.caller.agent.clone(),
            principal: link.shown.principal.clone(),
            posture: posture.clone(),
            cause,
        })
    }
}

impl RefusedPeer {
    /// Adds who it is, and what its link was, to a record.
    pub(crate) fn describe<'a>(&'a self, record: Record<'a>) -> Record<'a> {
        let findings = match &self.cause {
            Cause::Continuity { finding, .. } => vec![finding.clone()],
            Cause::Breach { .. } => Vec::new(),
        };
        Record {
            agent: Some(self.agent.as_str().into()),
            principal: Some(self.principal.as_str().into()),
            findings: findings.into(),
            ..record.on_link(&self.posture)
        }
    }
}

impl std::fmt::Display for RefusedPeer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.cause {
            Cause::Breach { epoch, why } => write!(
                f,
                "a link of {} is not permitted in epoch {epoch}: {}; update the peer's profile, or make an exception \
                 for it that ends",
                self.agent,
                listed(why)
            ),
            Cause::Continuity { reason, .. } => write!(
                f,
                "{reason}; if the peer was changed on purpose, forget what it was seen at before, else look for who \
                 stands between"
            ),
        }
    }
}

impl std::error::Error for RefusedPeer {}

/// Breaches as one clause.
pub(crate) fn listed(why: &[Breach]) -> String {
    why.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
