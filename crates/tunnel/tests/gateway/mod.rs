//! A small gateway in one process: what a tunnel needs of one, made of the transport.
#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test uses a part of it, and what fails here fails the test"
)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::stream;
use http::{Method, Request, Response, StatusCode, Uri};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Frame, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use lockgate_crypto::{Announced, Notice, Posture, Suite, profile};
use lockgate_identity::enrol::{AgentIdentity, Enrolment, ProvenKey};
use lockgate_identity::{AGENT_LIFETIME, Authority, NODE_LIFETIME, NodeIdentity, Role, SpiffeId};
use lockgate_transport::{Limits, Link, Listener, ServerTls, secure};
use lockgate_tunnel::service;
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::{Notify, watch};
use tokio_util::sync::CancellationToken;

pub(crate) type Body = BoxBody<Bytes, Infallible>;

/// Far beyond what any step takes: a test that hangs fails.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    tokio::time::timeout(Duration::from_secs(90), future).await.expect("the step hangs")
}

/// What is in force, as far as notices tell it.
#[derive(Clone)]
pub(crate) struct InForce {
    suite: Suite,
    within_ms: u64,
    sequence: u64,
    authority: String,
}

/// One link that is up.
pub(crate) struct Up {
    pub(crate) posture: Arc<Posture>,
    kill: CancellationToken,
}

pub(crate) struct Gateway {
    pub(crate) authority: Authority,
    pub(crate) address: SocketAddr,
    tls: ServerTls,
    in_force: watch::Sender<InForce>,
    next: AtomicU64,
    pub(crate) up: Mutex<std::collections::BTreeMap<u64, Up>>,
    /// What `/slow` waits for.
    pub(crate) release: Notify,
    /// What `/slow` tells when it has begun.
    pub(crate) begun: Notify,
    /// Renewals that are turned away as too many, before one is served.
    pub(crate) busy: AtomicUsize,
    /// Streams of notices that were opened.
    pub(crate) streams: AtomicUsize,
    /// Exchanges with `/count`, answered or not.
    pub(crate) counted: AtomicUsize,
    /// Whether `/count` is to kill its link in place of an answer.
    pub(crate) cut: std::sync::atomic::AtomicBool,
    /// Whether there are notices at all.
    pub(crate) silent: std::sync::atomic::AtomicBool,
    /// Takes the place of the signed bundle.
    pub(crate) forged: Mutex<Option<String>>,
}

fn suite(name: &str, epoch: u64) -> Suite {
    profile::find(name).unwrap().compile(epoch).unwrap()
}

fn node(authority: &Authority, suite: &Suite) -> NodeIdentity {
    let id = SpiffeId::node("example.org", "gateway").unwrap();
    let (ips, names) = (["127.0.0.1".parse().unwrap()], ["localhost".to_owned()]);
    let algorithms = suite.identities();
    authority.issue_node(&id, &names, &ips, algorithms, NODE_LIFETIME, SystemTime::now()).unwrap()
}

impl Gateway {
    /// A gateway with `profile` in force as epoch 1.
    pub(crate) async fn start(profile: &str) -> Arc<Self> {
        let suite = suite(profile, 1);
        // Of yesterday, so that certificates can be of an hour ago.
        let yesterday = SystemTime::now() - Duration::from_secs(24 * 3600);
        let authority = Authority::generate("example.org", suite.identities(), yesterday).unwrap();
        let listener = Listener::bind("127.0.0.1:0".parse().unwrap(), Limits::default()).await.unwrap();
        let tls = ServerTls::new(suite.clone(), &node(&authority, &suite), &authority.bundle()).unwrap();
        let in_force = InForce {
            suite,
            within_ms: 0,
            sequence: authority.bundle().sequence(),
            authority: authority.bundle().fingerprint().to_owned(),
        };
        let gateway = Arc::new(Self {
            address: listener.local(),
            authority,
            tls,
            in_force: watch::channel(in_force).0,
            next: AtomicU64::new(0),
            up: Mutex::default(),
            release: Notify::new(),
            begun: Notify::new(),
            busy: AtomicUsize::new(0),
            streams: AtomicUsize::new(0),
            counted: AtomicUsize::new(0),
            cut: false.into(),
            silent: false.into(),
            forged: Mutex::default(),
        });
        tokio::spawn(Arc::clone(&gateway).accept(listener));
        gateway
    }

    pub(crate) fn url(&self) -> Uri {
        format!("https://{}/mcp", self.address).parse().unwrap()
    }

    /// Puts a profile in force: roots and leaves first, then new handshakes, then the notices.
    pub(crate) fn publish(&self, profile: &str, epoch: u64, within_ms: u64) {
        let suite = suite(profile, epoch);
        self.authority.ensure(suite.identities(), SystemTime::now()).unwrap();
        let bundle = self.authority.bundle();
        self.tls.swap(suite.clone(), &node(&self.authority, &suite), &bundle).unwrap();
        self.in_force.send_replace(InForce {
            suite,
            within_ms,
            sequence: bundle.sequence(),
            authority: bundle.fingerprint().to_owned(),
        });
    }

    /// Cuts the links that may not stay.
    pub(crate) fn cut_unfit(&self) {
        let suite = self.in_force.borrow().suite.clone();
        for up in self.up.lock().values() {
            if !suite.judge(&up.posture).is_empty() {
                up.kill.cancel();
            }
        }
    }

