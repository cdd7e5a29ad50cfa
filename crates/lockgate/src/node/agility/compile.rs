//! From what is wanted to suites that were tested, all of them or none.

use std::collections::BTreeMap;

use jiff::civil::Date;
use lockgate_crypto::{Algorithm, Ban, Conditions, CryptoError, Profile, Suite, Sunset};

use super::problem::Problem;
use super::state::CryptoState;
use super::wanted::Wanted;
use crate::config::{Settings, TUNNEL};

/// What is wanted, compiled under the same conditions and self-tested.
#[derive(Clone)]
pub(crate) struct Compiled {
    pub(crate) conditions: Conditions,
    pub(crate) wanted: Wanted,
    /// What links of each listener are judged by.
    pub(crate) listeners: Vec<Suite>,
    /// What each listener accepts: the same, and what peers with exceptions may use.
    pub(crate) accepted: Vec<Suite>,
    pub(crate) upstreams: Vec<Suite>,
    pub(crate) peers: Vec<Suite>,
}

/// The conditions of a state.
pub(crate) fn conditions(settings: &Settings, state: &CryptoState, date: Date) -> Conditions {
    let document = settings.crypto.document.as_ref().map(|signed| &signed.document);
    let bans: Vec<Ban> = state
        .bans
        .iter()
        .cloned()
        .chain(document.iter().flat_map(|document| document.bans.clone()))
        .collect();
    let sunsets: Vec<Sunset> = document.iter().flat_map(|document| document.sunsets.clone()).collect();
    Conditions { epoch: state.epoch, date, bans: bans.into(), sunsets: sunsets.into() }
}

/// Compiles everything.
///
/// # Errors
/// The first place whose profile cannot be used, and why.
pub(crate) fn compile(wanted: Wanted, conditions: Conditions) -> Result<Compiled, Problem> {
    let mut done: BTreeMap<&'static str, Suite> = BTreeMap::new();
    let mut suite = |profile: &'static Profile, place: &str| -> Result<Suite, Problem> {
        if let Some(suite) = done.get(profile.name) {
            return Ok(suite.clone());
        }
        let compiled = profile.compile_under(&conditions);
        let suite = compiled.map_err(|source| unusable(place.to_owned(), source))?;
        done.insert(profile.name, suite.clone());
        Ok(suite)
    };
    let mut listeners = Vec::new();
    for place in &wanted.listeners {
        listeners.push(suite(place.profile, &format!("listener {}", place.name))?);
    }
    let mut upstreams = Vec::new();
    for place in &wanted.upstreams {
        upstreams.push(suite(place.profile, &format!("upstream {}", place.name))?);
    }
    let mut peers = Vec::new();
    for peer in &wanted.peers {
        peers.push(suite(peer.profile, &format!("peer {}", peer.peer))?);
    }
    let mut accepted = Vec::new();
    for (place, suite) in wanted.listeners.iter().zip(&listeners) {
        // Peers have names on the tunnel only.
        accepted.push(match place.name.as_str() {
            TUNNEL if !peers.is_empty() => {
                let spared: Vec<&Suite> = peers.iter().collect();
                let union = suite.union(&spared);
                union.map_err(|source| unusable(format!("listener {TUNNEL} with its exceptions"), source))?
            }
            _ => suite.clone(),
        });
    }
    Ok(Compiled { conditions, wanted, listeners, accepted, upstreams, peers })
}

fn unusable(place: String, source: CryptoError) -> Problem {
    match source {
        CryptoError::NothingLeft { .. } => Problem::NothingLeft { place, source },
        source => Problem::Unusable { place, source },
    }
}

impl Compiled {
    /// Every suite, with the place that it is for.
    pub(crate) fn suites(&self) -> impl Iterator<Item = (String, &Suite)> {
        let listeners = self.wanted.listeners.iter().zip(&self.listeners);
        let upstreams = self.wanted.upstreams.iter().zip(&self.upstreams);
        let peers = self.wanted.peers.iter().zip(&self.peers);
        listeners
            .map(|(place, suite)| (format!("listener {}", place.name), suite))
            .chain(upstreams.map(|(place, suite)| (format!("upstream {}", place.name), suite)))
            .chain(peers.map(|(peer, suite)| (format!("peer {}", peer.peer), suite)))
    }

    /// What a listener accepts.
    pub(crate) fn accepted_by(&self, listener: &str) -> Option<&Suite> {
        let at = self.wanted.listeners.iter().position(|place| place.name == listener)?;
        self.accepted.get(at)
    }

    /// The suite of an upstream.
    pub(crate) fn upstream(&self, name: &str) -> Option<&Suite> {
        let at = self.wanted.upstreams.iter().position(|place| place.name == name)?;
        self.upstreams.get(at)
    }

