//! A gateway that is reached by mutual TLS, what changes its cryptography, and the agents that come to it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use lockgate_crypto::{Algorithm, Ban, Conditions, Definition, Notice, Profile, Suite, catalog, profile};
use lockgate_detect::links::{Continuity, LinkWatch};
use lockgate_identity::enrol::{Enrolment as Enrolling, ProvenKey};
use lockgate_identity::verifier::Expect;
use lockgate_identity::{Authority, Leaf, NODE_LIFETIME, Request as Order, Role, SpiffeId};
use lockgate_proxy::agility::{InForce, ListenerRule, MigrationView, Move, PeerRule};
use lockgate_proxy::wellknown::{EnrolRequest, Enrolled, Enrolment, NotEnrolled, Permitted, RenewRequest};
use lockgate_proxy::{Node, Parts, Server};
use lockgate_store::Store;
use lockgate_transport::{Dialer, Link, ServerTls, Trust, dialer};
use serde_json::{Value, json};

use super::{ALL, Client, Rig, listen, parts, refused, upstream, wire, within};

/// The path of the one server.
pub(crate) const PATH: &str = "/servers/wire/mcp";

/// All algorithms that leaves are made of here.
pub(crate) fn algorithms() -> [&'static Algorithm; 3] {
    ["MLDSA65-Ed25519-SHA512", "ML-DSA-65", "ECDSA-P256-SHA256"].map(|id| catalog::find(id).unwrap())
}

/// A profile under `bans`: a shipped one, or [`classical`].
pub(crate) fn suite(name: &str, epoch: u64, bans: &[&str]) -> Suite {
    if name == "classical" {
        return classical(epoch);
    }
    let ban = |id: &&str| Ban { algorithm: (*id).into(), reason: "a test".into(), ..Ban::default() };
    let conditions = Conditions { bans: bans.iter().map(ban).collect(), ..Conditions::today(epoch) };
    profile::find(name).unwrap().compile_under(&conditions).unwrap()
}

/// What has nothing in common with `pq-hybrid`.
pub(crate) fn classical(epoch: u64) -> Suite {
    let list = |id: &str| vec![id.to_owned()];
    let definition = Definition {
        name: "classical@20261122".to_owned(),
        groups: list("X25519"),
        signatures: list("ECDSA-P256-SHA256"),
        ciphers: list("TLS_AES_256_GCM_SHA384"),
        ..Definition::default()
    };
    Profile::define(definition).unwrap().compile(epoch).unwrap()
}

/// A gateway before one wire server, which permits everything.
pub(crate) struct Tunnel {
    pub(crate) rig: Rig,
    pub(crate) authority: Arc<Authority>,
    pub(crate) tls: Arc<ServerTls>,
    pub(crate) store: Store,
    pub(crate) wire: SocketAddr,
}

/// Certificates for whoever asks.
struct Issuing(Arc<Authority>);

impl Enrolment for Issuing {
    fn authority_pem(&self) -> String {
        self.0.bundle().to_pem()
    }

    fn signed_bundle(&self) -> String {
        self.0.signed_bundle().unwrap()
    }

    fn enrol(&self, _: &EnrolRequest, _: &Permitted) -> Result<Enrolled, NotEnrolled> {
        Err(refused())
    }

    fn renew(
        &self,
        (id, _): (&SpiffeId, &str),
        request: &RenewRequest,
        permitted: &Permitted,
    ) -> Result<Enrolled, NotEnrolled> {
        let key = ProvenKey::from_request_pem(&request.csr).unwrap();
        permitted.check(key.algorithm())?;
        let issued = self.0.issue(&order(key, id.clone()), SystemTime::now()).unwrap();
        Ok(Enrolled {
            id: id.to_string(),
            certificate: issued.to_pem(),
            authority: self.authority_pem(),
            not_after_ms: 0,
        })
    }
}

fn order(key: ProvenKey, id: SpiffeId) -> Order {
    let lifetime = Duration::from_secs(3600);
    Order { key, id, role: Role::Agent, dns_names: Vec::new(), ips: Vec::new(), lifetime }
}

impl Tunnel {
    /// A gateway whose listener `test` follows `profile` in epoch 1.
    pub(crate) async fn open(profile: &str) -> Self {
        Self::with(profile, |_| ()).await
    }

