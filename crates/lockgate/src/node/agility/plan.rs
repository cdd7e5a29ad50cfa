//! What a change would do to the links that are up and to the peers that were seen, without making it.

use std::collections::{HashMap, HashSet};

use lockgate_admin::{
    CapabilitiesView, CostView, ForeseenView, PlaceKind, Plan, PlanRequest, PlannedCertificate, PlannedCost,
    PlannedLink, PlannedPeer, PlannedPlace, Verdict,
};
use lockgate_crypto::{Algorithm, Capabilities, Foreseen, Posture, Profile, Suite, catalog, profile};
use lockgate_proxy::agility::PeerView;
use lockgate_proxy::link::LinkView;

use super::super::control::Control;
use super::super::faces;
use super::change::{Draft, rules};
use super::compile::Compiled;
use super::problem::Problem;
use super::requests::Asked;
use super::state::Slot;
use crate::config::{Settings, TUNNEL};

/// What would become of everybody.
pub(super) struct Outlook {
    pub(super) links: Vec<PlannedLink>,
    pub(super) peers: Vec<PlannedPeer>,
}

impl Outlook {
    /// Links and peers that were looked at.
    pub(super) fn known(&self) -> usize {
        self.links.len() + self.peers.len()
    }

    fn count(&self, verdict: Verdict) -> u64 {
        let links = self.links.iter().map(|link| link.verdict);
        let all = links.chain(self.peers.iter().map(|peer| peer.verdict));
        u64::try_from(all.filter(|found| *found == verdict).count()).unwrap_or(u64::MAX)
    }
}

/// What becomes of one of them, and why.
struct Fate {
    verdict: Verdict,
    why: Vec<String>,
    foreseen: Option<ForeseenView>,
}

impl Control {
    /// A dry run.
    pub(crate) fn dry_run(&self, request: &PlanRequest) -> Result<Plan, Problem> {
        let (settings, state) = self.settings_and_state();
        // An exception must end and have a reason; a plan asks for neither.
        let until_ms = (!request.scope.peers.is_empty()).then(|| self.moment_ms() + 1);
        let asked = self.asked(&settings, &request.profile, &request.scope)?;
        let asked =
            Asked { until_ms: until_ms.map(|at| at + 3_600_000), by: "plan", reason: "plan", ..asked };
        let draft = self.draft_of(&settings, &state, &asked)?;
        self.plan_of(&draft, &settings, asked.profile.name)
    }

    /// The plan of a draft.
    pub(super) fn plan_of(&self, draft: &Draft, settings: &Settings, profile: &str) -> Result<Plan, Problem> {
        let outlook = self.foresee(draft, settings);
        let in_force = std::sync::Arc::clone(&self.changing().lock().in_force);
        let certificates = self.certificates(draft, &outlook);
        Ok(Plan {
            epoch: in_force.conditions.epoch,
            profile: profile.to_owned(),
            places: places(&in_force, &draft.compiled),
            certificates,
            costs: costs(&in_force, &draft.compiled)?,
            stays: outlook.count(Verdict::Stays),
            moves: outlook.count(Verdict::Moves),
            refused: outlook.count(Verdict::Refused),
            links: outlook.links,
            peers: outlook.peers,
        })
    }

    /// What would become of the links that are up and of the peers that were seen, where anything changes.
    pub(super) fn foresee(&self, draft: &Draft, settings: &Settings) -> Outlook {
        let bundle = self.registrar().bundle();
        let next = rules(&draft.compiled, &bundle);
        let peers = self.node().peers();
        let by_name: HashMap<&str, &PeerView> =
            peers.iter().map(|peer| (peer.agent.as_str(), peer)).collect();
        let now_ms = self.moment_ms();
        let in_force = std::sync::Arc::clone(&self.changing().lock().in_force);
        let changed: Vec<&str> = draft
            .compiled
            .wanted
            .listeners
            .iter()
            .map(|place| place.name.as_str())
            .filter(|name| draft.compiled.differs_at(name, &in_force))
            .collect();
        let mut links = Vec::new();
        for link in self.node().links.snapshot() {
            if !changed.contains(&link.listener.as_str()) {
                continue;
            }
            let Some(posture) = &link.posture else { continue };
            let Some(suite) = next.rule(&link.listener, &link.agent, now_ms) else { continue };
            let peer = by_name.get(link.agent.as_str()).or_else(|| {
                let name = address_of(link.peer.as_deref()?)?;
                by_name.get(name.as_str())
            });
            let peer = peer.copied();
            let fate = fate(suite, Some(posture), peer, draft);
            links.push(planned_link(&link, fate, peer));
        }
        let mut gone = Vec::new();
        // On the tunnel nobody stays without a name: what has only an address there was enrolling, or measuring.
        let nobody = |peer: &PeerView| peer.listener == TUNNEL && is_nameless(&peer.agent);
        let away = peers.iter().filter(|peer| peer.live_links == 0 && !nobody(peer));
        for peer in away.filter(|peer| changed.contains(&peer.listener.as_str())) {
            let Some(suite) = next.rule(&peer.listener, &peer.agent, now_ms) else { continue };
            // Who never told what it can do cannot be foreseen.
            if peer.capabilities.is_none() {
                continue;
            }
            gone.push(planned_peer(peer, fate(suite, None, Some(peer), draft)));
        }
        links.extend(self.foresee_upstreams(draft, settings));
        Outlook { links, peers: gone }
    }

