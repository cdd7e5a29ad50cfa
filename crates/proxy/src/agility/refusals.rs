//! How much a refused stranger can write into the log: so many records a minute, and then their number.

use std::num::NonZeroUsize;
use std::time::Duration;

use lru::LruCache;
use parking_lot::Mutex;
use tokio::time::Instant;

/// Refusals of one source that are recorded one by one within [`WINDOW`]. Enough to see what somebody does who tries
/// around by hand; a scanner fills no disk.
pub(crate) const RECORDS_MAX: u32 = 10;

/// The time that [`RECORDS_MAX`] counts.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);

/// Sources that are told apart; the one that was quiet for longest makes room.
const SOURCES_MAX: usize = 10_000;

/// The refusals of the last minute, by source.
pub(crate) struct Refusals(Mutex<LruCache<String, Window>>);

struct Window {
    begun: Instant,
    refused: u32,
    unrecorded: u64,
}

/// What to write down about one refusal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Say {
    /// Whether this one is recorded.
    pub(crate) record: bool,
    /// Refusals before it, of this source or of one that was forgotten for it, which were not.
    pub(crate) owed: Vec<(String, u64)>,
}

impl Default for Refusals {
    fn default() -> Self {
        Self(Mutex::new(LruCache::new(NonZeroUsize::new(SOURCES_MAX).expect("sources are told apart"))))
    }
}

impl Refusals {
    /// Counts one refusal of `source`.
    pub(crate) fn count(&self, source: &str, now: Instant) -> Say {
        let mut sources = self.0.lock();
        let mut owed = Vec::new();
        if !sources.contains(source) {
            let window = Window { begun: now, refused: 0, unrecorded: 0 };
            let evicted = sources.push(source.to_owned(), window);
            owed.extend(evicted.and_then(|(name, window)| window.owed(name)));
        }
        let window = sources.get_mut(source).expect("it was put there just now");
        if now >= window.begun + WINDOW {
            let over = std::mem::replace(window, Window { begun: now, refused: 0, unrecorded: 0 });
            owed.extend(over.owed(source.to_owned()));
        }
        window.refused = window.refused.saturating_add(1);
        let record = window.refused <= RECORDS_MAX;
        window.unrecorded += u64::from(!record);
        Say { record, owed }
    }

    /// Takes out the sources whose minute is over, with the refusals that were not recorded.
    pub(crate) fn over(&self, now: Instant) -> Vec<(String, u64)> {
        let mut sources = self.0.lock();
        let over = sources.iter().filter(|(_, window)| now >= window.begun + WINDOW);
        let names: Vec<_> = over.map(|(name, _)| name.clone()).collect();
        names.into_iter().filter_map(|name| sources.pop(&name)?.owed(name)).collect()
    }
}

impl Window {
    fn owed(self, name: String) -> Option<(String, u64)> {
        (self.unrecorded > 0).then_some((name, self.unrecorded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn ten_refusals_a_minute_are_recorded_and_the_rest_is_one_number() {
        let refusals = Refusals::default();
        let begun = Instant::now();
        let recorded = (0..1000).filter(|_| refusals.count("a", begun).record).count();
        assert_eq!(recorded, 10);
        assert!(refusals.count("b", begun).record, "each source has its own");
        assert_eq!(refusals.over(begun + WINDOW - Duration::from_millis(1)), []);
        let say = refusals.count("a", begun + WINDOW);
        assert_eq!(say, Say { record: true, owed: vec![("a".into(), 990)] });
        assert_eq!(refusals.over(begun + WINDOW), [], "b owes nothing, and a's next minute has begun");
        assert_eq!(refusals.0.lock().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_source_that_makes_room_is_not_forgotten_silently() {
        let refusals = Refusals::default();
        let begun = Instant::now();
        (0..12).for_each(|_| drop(refusals.count("first", begun)));
        for other in 1..SOURCES_MAX {
            assert_eq!(refusals.count(&other.to_string(), begun).owed, []);
        }
        assert_eq!(refusals.count("one more", begun).owed, [("first".to_owned(), 2)]);
    }
}
