//! Who may not be let in any more, though its certificate still holds.
//!
//! Certificates are short-lived, but minutes are long when a key is stolen. A revocation takes effect at once: it is held
//! in memory, asked when a link begins (stage 3) and on each call (stage 5), where it costs one atomic load while nothing
//! has changed ([`Revocations::generation`]). Cutting the links that are there, and keeping revocations over a restart, is
//! the part of whoever owns links and store.
//!
//! ```
//! use lockgate_identity::{Revocation, Revocations, Subject, Target};
//!
//! let revocations = Revocations::default();
//! let target = Target::parse("agent/build-*", "example.org")?;
//! revocations.add(Revocation::new(target, "ann", "its key was in a log", 1_000))?;
//! let subject = Subject { agent: "spiffe://example.org/agent/build-7", ..Subject::default() };
//! let refused = revocations.check(&subject, 2_000).unwrap_err();
//! assert_eq!(refused.code(), "LG-I410");
//! # Ok::<(), lockgate_identity::RevocationError>(())
//! ```

mod subject;
mod target;

use std::collections::HashMap;
use std::fmt;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use target::fits;

pub use subject::{Check, Revoked, Subject};
pub use target::Target;

/// Revocations at once. Each takes about 300 bytes; a fleet of agents is revoked by a pattern or a role.
pub const REVOCATIONS_MAX: usize = 10_000;

/// Those of them that are patterns: unlike the others they are tried one by one.
pub const PATTERNS_MAX: usize = 256;

/// Longest reason in bytes: a sentence for a record.
pub const REASON_BYTES_MAX: usize = 512;

/// Why something cannot be revoked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RevocationError {
    /// A text that names nothing.
    #[error("{text} cannot be revoked: {reason}")]
    Target {
        /// The text, quoted and shortened.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The reason is no sentence.
    #[error("the reason is longer than {REASON_BYTES_MAX} bytes")]
    Reason,
    /// There are too many.
    #[error(
        "{limit} {what} are in force, which is the limit; restore those that are not needed, or revoke a role"
    )]
    TooMany {
        /// Of what.
        what: &'static str,
        /// The limit.
        limit: usize,
    },
}

/// One revocation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocation {
    /// What.
    pub target: Target,
    /// Who revoked it: a person, or the policy that killed a call.
    pub by: String,
    /// Why.
    pub reason: String,
    /// Since when, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Until when, in milliseconds since the Unix epoch; none is until somebody restores it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until_ms: Option<u64>,
    /// The agent that it was revoked together with, and is restored with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub along_with: Option<Target>,
}

impl Revocation {
    /// A revocation without an end.
    pub fn new(target: Target, by: &str, reason: &str, since_ms: u64) -> Self {
        Self {
            target,
            by: by.to_owned(),
            reason: reason.to_owned(),
            since_ms,
            until_ms: None,
            along_with: None,
        }
    }

    /// Whether it holds at a moment.
    pub fn holds(&self, now_ms: u64) -> bool {
        self.until_ms.is_none_or(|until| now_ms < until)
    }
}

/// The revocations in force on this node.
///
/// Readers never wait. The generation counts changes: who was found in order under a generation still is while it stays
/// the same, because nothing is revoked without it, and only what ends by itself leaves without it.
#[derive(Default)]
pub struct Revocations {
    generation: AtomicU64,
    table: ArcSwap<Table>,
    turn: Mutex<()>,
}

#[derive(Clone, Default)]
struct Table {
    exact: HashMap<Target, Revocation>,
    patterns: Vec<Revocation>,
}

impl Table {
    fn all(&self) -> impl Iterator<Item = &Revocation> {
        self.exact.values().chain(&self.patterns)
    }

    fn get(&self, target: &Target) -> Option<&Revocation> {
        match target.is_pattern() {
            true => self.patterns.iter().find(|revocation| revocation.target == *target),
            false => self.exact.get(target),
        }
    }

    fn put(&mut self, revocation: Revocation) {
        self.remove(&revocation.target);
        match revocation.target.is_pattern() {
            true => self.patterns.push(revocation),
            false => drop(self.exact.insert(revocation.target.clone(), revocation)),
        }
    }

    fn remove(&mut self, target: &Target) {
        self.exact.remove(target);
        self.patterns.retain(|revocation| revocation.target != *target);
    }

    fn prune(&mut self, now_ms: u64) {
        self.exact.retain(|_, revocation| revocation.holds(now_ms));
        self.patterns.retain(|revocation| revocation.holds(now_ms));
    }
}

impl Revocations {
    /// Those that were kept from before. None is left out, whatever the limits say: they bound what is added.
    pub fn of(kept: impl IntoIterator<Item = Revocation>) -> Self {
        let mut table = Table::default();
        kept.into_iter().for_each(|revocation| table.put(revocation));
        Self { generation: AtomicU64::new(0), table: ArcSwap::from_pointee(table), turn: Mutex::default() }
    }

