//! Leaving a provider alone that does not answer, so that not every call waits for it anew.

use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row after which a provider rests: one may be chance, a handful of calls is what it may cost.
pub const STRIKES_MAX: u32 = 3;

/// First rest in milliseconds. It doubles with each trial that fails.
const REST_MS_MIN: u64 = 1_000;

/// Longest rest in milliseconds: how long a provider that came back may go unnoticed.
pub const REST_MS_MAX: u64 = 30_000;

#[derive(Debug, Default)]
pub(crate) struct Circuit {
    strikes: u32,
    /// Until when nobody asks.
    until: Option<Instant>,
    rest: Duration,
}

impl Circuit {
    /// Failures in a row, if the provider rests because of them. One question after each rest is a trial.
    pub(crate) fn resting(&self, now: Instant) -> Option<u32> {
        self.until.filter(|until| now < *until).map(|_| self.strikes)
    }

    /// A question begins. After a rest it is the only one until its answer is there or the next rest is over.
    pub(crate) fn begin(&mut self, now: Instant) {
        if self.strikes >= STRIKES_MAX {
            self.until = Some(now + self.rest);
        }
    }

    /// It did not answer, or not in time.
    pub(crate) fn failed(&mut self, now: Instant) {
        self.strikes = self.strikes.saturating_add(1);
        if self.strikes >= STRIKES_MAX {
            let doubled = self.rest.saturating_mul(2);
            let (least, most) = (Duration::from_millis(REST_MS_MIN), Duration::from_millis(REST_MS_MAX));
            self.rest = doubled.clamp(least, most);
            self.until = Some(now + self.rest);
        }
    }

    /// It answered in time.
    pub(crate) fn answered(&mut self) {
        *self = Self::default();
    }

    pub(crate) fn strikes(&self) -> u32 {
        self.strikes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rests_grow_and_one_answer_ends_them() {
        let mut now = Instant::now();
        let mut circuit = Circuit::default();
        for _ in 1..STRIKES_MAX {
            circuit.failed(now);
            assert_eq!(circuit.resting(now), None);
        }
        let mut rest = REST_MS_MIN;
        for _ in 0..8 {
            circuit.failed(now);
            assert!(circuit.resting(now + Duration::from_millis(rest - 1)).is_some());
            now += Duration::from_millis(rest);
            assert_eq!(circuit.resting(now), None);
            circuit.begin(now);
            assert!(circuit.resting(now).is_some(), "one trial at a time");
            rest = (rest * 2).min(REST_MS_MAX);
        }
        circuit.answered();
        assert_eq!((circuit.resting(now), circuit.strikes()), (None, 0));
    }
}