    /// The certificates that a draft asks for.
    fn certificates(&self, draft: &Draft, outlook: &Outlook) -> Vec<PlannedCertificate> {
        let (node, held) = {
            let changing = self.changing().lock();
            (changing.identity.id.to_string(), changing.identity.algorithms())
        };
        let outside = faces::from_outside(&draft.settings);
        let identities = draft.compiled.identities(&outside);
        let bundle = self.registrar().bundle();
        let mut planned = Vec::new();
        for algorithm in &identities {
            let certificate = |role: &str, name: &str| PlannedCertificate {
                role: role.to_owned(),
                name: name.to_owned(),
                from: None,
                to: algorithm.id.to_owned(),
            };
            if !bundle.roots().iter().any(|root| root.algorithm().id == algorithm.id) {
                planned.push(certificate("root", bundle.trust_domain()));
            }
            if !held.iter().any(|held| held.id == algorithm.id) {
                planned.push(certificate("node", &node));
            }
        }
        let Some(at) = draft.compiled.wanted.listeners.iter().position(|place| place.name == TUNNEL) else {
            return planned;
        };
        let suite = &draft.compiled.listeners[at];
        let leaving = outlook.links.iter().filter(|link| link.place == TUNNEL);
        let signatures: HashMap<String, Option<String>> = self
            .node()
            .peers()
            .into_iter()
            .map(|peer| (peer.agent, peer.posture.and_then(|posture| posture.peer_signature)))
            .collect();
        let mut done = HashSet::new();
        for link in leaving.filter(|link| link.verdict == Verdict::Moves) {
            let Some(Some(from)) = signatures.get(&link.agent) else { continue };
            if suite.signatures().iter().any(|row| row.id == from) || !done.insert(&link.agent) {
                continue;
            }
            let from = from.clone();
            let to = suite.identities().first().map_or("", |row| row.id).to_owned();
            planned.push(PlannedCertificate {
                role: "agent".to_owned(),
                name: link.agent.clone(),
                from: Some(from),
                to,
            });
        }
        planned
    }
}

/// By what was negotiated, then by what the peer can do.
fn fate(suite: &Suite, posture: Option<&Posture>, peer: Option<&PeerView>, draft: &Draft) -> Fate {
    let breaches = posture.map(|posture| suite.judge(posture)).unwrap_or_default();
    if posture.is_some() && breaches.is_empty() {
        return Fate { verdict: Verdict::Stays, why: Vec::new(), foreseen: None };
    }
    let mut why: Vec<String> = breaches.iter().map(ToString::to_string).collect();
    match foreseen(suite, peer, draft) {
        Some(Ok(foreseen)) => Fate { verdict: Verdict::Moves, why, foreseen: Some(shown(foreseen)) },
        Some(Err(refusal)) => {
            why.push(refusal);
            Fate { verdict: Verdict::Refused, why, foreseen: None }
        }
        // It has a link and never told what it offers: it comes from a version before this one.
        None => {
            why.push("what the peer can do is not known; it may not come back".to_owned());
            Fate { verdict: Verdict::Refused, why, foreseen: None }
        }
    }
}

/// A connector that follows can do what this version can, down to its floor; anybody else, what it offered last.
fn foreseen(suite: &Suite, peer: Option<&PeerView>, draft: &Draft) -> Option<Result<Foreseen, String>> {
    let peer = peer?;
    let following = peer.following.as_ref().and_then(|following| following.profile.as_deref());
    if let Some(floor) = following {
        let floor = draft.settings.crypto.profiles.find(floor).unwrap_or_else(|_| profile::default());
        let theirs = at_or_above(suite, floor);
        let short =
            [("group", &theirs.groups), ("signature", &theirs.signatures), ("cipher", &theirs.ciphers)];
        if let Some((what, _)) = short.into_iter().find(|(_, ids)| ids.is_empty()) {
            let why = format!("its connector does not follow below {}: no {what} is left for it", floor.name);
            return Some(Err(why));
        }
        return Some(suite.foresee(&theirs).map_err(|error| error.to_string()));
    }
    let offered = peer.capabilities.as_ref()?;
    let mut foreseen = suite.foresee(offered).map_err(|error| error.to_string());
    let signature = peer.posture.as_ref().and_then(|posture| posture.peer_signature.clone());
    if let (Ok(_), Some(signature)) = (&foreseen, signature)
        && !suite.signatures().iter().any(|row| row.id == signature)
    {
        foreseen = Err(format!("its certificate is made of {signature}, and it does not follow to another"));
    }
    Some(foreseen)
}

