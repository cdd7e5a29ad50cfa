//! The body of an answer, which holds its connection until it ends.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http_body::{Frame, SizeHint};
use hyper::body::Incoming;

use super::error::PoolError;
use super::lease::Lease;
use super::pool::Return;

/// A streamed answer.
///
/// Read to its end, its connection goes back to the pool. Dropped before, the exchange is cancelled: the
/// HTTP/1.1 connection is closed, the HTTP/2 stream is reset.
pub struct Body {
    incoming: Incoming,
    lease: Option<(Lease, Return)>,
}

impl Body {
    pub(super) fn new(incoming: Incoming, lease: Lease, back: Return) -> Self {
        let mut body = Self { incoming, lease: Some((lease, back)) };
        body.release_at_end();
        body
    }

    fn release_at_end(&mut self) {
        if http_body::Body::is_end_stream(&self.incoming) {
            self.release();
        }
    }

    fn release(&mut self) {
        if let Some((lease, back)) = self.lease.take() {
            back.give(lease);
        }
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = PoolError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, PoolError>>> {
        let frame = ready!(Pin::new(&mut self.incoming).poll_frame(cx));
        match &frame {
            Some(Ok(_)) => self.release_at_end(),
            None => self.release(),
            // A connection that failed is not given back.
            Some(Err(_)) => self.lease = None,
        }
        Poll::Ready(frame.map(|frame| frame.map_err(PoolError::Body)))
    }

    fn is_end_stream(&self) -> bool {
        http_body::Body::is_end_stream(&self.incoming)
    }

    fn size_hint(&self) -> SizeHint {
        http_body::Body::size_hint(&self.incoming)
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Body").field("size", &http_body::Body::size_hint(self)).finish_non_exhaustive()
    }
}
