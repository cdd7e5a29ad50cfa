//! What is in force for the links of a node: one epoch.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lockgate_crypto::Suite;

/// What every link of a node is held to, from one change to the next. The default is epoch 0 without a rule: a node that
/// was never told otherwise judges nothing.
#[derive(Clone, Debug, Default)]
pub struct InForce {
    /// Number of the change that made it; each change has a higher one.
    pub epoch: u64,
    /// The rule of each listener, by [`Face::name`](crate::face::Face::name). Links of a listener without one stay.
    pub listeners: BTreeMap<Arc<str>, ListenerRule>,
    /// Fingerprint of the trust bundle in force, as peers pin it.
    pub authority: String,
    /// Sequence number of that bundle.
    pub bundle_sequence: u64,
}

/// What one listener holds its links to.
#[derive(Clone, Debug)]
pub struct ListenerRule {
    /// What the listener's profile compiles to. What its handshakes accept may be more, for the sake of exceptions.
    pub suite: Suite,
    /// Peers that are held to something else for a while.
    pub exceptions: Vec<PeerRule>,
}

/// An exception for a peer. It always ends.
#[derive(Clone, Debug)]
pub struct PeerRule {
    /// An agent's id, or the beginning of ids before a final `*`.
    pub peer: String,
    /// What its links are held to instead.
    pub suite: Suite,
    /// Its end, in milliseconds since the Unix epoch.
    pub expires_ms: u64,
}

impl InForce {
    /// What a link of `peer` on `listener` is held to at `now_ms`: the exception that names the peer most exactly and has
    /// not ended, else the listener's own suite. None if there is no rule for the listener.
    pub fn rule(&self, listener: &str, peer: &str, now_ms: u64) -> Option<&Suite> {
        let rule = self.listeners.get(listener)?;
        let exceptions = rule.exceptions.iter().filter(|exception| now_ms < exception.expires_ms);
        let closest =
            exceptions.filter_map(|e| Some((e.closeness(peer)?, e))).max_by_key(|(close, _)| *close);
        Some(closest.map_or(&rule.suite, |(_, exception)| &exception.suite))
    }

    /// When the next exception ends after `now_ms`.
    pub(crate) fn next_end_ms(&self, now_ms: u64) -> Option<u64> {
        let exceptions = self.listeners.values().flat_map(|rule| &rule.exceptions);
        exceptions.map(|exception| exception.expires_ms).filter(|end| *end > now_ms).min()
    }
}

impl PeerRule {
    /// How exactly it names `peer`; none if it does not.
    fn closeness(&self, peer: &str) -> Option<usize> {
        match self.peer.strip_suffix('*') {
            Some(beginning) => peer.starts_with(beginning).then_some(beginning.len()),
            None => (self.peer == peer).then_some(usize::MAX),
        }
    }
}

/// How fast links follow a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Move {
    /// Links that may not stay leave at moments spread over this time, so that their peers do not all dial at once.
    pub within: Duration,
    /// What is left after this time is cut.
    pub deadline: Duration,
}

impl Move {
    /// At once: what may not stay is cut before the change returns.
    pub const NOW: Self = Self { within: Duration::ZERO, deadline: Duration::ZERO };

    /// Before the deadline, when those are asked to leave that were told and are still here.
    const LAST_CALL_S_MAX: u64 = 2;

    /// The same, with all moments before the deadline.
    pub(crate) fn bounded(self) -> Self {
        Self { within: self.within.min(self.deadline), ..self }
    }

    /// When those are asked to leave who have not by themselves.
    pub(crate) fn last_call(self) -> Duration {
        self.deadline - (self.deadline / 5).min(Duration::from_secs(Self::LAST_CALL_S_MAX))
    }
}

/// A change that is older than what is in force.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "epoch {offered} cannot follow epoch {in_force}, which is in force; number the change anew and publish it again"
)]
pub struct NotNewer {
    /// The epoch of the change.
    pub offered: u64,
    /// The epoch in force.
    pub in_force: u64,
}

#[cfg(test)]
mod tests {
    use lockgate_crypto::profile;

    use super::*;

    fn suite(name: &str) -> Suite {
        profile::find(name).unwrap().compile(1).unwrap()
    }

    fn except(peer: &str, name: &str, expires_ms: u64) -> PeerRule {
        PeerRule { peer: peer.into(), suite: suite(name), expires_ms }
    }

    #[test]
    fn the_closest_exception_holds_until_its_end() {
        // checklist 14
        let exceptions = vec![
            except("spiffe://a/agent/*", "pq-kex", 100),
            except("spiffe://a/agent/old*", "pq-transition", 200),
            except("spiffe://a/agent/older", "cnsa2", 300),
        ];
        let rule = ListenerRule { suite: suite("pq-hybrid"), exceptions };
        let in_force =
            InForce { epoch: 1, listeners: [("tunnel".into(), rule)].into(), ..InForce::default() };
        for (peer, now_ms, expected) in [
            ("spiffe://a/agent/x", 99, "pq-kex"),
            ("spiffe://a/agent/x", 100, "pq-hybrid"),
            ("spiffe://a/agent/old1", 99, "pq-transition"),
            ("spiffe://a/agent/older", 299, "cnsa2"),
            ("spiffe://a/agent/older", 300, "pq-hybrid"),
            ("spiffe://b/agent/x", 1, "pq-hybrid"),
        ] {
            let suite = in_force.rule("tunnel", peer, now_ms).unwrap();
            assert_eq!(suite.profile().alias, expected, "{peer} at {now_ms}");
        }
        assert!(in_force.rule("other", "spiffe://a/agent/x", 1).is_none());
        assert_eq!(
            [0, 100, 250, 300].map(|now| in_force.next_end_ms(now)),
            [Some(100), Some(200), Some(300), None]
        );
    }

    #[test]
    fn every_moment_of_a_move_is_before_its_deadline() {
        let pace = Move { within: Duration::from_secs(9), deadline: Duration::from_secs(5) }.bounded();
        assert_eq!((pace.within, pace.last_call()), (Duration::from_secs(5), Duration::from_secs(4)));
        let long = Move { within: Duration::ZERO, deadline: Duration::from_secs(60) };
        assert_eq!(long.last_call(), Duration::from_secs(58));
        assert_eq!(Move::NOW.last_call(), Duration::ZERO);
    }
}
