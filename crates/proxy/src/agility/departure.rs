//! What judgement made of one link: it stays, or it goes at a certain time.

use std::sync::Arc;

use lockgate_crypto::Breach;
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// How a link that may not stay leaves.
#[derive(Clone)]
pub(crate) struct Departure {
    /// What it breaches.
    pub(crate) why: Arc<[Breach]>,
    /// When it is asked to leave, if it has not left by itself.
    pub(crate) ask_at: Instant,
    /// When it is cut.
    pub(crate) cut_at: Instant,
    /// The same moment, in milliseconds since the Unix epoch.
    pub(crate) closes_at_ms: u64,
    /// Whether its peer is told in band, and may move first.
    pub(crate) told: bool,
    /// Cancelled when it is off: the link has ended, or was judged anew.
    pub(crate) off: CancellationToken,
}

/// The latest judgement on one link. Those of earlier changes that come late are not heeded.
#[derive(Default)]
pub(crate) struct Fate(Mutex<State>);

#[derive(Default)]
struct State {
    serial: u64,
    epoch: u64,
    departure: Option<Box<Departure>>,
}

impl Fate {
    /// The epoch under which the link was last found in order.
    pub(crate) fn epoch(&self) -> u64 {
        self.0.lock().epoch
    }

    /// How it leaves, if it may not stay.
    pub(crate) fn departure(&self) -> Option<Departure> {
        self.0.lock().departure.as_deref().cloned()
    }

    pub(crate) fn goes(&self) -> bool {
        self.0.lock().departure.is_some()
    }

    /// Judgement `serial` lets it stay under `epoch`.
    pub(crate) fn stay(&self, serial: u64, epoch: u64) {
        let mut state = self.0.lock();
        if serial < state.serial {
            return;
        }
        (state.serial, state.epoch) = (serial, epoch);
        if let Some(departure) = state.departure.take() {
            departure.off.cancel();
        }
    }

    /// Judgement `serial` lets it go. What an earlier one allowed it is not extended. Gives the departure to carry out,
    /// unless a later judgement is known.
    pub(crate) fn go(&self, serial: u64, mut departure: Departure) -> Option<Departure> {
        let mut state = self.0.lock();
        if serial < state.serial {
            return None;
        }
        state.serial = serial;
        if let Some(earlier) = state.departure.take() {
            earlier.off.cancel();
            if earlier.cut_at < departure.cut_at {
                (departure.cut_at, departure.closes_at_ms) = (earlier.cut_at, earlier.closes_at_ms);
                departure.ask_at = departure.ask_at.min(earlier.ask_at.max(Instant::now()));
            }
        }
        state.departure = Some(Box::new(departure.clone()));
        Some(departure)
    }

    /// The link has ended.
    pub(crate) fn end(&self) {
        if let Some(departure) = &self.0.lock().departure {
            departure.off.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn departure(cut_s: u64) -> Departure {
        let now = Instant::now();
        Departure {
            why: Arc::from([]),
            ask_at: now,
            cut_at: now + Duration::from_secs(cut_s),
            closes_at_ms: cut_s * 1000,
            told: false,
            off: CancellationToken::new(),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_latest_judgement_holds_and_no_deadline_is_extended() {
        let fate = Fate::default();
        fate.stay(1, 1);
        let first = fate.go(3, departure(5)).unwrap();
        // A judgement of the change before comes late.
        fate.stay(2, 2);
        assert!(fate.goes());
        assert!(fate.go(2, departure(1)).is_none());
        let second = fate.go(4, departure(60)).unwrap();
        assert!(first.off.is_cancelled());
        assert_eq!(second.closes_at_ms, 5000, "the first deadline holds");
        fate.stay(5, 9);
        assert!(!fate.goes() && second.off.is_cancelled());
        assert_eq!(fate.epoch(), 9);
    }
}