    /// As [`Tunnel::open`], made of other parts.
    pub(crate) async fn with(profile: &str, change: impl FnOnce(&mut Parts)) -> Self {
        let authority =
            Arc::new(Authority::generate("test.example", &algorithms(), SystemTime::now()).unwrap());
        let dir = tempfile::tempdir().unwrap();
        let wire = wire().await;
        let server = Server::new("wire".into(), upstream(wire, &Arc::default()));
        let mut parts = parts(vec![server], ALL, dir.path());
        parts.enrolment = Arc::new(Issuing(authority.clone()));
        let store = parts.store.clone();
        change(&mut parts);
        let node = Node::new(parts);
        let first = suite(profile, 1, &[]);
        let tls = Arc::new(tls(&authority, &first));
        let address = listen(&node, Some(tls.clone()), &authority.bundle()).await;
        let tunnel = Self { rig: Rig { node, address, dir }, authority, tls, store, wire };
        tunnel.publish(&first, Vec::new(), Move::NOW);
        tunnel
    }

    /// Puts another suite in force, first for handshakes and then for links.
    pub(crate) fn apply(&self, suite: &Suite, pace: Move) -> MigrationView {
        self.accept(suite);
        self.publish(suite, Vec::new(), pace)
    }

    /// Has handshakes follow `suite` from now on.
    pub(crate) fn accept(&self, suite: &Suite) {
        self.tls.publish(prepare(&self.authority, suite));
    }

    /// Puts a suite with exceptions in force for links.
    pub(crate) fn publish(&self, suite: &Suite, exceptions: Vec<PeerRule>, pace: Move) -> MigrationView {
        let rule = ListenerRule { suite: suite.clone(), exceptions };
        let bundle = self.authority.bundle();
        let in_force = InForce {
            epoch: suite.epoch(),
            listeners: [("test".into(), rule)].into(),
            authority: bundle.fingerprint().to_owned(),
            bundle_sequence: bundle.sequence(),
        };
        self.rig.node.publish(in_force, pace).unwrap()
    }

    /// The leaf of an agent called `name`, of the algorithm `id`.
    pub(crate) fn leaf(&self, name: &str, id: &str) -> Leaf {
        let enrolment = Enrolling::begin(catalog::find(id).unwrap()).unwrap();
        let key = ProvenKey::from_request_pem(enrolment.request_pem()).unwrap();
        let agent = SpiffeId::agent("test.example", name).unwrap();
        let issued = self.authority.issue(&order(key, agent), SystemTime::now()).unwrap();
        enrolment.finish(&issued.to_pem(), self.authority.bundle(), SystemTime::now()).unwrap().leaf
    }

    /// What the agent `name` dials by: its leaf is of the first kind that `suite` has.
    pub(crate) fn dialer(&self, name: &str, suite: &Suite) -> Dialer {
        let leaf = self.leaf(name, suite.identities()[0].id);
        let trust = Trust::own(&self.authority.bundle(), Expect::Node);
        Dialer::new(suite.clone(), Some(&leaf), trust, dialer::Limits::default()).unwrap()
    }

    /// A link of the agent `name` over HTTP/2.
    pub(crate) async fn agent(&self, name: &str, profile: &str) -> Agent {
        Agent::over(&self.dialer(name, &suite(profile, 1, &[])), self.rig.address).await
    }

    /// A link of the agent `name` over HTTP/1.1.
    pub(crate) async fn agent_http1(&self, name: &str, profile: &str) -> Client {
        let dialer = self.dialer(name, &suite(profile, 1, &[])).http1_only();
        let link = dialer.dial("127.0.0.1", self.rig.address.port()).await.unwrap();
        Client::over(link.io, self.rig.address).await.with("host", "localhost")
    }

    /// Resolves when no link is left that has to move.
    pub(crate) async fn moved(&self) -> MigrationView {
        within(self.rig.node.progress().wait_for(|progress| progress.finished)).await.unwrap();
        self.rig.node.migration()
    }

