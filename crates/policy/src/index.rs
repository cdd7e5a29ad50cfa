//! The slice of policies that can matter to one call.
//!
//! Cedar evaluates every policy of a set, one after the other: ten thousand
//! cost 17 ms a call. Nearly every policy names its principal, its action or
//! its resource in its scope, so each policy is filed under the three names in
//! its scope ("any" where it names none), and a call looks only at the drawers
//! that its own names, and the groups that they are in, can open. Names are
//! numbered, so that a drawer's label is three numbers.

use std::{collections::HashMap, sync::Arc};

use cedar_policy::{EntityTypeName, EntityUid};

use crate::{known::Scope, rule::Rule};

/// The number of "any".
const ANY: u32 = 0;

/// Principal, action and resource of a scope, by number.
type Drawer = (u32, u32, u32);

/// What a drawer's label leaves open. `None` is "any".
#[derive(Debug)]
struct Finer {
    principal_is: Option<EntityTypeName>,
    resource_is: Option<EntityTypeName>,
    /// `action ==` and `resource ==`: groups do not count.
    action_eq: Option<u32>,
    resource_eq: Option<u32>,
}

/// What a call is known by, each list from the entity itself to its groups.
#[derive(Debug)]
pub(crate) struct Names {
    pub(crate) principal: Vec<EntityUid>,
    pub(crate) action: Vec<EntityUid>,
    pub(crate) resource: Vec<EntityUid>,
}

/// All rules, filed.
pub(crate) struct Index {
    rules: Vec<Rule>,
    by_id: HashMap<String, u32>,
    numbers: HashMap<EntityUid, u32>,
    finer: Vec<Finer>,
    drawers: HashMap<Drawer, Vec<u32>>,
}

impl Index {
    /// Files the rules.
    pub(crate) fn new(rules: Vec<Rule>) -> Self {
        let by_id = rules.iter().zip(0..).map(|(rule, n)| (rule.id().to_owned(), n)).collect();
        let mut index = Index {
            by_id,
            finer: Vec::with_capacity(rules.len()),
            drawers: HashMap::new(),
            numbers: HashMap::new(),
            rules: Vec::new(),
        };
        for (rule, n) in rules.iter().zip(0u32..) {
            index.file(&rule.known.scope, n);
        }
        index.rules = rules;
        index
    }

    fn file(&mut self, scope: &Scope, n: u32) {
        let principal = scope.principal.as_ref().map_or(ANY, |id| self.number(id));
        let resource = scope.resource.as_ref().map_or(ANY, |id| self.number(id));
        let mut actions: Vec<u32> = scope.actions.iter().map(|id| self.number(id)).collect();
        self.finer.push(Finer {
            principal_is: scope.principal_is.clone(),
            resource_is: scope.resource_is.clone(),
            action_eq: actions.first().copied().filter(|_| scope.action_exact),
            resource_eq: Some(resource).filter(|_| scope.resource_exact),
        });
        if scope.is_any_action() {
            actions.push(ANY);
        }
        for action in actions {
            self.drawers.entry((principal, action, resource)).or_default().push(n);
        }
    }

    fn number(&mut self, id: &EntityUid) -> u32 {
        if let Some(&number) = self.numbers.get(id) {
            return number;
        }
        let number = u32::try_from(self.numbers.len() + 1).expect("fewer names than bytes of policy text");
        self.numbers.insert(id.clone(), number);
        number
    }

    /// Every rule.
    pub(crate) fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// The rules whose scope fits the call, in reading order. Exactly these
    /// can permit or forbid it; all others are false before their conditions.
    pub(crate) fn select(&self, names: &Names) -> Arc<[u32]> {
        let numbers = |names: &[EntityUid]| -> Vec<u32> {
            names.iter().filter_map(|name| self.numbers.get(name).copied()).chain([ANY]).collect()
        };
        let (actions, resources) = (numbers(&names.action), numbers(&names.resource));
        let mut found: Vec<u32> = Vec::new();
        for principal in numbers(&names.principal) {
            for &action in &actions {
                for &resource in &resources {
                    let drawer = self.drawers.get(&(principal, action, resource));
                    found.extend(drawer.into_iter().flatten().filter(|&&n| self.fits(n, names)));
                }
            }
        }
        // A policy on several actions is filed several times.
        found.sort_unstable();
        found.dedup();
        found.into()
    }

    fn fits(&self, n: u32, names: &Names) -> bool {
        let Finer { principal_is, resource_is, action_eq, resource_eq } = &self.finer[n as usize];
        let is = |kind: &Option<EntityTypeName>, names: &[EntityUid]| {
            kind.as_ref().is_none_or(|kind| names.first().is_some_and(|id| kind == id.type_name()))
        };
        let eq = |number: &Option<u32>, names: &[EntityUid]| {
            number.is_none_or(|number| {
                names.first().and_then(|id| self.numbers.get(id)).is_some_and(|own| *own == number)
            })
        };
        is(principal_is, &names.principal)
            && is(resource_is, &names.resource)
            && eq(action_eq, &names.action)
            && eq(resource_eq, &names.resource)
    }

    /// A rule by its number.
    pub(crate) fn rule(&self, n: u32) -> &Rule {
        &self.rules[n as usize]
    }

    /// The number of the rule with this id.
    pub(crate) fn number_of(&self, id: &str) -> Option<u32> {
        self.by_id.get(id).copied()
    }
}
