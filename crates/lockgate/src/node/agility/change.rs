//! One change: everything is compiled, issued and built first, then recorded, then stored, then published. On any error
//! what was in force stays.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lockgate_audit::{Durability, Kind, Outcome, Record};
use lockgate_crypto::Conditions;
use lockgate_identity::{NodeIdentity, TrustBundle};
use lockgate_proxy::agility::{InForce, ListenerRule, MigrationView, Move, PeerRule};
use lockgate_proxy::upstream::Transport;
use lockgate_transport::{Prepared, ServerTls, Trust, dialer};

use super::super::control::{Changing, Control};
use super::super::faces;
use super::compile::{Compiled, compile, conditions, without_the_ended};
use super::problem::Problem;
use super::state::CryptoState;
use super::wanted::{self, wanted};
use crate::config::{Settings, TUNNEL};

/// The part of the store that holds [`CryptoState`].
pub(crate) const SPACE: &str = "crypto";

/// Its only key there.
pub(crate) const KEY: &str = "state";

/// Part of a second that each link gets when they move one after another, so that their handshakes leave room for calls:
/// twice what a handshake takes of a core, and a notice.
const MOVE_PER_LINK: Duration = Duration::from_micros(1_800);

/// The same where each peer has to get a certificate of another algorithm first.
const REISSUE_PER_LINK: Duration = Duration::from_micros(4_500);

/// Longest time that links are given without being asked: an operator waits for the end of a change.
const DRAIN_MAX: Duration = Duration::from_secs(600);

/// How long links may take to move.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Drain {
    /// As somebody asked.
    Asked(Duration),
    /// As the configuration says, and longer for a fleet that could not all move in that time.
    Usual(Duration),
}

/// A state that was compiled and may be put in force.
pub(crate) struct Draft {
    pub(crate) settings: Settings,
    pub(crate) state: CryptoState,
    pub(crate) compiled: Compiled,
    /// The certificates from outside, for each listener that has one; `None` leaves them as they are.
    pub(crate) own: Option<Vec<Option<NodeIdentity>>>,
}

/// What is said of a change.
pub(crate) struct Change<'a> {
    /// `crypto/apply` and the like.
    pub(crate) method: &'static str,
    /// The profile or algorithm that it is about.
    pub(crate) name: &'a str,
    /// In one sentence.
    pub(crate) what: String,
    pub(crate) by: &'a str,
    pub(crate) reason: &'a str,
    /// How long links may take to move.
    pub(crate) drain: Drain,
    /// Whether the node's own certificates are issued anew, even if those it has would do.
    pub(crate) fresh: bool,
}

/// A change that is in force.
pub(crate) struct Made {
    pub(crate) epoch_before: u64,
    pub(crate) epoch: u64,
    pub(crate) before: Vec<String>,
    pub(crate) after: Vec<String>,
    pub(crate) migration: MigrationView,
}

/// What is published, built.
struct Built {
    identity: NodeIdentity,
    bundle: TrustBundle,
    listeners: Vec<Prepared>,
    dialers: Vec<Option<dialer::Prepared>>,
}

impl Control {
    /// Compiles a state under the settings in force.
    pub(crate) fn draft(&self, state: CryptoState) -> Result<Draft, Problem> {
        let (settings, day) = {
            let changing = self.changing().lock();
            (changing.settings.clone(), changing.day)
        };
        self.draft_under(settings, state, day, None)
    }

    /// The same under other settings, or for another day.
    pub(crate) fn draft_under(
        &self,
        settings: Settings,
        state: CryptoState,
        day: jiff::civil::Date,
        own: Option<Vec<Option<NodeIdentity>>>,
    ) -> Result<Draft, Problem> {
        let in_force = self.changing().lock().in_force.conditions.clone();
        let state = follow_document(&settings, state, &in_force)?;
        let conditions = conditions(&settings, &state, day);
        let wanted = wanted(&settings, &state, self.moment_ms())?;
        let (wanted, ended) = without_the_ended(&settings, wanted, &conditions);
        ended.iter().for_each(|said| tracing::warn!("{said}"));
        let compiled = compile(wanted, conditions)?;
        Ok(Draft { settings, state, compiled, own })
    }

