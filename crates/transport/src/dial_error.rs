//! Why a server could not be reached, and what to do about it.

use std::io;

use lockgate_crypto::Suite;
use rustls::{AlertDescription, Error};

/// A link was not opened.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The name has no address.
    #[error("cannot resolve '{host}': {source}; check the spelling and the DNS")]
    Resolve {
        /// The host as given.
        host: String,
        /// What the resolver said.
        source: io::Error,
    },
    /// The host is neither a DNS name nor an address.
    #[error("'{host}' is neither a DNS name nor an IP address")]
    Name {
        /// The host as given.
        host: String,
    },
    /// Every address of the name is one that may not be connected to from here.
    #[error("{host}:{port} is {address}, which is not public and not named as a network that may be reached")]
    OutOfReach {
        /// The host as given.
        host: String,
        /// The port as given.
        port: u16,
        /// What the name means.
        address: std::net::IpAddr,
    },
    /// Nobody listens there.
    #[error("{host}:{port} refuses connections: nothing listens there; start the server or correct the port")]
    Closed {
        /// The host as given.
        host: String,
        /// The port as given.
        port: u16,
    },
    /// The connection could not be made for another reason.
    #[error("cannot connect to {host}:{port}: {source}")]
    Connect {
        /// The host as given.
        host: String,
        /// The port as given.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
    /// No answer in time.
    #[error(
        "{host}:{port} did not answer within {connect_ms_max} ms (connect_ms_max); a firewall may drop the packets"
    )]
    ConnectTimeout {
        /// The host as given.
        host: String,
        /// The port as given.
        port: u16,
        /// The limit that passed.
        connect_ms_max: u64,
    },
    /// Connected, but no handshake in time.
    #[error(
        "{host}:{port} did not finish the TLS handshake within {handshake_ms_max} ms (handshake_ms_max); is it a TLS server?"
    )]
    HandshakeTimeout {
        /// The host as given.
        host: String,
        /// The port as given.
        port: u16,
        /// The limit that passed.
        handshake_ms_max: u64,
    },
    /// The two ends have no permitted cryptography in common.
    #[error(
        "{host}:{port} and profile {profile} have no cryptography in common: {source}; offered were the groups {groups} and the signatures {signatures}; choose a profile that both ends permit"
    )]
    Refused {
        /// The host as given.
        host: String,
        /// The port as given.
        port: u16,
        /// Our profile's dated name.
        profile: &'static str,
        /// The groups we offered.
        groups: String,
        /// The signature algorithms we offered to verify.
        signatures: String,
        /// The alert received, or our own objection.
        source: Error,
    },
    /// The server's certificate does not hold.
    #[error("the certificate of {host}:{port} is not accepted: {source}")]
    Certificate {
        /// The host as given.
        host: String,
        /// The port as given.
        port: u16,
        /// Why not.
        source: Error,
    },
    /// The handshake failed otherwise.
    #[error("TLS handshake with {host}:{port} failed: {source}; is it a TLS server?")]
    Tls {
        /// The host as given.
        host: String,
        /// The port as given.
        port: u16,
        /// What went wrong.
        source: Error,
    },
    /// The connection broke during the handshake.
    #[error("{host}:{port} closed the connection during the handshake: {source}")]
    Lost {
        /// The host as given.
        host: String,
        /// The port as given.
        port: u16,
        /// What the system said.
        source: io::Error,
    },
}

impl DialError {
    /// Whether crypto policy, at either end, is what keeps the two apart.
    pub fn is_crypto_refusal(&self) -> bool {
        matches!(self, Self::Refused { .. })
    }
}

pub(crate) fn explain_connect(host: &str, port: u16, source: io::Error) -> DialError {
    let host = host.to_owned();
    if source.kind() == io::ErrorKind::ConnectionRefused {
        return DialError::Closed { host, port };
    }
    DialError::Connect { host, port, source }
}

pub(crate) fn explain_handshake(host: &str, port: u16, suite: &Suite, error: io::Error) -> DialError {
    let host = host.to_owned();
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    let Some(source) = cause.cloned() else {
        return DialError::Lost { host, port, source: error };
    };
    if is_refusal(&source) {
        let list = |rows: &[&lockgate_crypto::catalog::Algorithm]| {
            rows.iter().map(|row| row.id).collect::<Vec<_>>().join(", ")
        };
        return DialError::Refused {
            host,
            port,
            profile: suite.profile().name,
            groups: list(suite.groups()),
            signatures: list(suite.signatures()),
            source,
        };
    }
    match source {
        Error::InvalidCertificate(_) => DialError::Certificate { host, port, source },
        _ => DialError::Tls { host, port, source },
    }
}

/// What a server says, or we say of it, when nothing permitted is shared.
fn is_refusal(error: &Error) -> bool {
    match error {
        Error::PeerIncompatible(_) => true,
        Error::AlertReceived(alert) => matches!(
            alert,
            AlertDescription::HandshakeFailure
                | AlertDescription::InsufficientSecurity
                | AlertDescription::ProtocolVersion
        ),
        _ => false,
    }
}
