//! What all calls of one caller to one thing have in common, made ready once:
//! the policies whose scope fits, the entities, and what of the context those
//! policies read.

use std::sync::{Arc, OnceLock};

use cedar_policy::{
    AuthorizationError, Authorizer, Context, Decision, Entities, EntityUid, PolicySet, Request, Response,
};
use parking_lot::Mutex;

use crate::{
    arguments::Needles, context::Gap, facts::FactShape, index::Index, link::Link, method::Method,
    reads::Reads, shapes::ToolShape, terms::Violation,
};

/// Links remembered for each frame. A caller has a few at most: each of its
/// machines, each profile.
const LINKS_MAX: usize = 4;

/// The policies whose scope fits some calls.
pub(crate) struct Slice {
    /// Their numbers, in reading order.
    pub(crate) rules: Arc<[u32]>,
    /// Those in force.
    live: PolicySet,
    /// The permits among them, once somebody asks.
    permits: OnceLock<PolicySet>,
    /// Those in force and those in shadow mode, if there are any of the latter.
    tried: Option<PolicySet>,
    pub(crate) reads: Reads,
    pub(crate) needles: Needles,
    /// The facts that are read.
    pub(crate) facts: Vec<Arc<FactShape>>,
}

impl Slice {
    pub(crate) fn new(
        index: &Index,
        rules: Arc<[u32]>,
        facts: &[Arc<FactShape>],
        needles: impl FnOnce(&Reads) -> Needles,
    ) -> Self {
        let mut reads = Reads::default();
        for &n in &*rules {
            reads.add(&index.rule(n).known.reads);
        }
        let set = |keep: &dyn Fn(u32) -> bool| {
            let kept = rules.iter().copied().filter(|&n| keep(n)).map(|n| index.rule(n).policy.clone());
            PolicySet::from_policies(kept).expect("ids are unique, as loading has checked")
        };
        let shadow = |n: u32| index.rule(n).terms().shadow;
        let live = set(&|n| !shadow(n));
        let tried = rules.iter().any(|&n| shadow(n)).then(|| set(&|_| true));
        let facts = facts.iter().filter(|shape| reads.reads_fact(&shape.name)).cloned().collect();
        let needles = needles(&reads);
        Slice { live, tried, permits: OnceLock::new(), reads, needles, facts, rules }
    }

    fn permits(&self, index: &Index) -> &PolicySet {
        self.permits.get_or_init(|| {
            let permits = self.rules.iter().map(|&n| index.rule(n));
            let permits = permits.filter(|rule| rule.is_permit() && !rule.terms().shadow);
            PolicySet::from_policies(permits.map(|rule| rule.policy.clone()))
                .expect("ids are unique, as loading has checked")
        })
    }
}

/// Which policies match a call.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Matched {
    /// The first policy that could not be evaluated, and why.
    pub(crate) failed: Option<(u32, String)>,
    /// Policies in shadow mode that could not be evaluated.
    pub(crate) failed_shadows: Vec<u32>,
    /// In reading order.
    pub(crate) forbids: Vec<u32>,
    /// In reading order. Without meaning beside a forbid that is more than a
    /// hold.
    pub(crate) permits: Vec<u32>,
}

/// What evaluation finds out about a call.
#[derive(Clone, Debug, Default)]
pub(crate) struct Found {
    pub(crate) live: Matched,
    /// The same with the policies in shadow mode, if there are any.
    pub(crate) tried: Option<Matched>,
    /// The ids of the permits, where they say nothing but yes.
    pub(crate) plain: Option<Arc<[String]>>,
    /// What was evaluated, for explaining.
    pub(crate) request: Option<Request>,
}

/// What is remembered of a link.
#[derive(Clone, Debug, Default)]
struct Remembered {
    found: Option<Arc<Found>>,
    allows: Option<bool>,
}

/// A frame.
pub(crate) struct Frame {
    pub(crate) slice: Arc<Slice>,
    pub(crate) method: &'static Method,
    pub(crate) shape: Option<Arc<ToolShape>>,
    principal: EntityUid,
    action: EntityUid,
    resource: EntityUid,
    entities: Entities,
    memory: Mutex<Vec<(Link<'static>, Remembered)>>,
    /// For connecting: permits on the server at all.
    pub(crate) reach: OnceLock<Arc<[String]>>,
}

/// The three names of a request.
#[derive(Clone, Debug)]
pub(crate) struct Triple {
    pub(crate) principal: EntityUid,
    pub(crate) action: EntityUid,
    pub(crate) resource: EntityUid,
}

impl Frame {
    pub(crate) fn new(
        slice: Arc<Slice>,
        method: &'static Method,
        shape: Option<Arc<ToolShape>>,
        triple: Triple,
        entities: Entities,
    ) -> Self {
        let Triple { principal, action, resource } = triple;
        Frame {
            slice,
            method,
            shape,
            principal,
            action,
            resource,
            entities,
            memory: Mutex::default(),
            reach: OnceLock::new(),
        }
    }

    pub(crate) fn entities(&self) -> &Entities {
        &self.entities
    }

    /// The call in Cedar's terms. It is not checked against the schema again:
    /// the context is built from the types that policies were checked against,
    /// and what does not fit all the same fails, and so denies.
    ///
    /// # Errors
    /// A bug.
    pub(crate) fn request(&self, context: Context) -> Result<Request, String> {
        let (principal, action) = (self.principal.clone(), self.action.clone());
        Request::new(principal, action, self.resource.clone(), context, None)
            .map_err(|error| error.to_string())
    }

