//! A checked policy and where it stands.

use std::sync::Arc;

use cedar_policy::{Effect, Policy};

use crate::{
    known::Known,
    terms::{Terms, Violation},
};

/// One checked policy.
#[derive(Debug)]
pub(crate) struct Rule {
    /// The policy; its Cedar id is the id that people see.
    pub(crate) policy: Policy,
    /// Name of its file.
    pub(crate) file: String,
    /// Line of its first word, or of the rule that it was compiled from.
    pub(crate) line: u32,
    pub(crate) known: Arc<Known>,
}

impl Rule {
    /// The `@id`, or `file#n` with the last part of the file's path.
    pub(crate) fn id(&self) -> &str {
        self.policy.id().as_ref()
    }

    pub(crate) fn is_permit(&self) -> bool {
        self.policy.effect() == Effect::Permit
    }

    pub(crate) fn terms(&self) -> &Terms {
        &self.known.terms
    }

    /// What follows when it forbids, or when it would have permitted.
    pub(crate) fn violation(&self) -> Violation {
        self.known.terms.violation.unwrap_or_default()
    }

    /// What its rate counts by: the rule of a role file that it is a part of.
    pub(crate) fn account(&self) -> &str {
        self.policy.annotation("rule").unwrap_or(self.id())
    }
}
