//! What another set newly makes possible, and what it no longer does.

use std::collections::{BTreeMap, BTreeSet};

use cedar_policy::{Policy, RequestEnv, Schema};
use lockgate_policy::Policies;
use serde::Serialize;

use crate::call::{Call, Outcome};
use crate::envs::{Actions, Humans, Slice, axioms, compile, is_of_unknown_tools, name};
use crate::error::AnalysisError;
use crate::example;
use crate::forms::bare;
use crate::prove::{Example, failing, permits, untyped};
use crate::solver::{Said, Solver};
use crate::unseen::{self, Assumed};
use crate::world::{Mentions, World};

/// How much is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Ground {
    /// All calls were looked at, by a solver: what is not listed does not differ.
    Proof,
    /// Some calls were decided under both sets: there may be more.
    Samples,
}

/// The differences of two sets.
#[derive(Clone, Debug, Serialize)]
pub struct Difference {
    /// How much is known.
    pub ground: Ground,
    /// Newly possible, an example for each kind of request.
    pub gained: Vec<Change>,
    /// No longer possible.
    pub lost: Vec<Change>,
    /// Kinds of requests about which nothing is known, and why.
    pub unclear: Vec<String>,
    /// Rules whose terms beside their conditions were changed (rates, fields of results, approvals, consequences), and
    /// roles whose agents were. What the rules permit is compared above, these are not.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub terms: Vec<Terms>,
    /// Kinds of requests, or samples, that were looked at.
    pub looked_at: usize,
    /// Tools whose definitions are not known: their arguments are taken to be of the types that policies compare them
    /// with.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub assumed: Vec<Assumed>,
}

/// What a rule says beside its conditions, where that was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Terms {
    /// The rule.
    pub id: String,
    /// Which annotation.
    pub term: String,
    /// What it was; `None` where it is new.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub before: Option<String>,
    /// What it is now; `None` where it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after: Option<String>,
}

/// Annotations that change what becomes of a call that fits.
const TERMS: [&str; 6] = ["on_violation", "approval", "rate", "result_fields", "result_hidden", "mode"];

/// The terms of rules that both sets have by one id, where they differ, and who is in which role: to the solver, any
/// agent may be in any.
fn terms(old: &Policies, new: &Policies) -> Vec<Terms> {
    let before: BTreeMap<&str, &Policy> = old.placed().map(|placed| (placed.id(), placed.policy)).collect();
    let mut changed = Vec::new();
    for placed in new.placed() {
        let Some(earlier) = before.get(placed.id()) else { continue };
        for term in TERMS {
            let (before, after) = (earlier.annotation(term), placed.policy.annotation(term));
            if before != after {
                let own = |text: Option<&str>| text.map(str::to_owned);
                let (id, term) = (placed.id().to_owned(), term.to_owned());
                changed.push(Terms { id, term, before: own(before), after: own(after) });
            }
        }
    }
    let (before, now) = (old.memberships(), new.memberships());
    let names: BTreeSet<&String> = before.keys().chain(now.keys()).collect();
    let said = |agents: Option<&Vec<String>>| agents.filter(|all| !all.is_empty()).map(|all| all.join(", "));
    for name in names {
        let (before, after) = (said(before.get(name)), said(now.get(name)));
        if before != after {
            changed.push(Terms { id: format!("role {name}"), term: "agents".to_owned(), before, after });
        }
    }
    changed
}

/// Something that is possible under one set alone.
#[derive(Clone, Debug, Serialize)]
pub struct Change {
    /// The kind of request.
    pub kind: String,
    /// How it is decided under the old set.
    pub before: Outcome,
    /// The call, and how it is decided under the new one.
    pub example: Example,
}

impl Difference {
    /// Whether the new set permits nothing that the old one denies, and that is proved, and no permit has other terms.
    pub fn grants_nothing_new(&self) -> bool {
        self.ground == Ground::Proof && self.is_nothing_known_new()
    }

