//! What a person can ask for: another profile, the one before, a ban, its end.

use std::time::Duration;

use lockgate_admin::{ApplyRequest, BanRequest, LiftRequest, RollbackRequest, Scope, Verdict};
use lockgate_crypto::{Ban, Profile};

use super::super::control::Control;
use super::change::{Change, Draft, Drain, Made};
use super::plan::Outlook;
use super::problem::Problem;
use super::state::{BANS_MAX, Choice, CryptoState, SPARED_MAX, Slot, Spared};
use super::wanted::configured;
use crate::config::{Settings, TUNNEL, check_peer};

/// Longest time that links can be given to move, in seconds: an hour of two profiles side by side is a profile of its own.
const DRAIN_S_MAX: u64 = 3600;

/// Longest time for which an exception or a choice can be made, in seconds: a year, then somebody should look again.
const FOR_S_MAX: u64 = 366 * 24 * 3600;

/// Longest text that a person gives, in bytes.
const TEXT_BYTES_MAX: usize = 500;

/// Names shown in an error.
const NAMES_MAX: usize = 5;

/// Who asks for what, checked.
pub(super) struct Asked<'a> {
    pub(super) profile: &'static Profile,
    pub(super) slots: Vec<Slot>,
    pub(super) peers: &'a [String],
    pub(super) until_ms: Option<u64>,
    pub(super) by: &'a str,
    pub(super) reason: &'a str,
    pub(super) drill: bool,
}

impl Asked<'_> {
    /// In one sentence.
    pub(super) fn what(&self) -> String {
        let slots = self.slots.iter().map(Slot::to_string);
        let places: Vec<String> = slots.chain(self.peers.iter().map(|peer| format!("peer {peer}"))).collect();
        format!("{} for {}", self.profile.name, places.join(", "))
    }
}