    /// Without what has ended, or what the settings have overruled; the state itself when nothing has.
    pub(crate) fn swept(&self, settings: &Settings, state: &CryptoState) -> Option<CryptoState> {
        let name = |slot: &super::state::Slot| {
            wanted::configured(settings, slot).map(|profile| profile.name.to_owned())
        };
        state.swept(self.moment_ms(), &name)
    }

    /// Puts a draft in force. Only one at a time may do so: hold [`Control::turn`].
    pub(crate) fn commit(&self, draft: Draft, change: &Change<'_>) -> Result<Made, Problem> {
        let made = self.build(&draft, change.fresh).and_then(|built| self.put(draft, change, built));
        if let Err(problem) = &made {
            let record = self.record_of(change, Outcome::Refused, (&[], &[]), None);
            let record = Record { reason: Some(format!("{}: {problem}", change.what).into()), ..record };
            if let Err(error) = self.node().append(&record, Durability::Durable) {
                tracing::error!(%error, "a change that was not made cannot be recorded");
            }
            tracing::warn!("not changed, the old epoch stays: {}: {problem}", change.what);
        }
        made
    }

    fn put(&self, draft: Draft, change: &Change<'_>, built: Built) -> Result<Made, Problem> {
        let old = Arc::clone(&self.changing().lock().in_force);
        let (before, after) = old.differences(&draft.compiled);
        let epoch = draft.state.epoch;
        let record = self.record_of(change, Outcome::Ok, (&before, &after), Some(epoch));
        self.node().append(&record, Durability::Durable).map_err(Problem::Unrecorded)?;
        self.store().put_json(SPACE, KEY, &draft.state).map_err(Problem::Unstored)?;
        let migration = self.publish(draft, built, change.drain)?;
        tracing::info!(epoch, by = change.by, "{}", change.what);
        Ok(Made { epoch_before: old.conditions.epoch, epoch, before, after, migration })
    }