/// What a connector takes of a suite: whatever is no weaker than the weakest of its kind in its floor.
fn at_or_above(suite: &Suite, floor: &Profile) -> Capabilities {
    let strength = |row: &Algorithm| (row.is_quantum_safe(), row.nist_level);
    let keep = |rows: &[&'static Algorithm], permitted: &[&str]| -> Vec<String> {
        let least = permitted.iter().filter_map(|id| catalog::find(id)).map(strength).min();
        let kept = rows.iter().filter(|row| Some(strength(row)) >= least);
        kept.map(|row| row.id.to_owned()).collect()
    };
    Capabilities {
        groups: keep(suite.groups(), floor.groups),
        signatures: keep(suite.signatures(), floor.signatures),
        ciphers: keep(suite.ciphers(), floor.ciphers),
    }
}

fn places(in_force: &Compiled, next: &Compiled) -> Vec<PlannedPlace> {
    let mut planned = Vec::new();
    for (old, new) in in_force.wanted.places().zip(next.wanted.places()) {
        if old.profile != new.profile {
            let kind = match new.slot {
                Slot::Listener(_) => PlaceKind::Listener,
                Slot::Upstream(_) => PlaceKind::Upstream,
            };
            planned.push(PlannedPlace {
                kind,
                name: new.name.clone(),
                from: old.profile.name.to_owned(),
                to: new.profile.name.to_owned(),
            });
        }
    }
    let tunnel = in_force.wanted.listeners.iter().find(|place| place.name == TUNNEL);
    for peer in &next.wanted.peers {
        let old = in_force.wanted.peers.iter().find(|old| old.peer == peer.peer).map(|old| old.profile);
        let old = old.or(tunnel.map(|place| place.profile));
        if old != Some(peer.profile) {
            planned.push(PlannedPlace {
                kind: PlaceKind::Exception,
                name: peer.peer.clone(),
                from: old.map_or("", |profile| profile.name).to_owned(),
                to: peer.profile.name.to_owned(),
            });
        }
    }
    planned
}

fn costs(in_force: &Compiled, next: &Compiled) -> Result<Vec<PlannedCost>, Problem> {
    // Measured once for each profile: the slowest signatures take a while.
    let mut measured: HashMap<&'static str, CostView> = HashMap::new();
    let mut cost = |place: &str, suite: &Suite| -> Result<CostView, Problem> {
        let name = suite.profile().name;
        if let Some(known) = measured.get(name) {
            return Ok(known.clone());
        }
        let cost = suite.cost();
        let cost = cost.map_err(|source| Problem::Unusable { place: place.to_owned(), source })?;
        Ok(measured.entry(name).or_insert(cost_view(cost)).clone())
    };
    let old: HashMap<String, &Suite> = in_force.suites().collect();
    let mut planned = Vec::new();
    for (place, new) in next.suites() {
        let Some(old) = old.get(&place).filter(|old| old.profile() != new.profile()) else { continue };
        let (before, after) = (cost(&place, old)?, cost(&place, new)?);
        planned.push(PlannedCost { place, before, after });
    }
    Ok(planned)
}

fn cost_view(cost: lockgate_crypto::Cost) -> CostView {
    let lockgate_crypto::Cost { group, signature, bytes_up, bytes_down, client_us, server_us } = cost;
    CostView { group, signature, bytes_up, bytes_down, client_us, server_us }
}

fn planned_link(link: &LinkView, fate: Fate, peer: Option<&PeerView>) -> PlannedLink {
    PlannedLink {
        number: link.number,
        place: link.listener.clone(),
        agent: link.agent.clone(),
        peer: link.peer.clone(),
        verdict: fate.verdict,
        why: fate.why,
        foreseen: fate.foreseen,
        capabilities: peer.and_then(|peer| peer.capabilities.as_ref()).map(capabilities),
    }
}

fn planned_peer(peer: &PeerView, fate: Fate) -> PlannedPeer {
    PlannedPeer {
        agent: peer.agent.clone(),
        last_seen_ms: peer.last_seen_ms,
        verdict: fate.verdict,
        why: fate.why,
        foreseen: fate.foreseen,
        capabilities: peer.capabilities.as_ref().map(capabilities),
    }
}

pub(super) fn capabilities(offered: &Capabilities) -> CapabilitiesView {
    let Capabilities { groups, signatures, ciphers } = offered.clone();
    CapabilitiesView { groups, signatures, ciphers }
}

fn is_nameless(agent: &str) -> bool {
    agent.starts_with(lockgate_detect::links::ADDRESS_PREFIX)
}

fn shown(foreseen: Foreseen) -> ForeseenView {
    let Foreseen { group, signature, hello_retry_likely } = foreseen;
    ForeseenView { group, signature, hello_retry_likely }
}

/// What a peer without an id is called: by its address, without the port.
fn address_of(peer: &str) -> Option<String> {
    peer.parse::<std::net::SocketAddr>().ok().map(|peer| format!("address:{}", peer.ip()))
}
