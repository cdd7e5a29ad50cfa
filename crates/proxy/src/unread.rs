//! What a peer still sends of a request that was answered before its end.
//!
//! A connection that is closed while bytes of its peer lie unread is reset, and a reset may overtake the answer: a client
//! whose request was refused by its headers alone would then see a broken connection in place of the reason (RFC 9112,
//! section 9.6). A stream of HTTP/2 is reset by itself, and there are clients that take even that for a failure while they
//! still send. So the rest of a short body is taken in and thrown away before the answer leaves.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, header};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::time::timeout;

/// Most that is thrown away of one request, in bytes: more than any call that is refused by mistake has.
const DISCARDED_BYTES_MAX: usize = 1 << 20;
/// How long the rest of a body may take, in milliseconds: what was sent with its head is there at once.
const DISCARDED_MS_MAX: u64 = 500;

type Place = Arc<Mutex<Option<Incoming>>>;

/// The body of a request, which goes back to its [`Unread`] when it is dropped before its end.
pub struct Received {
    body: Option<Incoming>,
    back: Option<Place>,
}

/// Where the rest of a body is found once its request is answered.
pub struct Unread(Place);

/// Splits a request from what may be left of it.
pub fn watch(request: Request<Incoming>) -> (Request<Received>, Unread) {
    let place = Place::default();
    // A peer that waits to be told to go on has sent nothing yet, and reading would tell it.
    let waits = request.headers().contains_key(header::EXPECT);
    let back = (!waits).then(|| place.clone());
    (request.map(|body| Received { body: Some(body), back }), Unread(place))
}

impl Unread {
    /// Takes in the rest of the body, as far as it is short and comes soon.
    pub async fn discard(self) {
        let rest = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(body) = rest {
            let _late = timeout(Duration::from_millis(DISCARDED_MS_MAX), read_away(body)).await;
        }
    }
}

async fn read_away(mut body: Incoming) {
    let mut left = DISCARDED_BYTES_MAX;
    while let Some(Ok(frame)) = body.frame().await {
        let Some(now) = left.checked_sub(frame.data_ref().map_or(0, Bytes::len)) else { return };
        left = now;
    }
}

impl Body for Received {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        match &mut self.body {
            Some(body) => Pin::new(body).poll_frame(cx),
            None => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map_or_else(|| SizeHint::with_exact(0), Body::size_hint)
    }
}

impl Drop for Received {
    fn drop(&mut self) {
        if let (Some(body), Some(back)) = (self.body.take(), &self.back)
            && !body.is_end_stream()
        {
            *back.lock().unwrap_or_else(PoisonError::into_inner) = Some(body);
        }
    }
}
