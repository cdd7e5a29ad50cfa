//! What questions about a set are asked of: its policies as Cedar sees them, and a call in Cedar's terms.
//!
//! Nothing here decides; [`Policies::decide`] does. `lockgate policy explain`, `prove` and their kin look here.

use cedar_policy::{Entities, Policy, Request};
use lockgate_mcp::Message;

use crate::{
    Policies,
    context::Gap,
    link::Link,
    query::{Circumstances, Query},
};

/// A policy and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct Placed<'a> {
    /// The policy; its Cedar id is the id that people see.
    pub policy: &'a Policy,
    /// The name of its file.
    pub file: &'a str,
    /// The line of its first word, from 1.
    pub line: u32,
}

impl<'a> Placed<'a> {
    /// The id that people see.
    pub fn id(&self) -> &'a str {
        self.policy.id().as_ref()
    }

    /// `file:line`; for a rule that a role file was compiled to, the place in the role file.
    pub fn place(&self) -> String {
        match self.policy.annotation("source") {
            Some(source) => source.to_owned(),
            None => format!("{}:{}", self.file, self.line),
        }
    }
}

/// A call as policies see it.
#[derive(Clone, Debug)]
pub struct Inspected {
    /// Who, what, on what, with the whole context.
    pub request: Request,
    /// The caller with its roles, and what is acted on with its groups.
    pub entities: Entities,
}

impl Policies {
    /// All policies, in reading order.
    pub fn placed(&self) -> impl Iterator<Item = Placed<'_>> {
        self.index().rules().iter().map(|rule| Placed {
            policy: &rule.policy,
            file: &rule.file,
            line: rule.line,
        })
    }

    /// All policies without their places.
    pub fn cedar(&self) -> impl Iterator<Item = &Policy> {
        self.placed().map(|placed| placed.policy)
    }

    /// The caller and what is acted on, with a context that nothing may read: for looking at scopes. `None` if the
    /// method needs a name and the query has none.
    pub fn outline(&self, query: &Query<'_>) -> Option<Inspected> {
        let frame = self.frame(query)?;
        let link = Link::new(query.posture, query.loopback);
        let context = self.means(&frame, query, &link).unknown(None).ok()?;
        let request = frame.request(context).ok()?;
        Some(Inspected { request, entities: frame.entities().clone() })
    }

    /// A call in Cedar's terms, with all that the policies whose scope fits it could read.
    ///
    /// # Errors
    /// What of the call has no place in those terms; such a call is denied.
    pub fn inspect(
        &self,
        query: &Query<'_>,
        circumstances: &Circumstances<'_>,
        message: &Message,
    ) -> Result<Inspected, String> {
        let frame = self.frame(query).ok_or("the call names nothing")?;
        let link = Link::new(query.posture, query.loopback);
        let means = self.means(&frame, query, &link);
        let request = self.request(&frame, &means, circumstances, message).map_err(|gap| match gap {
            Gap::Misfit(why) | Gap::Failed(why) => why,
        })?;
        Ok(Inspected { request, entities: frame.entities().clone() })
    }
}
