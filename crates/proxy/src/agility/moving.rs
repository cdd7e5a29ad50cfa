//! How far a change has come: which links still have to move.

use std::collections::HashSet;

use lockgate_crypto::Breach;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::metrics::LinkMoves;

/// Agents that [`MigrationView::waiting`] names; of more, only the number is told.
pub const WAITING_MAX: usize = 100;

/// The figures of a change.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// The epoch that the change made.
    pub epoch: u64,
    /// Links that may not stay.
    pub to_move: u64,
    /// Of these, the links that have left.
    pub moved: u64,
    /// Links that could stay.
    pub stayed: u64,
    /// Links that were cut at the deadline.
    pub killed: u64,
    /// Whether no link is left that may not stay.
    pub finished: bool,
}

/// A change and the links that it moves, as status shows it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MigrationView {
    /// The epoch that the change made; 0 before the first.
    pub epoch: u64,
    /// When it began, in milliseconds since the Unix epoch.
    pub started_ms: u64,
    /// When what is left is cut, in milliseconds since the Unix epoch.
    pub closes_at_ms: u64,
    /// See [`Progress::to_move`].
    pub to_move: u64,
    /// See [`Progress::moved`].
    pub moved: u64,
    /// See [`Progress::stayed`].
    pub stayed: u64,
    /// See [`Progress::killed`].
    pub killed: u64,
    /// When the last link had moved, in milliseconds since the Unix epoch.
    pub finished_ms: Option<u64>,
    /// Agents with links that have not moved yet, at most [`WAITING_MAX`].
    pub waiting: Vec<Waiting>,
    /// Further such agents.
    pub waiting_more: usize,
}

/// An agent whose links have not moved yet.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Waiting {
    /// The agent.
    pub agent: String,
    /// Its links that may not stay.
    pub links: usize,
    /// Whether it is told in band, and may move first.
    pub told: bool,
    /// What its links breach.
    pub why: Vec<Breach>,
    /// When they are cut, in milliseconds since the Unix epoch.
    pub closes_at_ms: u64,
}

/// The links that still have to move.
#[derive(Default)]
pub(crate) struct Moving {
    state: Mutex<State>,
    progress: watch::Sender<Progress>,
    figures: LinkMoves,
}

#[derive(Default)]
struct State {
    left: HashSet<u64>,
    figures: Progress,
    started_ms: u64,
    closes_at_ms: u64,
    finished_ms: Option<u64>,
}

impl Moving {
    pub(crate) fn new(figures: LinkMoves) -> Self {
        Self { figures, ..Self::default() }
    }

    /// A change begins; links of the one before that still go are judged again and counted anew.
    pub(crate) fn begin(&self, epoch: u64, started_ms: u64, closes_at_ms: u64) {
        let mut state = self.state.lock();
        let figures = Progress { epoch, ..Progress::default() };
        *state = State { figures, started_ms, closes_at_ms, ..State::default() };
    }

    /// The same change goes on: an exception has ended.
    pub(crate) fn resume(&self, closes_at_ms: u64) {
        let mut state = self.state.lock();
        state.closes_at_ms = closes_at_ms;
        state.finished_ms = None;
        state.figures.finished = false;
        state.figures.stayed = 0;
    }

    /// One link could stay.
    pub(crate) fn stays(&self, number: u64) {
        let mut state = self.state.lock();
        state.left.remove(&number);
        state.figures.stayed += 1;
        drop(state);
        self.figures.outcome("stayed");
    }

    /// One link has to go.
    pub(crate) fn goes(&self, number: u64) {
        let mut state = self.state.lock();
        if state.left.insert(number) {
            state.figures.to_move += 1;
            state.figures.finished = false;
            state.finished_ms = None;
        }
        self.told(&state);
    }

    /// All links are judged.
    pub(crate) fn judged(&self, now_ms: u64) {
        let mut state = self.state.lock();
        state.settle(now_ms);
        self.told(&state);
    }

    /// A link ended by itself.
    pub(crate) fn left(&self, number: u64, now_ms: impl FnOnce() -> u64) {
        self.end(number, now_ms, "moved", |figures| figures.moved += 1);
    }

    /// A link is cut. Whether it was one of those that had to move.
    pub(crate) fn cut(&self, number: u64, now_ms: impl FnOnce() -> u64) -> bool {
        self.end(number, now_ms, "killed", |figures| figures.killed += 1)
    }

    fn end(
        &self,
        number: u64,
        now_ms: impl FnOnce() -> u64,
        outcome: &'static str,
        count: impl FnOnce(&mut Progress),
    ) -> bool {
        let mut state = self.state.lock();
        if !state.left.remove(&number) {
            return false;
        }
        count(&mut state.figures);
        if state.left.is_empty() {
            state.settle(now_ms());
        }
        self.told(&state);
        drop(state);
        self.figures.outcome(outcome);
        true
    }

    fn told(&self, state: &State) {
        self.figures.below.set(i64::try_from(state.left.len()).unwrap_or(i64::MAX));
        self.progress.send_replace(state.figures);
    }

    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.progress.subscribe()
    }

    /// The change without the agents that it waits for.
    pub(crate) fn view(&self) -> MigrationView {
        let state = self.state.lock();
        let Progress { epoch, to_move, moved, stayed, killed, finished: _ } = state.figures;
        MigrationView {
            epoch,
            started_ms: state.started_ms,
            closes_at_ms: state.closes_at_ms,
            to_move,
            moved,
            stayed,
            killed,
            finished_ms: state.finished_ms,
            waiting: Vec::new(),
            waiting_more: 0,
        }
    }
}

impl State {
    fn settle(&mut self, now_ms: u64) {
        if self.left.is_empty() && self.finished_ms.is_none() {
            self.finished_ms = Some(now_ms);
            self.figures.finished = true;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_link_that_has_to_move_is_counted_once() {
        let moving = Moving::default();
        moving.begin(2, 10, 20);
        moving.stays(1);
        [2, 3, 4].into_iter().for_each(|number| moving.goes(number));
        moving.judged(10);
        assert_eq!(moving.view().finished_ms, None);
        moving.left(2, || 11);
        moving.left(2, || 11);
        moving.left(9, || 11);
        assert!(moving.cut(3, || 12) && !moving.cut(3, || 12));
        // Cut, it ends; that is no second outcome.
        moving.left(3, || 12);
        moving.left(4, || 13);
        let view = moving.view();
        assert_eq!((view.to_move, view.moved, view.killed, view.stayed), (3, 2, 1, 1));
        assert_eq!(view.finished_ms, Some(13));
        assert!(moving.progress().borrow().finished);

        moving.begin(3, 30, 40);
        moving.judged(30);
        assert_eq!((moving.view().finished_ms, moving.view().to_move), (Some(30), 0));
    }
}
