//! Calls that wait for a person.
//!
//! A call that policy holds is answered at once: it waits under an id, nothing was done, and the caller may make it again
//! later. A person looks at the whole call and approves or rejects it. An approval lets it pass once, within its time, and
//! for exactly the call that was looked at: agent, server, method, name and arguments are all in its digest.
//!
//! What waits is on the disk before the caller hears of it, and an approval is off the disk before the call goes on, so
//! that a restart neither loses a question nor answers one twice.

use std::collections::HashMap;

use lockgate_crypto::{digest, random};
use lockgate_policy::Approval;
use lockgate_store::{Store, StoreError};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// The part of the store that holds calls that wait.
pub const APPROVALS: &str = "approvals";

/// Calls that wait at once. More than people would look at in a day.
pub const HELD_MAX: usize = 1000;

/// Those of them that one agent may have: none can take the room of all others.
pub const HELD_PER_AGENT_MAX: usize = 64;

/// Largest arguments of a call that may wait, in bytes: a person must be able to read all of them.
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

/// How a call that waits stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "state")]
pub enum Standing {
    /// Nobody has decided.
    Pending,
    /// It may be made once.
    Approved {
        /// Who approved it.
        by: String,
    },
    /// It may not be made.
    Rejected {
        /// Who rejected it.
        by: String,
        /// Why; may be empty.
        reason: String,
    },
}

impl Standing {
    /// In one word.
    pub fn name(&self) -> &'static str {
        match self {
            Standing::Pending => "pending",
            Standing::Approved { .. } => "approved",
            Standing::Rejected { .. } => "rejected",
        }
    }
}

/// What a held call is made of.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Question {
    /// The digest by which policy knows the call.
    pub digest: String,
    /// Who called.
    pub agent: String,
    /// Id of the server.
    pub server: String,
    /// MCP method.
    pub method: String,
    /// The tool, prompt, resource or task.
    pub name: Option<String>,
    /// The arguments, as they came.
    pub arguments: Option<String>,
    /// The policies that ask for the approval.
    pub policies: Vec<String>,
    /// Why, in one sentence.
    pub reason: String,
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Question")
            .field("digest", &self.digest)
            .field("agent", &self.agent)
            .field("server", &self.server)
            .field("method", &self.method)
            .field("name", &self.name)
            .field("arguments", &self.arguments.as_ref().map(|_| "[redacted]"))
            .field("policies", &self.policies)
            .finish_non_exhaustive()
    }
}

/// A call that waits, or was decided and not made since.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeldCall {
    /// What it is approved or rejected by.
    pub id: String,
    /// The call.
    #[serde(flatten)]
    pub question: Question,
    /// When it was first made, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Until when it waits, or the decision on it is good, in milliseconds since the Unix epoch.
    pub until_ms: u64,
    /// How it stands.
    #[serde(flatten)]
    pub standing: Standing,
}

