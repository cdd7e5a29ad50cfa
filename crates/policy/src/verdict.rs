//! From the policies that match to what happens.
//!
//! 1. A policy that could not be evaluated denies.
//! 2. A `forbid` kills, denies or holds: the strongest of those that match.
//! 3. Of the permits that match and are not used up, one without `@approval`
//!    is enough; the others hold the call until a person approved it.
//! 4. If no permit matches, the strongest `@on_violation` of the permits whose
//!    scope fits says what follows; by default, nothing but a denial.
//!
//! A held call passes with an approval of exactly this call by exactly the
//! policies that hold it. An approval lifts a hold and grants nothing beside.

use std::collections::BTreeSet;

use crate::{
    frame::{Matched, Slice},
    index::Index,
    permit::{Cause, ResultFields},
    query::Approval,
    rates::Ledger,
    terms::{Terms, Violation},
};

/// What happens, with the numbers of the policies that make it so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    Permit {
        policies: Vec<u32>,
        result: Option<ResultFields>,
        approved_by: Option<String>,
    },
    Deny {
        cause: Cause,
        policies: Vec<u32>,
        /// What could not be evaluated.
        detail: Option<String>,
        violation: Violation,
        retry_ms: Option<u64>,
    },
}

impl Outcome {
    fn deny(cause: Cause, policies: Vec<u32>, violation: Violation) -> Self {
        Outcome::Deny { cause, policies, detail: None, violation, retry_ms: None }
    }

    /// Something that went wrong before any policy spoke.
    pub(crate) fn failed(cause: Cause, detail: Option<String>) -> Self {
        Outcome::Deny { cause, policies: Vec::new(), detail, violation: Violation::Deny, retry_ms: None }
    }

    /// In a word.
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Outcome::Permit { .. } => "permit",
            Outcome::Deny { violation: Violation::Hold, .. } => "hold",
            Outcome::Deny { violation: Violation::Deny, .. } => "deny",
            Outcome::Deny { violation: Violation::Kill, .. } => "kill",
        }
    }
}

/// What a verdict rests on beside the policies that match.
pub(crate) struct Court<'a> {
    pub(crate) index: &'a Index,
    pub(crate) slice: &'a Slice,
    pub(crate) ledger: &'a Ledger,
    pub(crate) agent: &'a str,
    pub(crate) now_ms: u64,
    pub(crate) approval: Option<&'a Approval>,
    /// The digest of the call.
    pub(crate) digest: &'a dyn Fn() -> String,
    /// Policies in shadow mode count, and nothing is counted against rates.
    pub(crate) trial: bool,
}

