//! What the events come to: rates, latencies, who calls what, which rules decide, and how the links stand.
//!
//! Every table is bounded. Where a bound is met, the oldest makes room, or what is new is counted under an empty name.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap, VecDeque};

use serde::{Deserialize, Serialize};

use crate::event::{Call, Event, Found, LinkChange, Note, Verdict, What};
use crate::latency::Histogram;
pub use crate::latency::Latency;

/// The time that rates, edges and latencies are told for, in seconds.
pub const WINDOW_S: u64 = 60;

/// Seconds that are kept: a quarter of an hour.
const SECONDS_MAX: usize = 900;
/// Parts of the window for which edges are counted, and their length in seconds.
const SLOTS: u64 = 6;
const SLOT_S: u64 = WINDOW_S / SLOTS;
/// Edges in one part of the window. More are counted under an empty name.
const EDGES_MAX: usize = 512;
/// Policies that are counted. Their ids come from configuration, not from callers.
const RULES_MAX: usize = 10_000;
/// Groups of refusals that are kept; the one not seen for longest makes room.
const GROUPS_MAX: usize = 256;
/// Findings that are kept.
const FINDINGS_MAX: usize = 200;
/// Handshakes that are kept.
const HANDSHAKES_MAX: usize = 512;
/// Looks at the postures that are kept: an hour of them, and thinned out, a day.
const SAMPLES_MAX: usize = 360;
const THINNED_MAX: usize = 288;
/// One in so many looks is kept for the day.
const THINNING: u64 = 30;
/// A finding belongs to a handshake of the same peer at most so many milliseconds later.
const MARK_MS_MAX: u64 = 2_000;

/// What happened in one second.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Second {
    /// Seconds since the Unix epoch.
    pub at_s: u64,
    /// Calls that ended.
    pub calls: u32,
    /// Those that this node refused.
    pub refused: u32,
    /// Those that failed behind it.
    pub failed: u32,
    /// Findings of detection.
    pub findings: u32,
    /// Links that began.
    pub links: u32,
    /// Links that were refused.
    pub links_refused: u32,
    /// Median of the calls' durations, in microseconds.
    pub p50_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// Who called what within the window. Empty names stand for what found no room in the table.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Edge {
    /// Who called.
    pub agent: String,
    /// Id of the server.
    pub server: String,
    /// The tool, prompt or resource, else the method.
    pub tool: String,
    /// Calls that ended.
    pub calls: u64,
    /// Those that this node refused.
    pub refused: u64,
    /// Those that failed behind it.
    pub failed: u64,
    /// The sum of their durations, in microseconds.
    pub total_us: u64,
    /// The longest.
    pub max_us: u64,
}

/// How often a policy decided since the start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleHits {
    /// Its id.
    pub policy: String,
    /// Calls that it permitted.
    pub permits: u64,
    /// Calls that it denied.
    pub denies: u64,
    /// Calls that it held for a person.
    pub holds: u64,
    /// Calls that it killed.
    pub kills: u64,
    /// The last time, in milliseconds since the Unix epoch.
    pub last_ms: u64,
}

/// Refusals of the same kind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RefusalGroup {
    /// How they ended.
    pub verdict: Verdict,
    /// The first policy or finding that decided; empty where none did.
    pub rule: String,
    /// The stage.
    pub stage: String,
    /// Who called.
    pub agent: String,
    /// Id of the server.
    pub server: String,
    /// The tool, prompt or resource, else the method.
    pub tool: String,
    /// How many.
    pub count: u64,
    /// The first and the last, in milliseconds since the Unix epoch.
    pub first_ms: u64,
    /// The last.
    pub last_ms: u64,
    /// Number of the last event.
    pub last_id: u64,
    /// Why, of the last.
    pub reason: String,
    /// What would have to change, of the last.
    pub hint: String,
}

/// A handshake that made a link.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Handshake {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Key exchange group.
    pub group: String,
    /// Its duration in microseconds.
    pub us: u64,
    /// Whether an earlier session was resumed.
    pub resumed: bool,
    /// Whether a second hello cost a round trip.
    pub hello_retry: bool,
    /// Whether every part of the link holds against a quantum adversary.
    pub quantum_safe: bool,
    /// Who came.
    pub agent: String,
    /// Where to.
    pub listener: String,
    /// Findings about it.
    pub findings: Vec<String>,
}

/// A finding, whatever it is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FindingSeen {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Number of the event that it came with.
    pub event: u64,
    /// Who called, or whom it is about.
    pub agent: String,
    /// Id of the server.
    pub server: String,
    /// The tool, prompt or resource, or the listener.
    pub name: String,
    /// The finding.
    #[serde(flatten)]
    pub found: Found,
}

