//! `connect --listen`: the tunnel as plain HTTP on loopback, for clients that cannot start a command.
//!
//! Bodies of answers pass frame by frame as they come. A local client that goes away takes its exchange with it. The
//! door is open to this user's own programs only: other users of the machine are turned away by the owner of their
//! socket, and web pages by `Host` and `Origin` (DNS rebinding).

use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{self, HeaderMap, HeaderName};
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use lockgate_mcp::{Limits, Message, reply};
use lockgate_proxy::unread::{self, Received};
use lockgate_transport::http::PoolError;
use lockgate_transport::{AcceptError, Link, Listener};
use lockgate_tunnel::Repeat;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::repeat;
use super::tunnel::Tunnel;
use crate::trouble;

/// Time in which a local client must have sent its headers, in seconds.
const HEADERS_S_MAX: u64 = 30;

/// How long exchanges may go on after the order to stop, in seconds.
const DRAIN_S_MAX: u64 = 10;

/// Headers that mean this connection and not the next (RFC 9110, section 7.6.1), and those that are ours to say.
const NOT_FORWARDED: [HeaderName; 10] = [
    header::CONNECTION,
    HeaderName::from_static("keep-alive"),
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    header::HOST,
    header::CONTENT_LENGTH,
];

type Body = UnsyncBoxBody<Bytes, PoolError>;

/// Serves local clients until `stop` is cancelled; then exchanges under way may finish.
pub(super) async fn run(tunnel: Tunnel, listener: Listener, stop: CancellationToken) {
    let tasks = TaskTracker::new();
    let door =
        Door { address: listener.local(), bytes_max: lockgate_proxy::Limits::default().request_bytes_max };
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.cancelled() => break,
        };
        match accepted {
            Ok(accepted) => {
                let serve = serve(accepted.plain(), tunnel.clone(), door.clone(), stop.clone());
                tasks.spawn(serve);
            }
            Err(error @ (AcceptError::Links { .. } | AcceptError::Address { .. })) => {
                tracing::warn!(%error, "local link refused")
            }
            Err(error) => {
                tracing::error!(%error, "the local listener is lost");
                break;
            }
        }
    }
    tasks.close();
    let _ = tokio::time::timeout(Duration::from_secs(DRAIN_S_MAX), tasks.wait()).await;
}

/// Who may come in.
#[derive(Debug, Clone)]
struct Door {
    address: SocketAddr,
    bytes_max: usize,
}

async fn serve(link: Link, tunnel: Tunnel, door: Door, stop: CancellationToken) {
    let same_user = link.evidence.same_user;
    let service = service_fn(move |request| {
        let (tunnel, door) = (tunnel.clone(), door.clone());
        async move {
            let (request, rest) = unread::watch(request);
            let checked = if same_user {
                door.check(request.method(), request.headers())
            } else {
                Err(Refused::OtherUser)
            };
            let response = match checked {
                Ok(()) => relay(request, &tunnel, &door).await,
                Err(refused) => {
                    drop(request);
                    refused.response()
                }
            };
            rest.discard().await;
            Ok::<_, Infallible>(response)
        }
    });
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(Duration::from_secs(HEADERS_S_MAX));
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(link.io), service));
    let served = tokio::select! {
        served = connection.as_mut() => served,
        () = stop.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = served {
        tracing::debug!(%error, "local link ended");
    }
}

/// Why a local request goes no further.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Refused {
    OtherUser,
    Host,
    Origin,
    Verb,
    TooLarge(usize),
    Incomplete,
}

impl Door {
    fn check(&self, method: &Method, headers: &HeaderMap) -> Result<(), Refused> {
        let port = self.address.port();
        let mut hosts = headers.get_all(header::HOST).iter();
        let host = hosts.next().and_then(|host| host.to_str().ok());
        if hosts.next().is_some() || !host.is_some_and(|host| is_own(host, port)) {
            return Err(Refused::Host);
        }
        // Pages on this machine may call, such as the MCP Inspector's, whatever their port.
        let foreign = |origin: &http::HeaderValue| {
            let origin = origin.to_str().ok().and_then(|origin| origin.parse::<Uri>().ok());
            !origin.as_ref().and_then(Uri::host).is_some_and(is_loopback)
        };
        if headers.get_all(header::ORIGIN).iter().any(foreign) {
            return Err(Refused::Origin);
        }
        match *method {
            Method::POST | Method::GET | Method::DELETE => Ok(()),
            _ => Err(Refused::Verb),
        }
    }
}

fn is_own(host: &str, port: u16) -> bool {
    let uri: Option<http::uri::Authority> = host.parse().ok();
    uri.is_some_and(|authority| is_loopback(authority.host()) && authority.port_u16() == Some(port))
}

fn is_loopback(host: &str) -> bool {
    matches!(host, "127.0.0.1" | "[::1]") || host.eq_ignore_ascii_case("localhost")
}

