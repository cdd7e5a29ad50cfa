//! One policy and everything that follows from its text alone.

use std::{collections::BTreeSet, sync::OnceLock};

use cedar_policy::{
    ActionConstraint, EntityTypeName, EntityUid, Policy, PolicyId, PrincipalConstraint, ResourceConstraint,
};
use serde_json::Value;

use crate::{
    arguments::Needles,
    clause::{self, Clause},
    entity,
    error::Fault,
    method::{self, Group, Subject, TOOLS_CALL},
    reads::{self, Reads},
    source::Finding,
    terms::Terms,
};

/// A policy, read.
#[derive(Debug)]
pub(crate) struct Known {
    /// The policy, under an id of no meaning.
    pub(crate) policy: Policy,
    pub(crate) terms: Terms,
    pub(crate) reads: Reads,
    pub(crate) scope: Scope,
    pub(crate) needs: Needs,
    /// Roles that it names.
    pub(crate) roles: BTreeSet<String>,
    clauses: OnceLock<Vec<Clause>>,
}

/// A policy's scope, taken apart. `None` is "any".
#[derive(Debug, Default)]
pub(crate) struct Scope {
    pub(crate) principal: Option<EntityUid>,
    pub(crate) principal_is: Option<EntityTypeName>,
    /// Empty is "any".
    pub(crate) actions: Vec<EntityUid>,
    /// `==` and not `in`.
    pub(crate) action_exact: bool,
    pub(crate) resource: Option<EntityUid>,
    pub(crate) resource_is: Option<EntityTypeName>,
    /// `==` and not `in`.
    pub(crate) resource_exact: bool,
}

/// What of the schema a policy is checked against.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(crate) struct Needs {
    pub(crate) principals: [bool; 3],
    pub(crate) methods: BTreeSet<&'static str>,
    pub(crate) named: BTreeSet<&'static str>,
    /// Tools whose actions it names, by server and name.
    pub(crate) tools: BTreeSet<(String, String)>,
    /// The tool that is its resource, if no action of a tool is named beside.
    pub(crate) tool: Option<(String, String)>,
    /// Groups of servers that it names.
    pub(crate) groups: BTreeSet<String>,
    /// It names what no schema has: only the whole one says so well.
    pub(crate) whole: bool,
}

impl Known {
    /// Reads one policy.
    ///
    /// # Errors
    /// Everything that can be said without a schema.
    pub(crate) fn parse(text: &str) -> Result<Self, Vec<Finding>> {
        let policy = Policy::parse(Some(PolicyId::new("policy")), text).map_err(|errors| {
            errors.iter().map(|error| Finding::of_cedar(Fault::Syntax, error)).collect::<Vec<_>>()
        })?;
        let mut findings = Vec::new();
        if policy.annotation("id").is_some_and(|id| id.trim().is_empty()) {
            findings.push(Finding::new(Fault::Id, "the @id is empty", None));
        }
        let terms = Terms::read(&policy).unwrap_or_else(|wrong| {
            findings.extend(wrong.into_iter().map(|w| Finding::new(Fault::Annotation, w.what, Some(w.hint))));
            Terms::default()
        });
        let scope = Scope::of(&policy);
        let literals = policy.entity_literals();
        let (reads, exact) = body(&policy, text, &literals);
        if exact || scope.action_exact && scope.actions.iter().any(is_tools_call) {
            let what = "calls of pinned tools are never this very action, but in it";
            findings.push(Finding::new(Fault::Uncovered, what, None));
        }
        for id in literals.iter().filter(|id| !entity::is_possible(id)) {
            let what = format!("nobody is `{id}`");
            let hint = "whoever has no identity is Lockgate::Anonymous::\"anonymous\"".to_owned();
            let offset = text.find("Lockgate::Anonymous");
            findings.push(Finding { offset, ..Finding::new(Fault::Schema, what, Some(hint)) });
        }
        for needle in &reads.needles {
            if let Err(error) = Needles::new([needle.as_str()]) {
                findings.push(Finding::new(
                    Fault::Schema,
                    error.to_string(),
                    Some("write a longer word".to_owned()),
                ));
            }
        }
        if !findings.is_empty() {
            return Err(findings);
        }
        let needs = Needs::of(&scope, &literals);
        let named = scope.principal.iter().chain(&literals);
        let roles = named.filter_map(entity::role_named).map(str::to_owned).collect();
        Ok(Known { policy, terms, reads, scope, needs, roles, clauses: OnceLock::new() })
    }

    /// The clauses of its condition, for explaining.
    pub(crate) fn clauses(&self) -> &[Clause] {
        self.clauses.get_or_init(|| clause::clauses(&self.policy))
    }

    /// The `@id`.
    pub(crate) fn own_id(&self) -> Option<&str> {
        self.policy.annotation("id").map(str::trim)
    }
}

fn is_tools_call(id: &EntityUid) -> bool {
    entity::is_action(id) && id.id().unescaped() == TOOLS_CALL
}

/// What the conditions read, and whether they compare an action with
/// "tools/call" otherwise than by `in`.
fn body(policy: &Policy, text: &str, literals: &[EntityUid]) -> (Reads, bool) {
    // No other word reads the context, and a word of Cedar has no escapes.
    let reads_context = text.contains("context");
    let names_call = literals.iter().any(is_tools_call);
    if !policy.has_non_scope_constraint() || !(reads_context || names_call) {
        return (Reads::default(), false);
    }
    let Ok(json) = policy.to_json() else { return (Reads::everything(), names_call) };
    let reads = if reads_context { Reads::of(&json) } else { Reads::default() };
    let exact = names_call && reads::conditions(&json).any(|condition| compares_call(condition, false));
    (reads, exact)
}