/// A part of a [`Summary`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// [`Summary::seconds`].
    Seconds,
    /// [`Summary::edges`].
    Edges,
    /// [`Summary::rules`].
    Rules,
    /// [`Summary::refusals`].
    Refusals,
    /// [`Summary::findings`].
    Findings,
    /// [`Summary::handshakes`].
    Handshakes,
    /// [`Summary::postures`] and [`Summary::postures_day`].
    Postures,
}

impl Part {
    /// All of them, under the names by which they are asked for.
    pub const ALL: [(&'static str, Self); 7] = [
        ("seconds", Self::Seconds),
        ("edges", Self::Edges),
        ("rules", Self::Rules),
        ("refusals", Self::Refusals),
        ("findings", Self::Findings),
        ("handshakes", Self::Handshakes),
        ("postures", Self::Postures),
    ];
}

/// What of a summary somebody wants. The default is all of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// These parts; empty is all of them.
    pub parts: Vec<Part>,
    /// Seconds from this one on, since the Unix epoch.
    pub since_s: u64,
}

impl Wanted {
    fn has(&self, part: Part) -> bool {
        self.parts.is_empty() || self.parts.contains(&part)
    }
}

/// How the live links stood at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PostureSample {
    /// When, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Live links with a tunnel.
    pub links: u64,
    /// Those of them that hold against a quantum adversary.
    pub quantum_safe: u64,
    /// Those of them by key exchange group.
    pub groups: BTreeMap<String, u64>,
}

/// What the events come to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Summary {
    /// When it was made, in milliseconds since the Unix epoch.
    pub at_ms: u64,
    /// Events that were lost on their way here since the start, because there were too many at once.
    pub dropped: u64,
    /// Durations of the calls within the window.
    pub latency: Latency,
    /// Second by second, the oldest first; seconds without an event are left out.
    pub seconds: Vec<Second>,
    /// Within the window, the busiest first.
    pub edges: Vec<Edge>,
    /// Since the start, the last used first.
    pub rules: Vec<RuleHits>,
    /// Of late, the last first.
    pub refusals: Vec<RefusalGroup>,
    /// Of late, the oldest first.
    pub findings: Vec<FindingSeen>,
    /// Of late, the oldest first.
    pub handshakes: Vec<Handshake>,
    /// Postures over the last hour, the oldest first.
    pub postures: Vec<PostureSample>,
    /// Postures over the last day, thinned out.
    pub postures_day: Vec<PostureSample>,
}

type EdgeKey = (String, String, String);

#[derive(Debug, Default)]
struct Slot {
    number: u64,
    edges: HashMap<EdgeKey, Edge>,
}

#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) dropped: u64,
    seconds: VecDeque<(Second, Histogram)>,
    slots: VecDeque<Slot>,
    rules: HashMap<String, RuleHits>,
    groups: HashMap<(Verdict, String, EdgeKey), RefusalGroup>,
    findings: VecDeque<FindingSeen>,
    handshakes: VecDeque<Handshake>,
    marks: Vec<(u64, String, String)>,
    postures: VecDeque<PostureSample>,
    day: VecDeque<PostureSample>,
    samples: u64,
}

impl Tally {
    pub(crate) fn count(&mut self, id: u64, event: &Event) {
        match &event.what {
            What::Call(call) => self.call(id, event.at_ms, call),
            What::Link(change) => self.link(event.at_ms, change),
            What::Note(note) => self.note(id, event.at_ms, note),
        }
    }

    fn second(&mut self, at_ms: u64) -> &mut (Second, Histogram) {
        let at_s = at_ms / 1000;
        // Clocks are set, and events of two threads may come in the wrong order: the newest second takes them.
        if self.seconds.back().is_none_or(|(second, _)| second.at_s < at_s) {
            if let Some((second, histogram)) = self.seconds.back_mut() {
                seal(second, histogram);
            }
            self.seconds.push_back((Second { at_s, ..Second::default() }, Histogram::default()));
            if self.seconds.len() > SECONDS_MAX {
                self.seconds.pop_front();
            }
            // Durations are told for the window alone.
            let old = self.seconds.iter_mut().rev().skip(usize::try_from(WINDOW_S).unwrap_or(60));
            for (_, histogram) in old.take_while(|(_, histogram)| !histogram.is_empty()) {
                *histogram = Histogram::default();
            }
        }
        self.seconds.back_mut().expect("there is one now")
    }

    fn call(&mut self, id: u64, at_ms: u64, call: &Call) {
        let (second, histogram) = self.second(at_ms);
        second.calls += 1;
        second.refused += u32::from(call.verdict.is_refusal());
        second.failed += u32::from(call.verdict == Verdict::Failed);
        second.findings += u32::try_from(call.findings.len()).unwrap_or(u32::MAX);
        second.max_us = second.max_us.max(call.duration_us);
        histogram.add(call.duration_us);
        self.edge(at_ms, call);
        self.rules(at_ms, call);
        for found in &call.findings {
            let (agent, server, name) = key(call);
            self.found(FindingSeen { at_ms, event: id, agent, server, name, found: found.clone() });
        }
        if call.verdict.is_refusal() {
            self.group(id, at_ms, call);
        }
    }