/// Why a call cannot wait, or nothing can be decided about it.
#[derive(Debug, thiserror::Error)]
pub enum ApprovalError {
    /// Too many wait.
    #[error("{limit} calls {whose} wait for approval, which is the limit")]
    TooMany {
        /// Whose.
        whose: &'static str,
        /// The limit.
        limit: usize,
    },
    /// Nobody could read it.
    #[error("its arguments are larger than {ARGUMENTS_BYTES_MAX} bytes, more than a person would read")]
    TooLarge,
    /// Nothing waits under this id.
    #[error("no call waits under {0:?}")]
    Unknown(String),
    /// It was decided.
    #[error("{id} was {was} already by {by}")]
    Decided {
        /// Its id.
        id: String,
        /// `approved` or `rejected`.
        was: &'static str,
        /// By whom.
        by: String,
    },
    /// A lifetime or reason beyond its limit.
    #[error("{0}")]
    Bounds(&'static str),
    /// The store.
    #[error("it cannot be kept: {0}")]
    Unkept(#[from] StoreError),
}

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
        if question.arguments.as_ref().is_some_and(|arguments| arguments.len() > ARGUMENTS_BYTES_MAX) {
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
mod tests {
    use super::*;

    fn question(digest: &str, agent: &str) -> Question {
        Question {
            digest: digest.to_owned(),
            agent: agent.to_owned(),
            server: "bank".to_owned(),
            method: "tools/call".to_owned(),
            name: Some("pay".to_owned()),
            arguments: Some(r#"{"amount":9}"#.to_owned()),
            policies: vec!["large".to_owned()],
            reason: "it needs an approval".to_owned(),
        }
    }

    fn empty() -> Approvals {
        Approvals::load(Store::in_memory().unwrap(), 0).unwrap()
    }

    #[test]
    fn an_approval_is_good_once_within_its_time_and_for_its_digest() {
        let approvals = empty();
        let held = approvals.park(question("d", "a"), 1).unwrap();
        assert!(approvals.approval("d", 2).is_none() && !approvals.take("d", 2).unwrap());
        approvals.approve(&held.id, "ann", Some(10), 1_000).unwrap();
        assert!(approvals.approval("other", 1_001).is_none());
        let approval = approvals.approval("d", 10_999).unwrap();
        assert_eq!((approval.by.as_str(), approval.policies), ("ann", vec!["large".to_owned()]));
        assert!(approvals.approval("d", 11_000).is_none() && !approvals.take("d", 11_000).unwrap());
        assert!(approvals.take("d", 10_999).unwrap());
        assert!(!approvals.take("d", 10_999).unwrap(), "of two calls one gets it");
    }

    #[test]
    fn asking_again_changes_nothing_and_a_decision_is_final() {
        let approvals = empty();
        let held = approvals.park(question("d", "a"), 1).unwrap();
        assert_eq!(approvals.park(question("d", "a"), 500).unwrap(), held, "nor does it wait for longer");
        let rejected = approvals.reject(&held.id, "ann", "no", 2).unwrap();
        assert_eq!(approvals.park(question("d", "a"), 3).unwrap(), rejected);
        let again = approvals.approve(&held.id, "bob", None, 4).unwrap_err();
        assert!(
            matches!(&again, ApprovalError::Decided { was: "rejected", by, .. } if by == "ann"),
            "{again}"
        );
        assert!(approvals.approval("d", 5).is_none());
        let anew = approvals.park(question("d", "a"), 2 + REJECTION_MS).unwrap();
        assert_eq!(anew.standing, Standing::Pending);
    }

    #[test]
    fn what_was_approved_for_other_policies_waits_anew() {
        let approvals = empty();
        let held = approvals.park(question("d", "a"), 1).unwrap();
        approvals.approve(&held.id, "ann", None, 2).unwrap();
        let other = Question { policies: vec!["other".to_owned()], ..question("d", "a") };
        assert_eq!(approvals.park(other, 3).unwrap().standing, Standing::Pending);
        assert!(!approvals.take("d", 4).unwrap());
        approvals.approve(&held.id, "ann", None, 5).unwrap();
        let other = Question { policies: vec!["other".to_owned()], ..question("d", "a") };
        let approved = approvals.park(other.clone(), 6).unwrap();
        assert_eq!(
            approved.standing.name(),
            "approved",
            "a call that came just before its approval spoils nothing"
        );
        assert_eq!(approvals.park_anew(other, 7).unwrap().standing, Standing::Pending);
    }

    #[test]
    fn a_restart_loses_none_and_gives_none_twice() {
        let store = Store::in_memory().unwrap();
        let approvals = Approvals::load(store.clone(), 0).unwrap();
        let first = approvals.park(question("d", "a"), 1).unwrap();
        let second = approvals.park(question("e", "a"), 2).unwrap();
        approvals.approve(&first.id, "ann", None, 3).unwrap();
        let again = Approvals::load(store.clone(), 4).unwrap();
        assert_eq!(again.list(4), approvals.list(4));
        assert!(again.take("d", 5).unwrap());
        let third = Approvals::load(store.clone(), 6).unwrap();
        assert!(third.approval("d", 6).is_none());
        assert_eq!(third.get(&second.id, 6).unwrap(), second);
        assert!(Approvals::load(store, second.until_ms).unwrap().list(0).is_empty());
    }

    #[test]
    fn room_is_bounded_for_each_and_for_all() {
        let approvals = empty();
        for n in 0..HELD_PER_AGENT_MAX {
            approvals.park(question(&n.to_string(), "loud"), 1).unwrap();
        }
        let refused = approvals.park(question("x", "loud"), 1).unwrap_err();
        assert!(refused.to_string().contains("of this agent"), "{refused}");
        approvals.park(question("x", "quiet"), 1).unwrap();
        approvals.park(question("0", "loud"), 2).unwrap();
        approvals.park(question("y", "loud"), 1 + WAIT_MS).unwrap();
        assert_eq!(approvals.list(1 + WAIT_MS).len(), 1, "what waited too long is forgotten");
        let large = Question { arguments: Some("x".repeat(ARGUMENTS_BYTES_MAX + 1)), ..question("z", "a") };
        assert!(matches!(approvals.park(large, 1), Err(ApprovalError::TooLarge)));
        let held = approvals.park(question("b", "a"), 1).unwrap();
        for lifetime in [0, APPROVAL_S_MAX + 1, u64::MAX] {
            assert!(approvals.approve(&held.id, "ann", Some(lifetime), 1).is_err());
        }
        assert!(approvals.reject(&held.id, "ann", &"x".repeat(513), 1).is_err());
    }

    #[test]
    fn arguments_are_not_printed() {
        assert!(!format!("{:?}", question("d", "a")).contains("amount"));
    }
}
