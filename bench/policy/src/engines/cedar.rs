//! Cedar by itself: the same policies as one set, the same context made the fastest way that its API has.

use std::time::Duration;

use anyhow::{Result, anyhow};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, Policy, PolicyId, PolicySet, Request,
    RestrictedExpression,
};
use lockgate_policy::arguments::Arguments;

use super::Engine;
use crate::clock::timed;
use crate::workload::{Call, HOUR, ROLES, Rule, TOOLS, forbids};

pub(super) struct Whole {
    policies: PolicySet,
    entities: Entities,
    authorizer: Authorizer,
}

impl Whole {
    pub(super) fn new(rules: usize) -> Result<Self> {
        let mut policies = PolicySet::new();
        let texts = Rule::all(rules).map(Rule::cedar);
        let forbids = forbids();
        let all = texts.chain(forbids.lines().map(str::to_owned));
        for (number, text) in all.enumerate() {
            policies.add(Policy::parse(Some(PolicyId::new(format!("p{number}"))), text)?)?;
        }
        Ok(Self { policies, entities: entities()?, authorizer: Authorizer::new() })
    }
}

fn uid(kind: &str, id: &str) -> Result<EntityUid> {
    format!("Lockgate::{kind}::\"{id}\"").parse().map_err(|error| anyhow!("{error}"))
}

fn entities() -> Result<Entities> {
    let entity = |id: EntityUid, parent: EntityUid| Entity::new_no_attrs(id, [parent].into_iter().collect());
    let mut entities = Vec::new();
    for role in 0..ROLES {
        let agent = uid("Agent", &format!("spiffe://example.org/agent/role-{role}"))?;
        entities.push(entity(agent, uid("Role", &format!("role-{role}"))?));
    }
    let group = uid("Action", "tools/call")?;
    entities.push(entity(group.clone(), uid("Action", "use")?));
    for tool in 0..TOOLS {
        let (server, path) = (format!("s{}", tool / 100), format!("s{}/t{}", tool / 100, tool % 100));
        entities.push(entity(uid("Tool", &path)?, uid("Server", &server)?));
        entities.push(entity(uid("Action", &format!("tools/call:{path}"))?, group.clone()));
    }
    Ok(Entities::from_entities(entities, None)?)
}

impl Whole {
    fn permits(&self, call: &Call) -> Result<bool> {
        let arguments = Arguments::read(Some(call.arguments()))?;
        let record = |pairs: Vec<(&str, RestrictedExpression)>| {
            RestrictedExpression::new_record(pairs.into_iter().map(|(name, value)| (name.to_owned(), value)))
        };
        let long = RestrictedExpression::new_long;
        let staff = record(vec![("staff", record(vec![("on_duty", long(3))])?)])?;
        let local = record(vec![("UTC", record(vec![("hour", long(HOUR))])?)])?;
        let pairs = [
            ("input", arguments.to_record(None)?),
            ("scan", arguments.scan()?.to_record()),
            ("facts", staff),
            ("local", local),
        ];
        let context = Context::from_pairs(pairs.map(|(name, value)| (name.to_owned(), value)))?;
        let (agent, path) = (&call.caller.agent, call.path());
        let action = uid("Action", &format!("tools/call:{path}"))?;
        let request = Request::new(uid("Agent", agent)?, action, uid("Tool", &path)?, context, None)?;
        let answer = self.authorizer.is_authorized(&request, &self.policies, &self.entities);
        Ok(answer.decision() == Decision::Allow && answer.diagnostics().errors().next().is_none())
    }
}

impl Engine for Whole {
    fn name(&self) -> &'static str {
        "Cedar, the whole set"
    }

    fn decide(&mut self, call: &Call) -> Result<(Duration, bool)> {
        let (time, outcome) = timed(|| self.permits(call));
        Ok((time, outcome?))
    }
}
