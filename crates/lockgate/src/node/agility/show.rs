//! What is in force, for people.

use std::sync::Arc;

use lockgate_admin::{
    BanView, Change as ChangeView, CryptoShow, DocumentView, EndingView, LeftOut, Migration, PeerUse, Place,
    PlaceKind, ProviderView, Waiting,
};
use lockgate_crypto::{Algorithm, Ban, Conditions, Ending, Phase, Suite, catalog};
use lockgate_proxy::agility::MigrationView;

use super::super::control::Control;
use super::change::Made;
use super::compile::{Compiled, conditions};
use super::plan::capabilities;
use super::state::Slot;
use super::wanted::{WantedPeer, WantedPlace};

impl Control {
    /// Everything.
    pub(crate) fn shown(&self) -> CryptoShow {
        let (in_force, rollback, document) = {
            let changing = self.changing().lock();
            let document = changing.settings.crypto.document.as_ref().map(|signed| DocumentView {
                file: signed.path.display().to_string(),
                epoch: signed.document.epoch,
                sha256: signed.document.sha256.clone(),
                signer: signed.signer.fingerprint.clone(),
                profiles: signed.document.profiles.iter().map(|profile| profile.name.clone()).collect(),
            });
            let rollback = changing.state.last_change().map(str::to_owned);
            (Arc::clone(&changing.in_force), rollback, document)
        };
        let today = self.today();
        let mut peers: Vec<PeerUse> = self.node().peers().into_iter().map(peer).collect();
        peers.sort_by_key(|peer| std::cmp::Reverse(peer.last_seen_ms));
        CryptoShow {
            epoch: in_force.conditions.epoch,
            places: places(&in_force, &today),
            peers,
            bans: self.bans(),
            endings: self.endings().into_iter().map(ending).collect(),
            document,
            rollback,
            migration: self.migrating(),
        }
    }

    /// The bans in force.
    pub(crate) fn bans(&self) -> Vec<BanView> {
        let (state_bans, in_force) = {
            let changing = self.changing().lock();
            (changing.state.bans.clone(), Arc::clone(&changing.in_force))
        };
        in_force.conditions.bans.iter().map(|one| ban(one, !state_bans.contains(one))).collect()
    }

    /// The dates of algorithms in force, the nearest first, as they stand today.
    pub(crate) fn endings(&self) -> Vec<Ending> {
        let (today, in_force) = (self.today(), Arc::clone(&self.changing().lock().in_force));
        let mut endings: Vec<Ending> = Vec::new();
        for (_, suite) in in_force.suites() {
            for row in rows(suite) {
                if let Some(ending) = today.ending_of(row)
                    && !endings.contains(&ending)
                {
                    endings.push(ending);
                }
            }
        }
        let never = "9999".to_owned();
        endings.sort_by_key(|ending| ending.not_after.clone().unwrap_or_else(|| never.clone()));
        endings
    }

    /// Those that are warned of by now.
    pub(crate) fn warnings(&self) -> Vec<EndingView> {
        let warned = self.endings().into_iter().filter(|ending| ending.phase == Phase::Warned);
        warned.map(ending).collect()
    }

    /// How far the last change is.
    pub(crate) fn migrating(&self) -> Migration {
        migration(self.node().migration())
    }

    /// The conditions of today: those in force may be of an earlier day on which nothing else was.
    fn today(&self) -> Conditions {
        let changing = self.changing().lock();
        conditions(&changing.settings, &changing.state, changing.day)
    }
}

/// A change for whoever asked for it.
pub(crate) fn change(
    made: Made,
    what: String,
    by: &str,
    ban: Option<BanView>,
    until_ms: Option<u64>,
) -> ChangeView {
    let Made { epoch_before, epoch, before, after, migration: view } = made;
    ChangeView {
        epoch,
        epoch_before,
        what,
        by: by.to_owned(),
        before,
        after,
        ban,
        until_ms,
        migration: migration(view),
    }
}

/// A ban with everything that it takes away.
pub(crate) fn ban(ban: &Ban, signed: bool) -> BanView {
    let covered = |row: &&Algorithm| match &ban.provider {
        None => ban.covers(row),
        Some(provider) => ban.covers_provider(row, provider),
    };
    BanView {
        target: ban.target(),
        reason: ban.reason.clone(),
        since_ms: ban.since_ms,
        by: ban.by.clone(),
        keep_hybrids: ban.keep_hybrids,
        signed,
        covers: catalog::all().iter().filter(covered).map(|row| row.id.to_owned()).collect(),
    }
}

