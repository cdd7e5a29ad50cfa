//! What handshakes say about a peer over time.
//!
//! TLS 1.3 binds what was negotiated to the transcript, so nobody can shorten a
//! list on the way. What remains is a peer that really comes with less: because it
//! was set up anew, because somebody else stands in its place with a forged
//! classical identity, or because what it can do best is made to fail. One link
//! shows none of that; the ones before it do.
//!
//! | rule | what | severity |
//! |---|---|---|
//! | LG-D010 | comes back below what it has shown within the lifetime of its commitment | high if quantum safety is lost, else medium; low for an address |
//! | LG-D011 | failed with post-quantum groups on offer, then came without | medium, low if it may be another client |
//! | LG-D012 | needed a second hello where its share fitted before, in the same epoch | medium |
//! | LG-D013 | several times slower than its own habit, while others are not | low |
//! | LG-D014 | offers less than before of what is in force | medium, low if nothing post-quantum is missing |
//!
//! What the operator changed is not held against a peer: only what is in force now
//! counts, each algorithm for itself, and nothing that the operator put behind what
//! the peer came with. Neither is what we chose: a better group that the peer
//! offered again was ours to take.
//!
//! A peer with a name (a SPIFFE id, or one of our upstreams) has a history. An
//! address has none that is its own, since many clients may stand behind it: it is
//! never refused, reported at most every ten minutes, and nothing of it is stored.
//!
//! Like all of this crate the watch is exact: it has no clock, and the same
//! observations in the same order give the same findings.

mod commitment;
mod continuity;
mod habit;
mod level;
mod offer;
mod pace;
mod retry;

use std::net::IpAddr;
use std::num::NonZeroUsize;

use lockgate_crypto::{Algorithm, Capabilities, Kind, Posture, Suite};
use parking_lot::Mutex;
use serde::Serialize;

use crate::Severity;
pub use commitment::{Commitment, Rung};
pub use continuity::{Continuity, Mode};
pub use level::{Level, NotALevel};

/// A peer that came back below what it has shown.
pub const BELOW_COMMITMENT: &str = "LG-D010";
/// A handshake that failed with post-quantum groups on offer, then one without.
pub const RETRIED_WITHOUT: &str = "LG-D011";
/// A second hello with a peer whose share fitted before.
pub const SHARE_REFUSED: &str = "LG-D012";
/// A handshake far slower than the peer's habit, while others are not.
pub const SLOW: &str = "LG-D013";
/// A peer that offers less than before.
pub const OFFERS_LESS: &str = "LG-D014";

/// What the name of a peer begins with that has none but its address.
pub const ADDRESS_PREFIX: &str = "address:";

/// Peers that are remembered, of each kind. The one that was away longest goes
/// first.
const PEERS_MAX: NonZeroUsize = NonZeroUsize::new(10_000).expect("it is not zero");
/// How long the same is not said again of the same peer, in milliseconds.
const QUIET_MS: u64 = 600_000;

/// A handshake that succeeded.
#[derive(Clone, Copy, Debug)]
pub struct Seen<'a> {
    /// Who it was with: a SPIFFE id, `upstream:NAME` for our own dialers, or
    /// `address:…` for whom nothing else names.
    pub peer: &'a str,
    /// Where the peer is, if there is an address.
    pub address: Option<IpAddr>,
    /// The listener, or the upstream again.
    pub listener: &'a str,
    /// What was negotiated.
    pub posture: &'a Posture,
    /// What the peer's `ClientHello` offered; `None` where we dialled.
    pub offered: Option<&'a Capabilities>,
    /// What is in force for this peer here, now.
    pub in_force: InForce<'a>,
    /// The node's epoch.
    pub epoch: u64,
    /// Milliseconds since 1970.
    pub now_ms: u64,
}

/// The algorithms that are in force, each list in the operator's order.
#[derive(Clone, Copy, Debug, Default)]
pub struct InForce<'a> {
    /// Key exchange groups.
    pub groups: &'a [&'static Algorithm],
    /// Signatures.
    pub signatures: &'a [&'static Algorithm],
    /// Cipher suites.
    pub ciphers: &'a [&'static Algorithm],
}

impl<'a> InForce<'a> {
    /// What a suite has in force.
    #[must_use]
    pub fn of(suite: &'a Suite) -> Self {
        InForce { groups: suite.groups(), signatures: suite.signatures(), ciphers: suite.ciphers() }
    }

    fn list(self, kind: Kind) -> &'a [&'static Algorithm] {
        match kind {
            Kind::Group => self.groups,
            Kind::Signature => self.signatures,
            Kind::Cipher => self.ciphers,
        }
    }

    fn has(self, row: &Algorithm) -> bool {
        self.list(row.kind).iter().any(|in_force| in_force.id == row.id)
    }

    /// Whether `better` is in force and the operator did not put `found` before
    /// it.
    fn prefers(self, kind: Kind, better: &str, found: &str) -> bool {
        let place = |id: &str| self.list(kind).iter().position(|row| row.id == id);
        place(better).is_some_and(|better| place(found).is_none_or(|found| better < found))
    }
}

