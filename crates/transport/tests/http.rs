//! The HTTP client against real servers: reuse, multiplexing, cancellation, limits.
#![allow(clippy::unwrap_used)] // a test fails by its panic

mod world;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lockgate_transport::http::{Limits, Pool, PoolError, RequestBody, Target};
use lockgate_transport::{Alpn, Dialer, Link, Listener, dialer};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, mpsc};
use world::{COMPOSITE, World, accept, listener, within};

fn request(path: &str, body: &'static str) -> Request<RequestBody> {
    let request = Request::builder().method(Method::POST).uri(path);
    request.body(Full::new(Bytes::from_static(body.as_bytes()))).unwrap()
}

fn plain_pool(port: u16, limits: Limits) -> Pool {
    let dialer = Arc::new(Dialer::plain(dialer::Limits::default()));
    let url = format!("http://127.0.0.1:{port}/").parse().unwrap();
    Pool::new(Target::new(&url, dialer).unwrap(), limits)
}

async fn text(response: Response<lockgate_transport::http::Body>) -> String {
    let body = within(response.into_body().collect()).await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// Answers each request with its path and body, and counts connections.
async fn echo(listener: Listener, connections: Arc<AtomicUsize>) {
    loop {
        let io = listener.accept().await.unwrap().plain().io;
        connections.fetch_add(1, Ordering::SeqCst);
        let service = service_fn(answer);
        let connection =
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(io), service);
        tokio::spawn(connection);
    }
}

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (path, host) = (request.uri().to_string(), format!("{:?}", request.headers().get("host")));
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let text = [path.as_bytes(), b" ", &body].concat();
    Ok(Response::builder().header("x-host", host).body(Full::new(text.into())).unwrap())
}

/// A server of which the test writes every byte. Gives the next connection with its first request's head
/// read.
async fn raw(listener: &TcpListener) -> BufReader<TcpStream> {
    let (stream, _) = listener.accept().await.unwrap();
    let mut stream = BufReader::new(stream);
    read_request(&mut stream).await;
    stream
}

async fn read_request(stream: &mut BufReader<TcpStream>) {
    let mut length = 0;
    loop {
        let mut line = String::new();
        assert!(stream.read_line(&mut line).await.unwrap() > 0, "the client has left");
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.unwrap();
}

async fn raw_listener() -> (TcpListener, u16) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    (listener, port)
}

