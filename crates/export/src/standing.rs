//! How an exporter stands, for whoever looks.

use std::time::{SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde::Serialize;

/// How an exporter stands. Shared between the one who sends and all who look.
#[derive(Debug, Default)]
pub struct Standing(Mutex<StandingView>);

/// One look.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct StandingView {
    /// Number of the next record to be sent.
    pub next_seq: u64,
    /// Records that are in the log and were not sent.
    pub behind: u64,
    /// Records that were taken since the node started.
    pub sent: u64,
    /// Records that were gone from the log before they were sent.
    pub lost: u64,
    /// When the last batch was taken, Unix milliseconds.
    pub sent_ms: Option<u64>,
    /// Why the last attempt failed; none while all goes well.
    pub problem: Option<String>,
    /// Since when it fails, Unix milliseconds.
    pub failing_since_ms: Option<u64>,
}

impl Standing {
    /// How it stands now.
    pub fn view(&self) -> StandingView {
        self.0.lock().clone()
    }

    pub(crate) fn at(&self, next_seq: u64, newest: u64) {
        let mut view = self.0.lock();
        view.next_seq = next_seq;
        view.behind = (newest + 1).saturating_sub(next_seq);
    }

    pub(crate) fn sent(&self, records: u64) {
        let mut view = self.0.lock();
        view.sent += records;
        view.sent_ms = Some(now_ms());
        (view.problem, view.failing_since_ms) = (None, None);
    }

    pub(crate) fn lost(&self, records: u64) {
        self.0.lock().lost += records;
    }

    /// Notes a failure; whether it is the first since all went well.
    pub(crate) fn failed(&self, problem: String) -> bool {
        let mut view = self.0.lock();
        view.failing_since_ms.get_or_insert_with(now_ms);
        view.problem.replace(problem).is_none()
    }
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
