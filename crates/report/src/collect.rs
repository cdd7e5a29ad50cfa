//! One pass through the log, in bounded memory.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use lockgate_audit::{Entry, Kind, Line};
use serde::Serialize;

use crate::count::{Cite, Counted, Tally};
use crate::flow::{self, Flow};
use crate::incident::Timeline;
use crate::life::Life;
use crate::period::Period;
use crate::signal::{self, Signal};
use crate::text::{hex, visible};
use crate::wire::Wire;

/// Most changes (policy, cryptography, authority) that are listed one by one.
const CHANGES_MAX: usize = 300;

/// Takes the lines of a log, oldest first.
pub struct Collector {
    pub(crate) period: Period,
    pub(crate) lines: u64,
    pub(crate) unreadable: u64,
    pub(crate) first: Option<Cite>,
    pub(crate) last: Option<Cite>,
    pub(crate) counts: BTreeMap<Signal, Counted>,
    pub(crate) denials: Tally<u64>,
    pub(crate) wire: Wire,
    pub(crate) life: Life,
    pub(crate) flows: Tally<Flow>,
    pub(crate) timeline: Timeline,
    pub(crate) changes: Vec<Cite>,
    pub(crate) changes_left_out: u64,
    /// Hash of the line that was read last.
    pub(crate) head: Option<[u8; 32]>,
}

impl Collector {
    /// For this period.
    #[must_use]
    pub fn new(period: Period) -> Self {
        Self {
            wire: Wire::new(&period),
            period,
            lines: 0,
            unreadable: 0,
            first: None,
            last: None,
            counts: BTreeMap::new(),
            denials: Tally::default(),
            life: Life::default(),
            flows: Tally::default(),
            timeline: Timeline::default(),
            changes: Vec::new(),
            changes_left_out: 0,
            head: None,
        }
    }

    /// Takes the next line. Lines before and after the period count for when the node was up, and for nothing else.
    pub fn add(&mut self, line: Line<'_>) {
        let hash = line.sha256();
        self.head = Some(hash);
        let number = self.lines;
        self.lines += 1;
        let entry = line.entry();
        let time_ms = entry.as_ref().and_then(|entry| entry.time.parse::<Timestamp>().ok());
        let (Some(entry), Some(time)) = (entry, time_ms) else {
            self.unreadable += 1;
            return;
        };
        let cite = Cite { line: number, seq: entry.seq, time_ms: time.as_millisecond(), hash };
        self.first.get_or_insert(cite);
        self.last = Some(cite);
        let seen = self.life.add(&entry, cite, &self.period);
        let Some(day) = self.period.day_of(cite.time_ms) else { return };
        let mut signals = signal::of(&entry);
        for (is, signal) in [
            (seen.clock_back, Signal::ClockBack),
            (seen.unclean_start, Signal::UncleanStarts),
            (self.timeline.is_burst(&entry.record, cite.time_ms), Signal::RefusalBursts),
        ] {
            if is {
                signals.add(signal);
            }
        }
        for signal in signals.iter() {
            self.counts.entry(signal).or_default().add(cite);
        }
        self.wire.add(&entry.record, day, cite);
        flow::add(&mut self.flows, &entry.record);
        self.timeline.add(&entry.record, signals, cite);
        if signals.has(Signal::CallsDenied)
            || signals.has(Signal::CallsKilled)
            || signals.has(Signal::CallsHeld)
        {
            match entry.record.policies.first() {
                Some(policy) => *self.denials.at(policy) += 1,
                None => *self.denials.at("no policy permits it") += 1,
            }
        }
        self.change(&entry, cite);
    }

    /// To be called when the last line was given.
    pub fn end(&mut self) {
        self.life.end(&self.period);
    }

    /// SHA-256 of the last line that was given, in lower-case hex: the head hash of what was read.
    #[must_use]
    pub fn head_hash(&self) -> Option<String> {
        self.head.map(|hash| hex(&hash))
    }

    fn change(&mut self, entry: &Entry, cite: Cite) {
        let is_change = match entry.record.kind {
            Kind::Policy | Kind::Crypto => true,
            Kind::Identity => matches!(
                entry.record.method.as_deref(),
                Some("identity/revoke" | "identity/restore" | "identity/rotate-root" | "identity/invite")
            ),
            _ => false,
        };
        match is_change {
            false => {}
            true if self.changes.len() < CHANGES_MAX => self.changes.push(cite),
            true => self.changes_left_out += 1,
        }
    }

    pub(crate) fn count(&self, signal: Signal) -> u64 {
        self.counts.get(&signal).map_or(0, |counted| counted.count)
    }

    /// The lines that the report of these signals cites, by their number from 0 at the beginning of the log, with their hash.
    pub(crate) fn cited(&self, signals: &BTreeSet<Signal>) -> BTreeMap<u64, [u8; 32]> {
        let counted =
            self.counts.iter().filter(|(signal, _)| signals.contains(signal)).map(|(_, counted)| counted);
        let weak = self.wire.weak.iter().map(|(_, counted)| counted);
        let cites = counted.chain(weak).flat_map(Counted::cites);
        let cites = cites.chain(self.timeline.listed.iter().map(|happening| happening.cite));
        let cites =
            cites.chain(self.life.down.iter().map(|gap| gap.cite)).chain(self.changes.iter().copied());
        cites.chain(self.last).map(|cite| (cite.line, cite.hash)).collect()
    }
}

/// A record that the report cites, in short.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Cited {
    /// Its number.
    pub seq: u64,
    /// When it was made, RFC 3339.
    pub time: String,
    /// SHA-256 of its line with the newline.
    pub sha256: String,
    /// What it says, in one line.
    pub says: String,
}

impl Cited {
    /// In short, what a line says.
    #[must_use]
    pub fn of(line: Line<'_>) -> Option<Self> {
        let entry = line.entry()?;
        Some(Self { seq: entry.seq, says: says(&entry), sha256: hex(&line.sha256()), time: entry.time })
    }
}

/// One line about a record: who did what, how it ended and why.
fn says(entry: &Entry) -> String {
    let record = &entry.record;
    let kind = serde_json::to_value(record.kind).ok();
    let kind = kind.as_ref().and_then(|kind| kind.as_str()).unwrap_or("record");
    let outcome = serde_json::to_value(record.outcome).ok();
    let outcome = outcome.as_ref().and_then(|outcome| outcome.as_str()).unwrap_or("");
    let mut text = match record.stage.as_deref() {
        Some(stage) => format!("{kind}, {outcome} at {}", visible(stage, 20)),
        None => format!("{kind}, {outcome}"),
    };
    let parts = [record.server.as_deref(), record.method.as_deref(), record.name.as_deref()];
    let what: Vec<String> = parts.into_iter().flatten().map(|part| visible(part, 60)).collect();
    if !what.is_empty() {
        text.push_str(&format!(": {}", what.join(" ")));
    }
    if let Some(agent) = record.agent.as_deref() {
        text.push_str(&format!(", by {}", visible(agent, 80)));
    }
    if let Some(reason) = record.reason.as_deref() {
        text.push_str(&format!(" ({})", visible(reason, 160)));
    }
    text
}
