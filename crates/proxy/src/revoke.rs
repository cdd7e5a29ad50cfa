//! Revocation takes effect: links are cut, and it is kept.
//!
//! The order is that of urgency. A revocation is in force in memory first, then the links of those whom it covers are
//! cut, and only then is it kept and recorded: both wait for the disk, and a stolen key must not gain that time. What
//! cannot be kept is in force all the same, and whoever revoked is told that a restart would forget it.

use std::sync::atomic::Ordering;

use lockgate_audit::{AuditError, Durability, Kind, Outcome, Record};
use lockgate_crypto::digest;
use lockgate_identity::{Caller, Revocation, RevocationError, Revocations, Revoked, Subject, Target};
use lockgate_store::{Store, StoreError};

use crate::link::LinkContext;
use crate::node::Node;

/// The part of the store that holds revocations.
pub const REVOCATIONS: &str = "revocations";

/// Why a revocation, or its end, is not as it should be.
#[derive(Debug, thiserror::Error)]
pub enum RevokeError {
    /// It is none, or there are too many.
    #[error(transparent)]
    Revocation(#[from] RevocationError),
    /// Nothing is revoked under this target.
    #[error("{0} is not revoked")]
    Unknown(Target),
    /// It is in force, and would not be after a restart.
    #[error("it is in force now, but cannot be kept: {0}")]
    Unkept(#[from] StoreError),
    /// It is in force and kept, but not recorded.
    #[error("it is in force now, but cannot be recorded: {0}")]
    Unrecorded(#[from] AuditError),
}

/// What a revocation did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// Whether its target was not revoked before.
    pub is_new: bool,
    /// Links that were cut for it.
    pub links: usize,
}

/// The revocations that were kept, and still hold at `now_ms`. Those that have ended are forgotten.
///
/// # Errors
/// The store cannot be read. A node must not start then: it would let in whom it had locked out.
pub fn load(store: &Store, now_ms: u64) -> Result<Revocations, StoreError> {
    let mut held = Vec::new();
    for (key, revocation) in store.list_json::<Revocation>(REVOCATIONS, "")? {
        match revocation.holds(now_ms) {
            true => held.push(revocation),
            false => drop(store.delete(REVOCATIONS, &key)?),
        }
    }
    Ok(Revocations::of(held))
}

fn key(target: &Target) -> String {
    digest::hex(&digest::sha256(target.to_string().as_bytes()))
}

impl Node {
    /// Revokes: in force, and links cut, when this returns; kept and recorded, too, unless the error says otherwise. Waits
    /// for the disk.
    ///
    /// # Errors
    /// [`RevokeError`].
    pub fn revoke(&self, revocation: Revocation) -> Result<Cut, RevokeError> {
        let is_new = self.revocations.add(revocation.clone())?;
        let links = self.cut_revoked(None);
        self.keep_revocation(&revocation)?;
        let record = Record {
            agent: Some(revocation.by.as_str().into()),
            method: Some("identity/revoke".into()),
            name: Some(revocation.target.to_string().into()),
            reason: Some(revocation.reason.as_str().into()),
            count: u64::try_from(links).ok(),
            ..Record::new(Kind::Identity, Outcome::Ok)
        };
        self.append(&record, Durability::Durable)?;
        Ok(Cut { is_new, links })
    }

    /// Restores a target and what was revoked along with it. Recorded first: what cannot be recorded is not done.
    ///
    /// # Errors
    /// [`RevokeError`].
    pub fn restore(&self, target: &Target, by: &str) -> Result<Vec<Revocation>, RevokeError> {
        let is_there = self.revocations.list(self.now_ms()).iter().any(|one| one.target == *target);
        if !is_there {
            return Err(RevokeError::Unknown(target.clone()));
        }
        let record = Record {
            agent: Some(by.into()),
            method: Some("identity/restore".into()),
            name: Some(target.to_string().into()),
            ..Record::new(Kind::Identity, Outcome::Ok)
        };
        self.append(&record, Durability::Durable)?;
        let lifted = self.revocations.restore(target);
        self.count_revocations();
        for revocation in &lifted {
            self.store.delete(REVOCATIONS, &key(&revocation.target))?;
        }
        Ok(lifted)
    }

    /// Whether the peer of `link` may go on: one atomic load while nothing was revoked since it was last asked.
    ///
    /// # Errors
    /// By what it is revoked.
    pub(crate) fn check_revoked(&self, link: &LinkContext) -> Result<(), Revoked> {
        let generation = self.revocations.generation();
        if link.in_order.load(Ordering::Relaxed) == generation + 1 {
            return Ok(());
        }
        for caller in link.caller.everybody() {
            let roles = self.roles(caller);
            self.revocations.check(&Subject::of(caller, &roles), self.now_ms())?;
        }
        link.in_order.store(generation + 1, Ordering::Relaxed);
        Ok(())
    }

    /// All roles of a caller: by its registration and by policy files.
    fn roles(&self, caller: &Caller) -> Vec<String> {
        let mut roles = self.policies.load().roles(caller);
        roles.extend(caller.roles.iter().cloned());
        roles
    }

    /// Cuts the links of all who are revoked by now, but for the one numbered `spare`. Gives their number.
    pub(crate) fn cut_revoked(&self, spare: Option<u64>) -> usize {
        let mut cut = 0;
        for link in self.links.everybody() {
            if spare == Some(link.number) || link.kill.is_cancelled() {
                continue;
            }
            if let Err(revoked) = self.check_revoked(&link) {
                link.kill.cancel();
                cut += 1;
                self.metrics.enforcement.links_cut.inc();
                tracing::warn!(target: "lockgate::bind", link = link.number, agent = %link.caller.agent, why = %revoked.in_full(), "link cut");
            }
        }
        self.count_revocations();
        cut
    }

    /// Keeps a revocation over a restart.
    pub(crate) fn keep_revocation(&self, revocation: &Revocation) -> Result<(), StoreError> {
        self.store.put_json(REVOCATIONS, &key(&revocation.target), revocation)
    }

    fn count_revocations(&self) {
        let count = self.revocations.list(self.now_ms()).len();
        self.metrics.enforcement.revocations.set(i64::try_from(count).unwrap_or(i64::MAX));
    }
}