#[tokio::test]
async fn requests_in_turn_share_one_connection() {
    let listener = listener().await;
    let local = listener.local();
    let connections = Arc::new(AtomicUsize::new(0));
    tokio::spawn(echo(listener, Arc::clone(&connections)));
    let pool = plain_pool(local.port(), Limits::default());
    for _ in 0..20 {
        let response = within(pool.request(request("/mcp?x=1", "{}"))).await.unwrap();
        assert_eq!(response.headers()["x-host"], format!("Some(\"{local}\")"));
        assert_eq!(text(response).await, "/mcp?x=1 {}");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    let links = pool.links();
    assert_eq!((links.len(), links[0].exchanges), (1, 0));
    assert_eq!((links[0].peer, links[0].protocol), (Some(local), Alpn::Http11));
    assert!(links[0].posture.is_none());
}

async fn serve_http2(link: Link) {
    let io = TokioIo::new(link.io);
    let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    let _ = builder.serve_connection(io, service_fn(answer)).await;
}

async fn tunnel() -> (Pool, Arc<AtomicUsize>) {
    let world = World::new();
    let listener = listener().await;
    let tls = world.tls("pq-hybrid", &world.node());
    let dialer = world.dialer("pq-hybrid", Some(&world.agent(COMPOSITE)));
    let url = format!("https://127.0.0.1:{}/", listener.local().port()).parse().unwrap();
    let target = Target::new(&url, Arc::new(dialer)).unwrap();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    tokio::spawn(async move {
        loop {
            let link = accept(&listener, &tls).await.unwrap();
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(serve_http2(link));
        }
    });
    (Pool::new(target, Limits::default()), connections)
}

#[tokio::test]
async fn many_requests_share_one_tunnel() {
    let (pool, connections) = tunnel().await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..50 {
        let pool = pool.clone();
        tasks.spawn(async move {
            let response = pool.request(request("/mcp", "{}")).await.unwrap();
            text(response).await
        });
    }
    while let Some(answer) = within(tasks.join_next()).await {
        assert!(answer.unwrap().ends_with("/mcp {}"));
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
    let links = pool.links();
    assert_eq!((links.len(), links[0].protocol, links[0].exchanges), (1, Alpn::H2, 0));
    assert!(links[0].posture.as_ref().unwrap().quantum_safe());

    // New requests move to a new tunnel; the old one, unused, closes.
    pool.retire();
    let response = within(pool.request(request("/mcp", "{}"))).await.unwrap();
    text(response).await;
    assert_eq!(connections.load(Ordering::SeqCst), 2);
    within(async {
        while pool.links().len() > 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(pool.links()[0].id, 1);
}

#[tokio::test]
async fn an_exchange_under_way_survives_a_retirement() {
    let (server, port) = raw_listener().await;
    let pool = plain_pool(port, Limits::default());
    let serve = async {
        let mut stream = raw(&server).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no").await.unwrap();
        stream
    };
    let (response, mut stream) = within(async { tokio::join!(pool.request(request("/", "")), serve) }).await;
    pool.retire();
    stream.write_all(b"k").await.unwrap();
    assert_eq!(text(response.unwrap()).await, "ok");
    // The connection is not kept: the server sees its end.
    assert_eq!(within(stream.read(&mut [0])).await.unwrap(), 0);
}

#[tokio::test]
async fn dropping_the_body_disconnects_the_server() {
    let (server, port) = raw_listener().await;
    let pool = plain_pool(port, Limits::default());
    let serve = async {
        let mut stream = raw(&server).await;
        let head = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\ndata\n\r\n";
        stream.write_all(head).await.unwrap();
        stream
    };
    let (response, mut stream) = within(async { tokio::join!(pool.request(request("/", "")), serve) }).await;
    let mut body = response.unwrap().into_body();
    let frame = within(body.frame()).await.unwrap().unwrap();
    assert_eq!(frame.into_data().unwrap(), "data\n");
    assert_eq!(pool.links()[0].exchanges, 1);
    drop(body);
    assert_eq!(within(stream.read(&mut [0])).await.unwrap_or(0), 0);
}

#[tokio::test]
async fn dropping_the_request_disconnects_the_server() {
    let (server, port) = raw_listener().await;
    let pool = plain_pool(port, Limits::default());
    let call = pool.request(request("/", "{}"));
    let mut stream = tokio::select! {
        _ = call => panic!("nobody has answered"),
        stream = within(raw(&server)) => stream,
    };
    assert_eq!(within(stream.read(&mut [0])).await.unwrap_or(0), 0);
}

/// A body that never ends, and tells when it is dropped.
struct Endless(Arc<Notify>, bool);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if std::mem::replace(&mut self.1, true) {
            return Poll::Pending;
        }
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"event")))))
    }
}

