//! When the node was up, as far as it recorded that, and whether its clock went back.

use lockgate_audit::{Entry, Kind};

use crate::count::Cite;
use crate::period::Period;
use crate::signal::{STARTED, STOPPED};

/// How far clocks of threads may be apart, in milliseconds. Records are made beside each other and then put in order.
const CLOCK_TOLERANCE_MS: i64 = 2_000;

/// Most gaps that are listed; a node that starts more often has other problems, and they are counted.
const DOWN_MAX: usize = 500;

/// A time during which no node wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Down {
    pub(crate) from_ms: i64,
    /// None: it had not come back at the end of the log.
    pub(crate) to_ms: Option<i64>,
    /// Whether the node had said that it stops.
    pub(crate) orderly: bool,
    /// The record of the start after it, or of the stop before it.
    pub(crate) cite: Cite,
}

/// The state on the way through the log.
#[derive(Default)]
pub(crate) struct Life {
    is_up: Option<bool>,
    last: Option<Cite>,
    latest_ms: i64,
    pub(crate) down: Vec<Down>,
    pub(crate) down_left_out: u64,
    pub(crate) clock_back_ms_max: i64,
}

/// What the order of records says beside the records.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Seen {
    pub(crate) clock_back: bool,
    pub(crate) unclean_start: bool,
}

impl Life {
    /// Takes up the next record of the log, of any time.
    pub(crate) fn add(&mut self, entry: &Entry, cite: Cite, period: &Period) -> Seen {
        let mut seen = Seen::default();
        let back = self.latest_ms - cite.time_ms;
        if self.last.is_some() && back > CLOCK_TOLERANCE_MS {
            seen.clock_back = true;
            self.clock_back_ms_max = self.clock_back_ms_max.max(back);
            // From here on the clock counts as right again, so that one step is one step.
            self.latest_ms = cite.time_ms;
        }
        self.latest_ms = self.latest_ms.max(cite.time_ms);
        if entry.record.kind == Kind::Lifecycle {
            match entry.record.reason.as_deref() {
                Some(STARTED) => {
                    seen.unclean_start = self.is_up == Some(true);
                    if let (Some(is_up), Some(last)) = (self.is_up, self.last) {
                        let gap =
                            Down { from_ms: last.time_ms, to_ms: Some(cite.time_ms), orderly: !is_up, cite };
                        self.note(gap, period);
                    }
                    self.is_up = Some(true);
                }
                Some(STOPPED) => self.is_up = Some(false),
                _ => {}
            }
        }
        self.last = Some(cite);
        seen
    }

    /// At the end of the log.
    pub(crate) fn end(&mut self, period: &Period) {
        if let (Some(false), Some(last)) = (self.is_up, self.last) {
            self.note(Down { from_ms: last.time_ms, to_ms: None, orderly: true, cite: last }, period);
        }
    }

    fn note(&mut self, gap: Down, period: &Period) {
        let touches = gap.from_ms < period.to_ms() && gap.to_ms.is_none_or(|to| to >= period.from_ms());
        match touches {
            false => {}
            true if self.down.len() < DOWN_MAX => self.down.push(gap),
            true => self.down_left_out += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::entry;

    fn walk(steps: &[(&str, i64)]) -> (Life, Vec<Seen>) {
        let period = Period::parse("1970-01-01").unwrap();
        let mut life = Life::default();
        let mut seen = Vec::new();
        for (n, (reason, time_ms)) in steps.iter().enumerate() {
            let line = u64::try_from(n).unwrap();
            let json = format!(r#""kind":"lifecycle","outcome":"ok","reason":"{reason}""#);
            let cite = Cite { line, seq: line + 1, time_ms: *time_ms, hash: [0; 32] };
            seen.push(life.add(&entry(line + 1, "1970-01-01T00:00:00Z", &json), cite, &period));
        }
        life.end(&period);
        (life, seen)
    }

    #[test]
    fn stops_are_gaps_and_a_start_without_one_is_a_crash() {
        let (life, seen) = walk(&[
            ("node started", 1_000),
            ("x", 2_000),
            ("node started", 9_000),
            ("node stopped", 10_000),
            ("node started", 60_000),
            ("node stopped", 70_000),
        ]);
        let gaps: Vec<_> = life.down.iter().map(|gap| (gap.from_ms, gap.to_ms, gap.orderly)).collect();
        assert_eq!(gaps, [(2_000, Some(9_000), false), (10_000, Some(60_000), true), (70_000, None, true)]);
        assert_eq!(seen.iter().filter(|seen| seen.unclean_start).count(), 1);
    }

    #[test]
    fn a_clock_that_goes_back_is_seen_once_and_threads_are_forgiven() {
        let (life, seen) =
            walk(&[("x", 100_000), ("x", 99_000), ("x", 50_000), ("x", 50_500), ("x", 120_000)]);
        let steps: Vec<bool> = seen.iter().map(|seen| seen.clock_back).collect();
        assert_eq!(steps, [false, false, true, false, false]);
        assert_eq!(life.clock_back_ms_max, 50_000);
    }

    #[test]
    fn what_is_over_before_the_period_is_no_gap_of_it() {
        let (life, _) = walk(&[("node stopped", -90_000_000), ("node started", -80_000_000), ("x", 5)]);
        assert_eq!(life.down, []);
    }
}
