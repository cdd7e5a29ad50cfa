//! LG-D010: a peer that comes back with less than it has shown.

use lockgate_crypto::catalog::Kind;
use lru::LruCache;
use serde::{Deserialize, Serialize};

use super::commitment::{Commitment, Rung, key_of};
use super::{BELOW_COMMITMENT, Level, LinkFinding, PEERS_MAX, Seen, Told};
use crate::Severity;
use crate::finding::shown;

/// How long a peer is held to what it has shown, unless the configuration says
/// otherwise, in seconds: 30 days.
const LIFETIME_S: u64 = 30 * 24 * 3_600;
/// A commitment that only became younger is handed out for storing again after
/// this time, in milliseconds: an hour more or less of thirty days is worth no
/// write a link.
const STORE_AGAIN_MS: u64 = 3_600_000;

/// What becomes of a peer that falls below its commitment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Nothing: peers are neither compared nor remembered.
    Off,
    /// A finding. The link goes on.
    #[default]
    Flag,
    /// A finding, and the link is refused.
    Refuse,
}

/// How peers are held to what they have shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Continuity {
    /// What becomes of a peer that falls below.
    pub mode: Mode,
    /// How long a peer is held to an algorithm after it was last seen with it, in
    /// seconds.
    pub lifetime_s: u64,
}

impl Default for Continuity {
    fn default() -> Self {
        Continuity { mode: Mode::default(), lifetime_s: LIFETIME_S }
    }
}

impl Continuity {
    fn lifetime_ms(self) -> u64 {
        self.lifetime_s.saturating_mul(1_000)
    }
}

/// What the rule says about one link.
#[derive(Debug, Default)]
pub(super) struct Judged {
    pub(super) findings: Vec<LinkFinding>,
    pub(super) commitment: Option<Commitment>,
    pub(super) refuse: bool,
}

/// The commitments of all peers.
#[derive(Debug)]
pub(super) struct Ledger {
    pub(super) continuity: Continuity,
    named: LruCache<String, Entry>,
    /// Apart from the named: whoever has many addresses must not be able to push
    /// out what is remembered of those who have a name.
    addresses: LruCache<String, Entry>,
}

#[derive(Debug)]
struct Entry {
    commitment: Commitment,
    /// When it was last handed out for storing.
    stored_ms: Option<u64>,
    told: Told,
}

/// One part of a link beside what the peer is held to.
#[derive(Clone, Copy)]
struct Part<'a> {
    what: &'static str,
    kind: Kind,
    id: &'a str,
}

impl Part<'_> {
    fn level(self) -> Level {
        Level::of(self.kind, self.id)
    }
}

impl Ledger {
    pub(super) fn new(stored: Vec<Commitment>, continuity: Continuity) -> Self {
        let mut stored: Vec<Commitment> = stored.into_iter().filter_map(Commitment::restored).collect();
        // The oldest first, so that they are the first to go.
        stored.sort_by(|a, b| (a.seen_ms, &a.peer).cmp(&(b.seen_ms, &b.peer)));
        let mut named = LruCache::sparse(PEERS_MAX);
        for commitment in stored {
            let stored_ms = Some(commitment.seen_ms);
            let entry = Entry { commitment, stored_ms, told: Told::default() };
            named.put(entry.commitment.peer.clone(), entry);
        }
        Ledger { continuity, named, addresses: LruCache::sparse(PEERS_MAX) }
    }

    pub(super) fn observe(&mut self, seen: &Seen<'_>) -> Judged {
        if self.continuity.mode == Mode::Off {
            return Judged::default();
        }
        let mut parts = vec![Part { what: "key exchange", kind: Kind::Group, id: &seen.posture.group }];
        let signature = seen.posture.peer_signature.as_deref().unwrap_or(NO_CERTIFICATE);
        parts.push(Part { what: "authentication", kind: Kind::Signature, id: signature });

        let findings = self.compare(seen, &parts);
        if !findings.is_empty() && self.continuity.mode == Mode::Refuse && seen.is_named() {
            return Judged { findings, commitment: None, refuse: true };
        }
        let commitment = self.learn(seen, &parts);
        Judged { findings, commitment, refuse: false }
    }