    fn record_of<'a>(
        &self,
        change: &'a Change<'_>,
        outcome: Outcome,
        (before, after): (&'a [String], &'a [String]),
        epoch: Option<u64>,
    ) -> Record<'a> {
        let what = &change.what;
        let reason = match change.reason {
            "" => Cow::Borrowed(what.as_str()),
            reason => Cow::Owned(format!("{what}: {reason}")),
        };
        Record {
            method: Some(change.method.into()),
            name: Some(change.name.into()),
            agent: Some(change.by.into()),
            reason: Some(reason),
            before: Cow::Borrowed(before),
            after: Cow::Borrowed(after),
            epoch,
            ..Record::new(Kind::Crypto, outcome)
        }
    }

    /// Everything that can fail: roots, certificates, TLS of every listener and dialer.
    fn build(&self, draft: &Draft, fresh: bool) -> Result<Built, Problem> {
        let failed = |what: &'static str| {
            move |error: &dyn std::error::Error| Problem::Certificates { what, cause: error.to_string() }
        };
        let now = SystemTime::now();
        let outside =
            |name: &str| draft.settings.listeners().any(|plan| plan.name == name && plan.tls.is_some());
        let algorithms = draft.compiled.identities(&outside);
        let registrar = self.registrar();
        registrar
            .authority()
            .ensure(&algorithms, now)
            .map_err(|error| failed("the authority cannot make a root")(&error))?;
        // Copied, so that nobody who asks for the status waits for keys to be made.
        let (held, served, dialled) = {
            let changing = self.changing().lock();
            let served: Vec<_> =
                changing.served.iter().map(|served| (served.name.clone(), served.own.clone())).collect();
            (changing.identity.clone(), served, changing.dialled.clone())
        };
        let held = (!fresh).then_some(&held);
        let identity = faces::issue(&draft.settings, registrar.authority(), held, &algorithms)
            .map_err(|error| Problem::Certificates { what: "no certificates", cause: error.to_string() })?;
        let bundle = registrar.bundle();
        let mut listeners = Vec::new();
        for (n, (name, own)) in served.iter().enumerate() {
            let own = draft.own.as_ref().map_or(own.as_ref(), |own| own[n].as_ref());
            let suite = draft.compiled.accepted_by(name).expect("what is served is wanted").clone();
            let prepared = ServerTls::prepare(suite, own.unwrap_or(&identity), &bundle);
            listeners.push(prepared.map_err(|error| failed("TLS cannot be set up")(&error))?);
        }
        let mut dialers = Vec::new();
        for dialled in &dialled {
            // A fact that is about to go is dialled, but not wanted any more.
            let Some(suite) = draft.compiled.upstream(&dialled.name) else {
                dialers.push(None);
                continue;
            };
            let prepared = dialled.dialer.prepare(suite.clone(), None, Trust::foreign(&dialled.roots));
            dialers.push(Some(prepared.map_err(|error| failed("TLS cannot be set up")(&error))?));
        }
        Ok(Built { identity, bundle, listeners, dialers })
    }

    /// Swaps listeners and dialers, and lets the links follow.
    fn publish(&self, draft: Draft, built: Built, drain: Drain) -> Result<MigrationView, Problem> {
        let in_force = rules(&draft.compiled, &built.bundle);
        let pace = self.pace(drain, &in_force);
        let mut changing = self.changing().lock();
        let Changing { served, dialled, .. } = &mut *changing;
        for (served, prepared) in served.iter().zip(built.listeners) {
            let sessions = served.tls.publish(prepared);
            served.face.bundle.store(Arc::new(built.bundle.clone()));
            tracing::debug!(listener = %served.name, ?sessions, "listener swapped");
        }
        for (dialled, prepared) in dialled.iter().zip(built.dialers) {
            if let Some(prepared) = prepared {
                dialled.dialer.publish(prepared);
            }
        }
        let published = self.node().publish(in_force, pace);
        let migration = published.map_err(|error| Problem::Published(error.to_string()))?;
        if let Some(own) = draft.own {
            served.iter_mut().zip(own).for_each(|(served, own)| served.own = own);
        }
        changing.identity = built.identity;
        changing.settings = draft.settings;
        changing.state = draft.state;
        let before = std::mem::replace(&mut changing.in_force, Arc::new(draft.compiled));
        changing.day = changing.in_force.conditions.date;
        let in_force = Arc::clone(&changing.in_force);
        drop(changing);
        self.node().link_watch().set_continuity(self.changing().lock().settings.crypto.continuity);
        self.tell_sunsets();
        self.woken().notify_one();
        self.facts().load().retire_links();
        self.move_upstreams(&before, &in_force, pace.deadline);
        Ok(migration)
    }

    /// Connections to servers whose suite forbids one of them are replaced, and what is left at the deadline is cut.
    fn move_upstreams(&self, before: &Compiled, in_force: &Compiled, deadline: Duration) {
        for (place, suite) in in_force.wanted.upstreams.iter().zip(&in_force.upstreams) {
            let Some(server) = self.node().server(&place.name) else { continue };
            let Transport::Http(http) = server.upstream.transport() else { continue };
            let links = http.links();
            let forbidden = links
                .iter()
                .filter_map(|link| link.posture.as_ref())
                .any(|posture| !suite.judge(posture).is_empty());
            if !forbidden {
                let was = before.wanted.upstreams.iter().position(|was| was.name == place.name);
                let old = was.and_then(|at| before.upstreams.get(at));
                if old.is_some_and(|old| !suite.admits_everything_of(old)) {
                    // A connection that is being opened under the old suite is not kept for a second request.
                    http.retire();
                }
                continue;
            }
            if deadline.is_zero() {
                http.retire();
                http.cut_retired();
                continue;
            }
            let name = place.name.clone();
            let cut_at = tokio::time::Instant::now() + deadline;
            tokio::spawn(async move {
                let Transport::Http(http) = server.upstream.transport() else { return };
                let replaced = tokio::time::timeout_at(cut_at, http.replace()).await;
                match &replaced {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => {
                        tracing::warn!(server = name, %error, "no connection under the new profile; the old ones end at the deadline");
                    }
                    Err(_) => tracing::warn!(server = name, "no connection under the new profile in time"),
                }
                tokio::time::sleep_until(cut_at).await;
                // What was replaced is retired already, and what replaced it carries calls.
                if !matches!(replaced, Ok(Ok(()))) {
                    http.retire();
                }
                http.cut_retired();
            });
        }
    }
}