fn migration(view: MigrationView) -> Migration {
    let MigrationView {
        epoch,
        started_ms,
        closes_at_ms,
        to_move,
        moved,
        stayed,
        killed,
        finished_ms,
        waiting,
        waiting_more: _,
    } = view;
    Migration {
        epoch,
        started_ms,
        closes_at_ms: (to_move > 0).then_some(closes_at_ms),
        to_move,
        moved,
        stayed,
        killed,
        done: moved + killed >= to_move,
        done_ms: finished_ms,
        waiting: waiting
            .into_iter()
            .map(|waiting| Waiting {
                agent: waiting.agent,
                links: u64::try_from(waiting.links).unwrap_or(u64::MAX),
                told: waiting.told,
            })
            .collect(),
    }
}

fn peer(peer: lockgate_proxy::agility::PeerView) -> PeerUse {
    PeerUse {
        agent: peer.agent,
        last_seen_ms: peer.last_seen_ms,
        live_links: u64::try_from(peer.live_links).unwrap_or(u64::MAX),
        posture: peer.posture,
        capabilities: peer.capabilities.as_ref().map(capabilities),
        following: peer.following.and_then(|following| following.profile),
    }
}

fn places(in_force: &Compiled, today: &Conditions) -> Vec<Place> {
    let wanted = &in_force.wanted;
    let listeners = wanted.listeners.iter().zip(&in_force.listeners);
    let upstreams = wanted.upstreams.iter().zip(&in_force.upstreams);
    let peers = wanted.peers.iter().zip(&in_force.peers);
    let tunnel = wanted.listeners.first().map_or("", |place| place.profile.name);
    listeners
        .chain(upstreams)
        .map(|(wanted, suite)| place(wanted, suite, today))
        .chain(peers.map(|(wanted, suite)| exception(wanted, tunnel, suite, today)))
        .collect()
}

fn place(wanted: &WantedPlace, suite: &Suite, today: &Conditions) -> Place {
    Place {
        kind: match wanted.slot {
            Slot::Listener(_) => PlaceKind::Listener,
            Slot::Upstream(_) => PlaceKind::Upstream,
        },
        name: wanted.name.clone(),
        why: wanted.why.clone(),
        configured: wanted.configured.name.to_owned(),
        until_ms: wanted.until_ms,
        ..effective(suite, today)
    }
}

fn exception(wanted: &WantedPeer, configured: &str, suite: &Suite, today: &Conditions) -> Place {
    Place {
        kind: PlaceKind::Exception,
        name: wanted.peer.clone(),
        why: wanted.why.clone(),
        configured: configured.to_owned(),
        until_ms: Some(wanted.until_ms),
        ..effective(suite, today)
    }
}

/// What a suite comes to; who and why is for the caller to say.
fn effective(suite: &Suite, today: &Conditions) -> Place {
    let profile = suite.profile();
    let ids = |rows: &[&'static Algorithm]| rows.iter().map(|row| row.id.to_owned()).collect();
    let in_force: Vec<&str> = rows(suite).map(|row| row.id).collect();
    let listed = profile.groups.iter().chain(profile.signatures).chain(profile.ciphers);
    let left_out = listed
        .filter(|id| !in_force.contains(id))
        .filter_map(|id| catalog::find(id))
        .map(|row| LeftOut {
            algorithm: row.id.to_owned(),
            why: suite.conditions().refusal_of(row).unwrap_or_else(|| "no code for it here".to_owned()),
        })
        .collect();
    let provider = |row: &&'static Algorithm| {
        let provider = suite.provider_of(row)?.to_owned();
        Some(ProviderView { algorithm: row.id.to_owned(), provider })
    };
    Place {
        kind: PlaceKind::Listener,
        name: String::new(),
        profile: profile.name.to_owned(),
        why: String::new(),
        configured: String::new(),
        until_ms: None,
        epoch: suite.epoch(),
        groups: ids(suite.groups()),
        signatures: ids(suite.signatures()),
        ciphers: ids(suite.ciphers()),
        identities: ids(suite.identities()),
        providers: suite.groups().iter().filter_map(provider).collect(),
        left_out,
        endings: rows(suite).filter_map(|row| today.ending_of(row)).map(ending).collect(),
    }
}

pub(super) fn rows(suite: &Suite) -> impl Iterator<Item = &'static Algorithm> {
    suite.groups().iter().chain(suite.signatures()).chain(suite.ciphers()).copied()
}

fn ending(ending: Ending) -> EndingView {
    let Ending { algorithm, phase, warn_after, not_after } = ending;
    let phase = match phase {
        Phase::Early => "early",
        Phase::Current => "current",
        Phase::Warned => "warned",
        Phase::Ended => "over",
    };
    EndingView { algorithm, phase: phase.to_owned(), warn_after, not_after }
}