impl Control {
    /// What is meant by a request.
    pub(super) fn asked<'a>(
        &self,
        settings: &Settings,
        profile: &str,
        scope: &'a Scope,
    ) -> Result<Asked<'a>, Problem> {
        let found = settings.crypto.profiles.find(profile);
        let profile = found.map_err(|_| Problem::Profile(profile.to_owned()))?;
        let listeners = scope.listeners.iter().map(|name| (Slot::Listener(name.clone()), "listener"));
        let upstreams = scope.upstreams.iter().map(|name| (Slot::Upstream(name.clone()), "https upstream"));
        let mut slots = Vec::new();
        for (slot, what) in listeners.chain(upstreams) {
            if configured(settings, &slot).is_none() {
                return Err(unknown(settings, &slot, what));
            }
            if !slots.contains(&slot) {
                slots.push(slot);
            }
        }
        for peer in &scope.peers {
            check_peer(peer).map_err(Problem::Request)?;
        }
        if slots.is_empty() && scope.peers.is_empty() {
            slots.push(Slot::Listener(TUNNEL.to_owned()));
        }
        let nobody =
            Asked { profile, slots, peers: &scope.peers, until_ms: None, by: "", reason: "", drill: false };
        Ok(nobody)
    }

    /// The state in which what was asked for holds.
    pub(super) fn with(
        &self,
        settings: &Settings,
        state: &CryptoState,
        asked: &Asked<'_>,
    ) -> Result<CryptoState, Problem> {
        let at_ms = self.moment_ms();
        let (profile, by, reason) =
            (asked.profile.name.to_owned(), asked.by.to_owned(), asked.reason.to_owned());
        let mut slots = Vec::new();
        for slot in &asked.slots {
            let configured = configured(settings, slot).ok_or_else(|| unknown(settings, slot, "place"))?;
            let choice = Choice {
                profile: profile.clone(),
                configured: configured.name.to_owned(),
                by: by.clone(),
                at_ms,
                reason: reason.clone(),
                until_ms: asked.until_ms,
                drill: asked.drill,
                then: None,
            };
            slots.push((slot.clone(), choice));
        }
        let mut spared = Vec::new();
        for peer in asked.peers {
            let until_ms = asked.until_ms.ok_or_else(|| {
                Problem::Request("an exception for a peer must end: say for how long, with --for".to_owned())
            })?;
            if reason.trim().is_empty() {
                let what = "an exception for a peer has a reason: say it with --reason";
                return Err(Problem::Request(what.to_owned()));
            }
            let (peer, profile, by, reason) = (peer.clone(), profile.clone(), by.clone(), reason.clone());
            spared.push(Spared { peer, profile, by, at_ms, reason, until_ms });
        }
        if state.spared.len() + spared.len() > SPARED_MAX {
            return Err(Problem::TooMany { what: "exceptions for peers", max: SPARED_MAX });
        }
        Ok(state.applied(&asked.what(), slots, spared))
    }

    /// Puts a profile in force.
    pub(crate) fn put_in_force(&self, request: &ApplyRequest) -> Result<(Made, Option<u64>), Problem> {
        let _turn = self.turn();
        let (settings, state) = self.settings_and_state();
        let (by, reason) = (text(&request.by)?, text(&request.reason)?);
        let until_ms = request.for_s.map(|seconds| self.until_ms(seconds)).transpose()?;
        let asked =
            Asked { until_ms, by, reason, ..self.asked(&settings, &request.profile, &request.scope)? };
        let drain = drain(request.drain_s, &settings)?;
        let draft = self.draft_of(&settings, &state, &asked)?;
        let outlook = self.foresee(&draft, &settings);
        if !request.cut_off {
            spared_all(&outlook)?;
        }
        let change = Change {
            method: "crypto/apply",
            name: asked.profile.name,
            what: asked.what(),
            by,
            reason,
            drain,
            fresh: false,
        };
        Ok((self.commit(draft, &change)?, until_ms))
    }

    /// What was asked for, compiled. The profile is an error if it cannot be used; nothing takes its place.
    pub(super) fn draft_of(
        &self,
        settings: &Settings,
        state: &CryptoState,
        asked: &Asked<'_>,
    ) -> Result<Draft, Problem> {
        let draft = self.draft(self.with(settings, state, asked)?)?;
        let replaced = draft
            .compiled
            .wanted
            .places()
            .any(|place| asked.slots.contains(&place.slot) && place.profile != asked.profile);
        if replaced {
            let compiled = asked.profile.compile_under(&draft.compiled.conditions);
            compiled.map_err(|source| Problem::Unusable {
                place: format!("profile {}", asked.profile.name),
                source,
            })?;
        }
        Ok(draft)
    }

    /// Takes the last change of a profile back.
    pub(crate) fn take_back(&self, request: &RollbackRequest) -> Result<Made, Problem> {
        let _turn = self.turn();
        let (settings, state) = self.settings_and_state();
        let by = text(&request.by)?;
        let what = state.last_change().ok_or(Problem::NothingBefore)?.to_owned();
        let draft = self.draft(state.rolled_back().ok_or(Problem::NothingBefore)?)?;
        let change = Change {
            method: "crypto/rollback",
            name: "",
            what: format!("taken back: {what}"),
            by,
            reason: "",
            drain: drain(request.drain_s, &settings)?,
            fresh: false,
        };
        self.commit(draft, &change)
    }

    /// Forbids an algorithm.
    pub(crate) fn forbid(&self, request: &BanRequest) -> Result<(Made, Ban), Problem> {
        let _turn = self.turn();
        let (settings, state) = self.settings_and_state();
        let (by, reason) = (text(&request.by)?, text(&request.reason)?);
        if reason.trim().is_empty() {
            return Err(Problem::Request("a ban has a reason: say it with --reason".to_owned()));
        }
        let (algorithm, provider) = Ban::parse_target(&request.target).map_err(Problem::Algorithm)?;
        let ban = Ban {
            algorithm,
            provider,
            keep_hybrids: request.keep_hybrids,
            reason: reason.to_owned(),
            since_ms: self.moment_ms(),
            by: by.to_owned(),
        };
        if state.bans.len() >= BANS_MAX {
            return Err(Problem::TooMany { what: "bans", max: BANS_MAX });
        }
        let draft = self.draft(state.banned(ban.clone()))?;
        let target = ban.target();
        let drain =
            if request.now { Drain::Asked(Duration::ZERO) } else { drain(request.drain_s, &settings)? };
        let change = Change {
            method: "crypto/ban",
            name: &target,
            what: format!("{target} is banned"),
            by,
            reason,
            drain,
            fresh: false,
        };
        Ok((self.commit(draft, &change)?, ban))
    }

    /// Lifts a ban.
    pub(crate) fn allow(&self, request: &LiftRequest) -> Result<(Made, Ban), Problem> {
        let _turn = self.turn();
        let (settings, state) = self.settings_and_state();
        let by = text(&request.by)?;
        let target = request.target.as_str();
        let Some((next, ban)) = state.lifted(target) else {
            let signed = settings.crypto.document.iter().flat_map(|signed| &signed.document.bans);
            if signed.into_iter().any(|ban| ban.target() == target) {
                return Err(Problem::SignedBan { target: target.to_owned() });
            }
            let banned: Vec<String> = state.bans.iter().map(Ban::target).collect();
            let banned = if banned.is_empty() { "none".to_owned() } else { banned.join(", ") };
            return Err(Problem::NotBanned { target: target.chars().take(64).collect(), banned });
        };
        let change = Change {
            method: "crypto/lift",
            name: target,
            what: format!("the ban of {target} is lifted"),
            by,
            reason: "",
            drain: Drain::Usual(settings.crypto.drain),
            fresh: false,
        };
        Ok((self.commit(self.draft(next)?, &change)?, ban))
    }

    /// A moment so many seconds from now.
    pub(super) fn until_ms(&self, seconds: u64) -> Result<u64, Problem> {
        if seconds == 0 || seconds > FOR_S_MAX {
            return Err(Problem::Request(format!("it can hold for 1 to {FOR_S_MAX} seconds")));
        }
        Ok(self.moment_ms().saturating_add(seconds * 1000))
    }

    pub(super) fn settings_and_state(&self) -> (Settings, CryptoState) {
        let changing = self.changing().lock();
        (changing.settings.clone(), changing.state.clone())
    }
}

