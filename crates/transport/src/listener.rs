//! Stage *accept*: a bound socket becomes [`Accepted`] connections.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use lockgate_identity::Evidence;
use rustix::io::Errno;
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use crate::admission::{Admission, Full};
use crate::io::{Counted, Io};
use crate::limits::Limits;
use crate::link::Link;
use crate::peer;

/// Pause after the system ran out of descriptors or memory, milliseconds. Accepting again at once would
/// spin, since the connection that failed is still first in the queue.
const EXHAUSTED_RETRY_MS: u64 = 50;

/// A bound TCP socket that hands out connections within its [`Limits`].
#[derive(Debug)]
pub struct Listener {
    socket: TcpListener,
    local: SocketAddr,
    admission: Arc<Admission>,
}

/// An accepted TCP connection that holds one slot of its listener, before any byte was read.
#[derive(Debug)]
pub struct Accepted {
    pub(crate) stream: Counted,
    /// The other end.
    pub peer: SocketAddr,
    /// This end.
    pub local: SocketAddr,
}

/// Why a listener could not be bound.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    /// Another socket holds the port.
    #[error(
        "cannot listen on {address}: the port is in use; stop the program that holds it (`ss -ltnp 'sport = :{}'` names it), or choose another port (0 lets the system choose a free one)",
        address.port()
    )]
    InUse {
        /// The address asked for.
        address: SocketAddr,
    },
    /// The port is privileged, or a sandbox forbids it.
    #[error(
        "cannot listen on {address}: permission denied; ports below 1024 need CAP_NET_BIND_SERVICE, so choose a port from 1024 up"
    )]
    Denied {
        /// The address asked for.
        address: SocketAddr,
    },
    /// No interface of this machine has the address.
    #[error(
        "cannot listen on {address}: this machine has no such address; `ip address` lists those it has, 0.0.0.0 and [::] mean all of them"
    )]
    NotLocal {
        /// The address asked for.
        address: SocketAddr,
    },
    /// Anything else that the system reports.
    #[error("cannot listen on {address}: {source}")]
    Io {
        /// The address asked for.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

/// Why an incoming connection was closed unread, or none could be taken.
#[derive(Debug, thiserror::Error)]
pub enum AcceptError {
    /// The listener holds as many links as it may.
    #[error(
        "link from {peer} closed: this listener already holds its {links_max} links (links_max); raise the limit or close idle links"
    )]
    Links {
        /// Who was turned away.
        peer: SocketAddr,
        /// The limit that was reached.
        links_max: usize,
    },
    /// The peer's address holds as many links as it may.
    #[error(
        "link from {peer} closed: its address already holds {links_per_ip_max} links (links_per_ip_max); raise the limit if many clients share this address"
    )]
    Address {
        /// Who was turned away.
        peer: SocketAddr,
        /// The limit that was reached.
        links_per_ip_max: usize,
    },
    /// The listening socket itself failed.
    #[error("accepting on {local} failed: {source}")]
    Io {
        /// The address listened on.
        local: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
}

impl Listener {
    /// Binds `address` and starts to listen. Port 0 lets the system choose: [`Listener::local`] tells.
    ///
    /// # Errors
    /// [`BindError`], which names the address and the next step.
    pub async fn bind(address: SocketAddr, limits: Limits) -> Result<Self, BindError> {
        let explain = |source: io::Error| match source.kind() {
            io::ErrorKind::AddrInUse => BindError::InUse { address },
            io::ErrorKind::PermissionDenied => BindError::Denied { address },
            io::ErrorKind::AddrNotAvailable => BindError::NotLocal { address },
            _ => BindError::Io { address, source },
        };
        let socket = open(address, limits.backlog).map_err(explain)?;
        let local = socket.local_addr().map_err(explain)?;
        Ok(Self { socket, local, admission: Admission::new(&limits) })
    }

    /// The address bound, with the real port.
    pub fn local(&self) -> SocketAddr {
        self.local
    }

    /// Links that hold a slot now.
    pub fn links(&self) -> usize {
        self.admission.total()
    }

    /// Waits for the next connection. Cancel-safe.
    ///
    /// # Errors
    /// [`AcceptError::Links`] and [`AcceptError::Address`] tell of a connection that was closed: record it
    /// and call again. [`AcceptError::Io`] means that the socket is unusable.
    pub async fn accept(&self) -> Result<Accepted, AcceptError> {
        let (stream, peer) = self.next().await?;
        match self.admission.admit(peer.ip()) {
            Ok(slot) => Ok(Accepted {
                local: stream.local_addr().map_or(self.local, canonical),
                stream: Counted::new(stream, Some(slot)),
                peer,
            }),
            Err(Full::Links { links_max }) => Err(AcceptError::Links { peer, links_max }),
            Err(Full::Address { links_per_ip_max }) => Err(AcceptError::Address { peer, links_per_ip_max }),
        }
    }

    async fn next(&self) -> Result<(TcpStream, SocketAddr), AcceptError> {
        loop {
            match self.socket.accept().await {
                Ok((stream, peer)) => return Ok((stream, canonical(peer))),
                Err(error) if is_one_of(&error, &EXHAUSTED) => {
                    tracing::warn!(local = %self.local, %error, "accept: out of descriptors or memory");
                    tokio::time::sleep(Duration::from_millis(EXHAUSTED_RETRY_MS)).await;
                }
                Err(source) if is_one_of(&source, &UNUSABLE) => {
                    return Err(AcceptError::Io { local: self.local, source });
                }
                // Linux reports what happened to the queued connection here: it was aborted, or its network
                // failed.
                Err(error) => {
                    tracing::debug!(local = %self.local, %error, "accept: connection lost while queued");
                }
            }
        }
    }
}

impl Accepted {
    /// A link without TLS, and so without posture: for loopback listeners, where the kernel vouches for the
    /// peer (`evidence.same_user`).
    pub fn plain(self) -> Link {
        let evidence = Evidence {
            peer_certificates: Vec::new(),
            peer: Some(self.peer),
            local: Some(self.local),
            same_user: peer::is_same_user(self.local, self.peer),
        };
        Link {
            io: Io::Plain(self.stream),
            evidence,
            posture: None,
            alpn: None,
            offered: None,
            exporter: None,
        }
    }
}

fn open(address: SocketAddr, backlog: u32) -> io::Result<TcpListener> {
    let socket = match address {
        SocketAddr::V4(_) => TcpSocket::new_v4()?,
        SocketAddr::V6(_) => TcpSocket::new_v6()?,
    };
    // Lets a restart bind while links of the last run linger in TIME_WAIT; on Linux it does not let two
    // listeners share the port.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(backlog)
}

const EXHAUSTED: [Errno; 4] = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM];

const UNUSABLE: [Errno; 4] = [Errno::BADF, Errno::INVAL, Errno::NOTSOCK, Errno::FAULT];

fn is_one_of(error: &io::Error, these: &[Errno]) -> bool {
    Errno::from_io_error(error).is_some_and(|errno| these.contains(&errno))
}

/// An IPv4 peer of a socket that listens on `[::]` in its usual form.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}
