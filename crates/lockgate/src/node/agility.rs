//! Agility of a node: which algorithms are in force where, and how that changes while it runs.
//!
//! One number, the *epoch*, counts everything that is in force on the node. Whatever asks for a change (a person, the
//! configuration, a signed document, a date that passes) takes the same way: [`state`] says what is decided, [`wanted`]
//! lays it over the configuration, [`compile`] makes suites of it and tests them, and [`change`] issues certificates,
//! builds TLS, records, stores and publishes. What fails on that way changes nothing.
//!
//! [`plan`] foresees what a change would do to the peers that are known, [`requests`] is what a person can ask for,
//! [`clock`] makes ends happen, [`show`] and [`inventory`] tell what is in force.

mod change;
mod clock;
mod compile;
mod drill;
mod inventory;
mod plan;
mod problem;
mod requests;
mod roots;
mod servers;
pub(super) mod show;
mod state;
#[cfg(test)]
mod tests;
mod wanted;

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use lockgate_crypto::Conditions;
use lockgate_identity::verifier::ForeignRoots;
use lockgate_store::Store;
use lockgate_transport::Dialer;

pub(super) use change::{Change, Drain, first_rules};
pub(super) use clock::keep_calendar;
pub(crate) use compile::Compiled;
pub(crate) use problem::Problem;
pub(super) use state::CryptoState;

use crate::config::Settings;

/// A server that is reached by https.
#[derive(Clone)]
pub(super) struct Dialled {
    pub(super) name: String,
    pub(super) dialer: Arc<Dialer>,
    pub(super) roots: ForeignRoots,
}

/// The time of day, which does not go back when the wall clock does: ends of exceptions hold.
pub(super) struct Clock {
    wall: SystemTime,
    begun: Instant,
    /// What a test has put the clock ahead by.
    #[cfg(test)]
    ahead_ms: std::sync::atomic::AtomicU64,
}

impl Clock {
    pub(super) fn start() -> Self {
        Self {
            wall: SystemTime::now(),
            begun: Instant::now(),
            #[cfg(test)]
            ahead_ms: std::sync::atomic::AtomicU64::default(),
        }
    }

    #[cfg(test)]
    pub(super) fn advance(&self, time: Duration) {
        let ms = u64::try_from(time.as_millis()).unwrap();
        self.ahead_ms.fetch_add(ms, std::sync::atomic::Ordering::Relaxed);
    }

    /// Time since the start, by the monotonic clock.
    pub(super) fn elapsed(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Milliseconds since the Unix epoch: the wall clock, or what it should show by now, whichever is later.
    pub(super) fn now_ms(&self) -> u64 {
        let due = self.wall + self.elapsed();
        let now = SystemTime::now().max(due);
        let since = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        let now_ms = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
        #[cfg(test)]
        let now_ms = now_ms + self.ahead_ms.load(std::sync::atomic::Ordering::Relaxed);
        now_ms
    }
}

/// What was decided before the node ended, in the first epoch of this start, compiled for today.
///
/// # Errors
/// As [`Problem`] says: the configuration, the document or what was chosen cannot be put in force.
pub(super) fn restore(settings: &Settings, store: &Store) -> Result<(CryptoState, Compiled), Problem> {
    let stored: Option<CryptoState> =
        store.get_json(change::SPACE, change::KEY).map_err(Problem::Unstored)?;
    let state = stored.unwrap_or_default();
    let now_ms = Clock::start().now_ms();
    let name = |slot: &state::Slot| wanted::configured(settings, slot).map(|profile| profile.name.to_owned());
    let state = state.swept(now_ms, &name).unwrap_or_else(|| state.next());
    let bans = Conditions { bans: state.bans.clone().into(), ..Conditions::today(state.epoch) };
    let state = change::follow_document(settings, state, &bans)?;
    let conditions = compile::conditions(settings, &state, clock::today());
    let wanted = wanted::wanted(settings, &state, now_ms)?;
    // A node that outlived a profile's last day comes back as it ran.
    let (wanted, said) = compile::without_the_ended(settings, wanted, &conditions);
    said.iter().for_each(|line| tracing::warn!("{line}"));
    let compiled = compile::compile(wanted, conditions)?;
    Ok((state, compiled))
}

/// Stores what was decided, so that the epoch never falls.
///
/// # Errors
/// [`Problem::Unstored`].
pub(super) fn keep(store: &Store, state: &CryptoState) -> Result<(), Problem> {
    store.put_json(change::SPACE, change::KEY, state).map_err(Problem::Unstored)
}
