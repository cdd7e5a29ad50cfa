//! All sockets: TCP and TLS in both roles, HTTP clients, stdio children.
//!
//! Everything that Lockgate reads from or writes to the outside passes here, and every resource that it takes
//! has a limit with a name. Nothing here knows what an MCP message is, and nothing here decides who may call
//! what.
//!
//! # From a socket to a link
//!
//! 1. A [`Listener`] *accepts*: within [`Limits`] a TCP connection becomes an [`Accepted`], which holds a
//!    slot until the socket is closed, wherever it is moved meanwhile.
//! 2. [`secure`] performs the TLS handshake with what [`ServerTls`] has in force. It reads the ClientHello
//!    before it chooses a configuration: a rustls server follows the client's order of groups, so that
//!    preferring post-quantum key exchange means to offer nothing else whenever the client can do it. The
//!    outcome is a [`Link`] { io, evidence, posture }, or a refusal that names what was offered and what is
//!    required, after an alert to the client.
//! 3. In the other direction a [`Dialer`] opens links, and an [`http::Pool`] keeps them.
//!
//! # What outlives a change of policy
//!
//! Resumption skips authentication, so that sessions are part of the policy. [`ServerTls`] and [`Dialer`] keep them
//! over a swap that takes nothing away, and drop all of them when an algorithm, a provider, a root or a leaf is gone.
//! What a swap needs can be prepared beforehand, so that of several listeners and dialers none changes unless all can.
//!
//! Links that are up stay up; each posture carries the epoch of its link. [`http::Pool::replace`] moves traffic to a
//! new link before the old ones are left, without cutting an exchange; [`http::Pool::cut_retired`] is the deadline.
//!
//! # Children
//!
//! [`child`] runs MCP servers that talk over stdin and stdout: in a process group of their own, stopped by
//! stages, reaped always, and killed by the kernel if the gateway dies.
//!
//! # Looking from outside
//!
//! A [`probe::Prober`] asks any TLS endpoint, ours or not, what it supports and how it chooses.
//!
//! # Unsafe code
//!
//! One file, `child/kernel.rs`: the closure between fork and exec, and the registration of a process
//! descriptor.

pub mod child;
pub mod dialer;
pub mod http;
pub mod peer;
pub mod probe;
pub mod reach;

mod admission;
mod client_sessions;
mod dial_error;
mod io;
mod limits;
mod link;
mod listener;
mod secure;
mod server_tls;
mod session_cache;
mod trust;

pub use dial_error::DialError;
pub use dialer::Dialer;
pub use io::{Counted, Io};
pub use limits::Limits;
pub use link::{Alpn, Link};
pub use listener::{AcceptError, Accepted, BindError, Listener};
pub use secure::{SecureError, SecureFault, secure};
pub use server_tls::{Prepared, ServerTls, Sessions, TlsError};
pub use trust::Trust;