impl Refused {
    fn response(self) -> Response<Body> {
        let (status, text, hint) = match self {
            Self::OtherUser => (
                StatusCode::FORBIDDEN,
                "this door belongs to another user".to_owned(),
                "start a connector of your own",
            ),
            Self::Host => (
                StatusCode::FORBIDDEN,
                "the Host header does not name this listener".to_owned(),
                "use http://127.0.0.1:PORT as printed",
            ),
            Self::Origin => (
                StatusCode::FORBIDDEN,
                "web pages of other machines may not call this listener".to_owned(),
                "only pages on localhost may",
            ),
            Self::Verb => (
                StatusCode::METHOD_NOT_ALLOWED,
                "the method means nothing here".to_owned(),
                "use POST, GET or DELETE",
            ),
            Self::TooLarge(limit) => (
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("the request is larger than {limit} bytes"),
                "send less",
            ),
            Self::Incomplete => {
                (StatusCode::BAD_REQUEST, "the request body broke off".to_owned(), "send it again")
            }
        };
        error(status, reply::code::INVALID_REQUEST, &text, &serde_json::json!({ "hint": hint }))
    }
}

fn error(status: StatusCode, code: i64, text: &str, data: &serde_json::Value) -> Response<Body> {
    let body = Full::new(reply::error(None, code, text, Some(data)));
    let mut response = Response::new(body.map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    response
}

async fn relay(request: Request<Received>, tunnel: &Tunnel, door: &Door) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = match collect(body, door.bytes_max).await {
        Ok(body) => body,
        Err(refused) => return refused.response(),
    };
    let message = Message::decode(body.clone(), &Limits::default()).ok();
    let repeat = match parts.method {
        Method::GET => Repeat::Safe,
        _ => repeat::of_method(message.as_ref().and_then(Message::method)),
    };
    let mut onward = Request::new(Full::new(body));
    *onward.method_mut() = parts.method;
    // One door leads to one place, whatever path the client was configured with.
    *onward.uri_mut() = tunnel.endpoint().path.parse().expect("an endpoint's path is a URI");
    *onward.headers_mut() = forwarded(&parts.headers);
    // The page was judged here; the gateway sees a connector.
    onward.headers_mut().remove(header::ORIGIN);
    match tunnel.send(onward, repeat).await {
        Ok(response) => {
            let (parts, body) = response.into_parts();
            let mut back = Response::new(body.boxed_unsync());
            *back.status_mut() = parts.status;
            *back.headers_mut() = forwarded(&parts.headers);
            back
        }
        Err(lost) => {
            let problem = trouble::exchange(&lost, tunnel.endpoint());
            tracing::warn!(code = problem.code, "{}: {lost}", problem.what);
            let data =
                serde_json::json!({ "lockgate": { "code": problem.code, "hint": problem.hints.first() } });
            error(StatusCode::BAD_GATEWAY, reply::code::UPSTREAM, &format!("{}: {lost}", problem.what), &data)
        }
    }
}

async fn collect(mut body: Received, bytes_max: usize) -> Result<Bytes, Refused> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.map_err(|_| Refused::Incomplete)?.into_data() else { continue };
        if whole.len() + data.len() > bytes_max {
            return Err(Refused::TooLarge(bytes_max));
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

/// The headers that are for the other end: not those of the connection, nor those that `Connection` names.
fn forwarded(headers: &HeaderMap) -> HeaderMap {
    let named: Vec<String> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|name| name.trim().to_ascii_lowercase())
        .collect();
    let mut forwarded = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        if !NOT_FORWARDED.contains(name) && !named.iter().any(|named| named == name.as_str()) {
            forwarded.append(name, value.clone());
        }
    }
    forwarded
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(pairs: &[(&'static str, &'static str)]) -> HeaderMap {
        pairs
            .iter()
            .map(|(name, value)| (HeaderName::from_static(name), http::HeaderValue::from_static(value)))
            .collect()
    }

    #[test]
    fn the_door_knows_its_own() {
        let door = Door { address: "127.0.0.1:7000".parse().unwrap(), bytes_max: 1 };
        let post = |pairs: &[(&'static str, &'static str)]| door.check(&Method::POST, &headers(pairs));
        for host in ["127.0.0.1:7000", "localhost:7000", "LOCALHOST:7000", "[::1]:7000"] {
            assert_eq!(post(&[("host", host)]), Ok(()), "{host}");
        }
        for host in [
            "evil.example:7000",
            "127.0.0.1",
            "127.0.0.1:7001",
            "localhost.evil:7000",
            "127.0.0.1:7000@evil",
            "",
        ] {
            assert_eq!(post(&[("host", host)]), Err(Refused::Host), "{host}");
        }
        assert_eq!(post(&[]), Err(Refused::Host));
        let from = |origin| post(&[("host", "localhost:7000"), ("origin", origin)]);
        for origin in ["http://localhost:6274", "http://127.0.0.1", "https://[::1]:1"] {
            assert_eq!(from(origin), Ok(()), "{origin}");
        }
        for origin in ["null", "https://evil.example", "http://localhost.evil", "file://"] {
            assert_eq!(from(origin), Err(Refused::Origin), "{origin}");
        }
        assert_eq!(door.check(&Method::PUT, &headers(&[("host", "localhost:7000")])), Err(Refused::Verb));
    }

    #[test]
    fn connection_headers_stay_here() {
        let kept = forwarded(&headers(&[
            ("host", "x"),
            ("connection", "close, X-Hop"),
            ("x-hop", "1"),
            ("transfer-encoding", "chunked"),
            ("mcp-session-id", "s"),
            ("accept", "a"),
        ]));
        assert_eq!(kept, headers(&[("mcp-session-id", "s"), ("accept", "a")]));
    }
}
