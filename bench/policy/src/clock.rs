//! Times and what is told of them.

use std::time::{Duration, Instant};

use serde::Serialize;

/// Fewest samples of a turn: an engine that takes long gets a longer turn.
const SAMPLES_MIN: usize = 20;

/// What one candidate needed for one operation, in microseconds.
#[derive(Debug, Clone, Copy, Serialize)]
pub(crate) struct Times {
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    pub(crate) samples: usize,
}

/// Does `operation` again and again for the length of a turn.
pub(crate) fn turn(length: Duration, mut operation: impl FnMut(usize) -> Duration) -> Times {
    let end = Instant::now() + length;
    let mut samples = Vec::with_capacity(4_096);
    while samples.len() < SAMPLES_MIN || Instant::now() < end {
        samples.push(operation(samples.len()));
    }
    of(samples)
}

/// Percentiles by nearest rank.
pub(crate) fn of(mut samples: Vec<Duration>) -> Times {
    samples.sort_unstable();
    let at = |percent: usize| {
        let rank = (samples.len() * percent).div_ceil(100).max(1);
        samples.get(rank - 1).map_or(f64::NAN, |time| time.as_secs_f64() * 1e6)
    };
    Times { p50_us: at(50), p99_us: at(99), samples: samples.len() }
}

/// The median of each figure over several turns.
pub(crate) fn medians(turns: &[Times]) -> Times {
    Times {
        p50_us: median(turns.iter().map(|times| times.p50_us)),
        p99_us: median(turns.iter().map(|times| times.p99_us)),
        samples: turns.iter().map(|times| times.samples).sum(),
    }
}

/// The middle value; the upper one of two.
pub(crate) fn median(values: impl Iterator<Item = f64>) -> f64 {
    let mut values: Vec<f64> = values.collect();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// How long it took, and what came of it.
pub(crate) fn timed<T>(operation: impl FnOnce() -> T) -> (Duration, T) {
    let start = Instant::now();
    let result = operation();
    (start.elapsed(), result)
}
