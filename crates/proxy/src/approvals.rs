//! Calls that wait for a person.
//!
//! A call that policy holds is answered at once: it waits under an id, nothing was done, and the caller may make it again
//! later. A person looks at the whole call and approves or rejects it. An approval lets it pass once, within its time, and
//! for exactly the call that was looked at: agent, server, method, name and arguments are all in its digest.
//!
//! What waits is on the disk before the caller hears of it, and an approval is off the disk before the call goes on, so
//! that a restart neither loses a question nor answers one twice.

mod held;

use std::collections::HashMap;

use lockgate_crypto::{digest, random};
use lockgate_policy::Approval;
use lockgate_store::{Store, StoreError};
use parking_lot::Mutex;

pub use held::{ApprovalError, HeldCall, Question, Standing};

/// The part of the store that holds calls that wait.
pub const APPROVALS: &str = "approvals";

/// Calls that wait at once. More than people would look at in a day.
pub const HELD_MAX: usize = 1000;

/// Those of them that one agent may have: none can take the room of all others.
pub const HELD_PER_AGENT_MAX: usize = 64;

/// Largest arguments of a call that may wait, with what counts beside them, in bytes: a person must be able to read all of it.
pub const ARGUMENTS_BYTES_MAX: usize = 64 << 10;

/// How long a call waits, in milliseconds: a weekend, so that what is asked on Friday can be answered on Monday.
pub const WAIT_MS: u64 = 72 * 3600 * 1000;

/// How long an approval is good when nobody says otherwise, in seconds.
pub const APPROVAL_S: u64 = 600;

/// Longest time that an approval may be good, in seconds: a day. What is to be allowed for longer is a policy.
pub const APPROVAL_S_MAX: u64 = 24 * 3600;

/// How long a rejection is told to a caller that asks again, in milliseconds. After that the question may be put anew.
pub const REJECTION_MS: u64 = 24 * 3600 * 1000;

/// When a caller may sensibly ask again, in milliseconds: people take their time.
pub const RETRY_MS: u64 = 30_000;

/// Longest reason of a rejection in bytes: a sentence, which a model reads.
pub const REASON_BYTES_MAX: usize = 512;

/// Random bytes of an id. It is no secret; it must only be unlike every other.
const ID_BYTES: usize = 6;

/// The calls of a node that wait. All methods that change something wait for the disk.
pub struct Approvals {
    store: Store,
    table: Mutex<HashMap<String, HeldCall>>,
    /// Held by the one who changes something, so that memory and disk change in the same order.
    turn: Mutex<()>,
}

impl Approvals {
    /// Those that were kept, and still matter at `now_ms`.
    ///
    /// # Errors
    /// The store cannot be read.
    pub fn load(store: Store, now_ms: u64) -> Result<Self, StoreError> {
        let mut table = HashMap::new();
        for (id, call) in store.list_json::<HeldCall>(APPROVALS, "")? {
            match now_ms < call.until_ms {
                true => drop(table.insert(id, call)),
                false => drop(store.delete(APPROVALS, &id)?),
            }
        }
        Ok(Self { store, table: Mutex::new(table), turn: Mutex::default() })
    }

    /// All of them, oldest first.
    pub fn list(&self, now_ms: u64) -> Vec<HeldCall> {
        let table = self.table.lock();
        let mut all: Vec<HeldCall> = table.values().filter(|call| now_ms < call.until_ms).cloned().collect();
        all.sort_by(|a, b| (a.since_ms, &a.id).cmp(&(b.since_ms, &b.id)));
        all
    }

    /// How many wait for a decision.
    pub fn pending(&self, now_ms: u64) -> usize {
        let waits = |call: &&HeldCall| call.standing == Standing::Pending && now_ms < call.until_ms;
        self.table.lock().values().filter(waits).count()
    }

    /// The call of this id.
    ///
    /// # Errors
    /// [`ApprovalError::Unknown`].
    pub fn get(&self, id: &str, now_ms: u64) -> Result<HeldCall, ApprovalError> {
        let found = self.table.lock().get(id).filter(|call| now_ms < call.until_ms).cloned();
        found.ok_or_else(|| ApprovalError::Unknown(id.to_owned()))
    }

    /// The approval of the call of this digest, if there is one. It stays until it is [taken](Self::take).
    pub fn approval(&self, digest: &str, now_ms: u64) -> Option<Approval> {
        let call = self.find(digest, now_ms)?;
        let Standing::Approved { by } = call.standing else { return None };
        Some(Approval { digest: call.question.digest, policies: call.question.policies, by })
    }

    fn find(&self, digest: &str, now_ms: u64) -> Option<HeldCall> {
        let table = self.table.lock();
        table.values().find(|call| call.question.digest == digest && now_ms < call.until_ms).cloned()
    }

    /// Uses an approval up. Whether it was still there: of two calls at once, one gets it.
    ///
    /// # Errors
    /// The store: then the call must not go on, because the approval would be good again after a restart.
    pub fn take(&self, digest: &str, now_ms: u64) -> Result<bool, StoreError> {
        let _turn = self.turn.lock();
        let Some(call) = self.find(digest, now_ms) else { return Ok(false) };
        if !matches!(call.standing, Standing::Approved { .. }) {
            return Ok(false);
        }
        self.store.delete(APPROVALS, &call.id)?;
        self.table.lock().remove(&call.id);
        Ok(true)
    }

