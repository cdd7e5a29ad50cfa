//! All facts of a node.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use lockgate_crypto::Algorithm;
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::absence::{Absence, FactUse, Outcome};
use crate::fact::{Begun, Fact};
use crate::key::{self, Subject};
use crate::known::{Found, Last, absent};
use crate::push::{PUSHED_MAX, PushError, Pushed, Receipt, Signed, Verified};
use crate::shape;
use crate::source::mcp::Slot;
use crate::spec::{From, SKEW_MS_MAX, Spec};
use crate::{FactShape, FactValues};

/// What a decision is told, and how that came about.
#[derive(Debug, Default)]
pub struct Gathered {
    /// The facts that are known. What is not in here is absent.
    pub values: FactValues,
    /// Each fact that was needed, in the order asked.
    pub used: Vec<FactUse>,
}

/// Keeps pushed statements over a restart.
pub trait Keep: Send + Sync {
    /// Keeps a statement in the place of the one before it, on the disk when it returns.
    ///
    /// # Errors
    /// Why not; then the statement is not taken.
    fn keep(&self, fact: &str, key: Option<&str>, signed: &Signed) -> Result<(), String>;

    /// Forgets a statement that is too old to be used.
    fn forget(&self, fact: &str, key: Option<&str>);
}

/// How a fact stands, for people.
#[derive(Debug, Clone)]
pub struct State {
    /// Name.
    pub name: String,
    /// Where it comes from, as the configuration writes it.
    pub from: String,
    /// What selects its record.
    pub key: Option<String>,
    /// How old it may be, in milliseconds.
    pub max_age_ms: u64,
    /// What a call may wait for it, in milliseconds.
    pub deadline_ms: u64,
    /// Keys of which something is known.
    pub known: usize,
    /// Failures of the provider in a row.
    pub failures: u32,
    /// Whether the provider is left alone for now.
    pub resting: bool,
    /// The last use.
    pub last: Option<Used>,
}

/// The last use of a fact.
#[derive(Debug, Clone)]
pub struct Used {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Of which key.
    pub key: Option<String>,
    /// How old it was, in milliseconds.
    pub age_ms: Option<u64>,
    /// What came of it.
    pub outcome: Outcome,
}

/// The facts that are configured.
pub struct Facts {
    facts: BTreeMap<String, Arc<Fact>>,
    tools: Slot,
    keep: Option<Arc<dyn Keep>>,
}

impl Facts {
    /// No facts: everything that policy needs is absent.
    #[must_use]
    pub fn none() -> Self {
        Self::new(Vec::new(), None)
    }

    /// The facts of a configuration, whose names are distinct. Nothing is asked yet.
    #[must_use]
    pub fn new(specs: Vec<Spec>, keep: Option<Arc<dyn Keep>>) -> Self {
        let tools = Slot::default();
        let made = specs.into_iter().map(|spec| (spec.shape.name.clone(), Fact::new(spec, &tools)));
        Self { facts: made.collect(), tools, keep }
    }

    /// The facts of another configuration. What did not change stays with all that is known of it.
    #[must_use]
    pub fn renewed(&self, specs: Vec<Spec>) -> Self {
        let facts = specs.into_iter().map(|spec| {
            let name = spec.shape.name.clone();
            let old = self.facts.get(&name).filter(|old| is_same(&old.spec, &spec));
            let fact = old.cloned().unwrap_or_else(|| {
                let fact = Fact::new(spec, &self.tools);
                self.carry_statements(&fact);
                fact
            });
            (name, fact)
        });
        Self { facts: facts.collect(), tools: self.tools.clone(), keep: self.keep.clone() }
    }

    /// A pushed fact that changed in anything but its signer keeps its statements, and with them the times of the last ones.
    fn carry_statements(&self, fact: &Fact) {
        if let Some(old) = self.facts.get(&fact.spec.shape.name)
            && let From::Push { .. } = fact.spec.from
            && old.spec.from.is_same(&fact.spec.from)
        {
            let mut pushed = old.with_pushed(|pushed| pushed.clone());
            for (key, pushed) in &mut pushed {
                // Fits what is promised now, or counts as taken back.
                let record =
                    pushed.record.take().and_then(|record| fitted(fact, key.as_deref(), &record).ok());
                pushed.record = record.map(Arc::new);
            }
            fact.with_pushed(|place| *place = pushed);
        }
    }

    /// The shapes, for the policies to be compiled against.
    #[must_use]
    pub fn shapes(&self) -> Vec<FactShape> {
        self.facts.values().map(|fact| FactShape::clone(&fact.spec.shape)).collect()
    }

    /// Where a fact comes from.
    #[must_use]
    pub fn from(&self, name: &str) -> Option<From> {
        self.facts.get(name).map(|fact| fact.spec.from.clone())
    }