    /// Whether nothing was found that is new, by proof or by samples.
    pub fn is_nothing_known_new(&self) -> bool {
        self.gained.is_empty() && self.unclear.is_empty() && self.terms.is_empty()
    }
}

/// Compares two sets by proof. Both are read against the definitions, facts and groups of `world`, so that they share
/// one schema; where their schemas differ in an action, it counts as unclear.
///
/// # Errors
/// [`AnalysisError::NoSolver`] if none is installed.
pub async fn by_proof(old: &Policies, new: &Policies, world: &World) -> Result<Difference, AnalysisError> {
    let (before, after): (Vec<&Policy>, Vec<&Policy>) = (old.cedar().collect(), new.cedar().collect());
    let mentions =
        Mentions::of(before.iter().copied().chain(after.iter().copied()), world).in_sets(&[old, new])?;
    let ground = unseen::Ground::of(&[new, old], None, world)?;
    let (schema, world) = (&ground.schema, &ground.world);
    let mut both = Both {
        old: Side { policies: old, rules: before, actions: Actions::of(schema)? },
        new: Side { policies: new, rules: after, actions: Actions::of(schema)? },
        schema,
        mentions,
        world,
        solver: Solver::find()?,
    };
    let mut difference = Difference {
        ground: Ground::Proof,
        gained: Vec::new(),
        lost: Vec::new(),
        unclear: ground.unclear.clone(),
        terms: terms(old, new),
        looked_at: 0,
        assumed: ground.assumed.clone(),
    };
    let mut envs: Vec<RequestEnv> = schema.request_envs().collect();
    envs.sort_by_cached_key(name);
    for env in &envs {
        difference.looked_at += 1;
        both.one(env, Gain::New, &mut difference).await?;
        both.one(env, Gain::Old, &mut difference).await?;
    }
    difference.unclear.sort_unstable();
    difference.unclear.dedup();
    Ok(difference)
}

/// Compares two sets by deciding calls under both.
///
/// # Errors
/// [`AnalysisError::Call`] for a call that cannot be made.
pub fn by_samples(
    old: &Policies,
    new: &Policies,
    calls: &[Call],
    trust_domain: &str,
) -> Result<Difference, AnalysisError> {
    let mut difference = Difference {
        ground: Ground::Samples,
        gained: Vec::new(),
        lost: Vec::new(),
        unclear: Vec::new(),
        terms: terms(old, new),
        looked_at: calls.len(),
        assumed: Vec::new(),
    };
    let mut shown: BTreeSet<(String, String, Outcome, Outcome)> = BTreeSet::new();
    for call in calls {
        let before = call.decide(old, trust_domain)?;
        let after = call.decide(new, trust_domain)?;
        let key = (call.agent.clone(), call.what(), before.outcome, after.outcome);
        if before.outcome == after.outcome || !shown.insert(key) {
            continue;
        }
        let side = if after.outcome < before.outcome { &mut difference.gained } else { &mut difference.lost };
        side.push(Change { kind: call.what(), before: before.outcome, example: Example::new(call, after) });
    }
    Ok(difference)
}

/// Which set is asked for what it alone permits.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Gain {
    New,
    Old,
}

struct Side<'a> {
    policies: &'a Policies,
    rules: Vec<&'a Policy>,
    actions: Actions,
}

struct Both<'a> {
    old: Side<'a>,
    new: Side<'a>,
    schema: &'a Schema,
    mentions: Mentions,
    world: &'a World,
    solver: Solver,
}

