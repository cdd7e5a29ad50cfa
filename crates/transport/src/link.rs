//! What stages *accept* and *secure* hand on: a byte stream with what is known about its other end.

use std::sync::Arc;

use lockgate_crypto::{Capabilities, Posture};
use lockgate_identity::Evidence;
use lockgate_identity::token::bind::{EXPORTER_BYTES, EXPORTER_LABEL};

use crate::io::Io;

/// The application protocol that TLS negotiated (RFC 7301).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Alpn {
    /// HTTP/2 (`h2`).
    H2,
    /// HTTP/1.1 (`http/1.1`).
    Http11,
}

impl Alpn {
    /// Both, the preferred first.
    pub(crate) const ALL: &[Self] = &[Self::H2, Self::Http11];

    /// Names as rustls takes them.
    pub(crate) fn names(protocols: &[Self]) -> Vec<Vec<u8>> {
        protocols.iter().map(|alpn| alpn.as_str().into()).collect()
    }

    pub(crate) fn parse(name: &[u8]) -> Option<Self> {
        let mut all = Self::ALL.iter().copied();
        all.find(|alpn| alpn.as_str().as_bytes() == name)
    }

    /// The registered name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::H2 => "h2",
            Self::Http11 => "http/1.1",
        }
    }
}

/// A live connection, either role.
///
/// The slot of the listener's limits belongs to `io` and is freed with it, wherever it is moved.
#[derive(Debug)]
pub struct Link {
    /// The bytes.
    pub io: Io,
    /// What stage *verify* judges. It copies the peer's certificates, some 5.5 kB with ML-DSA: drop it after
    /// that.
    pub evidence: Evidence,
    /// What TLS negotiated; `None` on a plain link.
    pub posture: Option<Arc<Posture>>,
    /// The protocol agreed upon; `None` if the peer offered none, or on a plain link.
    pub alpn: Option<Alpn>,
    /// What the client's first ClientHello offered, on an accepted link with TLS; `None` on any other.
    pub offered: Option<Capabilities>,
    /// What both ends, and nobody else, can derive from the TLS connection (RFC 9266): tokens are bound to it. `None` on a
    /// plain link.
    pub exporter: Option<[u8; EXPORTER_BYTES]>,
}

/// The value that both ends export (RFC 9266 section 4.1).
pub(crate) fn exported<D>(connection: &rustls::ConnectionCommon<D>) -> Option<[u8; EXPORTER_BYTES]> {
    connection.export_keying_material([0; EXPORTER_BYTES], EXPORTER_LABEL, Some(&[])).ok()
}