    /// Has a call wait. One that waits or was decided already stays as it is, unless other policies hold it by now.
    ///
    /// # Errors
    /// [`ApprovalError`].
    pub fn park(&self, question: Question, now_ms: u64) -> Result<HeldCall, ApprovalError> {
        let _turn = self.turn.lock();
        let known = self.find(&question.digest, now_ms);
        match known.filter(|known| known.question.policies == question.policies) {
            Some(known) => Ok(known),
            None => self.wait(question, now_ms),
        }
    }

    /// Has a call wait whose approval did not suffice.
    ///
    /// # Errors
    /// [`ApprovalError`].
    pub fn park_anew(&self, question: Question, now_ms: u64) -> Result<HeldCall, ApprovalError> {
        let _turn = self.turn.lock();
        self.wait(question, now_ms)
    }

    fn wait(&self, question: Question, now_ms: u64) -> Result<HeldCall, ApprovalError> {
        self.prune(now_ms)?;
        let texts = question.arguments.iter().chain(&question.beside);
        if texts.map(String::len).sum::<usize>() > ARGUMENTS_BYTES_MAX {
            return Err(ApprovalError::TooLarge);
        }
        let before = self.find(&question.digest, now_ms);
        if before.is_none() {
            self.check_room(&question.agent)?;
        }
        let id = before.map_or_else(new_id, |known| known.id);
        let until_ms = now_ms.saturating_add(WAIT_MS);
        let call = HeldCall { id, question, since_ms: now_ms, until_ms, standing: Standing::Pending };
        self.keep(&call)?;
        Ok(call)
    }

    fn check_room(&self, agent: &str) -> Result<(), ApprovalError> {
        let table = self.table.lock();
        if table.len() >= HELD_MAX {
            return Err(ApprovalError::TooMany { whose: "of all agents", limit: HELD_MAX });
        }
        let own = table.values().filter(|call| call.question.agent == agent).count();
        if own >= HELD_PER_AGENT_MAX {
            return Err(ApprovalError::TooMany { whose: "of this agent", limit: HELD_PER_AGENT_MAX });
        }
        Ok(())
    }

    /// Approves a call: once, for `lifetime_s` seconds from `now_ms` on.
    ///
    /// # Errors
    /// [`ApprovalError`].
    pub fn approve(
        &self,
        id: &str,
        by: &str,
        lifetime_s: Option<u64>,
        now_ms: u64,
    ) -> Result<HeldCall, ApprovalError> {
        let lifetime_s = lifetime_s.unwrap_or(APPROVAL_S);
        if !(1..=APPROVAL_S_MAX).contains(&lifetime_s) {
            return Err(ApprovalError::Bounds(
                "an approval is good for a second at least and for a day at most",
            ));
        }
        let until_ms = now_ms.saturating_add(lifetime_s * 1000);
        self.decide(id, now_ms, until_ms, Standing::Approved { by: by.to_owned() })
    }

    /// Rejects a call.
    ///
    /// # Errors
    /// [`ApprovalError`].
    pub fn reject(&self, id: &str, by: &str, reason: &str, now_ms: u64) -> Result<HeldCall, ApprovalError> {
        if reason.len() > REASON_BYTES_MAX {
            return Err(ApprovalError::Bounds("the reason is longer than 512 bytes"));
        }
        let standing = Standing::Rejected { by: by.to_owned(), reason: reason.to_owned() };
        self.decide(id, now_ms, now_ms.saturating_add(REJECTION_MS), standing)
    }

    fn decide(
        &self,
        id: &str,
        now_ms: u64,
        until_ms: u64,
        standing: Standing,
    ) -> Result<HeldCall, ApprovalError> {
        let _turn = self.turn.lock();
        let call = self.get(id, now_ms)?;
        let was = call.standing.name();
        match call.standing {
            Standing::Pending => {}
            Standing::Approved { by } | Standing::Rejected { by, .. } => {
                return Err(ApprovalError::Decided { id: call.id, was, by });
            }
        }
        let decided = HeldCall { until_ms, standing, ..call };
        self.keep(&decided)?;
        Ok(decided)
    }

    /// On the disk first: what cannot be kept is as it was.
    fn keep(&self, call: &HeldCall) -> Result<(), StoreError> {
        self.store.put_json(APPROVALS, &call.id, call)?;
        self.table.lock().insert(call.id.clone(), call.clone());
        Ok(())
    }

    fn prune(&self, now_ms: u64) -> Result<(), StoreError> {
        let over: Vec<String> = {
            let table = self.table.lock();
            table.values().filter(|call| call.until_ms <= now_ms).map(|call| call.id.clone()).collect()
        };
        for id in over {
            self.store.delete(APPROVALS, &id)?;
            self.table.lock().remove(&id);
        }
        Ok(())
    }
}

fn new_id() -> String {
    let mut bytes = [0; ID_BYTES];
    random::fill(&mut bytes);
    digest::hex(&bytes)
}

#[cfg(test)]
mod tests;
