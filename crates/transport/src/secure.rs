//! Stage *secure*: an accepted connection becomes a [`Link`] with a posture, or is refused with an alert.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use lockgate_crypto::{Capabilities, CryptoRefused, Observed, Posture};
use lockgate_identity::Evidence;
use rustls::server::{Acceptor, ClientHello};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, timeout, timeout_at};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use crate::io::{Counted, Io};
use crate::limits::Limits;
use crate::link::{self, Alpn, Link};
use crate::listener::Accepted;
use crate::peer;
use crate::server_tls::{Choice, Generation, ServerTls};

/// A connection that did not become a link. The peer has been sent the fitting alert, unless it was the connection
/// that failed.
#[derive(Debug)]
pub struct SecureError {
    /// What happened.
    pub fault: SecureFault,
    offered: Option<Box<Capabilities>>,
}

/// Why a connection did not become a link, ordered by blame.
#[derive(Debug, thiserror::Error)]
pub enum SecureFault {
    /// Peer and profile have no group, or no signature algorithm, in common.
    #[error("handshake refused: {0}")]
    Refused(#[from] CryptoRefused),
    /// Anything else in the peer's offer that the profile forbids: an older protocol version, a cipher suite.
    #[error("handshake refused: {0}; only TLS 1.3 with the cipher suites of the profile is accepted")]
    Incompatible(#[source] rustls::Error),
    /// The client presented a certificate that does not hold.
    #[error(
        "handshake refused: the client's certificate is not accepted: {0}; renew it, or enrol the client anew"
    )]
    Certificate(#[source] rustls::Error),
    /// The client gave up with an alert, most often since it does not trust our certificate.
    #[error("the client broke the handshake off: {0}; does it trust this node's authority?")]
    BrokenOff(#[source] rustls::Error),
    /// The handshake was not finished in time.
    #[error(
        "handshake not finished within {handshake_ms_max} ms (handshake_ms_max); the peer is too slow, or does not speak TLS"
    )]
    Timeout {
        /// The limit that passed.
        handshake_ms_max: u64,
    },
    /// The peer does not speak TLS, or speaks it wrongly.
    #[error("handshake failed: {0}; if this is a plain HTTP client, let it use https://")]
    Tls(#[source] rustls::Error),
    /// The connection broke.
    #[error("connection lost during the handshake: {0}")]
    Io(#[source] io::Error),
}

impl SecureError {
    /// Whether the profile, rather than the network or a fault, is what kept the peer out.
    pub fn is_crypto_refusal(&self) -> bool {
        matches!(self.fault, SecureFault::Refused(_) | SecureFault::Incompatible(_))
    }

    /// What the peer's ClientHello offered; `None` if none was read.
    pub fn offered(&self) -> Option<&Capabilities> {
        self.offered.as_deref()
    }
}

impl fmt::Display for SecureError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.fault.fmt(f)
    }
}

impl std::error::Error for SecureError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.fault.source()
    }
}

