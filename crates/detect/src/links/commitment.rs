//! What a peer is held to: the algorithms of its earlier links.

use lockgate_crypto::catalog::{self, Kind};
use lockgate_crypto::digest::{hex, sha256};
use serde::{Deserialize, Serialize};

use super::Level;

/// Most algorithms remembered of one peer: more than the catalog has that resist
/// a quantum computer, so that what is read back from a store is bounded too.
const RUNGS_MAX: usize = 32;

/// What a peer's earlier links were made of, and how long it is held to that.
///
/// The idea is that of draft-sheffer-tls-pqc-continuity-02: who has shown that it
/// can do better has no reason to come back with less.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Commitment {
    /// Whom it binds: a SPIFFE id, or `upstream:NAME`.
    pub peer: String,
    /// Level of the best key exchange group.
    pub group_level: Level,
    /// Level of the best signature that the peer authenticated itself with.
    pub auth_level: Level,
    /// Catalog id of the best group; empty if no link had one that resists a
    /// quantum computer.
    pub best_group: String,
    /// Catalog id of the best signature; `None` if no link had one that resists a
    /// quantum computer.
    pub best_signature: Option<String>,
    /// The epoch in which any of it was last seen.
    pub epoch: u64,
    /// When any of it was last seen, in milliseconds since 1970.
    pub seen_ms: u64,
    /// When the last of it ends, in milliseconds since 1970.
    pub expires_ms: u64,
    /// Each algorithm with its own times. The fields above sum these up.
    #[serde(default)]
    pub rungs: Vec<Rung>,
}

/// One algorithm that a peer has used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rung {
    /// Catalog id of a group or of a signature.
    pub algorithm: String,
    /// The epoch in which it was last seen.
    pub epoch: u64,
    /// When it was last seen, in milliseconds since 1970.
    pub seen_ms: u64,
    /// Until when the peer is held to it, in milliseconds since 1970.
    pub expires_ms: u64,
}

impl Rung {
    /// Kind and level as the catalog has them today; `None` if it protects
    /// against no quantum adversary, so that it binds nobody.
    fn weight(&self) -> Option<(Kind, Level)> {
        let kind = catalog::find(&self.algorithm)?.kind;
        let level = Level::of(kind, &self.algorithm);
        level.is_quantum_safe().then_some((kind, level))
    }

    fn lives(&self, now_ms: u64, lifetime_ms: u64) -> bool {
        // A lifetime that was shortened counts for what is remembered, too.
        now_ms < self.expires_ms.min(self.seen_ms.saturating_add(lifetime_ms))
    }
}

impl Commitment {
    pub(super) fn new(peer: &str) -> Self {
        Commitment {
            peer: peer.to_owned(),
            group_level: Level::TRADITIONAL,
            auth_level: Level::TRADITIONAL,
            best_group: String::new(),
            best_signature: None,
            epoch: 0,
            seen_ms: 0,
            expires_ms: 0,
            rungs: Vec::new(),
        }
    }

    /// A key to store it under: one per peer, 64 hex digits. A newer commitment
    /// replaces the older one.
    #[must_use]
    pub fn key(&self) -> String {
        key_of(&self.peer)
    }

    /// Takes up an algorithm that a link had; whether the commitment did not know
    /// it.
    pub(super) fn learn(&mut self, rung: Rung) -> bool {
        if rung.weight().is_none() {
            return false;
        }
        let known = self.rungs.iter_mut().find(|known| known.algorithm == rung.algorithm);
        let new = known.is_none();
        match known {
            // A clock that went back takes nothing away.
            Some(known) => {
                known.epoch = known.epoch.max(rung.epoch);
                known.seen_ms = known.seen_ms.max(rung.seen_ms);
                known.expires_ms = known.expires_ms.max(rung.expires_ms);
            }
            None => self.rungs.push(rung),
        }
        self.settle();
        new
    }

    /// Lets go of what has expired; whether anything is left.
    pub(super) fn prune(&mut self, now_ms: u64, lifetime_ms: u64) -> bool {
        self.rungs.retain(|rung| rung.lives(now_ms, lifetime_ms));
        self.settle();
        !self.rungs.is_empty()
    }

    /// The best living algorithm of this kind that `level` is below and that
    /// `counts`.
    pub(super) fn above(
        &self,
        (kind, level): (Kind, Level),
        (now_ms, lifetime_ms): (u64, u64),
        counts: &dyn Fn(&str) -> bool,
    ) -> Option<(&Rung, Level)> {
        let living = self.rungs.iter().filter(|rung| rung.lives(now_ms, lifetime_ms));
        let levels = living.filter_map(|rung| {
            let (of_kind, above) = rung.weight()?;
            (of_kind == kind && level.is_below(above)).then_some((rung, above))
        });
        levels.filter(|(rung, _)| counts(&rung.algorithm)).max_by_key(|(_, level)| level.rank())
    }

    /// Brings the rungs into bounds and the summary up to them.
    fn settle(&mut self) {
        self.rungs.retain(|rung| rung.weight().is_some());
        // Best first; of equals, the one seen last.
        self.rungs
            .sort_by_key(|rung| std::cmp::Reverse((rung.weight().map(|(_, l)| l.rank()), rung.seen_ms)));
        self.rungs.truncate(RUNGS_MAX);
        let best = |kind| {
            let rungs = self.rungs.iter().filter_map(|rung| Some((rung, rung.weight()?)));
            let mut rungs = rungs.filter(|(_, (of_kind, _))| *of_kind == kind);
            rungs.next().map(|(rung, (_, level))| (rung.algorithm.clone(), level))
        };
        let (best_group, group_level) = best(Kind::Group).unwrap_or((String::new(), Level::TRADITIONAL));
        let best_signature = best(Kind::Signature);
        self.auth_level = best_signature.as_ref().map_or(Level::TRADITIONAL, |(_, level)| *level);
        self.best_signature = best_signature.map(|(algorithm, _)| algorithm);
        (self.best_group, self.group_level) = (best_group, group_level);
        let latest = |of: fn(&Rung) -> u64| self.rungs.iter().map(of).max().unwrap_or(0);
        self.epoch = latest(|rung| rung.epoch);
        self.seen_ms = latest(|rung| rung.seen_ms);
        self.expires_ms = latest(|rung| rung.expires_ms);
    }

    /// As it was stored, by today's catalog; `None` if nothing in it binds.
    pub(super) fn restored(mut self) -> Option<Self> {
        if self.rungs.is_empty() {
            self.rungs = self.rungs_of_summary();
        }
        self.settle();
        (!self.rungs.is_empty()).then_some(self)
    }

    /// Rungs for a commitment that was written with its summary alone.
    fn rungs_of_summary(&self) -> Vec<Rung> {
        let best = [Some(&self.best_group), self.best_signature.as_ref()];
        let rung = |algorithm: &String| Rung {
            algorithm: algorithm.clone(),
            epoch: self.epoch,
            seen_ms: self.seen_ms,
            expires_ms: self.expires_ms,
        };
        best.into_iter().flatten().map(rung).collect()
    }
}

/// See [`Commitment::key`].
pub(super) fn key_of(peer: &str) -> String {
    hex(&sha256(peer.as_bytes()))
}
