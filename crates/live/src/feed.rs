//! From the data path to those who look on.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};

use crate::event::Event;
use crate::ring::Recent;
use crate::summary::PostureSample;

/// Events that may wait to be collected: what 300,000 calls a second would make between two looks, some 16 MB.
pub const QUEUE_MAX: usize = 16_384;

/// Time between two looks at the queue, in milliseconds: faster than an eye, and twenty times a second cost an idle machine
/// nothing to speak of.
pub const COLLECT_MS: u64 = 50;

/// Time between two looks at the postures of the live links, in seconds.
const SAMPLE_S: u64 = 10;

/// The data path's end. Until somebody looks on, it takes nothing.
#[derive(Debug, Default)]
pub struct Feed {
    sender: OnceLock<mpsc::Sender<Event>>,
    dropped: Arc<AtomicU64>,
}

/// The other end, for [`collect`].
#[derive(Debug)]
pub struct Inlet {
    receiver: mpsc::Receiver<Event>,
    dropped: Arc<AtomicU64>,
}

impl Feed {
    /// Whether anybody looks on: whoever would have to work for an event asks first.
    pub fn is_open(&self) -> bool {
        self.sender.get().is_some()
    }

    /// Opens it. Once only: the next one gets none.
    pub fn open(&self) -> Option<Inlet> {
        let (sender, receiver) = mpsc::channel(QUEUE_MAX);
        self.sender.set(sender).ok()?;
        Some(Inlet { receiver, dropped: Arc::clone(&self.dropped) })
    }

    /// Hands an event over. Never waits; what finds no room is dropped and counted.
    pub fn send(&self, event: Event) {
        let Some(sender) = self.sender.get() else { return };
        if sender.try_send(event).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Events that wait to be collected.
    pub fn waiting(&self) -> usize {
        self.sender.get().map_or(0, |sender| sender.max_capacity() - sender.capacity())
    }

    /// Events that found no room since the start.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// What else is done where events are collected, off the way of the calls.
pub trait Onlooker {
    /// How the live links stand; asked every ten seconds.
    fn look(&self) -> PostureSample;

    /// An event on its way to those who look on.
    fn seen(&self, _event: &Event) {}
}

impl<F: Fn() -> PostureSample> Onlooker for F {
    fn look(&self) -> PostureSample {
        self()
    }
}

/// Moves events from the feed into `recent` until the feed is gone. It belongs on a thread that carries no calls.
pub async fn collect(inlet: Inlet, recent: Arc<Recent>, onlooker: impl Onlooker) {
    let Inlet { mut receiver, dropped } = inlet;
    let mut tick = tokio::time::interval(Duration::from_millis(COLLECT_MS));
    tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut next_look = Instant::now();
    let mut batch = Vec::new();
    loop {
        // Looking by itself instead of being woken keeps the data path free of the cost of waking.
        tick.tick().await;
        if Instant::now() >= next_look {
            next_look += Duration::from_secs(SAMPLE_S);
            recent.sample(onlooker.look());
        }
        let gone = loop {
            match receiver.try_recv() {
                Ok(event) => {
                    onlooker.seen(&event);
                    batch.push(event);
                }
                Err(error) => break error == mpsc::error::TryRecvError::Disconnected,
            }
            if batch.len() >= QUEUE_MAX {
                break false;
            }
        };
        recent.take(batch.drain(..), dropped.load(Ordering::Relaxed));
        if gone {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::{Note, What};

    fn event(at_ms: u64) -> Event {
        Event { at_ms, seq: None, what: What::Note(Box::default()) }
    }

    #[test]
    fn a_feed_that_nobody_opened_takes_nothing_and_loses_nothing() {
        let feed = Feed::default();
        feed.send(event(1));
        assert_eq!((feed.is_open(), feed.dropped()), (false, 0));
        assert!(feed.open().is_some() && feed.open().is_none());
    }

    #[test]
    fn what_finds_no_room_is_counted_and_nobody_waits() {
        let feed = Feed::default();
        let _inlet = feed.open().unwrap();
        (0..QUEUE_MAX + 3).for_each(|n| feed.send(event(n as u64)));
        assert_eq!((feed.dropped(), feed.waiting()), (3, QUEUE_MAX));
    }

    #[tokio::test(start_paused = true)]
    async fn events_arrive_in_order_and_the_end_of_the_feed_is_the_end() {
        let (feed, recent) = (Feed::default(), Arc::new(Recent::new(7)));
        let inlet = feed.open().unwrap();
        for at_ms in 1..=3 {
            let note = Note { topic: "lifecycle".into(), ..Note::default() };
            feed.send(Event { at_ms, seq: None, what: What::Note(Box::new(note)) });
        }
        drop(feed);
        collect(inlet, Arc::clone(&recent), PostureSample::default).await;
        let page = recent.after(0, 10);
        assert_eq!(page.entries.iter().map(|entry| entry.event.at_ms).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(page.entries[2].id, 3);
    }
}