/// A handshake that failed.
#[derive(Clone, Copy, Debug)]
pub struct Failed<'a> {
    /// Where it came from.
    pub address: IpAddr,
    /// The listener.
    pub listener: &'a str,
    /// What was offered, if the hello could be read.
    pub offered: Option<&'a Capabilities>,
    /// Whether that had a group that resists a quantum computer.
    pub quantum_safe_offered: bool,
    /// Milliseconds since 1970.
    pub now_ms: u64,
}

/// What follows from a handshake.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observation {
    /// What is worth a record.
    pub findings: Vec<LinkFinding>,
    /// What is to be stored under its [`Commitment::key`].
    pub commitment: Option<Commitment>,
    /// Whether the link must not be used.
    pub refuse: bool,
}

/// One thing that one rule found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LinkFinding {
    /// The rule, [`BELOW_COMMITMENT`] to [`OFFERS_LESS`].
    pub id: &'static str,
    /// How much it matters.
    pub severity: Severity,
    /// Whom it is about, as in [`Seen::peer`].
    pub peer: String,
    /// The listener, or the upstream.
    pub listener: String,
    /// What is wrong and what to do, for people. Foreign names in it are escaped.
    pub reason: String,
    /// What exactly, and beside what.
    pub evidence: String,
}

/// Watches the links of a node. One for the whole node; any thread may use it.
#[derive(Debug)]
pub struct LinkWatch {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    ledger: continuity::Ledger,
    habits: habit::Habits,
    failures: retry::Failures,
}

impl LinkWatch {
    /// A watch that knows what was stored. Levels are read anew from today's
    /// catalog; of more than 10,000 commitments the latest count.
    #[must_use]
    pub fn new(stored: Vec<Commitment>, continuity: Continuity) -> Self {
        let ledger = continuity::Ledger::new(stored, continuity);
        let state = State { ledger, habits: habit::Habits::new(), failures: retry::Failures::new() };
        LinkWatch { state: Mutex::new(state) }
    }

    /// Takes up a change of the configuration. A shorter lifetime counts for what
    /// is remembered already.
    pub fn set_continuity(&self, continuity: Continuity) {
        self.state.lock().ledger.continuity = continuity;
    }

    /// Takes up a handshake that succeeded.
    pub fn observe(&self, seen: &Seen<'_>) -> Observation {
        let mut state = self.state.lock();
        let continuity::Judged { mut findings, commitment, refuse } = state.ledger.observe(seen);
        findings.extend(state.failures.linked(seen));
        // What is refused shall not become a habit.
        if !refuse {
            findings.extend(state.habits.observe(seen));
        }
        Observation { findings, commitment, refuse }
    }

    /// Takes up a handshake that failed.
    pub fn observe_failure(&self, failed: &Failed<'_>) -> Vec<LinkFinding> {
        self.state.lock().failures.failed(failed).into_iter().collect()
    }

    /// Forgets all about a peer. If it was held to anything, the key under which
    /// that is stored.
    pub fn forget(&self, peer: &str) -> Option<String> {
        let mut state = self.state.lock();
        state.habits.forget(peer);
        state.ledger.forget(peer)
    }

    /// Lets go of commitments that have ended: the keys under which they are
    /// stored.
    pub fn prune(&self, now_ms: u64) -> Vec<String> {
        self.state.lock().ledger.prune(now_ms)
    }

    /// What peers are held to, by peer.
    #[must_use]
    pub fn commitments(&self) -> Vec<Commitment> {
        self.state.lock().ledger.commitments()
    }
}

impl Seen<'_> {
    fn is_named(&self) -> bool {
        !self.peer.starts_with(ADDRESS_PREFIX)
    }

    fn has_quantum_safe_group(&self) -> bool {
        Level::of(Kind::Group, &self.posture.group).is_quantum_safe()
    }

    fn finding(&self, id: &'static str, severity: Severity, reason: String, evidence: String) -> LinkFinding {
        let (peer, listener) = (self.peer.to_owned(), self.listener.to_owned());
        LinkFinding { id, severity, peer, listener, reason, evidence }
    }
}

/// When something was last said.
#[derive(Clone, Copy, Debug, Default)]
struct Told(Option<u64>);

impl Told {
    /// Whether it may be said again; if so, it is.
    fn again(&mut self, now_ms: u64) -> bool {
        let may = self.0.is_none_or(|last| now_ms >= last.saturating_add(QUIET_MS));
        if may {
            self.0 = Some(now_ms);
        }
        may
    }
}
