//! Make before break: traffic moves to a new connection without a request that fails.
#![allow(clippy::unwrap_used)] // a test fails by its panic

mod world;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lockgate_transport::http::{Body, Limits, Pool, PoolError, RequestBody, Target};
use lockgate_transport::{Alpn, Dialer, Link, ServerTls, dialer};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore};
use world::{COMPOSITE, World, accept, listener, suite, within};

fn request(path: &str) -> Request<RequestBody> {
    Request::post(path).body(Full::new(Bytes::from_static(b"{}"))).unwrap()
}

async fn text(response: Response<Body>) -> String {
    let body = within(response.into_body().collect()).await.unwrap().to_bytes();
    String::from_utf8(body.to_vec()).unwrap()
}

/// A server that answers at once, but `/held` when it is let go, and `/endless` with a body that never ends.
struct Server {
    tls: ServerTls,
    port: u16,
    links: AtomicUsize,
    /// Links accepted from now on are closed after the handshake.
    hangs_up: AtomicBool,
    /// Links accepted from now on are left alone.
    silent: AtomicBool,
    held: Arc<Semaphore>,
    arrived: Arc<Notify>,
    /// Asks the clients of HTTP/2 links to leave (GOAWAY).
    leave: Notify,
}

impl Server {
    async fn start(world: &World) -> Arc<Self> {
        let listener = listener().await;
        let server = Arc::new(Self {
            tls: world.tls("pq-hybrid", &world.node()),
            port: listener.local().port(),
            links: AtomicUsize::new(0),
            hangs_up: AtomicBool::new(false),
            silent: AtomicBool::new(false),
            held: Arc::new(Semaphore::new(0)),
            arrived: Arc::default(),
            leave: Notify::default(),
        });
        let serving = Arc::clone(&server);
        tokio::spawn(async move {
            let mut silent = Vec::new();
            loop {
                let Ok(link) = accept(&listener, &serving.tls).await else { continue };
                serving.links.fetch_add(1, Ordering::SeqCst);
                if serving.silent.load(Ordering::SeqCst) {
                    silent.push(link);
                } else if !serving.hangs_up.load(Ordering::SeqCst) {
                    tokio::spawn(Arc::clone(&serving).serve(link));
                }
            }
        });
        server
    }

    async fn serve(self: Arc<Self>, link: Link) {
        let h2 = link.alpn == Some(Alpn::H2);
        let io = TokioIo::new(link.io);
        let owner = Arc::clone(&self);
        let service = service_fn(move |request: Request<Incoming>| {
            let server = Arc::clone(&self);
            async move { Ok::<_, Infallible>(server.answer(request).await) }
        });
        if h2 {
            let builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
            let mut connection = std::pin::pin!(builder.serve_connection(io, service));
            tokio::select! {
                _ = connection.as_mut() => return,
                () = owner.leave.notified() => connection.as_mut().graceful_shutdown(),
            }
            let _ = connection.await;
        } else {
            let _ = hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<BoxBody<Bytes, Infallible>> {
        let path = request.uri().path().to_owned();
        let _ = request.into_body().collect().await;
        match path.as_str() {
            "/endless" => return Response::new(Endless(true).boxed()),
            "/held" => {
                self.arrived.notify_one();
                self.held.acquire().await.unwrap().forget();
            }
            _ => {}
        }
        Response::new(Full::from(path).boxed())
    }

    fn pool(&self, dialer: Dialer, limits: Limits) -> (Pool, Arc<Dialer>) {
        let url = format!("https://127.0.0.1:{}/", self.port).parse().unwrap();
        let dialer = Arc::new(dialer);
        (Pool::new(Target::new(&url, Arc::clone(&dialer)).unwrap(), limits), dialer)
    }

    fn links(&self) -> usize {
        self.links.load(Ordering::SeqCst)
    }
}

/// One frame, and no end.
struct Endless(bool);

impl http_body::Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        match std::mem::replace(&mut self.0, false) {
            true => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(b"event"))))),
            false => Poll::Pending,
        }
    }
}