    /// An agent with a certificate of the profile's first algorithm, issued `ago` seconds ago.
    pub(crate) fn agent(&self, profile: &str, ago: u64) -> AgentIdentity {
        let algorithm = suite(profile, 1).identities()[0];
        let now = SystemTime::now() - Duration::from_secs(ago);
        let enrolment = Enrolment::begin(algorithm).unwrap();
        let certificate = self.issue(enrolment.request_pem(), now);
        enrolment.finish(&certificate, self.authority.bundle(), SystemTime::now()).unwrap()
    }

    fn issue(&self, csr: &str, now: SystemTime) -> String {
        let request = lockgate_identity::Request {
            key: ProvenKey::from_request_pem(csr).unwrap(),
            id: SpiffeId::agent("example.org", "claude").unwrap(),
            role: Role::Agent,
            dns_names: Vec::new(),
            ips: Vec::new(),
            lifetime: AGENT_LIFETIME,
        };
        self.authority.issue(&request, now).unwrap().to_pem()
    }

    async fn accept(self: Arc<Self>, listener: Listener) {
        loop {
            let accepted = listener.accept().await.unwrap();
            let gateway = Arc::clone(&self);
            tokio::spawn(async move {
                if let Ok(link) = secure(accepted, &gateway.tls, &Limits::default()).await {
                    gateway.serve(link).await;
                }
            });
        }
    }

    async fn serve(self: Arc<Self>, link: Link) {
        let posture = link.posture.clone().unwrap();
        let (number, kill) = (self.next.fetch_add(1, Ordering::SeqCst), CancellationToken::new());
        self.up.lock().insert(number, Up { posture: Arc::clone(&posture), kill: kill.clone() });
        let gateway = Arc::clone(&self);
        let cut = kill.clone();
        let service = service_fn(move |request| {
            let (gateway, posture, cut) = (Arc::clone(&gateway), Arc::clone(&posture), cut.clone());
            async move { Ok::<_, Infallible>(gateway.answer(request, posture, cut).await) }
        });
        let builder = auto::Builder::new(TokioExecutor::new());
        tokio::select! {
            _ = builder.serve_connection(TokioIo::new(link.io), service) => {}
            () = kill.cancelled() => {}
        }
        self.up.lock().remove(&number);
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
        posture: Arc<Posture>,
        kill: CancellationToken,
    ) -> Response<Body> {
        match (request.method(), request.uri().path()) {
            (&Method::GET, service::NOTICES) if !self.silent.load(Ordering::SeqCst) => self.notices(posture),
            (&Method::GET, service::BUNDLE) => {
                let forged = self.forged.lock().clone();
                whole(StatusCode::OK, forged.unwrap_or_else(|| self.authority.signed_bundle().unwrap()))
            }
            (&Method::POST, service::RENEW) => {
                let left = |left: usize| left.checked_sub(1);
                if self.busy.fetch_update(Ordering::SeqCst, Ordering::SeqCst, left).is_ok() {
                    return whole(StatusCode::SERVICE_UNAVAILABLE, "busy");
                }
                let body = request.into_body().collect().await.unwrap().to_bytes();
                let asked: serde_json::Value = serde_json::from_slice(&body).unwrap();
                let certificate = self.issue(asked["csr"].as_str().unwrap(), SystemTime::now());
                whole(StatusCode::OK, json!({ "certificate": certificate, "id": "" }).to_string())
            }
            (_, "/group") => whole(StatusCode::OK, posture.group.clone()),
            (_, "/count") => {
                self.counted.fetch_add(1, Ordering::SeqCst);
                if self.cut.swap(false, Ordering::SeqCst) {
                    kill.cancel();
                    std::future::pending::<()>().await;
                }
                whole(StatusCode::OK, "counted")
            }
            (_, "/slow") => {
                self.begun.notify_one();
                self.release.notified().await;
                whole(StatusCode::OK, posture.group.clone())
            }
            _ => whole(StatusCode::NOT_FOUND, ""),
        }
    }

    /// A line at first and on each change, and blank ones between.
    fn notices(&self, posture: Arc<Posture>) -> Response<Body> {
        self.streams.fetch_add(1, Ordering::SeqCst);
        let mut changes = self.in_force.subscribe();
        changes.mark_changed();
        let lines = stream::unfold((changes, posture), |(mut changes, posture)| async move {
            changes.changed().await.ok()?;
            let line = format!("\n{}\n", notice(&changes.borrow_and_update().clone(), &posture));
            Some((Ok(Frame::data(Bytes::from(line))), (changes, posture)))
        });
        Response::new(BoxBody::new(StreamBody::new(lines)))
    }
}

fn notice(in_force: &InForce, posture: &Posture) -> String {
    let why = in_force.suite.judge(posture);
    let notice = Notice {
        schema: Notice::SCHEMA.to_owned(),
        epoch: in_force.suite.epoch(),
        announced: Announced::of(&in_force.suite),
        authority: in_force.authority.clone(),
        bundle_sequence: in_force.sequence,
        move_within_ms: in_force.within_ms,
        closes_at_ms: None,
        stays: why.is_empty(),
        why,
        endings: in_force.suite.endings(),
    };
    serde_json::to_string(&notice).unwrap()
}

fn whole(status: StatusCode, text: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(text.into()).boxed());
    *response.status_mut() = status;
    response
}
