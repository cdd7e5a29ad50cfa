//! Which kinds of requests a question is about, and the rules that can speak in each.

use std::collections::{HashMap, HashSet};

use cedar_policy::{
    ActionConstraint, Effect, EntityUid, Policy, PolicySet, PrincipalConstraint, RequestEnv,
    ResourceConstraint, Schema,
};
use cedar_policy_symcc::{CompiledPolicy, CompiledPolicySet};

use crate::call::{CONNECT, TOOLS_CALL};
use crate::error::AnalysisError;
use crate::explain::is_shadow;
use crate::forms;
use crate::solver::{Said, Solver};
use crate::world::{Mentions, TOOL_ACTION, World, decoded};

/// How far approvals by people count as permission.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Humans {
    /// Whatever needs a person's yes is taken to be denied.
    SayNo,
    /// Whatever needs a person's yes is taken to be approved.
    SayYes,
}

/// The schema's actions with the groups that each is in.
pub(crate) struct Actions(HashMap<EntityUid, HashSet<EntityUid>>);

impl Actions {
    pub(crate) fn of(schema: &Schema) -> Result<Self, AnalysisError> {
        let entities = schema.action_entities().map_err(|error| AnalysisError::Bug(error.to_string()))?;
        let groups = |action: &EntityUid| entities.ancestors(action).into_iter().flatten().cloned().collect();
        Ok(Actions(schema.actions().map(|action| (action.clone(), groups(action))).collect()))
    }

    /// Whether the scope of a policy can fit such a request. All others are false before their conditions.
    pub(crate) fn can_fit(&self, policy: &Policy, env: &RequestEnv) -> bool {
        self.action_fits(&policy.action_constraint(), env.action())
            && principal_fits(&policy.principal_constraint(), env)
            && self.resource_fits(&policy.resource_constraint(), env)
    }

    /// A call of a tool with an action of its own is about that tool, and what has none is about another.
    fn resource_fits(&self, constraint: &ResourceConstraint, env: &RequestEnv) -> bool {
        let kind = env.resource();
        let id = match constraint {
            ResourceConstraint::Any => return true,
            ResourceConstraint::Is(is) => return is == kind,
            ResourceConstraint::Eq(id) if id.type_name() != kind => return false,
            ResourceConstraint::IsIn(is, _) if is != kind => return false,
            ResourceConstraint::Eq(id) | ResourceConstraint::In(id) | ResourceConstraint::IsIn(_, id) => id,
        };
        let name: &str = id.id().unescaped();
        let action: &str = env.action().id().unescaped();
        match (action.strip_prefix(TOOL_ACTION), id.type_name().basename()) {
            (Some(tool), "Tool") => tool == name,
            (Some(tool), "Server") => {
                decoded(tool.split_once('/').map_or(tool, |(server, _)| server)) == name
            }
            (None, "Tool") if action == TOOLS_CALL => !self.has_tool(name),
            _ => true,
        }
    }

    /// Whether a tool has an action of its own.
    pub(crate) fn has_tool(&self, id: &str) -> bool {
        self.0.keys().any(|action| action.id().unescaped().strip_prefix(TOOL_ACTION) == Some(id))
    }

    fn action_fits(&self, constraint: &ActionConstraint, action: &EntityUid) -> bool {
        match constraint {
            ActionConstraint::Any => true,
            ActionConstraint::Eq(id) => id == action,
            ActionConstraint::In(ids) => {
                let groups = self.0.get(action);
                ids.iter().any(|id| id == action || groups.is_some_and(|groups| groups.contains(id)))
            }
        }
    }
}

fn principal_fits(constraint: &PrincipalConstraint, env: &RequestEnv) -> bool {
    let kind = env.principal();
    match constraint {
        PrincipalConstraint::Any => true,
        PrincipalConstraint::Eq(id) => id.type_name() == kind,
        PrincipalConstraint::Is(is) | PrincipalConstraint::IsIn(is, _) => is == kind,
        // In a role, or in itself.
        PrincipalConstraint::In(id) => id.type_name() == kind || id.type_name().basename() == "Role",
    }
}

/// What a request of this kind is, in a few words.
pub(crate) fn name(env: &RequestEnv) -> String {
    format!("{} · {}", env.principal().basename(), env.action().id().unescaped())
}

/// The rules that can speak in one kind of request, and decide as we do.
pub(crate) struct Slice {
    rules: Vec<Policy>,
    /// For connecting: prohibitions that rest on what only a call can tell. They bar nobody from connecting unless they
    /// hold whatever that is, so they are left out here, which permits rather more than less.
    pub(crate) open: Vec<Policy>,
}

impl Slice {
    pub(crate) fn new(
        policies: &[&Policy],
        actions: &Actions,
        env: &RequestEnv,
        humans: Humans,
    ) -> Result<Self, AnalysisError> {
        let live = policies.iter().copied().filter(|policy| !is_shadow(policy));
        if env.action().id().unescaped() == CONNECT {
            return Slice::connecting(live, actions, env);
        }
        let mut rules = Vec::new();
        for policy in live.filter(|policy| actions.can_fit(policy, env)) {
            if counts(policy, humans) {
                rules.push(policy.clone());
            }
            if humans == Humans::SayYes && holds_the_rest(policy) {
                rules.push(forms::unconditional(policy, "held")?);
            }
        }
        Ok(Slice { rules, open: Vec::new() })
    }

