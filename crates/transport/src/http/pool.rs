//! The pool itself: take a connection, or open one; send; give it back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use http::{Request, Response};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::body::Body;
use super::error::PoolError;
use super::idle::{Shelf, rest};
use super::lease::{Lease, Sender};
use super::live::{Exchange, LinkStatus, Live};
use super::target::Target;
use super::{Limits, RequestBody};
use crate::link::{Alpn, Link};

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

/// A client of one [`Target`] that keeps its connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pool {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    target: Target,
    limits: Limits,
    places: Arc<Semaphore>,
    shelf: Mutex<Shelf>,
    /// A connection was put on the shelf.
    returned: Notify,
    /// Whose turn it is to open a connection, while it may turn out to be shared.
    turn: tokio::sync::Mutex<()>,
    /// Of the last connection: HTTP/1.1 ones are opened side by side, HTTP/2 ones one after another.
    speaks_http1: AtomicBool,
    live: Mutex<BTreeMap<u64, Weak<Live>>>,
    next_id: AtomicU64,
    reaping: AtomicBool,
}

/// The way back into the pool for a connection whose exchange is over.
#[derive(Debug)]
pub(super) struct Return {
    pool: Weak<Inner>,
    rest: Duration,
}

impl Pool {
    /// A pool without connections; the first request opens one.
    pub fn new(target: Target, limits: Limits) -> Self {
        let inner = Inner {
            places: Arc::new(Semaphore::new(limits.links_max)),
            target,
            limits,
            shelf: Mutex::default(),
            returned: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
            speaks_http1: AtomicBool::new(false),
            live: Mutex::default(),
            next_id: AtomicU64::new(0),
            reaping: AtomicBool::new(false),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The target.
    pub fn target(&self) -> &Target {
        &self.inner.target
    }

    /// Sends `request` and returns when the headers of the answer are there. Of the request's URI, path and
    /// query count; the rest comes from the target. A request that certainly was not sent, since a kept
    /// connection had just been closed, is sent again on another one; any other is not.
    ///
    /// There is no deadline on the answer: that is for the caller, who cancels by dropping the future.
    ///
    /// # Errors
    /// [`PoolError`]; [`PoolError::is_unsent`] tells whether the server may have acted.
    pub async fn request(&self, mut request: Request<RequestBody>) -> Result<Response<Body>, PoolError> {
        loop {
            let mut lease = self.inner.lease().await?;
            self.inner.target.address(&mut request, lease.protocol());
            let mut error = match lease.send(request).await {
                Ok(response) => return Ok(self.inner.answer(response, lease)),
                Err(error) => error,
            };
            request = match error.take_message() {
                Some(unsent) if lease.reused => unsent,
                _ => {
                    return Err(PoolError::Broken {
                        target: self.inner.target.to_string(),
                        source: error.into_error(),
                    });
                }
            };
        }
    }

    /// The connections open now, oldest first.
    pub fn links(&self) -> Vec<LinkStatus> {
        let live = self.inner.live.lock();
        let live = live.values().filter_map(Weak::upgrade);
        live.map(|live| live.status()).collect()
    }

    /// Uses no present connection for a new request. Exchanges under way end where they are, then their
    /// connections close: how a change of profile or identity moves traffic without cutting it.
    pub fn retire(&self) {
        self.inner.shelf.lock().retire();
    }
}

impl Inner {
    fn take(&self) -> Option<Lease> {
        self.shelf.lock().take(self.limits.streams_per_link_max)
    }

    async fn lease(self: &Arc<Self>) -> Result<Lease, PoolError> {
        if let Some(lease) = self.take() {
            return Ok(lease);
        }
        let place = match timeout(self.limits.wait_max(), self.lease_or_place()).await {
            Ok(Ok(lease)) => return Ok(lease),
            Ok(Err(place)) => place,
            Err(_) => {
                return Err(PoolError::Exhausted {
                    target: self.target.to_string(),
                    links_max: self.limits.links_max,
                    wait_ms_max: self.limits.wait_ms_max,
                });
            }
        };
        if self.speaks_http1.load(Ordering::Relaxed) || !self.target.dialer().is_tls() {
            return self.open(place).await;
        }
        // It may become a connection that all who wait can share: one opens it, the others look again.
        let turn = timeout(self.limits.wait_max(), self.turn.lock()).await;
        let _turn = turn.map_err(|_| PoolError::Opening {
            target: self.target.to_string(),
            wait_ms_max: self.limits.wait_ms_max,
        })?;
        match self.take() {
            Some(lease) => Ok(lease),
            None => self.open(place).await,
        }
    }

    /// Waits for a connection that comes back, or for a place to open another.
    async fn lease_or_place(&self) -> Result<Lease, OwnedSemaphorePermit> {
        loop {
            if let Some(lease) = self.take() {
                return Ok(lease);
            }
            tokio::select! {
                biased;
                () = self.returned.notified() => {}
                place = Arc::clone(&self.places).acquire_owned() => {
                    return Err(place.expect("the semaphore of a pool is never closed"));
                }
            }
        }
    }

    async fn open(self: &Arc<Self>, place: OwnedSemaphorePermit) -> Result<Lease, PoolError> {
        let generation = self.shelf.lock().generation;
        let target = &self.target;
        let link = target.dialer().dial(target.host(), target.port()).await?;
        let protocol = link.alpn.unwrap_or(Alpn::Http11);
        self.speaks_http1.store(protocol == Alpn::Http11, Ordering::Relaxed);
        let live = Arc::new(Live {
            id: self.next_id.fetch_add(1, Ordering::Relaxed),
            generation,
            peer: link.evidence.peer,
            protocol,
            posture: link.posture.clone(),
            opened: SystemTime::now(),
            exchanges: AtomicUsize::new(0),
            _place: place,
        });
        let exchange = Exchange::begin(Arc::clone(&live));
        let sender = match protocol {
            Alpn::Http11 => Sender::Alone(self.speak_http1(link, live).await?),
            Alpn::H2 => {
                let sender = self.speak_http2(link, Arc::clone(&live)).await?;
                let until = Instant::now() + self.limits.idle_max_time();
                self.shelf.lock().put_shared(sender.clone(), live, until);
                self.returned.notify_waiters();
                Sender::Shared(sender)
            }
        };
        Ok(Lease { sender, exchange, reused: false })
    }

    fn broken(&self, source: hyper::Error) -> PoolError {
        PoolError::Broken { target: self.target.to_string(), source }
    }

    async fn speak_http1(
        self: &Arc<Self>,
        link: Link,
        live: Arc<Live>,
    ) -> Result<http1::SendRequest<RequestBody>, PoolError> {
        let (sender, connection) = http1::Builder::new()
            .max_buf_size(READ_AHEAD_BYTES)
            .max_header_size(self.limits.header_bytes_max)
            .handshake(TokioIo::new(link.io))
            .await
            .map_err(|source| self.broken(source))?;
        self.run(connection, live);
        Ok(sender)
    }

    async fn speak_http2(
        self: &Arc<Self>,
        link: Link,
        live: Arc<Live>,
    ) -> Result<http2::SendRequest<RequestBody>, PoolError> {
        let header_bytes_max = u32::try_from(self.limits.header_bytes_max).unwrap_or(u32::MAX);
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .initial_stream_window_size(STREAM_WINDOW_BYTES)
            .initial_connection_window_size(LINK_WINDOW_BYTES)
            .max_header_list_size(header_bytes_max)
            .keep_alive_interval(Duration::from_secs(PING_S))
            .keep_alive_timeout(Duration::from_secs(PONG_S_MAX))
            .handshake(TokioIo::new(link.io))
            .await
            .map_err(|source| self.broken(source))?;
        self.run(connection, live);
        Ok(sender)
    }

    /// Drives a connection until it closes; only then its place is free and it leaves the register.
    fn run(
        self: &Arc<Self>,
        connection: impl Future<Output = Result<(), hyper::Error>> + Send + 'static,
        live: Arc<Live>,
    ) {
        self.live.lock().insert(live.id, Arc::downgrade(&live));
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!(%error, link = live.id, "http: connection ended");
            }
            if let Some(pool) = pool.upgrade() {
                pool.live.lock().remove(&live.id);
            }
        });
    }

    fn answer(self: &Arc<Self>, response: Response<hyper::body::Incoming>, lease: Lease) -> Response<Body> {
        let back = Return {
            pool: Arc::downgrade(self),
            rest: rest(response.headers(), self.limits.idle_max_time()),
        };
        response.map(|incoming| Body::new(incoming, lease, back))
    }

    /// Closes resting connections in time; one task while there are any.
    fn reap(self: &Arc<Self>) {
        if self.reaping.swap(true, Ordering::AcqRel) {
            return;
        }
        let pool = Arc::downgrade(self);
        tokio::spawn(async move {
            loop {
                let next = {
                    let Some(pool) = pool.upgrade() else { return };
                    let mut shelf = pool.shelf.lock();
                    let next = shelf.purge();
                    if next.is_none() {
                        // Within the lock: who puts a connection back afterwards starts another task.
                        pool.reaping.store(false, Ordering::Release);
                        return;
                    }
                    next
                };
                if let Some(next) = next {
                    tokio::time::sleep_until(next).await;
                }
            }
        });
    }
}

impl Return {
    pub(super) fn give(self, lease: Lease) {
        let Some(pool) = self.pool.upgrade() else {
            return;
        };
        let Lease { sender, exchange, .. } = lease;
        let live = Arc::clone(&exchange.0);
        drop(exchange);
        match sender {
            Sender::Shared(sender) => pool.put(Sender::Shared(sender), live, self.rest),
            Sender::Alone(sender) if sender.is_ready() => {
                pool.put(Sender::Alone(sender), live, self.rest);
            }
            // The answer is complete, but the request is still being written.
            Sender::Alone(mut sender) => {
                tokio::spawn(async move {
                    if sender.ready().await.is_ok() {
                        pool.put(Sender::Alone(sender), live, self.rest);
                    }
                });
            }
        }
    }
}

impl Inner {
    fn put(self: &Arc<Self>, sender: Sender, live: Arc<Live>, rest: Duration) {
        let until = Instant::now() + rest;
        let mut shelf = self.shelf.lock();
        match sender {
            Sender::Alone(sender) => shelf.put_alone(sender, live, until, self.limits.idle_max),
            Sender::Shared(sender) => shelf.put_shared(sender, live, until),
        }
        self.reap();
        drop(shelf);
        self.returned.notify_one();
    }
}
