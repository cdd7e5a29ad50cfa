//! Opening a connection, and keeping it driven until it closes.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::sync::CancellationToken;

use super::RequestBody;
use super::error::PoolError;
use super::heard::{Awaited, Heard, Sign};
use super::lease::Sender;
use super::live::Live;
use super::pool::Inner;
use crate::link::Alpn;

/// Bytes of one answer that HTTP/2 takes in before they are read: what a slow reader costs.
const STREAM_WINDOW_BYTES: u32 = 512 * 1024;
/// The same for all streams of a connection.
const LINK_WINDOW_BYTES: u32 = 2 * 1024 * 1024;
/// Bytes read ahead on an HTTP/1.1 connection: what a slow reader costs there.
const READ_AHEAD_BYTES: usize = 128 * 1024;
/// Seconds between two pings on an HTTP/2 connection in use, so that a peer that vanished is noticed.
const PING_S: u64 = 30;
/// Seconds that the answer to a ping may take.
const PONG_S_MAX: u64 = 10;

/// A connection that is up and that nobody but its owner can use yet.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) sender: Sender,
    pub(super) live: Arc<Live>,
    /// Set if asked for.
    pub(super) awaited: Option<Awaited>,
}

impl Inner {
    /// Dials, and speaks HTTP on what comes up. The connection belongs to `generation`; with `confirmed` it tells
    /// when the server has shown that it accepts us.
    pub(super) async fn establish(
        self: &Arc<Self>,
        place: OwnedSemaphorePermit,
        generation: u64,
        confirmed: bool,
    ) -> Result<Opened, PoolError> {
        let target = &self.target;
        let link = target.dialer().dial(target.host(), target.port()).await?;
        let protocol = link.alpn.unwrap_or(Alpn::Http11);
        self.speaks_http1.store(protocol == Alpn::Http11, Ordering::Relaxed);
        let sign = Sign::of(&link);
        let live = Arc::new(Live {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            generation,
            peer: link.evidence.peer,
            protocol,
            posture: link.posture,
            opened: SystemTime::now(),
            exchanges: AtomicUsize::new(0),
            cut: CancellationToken::new(),
            _place: place,
        });
        let mut io = Heard::new(link.io, live.cut.clone());
        let awaited = confirmed.then(|| io.await_sign(sign));
        let sender = match protocol {
            Alpn::Http11 => Sender::Alone(self.speak_http1(io, &live).await?),
            Alpn::H2 => Sender::Shared(self.speak_http2(io, &live).await?),
        };
        Ok(Opened { sender, live, awaited })
    }

    pub(super) fn broken(&self, source: hyper::Error) -> PoolError {
        PoolError::Broken { target: self.target.to_string(), source }
    }

    async fn speak_http1(
        self: &Arc<Self>,
        io: Heard,
        live: &Arc<Live>,
    ) -> Result<http1::SendRequest<RequestBody>, PoolError> {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(READ_AHEAD_BYTES)
            .max_header_size(self.limits.header_bytes_max)
            .handshake(TokioIo::new(io))
            .await
            .map_err(|source| self.broken(source))?;
        self.run(connection, Arc::clone(live));
        Ok(sender)
    }

    async fn speak_http2(
        self: &Arc<Self>,
        io: Heard,
        live: &Arc<Live>,
    ) -> Result<http2::SendRequest<RequestBody>, PoolError> {
        let header_bytes_max = u32::try_from(self.limits.header_bytes_max).unwrap_or(u32::MAX);
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(LINK_WINDOW_BYTES)
            .max_header_list_size(header_bytes_max)
            .keep_alive_interval(Duration::from_secs(PING_S))
            .keep_alive_timeout(Duration::from_secs(PONG_S_MAX))
            .handshake(TokioIo::new(io))
            .await
            .map_err(|source| self.broken(source))?;
        self.run(connection, Arc::clone(live));
        Ok(sender)
    }

    /// Drives a connection until it closes or is cut; only then its place is free and it leaves the register.
    fn run(
        self: &Arc<Self>,
        connection: impl Future<Output = Result<(), hyper::Error>> + Send + 'static,
        live: Arc<Live>,
    ) {
        self.live.lock().insert(live.id, Arc::downgrade(&live));
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            tokio::select! {
                ended = connection => if let Err(error) = ended {
                    tracing::debug!(%error, link = live.id, "http: connection ended");
                },
                // At once, also while an HTTP/1.1 connection reads nothing since its caller does not.
                () = live.cut.cancelled() => {}
            }
            if let Some(pool) = pool.upgrade() {
                pool.live.lock().remove(&live.id);
            }
        });
    }
}
