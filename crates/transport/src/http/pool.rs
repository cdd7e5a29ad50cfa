//! The pool itself: take a connection, or open one; send; give it back.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::{Request, Response};
use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::body::Body;
use super::error::PoolError;
use super::idle::{Shelf, rest};
use super::lease::{Lease, Sender};
use super::live::{Exchange, LinkStatus, Live};
use super::open::Opened;
use super::target::Target;
use super::{Limits, RequestBody};
use crate::link::Alpn;

/// How often a request is sent again that servers declined without looking at it.
const DECLINED_MAX: usize = 3;

/// Whether an HTTP/2 server certainly did not process the request: it was on its way when the server announced to
/// leave (GOAWAY, RFC 9113, section 6.8), or its stream was refused (section 8.7).
fn was_declined(error: &hyper::Error) -> bool {
    let mut source = std::error::Error::source(error);
    while let Some(cause) = source {
        if let Some(error) = cause.downcast_ref::<h2::Error>() {
            let leaves =
                error.is_go_away() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR);
            return leaves || (error.is_reset() && error.reason() == Some(h2::Reason::REFUSED_STREAM));
        }
        source = cause.source();
    }
    false
}

/// A client of one [`Target`] that keeps its connections. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Pool {
    pub(super) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(super) struct Inner {
    pub(super) target: Target,
    pub(super) limits: Limits,
    pub(super) places: Arc<Semaphore>,
    /// One more place, for a connection that replaces others while those hold all the rest.
    pub(super) spare: Arc<Semaphore>,
    pub(super) shelf: Mutex<Shelf>,
    /// A connection was put on the shelf.
    pub(super) returned: Notify,
    /// Whose turn it is to open a connection, while it may turn out to be shared.
    turn: tokio::sync::Mutex<()>,
    /// Whose turn it is to replace the connections.
    pub(super) replacing: tokio::sync::Mutex<()>,
    /// Of the last connection: HTTP/1.1 ones are opened side by side, HTTP/2 ones one after another.
    pub(super) speaks_http1: AtomicBool,
    pub(super) live: Mutex<BTreeMap<u64, Weak<Live>>>,
    pub(super) next_id: AtomicU64,
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
            spare: Arc::new(Semaphore::new(1)),
            target,
            limits,
            shelf: Mutex::default(),
            returned: Notify::new(),
            turn: tokio::sync::Mutex::new(()),
            replacing: tokio::sync::Mutex::new(()),
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
        let mut declined = 0;
        loop {
            let mut lease = self.inner.lease().await?;
            self.inner.target.address(&mut request, lease.protocol());
            // The body is shared, not copied.
            let again = (lease.protocol() == Alpn::H2).then(|| request.clone());
            let mut error = match lease.send(request).await {
                Ok(response) => return Ok(self.inner.answer(response, lease)),
                Err(error) => error,
            };
            request = match (error.take_message(), again) {
                (Some(unsent), _) if lease.reused => unsent,
                (None, Some(again)) if declined < DECLINED_MAX && was_declined(error.error()) => {
                    declined += 1;
                    self.inner.shelf.lock().forget(lease.exchange.0.id);
                    again
                }
                _ => return Err(self.inner.broken(error.into_error())),
            };
        }
    }

    /// The connections open now, oldest first.
    pub fn links(&self) -> Vec<LinkStatus> {
        let generation = self.inner.shelf.lock().generation;
        let live = self.inner.live.lock();
        let live = live.values().filter_map(Weak::upgrade);
        live.map(|live| live.status(generation)).collect()
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
            Err(_) => return Err(self.exhausted()),
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
        let Opened { sender, live, .. } = self.establish(place, generation, false).await?;
        let exchange = Exchange::begin(Arc::clone(&live));
        if let Sender::Shared(sender) = &sender {
            let until = Instant::now() + self.limits.idle_max_time();
            let mut shelf = self.shelf.lock();
            shelf.put_shared(sender.clone(), live, until);
            self.reap();
            drop(shelf);
            self.returned.notify_waiters();
        }
        Ok(Lease { sender, exchange, reused: false })
    }

    pub(super) fn exhausted(&self) -> PoolError {
        PoolError::Exhausted {
            target: self.target.to_string(),
            links_max: self.limits.links_max,
            wait_ms_max: self.limits.wait_ms_max,
        }
    }

    fn answer(self: &Arc<Self>, response: Response<hyper::body::Incoming>, lease: Lease) -> Response<Body> {
        let back = Return {
            pool: Arc::downgrade(self),
            rest: rest(response.headers(), self.limits.idle_max_time()),
        };
        response.map(|incoming| Body::new(incoming, lease, back))
    }

    /// Closes resting connections in time; one task while there are any.
    pub(super) fn reap(self: &Arc<Self>) {
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
