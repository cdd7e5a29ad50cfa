//! A circuit per upstream: one that keeps failing is left alone for a while, so that a dead server costs its
//! callers one quick answer each instead of a deadline, and costs the others nothing.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// What an upstream's recent history allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Circuit {
    /// Calls pass.
    Closed,
    /// Calls are refused until the pause is over; then one call probes.
    Open {
        /// How long until the next try, in milliseconds.
        retry_ms: u64,
    },
}

/// Counts failures in a row and decides when to try again. Time is an input, so that tests need no clock.
#[derive(Debug)]
pub struct Breaker {
    failures_max: u32,
    pause_ms_max: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open_until: Option<Instant>,
    last_error: Option<String>,
}

/// Shortest pause after the circuit opens, in milliseconds; it doubles with each further failure.
const PAUSE_MS_MIN: u64 = 500;

impl Breaker {
    /// A closed circuit that opens after `failures_max` failures in a row and pauses up to `pause_ms_max`.
    pub fn new(failures_max: u32, pause_ms_max: u64) -> Self {
        Self { failures_max, pause_ms_max, state: Mutex::default() }
    }

    /// Asks for leave to call. An open circuit whose pause is over lets exactly one caller through: the next
    /// ones wait for another pause, unless that caller succeeds first.
    pub fn admit(&self, now: Instant) -> Circuit {
        let mut state = self.state.lock();
        match state.open_until {
            None => Circuit::Closed,
            Some(until) if until > now => Circuit::Open { retry_ms: millis(until - now).max(1) },
            Some(_) => {
                state.open_until = Some(now + self.pause(state.failures));
                Circuit::Closed
            }
        }
    }

    /// What `admit` would say, without taking the probe's turn.
    pub fn look(&self, now: Instant) -> Circuit {
        match self.state.lock().open_until {
            Some(until) if until > now => Circuit::Open { retry_ms: millis(until - now).max(1) },
            _ => Circuit::Closed,
        }
    }

    /// The upstream answered: all is forgiven.
    pub fn succeed(&self) {
        let mut state = self.state.lock();
        if state.failures > 0 {
            *state = State::default();
        }
    }

    /// The upstream could not be reached, or broke the protocol. Returns true when this opened the circuit.
    pub fn fail(&self, now: Instant, error: String) -> bool {
        let mut state = self.state.lock();
        state.failures = state.failures.saturating_add(1);
        state.last_error = Some(error);
        let was_open = state.open_until.is_some();
        if state.failures >= self.failures_max {
            state.open_until = Some(now + self.pause(state.failures));
        }
        state.open_until.is_some() && !was_open
    }

    /// The last failure's text, while the upstream has not answered since.
    pub fn last_error(&self) -> Option<String> {
        self.state.lock().last_error.clone()
    }

    fn pause(&self, failures: u32) -> Duration {
        let doublings = failures.saturating_sub(self.failures_max).min(16);
        Duration::from_millis((PAUSE_MS_MIN << doublings).min(self.pause_ms_max))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn opens_after_failures_in_a_row_probes_once_and_closes_on_success() {
        let breaker = Breaker::new(3, 4_000);
        let t0 = Instant::now();
        assert!(!breaker.fail(t0, "one".into()));
        assert!(!breaker.fail(t0, "two".into()));
        assert_eq!(breaker.admit(t0), Circuit::Closed, "two failures are not three");
        assert!(breaker.fail(t0, "three".into()), "the third opens it");
        assert_eq!(breaker.admit(t0), Circuit::Open { retry_ms: 500 });

        let later = t0 + Duration::from_millis(501);
        assert_eq!(breaker.admit(later), Circuit::Closed, "one probe passes");
        assert!(matches!(breaker.admit(later), Circuit::Open { .. }), "and only one");
        assert!(!breaker.fail(later, "four".into()), "it was open already");
        assert_eq!(breaker.look(later), Circuit::Open { retry_ms: 1000 }, "the pause doubles");

        breaker.succeed();
        assert_eq!(breaker.admit(later), Circuit::Closed);
        assert_eq!(breaker.last_error(), None);
    }

    #[test]
    fn success_between_failures_starts_the_count_again_and_pauses_are_bounded() {
        let breaker = Breaker::new(2, 1_000);
        let t0 = Instant::now();
        breaker.fail(t0, String::new());
        breaker.succeed();
        assert!(!breaker.fail(t0, String::new()));
        for _ in 0..40 {
            breaker.fail(t0, String::new());
        }
        assert_eq!(breaker.look(t0), Circuit::Open { retry_ms: 1_000 });
    }
}