    fn compare(&mut self, seen: &Seen<'_>, parts: &[Part<'_>]) -> Vec<LinkFinding> {
        let times = (seen.now_ms, self.continuity.lifetime_ms());
        let Some(entry) = self.of(seen).get_mut(seen.peer) else { return Vec::new() };
        // A group that the peer offered again, and that was not chosen, we did not
        // choose.
        let ours =
            |id: &str| seen.offered.is_some_and(|offered| offered.groups.iter().any(|group| group == id));
        let below = parts.iter().filter_map(|part| {
            let counts = |better: &str| {
                seen.in_force.prefers(part.kind, better, part.id)
                    && !(part.kind == Kind::Group && ours(better))
            };
            let above = entry.commitment.above((part.kind, part.level()), times, &counts)?;
            Some(fell_below(seen, *part, above))
        });
        let findings: Vec<LinkFinding> = below.collect();
        // Behind one address there may be many clients, each as good as it can be.
        if findings.is_empty() || seen.is_named() || entry.told.again(seen.now_ms) {
            findings
        } else {
            Vec::new()
        }
    }

    /// Remembers what the link was made of; the commitment, when it should be
    /// stored.
    fn learn(&mut self, seen: &Seen<'_>, parts: &[Part<'_>]) -> Option<Commitment> {
        let lifetime_ms = self.continuity.lifetime_ms();
        let expires_ms = seen.now_ms.saturating_add(lifetime_ms);
        if !parts.iter().any(|part| part.level().is_quantum_safe()) {
            return None;
        }
        let fresh =
            || Entry { commitment: Commitment::new(seen.peer), stored_ms: None, told: Told::default() };
        let entry = self.of(seen).get_or_insert_mut(seen.peer.to_owned(), fresh);
        let mut new = false;
        for part in parts {
            let (epoch, seen_ms) = (seen.epoch, seen.now_ms);
            new |= entry.commitment.learn(Rung { algorithm: part.id.to_owned(), epoch, seen_ms, expires_ms });
        }
        // On every link, so that what is remembered does not depend on when it was stored.
        entry.commitment.prune(seen.now_ms, lifetime_ms);
        let due = entry.stored_ms.is_none_or(|stored| seen.now_ms >= stored.saturating_add(STORE_AGAIN_MS));
        if !seen.is_named() || !(new || due) {
            return None;
        }
        entry.stored_ms = Some(seen.now_ms);
        Some(entry.commitment.clone())
    }

    fn of(&mut self, seen: &Seen<'_>) -> &mut LruCache<String, Entry> {
        if seen.is_named() { &mut self.named } else { &mut self.addresses }
    }

    pub(super) fn forget(&mut self, peer: &str) -> Option<String> {
        let named = self.named.pop(peer);
        let address = self.addresses.pop(peer);
        named.or(address).map(|_| key_of(peer))
    }

    pub(super) fn prune(&mut self, now_ms: u64) -> Vec<String> {
        let lifetime_ms = self.continuity.lifetime_ms();
        let mut gone = Vec::new();
        let ended: Vec<String> = self
            .named
            .iter_mut()
            .filter_map(|(peer, entry)| (!entry.commitment.prune(now_ms, lifetime_ms)).then(|| peer.clone()))
            .collect();
        for peer in ended {
            self.named.pop(&peer);
            gone.push(key_of(&peer));
        }
        gone.sort();
        gone
    }

    pub(super) fn commitments(&self) -> Vec<Commitment> {
        let mut all: Vec<Commitment> = self.named.iter().map(|(_, entry)| entry.commitment.clone()).collect();
        all.sort_by(|a, b| a.peer.cmp(&b.peer));
        all
    }
}

/// Stands where a peer that presented no certificate has no algorithm.
const NO_CERTIFICATE: &str = "no certificate";

fn fell_below(seen: &Seen<'_>, part: Part<'_>, (rung, above): (&Rung, Level)) -> LinkFinding {
    let Part { what, id, .. } = part;
    let level = part.level();
    let severity = match (seen.is_named(), level.is_quantum_safe()) {
        (false, _) => Severity::Low,
        (true, true) => Severity::Medium,
        (true, false) => Severity::High,
    };
    let reason = format!(
        "{} came with weaker {what} than before: {} ({level}) instead of {} ({above}). If the peer was \
         replaced on purpose, have its commitment forgotten; if not, somebody may stand between.",
        shown(seen.peer),
        shown(id),
        rung.algorithm,
    );
    let evidence = format!(
        "{what}: held to {} of epoch {}, seen at {} ms, until {} ms; now {} in epoch {} under {}",
        rung.algorithm,
        rung.epoch,
        rung.seen_ms,
        rung.expires_ms,
        shown(id),
        seen.epoch,
        shown(&seen.posture.profile),
    );
    seen.finding(BELOW_COMMITMENT, severity, reason, evidence)
}