    /// What the node's own certificates have to be made of, for listeners whose certificates the authority issues.
    pub(crate) fn identities(&self, from_outside: &dyn Fn(&str) -> bool) -> Vec<&'static Algorithm> {
        let mut identities: Vec<&'static Algorithm> = Vec::new();
        for (place, suite) in self.wanted.listeners.iter().zip(&self.accepted) {
            if from_outside(&place.name) {
                continue;
            }
            for algorithm in suite.identities() {
                if !identities.iter().any(|known| known.id == algorithm.id) {
                    identities.push(algorithm);
                }
            }
        }
        identities
    }

    /// Whether links of a listener are judged otherwise than by `other`.
    pub(crate) fn differs_at(&self, listener: &str, other: &Self) -> bool {
        let of = |compiled: &Self| {
            let at = compiled.wanted.listeners.iter().position(|place| place.name == listener)?;
            let suite = compiled.listeners.get(at)?;
            Some((suite.profile().name, contents(suite)))
        };
        let peers = |compiled: &Self| -> Vec<(String, Vec<String>)> {
            let peers = compiled.wanted.peers.iter().zip(&compiled.peers);
            peers.map(|(peer, suite)| (peer.peer.clone(), contents(suite))).collect()
        };
        of(self) != of(other) || (listener == TUNNEL && peers(self) != peers(other))
    }

    /// What was in force and is not any more, and what is in force in its place, one line a place.
    pub(crate) fn differences(&self, next: &Self) -> (Vec<String>, Vec<String>) {
        let of = |compiled: &Self| -> BTreeMap<String, (&'static str, Vec<String>)> {
            let suites = compiled.suites();
            suites.map(|(place, suite)| (place, (suite.profile().name, contents(suite)))).collect()
        };
        let (old, new) = (of(self), of(next));
        let mut before = only(&old, &new);
        let mut after = only(&new, &old);
        let bans = |compiled: &Self| compiled.conditions.bans.iter().map(ban).collect::<Vec<_>>();
        let (old_bans, new_bans) = (bans(self), bans(next));
        before.extend(old_bans.iter().filter(|line| !new_bans.contains(line)).cloned());
        after.extend(new_bans.into_iter().filter(|line| !old_bans.contains(line)));
        (before, after)
    }
}

/// The places of `these` that differ from those of `those`, each with its profile and what only it has.
fn only(
    these: &BTreeMap<String, (&'static str, Vec<String>)>,
    those: &BTreeMap<String, (&'static str, Vec<String>)>,
) -> Vec<String> {
    let mut lines = Vec::new();
    for (place, (profile, contents)) in these {
        let other = those.get(place);
        if other == Some(&(*profile, contents.clone())) {
            continue;
        }
        let known = other.map_or(&[][..], |(_, contents)| contents);
        let own: Vec<&str> = contents.iter().filter(|id| !known.contains(id)).map(String::as_str).collect();
        let own = if own.is_empty() { String::new() } else { format!(", with {}", own.join(" ")) };
        lines.push(format!("{place}: {profile}{own}"));
    }
    lines
}

/// Everything in a suite, with the implementation where it is not the usual one.
fn contents(suite: &Suite) -> Vec<String> {
    let named = |row: &&'static Algorithm| match suite.provider_of(row) {
        Some(provider) if row.providers.first() != Some(&provider) => format!("{provider}/{}", row.id),
        _ => row.id.to_owned(),
    };
    let rows = suite.groups().iter().chain(suite.signatures()).chain(suite.ciphers());
    rows.map(named).collect()
}

fn ban(ban: &Ban) -> String {
    let hybrids = if ban.keep_hybrids { ", not in hybrids" } else { "" };
    format!("ban of {}{hybrids}: {}", ban.target(), ban.reason)
}

/// A profile that ended, replaced by the one that it names, so that a date that passes leaves nobody with less than
/// what is stronger. For what was in force already: whoever asks for a profile gets that one or an error.
pub(crate) fn without_the_ended(
    settings: &Settings,
    mut wanted: Wanted,
    conditions: &Conditions,
) -> (Wanted, Vec<String>) {
    let mut said = Vec::new();
    let mut ended = BTreeMap::new();
    for place in wanted.listeners.iter_mut().chain(&mut wanted.upstreams) {
        let instead = *ended.entry(place.profile.name).or_insert_with(|| {
            match place.profile.compile_under(conditions) {
                Err(CryptoError::ProfileEnded { instead, .. }) => {
                    let name = instead.split(',').next().unwrap_or(instead);
                    settings.crypto.profiles.find(name).ok()
                }
                _ => None,
            }
        });
        if let Some(instead) = instead {
            said.push(format!("{}: {} has ended, {} holds", place.slot, place.profile.name, instead.name));
            place.why = format!("{} has ended", place.profile.name);
            place.profile = instead;
        }
    }
    // An exception for a profile that has ended is over: its peer is judged as all others are.
    wanted.peers.retain(|peer| {
        let over = matches!(peer.profile.compile_under(conditions), Err(CryptoError::ProfileEnded { .. }));
        if over {
            said.push(format!(
                "peer {}: its exception is over, for {} has ended",
                peer.peer, peer.profile.name
            ));
        }
        !over
    });
    (wanted, said)
}
