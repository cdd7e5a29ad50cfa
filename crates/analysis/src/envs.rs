//! Which kinds of requests a question is about, and the rules that can speak in each.

use std::collections::{HashMap, HashSet};

use cedar_policy::{
    ActionConstraint, Effect, EntityUid, Policy, PolicySet, PrincipalConstraint, RequestEnv,
    ResourceConstraint, Schema,
};
use cedar_policy_symcc::{CompiledPolicy, CompiledPolicySet};

use crate::error::AnalysisError;
use crate::explain::is_shadow;
use crate::solver::{Said, Solver};
use crate::world::{Mentions, World};

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
            && resource_fits(&policy.resource_constraint(), env)
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
        // In a role, which callers without a name never are, or in itself.
        PrincipalConstraint::In(id) => id.type_name() == kind || kind.basename() != "Anonymous",
    }
}

fn resource_fits(constraint: &ResourceConstraint, env: &RequestEnv) -> bool {
    let kind = env.resource();
    match constraint {
        ResourceConstraint::Any | ResourceConstraint::In(_) => true,
        ResourceConstraint::Eq(id) => id.type_name() == kind,
        ResourceConstraint::Is(is) | ResourceConstraint::IsIn(is, _) => is == kind,
    }
}

/// What a request of this kind is, in a few words.
pub(crate) fn name(env: &RequestEnv) -> String {
    format!("{} · {}", env.principal().basename(), env.action().id().unescaped())
}

/// The rules that can speak in one kind of request, and decide as we do.
pub(crate) struct Slice<'a> {
    rules: Vec<&'a Policy>,
}

impl<'a> Slice<'a> {
    pub(crate) fn new(policies: &[&'a Policy], actions: &Actions, env: &RequestEnv, humans: Humans) -> Self {
        let rules = policies
            .iter()
            .copied()
            .filter(|policy| !is_shadow(policy) && actions.can_fit(policy, env) && counts(policy, humans))
            .collect();
        Slice { rules }
    }

    /// Whether the rules are others than when no person approves anything.
    pub(crate) fn waits(&self, policies: &[&'a Policy], actions: &Actions, env: &RequestEnv) -> bool {
        let without = Slice::new(policies, actions, env, Humans::SayNo);
        self.rules().map(Policy::id).ne(without.rules().map(Policy::id))
    }

    /// Whether anything could be permitted at all.
    pub(crate) fn permits(&self) -> bool {
        self.rules.iter().any(|policy| policy.effect() == Effect::Permit)
    }

    pub(crate) fn rules(&self) -> impl Iterator<Item = &'a Policy> {
        self.rules.iter().copied()
    }

    /// The rules and what is true of the world, as one set.
    pub(crate) fn set(&self, axioms: &[Policy]) -> Result<PolicySet, AnalysisError> {
        PolicySet::from_policies(self.rules.iter().copied().chain(axioms).cloned())
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
        for policy in &self.rules {
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
