//! Why a call is decided as it is: the rule that decided, or the permits that came nearest and what they missed.

use cedar_policy::{Effect, Policy};
use lockgate_policy::{Placed, Policies};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::call::{CONNECT, Call, Decided, Outcome};
use crate::clause::{self, Clause, Held, Scene};
use crate::error::AnalysisError;

/// Permits shown as the nearest: enough to find the one that was meant, short enough to read.
const NEAREST_MAX: usize = 3;

/// What a part of the scope that does not fit weighs beside conditions that are false: a rule for somebody else is
/// farther away than any rule for this caller, however much of that is false.
const SCOPE_WEIGHT: usize = 1_000;

/// A decision with all that a person may ask about it.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The decision.
    #[serde(flatten)]
    pub decided: Decided,
    /// The whole id of the agent.
    pub agent: String,
    /// What was called.
    pub what: String,
    /// When, RFC 3339.
    pub at: String,
    /// Over which link.
    pub link: &'static str,
    /// The caller's roles, by registration and by role files.
    pub roles: Vec<String>,
    /// Facts that policies read for such a call; `None` is missing or stale.
    pub facts: Vec<(String, Option<Map<String, Value>>)>,
    /// The rules that decided.
    pub deciding: Vec<RuleReport>,
    /// If nothing permits the call: the permits that came nearest.
    pub nearest: Vec<RuleReport>,
}

/// One rule and how the call fares under it.
#[derive(Clone, Debug, Serialize)]
pub struct RuleReport {
    /// Its id.
    pub id: String,
    /// `permit` or `forbid`.
    pub effect: &'static str,
    /// File and line.
    pub place: String,
    /// Its own words.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub says: Option<String>,
    /// Whether all of it holds.
    pub matched: bool,
    /// Whom, what and on what it is about.
    pub scope: Vec<Clause>,
    /// What else it asks for; empty if the scope does not fit, since it is then not asked.
    pub conditions: Vec<Clause>,
}

impl RuleReport {
    /// Whether it is for such calls, by its scope.
    fn fits(&self) -> bool {
        self.scope.iter().all(|clause| clause.held == Held::Yes)
    }

    /// How far the call is from fulfilling it.
    fn distance(&self) -> usize {
        let missed = |clauses: &[Clause]| clauses.iter().filter(|clause| clause.held != Held::Yes).count();
        SCOPE_WEIGHT * missed(&self.scope) + missed(&self.conditions)
    }
}

/// Explains how a call is decided.
///
/// # Errors
/// [`AnalysisError::Call`] when the call cannot be made at all.
pub fn explain(call: &Call, policies: &Policies, trust_domain: &str) -> Result<Explanation, AnalysisError> {
    let decided = call.decide(policies, trust_domain)?;
    let prepared = call.prepare(trust_domain)?;
    let query = call.query(&prepared);
    let inspected = policies.inspect(&query, &call.circumstances(), &prepared.message);
    let mut deciding = Vec::new();
    let mut nearest = Vec::new();
    // What cannot even be put into Cedar's terms was denied for that reason, which the decision says.
    if let Ok(inspected) = &inspected
        && call.method != CONNECT
    {
        let scene = Scene { request: &inspected.request, entities: &inspected.entities };
        for placed in policies.placed() {
            let is_deciding = decided.by.iter().any(|id| id == placed.id());
            let is_permit = placed.policy.effect() == Effect::Permit && !is_shadow(placed.policy);
            if is_deciding {
                deciding.push(report(&placed, scene));
            } else if is_permit && decided.outcome != Outcome::Allow {
                nearest.push(report(&placed, scene));
            }
        }
    }
    if deciding.iter().any(|rule| rule.effect == "forbid" && rule.matched) {
        // A forbid beats every permit, so no permit is near.
        nearest.clear();
    }
    nearest.retain(|rule: &RuleReport| !rule.matched);
    nearest.sort_by_key(RuleReport::distance);
    if nearest.first().is_some_and(RuleReport::fits) {
        // Beside a rule for this very caller and tool, rules for others are noise.
        nearest.retain(RuleReport::fits);
    }
    nearest.truncate(NEAREST_MAX);
    let shapes = policies.needed_facts(&query);
    Ok(Explanation {
        agent: prepared.caller.agent.clone(),
        what: call.what(),
        at: crate::moment::text(call.at_ms),
        link: call.link.name(),
        roles: policies.roles(&prepared.caller),
        facts: shapes
            .iter()
            .map(|shape| (shape.name.clone(), call.facts.get(&shape.name).cloned()))
            .collect(),
        decided,
        deciding,
        nearest,
    })
}

fn report(placed: &Placed<'_>, scene: Scene<'_>) -> RuleReport {
    let policy = placed.policy;
    let scope = clause::scope(policy, scene);
    let fits = scope.iter().all(|clause| clause.held == Held::Yes);
    let conditions = if fits { clause::conditions(policy, scene) } else { Vec::new() };
    RuleReport {
        id: placed.id().to_owned(),
        effect: effect(policy),
        place: placed.place(),
        says: policy.annotation("reason").map(str::to_owned),
        matched: fits && conditions.iter().all(|clause| clause.held == Held::Yes),
        scope,
        conditions,
    }
}

pub(crate) fn effect(policy: &Policy) -> &'static str {
    match policy.effect() {
        Effect::Permit => "permit",
        Effect::Forbid => "forbid",
    }
}

/// Whether a policy is only watched and decides nothing.
pub(crate) fn is_shadow(policy: &Policy) -> bool {
    policy.annotation("mode") == Some("shadow")
}