impl Both<'_> {
    async fn one(
        &mut self,
        env: &RequestEnv,
        gain: Gain,
        into: &mut Difference,
    ) -> Result<(), AnalysisError> {
        let (more, less) = match gain {
            Gain::New => (&self.new, &self.old),
            Gain::Old => (&self.old, &self.new),
        };
        // What a person may approve is no grant of the set, on either side.
        let wide = Slice::new(&more.rules, &more.actions, env, Humans::SayNo)?;
        if !wide.permits() {
            return Ok(());
        }
        let mut narrow = Slice::new(&less.rules, &less.actions, env, Humans::SayNo)?;
        narrow.close(&wide)?;
        if same(&wide, &narrow) {
            return Ok(());
        }
        if is_of_unknown_tools(env) {
            for slice in [&wide, &narrow] {
                if let Some(why) = untyped(slice, false)? {
                    into.unclear.push(format!("{}: {why}", name(env)));
                    return Ok(());
                }
            }
        }
        let schema = self.schema;
        let axioms = axioms(self.world, env, schema, &self.mentions);
        let (wide_set, narrow_set) = (wide.set(&axioms)?, narrow.set(&axioms)?);
        let mut unclear = |why: String| into.unclear.push(format!("{}: {why}", name(env)));
        let compiled =
            compile(&wide_set, env, schema).and_then(|wide| Ok((wide, compile(&narrow_set, env, schema)?)));
        let (wide_compiled, narrow_compiled) = match compiled {
            Ok(both) => both,
            Err(why) => {
                unclear(why);
                return Ok(());
            }
        };
        let said = self
            .solver
            .ask(async |compiler| {
                compiler.check_implies_with_counterexample_opt(&wide_compiled, &narrow_compiled).await
            })
            .await?;
        let found = match said {
            Said::Nothing(why) => {
                unclear(why);
                return Ok(());
            }
            Said::Answer(None) => {
                // The claim rests on what the narrower set permits, and there a rule that fails would deny.
                if let Some(rule) = narrow.fallible(env, schema, &mut self.solver).await? {
                    unclear(format!(
                        "the rule {rule} can fail, which denies; guard the attributes that it reads"
                    ));
                }
                return Ok(());
            }
            Said::Answer(Some(found)) => found,
        };
        if let (Some(rule), false) = (failing(&found, &wide_set), permits(&found, &wide_set)) {
            unclear(format!("only where the rule {rule} fails, which denies"));
            return Ok(());
        }
        match self.confirmed(&found, gain)? {
            Some((before, example)) => {
                let change = Change { kind: name(env), before, example };
                match gain {
                    Gain::New => into.gained.push(change),
                    Gain::Old => into.lost.push(change),
                }
            }
            None => {
                let calls = example::calls(&found, self.world, &self.mentions);
                let tried: Vec<String> = calls.first().map(Call::command).into_iter().collect();
                unclear(format!("the solver's example is not confirmed; try {}", tried.join("")));
            }
        }
        Ok(())
    }

    /// A call of the counterexample that the one set really allows and the other really does not.
    fn confirmed(
        &self,
        found: &cedar_policy_symcc::Env,
        gain: Gain,
    ) -> Result<Option<(Outcome, Example)>, AnalysisError> {
        let trust_domain = &self.world.trust_domain;
        for call in example::calls(found, self.world, &self.mentions) {
            let before = call.decide(self.old.policies, trust_domain)?;
            let after = call.decide(self.new.policies, trust_domain)?;
            let (wide, narrow) = match gain {
                Gain::New => (after.outcome, before.outcome),
                Gain::Old => (before.outcome, after.outcome),
            };
            if wide == Outcome::Allow && narrow != Outcome::Allow {
                return Ok(Some((before.outcome, Example::new(&call, after))));
            }
        }
        Ok(None)
    }
}

/// Whether two slices hold the same rules, word for word, so that nothing is left to prove.
fn same(a: &Slice, b: &Slice) -> bool {
    // What the annotations say matters too: on_violation and approval have chosen the slice, the rest does not decide.
    let texts = |slice: &Slice| -> BTreeSet<String> {
        slice.rules().map(|policy| bare(&policy.to_string())).collect()
    };
    texts(a) == texts(b)
}
