//! When a child was last used, and when it is due to be replaced.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

/// Why a child should be stopped, as told by [`Handle::due`](super::Handle::due). The caller decides when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// No line passed in either direction for `idle_s_max` seconds.
    Idle,
    /// The child has run for `life_s_max` seconds.
    Life,
}

/// The start and the last use of a child.
#[derive(Debug)]
pub(super) struct Activity {
    started: Instant,
    last: Mutex<Instant>,
}

impl Activity {
    pub(super) fn start() -> Self {
        let now = Instant::now();
        Self { started: now, last: Mutex::new(now) }
    }

    pub(super) fn touch(&self) {
        *self.last.lock() = Instant::now();
    }

    /// Resolves when one of the two times is over; never, if neither is limited.
    pub(super) async fn due(&self, idle: Option<Duration>, life: Option<Duration>) -> Due {
        loop {
            let idle_at = idle.map(|idle| (*self.last.lock() + idle, Due::Idle));
            let life_at = life.map(|life| (self.started + life, Due::Life));
            let next = [life_at, idle_at].into_iter().flatten().min_by_key(|(at, _)| *at);
            match next {
                None => std::future::pending().await,
                Some((at, due)) if at <= Instant::now() => return due,
                Some((at, _)) => tokio::time::sleep_until(at).await,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn idle_counts_from_the_last_use_and_life_from_the_start() {
        let activity = Activity::start();
        let started = Instant::now();
        tokio::time::advance(8 * SECOND).await;
        activity.touch();
        assert_eq!(activity.due(Some(10 * SECOND), None).await, Due::Idle);
        assert_eq!(started.elapsed().as_secs(), 18);
        activity.touch();
        assert_eq!(activity.due(Some(10 * SECOND), Some(20 * SECOND)).await, Due::Life);
        assert_eq!(started.elapsed().as_secs(), 20);
    }
}
