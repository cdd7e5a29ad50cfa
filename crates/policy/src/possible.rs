//! What a caller could ever do: for lists, and before anything is opened.

use std::sync::Arc;

use lockgate_identity::Caller;

use crate::{
    Policies,
    frame::{Foreseen, Frame},
    index::{Index, Names},
    method,
    permit::ResultFields,
    query::Query,
    rule::Rule,
    terms::{Terms, Violation},
    verdict::passing,
};

/// Permits named when a caller may reach a server: enough to see why.
const NAMED_MAX: usize = 8;

/// Whether some call of this kind could pass, at least once a person approved
/// it. A policy that certainly fails denies; a `forbid` that certainly matches
/// denies unless it holds; and something must permit, or hold for a person.
pub(crate) fn allows(index: &Index, frame: &Frame, foreseen: &Foreseen) -> bool {
    let rule = |n: &u32| index.rule(*n);
    let barred = foreseen
        .certain
        .iter()
        .map(rule)
        .any(|rule| !rule.is_permit() && rule.violation() != Violation::Hold);
    if foreseen.failed.is_some() || barred {
        return false;
    }
    let could = foreseen.certain.iter().chain(&foreseen.possible).map(rule).any(Rule::is_permit);
    could || frame.slice.rules.iter().map(rule).any(waits_for_a_person)
}

/// Whether a permit holds what it does not permit, instead of leaving it
/// denied.
fn waits_for_a_person(rule: &Rule) -> bool {
    rule.is_permit() && !rule.terms().shadow && rule.terms().violation == Some(Violation::Hold)
}

/// The permits on connecting itself.
pub(crate) fn permits(index: &Index, foreseen: &Foreseen) -> Vec<String> {
    let both = foreseen.certain.iter().chain(&foreseen.possible).map(|&n| index.rule(n));
    both.filter(|rule| rule.is_permit()).take(NAMED_MAX).map(|rule| rule.id().to_owned()).collect()
}

/// The first permits whose scope fits the caller and anything on the server.
pub(crate) fn reach(index: &Index, names: &Names, server: &str) -> Arc<[String]> {
    reaching(index, names, server).take(NAMED_MAX).map(|rule| rule.id().to_owned()).collect()
}

fn reaching<'a>(index: &'a Index, names: &'a Names, server: &'a str) -> impl Iterator<Item = &'a Rule> + 'a {
    index.rules().iter().filter(move |rule| {
        let scope = &rule.known.scope;
        let principal = scope.principal.as_ref().is_none_or(|id| names.principal.contains(id));
        let kind = scope.principal_is.as_ref();
        let kind = kind.is_none_or(|kind| names.principal.first().is_some_and(|id| id.type_name() == kind));
        let resource = scope.resource.as_ref().is_none_or(|id| {
            names.resource.contains(id) || crate::entity::server_of(id).is_some_and(|own| own == server)
        });
        rule.is_permit() && !rule.terms().shadow && principal && kind && resource
    })
}

/// Whether results under these terms are cut.
fn cuts(terms: &Terms) -> bool {
    terms.only.is_some() || !terms.hidden.is_empty()
}

impl Policies {
    /// What of the result of such a call passes at most, whichever of the permits match that cover it; `None` is all of
    /// it. For results that come when other policies are in force than permitted their call.
    pub fn at_most(&self, query: &Query<'_>) -> Option<ResultFields> {
        let frame = self.frame(query)?;
        let rules = frame.slice.rules.iter().map(|&n| self.index().rule(n));
        passing(rules.filter(|rule| rule.is_permit() && !rule.terms().shadow).map(Rule::terms))
    }

    /// Whether some permit covers this method on anything at a server, whatever it is called: for lists whose items are
    /// no names of things, like templates of resources.
    pub fn reaches(&self, caller: &Caller, server: &str, method: &str) -> bool {
        let (posture, loopback) = (None, false);
        let query = Query { caller, server, method, name: None, posture, loopback };
        let names = self.names(&query, method::find(method));
        reaching(self.index(), &names, server).any(|rule| {
            let scope = &rule.known.scope;
            let action = |id| match scope.action_exact {
                true => names.action.first() == Some(id),
                false => names.action.contains(id),
            };
            scope.is_any_action() || scope.actions.iter().any(action)
        })
    }

    /// Whether results of such calls may be cut: the definition that the caller is shown must not promise them whole.
    pub fn may_cut(&self, query: &Query<'_>) -> bool {
        let Some(frame) = self.frame(query) else { return false };
        let mut rules = frame.slice.rules.iter().map(|&n| self.index().rule(n));
        rules.any(|rule| rule.is_permit() && !rule.terms().shadow && cuts(rule.terms()))
    }

    /// What this caller's permits keep from it of anything at a server: what the server says beside its results, for
    /// which nobody knows to which call it belongs, must not say that either. Nothing passes but what all of them let
    /// pass: where any of them names fields, no field is left. `None` if none of them cuts results.
    pub fn kept_back(&self, caller: &Caller, server: &str) -> Option<ResultFields> {
        let (posture, loopback) = (None, false);
        let query = Query { caller, server, method: method::CONNECT, name: None, posture, loopback };
        let names = self.names(&query, method::connect());
        let cutting = reaching(self.index(), &names, server).map(Rule::terms).filter(|terms| cuts(terms));
        cutting.fold(None, |all, terms| {
            let mut all = all.unwrap_or_else(ResultFields::default);
            all.hidden.extend(terms.hidden.iter().cloned());
            all.only = terms.only.as_ref().map(|_| Default::default()).or(all.only);
            Some(all)
        })
    }
}
