//! Counting in bounded memory, with samples that nobody chose.

use std::collections::HashMap;

/// Samples beside the first and the last record of a count.
pub const SAMPLES: usize = 3;

/// Most different names of one kind (agents, servers, groups) that are counted each for itself. A caller chooses its own
/// names, so without a limit one caller could fill the memory. The rest is counted together, and the report says so.
pub const NAMES_MAX: usize = 10_000;

/// Where a record stands: enough to find it again and to check it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Cite {
    /// Which line of the log, from 0 at its beginning.
    pub(crate) line: u64,
    pub(crate) seq: u64,
    pub(crate) time_ms: i64,
    pub(crate) hash: [u8; 32],
}

/// How many, and which of them to look at.
#[derive(Clone, Debug, Default)]
pub(crate) struct Counted {
    pub(crate) count: u64,
    pub(crate) first: Option<Cite>,
    pub(crate) last: Option<Cite>,
    /// Those with the smallest hashes: spread evenly by chance, the same ones for everybody who looks, and chosen by
    /// nobody.
    smallest: Vec<Cite>,
}

impl Counted {
    pub(crate) fn add(&mut self, cite: Cite) {
        self.count += 1;
        self.first.get_or_insert(cite);
        self.last = Some(cite);
        let place = self.smallest.partition_point(|held| held.hash < cite.hash);
        if place < SAMPLES {
            self.smallest.insert(place, cite);
            self.smallest.truncate(SAMPLES);
        }
    }

    /// First, samples, last; each once, in the order of the log.
    pub(crate) fn cites(&self) -> Vec<Cite> {
        let mut cites: Vec<Cite> =
            self.first.into_iter().chain(self.smallest.iter().copied()).chain(self.last).collect();
        cites.sort_unstable();
        cites.dedup();
        cites
    }
}

/// Something for each of up to [`NAMES_MAX`] names.
#[derive(Clone, Debug)]
pub(crate) struct Tally<V> {
    named: HashMap<String, V>,
    /// For all further names together.
    pub(crate) others: Option<V>,
}

impl<V> Default for Tally<V> {
    fn default() -> Self {
        Self { named: HashMap::new(), others: None }
    }
}

impl<V: Default> Tally<V> {
    pub(crate) fn at(&mut self, name: &str) -> &mut V {
        if !self.named.contains_key(name) {
            if self.named.len() >= NAMES_MAX {
                return self.others.get_or_insert_with(V::default);
            }
            self.named.insert(name.to_owned(), V::default());
        }
        self.named.get_mut(name).expect("it is there, or was put there just now")
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &V)> {
        let others = self.others.iter().map(|value| ("(further names)", value));
        self.named.iter().map(|(name, value)| (name.as_str(), value)).chain(others)
    }

    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.named.len()
    }

    /// The largest first, by `weight`; equal ones by name, so that two runs give the same report.
    pub(crate) fn sorted(&self, weight: impl Fn(&V) -> u64) -> Vec<(&str, &V)> {
        let mut all: Vec<(&str, &V)> = self.iter().collect();
        all.sort_by(|one, other| weight(other.1).cmp(&weight(one.1)).then_with(|| one.0.cmp(other.0)));
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cite(line: u64, hash: u8) -> Cite {
        Cite { line, seq: line + 1, time_ms: 0, hash: [hash; 32] }
    }

    #[test]
    fn samples_are_the_first_the_last_and_those_with_the_smallest_hashes() {
        let mut counted = Counted::default();
        for (line, hash) in [(0, 9), (1, 5), (2, 8), (3, 1), (4, 7), (5, 3), (6, 6)] {
            counted.add(cite(line, hash));
        }
        assert_eq!(counted.count, 7);
        let lines: Vec<u64> = counted.cites().iter().map(|cite| cite.line).collect();
        assert_eq!(lines, [0, 1, 3, 5, 6]);
        let mut one = Counted::default();
        one.add(cite(4, 0));
        assert_eq!(one.cites().len(), 1);
    }

    #[test]
    fn names_beyond_the_limit_are_counted_together() {
        let mut tally = Tally::<u64>::default();
        for n in 0..NAMES_MAX + 5 {
            *tally.at(&n.to_string()) += 1;
        }
        *tally.at("0") += 1;
        assert_eq!((tally.len(), tally.others), (NAMES_MAX, Some(5)));
        let sorted = tally.sorted(|count| *count);
        assert_eq!(sorted[..3], [("(further names)", &5), ("0", &2), ("1", &1)]);
    }
}
