//! Make before break: traffic moves to a new connection, and only then the old ones are left.

use std::sync::{Arc, Weak};

use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, timeout};

use super::error::PoolError;
use super::heard::Unheard;
use super::live::Live;
use super::open::Opened;
use super::pool::{Inner, Pool};
use crate::dial_error::{self, DialError};

impl Pool {
    /// Moves to a new connection: opens one by what the dialer has in force now, waits until the server has shown
    /// that it accepts it, and from then on uses no older one for a new request. Exchanges under way end where
    /// they are, then their connections close. No request fails for it or waits for it.
    ///
    /// A pool without connections opens none; whatever another request is opening meanwhile serves that request
    /// and is not kept. While a pool that uses all its places is replaced, it holds one connection more.
    ///
    /// # Errors
    /// As [`Pool::request`] when no connection comes up, and [`PoolError::Silent`]. Then nothing has changed: the
    /// present connections stay in use. Dropping the future has the same effect.
    pub async fn replace(&self) -> Result<(), PoolError> {
        let inner = &self.inner;
        // In turn: each caller may have changed the dialer, so that none may settle for the connection of another.
        let _turn = inner.replacing.lock().await;
        if inner.live.lock().is_empty() {
            inner.shelf.lock().retire();
            return Ok(());
        }
        let place = inner.place_beside().await?;
        let generation = inner.shelf.lock().announce();
        let Opened { mut sender, live, awaited } = inner.establish(place, generation, true).await?;
        if let Some(awaited) = awaited {
            awaited.heard(inner.limits.wait_max()).await.map_err(|unheard| inner.explain(unheard))?;
        }
        sender.ready().await.map_err(|source| inner.broken(source))?;
        let until = Instant::now() + inner.limits.idle_max_time();
        let mut shelf = inner.shelf.lock();
        shelf.replace(sender, live, until, inner.limits.idle_max);
        inner.reap();
        drop(shelf);
        inner.returned.notify_waiters();
        Ok(())
    }

    /// Uses no present connection for a new request, although there is no other yet: the next request opens one.
    /// Exchanges under way end where they are, then their connections close. For what must not be used again even
    /// if nothing takes its place; [`Pool::replace`] otherwise.
    pub fn retire(&self) {
        self.inner.shelf.lock().retire();
    }

    /// Closes the connections that [`Pool::replace`] or [`Pool::retire`] left, at once: what is still under way on
    /// them fails. How a deadline ends. Returns how many there were.
    pub fn cut_retired(&self) -> usize {
        let generation = self.inner.shelf.lock().generation;
        let live = self.inner.live.lock();
        let retired = live.values().filter_map(Weak::upgrade).filter(|live| live.generation < generation);
        retired.map(|live: Arc<Live>| live.cut.cancel()).count()
    }
}

impl Inner {
    /// A place for a connection that will replace others: one of the usual, else the one kept for this.
    async fn place_beside(&self) -> Result<OwnedSemaphorePermit, PoolError> {
        let (usual, kept) = (&self.places, &self.spare);
        if let Ok(place) = Arc::clone(usual).try_acquire_owned() {
            return Ok(place);
        }
        let either = async {
            tokio::select! {
                biased;
                place = Arc::clone(kept).acquire_owned() => place,
                place = Arc::clone(usual).acquire_owned() => place,
            }
        };
        match timeout(self.limits.wait_max(), either).await {
            Ok(place) => Ok(place.expect("the semaphores of a pool are never closed")),
            Err(_) => Err(self.exhausted()),
        }
    }

    fn explain(&self, unheard: Unheard) -> PoolError {
        let (target, wait_ms_max) = (&self.target, self.limits.wait_ms_max);
        let (host, port) = (target.host(), target.port());
        match (unheard, target.dialer().suite()) {
            (Unheard::Silent, _) => PoolError::Silent { target: target.to_string(), wait_ms_max },
            (Unheard::Ended(error), Some(suite)) => {
                PoolError::Dial(dial_error::explain_handshake(host, port, &suite, error))
            }
            (Unheard::Ended(source), None) => {
                PoolError::Dial(DialError::Lost { host: host.to_owned(), port, source })
            }
        }
    }
}