    /// Where to say who calls tools.
    #[must_use]
    pub fn tools(&self) -> &Slot {
        &self.tools
    }

    /// Finds out what a decision needs to know, all of it at the same time, each within its deadline. `now_ms` is the
    /// moment of the decision, in milliseconds since the Unix epoch. Never fails: what is not known is absent, and
    /// `used` says why.
    pub async fn gather(&self, needed: &[Arc<FactShape>], subject: &Subject<'_>, now_ms: u64) -> Gathered {
        // All questions are under way before the first answer is waited for.
        let begun: Vec<_> = needed.iter().map(|shape| self.begin(shape, subject, now_ms)).collect();
        let mut gathered = Gathered::default();
        for (shape, begun) in needed.iter().zip(begun) {
            match begun {
                Ok(mut begun) => {
                    let found = begun.end().await;
                    gathered.tell(&shape.name, (begun.fact.spec.from.kind(), begun.key), found);
                }
                Err(why) => gathered.tell(&shape.name, ("none", None), absent(why)),
            }
        }
        gathered
    }

    fn begin(&self, shape: &FactShape, subject: &Subject<'_>, now_ms: u64) -> Result<Begun, Absence> {
        let fact = self.facts.get(&shape.name).filter(|fact| *fact.spec.shape == *shape);
        let fact = fact.ok_or(Absence::Unknown)?;
        Ok(fact.begin(key::of(shape, subject)?, now_ms))
    }

    /// Asks for one fact now, for a person.
    ///
    /// # Errors
    /// [`Absence::Unknown`], or a key that cannot be.
    pub async fn probe(&self, name: &str, key: Option<&str>, now_ms: u64) -> Result<Found, Absence> {
        let fact = self.facts.get(name).ok_or(Absence::Unknown)?;
        match (&fact.spec.shape.key, key) {
            (Some(name), None) => Err(Absence::NoKey(name.clone())),
            (Some(name), Some(key)) => {
                key::check(name, key)?;
                Ok(fact.probe(Some(key), now_ms).await)
            }
            (None, _) => Ok(fact.probe(None, now_ms).await),
        }
    }

    /// Every fact and how it stands, by name.
    #[must_use]
    pub fn states(&self) -> Vec<State> {
        let states = self.facts.values().map(|fact| {
            let (known, failures, resting) = fact.figures();
            let used = |last: Last| Used {
                at_ms: last.at_ms,
                key: last.key,
                age_ms: last.age_ms,
                outcome: last.outcome,
            };
            State {
                name: fact.spec.shape.name.clone(),
                from: fact.spec.from.to_string(),
                key: fact.spec.shape.key.clone(),
                max_age_ms: fact.spec.max_age_ms,
                deadline_ms: fact.spec.deadline_ms,
                known,
                failures,
                resting,
                last: fact.last().map(used),
            }
        });
        states.collect()
    }

    /// Uses no present connection for another question: after a change of algorithms.
    pub fn retire_links(&self) {
        for fact in self.facts.values() {
            if let From::Http { pool, .. } = &fact.spec.from {
                pool.retire();
                pool.cut_retired();
            }
        }
    }

