//! The right to send one request on one connection.

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};

use super::RequestBody;
use super::live::Exchange;
use crate::link::Alpn;

/// A connection taken from the pool, or freshly opened, for one exchange.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) sender: Sender,
    pub(super) exchange: Exchange,
    /// The connection was open before this exchange, and so may have been closed by the server meanwhile.
    pub(super) reused: bool,
}

/// The sending half of a connection.
#[derive(Debug)]
pub(super) enum Sender {
    /// HTTP/1.1: alone on its connection.
    Alone(http1::SendRequest<RequestBody>),
    /// HTTP/2: one of many.
    Shared(http2::SendRequest<RequestBody>),
}

impl Sender {
    /// Waits until the connection can take a request.
    pub(super) async fn ready(&mut self) -> Result<(), hyper::Error> {
        match self {
            Self::Alone(sender) => sender.ready().await,
            Self::Shared(sender) => sender.ready().await,
        }
    }
}

impl Lease {
    pub(super) fn protocol(&self) -> Alpn {
        match self.sender {
            Sender::Alone(_) => Alpn::Http11,
            Sender::Shared(_) => Alpn::H2,
        }
    }

    pub(super) async fn send(
        &mut self,
        request: Request<RequestBody>,
    ) -> Result<Response<Incoming>, TrySendError<Request<RequestBody>>> {
        match &mut self.sender {
            Sender::Alone(sender) => sender.try_send_request(request).await,
            Sender::Shared(sender) => sender.try_send_request(request).await,
        }
    }
}