    /// Connecting is decided before there is a call: whoever has a permit on anything there may connect, whatever the
    /// permit's conditions, unless a prohibition that is no hold certainly covers connecting.
    fn connecting<'p>(
        live: impl Iterator<Item = &'p Policy>,
        actions: &Actions,
        env: &RequestEnv,
    ) -> Result<Self, AnalysisError> {
        let mut slice = Slice { rules: Vec::new(), open: Vec::new() };
        let mut doors = HashSet::new();
        for policy in live {
            if policy.effect() == Effect::Permit {
                if let Some(door) = forms::door(policy)?.filter(|door| actions.can_fit(door, env))
                    && doors.insert(forms::bare(&door.to_string()))
                {
                    slice.rules.push(door);
                }
            } else if actions.can_fit(policy, env) && policy.annotation("on_violation") != Some("hold") {
                let reads = forms::reads(policy)?;
                let known = ["link", "method", "now", "local"];
                let certain = reads.iter().all(|name| known.contains(&name.as_str()));
                if certain { &mut slice.rules } else { &mut slice.open }.push(policy.clone());
            }
        }
        Ok(slice)
    }

    /// Takes the prohibitions that were left open to hold, but those that `other` leaves open, too, since they bar both
    /// alike. What remains permits rather less than more.
    pub(crate) fn close(&mut self, other: &Slice) -> Result<(), AnalysisError> {
        let both: HashSet<String> =
            other.open.iter().map(|policy| forms::bare(&policy.to_string())).collect();
        for policy in self.open.iter().filter(|policy| !both.contains(&forms::bare(&policy.to_string()))) {
            self.rules.push(forms::unconditional(policy, "closed")?);
        }
        Ok(())
    }

    /// Whether the rules are others than when no person approves anything.
    pub(crate) fn waits(
        &self,
        policies: &[&Policy],
        actions: &Actions,
        env: &RequestEnv,
    ) -> Result<bool, AnalysisError> {
        let without = Slice::new(policies, actions, env, Humans::SayNo)?;
        Ok(self.rules().map(Policy::id).ne(without.rules().map(Policy::id)))
    }

    /// Whether anything could be permitted at all.
    pub(crate) fn permits(&self) -> bool {
        self.rules.iter().any(|policy| policy.effect() == Effect::Permit)
    }

    pub(crate) fn rules(&self) -> impl Iterator<Item = &Policy> {
        self.rules.iter()
    }

    /// A rule that reads this attribute of the context.
    pub(crate) fn reader_of(&self, attribute: &str) -> Result<Option<&Policy>, AnalysisError> {
        for policy in &self.rules {
            if forms::reads(policy)?.iter().any(|name| name == attribute || name == forms::ALL) {
                return Ok(Some(policy));
            }
        }
        Ok(None)
    }

    /// The rules and what is true of the world, as one set.
    pub(crate) fn set(&self, axioms: &[Policy]) -> Result<PolicySet, AnalysisError> {
        PolicySet::from_policies(self.rules.iter().chain(axioms).cloned())
            .map_err(|error| AnalysisError::Bug(error.to_string()))
    }

    /// A rule whose evaluation can fail on some request of this kind. To Cedar it is then as if the rule were not
    /// there, while Lockgate denies; so what is proved of Cedar's answer must not rest on such a rule.
    pub(crate) async fn fallible(
        &self,
        env: &RequestEnv,
        schema: &Schema,
        solver: &mut Solver,
    ) -> Result<Option<String>, AnalysisError> {
        for policy in self.rules.iter().chain(&self.open) {
            let Ok(compiled) = CompiledPolicy::compile(policy, env, schema) else {
                return Ok(Some(policy.id().to_string()));
            };
            match solver.ask(async |compiler| compiler.check_never_errors_opt(&compiled).await).await? {
                Said::Answer(true) => {}
                Said::Answer(false) | Said::Nothing(_) => return Ok(Some(policy.id().to_string())),
            }
        }
        Ok(None)
    }
}

/// Whether calls of tools that nobody has shown and no policy names are meant.
pub(crate) fn is_of_unknown_tools(env: &RequestEnv) -> bool {
    env.action().id().unescaped() == TOOLS_CALL
}

fn counts(policy: &Policy, humans: Humans) -> bool {
    let needs_yes = match policy.effect() {
        Effect::Permit => policy.annotation("approval") == Some("required"),
        Effect::Forbid => policy.annotation("on_violation") == Some("hold"),
    };
    match (policy.effect(), humans) {
        // Without a yes such a permit permits nothing, and with one such a forbid forbids nothing.
        (Effect::Permit, Humans::SayNo) | (Effect::Forbid, Humans::SayYes) => !needs_yes,
        _ => true,
    }
}

/// Whether a permit asks a person about what fits its scope and not its conditions.
fn holds_the_rest(policy: &Policy) -> bool {
    policy.effect() == Effect::Permit && policy.annotation("on_violation") == Some("hold")
}

/// Compiles a set for one kind of request.
pub(crate) fn compile(
    set: &PolicySet,
    env: &RequestEnv,
    schema: &Schema,
) -> Result<CompiledPolicySet, String> {
    CompiledPolicySet::compile(set, env, schema).map_err(|error| error.to_string())
}

/// The axioms that type-check for this kind of request; an axiom about what this schema lacks is none here.
pub(crate) fn axioms(world: &World, env: &RequestEnv, schema: &Schema, mentions: &Mentions) -> Vec<Policy> {
    let mut axioms = world.axioms(env, mentions);
    axioms.retain(|axiom| CompiledPolicy::compile(axiom, env, schema).is_ok());
    axioms
}