impl Court<'_> {
    /// What happens.
    pub(crate) fn judge(&self, matched: &Matched) -> Outcome {
        if let Some((n, detail)) = &matched.failed {
            let detail = Some(detail.clone());
            let policies = vec![*n];
            let (violation, retry_ms) = (Violation::Deny, None);
            return Outcome::Deny { cause: Cause::PolicyFailed, policies, detail, violation, retry_ms };
        }
        let strongest = matched.forbids.iter().map(|&n| self.index.rule(n).violation()).max();
        if let Some(violation) = strongest.filter(|violation| *violation != Violation::Hold) {
            let policies = self.strongest_first(&matched.forbids);
            return Outcome::deny(Cause::Forbidden, policies, violation);
        }
        if matched.permits.is_empty() {
            return self.unpermitted(&matched.forbids);
        }
        self.permitted(matched)
    }

    /// Some permits match, and no forbid but those that hold.
    fn permitted(&self, matched: &Matched) -> Outcome {
        let mut waits = Vec::new();
        let usable: Vec<u32> = matched
            .permits
            .iter()
            .copied()
            .filter(|&n| self.look(n).map_err(|wait| waits.push(wait)).is_ok())
            .collect();
        if usable.is_empty() {
            return self.used_up(&matched.permits, waits);
        }
        let (asking, free): (Vec<u32>, Vec<u32>) =
            usable.into_iter().partition(|&n| self.index.rule(n).terms().approval);
        let mut holders = matched.forbids.clone();
        let granting = if free.is_empty() {
            holders.extend(&asking);
            asking
        } else {
            free
        };
        self.grant(granting, holders)
    }

    /// No permit matches. `holders` are forbids that a person could lift, but
    /// nothing stands behind them.
    fn unpermitted(&self, holders: &[u32]) -> Outcome {
        let fitting = self.slice.rules.iter().copied().filter(|&n| {
            let rule = self.index.rule(n);
            rule.is_permit() && (self.trial || !rule.terms().shadow)
        });
        let wanting: Vec<(u32, Violation)> =
            fitting.filter_map(|n| Some((n, self.index.rule(n).terms().violation?))).collect();
        let of = |violation| {
            let some: Vec<u32> =
                wanting.iter().filter(|(_, own)| *own == violation).map(|(n, _)| *n).collect();
            (!some.is_empty()).then_some(some)
        };
        if let Some(killing) = of(Violation::Kill) {
            return Outcome::deny(Cause::NotPermitted, killing, Violation::Kill);
        }
        match of(Violation::Hold) {
            Some(holding) => {
                let all = holders.iter().chain(&holding).copied().collect();
                self.grant(holding, all)
            }
            None if holders.is_empty() => Outcome::deny(Cause::NotPermitted, Vec::new(), Violation::Deny),
            None => Outcome::deny(Cause::Forbidden, holders.to_vec(), Violation::Deny),
        }
    }

    /// Permits, unless somebody holds the call.
    fn grant(&self, granting: Vec<u32>, holders: Vec<u32>) -> Outcome {
        let mut approved_by = None;
        if !holders.is_empty() {
            match self.approval.filter(|approval| self.is_good(approval, &holders)) {
                Some(approval) => approved_by = Some(approval.by.clone()),
                None => return Outcome::deny(Cause::Held, holders, Violation::Hold),
            }
        }
        let mut waits = Vec::new();
        // Every permit that counts is counted against its rate. Another call
        // may have been faster since it was looked at.
        let mut counted: Vec<&str> = Vec::new();
        let mut granted: Vec<u32> = Vec::new();
        for &n in &granting {
            // Several policies may be one rule, which counts once.
            let account = self.index.rule(n).account();
            match if counted.contains(&account) { Ok(()) } else { self.take(n) } {
                Ok(()) => {
                    counted.push(account);
                    granted.push(n);
                }
                Err(wait) => waits.push(wait),
            }
        }
        if granted.is_empty() {
            return self.used_up(&granting, waits);
        }
        let result = self.result(&granted);
        let mut policies = granted;
        policies.extend(holders);
        policies.sort_unstable();
        policies.dedup();
        Outcome::Permit { policies, result, approved_by }
    }

    fn used_up(&self, permits: &[u32], waits: Vec<u64>) -> Outcome {
        Outcome::Deny {
            cause: Cause::RateLimited,
            policies: permits.to_vec(),
            detail: None,
            violation: Violation::Deny,
            retry_ms: waits.into_iter().min(),
        }
    }

    fn is_good(&self, approval: &Approval, holders: &[u32]) -> bool {
        let named = |n: &u32| approval.policies.iter().any(|id| id == self.index.rule(*n).id());
        holders.iter().all(named) && approval.digest == (self.digest)()
    }

    fn look(&self, n: u32) -> Result<(), u64> {
        let rule = self.index.rule(n);
        match rule.terms().rate {
            Some(rate) => self.ledger.look(rate, rule.account(), self.agent, self.now_ms),
            None => Ok(()),
        }
    }

    fn take(&self, n: u32) -> Result<(), u64> {
        let rule = self.index.rule(n);
        match rule.terms().rate {
            Some(rate) if !self.trial => self.ledger.take(rate, rule.account(), self.agent, self.now_ms),
            _ => Ok(()),
        }
    }

    /// The forbids, those with the strongest consequence first.
    fn strongest_first(&self, forbids: &[u32]) -> Vec<u32> {
        let mut forbids = forbids.to_vec();
        forbids.sort_by_key(|&n| (std::cmp::Reverse(self.index.rule(n).violation()), n));
        forbids
    }

    /// What of the result may pass: what any of the permits lets pass, without
    /// what all of them hide.
    fn result(&self, granted: &[u32]) -> Option<ResultFields> {
        passing(granted.iter().map(|&n| self.index.rule(n).terms()))
    }
}

/// What of a result passes that permits of these terms let pass together; `None` is all of it.
pub(crate) fn passing<'t>(terms: impl Iterator<Item = &'t Terms>) -> Option<ResultFields> {
    let all: Vec<&Terms> = terms.collect();
    let only = all.iter().map(|terms| terms.only.as_ref()).collect::<Option<Vec<_>>>();
    let only = only.map(|all| all.into_iter().flatten().cloned().collect::<BTreeSet<_>>());
    let hidden = all.iter().flat_map(|terms| &terms.hidden);
    // A permit that names the fields that pass shows none that another hides, unless it names that one.
    let hides = |terms: &Terms, path: &String| {
        terms.hidden.contains(path) || terms.only.as_ref().is_some_and(|only| !only.contains(path))
    };
    let hidden = hidden.filter(|path| all.iter().all(|terms| hides(terms, path))).cloned().collect();
    let fields = ResultFields { only, hidden };
    (fields != ResultFields::default()).then_some(fields)
}
