//! The slice of policies that can matter to one call.
//!
//! Cedar evaluates every policy of a set, one after the other: ten thousand
//! cost 17 ms a call. Nearly every policy names its principal, its action or
//! its resource in its scope, so each policy is filed under the three names in
//! its scope ("any" where it names none), and a call looks only at the drawers
//! that its own names, and the groups that they are in, can open.

use std::{collections::HashMap, sync::Arc};

use cedar_policy::{
    ActionConstraint, Effect, EntityTypeName, EntityUid, PolicySet, PrincipalConstraint, ResourceConstraint,
};
use parking_lot::Mutex;

use crate::source::Rule;

/// Slices kept ready as Cedar policy sets. Calls of one tool by many agents
/// share a slice, so few exist; when the table is full it starts afresh.
const SLICES_MAX: usize = 256;

/// The names in a policy's scope; `None` is "any".
#[derive(Debug, PartialEq, Eq, Hash)]
struct Drawer {
    principal: Option<EntityUid>,
    action: Option<EntityUid>,
    resource: Option<EntityUid>,
}

/// What a drawer's label leaves open: `is` in a policy's scope, and whether
/// `==` or `in` stood before the resource. `None` is "any".
#[derive(Debug, Default)]
struct Finer {
    principal_is: Option<EntityTypeName>,
    resource_is: Option<EntityTypeName>,
    resource_eq: Option<EntityUid>,
}

/// What a call is known by, each list from the entity itself to its groups.
#[derive(Debug)]
pub(crate) struct Scope<'a> {
    pub(crate) principal: &'a EntityUid,
    pub(crate) action: &'a [&'a EntityUid],
    pub(crate) resource: &'a [&'a EntityUid],
}

/// All rules, filed.
pub(crate) struct Index {
    rules: Vec<Rule>,
    finer: Vec<Finer>,
    drawers: HashMap<Drawer, Vec<u32>>,
    slices: Mutex<HashMap<Arc<[u32]>, Arc<PolicySet>>>,
}

impl Index {
    /// Files the rules.
    pub(crate) fn new(rules: Vec<Rule>) -> Self {
        let mut drawers: HashMap<Drawer, Vec<u32>> = HashMap::new();
        let mut finer = Vec::with_capacity(rules.len());
        for (rule, n) in rules.iter().zip(0u32..) {
            let mut open = Finer::default();
            let principal = principal(rule, &mut open);
            let resource = resource(rule, &mut open);
            for action in actions(rule) {
                let drawer = Drawer { principal: principal.clone(), action, resource: resource.clone() };
                drawers.entry(drawer).or_default().push(n);
            }
            finer.push(open);
        }
        Index { rules, finer, drawers, slices: Mutex::default() }
    }

    /// Every rule.
    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rules whose scope fits the call, in reading order. Exactly these
    /// can permit or forbid it; all others are false before their conditions.
    pub(crate) fn select(&self, scope: &Scope<'_>) -> Arc<[u32]> {
        let mut found: Vec<u32> = Vec::new();
        let with_any = |names: &[&EntityUid]| -> Vec<Option<EntityUid>> {
            names.iter().map(|&name| Some(name.clone())).chain([None]).collect()
        };
        for principal in with_any(&[scope.principal]) {
            for action in with_any(scope.action) {
                for resource in with_any(scope.resource) {
                    let drawer = Drawer { principal: principal.clone(), action: action.clone(), resource };
                    found.extend(
                        self.drawers.get(&drawer).into_iter().flatten().filter(|&&n| self.fits(n, scope)),
                    );
                }
            }
        }
        // A policy on several actions is filed several times.
        found.sort_unstable();
        found.dedup();
        found.into()
    }

    fn fits(&self, n: u32, scope: &Scope<'_>) -> bool {
        let finer = &self.finer[n as usize];
        let is = |kind: &Option<EntityTypeName>, id: &EntityUid| {
            kind.as_ref().is_none_or(|kind| kind == id.type_name())
        };
        is(&finer.principal_is, scope.principal)
            && is(&finer.resource_is, scope.resource[0])
            && finer.resource_eq.as_ref().is_none_or(|id| id == scope.resource[0])
    }

    /// The rules of a selection.
    pub(crate) fn get<'a>(&'a self, selected: &'a [u32]) -> impl Iterator<Item = &'a Rule> {
        selected.iter().map(|&n| &self.rules[n as usize])
    }

    /// The rule of an id, within a selection.
    pub(crate) fn find<'a>(&'a self, selected: &'a [u32], id: &str) -> Option<&'a Rule> {
        self.get(selected).find(|rule| rule.id() == id)
    }

    /// The permits of a selection.
    pub(crate) fn permits<'a>(&'a self, selected: &'a [u32]) -> impl Iterator<Item = &'a Rule> {
        self.get(selected).filter(|rule| rule.policy.effect() == Effect::Permit)
    }

    /// A selection as a Cedar policy set.
    pub(crate) fn policy_set(&self, selected: &Arc<[u32]>) -> Arc<PolicySet> {
        if let Some(ready) = self.slices.lock().get(selected) {
            return ready.clone();
        }
        let set = PolicySet::from_policies(self.get(selected).map(|rule| rule.policy.clone()))
            .expect("ids are unique, as loading has checked");
        let set = Arc::new(set);
        let mut slices = self.slices.lock();
        if slices.len() >= SLICES_MAX {
            slices.clear();
        }
        slices.insert(selected.clone(), set.clone());
        set
    }
}

fn principal(rule: &Rule, finer: &mut Finer) -> Option<EntityUid> {
    match rule.policy.principal_constraint() {
        PrincipalConstraint::Any => None,
        // No principal has parents, so `in` means `==` here.
        PrincipalConstraint::In(id) | PrincipalConstraint::Eq(id) => Some(id),
        PrincipalConstraint::Is(kind) => {
            finer.principal_is = Some(kind);
            None
        }
        PrincipalConstraint::IsIn(kind, id) => {
            finer.principal_is = Some(kind);
            Some(id)
        }
    }
}

fn resource(rule: &Rule, finer: &mut Finer) -> Option<EntityUid> {
    match rule.policy.resource_constraint() {
        ResourceConstraint::Any => None,
        ResourceConstraint::In(id) => Some(id),
        ResourceConstraint::Eq(id) => {
            finer.resource_eq = Some(id.clone());
            Some(id)
        }
        ResourceConstraint::Is(kind) => {
            finer.resource_is = Some(kind);
            None
        }
        ResourceConstraint::IsIn(kind, id) => {
            finer.resource_is = Some(kind);
            Some(id)
        }
    }
}

fn actions(rule: &Rule) -> Vec<Option<EntityUid>> {
    match rule.policy.action_constraint() {
        ActionConstraint::Any => vec![None],
        ActionConstraint::In(ids) => ids.into_iter().map(Some).collect(),
        ActionConstraint::Eq(id) => vec![Some(id)],
    }
}