    /// Counts changes.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Whether `subject` may be let in. To be sure that a change in between is not missed, read
    /// [`Revocations::generation`] first.
    ///
    /// # Errors
    /// The first check that fails, in the order agent, key, certificate, token, role.
    pub fn check(&self, subject: &Subject<'_>, now_ms: u64) -> Result<(), Revoked> {
        let table = self.table.load();
        if table.exact.is_empty() && table.patterns.is_empty() {
            return Ok(());
        }
        let found = |check: Check, target: Target| {
            let revocation = table.exact.get(&target).filter(|revocation| revocation.holds(now_ms))?;
            Some(Revoked { check, revocation: Box::new(revocation.clone()) })
        };
        let pattern = || {
            let fits = |revocation: &&Revocation| match &revocation.target {
                Target::Agent(pattern) => revocation.holds(now_ms) && fits(pattern, subject.agent),
                _ => false,
            };
            let revocation = Box::new(table.patterns.iter().find(fits)?.clone());
            Some(Revoked { check: Check::Agent, revocation })
        };
        let owned = |text: Option<&str>| text.map(str::to_owned);
        let role = || subject.roles.iter().find_map(|role| found(Check::Role, Target::Role(role.clone())));
        let revoked = found(Check::Agent, Target::Agent(subject.agent.to_owned()))
            .or_else(pattern)
            .or_else(|| found(Check::Key, Target::Key(owned(subject.key)?)))
            .or_else(|| found(Check::Certificate, Target::Certificate(owned(subject.serial)?)))
            .or_else(|| found(Check::Token, Target::Token(owned(subject.token)?)))
            .or_else(role);
        revoked.map_or(Ok(()), Err)
    }

    /// Revokes, from the moment that this returns. Whether it was not revoked before; what was is replaced, except that an
    /// end is never brought nearer by it.
    ///
    /// # Errors
    /// [`RevocationError::TooMany`] or [`RevocationError::Reason`].
    pub fn add(&self, revocation: Revocation) -> Result<bool, RevocationError> {
        if revocation.reason.len() > REASON_BYTES_MAX {
            return Err(RevocationError::Reason);
        }
        self.change(|table| {
            let now_ms = revocation.since_ms;
            let before = table.get(&revocation.target).filter(|before| before.holds(now_ms));
            if let Some(before) = before {
                let later = match (before.until_ms, revocation.until_ms) {
                    (Some(before), Some(now)) => Some(before.max(now)),
                    _ => None,
                };
                let replaced = Revocation { until_ms: later, ..revocation };
                table.put(replaced);
                return Ok((false, true));
            }
            table.prune(now_ms);
            if table.exact.len() + table.patterns.len() >= REVOCATIONS_MAX {
                return Err(RevocationError::TooMany { what: "revocations", limit: REVOCATIONS_MAX });
            }
            if revocation.target.is_pattern() && table.patterns.len() >= PATTERNS_MAX {
                return Err(RevocationError::TooMany { what: "patterns", limit: PATTERNS_MAX });
            }
            table.put(revocation);
            Ok((true, true))
        })
    }

    /// Restores a target, and what was revoked along with it. Gives all that was lifted; nothing if nothing was revoked.
    pub fn restore(&self, target: &Target) -> Vec<Revocation> {
        let lifted = self.change(|table| {
            let is_meant = |revocation: &&Revocation| {
                revocation.target == *target || revocation.along_with.as_ref() == Some(target)
            };
            let lifted: Vec<Revocation> = table.all().filter(is_meant).cloned().collect();
            lifted.iter().for_each(|revocation| table.remove(&revocation.target));
            let changed = !lifted.is_empty();
            Ok::<_, std::convert::Infallible>((lifted, changed))
        });
        match lifted {
            Ok(lifted) => lifted,
        }
    }

    /// What is in force, the newest first.
    pub fn list(&self, now_ms: u64) -> Vec<Revocation> {
        let table = self.table.load();
        let mut all: Vec<Revocation> = table.all().filter(|one| one.holds(now_ms)).cloned().collect();
        all.sort_by(|a, b| b.since_ms.cmp(&a.since_ms).then_with(|| a.target.cmp(&b.target)));
        all
    }

    fn change<T, E>(&self, step: impl FnOnce(&mut Table) -> Result<(T, bool), E>) -> Result<T, E> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut table = Table::clone(&self.table.load());
        let (given, changed) = step(&mut table)?;
        if changed {
            self.table.store(table.into());
            self.generation.fetch_add(1, Ordering::Release);
        }
        Ok(given)
    }
}

impl fmt::Debug for Revocations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let table = self.table.load();
        f.debug_struct("Revocations")
            .field("generation", &self.generation())
            .field("count", &table.all().count())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
#[path = "tests/revocation.rs"]
mod tests;
