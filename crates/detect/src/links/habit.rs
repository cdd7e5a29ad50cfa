//! What a peer usually does on a listener: which share it sends, what it offers,
//! how long it takes. LG-D012, LG-D013 and LG-D014.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::num::NonZeroUsize;

use lockgate_crypto::{Algorithm, Kind};
use lru::LruCache;

use super::offer::Offer;
use super::pace::{Beside, Pace, Recent};
use super::{LinkFinding, OFFERS_LESS, PEERS_MAX, SHARE_REFUSED, SLOW, Seen, Told};
use crate::Severity;
use crate::finding::shown;

/// Listeners and upstreams whose latest handshakes are remembered.
const LISTENERS_MAX: NonZeroUsize = NonZeroUsize::new(256).expect("it is not zero");

/// The habits of all peers, by listener and peer.
#[derive(Debug)]
pub(super) struct Habits {
    peers: LruCache<(String, String), Habit>,
    listeners: LruCache<String, Recent>,
}

/// The habit of one peer on one listener.
#[derive(Debug, Default)]
struct Habit {
    offer: Option<Offer>,
    /// The last epoch in which a full handshake needed no second hello.
    share_fit_in: Option<u64>,
    full: Pace,
    resumed: Pace,
    told_offer: Told,
    told_share: Told,
    told_slow: Told,
}

impl Habits {
    pub(super) fn new() -> Self {
        Habits { peers: LruCache::sparse(PEERS_MAX), listeners: LruCache::sparse(LISTENERS_MAX) }
    }

    pub(super) fn observe(&mut self, seen: &Seen<'_>) -> Vec<LinkFinding> {
        // Clients behind one address have no habits in common.
        if !seen.is_named() {
            return Vec::new();
        }
        let key = (seen.listener.to_owned(), seen.peer.to_owned());
        let habit = self.peers.get_or_insert_mut(key, Habit::default);
        let recent = self.listeners.get_or_insert_mut(seen.listener.to_owned(), Recent::default);
        let mut findings = Vec::new();
        findings.extend(habit.share(seen));
        findings.extend(habit.offers(seen));
        findings.extend(habit.takes(seen, recent));
        findings
    }

    pub(super) fn forget(&mut self, peer: &str) {
        self.peers.retain(|(_, of), _| of != peer);
    }
}

impl Habit {
    /// LG-D012. In the same epoch nobody changed what is accepted, so a peer's
    /// share that fitted goes on fitting.
    fn share(&mut self, seen: &Seen<'_>) -> Option<LinkFinding> {
        if seen.posture.resumed {
            return None;
        }
        if !seen.posture.hello_retry {
            self.share_fit_in = Some(seen.epoch);
            return None;
        }
        if self.share_fit_in != Some(seen.epoch) || !self.told_share.again(seen.now_ms) {
            return None;
        }
        let reason = format!(
            "the handshake with {} needed a second hello, though the key share fitted before and nothing was \
             changed here. The peer was changed or restarted with other settings, or somebody stands between.",
            shown(seen.peer),
        );
        let evidence = format!(
            "hello retry in epoch {}, then group {}; a handshake without one was seen in the same epoch",
            seen.epoch,
            shown(&seen.posture.group),
        );
        Some(seen.finding(SHARE_REFUSED, Severity::Medium, reason, evidence))
    }

    /// LG-D014. What is not in force here any more is no loss: peers that follow
    /// an epoch stop offering what it took away.
    fn offers(&mut self, seen: &Seen<'_>) -> Option<LinkFinding> {
        let now = Offer::new(seen.offered?);
        let lost: Vec<&Algorithm> = match &self.offer {
            Some(before) => {
                before.missing_from(&now).into_iter().filter(|row| seen.in_force.has(row)).collect()
            }
            None => Vec::new(),
        };
        self.offer = Some(now);
        if lost.is_empty() || !self.told_offer.again(seen.now_ms) {
            return None;
        }
        let matters = |row: &&Algorithm| row.kind != Kind::Cipher && row.is_quantum_safe();
        let severity = if lost.iter().any(matters) { Severity::Medium } else { Severity::Low };
        let names: Vec<&str> = lost.iter().map(|row| row.id).collect();
        let names = names.join(", ");
        let reason = format!(
            "{} no longer offers {names}, which it offered before and which is in force here. It runs other \
             software or settings than it did.",
            shown(seen.peer),
        );
        let evidence = format!("gone from the ClientHello in epoch {}: {names}", seen.epoch);
        Some(seen.finding(OFFERS_LESS, severity, reason, evidence))
    }

    /// LG-D013.
    fn takes(&mut self, seen: &Seen<'_>, recent: &mut Recent) -> Option<LinkFinding> {
        let posture = seen.posture;
        // A second hello costs a round trip: that is known, and rule LG-D012's.
        if posture.hello_retry {
            return None;
        }
        let pace = if posture.resumed { &mut self.resumed } else { &mut self.full };
        let shape = hash(&(&posture.group, &posture.peer_signature, &posture.own_signature));
        let beside = pace.observe(shape, posture.handshake_us)?;
        let peer = hash(&seen.peer);
        let others = recent.others_are_normal(peer, seen.now_ms);
        recent.mark(peer, beside, seen.now_ms);
        let others = others.filter(|_| beside.is_slow())?;
        self.told_slow.again(seen.now_ms).then(|| slow(seen, beside, others))
    }
}

fn slow(seen: &Seen<'_>, beside: Beside, others: usize) -> LinkFinding {
    let Beside { took_us, median_us, mad_us, samples } = beside;
    let times = took_us / median_us.max(1);
    let reason = format!(
        "the handshake with {} took {times} times as long as usual, while those of others took their usual \
         time. Its line or its machine is slow, or somebody relays it.",
        shown(seen.peer),
    );
    let evidence = format!(
        "{took_us} µs; median {median_us} µs, MAD {mad_us} µs of the last {samples}; {others} handshakes of \
         others in the last minute were normal",
    );
    seen.finding(SLOW, Severity::Low, reason, evidence)
}

/// The same for equal values, in every run of one build.
fn hash(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