/// Both protocols, as dialers of the same agent.
fn dialers(world: &World) -> [(Alpn, Dialer); 2] {
    let agent = world.agent(COMPOSITE);
    let dialer = || world.dialer("pq-hybrid", Some(&agent));
    [(Alpn::H2, dialer()), (Alpn::Http11, dialer().http1_only())]
}

async fn until(condition: impl Fn() -> bool) {
    within(async {
        while !condition() {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn new_calls_move_and_old_ones_end_where_they_are() {
    let world = World::new();
    for (protocol, dialer) in dialers(&world) {
        let server = Server::start(&world).await;
        let (pool, _) = server.pool(dialer, Limits::default());
        let held = tokio::spawn({
            let pool = pool.clone();
            async move { text(pool.request(request("/held")).await.unwrap()).await }
        });
        within(server.arrived.notified()).await;
        within(pool.replace()).await.unwrap();
        let links = pool.links();
        assert_eq!(links.len(), 2, "{protocol:?}");
        assert_eq!((links[0].retired, links[0].exchanges, links[0].generation), (true, 1, 0));
        assert_eq!((links[1].retired, links[1].exchanges, links[1].generation), (false, 0, 1));

        for _ in 0..3 {
            assert_eq!(text(within(pool.request(request("/new"))).await.unwrap()).await, "/new");
        }
        // All on the new one, which was up before the first of them.
        assert_eq!((server.links(), pool.links()[0].exchanges), (2, 1));
        server.held.add_permits(1);
        assert_eq!(within(held).await.unwrap(), "/held");
        until(|| pool.links().len() == 1).await;
        assert_eq!(pool.links()[0].protocol, protocol);
    }
}

#[tokio::test]
async fn no_call_fails_while_connections_are_replaced_again_and_again_checklist_03() {
    let world = World::new();
    for (_, dialer) in dialers(&world) {
        let server = Server::start(&world).await;
        let (pool, _) = server.pool(dialer, Limits { links_max: 16, ..Limits::default() });
        let going = Arc::new(AtomicBool::new(true));
        let mut callers = tokio::task::JoinSet::new();
        for _ in 0..8 {
            let (pool, going) = (pool.clone(), Arc::clone(&going));
            callers.spawn(async move {
                let mut calls = 0;
                while going.load(Ordering::SeqCst) {
                    assert_eq!(text(pool.request(request("/call")).await.unwrap()).await, "/call");
                    calls += 1;
                }
                calls
            });
        }
        until(|| pool.links().len() == 1 || pool.links().len() > 7).await;
        for _ in 0..20 {
            within(pool.replace()).await.unwrap();
        }
        going.store(false, Ordering::SeqCst);
        while let Some(calls) = within(callers.join_next()).await {
            assert!(calls.unwrap() > 0);
        }
        assert_eq!(pool.links().iter().map(|link| link.generation).max(), Some(20));
    }
}

#[tokio::test]
async fn callers_at_once_each_get_a_connection_of_what_is_in_force() {
    let world = World::new();
    let agent = world.agent(COMPOSITE);
    let server = Server::start(&world).await;
    let (pool, dialer) = server.pool(world.dialer("pq-hybrid", Some(&agent)), Limits::default());
    text(within(pool.request(request("/"))).await.unwrap()).await;
    let mut moving = tokio::task::JoinSet::new();
    for epoch in 8..12 {
        let suite = lockgate_crypto::profile::find("pq-hybrid").unwrap().compile(epoch).unwrap();
        dialer.swap(suite, Some(&agent), world.trust()).unwrap();
        let pool = pool.clone();
        moving.spawn(async move { pool.replace().await });
    }
    while let Some(moved) = within(moving.join_next()).await {
        moved.unwrap().unwrap();
    }
    let links = pool.links();
    let current = links.iter().find(|link| !link.retired).unwrap();
    assert_eq!(current.posture.as_ref().unwrap().epoch, 11);
}

#[tokio::test]
async fn a_dial_that_fails_changes_nothing() {
    let world = World::new();
    for (_, dialer) in dialers(&world) {
        let server = Server::start(&world).await;
        let (pool, dialer) = server.pool(dialer, Limits::default());
        text(within(pool.request(request("/"))).await.unwrap()).await;

        // A profile that the server does not have.
        dialer.swap(suite("lattice-broken"), None, world.trust()).unwrap();
        let error = within(pool.replace()).await.unwrap_err();
        assert!(matches!(&error, PoolError::Dial(dial) if dial.is_crypto_refusal()), "{error}");
        text(within(pool.request(request("/"))).await.unwrap()).await;
        let links = pool.links();
        assert_eq!((links.len(), links[0].id, links[0].retired), (1, 0, false));

        // The next attempt succeeds.
        dialer.swap(suite("pq-hybrid"), None, world.trust()).unwrap();
        within(pool.replace()).await.unwrap();
        text(within(pool.request(request("/"))).await.unwrap()).await;
        until(|| pool.links().len() == 1).await;
        assert_ne!(pool.links()[0].id, 0);
    }
}

#[tokio::test]
async fn a_connection_that_the_server_refuses_after_the_handshake_replaces_nothing() {
    let (world, other) = (World::new(), World::new());
    for (protocol, dialer) in dialers(&world) {
        let server = Server::start(&world).await;
        let (pool, dialer) = server.pool(dialer, Limits::default());
        text(within(pool.request(request("/"))).await.unwrap()).await;

        // Our side of the handshake succeeds before the server has judged the certificate.
        dialer.renew(&other.agent(COMPOSITE)).unwrap();
        let error = within(pool.replace()).await.unwrap_err();
        assert!(matches!(error, PoolError::Dial(_)) && error.is_unsent(), "{protocol:?}: {error}");
        assert!(error.to_string().contains("alert"), "{error}");
        assert_eq!(server.links(), 1);
        text(within(pool.request(request("/"))).await.unwrap()).await;
        assert_eq!(server.links(), 1);

        // And over HTTP/2 it must also begin to speak.
        dialer.renew(&world.agent(COMPOSITE)).unwrap();
        server.hangs_up.store(true, Ordering::SeqCst);
        if protocol == Alpn::H2 {
            let error = within(pool.replace()).await.unwrap_err();
            assert!(matches!(error, PoolError::Dial(_)), "{error}");
            text(within(pool.request(request("/"))).await.unwrap()).await;
            assert!(!pool.links()[0].retired);
        }
    }
}

#[tokio::test]
async fn a_server_that_accepts_and_says_nothing_takes_no_traffic() {
    let world = World::new();
    let server = Server::start(&world).await;
    // The only wait is for what never comes.
    let limits = Limits { wait_ms_max: 50, ..Limits::default() };
    let (pool, _) = server.pool(world.dialer("pq-hybrid", Some(&world.agent(COMPOSITE))), limits);
    text(within(pool.request(request("/"))).await.unwrap()).await;
    server.silent.store(true, Ordering::SeqCst);
    let error = within(pool.replace()).await.unwrap_err();
    assert!(matches!(error, PoolError::Silent { wait_ms_max: 50, .. }) && error.is_unsent(), "{error}");
    assert!(error.to_string().contains("stay in use"), "{error}");
    text(within(pool.request(request("/"))).await.unwrap()).await;
    until(|| pool.links().len() == 1).await;
    assert_eq!((pool.links()[0].id, pool.links()[0].retired), (0, false));
}

#[tokio::test]
async fn a_pool_of_one_is_replaced_while_it_is_busy() {
    let world = World::new();
    for (protocol, dialer) in dialers(&world) {
        let server = Server::start(&world).await;
        let (pool, _) = server.pool(dialer, Limits { links_max: 1, ..Limits::default() });
        let response = within(pool.request(request("/endless"))).await.unwrap();
        within(pool.replace()).await.unwrap();
        assert_eq!(text(within(pool.request(request("/new"))).await.unwrap()).await, "/new");
        let links = pool.links();
        assert_eq!((links.len(), links[0].exchanges), (2, 1), "{protocol:?}");
        // The old one gives its place back.
        drop(response);
        until(|| pool.links().len() == 1).await;
        within(pool.replace()).await.unwrap();
        assert_eq!(text(within(pool.request(request("/new"))).await.unwrap()).await, "/new");
    }
}

#[tokio::test]
async fn a_pool_without_connections_opens_none() {
    let world = World::new();
    let closed = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap().port();
    let url = format!("https://127.0.0.1:{closed}/").parse().unwrap();
    let target = Target::new(&url, Arc::new(world.dialer("pq-hybrid", None))).unwrap();
    let pool = Pool::new(target, Limits::default());
    within(pool.replace()).await.unwrap();
    assert!(pool.links().is_empty());
}

#[tokio::test]
async fn what_is_retired_can_be_cut_and_nothing_else_is_checklist_11() {
    let world = World::new();
    for (protocol, dialer) in dialers(&world) {
        let server = Server::start(&world).await;
        let (pool, _) = server.pool(dialer, Limits::default());
        let mut old = within(pool.request(request("/endless"))).await.unwrap().into_body();
        assert_eq!(within(old.frame()).await.unwrap().unwrap().into_data().unwrap(), "event");
        assert_eq!(pool.cut_retired(), 0);
        within(pool.replace()).await.unwrap();
        let mut new = within(pool.request(request("/endless"))).await.unwrap().into_body();
        assert_eq!(within(new.frame()).await.unwrap().unwrap().into_data().unwrap(), "event");

        assert_eq!(pool.cut_retired(), 1);
        let broken = within(old.frame()).await.unwrap().unwrap_err();
        assert!(matches!(broken, PoolError::Body(_)), "{protocol:?}: {broken}");
        drop(old);
        until(|| pool.links().len() == 1).await;
        assert_eq!((pool.links()[0].retired, pool.links()[0].exchanges), (false, 1));
        assert_eq!(text(within(pool.request(request("/call"))).await.unwrap()).await, "/call");
    }
}

#[tokio::test]
async fn a_plain_pool_is_replaced_too() {
    let listener = listener().await;
    let port = listener.local().port();
    tokio::spawn(async move {
        loop {
            let io = TokioIo::new(listener.accept().await.unwrap().plain().io);
            let service = service_fn(async |_| Ok::<_, Infallible>(Response::new(Full::<Bytes>::default())));
            tokio::spawn(hyper::server::conn::http1::Builder::new().serve_connection(io, service));
        }
    });
    let url = format!("http://127.0.0.1:{port}/").parse().unwrap();
    let dialer = Arc::new(Dialer::plain(dialer::Limits::default()));
    let pool = Pool::new(Target::new(&url, dialer).unwrap(), Limits::default());
    text(within(pool.request(request("/"))).await.unwrap()).await;
    within(pool.replace()).await.unwrap();
    text(within(pool.request(request("/"))).await.unwrap()).await;
    until(|| pool.links().len() == 1).await;
    assert_eq!((pool.links()[0].id, pool.links()[0].generation), (1, 1));
}

/// A request that was on its way when the server announced to leave was not processed, and is sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_leaves_loses_no_request() {
    let world = World::new();
    let server = Server::start(&world).await;
    let [(_, dialer), _] = dialers(&world);
    let (pool, _) = server.pool(dialer, Limits::default());
    let answered = Arc::new(AtomicUsize::new(0));
    let callers: Vec<_> = (0..8)
        .map(|_| {
            let (pool, answered) = (pool.clone(), Arc::clone(&answered));
            tokio::spawn(async move {
                for _ in 0..100 {
                    assert_eq!(text(within(pool.request(request("/"))).await.unwrap()).await, "/");
                    answered.fetch_add(1, Ordering::SeqCst);
                }
            })
        })
        .collect();
    for part in 1..20 {
        until(|| answered.load(Ordering::SeqCst) >= part * 40).await;
        server.leave.notify_waiters();
    }
    for caller in callers {
        caller.await.unwrap();
    }
    assert!(server.links() > 10, "{} links", server.links());
}