/// Whether "tools/call" stands anywhere but to the right of an `in`.
fn compares_call(expr: &Value, allowed: bool) -> bool {
    match expr {
        Value::Array(items) => items.iter().any(|item| compares_call(item, allowed)),
        Value::Object(node) => {
            let this = node.get("type").and_then(Value::as_str) == Some("Lockgate::Action")
                && node.get("id").and_then(Value::as_str) == Some(TOOLS_CALL);
            if this {
                return !allowed;
            }
            node.iter().any(|(name, part)| match (name.as_str(), part) {
                ("in", Value::Object(sides)) => {
                    sides.iter().any(|(side, part)| compares_call(part, side == "right"))
                }
                _ => compares_call(part, allowed),
            })
        }
        _ => false,
    }
}

impl Scope {
    fn of(policy: &Policy) -> Self {
        let mut scope = Scope::default();
        match policy.principal_constraint() {
            PrincipalConstraint::Any => {}
            // Nobody is in an agent, so `in` means `==` there; roles have `in` only.
            PrincipalConstraint::In(id) | PrincipalConstraint::Eq(id) => scope.principal = Some(id),
            PrincipalConstraint::Is(kind) => scope.principal_is = Some(kind),
            PrincipalConstraint::IsIn(kind, id) => {
                (scope.principal_is, scope.principal) = (Some(kind), Some(id));
            }
        }
        match policy.action_constraint() {
            ActionConstraint::Any => {}
            ActionConstraint::In(ids) => scope.actions = ids,
            ActionConstraint::Eq(id) => (scope.actions, scope.action_exact) = (vec![id], true),
        }
        match policy.resource_constraint() {
            ResourceConstraint::Any => {}
            ResourceConstraint::In(id) => scope.resource = Some(id),
            ResourceConstraint::Eq(id) => (scope.resource, scope.resource_exact) = (Some(id), true),
            ResourceConstraint::Is(kind) => scope.resource_is = Some(kind),
            ResourceConstraint::IsIn(kind, id) => {
                (scope.resource_is, scope.resource) = (Some(kind), Some(id));
            }
        }
        scope
    }

    /// Whether `action in []` or such stands there, which nothing is.
    pub(crate) fn is_any_action(&self) -> bool {
        self.actions.is_empty()
    }

    /// Whether the scope can cover things of this kind.
    fn covers(&self, subject: Subject) -> bool {
        if let Some(kind) = &self.resource_is {
            return entity::subject_of(kind).is_none_or(|only| only == subject);
        }
        match self.resource.as_ref().and_then(|id| entity::subject_of(id.type_name())) {
            // Everything that a server offers is in it.
            Some(Subject::Server) => !self.resource_exact || subject == Subject::Server,
            Some(only) => only == subject,
            None => true,
        }
    }
}

impl Needs {
    fn of(scope: &Scope, literals: &[EntityUid]) -> Self {
        let mut needs = Needs { principals: principals(scope), ..Needs::default() };
        for id in &scope.actions {
            needs.cover(id, scope);
        }
        if scope.is_any_action() {
            needs.methods.extend(rows(scope, |_, _| true));
        }
        for id in literals {
            needs.name(id);
        }
        let tool = scope.resource.as_ref().and_then(entity::tool_of_resource);
        if tool.is_some() && needs.methods.remove(TOOLS_CALL) {
            needs.tool = tool;
        }
        needs.named.insert(TOOLS_CALL);
        needs.whole |= needs.methods.is_empty() && !needs.names_tools();
        needs
    }

    /// Whether it names any tool.
    pub(crate) fn names_tools(&self) -> bool {
        self.tool.is_some() || !self.tools.is_empty()
    }

    /// Adds what an action of the scope covers.
    fn cover(&mut self, id: &EntityUid, scope: &Scope) {
        self.name(id);
        let name: &str = id.id().unescaped();
        if entity::is_action(id) && !scope.action_exact {
            self.methods.extend(rows(scope, |_, group| group.is_some_and(|group| group.name() == name)));
        }
        if entity::is_action(id) {
            self.methods.extend(rows(scope, |row, _| row == name));
        }
    }

    /// Adds a name that must be declared.
    fn name(&mut self, id: &EntityUid) {
        if entity::is_group(id) {
            self.groups.insert(id.id().unescaped().to_owned());
        }
        if !entity::is_action(id) {
            return;
        }
        let name: &str = id.id().unescaped();
        if let Some(tool) = entity::tool_of_action(id) {
            self.tools.insert(tool);
        } else if let Some((row, ..)) = method::rows().find(|(row, ..)| *row == name) {
            self.named.insert(row);
        } else if ![Group::Session, Group::List, Group::Use].iter().any(|group| group.name() == name) {
            self.whole = true;
        }
    }
}

fn rows(
    scope: &Scope,
    covered: impl Fn(&'static str, Option<Group>) -> bool,
) -> impl Iterator<Item = &'static str> {
    method::rows()
        .filter(move |(row, group, subject)| covered(row, *group) && scope.covers(*subject))
        .map(|(row, ..)| row)
}

/// Which kinds of principal a scope can cover.
fn principals(scope: &Scope) -> [bool; 3] {
    let kind = scope.principal_is.as_ref().or(scope.principal.as_ref().map(EntityUid::type_name));
    match kind.map(|kind| kind.basename()) {
        Some("Agent") => [true, false, false],
        Some("LocalUser") => [false, true, false],
        Some("Anonymous") => [false, false, true],
        _ => [true; 3],
    }
}