    fn edge(&mut self, at_ms: u64, call: &Call) {
        let number = at_ms / 1000 / SLOT_S;
        if self.slots.back().is_none_or(|slot| slot.number < number) {
            self.slots.push_back(Slot { number, ..Slot::default() });
            if self.slots.len() > usize::try_from(SLOTS).unwrap_or(6) + 1 {
                self.slots.pop_front();
            }
        }
        let edges = &mut self.slots.back_mut().expect("there is one now").edges;
        let key = key(call);
        let key = if edges.len() < EDGES_MAX || edges.contains_key(&key) { key } else { EdgeKey::default() };
        let edge = edges.entry(key).or_default();
        edge.add(&Edge {
            calls: 1,
            refused: call.verdict.is_refusal().into(),
            failed: (call.verdict == Verdict::Failed).into(),
            total_us: call.duration_us,
            max_us: call.duration_us,
            ..Edge::default()
        });
    }

    fn rules(&mut self, at_ms: u64, call: &Call) {
        for policy in &call.policies {
            if self.rules.len() >= RULES_MAX && !self.rules.contains_key(policy) {
                continue;
            }
            let hits = self.rules.entry(policy.clone()).or_default();
            hits.last_ms = at_ms;
            match call.verdict {
                Verdict::Denied => hits.denies += 1,
                Verdict::Held => hits.holds += 1,
                Verdict::Killed => hits.kills += 1,
                _ => hits.permits += 1,
            }
        }
    }

    fn group(&mut self, id: u64, at_ms: u64, call: &Call) {
        let finding = call.findings.last().map(|found| found.id.clone());
        let rule = call.policies.first().filter(|_| call.verdict != Verdict::Screened).cloned();
        let rule = rule.or(finding).unwrap_or_default();
        let key = (call.verdict, rule.clone(), key(call));
        if self.groups.len() >= GROUPS_MAX && !self.groups.contains_key(&key) {
            let oldest =
                self.groups.iter().min_by_key(|(_, group)| group.last_ms).map(|(key, _)| key.clone());
            oldest.and_then(|oldest| self.groups.remove(&oldest));
        }
        let (agent, server, tool) = key.2.clone();
        let group = self.groups.entry(key).or_insert_with(|| RefusalGroup {
            verdict: call.verdict,
            rule,
            stage: call.stage.clone().unwrap_or_default(),
            agent,
            server,
            tool,
            count: 0,
            first_ms: at_ms,
            last_ms: at_ms,
            last_id: id,
            reason: String::new(),
            hint: String::new(),
        });
        group.count += 1;
        (group.last_ms, group.last_id) = (at_ms, id);
        group.reason = call.reason.clone().unwrap_or_default();
        group.hint = call.hint.clone().unwrap_or_default();
    }

    fn found(&mut self, found: FindingSeen) {
        self.findings.push_back(found);
        if self.findings.len() > FINDINGS_MAX {
            self.findings.pop_front();
        }
    }

    fn link(&mut self, at_ms: u64, change: &LinkChange) {
        let (second, _) = self.second(at_ms);
        match change.state.as_str() {
            "opened" => second.links += 1,
            "refused" => second.links_refused += 1,
            _ => {}
        }
        let (Some(group), Some(us), "opened") =
            (&change.link.group, change.link.handshake_us, change.state.as_str())
        else {
            return;
        };
        let link = &change.link;
        self.marks.retain(|(marked_ms, ..)| at_ms.saturating_sub(*marked_ms) < MARK_MS_MAX);
        let findings: Vec<String> =
            self.marks.extract_if(.., |(_, agent, _)| *agent == link.agent).map(|(.., id)| id).collect();
        self.handshakes.push_back(Handshake {
            at_ms,
            group: group.clone(),
            us,
            resumed: link.resumed,
            hello_retry: link.hello_retry,
            quantum_safe: link.quantum_safe == Some(true),
            agent: link.agent.clone(),
            listener: link.listener.clone(),
            findings,
        });
        if self.handshakes.len() > HANDSHAKES_MAX {
            self.handshakes.pop_front();
        }
    }

