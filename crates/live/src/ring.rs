//! The newest events, numbered and written out.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::watch;

use crate::event::{Event, Numbered};
use crate::summary::{PostureSample, Summary, Tally, Wanted};

/// Events that are kept: two seconds of a busy node, hours of a quiet one. With texts of the greatest length some 30 MB,
/// with usual ones 5 MB.
pub const EVENTS_MAX: usize = 4_096;

/// An event in the ring.
#[derive(Debug)]
pub struct Entry {
    /// Its number on this launch, from 1.
    pub id: u64,
    /// The event.
    pub event: Event,
    /// The same as one line of JSON, with its number.
    pub json: Box<str>,
}

/// A part of the ring.
#[derive(Clone, Debug, Default)]
pub struct Page {
    /// Oldest first.
    pub entries: Vec<Arc<Entry>>,
    /// Number of the oldest event that is still kept; 0 if there is none.
    pub first: u64,
    /// Number of the newest event; 0 if there is none.
    pub last: u64,
    /// Events asked for that are not kept any more.
    pub missed: u64,
}

/// What happened of late.
#[derive(Debug)]
pub struct Recent {
    launch: u64,
    ring: Mutex<VecDeque<Arc<Entry>>>,
    tally: Mutex<Tally>,
    head: watch::Sender<u64>,
}

impl Recent {
    /// Nothing yet, of the launch with this number: numbers of events count from 1 on each launch.
    pub fn new(launch: u64) -> Self {
        Self { launch, ring: Mutex::default(), tally: Mutex::default(), head: watch::Sender::new(0) }
    }

    /// The number of the launch: when it began, in milliseconds since the Unix epoch.
    pub fn launch(&self) -> u64 {
        self.launch
    }

    /// Takes in a batch; `dropped` is how many events were lost on the way so far.
    pub(crate) fn take(&self, batch: impl ExactSizeIterator<Item = Event>, dropped: u64) {
        let empty = batch.len() == 0;
        let mut last = *self.head.borrow();
        let mut entries = Vec::with_capacity(batch.len());
        {
            let mut tally = self.tally.lock();
            tally.dropped = dropped;
            for event in batch {
                last += 1;
                tally.count(last, &event);
                let json = serde_json::to_string(&Numbered { id: last, event: &event });
                let json = json.expect("events are plain data").into_boxed_str();
                entries.push(Arc::new(Entry { id: last, event, json }));
            }
        }
        if empty {
            return;
        }
        let mut ring = self.ring.lock();
        ring.extend(entries);
        let surplus = ring.len().saturating_sub(EVENTS_MAX);
        ring.drain(..surplus);
        drop(ring);
        self.head.send_replace(last);
    }

    pub(crate) fn sample(&self, sample: PostureSample) {
        self.tally.lock().sample(sample);
    }

    /// Up to `max` events after the one with this number, oldest first.
    pub fn after(&self, id: u64, max: usize) -> Page {
        let ring = self.ring.lock();
        let (Some(oldest), Some(newest)) = (ring.front(), ring.back()) else { return Page::default() };
        let (first, last) = (oldest.id, newest.id);
        let from = id.min(last) + 1;
        let missed = first.saturating_sub(from);
        let skip = usize::try_from(from.saturating_sub(first)).unwrap_or(usize::MAX);
        let entries = ring.iter().skip(skip).take(max).cloned().collect();
        Page { entries, first, last, missed }
    }

    /// Tells of new events: the number of the newest.
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.head.subscribe()
    }

    /// Events that were lost on their way here, because there were too many at once.
    pub fn dropped(&self) -> u64 {
        self.tally.lock().dropped
    }

    /// What the events come to, as of `now_ms`.
    pub fn summary(&self, now_ms: u64, wanted: &Wanted) -> Summary {
        self.tally.lock().summary(now_ms, wanted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::What;

    fn recent(events: usize) -> Recent {
        let recent = Recent::new(1);
        let event = |at_ms| Event { at_ms, seq: None, what: What::Note(Box::default()) };
        recent.take((0..events).map(|n| event(n as u64)), 0);
        recent
    }

    #[test]
    fn pages_begin_after_a_number_and_say_what_is_gone() {
        let ring = recent(EVENTS_MAX + 10);
        for (after, max, ids, missed) in [
            (0, 1, vec![11], 10),
            (10, 2, vec![11, 12], 0),
            (15, 1, vec![16], 0),
            (EVENTS_MAX as u64 + 9, 5, vec![EVENTS_MAX as u64 + 10], 0),
            (EVENTS_MAX as u64 + 10, 5, vec![], 0),
            (u64::MAX, 5, vec![], 0),
        ] {
            let page = ring.after(after, max);
            assert_eq!(page.entries.iter().map(|e| e.id).collect::<Vec<_>>(), ids, "after {after}");
            assert_eq!((page.missed, page.first), (missed, 11), "after {after}");
        }
        assert_eq!(recent(0).after(0, 5).last, 0);
    }

    #[test]
    fn the_ring_is_bounded() {
        assert_eq!(recent(3 * EVENTS_MAX).after(0, usize::MAX).entries.len(), EVENTS_MAX);
    }
}