/// The signed document of the settings, if it may follow the last one: whoever breaks what is banned under `conditions` must
/// not lift the ban by a document that it signs with it. The very same document may always come again.
pub(super) fn follow_document(
    settings: &Settings,
    mut state: CryptoState,
    conditions: &Conditions,
) -> Result<CryptoState, Problem> {
    let Some(signed) = &settings.crypto.document else { return Ok(state) };
    let document = &signed.document;
    document.follows(state.document.as_ref()).map_err(|error| Problem::Document(error.to_string()))?;
    if state.document.as_ref() != Some(&document.seen())
        && let Some(why) = conditions.refusal_of(signed.signer.algorithm)
    {
        return Err(Problem::Document(format!("its signature counts no more: {why}")));
    }
    state.document = Some(document.seen());
    Ok(state)
}

/// What links of each listener are judged by.
pub(super) fn rules(compiled: &Compiled, bundle: &TrustBundle) -> InForce {
    let exceptions: Vec<PeerRule> = compiled
        .wanted
        .peers
        .iter()
        .zip(&compiled.peers)
        .map(|(peer, suite)| PeerRule {
            peer: peer.peer.clone(),
            suite: suite.clone(),
            expires_ms: peer.until_ms,
        })
        .collect();
    let listeners = compiled.wanted.listeners.iter().zip(&compiled.listeners);
    let listeners = listeners.map(|(place, suite)| {
        // Peers have names on the tunnel only.
        let exceptions = if place.name == TUNNEL { exceptions.clone() } else { Vec::new() };
        (Arc::from(place.name.as_str()), ListenerRule { suite: suite.clone(), exceptions })
    });
    InForce {
        epoch: compiled.conditions.epoch,
        listeners: listeners.collect(),
        authority: bundle.fingerprint().to_owned(),
        bundle_sequence: bundle.sequence(),
    }
}

impl Control {
    fn pace(&self, drain: Drain, next: &InForce) -> Move {
        let (links, now_ms) = (self.node().links.snapshot(), self.moment_ms());
        let reissues = links.iter().any(|link| {
            let suite = next.rule(&link.listener, &link.agent, now_ms);
            let own = link.posture.as_ref().and_then(|posture| posture.peer_signature.as_deref());
            suite.zip(own).is_some_and(|(suite, own)| !suite.signatures().iter().any(|row| row.id == own))
        });
        pace(drain, links.len(), if reissues { REISSUE_PER_LINK } else { MOVE_PER_LINK })
    }
}

/// At most half of the time goes into spreading; the rest is for calls to end.
fn pace(drain: Drain, links: usize, each: Duration) -> Move {
    let all = each.saturating_mul(u32::try_from(links).unwrap_or(u32::MAX));
    let deadline = match drain {
        Drain::Asked(asked) => asked,
        Drain::Usual(usual) => usual.max((all * 2).min(DRAIN_MAX)),
    };
    Move { within: all.min(deadline / 2), deadline }
}

/// The rules of a start, before any link.
pub(crate) fn first_rules(compiled: &Compiled, bundle: &TrustBundle) -> InForce {
    rules(compiled, bundle)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn many_links_are_spread_and_few_are_not_kept_waiting() {
        let (s, ms) = (Duration::from_secs, Duration::from_millis);
        for (drain, links, each, within, deadline) in [
            (Drain::Usual(s(30)), 0, ms(2), Duration::ZERO, s(30)),
            (Drain::Usual(s(30)), 1_000, ms(2), s(2), s(30)),
            (Drain::Usual(s(30)), 10_000, ms(2), s(20), s(40)),
            (Drain::Usual(s(30)), 10_000_000, ms(2), s(300), s(600)),
            (Drain::Asked(s(30)), 1_000_000, ms(2), s(15), s(30)),
            (Drain::Asked(s(0)), 1_000, ms(2), Duration::ZERO, s(0)),
        ] {
            let pace = pace(drain, links, each);
            assert_eq!((pace.within, pace.deadline), (within, deadline), "{drain:?} {links}");
        }
    }
}