impl Drop for Endless {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn dropping_the_body_resets_the_stream_and_keeps_the_tunnel() {
    let world = World::new();
    let listener = listener().await;
    let tls = world.tls("pq-hybrid", &world.node());
    let dialer = Arc::new(world.dialer("pq-hybrid", None));
    let url = format!("https://localhost:{}/", listener.local().port()).parse().unwrap();
    let pool = Pool::new(Target::new(&url, dialer).unwrap(), Limits::default());
    let dropped = Arc::new(Notify::new());
    let signal = Arc::clone(&dropped);
    tokio::spawn(async move {
        let io = TokioIo::new(accept(&listener, &tls).await.unwrap().io);
        let service = service_fn(move |_| {
            let body = Endless(Arc::clone(&signal), false);
            async { Ok::<_, Infallible>(Response::new(body)) }
        });
        let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
        let _ = builder.serve_connection(io, service).await;
    });
    for _ in 0..2 {
        let response = within(pool.request(request("/", "{}"))).await.unwrap();
        let mut body = response.into_body();
        assert_eq!(within(body.frame()).await.unwrap().unwrap().into_data().unwrap(), "event");
        drop(body);
        within(dropped.notified()).await;
        let links = pool.links();
        assert_eq!((links.len(), links[0].id, links[0].exchanges), (1, 0, 0));
    }
}

#[tokio::test]
async fn a_kept_connection_that_the_server_closed_is_replaced() {
    let (server, port) = raw_listener().await;
    let pool = plain_pool(port, Limits::default());
    let (closed, mut closings) = mpsc::channel(1);
    tokio::spawn(async move {
        loop {
            let mut stream = raw(&server).await;
            stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await.unwrap();
            drop(stream);
            closed.send(()).await.unwrap();
        }
    });
    for _ in 0..5 {
        let response = within(pool.request(request("/", "{}"))).await.unwrap();
        assert_eq!(text(response).await, "ok");
        within(closings.recv()).await.unwrap();
        // The close has left the server; the pool may or may not have read it when the next request starts.
        within(async {
            while !pool.links().is_empty() {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

#[tokio::test]
async fn a_server_that_hangs_up_or_talks_nonsense_is_reported() {
    let cases: [&[u8]; 2] = [b"", b"SMTP ready\r\n\r\n"];
    for answer in cases {
        let (server, port) = raw_listener().await;
        let pool = plain_pool(port, Limits::default());
        let serve = async { raw(&server).await.write_all(answer).await.unwrap() };
        let (outcome, ()) = within(async { tokio::join!(pool.request(request("/", "{}")), serve) }).await;
        let error = outcome.unwrap_err();
        assert!(matches!(error, PoolError::Broken { .. }) && !error.is_unsent(), "{error}");
        assert!(error.to_string().contains(&format!("http://127.0.0.1:{port}")), "{error}");
    }
    let (server, port) = raw_listener().await;
    let pool = plain_pool(port, Limits::default());
    let serve = async {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nlies";
        raw(&server).await.write_all(answer).await.unwrap();
    };
    let (response, ()) = within(async { tokio::join!(pool.request(request("/", "{}")), serve) }).await;
    let error = within(response.unwrap().into_body().collect()).await.unwrap_err();
    assert!(matches!(error, PoolError::Body(_)), "{error}");
    drop(server);
    let error = within(pool.request(request("/", "{}"))).await.unwrap_err();
    assert!(error.is_unsent(), "{error}");
}

#[tokio::test]
async fn a_request_waits_for_a_connection_to_come_back() {
    let listener = listener().await;
    let port = listener.local().port();
    let connections = Arc::new(AtomicUsize::new(0));
    tokio::spawn(echo(listener, Arc::clone(&connections)));
    let pool = plain_pool(port, Limits { links_max: 1, ..Limits::default() });
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let pool = pool.clone();
        tasks.spawn(async move { text(pool.request(request("/", "x")).await.unwrap()).await });
    }
    while let Some(answer) = within(tasks.join_next()).await {
        assert_eq!(answer.unwrap(), "/ x");
    }
    assert_eq!(connections.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_pool_that_is_used_up_says_so() {
    let (server, port) = raw_listener().await;
    let pool = plain_pool(port, Limits { links_max: 1, ..Limits::default() });
    let serve = async {
        let mut stream = raw(&server).await;
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n").await.unwrap();
        stream
    };
    let (held, _stream) = tokio::join!(pool.request(request("/", "")), serve);
    let error = pool.request(request("/", "")).await.unwrap_err();
    assert!(matches!(error, PoolError::Exhausted { links_max: 1, .. }), "{error}");
    assert!(error.is_unsent());
    drop(held);
}

#[tokio::test(start_paused = true)]
async fn a_tunnel_that_does_not_open_fails_everybody_in_time() {
    let (silent, port) = raw_listener().await;
    let dialer = Arc::new(World::new().dialer("pq-hybrid", None));
    let url = format!("https://127.0.0.1:{port}/").parse().unwrap();
    let pool = Pool::new(Target::new(&url, dialer).unwrap(), Limits::default());
    let (first, second) = tokio::join!(pool.request(request("/", "")), pool.request(request("/", "")));
    let (first, second) = (first.unwrap_err(), second.unwrap_err());
    assert!(matches!(first, PoolError::Dial(_)), "{first}");
    assert!(matches!(second, PoolError::Opening { .. }), "{second}");
    assert!(first.is_unsent() && second.is_unsent());
    drop(silent);
}

#[tokio::test(start_paused = true)]
async fn a_resting_connection_is_closed_in_time() {
    let (server, port) = raw_listener().await;
    let pool = plain_pool(port, Limits::default());
    let serve = async {
        let mut stream = raw(&server).await;
        let answer = b"HTTP/1.1 200 OK\r\nkeep-alive: timeout=5\r\ncontent-length: 2\r\n\r\nok";
        stream.write_all(answer).await.unwrap();
        stream
    };
    let (response, mut stream) = tokio::join!(pool.request(request("/", "")), serve);
    let body = response.unwrap().into_body().collect().await.unwrap().to_bytes();
    assert_eq!(body, "ok");
    let rested = tokio::time::Instant::now();
    assert_eq!(stream.read(&mut [0]).await.unwrap(), 0);
    assert_eq!(rested.elapsed().as_secs(), 4);
    assert!(pool.links().is_empty());
}
