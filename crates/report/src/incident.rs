//! What may have to be told to somebody, in the order in which it happened.

use std::collections::HashMap;

use lockgate_audit::{Kind, Record};

use crate::count::{Cite, NAMES_MAX};
use crate::signal::{Signal, Signals};
use crate::text::visible;

/// Refusals of one source within [`BURST_MS`] that are worth a look.
pub const BURST: u64 = 20;

/// The window of a burst, in milliseconds: ten minutes of the clock.
pub const BURST_MS: i64 = 600_000;

/// Most happenings that are listed; the rest is counted.
const LISTED_MAX: usize = 500;

/// One happening.
#[derive(Clone, Debug)]
pub(crate) struct Happening {
    pub(crate) signal: Signal,
    pub(crate) cite: Cite,
    pub(crate) who: String,
    pub(crate) what: String,
}

/// The timeline on the way through the log.
#[derive(Default)]
pub(crate) struct Timeline {
    pub(crate) listed: Vec<Happening>,
    pub(crate) left_out: u64,
    windows: HashMap<String, (i64, u64)>,
}

/// What opens a line of the timeline, the gravest first.
const TOLD: [Signal; 9] = [
    Signal::Alerts,
    Signal::CallsKilled,
    Signal::IdentitiesRevoked,
    Signal::CallsScreened,
    Signal::Findings,
    Signal::RefusalBursts,
    Signal::LogRepaired,
    Signal::ClockBack,
    Signal::UncleanStarts,
];

impl Timeline {
    /// Whether this refusal is the one that makes a burst.
    pub(crate) fn is_burst(&mut self, record: &Record<'_>, time_ms: i64) -> bool {
        if record.kind != Kind::Refusal {
            return false;
        }
        let source = source(record);
        if !self.windows.contains_key(&source) && self.windows.len() >= NAMES_MAX {
            // Those whose window is over are forgotten, so that a flood of names cannot blind it for good.
            self.windows.retain(|_, (begin, _)| *begin + BURST_MS > time_ms);
            if self.windows.len() >= NAMES_MAX {
                return false;
            }
        }
        let (begin, count) = self.windows.entry(source).or_insert((time_ms, 0));
        if !(*begin..*begin + BURST_MS).contains(&time_ms) {
            (*begin, *count) = (time_ms, 0);
        }
        // One record can stand for many refusals.
        let before = *count;
        *count = count.saturating_add(record.count.unwrap_or(1).max(1));
        before < BURST && *count >= BURST
    }

    pub(crate) fn add(&mut self, record: &Record<'_>, signals: Signals, cite: Cite) {
        let Some(signal) = TOLD.into_iter().find(|signal| signals.has(*signal)) else { return };
        if self.listed.len() >= LISTED_MAX {
            self.left_out += 1;
            return;
        }
        let what = match (record.reason.as_deref(), record.name.as_deref()) {
            (Some(reason), _) => visible(reason, 240),
            (None, Some(name)) => visible(name, 240),
            (None, None) => String::new(),
        };
        let who = match signal {
            // Here the agent is the one who revoked.
            Signal::IdentitiesRevoked => visible(record.name.as_deref().unwrap_or("–"), 120),
            _ => visible(&source(record), 120),
        };
        self.listed.push(Happening { signal, cite, who, what });
    }
}

/// By whom: the agent that is known, else the address without its port.
fn source(record: &Record<'_>) -> String {
    match (record.agent.as_deref(), record.peer.as_deref()) {
        (Some(agent), _) if agent != "anonymous" => agent.to_owned(),
        (_, Some(peer)) => peer
            .parse::<std::net::SocketAddr>()
            .map_or_else(|_| peer.to_owned(), |peer| peer.ip().to_string()),
        (agent, None) => agent.unwrap_or("–").to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::entry;

    fn bursts(times: &[i64], further: &str) -> usize {
        let mut timeline = Timeline::default();
        let json = format!(
            r#""kind":"refusal","outcome":"refused","agent":"anonymous","peer":"192.0.2.1:9"{further}"#
        );
        let entry = entry(1, "2026-11-22T14:00:00Z", &json);
        times.iter().filter(|time| timeline.is_burst(&entry.record, **time)).count()
    }

    #[test]
    fn twenty_refusals_in_ten_minutes_are_one_burst() {
        let quick: Vec<i64> = (0..60).map(|n| n * 1_000).collect();
        assert_eq!(bursts(&quick, ""), 1);
        assert_eq!(bursts(&quick[..19], ""), 0);
        let slow: Vec<i64> = (0..60).map(|n| n * 60_000).collect();
        assert_eq!(bursts(&slow, ""), 0);
        assert_eq!(bursts(&[5], r#","count":500"#), 1);
    }
}
