//! The connections of a pool that are open now.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::SystemTime;

use lockgate_crypto::Posture;
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use crate::link::Alpn;

/// One open connection, for `status`.
#[derive(Debug, Clone)]
pub struct LinkStatus {
    /// Number of the connection within its pool.
    pub id: u64,
    /// Connections of one generation are used side by side; each replacement begins another.
    pub generation: u64,
    /// Takes no new request: it closes when its exchanges have ended.
    pub retired: bool,
    /// The address connected to.
    pub peer: Option<SocketAddr>,
    /// The protocol spoken.
    pub protocol: Alpn,
    /// What TLS negotiated; `None` over plain TCP.
    pub posture: Option<Arc<Posture>>,
    /// When it was opened.
    pub opened: SystemTime,
    /// Exchanges on it now.
    pub exchanges: usize,
}

/// The facts of an open connection and its place in the pool's total. Shared by the connection's task, the
/// pool's register and the exchanges upon it.
#[derive(Debug)]
pub(super) struct Live {
    pub(super) id: u64,
    pub(super) generation: u64,
    pub(super) peer: Option<SocketAddr>,
    pub(super) protocol: Alpn,
    pub(super) posture: Option<Arc<Posture>>,
    pub(super) opened: SystemTime,
    pub(super) exchanges: AtomicUsize,
    /// Ends the connection at once.
    pub(super) cut: CancellationToken,
    pub(super) _place: OwnedSemaphorePermit,
}

impl Live {
    pub(super) fn exchanges(&self) -> usize {
        self.exchanges.load(Ordering::Acquire)
    }

    /// `generation` is the one in use.
    pub(super) fn status(&self, generation: u64) -> LinkStatus {
        LinkStatus {
            id: self.id,
            generation: self.generation,
            retired: self.generation < generation,
            peer: self.peer,
            protocol: self.protocol,
            posture: self.posture.clone(),
            opened: self.opened,
            exchanges: self.exchanges(),
        }
    }
}

/// Counts one exchange on a connection until it is dropped.
#[derive(Debug)]
pub(super) struct Exchange(pub(super) Arc<Live>);

impl Exchange {
    pub(super) fn begin(live: Arc<Live>) -> Self {
        live.exchanges.fetch_add(1, Ordering::AcqRel);
        Self(live)
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        self.0.exchanges.fetch_sub(1, Ordering::AcqRel);
    }
}
