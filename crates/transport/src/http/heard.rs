//! The bytes of a pooled connection, with the first sign that the server has accepted it.
//!
//! A TLS 1.3 client has finished its handshake before the server has judged its certificate (RFC 9846, section
//! 4.4): a refusal arrives later, as an alert. Whoever moves all traffic to a new connection must wait for more
//! than the handshake.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;
use tokio::time::timeout;
use tokio_util::sync::{CancellationToken, WaitForCancellationFutureOwned};

use crate::io::Io;
use crate::link::{Alpn, Link};

/// What counts as a sign.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sign {
    /// None is waited for: the server has nothing to judge.
    Unneeded,
    /// Any record that is no alert: after the client's certificate, that is a session ticket.
    Record,
    /// The first bytes of the protocol above: in HTTP/2 every server begins with SETTINGS (RFC 9113, section
    /// 3.4).
    Bytes,
}

impl Sign {
    /// What the server of this link must give.
    pub(super) fn of(link: &Link) -> Self {
        let judged = link.posture.as_ref().is_some_and(|posture| posture.own_signature.is_some());
        match link.alpn {
            Some(Alpn::H2) => Self::Bytes,
            _ if judged => Self::Record,
            _ => Self::Unneeded,
        }
    }
}

/// The bytes of a link that can be cut and that tells of its first sign.
///
/// It is cut from below: hyper drives an HTTP/2 connection in a task of its own, which outlives what is dropped
/// above it for as long as there are streams.
#[derive(Debug)]
pub(super) struct Heard {
    io: Io,
    cut: Pin<Box<WaitForCancellationFutureOwned>>,
    listening: Option<Listening>,
}

#[derive(Debug)]
struct Listening {
    sign: Sign,
    /// Bytes received when the handshake was over.
    bytes_before: u64,
    tell: oneshot::Sender<io::Result<()>>,
}

/// Waits for the sign.
#[derive(Debug)]
pub(super) struct Awaited {
    sign: Sign,
    told: oneshot::Receiver<io::Result<()>>,
}

/// Why there was no sign.
#[derive(Debug)]
pub(super) enum Unheard {
    /// The connection ended first.
    Ended(io::Error),
    /// Nothing came in time.
    Silent,
}

/// Milliseconds that an HTTP/1.1 server gets to refuse a client's certificate. A server without session tickets
/// gives no sign of consent, so that silence is taken for it.
const REFUSAL_MS_MAX: u64 = 1_000;

impl Heard {
    /// `cut` ends the connection at once.
    pub(super) fn new(io: Io, cut: CancellationToken) -> Self {
        Self { io, cut: Box::pin(cut.cancelled_owned()), listening: None }
    }

    /// Listens for a sign.
    pub(super) fn await_sign(&mut self, sign: Sign) -> Awaited {
        let (tell, told) = oneshot::channel();
        let bytes_before = self.io.socket().bytes_in();
        self.listening = (sign != Sign::Unneeded).then_some(Listening { sign, bytes_before, tell });
        Awaited { sign, told }
    }

    fn listen(&mut self, polled: &Poll<io::Result<()>>, bytes: usize) {
        let received = self.io.socket().bytes_in();
        let Some(listening) = self.listening.take() else {
            return;
        };
        let record = listening.sign == Sign::Record && received > listening.bytes_before;
        let heard = match polled {
            Poll::Ready(Err(error)) => Err(copy(error)),
            Poll::Ready(Ok(())) if bytes == 0 => Err(io::ErrorKind::UnexpectedEof.into()),
            Poll::Ready(Ok(())) => Ok(()),
            Poll::Pending if record => Ok(()),
            Poll::Pending => {
                self.listening = Some(listening);
                return;
            }
        };
        // Nobody waits any more: then nobody is told.
        let _ = listening.tell.send(heard);
    }
}

impl Awaited {
    pub(super) async fn heard(self, limit: Duration) -> Result<(), Unheard> {
        let limit = match self.sign {
            Sign::Unneeded => return Ok(()),
            Sign::Record => limit.min(Duration::from_millis(REFUSAL_MS_MAX)),
            Sign::Bytes => limit,
        };
        match timeout(limit, self.told).await {
            Ok(Ok(heard)) => heard.map_err(Unheard::Ended),
            Ok(Err(_)) => Err(Unheard::Ended(io::ErrorKind::ConnectionReset.into())),
            Err(_) if self.sign == Sign::Record => Ok(()),
            Err(_) => Err(Unheard::Silent),
        }
    }
}

/// The same error again: its cause counts, which is rustls's if it is an alert.
fn copy(error: &io::Error) -> io::Error {
    let cause = error.get_ref().and_then(|cause| cause.downcast_ref::<rustls::Error>());
    match cause {
        Some(cause) => io::Error::new(error.kind(), cause.clone()),
        None => error.kind().into(),
    }
}

impl AsyncRead for Heard {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let polled = Pin::new(&mut self.io).poll_read(cx, buffer);
        if self.listening.is_some() {
            self.listen(&polled, buffer.filled().len() - before);
        }
        if polled.is_pending() && self.cut.as_mut().poll(cx).is_ready() {
            return Poll::Ready(Err(io::ErrorKind::ConnectionAborted.into()));
        }
        polled
    }
}

impl AsyncWrite for Heard {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
