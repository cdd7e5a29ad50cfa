//! What a TLS endpoint supports, asked from outside: any endpoint, ours or not.
//!
//! A [`Prober`] makes a few dozen short connections, one after the other, and asks one question with each:
//!
//! - Groups, cipher suites, versions, orders of preference and tolerance by raw ClientHellos without key shares: the
//!   server names its choice in a HelloRetryRequest and pays for no key exchange.
//! - Signatures, certificates, application protocols, resumption and times by real handshakes, which offer one thing
//!   only, accept any certificate, and send nothing afterwards.
//!
//! What is asked about comes from the catalog. Nothing is trusted that the server says: answers are bounded, read by
//! a parser that knows no sockets ([`wire`]), and a choice of something that was not offered counts as no answer.
//!
//! ```no_run
//! # async fn example() -> Result<(), lockgate_transport::probe::ProbeError> {
//! use lockgate_transport::probe::{Limits, Prober};
//! let report = Prober::new(Limits::default())
//!     .probe("gw.example", 8443, None, |step| eprintln!("{} {}", step.number, step.what))
//!     .await?;
//! println!("quantum-safe key exchange: {}", report.quantum_safe.key_exchange);
//! # Ok(())
//! # }
//! ```

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use rustls::pki_types::ServerName;

mod catalogued;
mod chain;
mod handshake;
mod hello;
mod order;
mod questions;
pub mod report;
mod survey;
mod target;
mod verdict;
pub mod wire;

pub use report::Report;
pub use verdict::{Level, Verdict};

use target::Target;

/// What a [`Prober`] allows itself. One connection is open at a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Milliseconds for name resolution and for each TCP connection.
    pub connect_ms_max: u64,
    /// Milliseconds for the answer to a hello, and for a whole handshake.
    pub answer_ms_max: u64,
    /// Milliseconds to wait after a handshake for tickets and alerts, which a server owes to nobody.
    pub settle_ms_max: u64,
    /// Milliseconds between the halves of a hello that is sent in two segments.
    pub split_ms: u64,
    /// Connections in a second: a probe should not be taken for an attack.
    pub connections_per_s_max: u32,
    /// Connections in all. A server that supports everything takes about 90.
    pub connections_max: u32,
    /// Milliseconds for everything.
    pub probe_ms_max: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connect_ms_max: 5_000,
            answer_ms_max: 5_000,
            settle_ms_max: 1_000,
            split_ms: 50,
            connections_per_s_max: 20,
            connections_max: 200,
            probe_ms_max: 180_000,
        }
    }
}

/// Where a probe is, for whoever waits for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Step {
    /// Number of the step, from 1.
    pub number: u32,
    /// What is asked next.
    pub what: &'static str,
}

/// Why there is no report.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// What listens there does not speak TLS.
    #[error("{host}:{port}: {said}; is the port right? Protocols that begin in the clear cannot be probed")]
    NotTls {
        /// Host as given.
        host: String,
        /// Port as given.
        port: u16,
        /// What was seen instead.
        said: String,
    },
    /// The host name cannot be sent in a handshake.
    #[error("\"{name}\" is no host name; give one with --sni NAME")]
    Name {
        /// The name.
        name: String,
    },
    /// The name does not resolve.
    #[error("{host} does not resolve: {source}; check the name")]
    Resolve {
        /// Host as given.
        host: String,
        /// What the system said.
        source: io::Error,
    },
    /// No connection could be made.
    #[error("cannot connect to {host}:{port}: {source}; is it running?")]
    Connect {
        /// Host as given.
        host: String,
        /// Port as given.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// The server took connections and then did not any more.
    #[error(
        "{address} takes no more connections after {after}: {source}; it may limit them, so probe again later from an address that it does not limit"
    )]
    Lost {
        /// The address probed.
        address: SocketAddr,
        /// Connections made before.
        after: u32,
        /// What the system said.
        source: io::Error,
    },
    /// The server answers too slowly.
    #[error("{host}:{port} was not probed within {probe_ms_max} ms (probe_ms_max): it answers too slowly")]
    Deadline {
        /// Host as given.
        host: String,
        /// Port as given.
        port: u16,
        /// The limit.
        probe_ms_max: u64,
    },
    /// The server keeps making choices that lead to further questions.
    #[error("{address} was not understood within {connections_max} connections (connections_max)")]
    Connections {
        /// The address probed.
        address: SocketAddr,
        /// The limit.
        connections_max: u32,
    },
}

/// Asks endpoints what they support.
#[derive(Debug, Clone, Default)]
pub struct Prober {
    limits: Limits,
}

impl Prober {
    /// A prober within these limits.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self { limits }
    }

    /// Probes `host` (a name, or an address without brackets). The handshakes are for the name `sni`, which is the
    /// host unless told. `progress` hears of each step before it begins.
    ///
    /// # Errors
    /// [`ProbeError`]. A server that refuses everything is no error but a report that says so.
    pub async fn probe(
        &self,
        host: &str,
        port: u16,
        sni: Option<&str>,
        progress: impl Fn(Step),
    ) -> Result<Report, ProbeError> {
        let name = sni.unwrap_or(host);
        let name =
            ServerName::try_from(name.to_owned()).map_err(|_| ProbeError::Name { name: name.to_owned() })?;
        let survey = async {
            let target = Target::connect(host, port, name, &self.limits).await?;
            Box::pin(survey::run(target, &progress)).await
        };
        let limit = Duration::from_millis(self.limits.probe_ms_max);
        tokio::time::timeout(limit, survey).await.map_err(|_| ProbeError::Deadline {
            host: host.to_owned(),
            port,
            probe_ms_max: self.limits.probe_ms_max,
        })?
    }
}
