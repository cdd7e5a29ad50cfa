//! Continuity: what peers are held to because they were seen at it, kept in the store off the data path.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockgate_audit::{Kind, Outcome, Record};
use lockgate_crypto::Capabilities;
use lockgate_detect::links::{
    BELOW_COMMITMENT, Commitment, Failed, InForce as Lists, LinkFinding, LinkWatch, Seen,
};
use lockgate_store::{Store, StoreError};
use parking_lot::Mutex;

use super::peers::name_of;
use super::verdict::{Cause, RefusedPeer};
use crate::face::{Face, LinkRefused};
use crate::link::LinkContext;
use crate::node::{COMMITMENTS, Node};

/// Commitments that wait for the disk; while there are more, a new one is not kept until its peer's next link.
const WAITING_MAX: usize = 10_000;

/// Reads what peers are held to, for [`LinkWatch::new`].
///
/// # Errors
/// What the store says. Without commitments a peer could come back weaker unseen, so a node should not start then.
pub fn load(store: &Store) -> Result<Vec<Commitment>, StoreError> {
    Ok(store.list_json(COMMITMENTS, "")?.into_iter().map(|(_, commitment)| commitment).collect())
}

/// Watches links, and keeps what their peers are held to.
pub(crate) struct Keeper {
    pub(crate) watch: LinkWatch,
    store: Store,
    waiting: Arc<Mutex<Waiting>>,
}

/// By key in the store: what is to be written there, or nothing if the key is to be deleted.
#[derive(Default)]
struct Waiting {
    changes: BTreeMap<String, Option<Commitment>>,
    is_written: bool,
}

impl Keeper {
    pub(crate) fn new(watch: LinkWatch, store: Store) -> Self {
        Self { watch, store, waiting: Arc::default() }
    }

    pub(crate) fn forget(&self, peer: &str) -> bool {
        let key = self.watch.forget(peer);
        let was_known = key.is_some();
        self.keep(key.map(|key| (key, None)));
        was_known
    }

    /// Has what a peer is held to written soon.
    pub(crate) fn hold(&self, commitment: Option<Commitment>) {
        self.keep(commitment.map(|commitment| (commitment.key(), Some(commitment))));
    }

    /// Lets go of commitments that have ended.
    pub(crate) fn prune(&self, now_ms: u64) {
        self.keep(self.watch.prune(now_ms).into_iter().map(|key| (key, None)));
    }

    /// Has changes written soon, in one task at a time.
    fn keep(&self, changes: impl IntoIterator<Item = (String, Option<Commitment>)>) {
        let mut waiting = self.waiting.lock();
        for (key, change) in changes {
            if waiting.changes.len() < WAITING_MAX || change.is_none() || waiting.changes.contains_key(&key) {
                waiting.changes.insert(key, change);
            }
        }
        if waiting.changes.is_empty() || waiting.is_written {
            return;
        }
        waiting.is_written = true;
        let (store, waiting) = (self.store.clone(), self.waiting.clone());
        // The store waits for the disk.
        drop(tokio::task::spawn_blocking(move || write(&store, &waiting)));
    }
}

fn write(store: &Store, waiting: &Mutex<Waiting>) {
    loop {
        let next = {
            let mut waiting = waiting.lock();
            let next = waiting.changes.pop_first();
            waiting.is_written = next.is_some();
            next
        };
        let Some((key, change)) = next else { return };
        let written = match &change {
            Some(commitment) => store.put_json(COMMITMENTS, &key, commitment),
            None => store.delete(COMMITMENTS, &key).map(drop),
        };
        if let Err(error) = written {
            tracing::error!(target: "lockgate::secure", %error, "what a peer is held to could not be kept");
        }
    }
}

impl Node {
    /// What peers are held to because they were seen at it.
    pub fn commitments(&self) -> Vec<Commitment> {
        self.agility.continuity.watch.commitments()
    }

    /// The watch over links, to tell it of a changed configuration or of links that this node dialled.
    pub fn link_watch(&self) -> &LinkWatch {
        &self.agility.continuity.watch
    }

    /// Takes up a link that has entered.
    ///
    /// # Errors
    /// The peer was seen at a better level before, and is to be held to that.
    pub(crate) fn observe_link(
        &self,
        link: &LinkContext,
        offered: Option<&Capabilities>,
    ) -> Result<(), Box<RefusedPeer>> {
        let Some(posture) = &link.posture else { return Ok(()) };
        let standing = self.agility.standing();
        // What comes of an epoch that is not in force yet cannot be held against what is.
        if posture.epoch > standing.in_force.epoch {
            return Ok(());
        }
        let now_ms = self.now_ms();
        let Some(suite) = standing.in_force.rule(&link.listener, &link.caller.agent, now_ms) else {
            return Ok(());
        };
        let seen = Seen {
            peer: &name_of(link),
            address: link.peer.map(|peer| peer.ip()),
            listener: &link.listener,
            posture,
            offered,
            in_force: Lists::of(suite),
            epoch: standing.in_force.epoch,
            now_ms,
        };
        let seen = self.agility.continuity.watch.observe(&seen);
        let outcome = if seen.refuse { Outcome::Refused } else { Outcome::Ok };
        for finding in &seen.findings {
            self.note_link_finding(finding, outcome);
        }
        self.agility.continuity.hold(seen.commitment);
        let below = |finding: &LinkFinding| finding.id == BELOW_COMMITMENT;
        match seen.findings.into_iter().find(below) {
            Some(worst) if seen.refuse => {
                let cause = Cause::Continuity { finding: worst.id.to_owned(), reason: worst.reason };
                Err(RefusedPeer::of(link, posture, cause))
            }
            _ => Ok(()),
        }
    }

    /// Takes up a handshake that failed.
    pub(crate) fn observe_failure(&self, face: &Face, address: std::net::IpAddr, refused: &LinkRefused) {
        let offered = refused.offered();
        let failed = Failed {
            address,
            listener: &face.name,
            offered,
            quantum_safe_offered: offered.is_some_and(Capabilities::offers_quantum_safe_group),
            now_ms: self.now_ms(),
        };
        for finding in self.agility.continuity.watch.observe_failure(&failed) {
            self.note_link_finding(&finding, Outcome::Ok);
        }
    }

    pub(crate) fn note_link_finding(&self, finding: &LinkFinding, outcome: Outcome) {
        let LinkFinding { id, severity, peer, listener, reason, evidence } = finding;
        self.metrics.link_finding(id, listener);
        tracing::warn!(target: "lockgate::secure", id, ?severity, %peer, %listener, %reason, "finding on a link");
        self.note(&Record {
            stage: Some("verify".into()),
            agent: Some(peer.as_str().into()),
            name: Some(listener.as_str().into()),
            reason: Some(format!("{reason} ({evidence})").into()),
            findings: vec![(*id).to_owned()].into(),
            ..Record::new(Kind::Detect, outcome)
        });
    }
}

#[cfg(test)]
mod tests {
    use lockgate_detect::links::Continuity;

    use super::*;

    #[tokio::test]
    async fn what_is_forgotten_leaves_the_store() {
        let store = Store::in_memory().unwrap();
        store.put(COMMITMENTS, "gone", b"{}").unwrap();
        let mut changed = store.watch(COMMITMENTS);
        let keeper = Keeper::new(LinkWatch::new(Vec::new(), Continuity::default()), store.clone());
        keeper.keep([("gone".to_owned(), None)]);
        changed.changed().await.unwrap();
        assert!(load(&store).unwrap().is_empty());
    }
}