/// Nobody who has a link, or had one lately, is cut off.
fn spared_all(outlook: &Outlook) -> Result<(), Problem> {
    let mut cut: Vec<&str> = outlook
        .links
        .iter()
        .map(|link| (link.agent.as_str(), link.verdict))
        .chain(outlook.peers.iter().map(|peer| (peer.agent.as_str(), peer.verdict)))
        .filter(|(_, verdict)| *verdict == Verdict::Refused)
        .map(|(agent, _)| agent)
        .collect();
    cut.sort_unstable();
    cut.dedup();
    if cut.is_empty() {
        return Ok(());
    }
    let more = if cut.len() > NAMES_MAX { ", …" } else { "" };
    let who = cut.iter().take(NAMES_MAX).copied().collect::<Vec<_>>().join(", ") + more;
    Err(Problem::CutOff { count: cut.len(), of: outlook.known(), who })
}

/// How long links get to move.
fn drain(asked_s: Option<u64>, settings: &Settings) -> Result<Drain, Problem> {
    match asked_s {
        None => Ok(Drain::Usual(settings.crypto.drain)),
        Some(seconds) if seconds <= DRAIN_S_MAX => Ok(Drain::Asked(Duration::from_secs(seconds))),
        Some(_) => Err(Problem::Request(format!("links can take at most {DRAIN_S_MAX} seconds to move"))),
    }
}

/// A text that a person gave, within its limit.
fn text(text: &str) -> Result<&str, Problem> {
    if text.len() > TEXT_BYTES_MAX {
        return Err(Problem::Request(format!("a reason or a name has at most {TEXT_BYTES_MAX} bytes")));
    }
    Ok(text)
}

fn unknown(settings: &Settings, slot: &Slot, what: &'static str) -> Problem {
    let (name, known): (&String, Vec<String>) = match slot {
        Slot::Listener(name) => (name, settings.listeners().map(|plan| plan.name.clone()).collect()),
        Slot::Upstream(name) => (name, settings.https().map(|(place, _)| place).collect()),
    };
    let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    Problem::Place { what, name: name.chars().take(64).collect(), known }
}