    /// Takes a signed statement. `may` says whether an algorithm may be used today.
    ///
    /// # Errors
    /// [`PushError`]; nothing has changed then.
    pub fn push(
        &self,
        bytes: &[u8],
        now_ms: u64,
        may: &dyn Fn(&'static Algorithm) -> Result<(), String>,
    ) -> Result<Receipt, PushError> {
        let (signed, name) = Signed::parse(bytes)?;
        let (fact, verified) = self.verified(&signed, &name)?;
        may(verified.algorithm).map_err(PushError::Algorithm)?;
        let pushed = judge(fact, &verified, now_ms)?;
        let receipt = receipt(fact, &verified);
        self.take(fact, verified, pushed, now_ms, Some(&signed))?;
        Ok(receipt)
    }

    /// Takes back what was kept, when a node starts. What does not hold any more is left out, and said.
    pub fn restore(&self, kept: impl IntoIterator<Item = Signed>, now_ms: u64) -> Vec<PushError> {
        let mut problems = Vec::new();
        for signed in kept {
            let restored =
                signed.fact().and_then(|name| self.verified(&signed, &name)).and_then(|(fact, verified)| {
                    // Also what is too old or fits no more, so that nothing before it is taken again.
                    let record = record_of(fact, &verified).unwrap_or_default();
                    let age_ms = now_ms.saturating_sub(verified.as_of_ms);
                    let pushed = Pushed {
                        record,
                        issued_ms: verified.issued_ms,
                        as_of_ms: verified.as_of_ms,
                        age_ms,
                        at: Instant::now(),
                    };
                    self.take(fact, verified, pushed, now_ms, None)
                });
            problems.extend(restored.err());
        }
        problems
    }

    fn verified(&self, signed: &Signed, name: &str) -> Result<(&Arc<Fact>, Verified), PushError> {
        let unknown = || PushError::NoSuchFact(crate::absence::shown(name));
        let fact = self.facts.get(name).ok_or_else(unknown)?;
        let From::Push { signer_spki } = &fact.spec.from else { return Err(unknown()) };
        let verified = signed.verify(signer_spki)?;
        let fault = |needs| PushError::Key { fact: name.to_owned(), needs };
        match (&fact.spec.shape.key, &verified.statement.key) {
            (Some(_), None) => return Err(fault("has a key, and the statement names none")),
            (None, Some(_)) => return Err(fault("has no key, and the statement names one")),
            (Some(key_name), Some(key)) => key::check(key_name, key).map_err(PushError::Useless)?,
            (None, None) => {}
        }
        Ok((fact, verified))
    }

    fn take(
        &self,
        fact: &Arc<Fact>,
        verified: Verified,
        pushed: Pushed,
        now_ms: u64,
        keep: Option<&Signed>,
    ) -> Result<(), PushError> {
        let (name, key) = (&fact.spec.shape.name, verified.statement.key);
        fact.with_pushed(|all| {
            if all.get(&key).is_some_and(|last| last.issued_ms >= pushed.issued_ms) {
                return Err(PushError::Replayed);
            }
            if all.len() >= PUSHED_MAX && !all.contains_key(&key) {
                // Those too old to be used are too old to be taken again, too.
                all.retain(|key, old| {
                    let young = now_ms.saturating_sub(old.as_of_ms) <= fact.spec.max_age_ms;
                    if let (false, Some(keep)) = (young, &self.keep) {
                        keep.forget(name, key.as_deref());
                    }
                    young
                });
            }
            if all.len() >= PUSHED_MAX && !all.contains_key(&key) {
                return Err(PushError::Full(PUSHED_MAX));
            }
            if let (Some(signed), Some(keep)) = (keep, &self.keep) {
                keep.keep(name, key.as_deref(), signed).map_err(PushError::Unkept)?;
            }
            all.insert(key, pushed);
            Ok(())
        })
    }
}

impl Gathered {
    fn tell(&mut self, name: &str, (source, key): (&'static str, Option<String>), found: Found) {
        if let Some(record) = &found.record {
            self.values.insert(name, Map::clone(record));
        }
        let (age_ms, outcome) = (found.age_ms, found.outcome);
        self.used.push(FactUse { name: name.to_owned(), key, age_ms, source, outcome });
    }
}

fn is_same(old: &Spec, new: &Spec) -> bool {
    old.shape == new.shape
        && old.max_age_ms == new.max_age_ms
        && old.deadline_ms == new.deadline_ms
        && old.from.is_same(&new.from)
}

/// What a statement says, if it can be used now.
fn judge(fact: &Fact, verified: &Verified, now_ms: u64) -> Result<Pushed, PushError> {
    let ahead_ms = verified.issued_ms.saturating_sub(now_ms);
    if ahead_ms > SKEW_MS_MAX {
        return Err(PushError::Useless(Absence::Future { ahead_ms, skew_ms_max: SKEW_MS_MAX }));
    }
    let age_ms = now_ms.saturating_sub(verified.as_of_ms);
    if age_ms > fact.spec.max_age_ms {
        return Err(PushError::Useless(Absence::Stale { age_ms, max_age_ms: fact.spec.max_age_ms }));
    }
    let record = record_of(fact, verified)?;
    let (issued_ms, as_of_ms) = (verified.issued_ms, verified.as_of_ms);
    Ok(Pushed { record, issued_ms, as_of_ms, age_ms, at: Instant::now() })
}

type Record = Option<Arc<Map<String, Value>>>;

fn record_of(fact: &Fact, verified: &Verified) -> Result<Record, PushError> {
    let Some(record) = &verified.statement.record else { return Ok(None) };
    let fitted = fitted(fact, verified.statement.key.as_deref(), record);
    Ok(Some(Arc::new(fitted.map_err(PushError::Useless)?)))
}

fn fitted(
    fact: &Fact,
    key: Option<&str>,
    record: &Map<String, Value>,
) -> Result<Map<String, Value>, Absence> {
    let shape = &fact.spec.shape;
    shape::is_about(shape, record, key).and_then(|()| shape::fit(shape, record.clone()))
}

fn receipt(fact: &Fact, verified: &Verified) -> Receipt {
    Receipt {
        fact: fact.spec.shape.name.clone(),
        key: verified.statement.key.clone(),
        issued_ms: verified.issued_ms,
        until_ms: verified.as_of_ms.saturating_add(fact.spec.max_age_ms),
        withdrawn: verified.statement.record.is_none(),
    }
}

impl fmt::Debug for Facts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.facts.keys()).finish()
    }
}
