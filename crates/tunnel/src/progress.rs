//! How far a tunnel has followed its gateway.

use std::time::Instant;

use lockgate_crypto::Ending;

/// What a follower has reached. Each change is told on a watch channel, see [`Tunnel::progress`](crate::Tunnel::progress).
#[derive(Debug, Clone, Default)]
pub struct Progress {
    /// The gateway's epoch that is obeyed; 0 before the first notice.
    pub epoch: u64,
    /// Where things stand.
    pub standing: Standing,
    /// How often the links were replaced by new ones, renewals of the certificate included.
    pub moves: u64,
    /// When they were replaced last.
    pub moved_at: Option<Instant>,
    /// Certificates obtained since the start.
    pub certificates: u64,
    /// Algorithms in force whose end is dated, as the gateway last told.
    pub endings: Vec<Ending>,
}

/// Where a follower stands.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum Standing {
    /// No stream of notices is open: not yet, not any more, or the gateway has none.
    #[default]
    Silent,
    /// On the way to what the last notice announced.
    Moving,
    /// New links are made as announced, and the links that are up may stay.
    Settled,
    /// What was announced is below the floor and is not followed, with the reason. The links stay until the gateway
    /// cuts them.
    BelowFloor(String),
    /// What was announced could not be followed, with the reason.
    Behind(String),
}

impl Progress {
    /// Whether `epoch` is reached: dialled by, and no link left that may not stay.
    #[must_use]
    pub fn has_reached(&self, epoch: u64) -> bool {
        self.epoch >= epoch && self.standing == Standing::Settled
    }
}
