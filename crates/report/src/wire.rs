//! What calls say about the cryptography that they came over.

use std::collections::HashSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;

use lockgate_audit::{Kind, Record};
use lockgate_crypto::Posture;
use serde::Serialize;

use crate::count::{Cite, Counted, Tally};
use crate::period::Period;

/// Most links that are told apart; further ones are not counted, and the report says so. Eight bytes each.
const LINKS_MAX: usize = 1_000_000;

/// How many of something were safe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Share {
    /// Over links that are quantum-safe.
    pub quantum_safe: u64,
    /// Over links that are not.
    pub classical: u64,
    /// Without a tunnel, from the node's own machine.
    pub local: u64,
}

impl Share {
    fn add(&mut self, quantum_safe: Option<bool>) {
        match quantum_safe {
            Some(true) => self.quantum_safe += 1,
            Some(false) => self.classical += 1,
            None => self.local += 1,
        }
    }

    /// All that came over a network.
    #[must_use]
    pub fn remote(&self) -> u64 {
        self.quantum_safe + self.classical
    }

    /// All.
    #[must_use]
    pub fn all(&self) -> u64 {
        self.remote() + self.local
    }
}

/// One kind of weak link.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Weak {
    pub(crate) agent: String,
    /// The part that is weak and its algorithm.
    pub(crate) part: String,
    pub(crate) profile: String,
}

/// Everything about the wire that is counted on the way through the log.
pub(crate) struct Wire {
    pub(crate) calls: Share,
    pub(crate) links: Share,
    pub(crate) links_left_out: bool,
    pub(crate) days: Vec<Share>,
    pub(crate) by_agent: Tally<Share>,
    pub(crate) by_server: Tally<Share>,
    pub(crate) by_profile: Tally<Share>,
    pub(crate) groups: Tally<u64>,
    pub(crate) peer_signatures: Tally<u64>,
    pub(crate) own_signatures: Tally<u64>,
    pub(crate) weak: Vec<(Weak, Counted)>,
    /// Calls of kinds of weak links beyond the limit.
    pub(crate) weak_left_out: u64,
    seen: HashSet<u64>,
    hasher: RandomState,
}

/// Kinds of weak links that are told apart.
const WEAK_MAX: usize = 500;

impl Wire {
    pub(crate) fn new(period: &Period) -> Self {
        Self {
            calls: Share::default(),
            links: Share::default(),
            links_left_out: false,
            days: vec![Share::default(); period.days()],
            by_agent: Tally::default(),
            by_server: Tally::default(),
            by_profile: Tally::default(),
            groups: Tally::default(),
            peer_signatures: Tally::default(),
            own_signatures: Tally::default(),
            weak: Vec::new(),
            weak_left_out: 0,
            seen: HashSet::new(),
            hasher: RandomState::new(),
        }
    }

    /// Takes up a call of this day of the period.
    pub(crate) fn add(&mut self, record: &Record<'_>, day: usize, cite: Cite) {
        if record.kind != Kind::Call {
            return;
        }
        let safe = record.quantum_safe;
        self.calls.add(safe);
        if let Some(day) = self.days.get_mut(day) {
            day.add(safe);
        }
        let agent = record.agent.as_deref().unwrap_or("anonymous");
        self.by_agent.at(agent).add(safe);
        if let Some(server) = record.server.as_deref() {
            self.by_server.at(server).add(safe);
        }
        self.link(record, agent);
        let Some(is_safe) = safe else { return };
        self.by_profile.at(record.profile.as_deref().unwrap_or("unknown")).add(safe);
        *self.groups.at(record.group.as_deref().unwrap_or("unknown")) += 1;
        *self.peer_signatures.at(record.peer_signature.as_deref().unwrap_or("none")) += 1;
        *self.own_signatures.at(record.own_signature.as_deref().unwrap_or("none")) += 1;
        if !is_safe {
            self.weak(record, agent, cite);
        }
    }

    /// A link is known by who is at its other end, from which address and port, under which epoch.
    fn link(&mut self, record: &Record<'_>, agent: &str) {
        let Some(peer) = record.peer.as_deref() else { return };
        if self.seen.len() >= LINKS_MAX {
            self.links_left_out = true;
            return;
        }
        let name = self.hasher.hash_one((agent, peer, record.epoch, record.profile.as_deref()));
        if self.seen.insert(name) {
            self.links.add(record.quantum_safe);
        }
    }

    fn weak(&mut self, record: &Record<'_>, agent: &str, cite: Cite) {
        let part = posture(record).weakest().unwrap_or_else(|| "what it was is not recorded".to_owned());
        let profile = record.profile.as_deref().unwrap_or("unknown");
        let is_it = |weak: &Weak| weak.agent == agent && weak.part == part && weak.profile == profile;
        if let Some((_, counted)) = self.weak.iter_mut().find(|(weak, _)| is_it(weak)) {
            return counted.add(cite);
        }
        if self.weak.len() >= WEAK_MAX {
            self.weak_left_out += 1;
            return;
        }
        let mut counted = Counted::default();
        counted.add(cite);
        self.weak.push((Weak { agent: agent.to_owned(), part, profile: profile.to_owned() }, counted));
    }
}

/// The posture that a record tells of.
fn posture(record: &Record<'_>) -> Posture {
    let owned = |text: &Option<lockgate_audit::Text<'_>>| text.as_deref().unwrap_or_default().to_owned();
    Posture {
        protocol: owned(&record.protocol),
        group: owned(&record.group),
        provider: String::new(),
        cipher: owned(&record.cipher),
        peer_signature: record.peer_signature.as_deref().map(str::to_owned),
        own_signature: record.own_signature.as_deref().map(str::to_owned),
        resumed: record.resumed.unwrap_or_default(),
        hello_retry: record.hello_retry.unwrap_or_default(),
        handshake_us: 0,
        bytes_in: 0,
        bytes_out: 0,
        epoch: record.epoch.unwrap_or_default(),
        profile: owned(&record.profile),
    }
}