    /// Resolves when `links` are live.
    pub(crate) async fn live(&self, links: usize) {
        within(async {
            while self.rig.node.links.len() != links {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }
}

fn prepare(authority: &Authority, suite: &Suite) -> lockgate_transport::Prepared {
    let id = SpiffeId::node("test.example", "gateway").unwrap();
    let (names, ips) = (["localhost".to_owned()], [[127, 0, 0, 1].into()]);
    let now = SystemTime::now();
    let identity = authority.issue_node(&id, &names, &ips, suite.identities(), NODE_LIFETIME, now).unwrap();
    ServerTls::prepare(suite.clone(), &identity, &authority.bundle()).unwrap()
}

/// What a listener accepts by.
pub(crate) fn tls(authority: &Authority, suite: &Suite) -> ServerTls {
    let id = SpiffeId::node("test.example", "gateway").unwrap();
    let (names, ips) = (["localhost".to_owned()], [[127, 0, 0, 1].into()]);
    let now = SystemTime::now();
    let identity = authority.issue_node(&id, &names, &ips, suite.identities(), NODE_LIFETIME, now).unwrap();
    ServerTls::new(suite.clone(), &identity, &authority.bundle()).unwrap()
}

/// One HTTP/2 link of an agent.
pub(crate) struct Agent {
    sender: http2::SendRequest<Full<Bytes>>,
    connection: tokio::task::JoinHandle<()>,
}

impl Agent {
    pub(crate) async fn over(dialer: &Dialer, address: SocketAddr) -> Self {
        Self::on(within(dialer.dial("127.0.0.1", address.port())).await.unwrap()).await
    }

    pub(crate) async fn on(link: Link) -> Self {
        let (sender, connection) =
            within(http2::handshake(TokioExecutor::new(), TokioIo::new(link.io))).await.unwrap();
        let connection = tokio::spawn(async move { drop(connection.await) });
        Self { sender, connection }
    }

    /// Resolves when the link is closed.
    pub(crate) async fn closed(self) {
        within(self.connection).await.unwrap();
    }

    pub(crate) async fn try_send(
        &mut self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: String,
    ) -> hyper::Result<Response<Incoming>> {
        let uri = format!("https://localhost{path}");
        let mut request = Request::new(Full::new(Bytes::from(body)));
        *request.method_mut() = method;
        *request.uri_mut() = uri.parse().unwrap();
        *request.headers_mut() = headers;
        within(async {
            self.sender.ready().await?;
            self.sender.send_request(request).await
        })
        .await
    }

    pub(crate) async fn get(&mut self, path: &str) -> Response<Incoming> {
        self.try_send(Method::GET, path, HeaderMap::new(), String::new()).await.unwrap()
    }

    /// Posts JSON to one of the services; gives status and answer.
    pub(crate) async fn post(&mut self, path: &str, body: &Value) -> (StatusCode, Value) {
        let response = self.try_send(Method::POST, path, HeaderMap::new(), body.to_string()).await.unwrap();
        let status = response.status();
        let bytes = within(response.into_body().collect()).await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    /// Asks a modern server what it is, which needs no session.
    pub(crate) async fn call(&mut self, tool: &str, arguments: Value) -> hyper::Result<(StatusCode, String)> {
        let request = modern_call(tool, &arguments);
        let response = self.try_send(Method::POST, PATH, modern_headers(tool), request).await?;
        let status = response.status();
        let bytes = within(response.into_body().collect()).await?.to_bytes();
        Ok((status, String::from_utf8(bytes.to_vec()).unwrap()))
    }

    /// Follows the notices.
    pub(crate) async fn follow(&mut self, query: &str) -> Notices {
        let response = self.get(&format!("/.well-known/lockgate/notices{query}")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "application/x-ndjson");
        Notices::of(response.into_body())
    }
}

/// A modern `tools/call`.
pub(crate) fn modern_call(tool: &str, arguments: &Value) -> String {
    super::modern(7, "tools/call", json!({"name": tool, "arguments": arguments})).to_string()
}

/// The headers that mirror it.
pub(crate) fn modern_headers(tool: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("content-type", "application/json"),
        ("accept", "application/json, text/event-stream"),
        ("mcp-protocol-version", "2026-07-28"),
        ("mcp-method", "tools/call"),
        ("mcp-name", tool),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    headers
}

/// A stream of notices, line by line.
pub(crate) struct Notices<B = Incoming> {
    body: B,
    rest: Vec<u8>,
}

impl<B: http_body::Body<Data = Bytes, Error: std::fmt::Debug> + Unpin> Notices<B> {
    pub(crate) fn of(body: B) -> Self {
        Self { body, rest: Vec::new() }
    }

    /// The next notice; none at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Notice> {
        loop {
            if let Some(end) = self.rest.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.rest.drain(..=end).collect();
                if line.len() > 1 {
                    return Some(serde_json::from_slice(&line).unwrap());
                }
                continue;
            }
            let frame = within(self.body.frame()).await?.expect("the stream is not cut off");
            self.rest.extend_from_slice(&frame.into_data().unwrap());
        }
    }
}

/// A watch that refuses peers who come back with less.
pub(crate) fn strict() -> LinkWatch {
    let mode = lockgate_detect::links::Mode::Refuse;
    LinkWatch::new(Vec::new(), Continuity { mode, ..Continuity::default() })
}
