//! Listening and serving.

use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;

use crate::guard::Token;
use crate::node::Node;
use crate::routes::{Access, router};

/// Most connections at a time: a person, a few scrapers and a dashboard. More wait in the kernel's queue.
pub const CONNECTIONS_MAX: usize = 64;

/// Longest wait for the head of a request, also on an idle connection, in seconds.
const HEAD_S_MAX: u64 = 30;

/// Largest head of a request in bytes.
const HEAD_BYTES_MAX: usize = 16 << 10;

/// How long requests under way may take once the interface is shut down, in seconds.
const SHUTDOWN_S_MAX: u64 = 2;

/// Why the interface cannot listen.
#[derive(Debug, thiserror::Error)]
pub enum ServerError {
    /// It has no tunnel, so nobody else's address will do.
    #[error(
        "the admin interface cannot listen on {0}: it has no tunnel, so it stays on loopback; use 127.0.0.1:PORT or [::1]:PORT"
    )]
    NotLoopback(SocketAddr),
    /// The operating system does not allow it.
    #[error("the admin interface cannot listen on {addr}: {source}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// Why not.
        source: io::Error,
    },
}

/// The interface, listening.
pub struct Server {
    listener: std::net::TcpListener,
    access: Arc<Access>,
}

impl Server {
    /// Listens on a loopback address; port 0 lets the system choose.
    ///
    /// # Errors
    /// [`ServerError`], when the address is not loopback or is taken.
    pub async fn bind(addr: SocketAddr, token: Token, node: Arc<dyn Node>) -> Result<Self, ServerError> {
        if !addr.ip().is_loopback() {
            return Err(ServerError::NotLoopback(addr));
        }
        let listen = |source| ServerError::Listen { addr, source };
        let listener = TcpListener::bind(addr).await.map_err(listen)?;
        let local = listener.local_addr().map_err(listen)?;
        // It may be served by another runtime than the one that the node's own tasks belong to.
        let listener = listener.into_std().map_err(listen)?;
        let access = Arc::new(Access::new(node, token, local));
        Ok(Self { listener, access })
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.access.local
    }

    /// Serves until `shutdown` is done and the requests under way are answered. May run on a runtime of its own; what is
    /// asked of the node is asked on the runtime that [`bind`](Self::bind) was called in.
    ///
    /// # Errors
    /// The listening socket cannot be used on this runtime.
    pub async fn serve(self, shutdown: impl Future<Output = ()>) -> io::Result<()> {
        let listener = TcpListener::from_std(self.listener)?;
        let closing = self.access.closing.clone();
        let service = TowerToHyperService::new(router(self.access));
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        let graceful = GracefulShutdown::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let next = async {
                let place = places.clone().acquire_owned().await;
                (place, accept(&listener).await)
            };
            let (place, stream) = tokio::select! {
                next = next => next,
                () = &mut shutdown => break,
            };
            let connection = hyper::server::conn::http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(Duration::from_secs(HEAD_S_MAX))
                .max_buf_size(HEAD_BYTES_MAX)
                .serve_connection(TokioIo::new(stream), service.clone());
            let connection = graceful.watch(connection);
            tokio::spawn(async move {
                let _place = place;
                if let Err(error) = connection.await {
                    tracing::debug!(%error, "an admin connection ended early");
                }
            });
        }
        closing.send_replace(true);
        let deadline = Duration::from_secs(SHUTDOWN_S_MAX);
        if tokio::time::timeout(deadline, graceful.shutdown()).await.is_err() {
            tracing::debug!("admin requests were cut off by the shutdown");
        }
        Ok(())
    }
}

/// The next connection. An error of one connection, or of too many open files, is no reason to stop.
async fn accept(listener: &TcpListener) -> TcpStream {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => return stream,
            Err(error) => {
                tracing::warn!(%error, "the admin interface could not accept a connection");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}