    /// Which policies match.
    pub(crate) fn evaluate(&self, index: &Index, request: Request) -> Found {
        let live = self.matched(index, &request, &self.slice.live);
        let tried = self.slice.tried.as_ref().map(|set| self.matched(index, &request, set));
        let plain = (tried.is_none() && live.failed.is_none() && live.forbids.is_empty())
            .then(|| plain_ids(index, &live.permits))
            .flatten();
        Found { live, tried, plain, request: Some(request) }
    }

    fn matched(&self, index: &Index, request: &Request, set: &PolicySet) -> Matched {
        let response = Authorizer::new().is_authorized(request, set, &self.entities);
        let mut matched = Matched::default();
        self.note_failures(index, &response, &mut matched);
        let reasons = numbers(index, &response);
        if response.decision() == Decision::Allow {
            matched.permits = reasons;
            return matched;
        }
        matched.forbids = reasons;
        let only_holds = matched.forbids.iter().all(|&n| index.rule(n).violation() == Violation::Hold);
        if !matched.forbids.is_empty() && only_holds {
            // A person may lift these, so it matters what stands behind them.
            let behind = Authorizer::new().is_authorized(request, self.slice.permits(index), &self.entities);
            matched.permits = numbers(index, &behind);
        }
        matched
    }

    fn note_failures(&self, index: &Index, response: &Response, matched: &mut Matched) {
        for error in response.diagnostics().errors() {
            let AuthorizationError::PolicyEvaluationError(error) = error;
            let Some(n) = index.number_of(error.policy_id().as_ref()) else { continue };
            if index.rule(n).terms().shadow {
                matched.failed_shadows.push(n);
            } else if matched.failed.as_ref().is_none_or(|(first, _)| n < *first) {
                matched.failed = Some((n, error.inner().to_string()));
            }
        }
    }

    /// What could match, whatever is unknown in the context: the policies that
    /// certainly match and those that may.
    pub(crate) fn foresee(&self, index: &Index, request: &Request) -> Foreseen {
        let response = Authorizer::new().is_authorized_partial(request, &self.slice.live, &self.entities);
        let number = |policy: cedar_policy::Policy| index.number_of(policy.id().as_ref());
        Foreseen {
            failed: response.definitely_errored().find_map(|id| index.number_of(id.as_ref())),
            certain: sorted(response.definitely_satisfied().filter_map(number)),
            possible: sorted(response.nontrivial_residuals().filter_map(number)),
        }
    }

    /// What was found for such a link, or what `find` finds now.
    ///
    /// # Errors
    /// Those of `find`, which are not remembered.
    pub(crate) fn found(
        &self,
        link: &Link<'_>,
        find: impl FnOnce() -> Result<Arc<Found>, Gap>,
    ) -> Result<Arc<Found>, Gap> {
        if let Some(found) = self.recall(link).and_then(|remembered| remembered.found) {
            return Ok(found);
        }
        let found = find()?;
        self.remember(link, |remembered| remembered.found = Some(found.clone()));
        Ok(found)
    }

    /// Whether such calls are ever allowed over such a link.
    pub(crate) fn allowed(&self, link: &Link<'_>, find: impl FnOnce() -> bool) -> bool {
        if let Some(allows) = self.recall(link).and_then(|remembered| remembered.allows) {
            return allows;
        }
        let allows = find();
        self.remember(link, |remembered| remembered.allows = Some(allows));
        allows
    }

    fn recall(&self, link: &Link<'_>) -> Option<Remembered> {
        let memory = self.memory.lock();
        memory.iter().find(|(known, _)| known == link).map(|(_, remembered)| remembered.clone())
    }

    fn remember(&self, link: &Link<'_>, change: impl FnOnce(&mut Remembered)) {
        let mut memory = self.memory.lock();
        if let Some((_, remembered)) = memory.iter_mut().find(|(known, _)| known == link) {
            return change(remembered);
        }
        if memory.len() >= LINKS_MAX {
            memory.remove(0);
        }
        let mut remembered = Remembered::default();
        change(&mut remembered);
        memory.push((link.clone().into_owned(), remembered));
    }
}

/// What partial evaluation finds out.
#[derive(Clone, Debug, Default)]
pub(crate) struct Foreseen {
    pub(crate) failed: Option<u32>,
    pub(crate) certain: Vec<u32>,
    pub(crate) possible: Vec<u32>,
}

fn sorted(numbers: impl Iterator<Item = u32>) -> Vec<u32> {
    let mut numbers: Vec<u32> = numbers.collect();
    numbers.sort_unstable();
    numbers
}

fn numbers(index: &Index, response: &Response) -> Vec<u32> {
    sorted(response.diagnostics().reason().filter_map(|id| index.number_of(id.as_ref())))
}

/// The ids of permits that say nothing but yes; `None` if there are none, or
/// others.
fn plain_ids(index: &Index, permits: &[u32]) -> Option<Arc<[String]>> {
    let says_more = |n: &u32| {
        let terms = index.rule(*n).terms();
        let cuts = terms.only.is_some() || !terms.hidden.is_empty();
        terms.approval || terms.rate.is_some() || cuts || terms.record_for.is_some()
    };
    (!permits.is_empty() && !permits.iter().any(says_more))
        .then(|| permits.iter().map(|&n| index.rule(n).id().to_owned()).collect())
}
