//! Response bodies: whole, or a stream of frames.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_core::Stream;
use http_body::{Frame, SizeHint};
use parking_lot::Mutex;
use tokio::time::Instant;
use tokio_util::sync::{CancellationToken, DropGuard};

type Chunks = Pin<Box<dyn Stream<Item = Bytes> + Send>>;

/// The body of a response to a client.
pub struct Body(Kind);

enum Kind {
    Whole(Option<Bytes>),
    Stream(Leased),
    Open(Chunks),
}

/// A stream that is taken away at its deadline, also from a client that has stopped to ask for more: nobody polls the
/// stream then, so no deadline inside it would ever pass, and its upstream would be held for good.
struct Leased {
    chunks: Arc<Mutex<Option<Chunks>>>,
    _until_dropped: DropGuard,
}

impl Leased {
    fn new(chunks: Chunks, deadline: Instant) -> Self {
        let chunks = Arc::new(Mutex::new(Some(chunks)));
        let dropped = CancellationToken::new();
        let (held, over) = (chunks.clone(), dropped.clone());
        tokio::spawn(async move {
            tokio::select! {
                () = over.cancelled() => {}
                () = tokio::time::sleep_until(deadline) => {
                    let chunks = held.lock().take();
                    drop(chunks);
                }
            }
        });
        Self { chunks, _until_dropped: dropped.drop_guard() }
    }

    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Bytes>> {
        match self.chunks.lock().as_mut() {
            Some(chunks) => chunks.as_mut().poll_next(cx),
            None => Poll::Ready(None),
        }
    }
}

impl Drop for Leased {
    /// Dropping the body drops the stream at once: that is how a client's leaving reaches the upstream.
    fn drop(&mut self) {
        let chunks = self.chunks.lock().take();
        drop(chunks);
    }
}

impl Body {
    /// No body.
    pub fn empty() -> Self {
        Self(Kind::Whole(None))
    }

    /// These bytes.
    pub fn whole(bytes: Bytes) -> Self {
        Self(Kind::Whole(Some(bytes).filter(|b| !b.is_empty())))
    }

    /// What `chunks` yields, as it comes, until `deadline` at the latest. Dropping the body drops the stream. Must be
    /// called within a tokio runtime.
    pub fn stream(chunks: impl Stream<Item = Bytes> + Send + 'static, deadline: Instant) -> Self {
        Self(Kind::Stream(Leased::new(Box::pin(chunks), deadline)))
    }

    /// What `chunks` yields, as it comes, for as long as the client keeps it open. For streams that hold nothing but
    /// their own few bytes.
    pub fn until_closed(chunks: impl Stream<Item = Bytes> + Send + 'static) -> Self {
        Self(Kind::Open(Box::pin(chunks)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match &mut self.0 {
            Kind::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Kind::Stream(leased) => leased.poll_next(cx).map(|chunk| chunk.map(|b| Ok(Frame::data(b)))),
            Kind::Open(chunks) => {
                chunks.as_mut().poll_next(cx).map(|chunk| chunk.map(|b| Ok(Frame::data(b))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, Kind::Whole(None))
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Kind::Stream(_) | Kind::Open(_) => SizeHint::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures_util::stream;

    use super::*;

    /// Tells when it is dropped.
    struct Held(tokio::sync::mpsc::UnboundedSender<()>);

    impl Drop for Held {
        fn drop(&mut self) {
            let _ = self.0.send(());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stream_that_nobody_reads_is_let_go_at_its_deadline() {
        let (sender, mut dropped) = tokio::sync::mpsc::unbounded_channel();
        let held = Held(sender);
        let chunks = stream::unfold(held, |held| async { Some((Bytes::from_static(b"x"), held)) });
        let mut body = Body::stream(chunks, Instant::now() + Duration::from_secs(60));
        let next = |body: &mut Body| {
            let mut cx = Context::from_waker(std::task::Waker::noop());
            matches!(http_body::Body::poll_frame(Pin::new(body), &mut cx), Poll::Ready(Some(_)))
        };
        assert!(next(&mut body), "before the deadline it is read");
        assert!(dropped.try_recv().is_err());
        dropped.recv().await.expect("the deadline passes though nobody reads");
        assert!(!next(&mut body), "after the deadline it has ended");
    }
}
