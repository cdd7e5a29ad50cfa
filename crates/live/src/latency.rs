//! Durations by their size: a histogram whose buckets grow with what they hold.

use serde::{Deserialize, Serialize};

/// Buckets of each power of two: none is wider than an eighth of what it holds.
const PARTS_BITS: u32 = 3;
const PARTS: usize = 1 << PARTS_BITS;
/// Powers of two: up to 2^36 µs, 19 hours.
const POWERS: usize = 36;

/// Durations within the window, in microseconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Latency {
    /// How many.
    pub count: u64,
    /// Median.
    pub p50_us: u64,
    /// 90th percentile.
    pub p90_us: u64,
    /// 99th percentile.
    pub p99_us: u64,
    /// 99.9th percentile.
    pub p999_us: u64,
}

/// Empty ones take no room beside themselves.
#[derive(Clone, Debug, Default)]
pub(crate) struct Histogram {
    counts: Vec<u32>,
    total: u64,
}

impl Histogram {
    pub(crate) fn is_empty(&self) -> bool {
        self.total == 0
    }

    pub(crate) fn add(&mut self, us: u64) {
        if self.counts.is_empty() {
            self.counts = vec![0; POWERS * PARTS];
        }
        self.counts[bucket(us)] += 1;
        self.total += 1;
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        if self.counts.is_empty() {
            return self.clone_from(other);
        }
        self.counts.iter_mut().zip(&other.counts).for_each(|(own, other)| *own += other);
        self.total += other.total;
    }

    pub(crate) fn latency(&self) -> Latency {
        Latency {
            count: self.total,
            p50_us: self.quantile(500),
            p90_us: self.quantile(900),
            p99_us: self.quantile(990),
            p999_us: self.quantile(999),
        }
    }

    /// What so many in a thousand do not exceed: the upper end of their bucket.
    fn quantile(&self, of_1000: u64) -> u64 {
        let rank = (self.total * of_1000).div_ceil(1000);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count);
            if seen >= rank && seen > 0 {
                return upper(bucket);
            }
        }
        0
    }
}

fn bucket(us: u64) -> usize {
    if us < PARTS as u64 {
        return usize::try_from(us).unwrap_or(0);
    }
    let power = us.ilog2();
    let part = usize::try_from((us >> (power - PARTS_BITS)) & (PARTS as u64 - 1)).unwrap_or(0);
    let power = usize::try_from(power - PARTS_BITS + 1).unwrap_or(0);
    (power * PARTS + part).min(POWERS * PARTS - 1)
}

fn upper(bucket: usize) -> u64 {
    let (power, part) = (bucket / PARTS, (bucket % PARTS) as u64);
    match power {
        0 => part,
        power => ((PARTS as u64 + part + 1) << (power - 1)) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_holds_what_is_put_into_it() {
        for us in (0..2_000).chain([4_095, 4_096, 65_535, 1 << 20, (1 << 30) + 77]) {
            let end = upper(bucket(us));
            assert!(end >= us && end - us <= us / 8 + 1, "{us} is put below {end}");
        }
        assert_eq!(bucket(u64::MAX), POWERS * PARTS - 1);
    }

    #[test]
    fn quantiles_are_within_an_eighth() {
        let mut histogram = Histogram::default();
        (1..=1000).for_each(|us| histogram.add(us * 10));
        let latency = histogram.latency();
        for (found, exact) in [(latency.p50_us, 5_000), (latency.p99_us, 9_900), (latency.p999_us, 9_990)] {
            assert!((exact..=exact + exact / 8).contains(&found), "{found} for {exact}");
        }
        assert_eq!(Histogram::default().latency(), Latency::default());
    }
}