    fn note(&mut self, id: u64, at_ms: u64, note: &Note) {
        let (second, _) = self.second(at_ms);
        second.findings += u32::try_from(note.findings.len()).unwrap_or(u32::MAX);
        for finding in &note.findings {
            let reason = note.reason.clone().unwrap_or_default();
            self.found(FindingSeen {
                at_ms,
                event: id,
                agent: note.agent.clone().unwrap_or_default(),
                server: note.server.clone().unwrap_or_default(),
                name: note.name.clone().unwrap_or_default(),
                found: Found { id: finding.clone(), severity: None, reason, evidence: String::new() },
            });
        }
        let (Some(agent), Some("verify")) = (&note.agent, note.stage.as_deref()) else { return };
        let room = GROUPS_MAX.saturating_sub(self.marks.len());
        let marks = note.findings.iter().take(room).map(|id| (at_ms, agent.clone(), id.clone()));
        self.marks.extend(marks);
    }

    pub(crate) fn sample(&mut self, sample: PostureSample) {
        if self.samples.is_multiple_of(THINNING) {
            self.day.push_back(sample.clone());
            if self.day.len() > THINNED_MAX {
                self.day.pop_front();
            }
        }
        self.samples += 1;
        self.postures.push_back(sample);
        if self.postures.len() > SAMPLES_MAX {
            self.postures.pop_front();
        }
    }

    pub(crate) fn summary(&self, now_ms: u64, wanted: &Wanted) -> Summary {
        let now_s = now_ms / 1000;
        let mut window = Histogram::default();
        let recent = self.seconds.iter().filter(|(second, _)| second.at_s + WINDOW_S > now_s);
        recent.for_each(|(_, histogram)| window.merge(histogram));
        let mut summary =
            Summary { at_ms: now_ms, dropped: self.dropped, latency: window.latency(), ..Summary::default() };
        if wanted.has(Part::Seconds) {
            let from = self.seconds.iter().filter(|(second, _)| second.at_s >= wanted.since_s);
            summary.seconds = from.map(sealed).collect();
        }
        if wanted.has(Part::Edges) {
            summary.edges = self.edges(now_s);
        }
        if wanted.has(Part::Rules) {
            summary.rules = self.rules_by_use();
        }
        if wanted.has(Part::Refusals) {
            summary.refusals = self.groups.values().cloned().collect();
            summary.refusals.sort_unstable_by_key(|group| Reverse((group.last_ms, group.last_id)));
        }
        if wanted.has(Part::Findings) {
            summary.findings = self.findings.iter().cloned().collect();
        }
        if wanted.has(Part::Handshakes) {
            summary.handshakes = self.handshakes.iter().cloned().collect();
        }
        if wanted.has(Part::Postures) {
            summary.postures = self.postures.iter().cloned().collect();
            summary.postures_day = self.day.iter().cloned().collect();
        }
        summary
    }

    fn rules_by_use(&self) -> Vec<RuleHits> {
        let named =
            |(policy, hits): (&String, &RuleHits)| RuleHits { policy: policy.clone(), ..hits.clone() };
        let mut rules: Vec<RuleHits> = self.rules.iter().map(named).collect();
        rules.sort_unstable_by(|a, b| b.last_ms.cmp(&a.last_ms).then_with(|| a.policy.cmp(&b.policy)));
        rules
    }

    fn edges(&self, now_s: u64) -> Vec<Edge> {
        let mut all: HashMap<&EdgeKey, Edge> = HashMap::new();
        let since = (now_s / SLOT_S).saturating_sub(SLOTS);
        for slot in self.slots.iter().filter(|slot| slot.number > since) {
            for (key, edge) in &slot.edges {
                all.entry(key).or_default().add(edge);
            }
        }
        let named = |((agent, server, tool), edge): (&EdgeKey, Edge)| Edge {
            agent: agent.clone(),
            server: server.clone(),
            tool: tool.clone(),
            ..edge
        };
        let mut edges: Vec<Edge> = all.into_iter().map(named).collect();
        edges.sort_unstable_by(|a, b| {
            let names = |e: &Edge| (e.agent.clone(), e.server.clone(), e.tool.clone());
            b.calls.cmp(&a.calls).then_with(|| names(a).cmp(&names(b)))
        });
        edges
    }
}

impl Edge {
    fn add(&mut self, other: &Edge) {
        self.calls += other.calls;
        self.refused += other.refused;
        self.failed += other.failed;
        self.total_us = self.total_us.saturating_add(other.total_us);
        self.max_us = self.max_us.max(other.max_us);
    }
}

fn sealed((second, histogram): &(Second, Histogram)) -> Second {
    let mut second = second.clone();
    seal(&mut second, histogram);
    second
}

fn seal(second: &mut Second, histogram: &Histogram) {
    if !histogram.is_empty() {
        let Latency { p50_us, p99_us, .. } = histogram.latency();
        (second.p50_us, second.p99_us) = (p50_us, p99_us.min(second.max_us));
    }
}

fn key(call: &Call) -> EdgeKey {
    let tool = call.name.as_deref().unwrap_or(&call.method);
    (call.agent().to_owned(), call.server.clone(), tool.to_owned())
}

#[cfg(test)]
mod tests;
