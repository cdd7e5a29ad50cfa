//! A client for HTTP/1.1 and HTTP/2 that keeps its connections.
//!
//! One [`Pool`] serves one [`Target`]: an upstream server, or the gateway at the far end of a tunnel. Pools
//! share nothing, so that one bad target cannot starve another. Over HTTP/1.1 a connection carries one
//! exchange at a time and waits in the pool between two; over HTTP/2 a connection carries many.
//!
//! [`Pool::replace`] moves all traffic to a new connection without a request that fails or waits: after a change of
//! profile, identity or trust of the pool's [`Dialer`](crate::Dialer).
//!
//! Dropping the future of [`Pool::request`], or the [`Body`] before its end, cancels the exchange at once:
//! the HTTP/1.1 connection is closed, the HTTP/2 stream is reset. The server sees it as soon as the packet
//! arrives.

mod body;
mod error;
mod heard;
mod idle;
mod lease;
mod live;
mod open;
mod pool;
mod replace;
mod target;

use std::time::Duration;

use bytes::Bytes;

pub use body::Body;
pub use error::PoolError;
pub use live::LinkStatus;
pub use pool::Pool;
pub use target::{Target, TargetError};

/// The body of a request: one whole message, or nothing.
///
/// A message is decoded and decided upon before it is forwarded, so that it is whole by then, and no stream
/// is needed.
pub type RequestBody = http_body_util::Full<Bytes>;

/// What a [`Pool`] may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Connections to the target at the same time, idle ones included. Bounds what a burst opens at the
    /// server.
    pub links_max: usize,
    /// HTTP/1.1 connections kept while idle; the oldest is closed first.
    pub idle_max: usize,
    /// Seconds that a connection is kept while idle, if the server's `Keep-Alive: timeout` does not ask for
    /// less.
    pub idle_s_max: u64,
    /// Milliseconds to wait for a connection to become free once `links_max` are open, and as long again for one
    /// that another request is opening. The dialer's limits bound the opening itself.
    pub wait_ms_max: u64,
    /// Streams on one HTTP/2 connection; beyond it another connection is opened. The default is what RFC
    /// 9113, section 6.5.2, wants every server to admit; streams above a server's own limit wait for others
    /// to end.
    pub streams_per_link_max: usize,
    /// Bytes of response headers accepted.
    pub header_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            links_max: 256,
            idle_max: 64,
            idle_s_max: 60,
            wait_ms_max: 5_000,
            streams_per_link_max: 100,
            header_bytes_max: 32 * 1024,
        }
    }
}

impl Limits {
    fn idle_max_time(&self) -> Duration {
        Duration::from_secs(self.idle_s_max)
    }

    fn wait_max(&self) -> Duration {
        Duration::from_millis(self.wait_ms_max)
    }
}
