//! Who can use a tool, and what can an agent do: with the arguments, the time and the facts left open.

use std::collections::BTreeSet;

use cedar_policy::{Effect, Policy};
use lockgate_policy::{Placed, Policies};
use serde::Serialize;

use crate::call::Call;
use crate::clause::{self, Held, Scene};
use crate::error::AnalysisError;
use crate::explain::is_shadow;

/// Whether something can be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Can {
    /// Under no circumstances.
    Never,
    /// Depending on arguments, time, facts or link.
    Sometimes,
    /// Whatever the circumstances.
    Always,
}

/// One agent and one tool.
#[derive(Clone, Debug, Serialize)]
pub struct Ability {
    /// The agent's whole id.
    pub agent: String,
    /// The agent's roles.
    pub roles: Vec<String>,
    /// `SERVER/TOOL`.
    pub what: String,
    /// Whether it can.
    pub can: Can,
    /// The permits that apply, each with its conditions.
    pub permits: Vec<Terms>,
    /// What stands against it, each with its conditions.
    pub forbids: Vec<Terms>,
}

/// A rule and its conditions, in Cedar's words.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Terms {
    /// The rule's id.
    pub id: String,
    /// Where it stands.
    pub place: String,
    /// What it asks for; empty is nothing.
    pub conditions: Vec<String>,
}

/// What one agent can do with one tool, or with one other thing that the call names. Arguments, time, link and facts
/// of the call are not looked at.
///
/// # Errors
/// [`AnalysisError::Call`] when the call cannot be made.
pub fn ability(call: &Call, policies: &Policies, trust_domain: &str) -> Result<Ability, AnalysisError> {
    let prepared = call.prepare(trust_domain)?;
    let query = call.query(&prepared);
    let mut ability = Ability {
        agent: prepared.caller.agent.clone(),
        roles: policies.roles(&prepared.caller),
        what: call.what(),
        can: Can::Never,
        permits: Vec::new(),
        forbids: Vec::new(),
    };
    let Some(inspected) = policies.outline(&query) else { return Ok(ability) };
    let scene = Scene { request: &inspected.request, entities: &inspected.entities };
    for placed in policies.placed().filter(|placed| !is_shadow(placed.policy)) {
        let fits = clause::scope(placed.policy, scene).iter().all(|part| part.held == Held::Yes);
        if !fits {
            continue;
        }
        match placed.policy.effect() {
            Effect::Permit => ability.permits.push(terms(&placed)),
            Effect::Forbid => ability.forbids.push(terms(&placed)),
        }
    }
    let is_free = |terms: &&Terms| terms.conditions.is_empty();
    ability.can = if !policies.allows(&query) || ability.permits.is_empty() {
        Can::Never
    } else if ability.forbids.is_empty() && ability.permits.iter().any(|terms| is_free(&terms)) {
        Can::Always
    } else {
        Can::Sometimes
    };
    Ok(ability)
}

fn terms(placed: &Placed<'_>) -> Terms {
    let mut conditions: Vec<String> =
        clause::condition_texts(placed.policy).into_iter().filter(|text| !is_guard(text)).collect();
    conditions.extend(annotated(placed.policy));
    Terms { id: placed.id().to_owned(), place: placed.place(), conditions }
}

/// Whether a condition only makes sure that the next one can be asked, or asks nothing.
fn is_guard(text: &str) -> bool {
    let is_presence = text.starts_with("context")
        && text.split_once(" has ").is_some_and(|(path, name)| {
            [path, name].iter().all(|part| !part.contains(' ') && !part.contains('('))
        });
    text == "true" || is_presence
}

/// Conditions that Cedar does not see.
fn annotated(policy: &Policy) -> Vec<String> {
    let approval =
        (policy.annotation("approval") == Some("required")).then(|| "a person approves".to_owned());
    let rate = policy.annotation("rate").map(|rate| format!("at most {rate}"));
    approval.into_iter().chain(rate).collect()
}

/// The agents that the policies name themselves, by id.
pub fn named_agents(policies: &Policies) -> BTreeSet<String> {
    named(policies, "Agent")
}

/// The roles that the policies name, by name.
pub fn named_roles(policies: &Policies) -> BTreeSet<String> {
    named(policies, "Role")
}

/// The tools that the policies name themselves, as `SERVER/TOOL`.
pub fn named_tools(policies: &Policies) -> BTreeSet<String> {
    let mut tools = named(policies, "Tool");
    let actions = named(policies, "Action");
    tools.extend(actions.iter().filter_map(|id| id.strip_prefix("tools/call:").map(str::to_owned)));
    tools
}

fn named(policies: &Policies, kind: &str) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for policy in policies.cedar() {
        found.extend(
            policy
                .entity_literals()
                .into_iter()
                .filter(|id| id.type_name().basename() == kind)
                .map(|id| id.id().unescaped().to_owned()),
        );
    }
    found
}