/// Performs the handshake within `limits.handshake_ms_max`.
///
/// The ClientHello is read first. Only then the configuration is chosen: with quantum-safe groups alone if
/// the client offers any of them, and with the strongest leaf that it can verify.
///
/// # Errors
/// [`SecureError`]; the connection is closed by then.
pub async fn secure(accepted: Accepted, tls: &ServerTls, limits: &Limits) -> Result<Link, SecureError> {
    let begun = Instant::now();
    let deadline = begun + limits.handshake_max();
    let (peer, local) = (accepted.peer, accepted.local);
    let generation = tls.current();
    // Boxed, so that the state of the handshake is freed with it, not kept by the task that goes on with the
    // link.
    let mut offered = None;
    let handshake = Box::pin(handshake(accepted.stream, &generation, &mut offered));
    let (stream, choice) = match timeout_at(deadline, handshake).await {
        Ok(Ok(done)) => done,
        Ok(Err((fault, socket))) => {
            if let Some(socket) = socket {
                linger(socket, limits.refusal_linger_max()).await;
            }
            return Err(SecureError { fault, offered: offered.map(Box::new) });
        }
        Err(_) => {
            let fault = SecureFault::Timeout { handshake_ms_max: limits.handshake_ms_max };
            return Err(SecureError { fault, offered: offered.map(Box::new) });
        }
    };

    let (socket, connection) = stream.get_ref();
    let posture = Posture::from_rustls(
        connection,
        Observed {
            own_signature: Some(choice.algorithm),
            handshake: begun.elapsed(),
            bytes_in: socket.bytes_in(),
            bytes_out: socket.bytes_out(),
            suite: generation.suite(),
        },
    );
    let peer_certificates = connection.peer_certificates().unwrap_or_default().to_vec();
    let exporter = link::exported(connection);
    let evidence = Evidence {
        // A certificate says more than a socket's owner, and the kernel is asked only where it is needed.
        same_user: peer_certificates.is_empty() && peer::is_same_user(local, peer),
        peer_certificates,
        peer: Some(peer),
        local: Some(local),
    };
    Ok(Link {
        alpn: connection.alpn_protocol().and_then(Alpn::parse),
        io: Io::Tls(Box::new(stream.into())),
        evidence,
        posture: Some(Arc::new(posture)),
        offered,
        exporter,
    })
}

/// What went wrong, and the socket if the peer may still be reading an alert from it.
type Failed = (SecureFault, Option<Counted>);

/// Writes down what the peer `offered` as soon as it is known: a handshake that is given up later tells it too.
async fn handshake(
    socket: Counted,
    generation: &Generation,
    offered: &mut Option<Capabilities>,
) -> Result<(TlsStream<Counted>, Choice), Failed> {
    let mut acceptor = LazyConfigAcceptor::new(Acceptor::default(), socket);
    let start = match (&mut acceptor).await {
        Ok(start) => start,
        Err(error) => return Err((explain(error), acceptor.take_io())),
    };
    let hello = start.client_hello();
    *offered = Some(capabilities(&hello));
    let choice = match generation.choose(&hello) {
        Ok(choice) => choice,
        Err(refused) => {
            let mut socket = start.io;
            // A peer that is gone needs no alert.
            let _ = socket.write_all(&HANDSHAKE_FAILURE).await;
            return Err((refused.into(), Some(socket)));
        }
    };
    let accept = start.into_stream(Arc::clone(&choice.config));
    match accept.into_fallible().await {
        Ok(stream) => Ok((stream, choice)),
        Err((error, socket)) => Err((explain(error), Some(socket))),
    }
}

fn capabilities(hello: &ClientHello<'_>) -> Capabilities {
    let groups = hello.named_groups().unwrap_or_default();
    Capabilities::of_hello(groups, hello.signature_schemes(), hello.cipher_suites())
}

/// A fatal `handshake_failure` alert in a plaintext record (RFC 9846, sections 5.1 and 6.2). rustls sends
/// alerts only from a connection, and a refused client never gets one.
const HANDSHAKE_FAILURE: [u8; 7] = [21, 3, 3, 0, 2, 2, 40];

fn explain(error: io::Error) -> SecureFault {
    use rustls::Error;
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref());
    let Some(cause) = cause.cloned() else {
        return SecureFault::Io(error);
    };
    match cause {
        Error::PeerIncompatible(_) => SecureFault::Incompatible(cause),
        Error::InvalidCertificate(_) | Error::InvalidCertRevocationList(_) => SecureFault::Certificate(cause),
        Error::AlertReceived(_) => SecureFault::BrokenOff(cause),
        _ => SecureFault::Tls(cause),
    }
}

/// Gives the peer time to read its alert: bytes that it has sent and nobody reads would reset the connection.
async fn linger(mut socket: Counted, limit: Duration) {
    /// What a client can have sent by then: its second flight with a certificate, 35 kB with SLH-DSA, and a first
    /// request.
    const UNREAD_BYTES_MAX: u64 = 64 * 1024;
    let drain = async {
        socket.shutdown().await?;
        let mut unread = socket.take(UNREAD_BYTES_MAX);
        tokio::io::copy(&mut unread, &mut tokio::io::sink()).await
    };
    let _ = timeout(limit, drain).await;
}
