//! Agility: what is in force for links now, and how links follow when that changes.
//!
//! [`InForce`] is one *epoch*: for each listener the suite that its links must satisfy, with exceptions for single
//! peers that end by themselves. [`Node::publish`](crate::Node::publish) puts the next one in force and judges every
//! live link by it. A link *stays*, and is stamped with the epoch, or it *goes*:
//!
//! - A peer that follows the [`notices`] on one of its links is told, opens a new link first and moves its calls.
//! - Any other HTTP/2 link is asked to leave (GOAWAY) at a moment of its own within [`Move::within`]; an HTTP/1.1 link
//!   is closed with its next answer.
//! - Shortly before [`Move::deadline`] whatever is left is asked to leave, and at the deadline it is cut and recorded.
//!
//! A link is judged when it enters, too: a handshake that began under the epoch before cannot slip past the change, and
//! an exception holds for its peer alone though the listener has to accept for all peers what one of them may use.
//!
//! Beside that: [`peers`] remembers what each peer offered, [`continuity`] holds peers to the level that they had, and
//! `refusals` bounds what strangers can write into the log.

pub mod continuity;
mod departure;
mod entry;
mod moving;
pub mod notices;
pub mod peers;
mod publish;
pub(crate) mod refusals;
mod rules;
pub(crate) mod upstreams;
mod verdict;

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;

pub(crate) use departure::{Departure, Fate};
pub(crate) use moving::Moving;
pub use moving::{MigrationView, Progress, WAITING_MAX, Waiting};
pub use peers::{Following, PeerView};
pub use rules::{InForce, ListenerRule, Move, NotNewer, PeerRule};
pub use verdict::RefusedPeer;

use crate::link::LinkContext;

/// What a node keeps for agility.
pub(crate) struct Agility {
    standing: ArcSwap<Standing>,
    /// One change at a time.
    publishing: Mutex<()>,
    /// Counts what those who follow the notices should hear of.
    changes: watch::Sender<u64>,
    /// The link on which each connector follows the notices, by agent and instance.
    followers: Mutex<HashMap<(String, String), Weak<LinkContext>>>,
    pub(crate) peers: peers::Peers,
    pub(crate) continuity: continuity::Keeper,
    pub(crate) refusals: refusals::Refusals,
}

/// What is in force, since when, and at which pace links follow.
pub(crate) struct Standing {
    pub(crate) in_force: Arc<InForce>,
    /// Counts judgements; a link heeds the latest.
    serial: u64,
    pace: Move,
    begun: Instant,
    begun_ms: u64,
}

impl Standing {
    fn cut_at(&self) -> Instant {
        self.begun + self.pace.deadline
    }

    fn closes_at_ms(&self) -> u64 {
        self.begun_ms.saturating_add(millis(self.pace.deadline))
    }
}

impl Agility {
    pub(crate) fn new(continuity: continuity::Keeper) -> Self {
        let standing = Standing {
            in_force: Arc::default(),
            serial: 0,
            pace: Move::NOW,
            begun: Instant::now(),
            begun_ms: 0,
        };
        Self {
            standing: ArcSwap::from_pointee(standing),
            publishing: Mutex::default(),
            changes: watch::Sender::new(0),
            followers: Mutex::default(),
            peers: peers::Peers::default(),
            continuity,
            refusals: refusals::Refusals::default(),
        }
    }

    pub(crate) fn standing(&self) -> Arc<Standing> {
        self.standing.load_full()
    }
}

/// Whole milliseconds of a duration.
pub(crate) fn millis(duration: std::time::Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
