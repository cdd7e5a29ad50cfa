//! LG-D013: how long a peer's handshakes take, against its own habit and that
//! of the others.
//!
//! The habit is a median and the median of the distances from it (MAD), which a
//! few odd handshakes do not move. A link that is relayed or tampered with takes
//! longer; so does every link of a machine that is busy, which is why the others
//! are asked too.

use std::collections::VecDeque;

/// Handshakes of a peer that make up its habit.
const SAMPLES_MAX: usize = 64;
/// Fewer than this many say nothing yet.
const SAMPLES_MIN: usize = 16;
/// How many times its median a handshake must take to be slow.
const SLOW_FACTOR: u32 = 4;
/// From how many times its median on a peer counts as not normal when the
/// others are asked.
const STRANGE_FACTOR: u32 = 2;
/// How many MADs above its median: about five standard deviations.
const SLOW_MADS: u32 = 8;
/// A handshake that takes this much longer, in microseconds, is never slow:
/// scheduling alone does that.
const EXCESS_US_MAX: u32 = 10_000;
/// How far back the others are asked, in milliseconds.
const OTHERS_MS: u64 = 60_000;
/// How many of the latest handshakes of a listener are remembered.
const OTHERS_MAX: usize = 256;
/// Fewer handshakes of others than this say nothing.
const OTHERS_MIN: usize = 3;
/// Of how many others one may be out of the ordinary too.
const OTHERS_PER_STRANGE: usize = 10;

/// How long the handshakes of one peer took, of one shape.
#[derive(Debug, Default)]
pub(super) struct Pace {
    /// The algorithms that were negotiated: a change of them starts anew.
    shape: u64,
    /// Durations in microseconds, oldest first.
    samples: VecDeque<u32>,
}

/// One handshake beside the peer's habit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Beside {
    /// How long it took, in microseconds.
    pub(super) took_us: u32,
    /// The peer's median, in microseconds.
    pub(super) median_us: u32,
    /// The median distance from the median, in microseconds.
    pub(super) mad_us: u32,
    /// From how many handshakes.
    pub(super) samples: usize,
}

impl Pace {
    /// Takes up one handshake; `None` while the habit is not known.
    pub(super) fn observe(&mut self, shape: u64, took_us: u64) -> Option<Beside> {
        let took_us = u32::try_from(took_us).unwrap_or(u32::MAX);
        if self.shape != shape {
            self.shape = shape;
            self.samples.clear();
        }
        let beside = (self.samples.len() >= SAMPLES_MIN).then(|| {
            let median_us = median(self.samples.iter().copied());
            let mad_us = median(self.samples.iter().map(|us| us.abs_diff(median_us)));
            Beside { took_us, median_us, mad_us, samples: self.samples.len() }
        });
        if self.samples.len() == SAMPLES_MAX {
            self.samples.pop_front();
        }
        self.samples.push_back(took_us);
        beside
    }
}

impl Beside {
    fn exceeds(self, factor: u32) -> bool {
        let excess = self.took_us.saturating_sub(self.median_us);
        excess > EXCESS_US_MAX && self.took_us >= self.median_us.saturating_mul(factor)
    }

    /// Whether it is far out of the peer's own habit.
    pub(super) fn is_slow(self) -> bool {
        let excess = self.took_us.saturating_sub(self.median_us);
        self.exceeds(SLOW_FACTOR) && excess > self.mad_us.saturating_mul(SLOW_MADS)
    }
}

/// What the latest handshakes of one listener were like, of all its peers.
#[derive(Debug, Default)]
pub(super) struct Recent {
    marks: VecDeque<Mark>,
}

#[derive(Debug)]
struct Mark {
    at_ms: u64,
    peer: u64,
    strange: bool,
}

impl Recent {
    /// How many handshakes of others are remembered of the last minute, if those
    /// were normal; `None` if they were not, or are too few to tell.
    pub(super) fn others_are_normal(&self, peer: u64, now_ms: u64) -> Option<usize> {
        let since = now_ms.saturating_sub(OTHERS_MS);
        let others = self.marks.iter().filter(|mark| mark.peer != peer && mark.at_ms >= since);
        let (count, strange) =
            others.fold((0, 0), |(count, strange), mark| (count + 1, strange + usize::from(mark.strange)));
        (count >= OTHERS_MIN && strange * OTHERS_PER_STRANGE <= count).then_some(count)
    }

    /// Remembers one handshake.
    pub(super) fn mark(&mut self, peer: u64, beside: Beside, now_ms: u64) {
        if self.marks.len() == OTHERS_MAX {
            self.marks.pop_front();
        }
        self.marks.push_back(Mark { at_ms: now_ms, peer, strange: beside.exceeds(STRANGE_FACTOR) });
    }
}

/// The upper median; 0 of nothing.
fn median(values: impl Iterator<Item = u32>) -> u32 {
    let mut values: Vec<u32> = values.collect();
    if values.is_empty() {
        return 0;
    }
    let middle = values.len() / 2;
    *values.select_nth_unstable(middle).1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_few_odd_handshakes_do_not_move_the_habit() {
        let mut pace = Pace::default();
        for us in [5_000; SAMPLES_MIN] {
            assert_eq!(pace.observe(1, us), None);
        }
        for _ in 0..5 {
            let beside = pace.observe(1, 900_000).unwrap();
            assert_eq!((beside.median_us, beside.mad_us), (5_000, 0));
            assert!(beside.is_slow());
        }
        // Other algorithms take another time: the habit starts anew.
        assert_eq!(pace.observe(2, 900_000), None);
        assert_eq!(pace.samples.len(), 1);
    }

    #[test]
    fn what_is_slow() {
        let beside = |took_us, median_us, mad_us| Beside { took_us, median_us, mad_us, samples: 64 };
        let table = [
            (beside(40_000, 5_000, 300), true),
            (beside(19_000, 5_000, 300), false),
            // Four times, but within what scheduling does.
            (beside(8_000, 1_000, 10), false),
            // A peer on a bad line: four times is its habit.
            (beside(40_000, 9_000, 5_000), false),
            (beside(u32::MAX, u32::MAX, 0), false),
            (beside(0, 5_000, 0), false),
        ];
        for (beside, slow) in table {
            assert_eq!(beside.is_slow(), slow, "{beside:?}");
        }
    }

    #[test]
    fn the_others_are_few_normal_or_not() {
        let usual = Beside { took_us: 5_000, median_us: 5_000, mad_us: 10, samples: 64 };
        let strange = Beside { took_us: 30_000, ..usual };
        let mut recent = Recent::default();
        for (peer, count) in [(2, None), (3, None), (4, Some(3)), (5, Some(4))] {
            recent.mark(peer, usual, 1_000);
            // What the peer itself did does not count.
            recent.mark(1, strange, 1_000);
            assert_eq!(recent.others_are_normal(1, 61_000), count);
        }
        assert_eq!(recent.others_are_normal(1, 61_001), None, "a minute later they say nothing");
        recent.mark(6, strange, 1_000);
        assert_eq!(recent.others_are_normal(1, 1_000), None);
        for peer in 0..1_000 {
            recent.mark(peer, usual, 1_000);
        }
        assert_eq!(recent.marks.len(), OTHERS_MAX);
    }
}
