//! A whole gateway in one process, between a client on a bare socket and the wire server of the testkit.

#![allow(
    dead_code,
    clippy::unwrap_used,
    reason = "each test file uses a part of the rig, and a rig that fails is a test that fails"
)]

pub(crate) mod scripted;
pub(crate) mod tunnel;

use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use lockgate_audit::{Log, Options};
use lockgate_crypto::profile;
use lockgate_detect::Detector;
use lockgate_detect::links::{Continuity, LinkWatch};
use lockgate_identity::{Authority, Principal, Role, SpiffeId, TrustBundle};
use lockgate_policy::{Options as PolicyOptions, Policies, Source};
use lockgate_privacy::Describer;
use lockgate_proxy::approvals::Approvals;
use lockgate_proxy::face::{self, Face};
use lockgate_proxy::facts::NoFacts;
use lockgate_proxy::link::NewLink;
use lockgate_proxy::pipeline;
use lockgate_proxy::tasks::Tasks;
use lockgate_proxy::upstream::http::HttpUpstream;
use lockgate_proxy::upstream::{Transport, Upstream};
use lockgate_proxy::wellknown::{EnrolRequest, Enrolled, Enrolment, NotEnrolled, Permitted, RenewRequest};
use lockgate_proxy::{Limits, Node, Parts, Server};
use lockgate_store::Store;
use lockgate_transport::{Dialer, Listener, ServerTls, http as pool};
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// Far beyond what any step takes: a test that would hang fails.
pub(crate) async fn within<T>(future: impl Future<Output = T>) -> T {
    let limit = std::time::Duration::from_secs(60);
    tokio::time::timeout(limit, future).await.expect("the step hangs")
}

/// Permits everything to everybody: for tests that are not about policy.
pub(crate) const ALL: &str = r#"@id("all") permit(principal, action, resource);"#;

/// A gateway and what it is made of.
pub(crate) struct Rig {
    pub(crate) node: Arc<Node>,
    pub(crate) address: SocketAddr,
    pub(crate) dir: tempfile::TempDir,
}

/// Enrolment is not what these tests are about.
struct NoEnrolment;

impl Enrolment for NoEnrolment {
    fn authority_pem(&self) -> String {
        String::new()
    }
    fn signed_bundle(&self) -> String {
        String::new()
    }
    fn enrol(&self, _: &EnrolRequest, _: &Permitted) -> Result<Enrolled, NotEnrolled> {
        Err(refused())
    }
    fn renew(&self, _: (&SpiffeId, &str), _: &RenewRequest, _: &Permitted) -> Result<Enrolled, NotEnrolled> {
        Err(refused())
    }
}

pub(crate) fn refused() -> NotEnrolled {
    NotEnrolled {
        status: StatusCode::FORBIDDEN,
        code: "LG-TEST",
        message: "this rig issues no certificates".into(),
        hint: "use another".into(),
    }
}

/// Starts a wire server and gives its address.
pub(crate) async fn wire() -> SocketAddr {
    let (address, server) = lockgate_testkit::wire::listen(([127, 0, 0, 1], 0).into()).await.unwrap();
    tokio::spawn(server);
    address
}

/// An upstream at `address`.
pub(crate) fn upstream(address: SocketAddr, limits: &Arc<Limits>) -> Upstream {
    let endpoint: http::Uri = format!("http://{address}/mcp").parse().unwrap();
    let dialer = Arc::new(Dialer::plain(lockgate_transport::dialer::Limits::default()));
    let target = pool::Target::new(&endpoint, dialer).unwrap();
    let pool = pool::Pool::new(target, pool::Limits::default());
    Upstream::new(Transport::Http(HttpUpstream::new(endpoint, pool, limits.clone())), limits.clone())
}

/// A gateway before the servers at `upstreams`, with a plain listener on loopback.
pub(crate) async fn gateway(upstreams: &[(&str, SocketAddr)], policy: &str, limits: Limits) -> Rig {
    let limits = Arc::new(limits);
    let servers = upstreams
        .iter()
        .map(|(id, address)| Server::new((*id).to_owned(), upstream(*address, &limits)))
        .collect();
    gateway_of(servers, policy, limits).await
}

/// A gateway before `servers`, with a plain listener on loopback.
pub(crate) async fn gateway_of(servers: Vec<Server>, policy: &str, limits: Arc<Limits>) -> Rig {
    let (node, dir) = node_of(servers, policy, limits);
    let authority = authority();
    let address = listen(&node, None, &authority.bundle()).await;
    Rig { node, address, dir }
}

/// A node without a listener, and where it keeps its audit log.
pub(crate) fn node_of(
    servers: Vec<Server>,
    policy: &str,
    limits: Arc<Limits>,
) -> (Arc<Node>, tempfile::TempDir) {
    let dir = tempfile::tempdir().unwrap();
    let parts = Parts { limits, ..parts(servers, policy, dir.path()) };
    (Node::new(parts), dir)
}

/// What a node is made of by default; it keeps its audit log in `dir`.
pub(crate) fn parts(servers: Vec<Server>, policy: &str, dir: &Path) -> Parts {
    Parts {
        servers,
        policies: Policies::parse(&[Source { name: "test.cedar", text: policy }], &PolicyOptions::bare(1))
            .unwrap(),
        detector: Detector::new(Vec::new()),
        link_watch: LinkWatch::new(Vec::new(), Continuity::default()),
        audit: Log::open(&dir.join("audit"), Options::default()).unwrap(),
        store: Store::in_memory().unwrap(),
        enrolment: Arc::new(NoEnrolment),
        revocations: Arc::default(),
        approvals: Approvals::load(Store::in_memory().unwrap(), 0).unwrap(),
        tasks: Tasks::load(Store::in_memory().unwrap()).unwrap(),
        facts: Arc::new(NoFacts),
        describer: Describer::default(),
        limits: Arc::default(),
        durable: Vec::new(),
    }
}

pub(crate) fn authority() -> Authority {
    let suite = profile::find("pq-hybrid").unwrap().compile(1).unwrap();
    Authority::generate("test.example", suite.identities(), SystemTime::now()).unwrap()
}

/// Opens a listener of `node` on loopback.
pub(crate) async fn listen(
    node: &Arc<Node>,
    tls: Option<Arc<ServerTls>>,
    bundle: &TrustBundle,
) -> SocketAddr {
    let limits = lockgate_transport::Limits::default();
    let listener = Listener::bind(([127, 0, 0, 1], 0).into(), limits.clone()).await.unwrap();
    let address = listener.local();
    let face = Face {
        name: "test".into(),
        identity_required: tls.is_some(),
        tls,
        bundle: Arc::new(ArcSwap::from_pointee(bundle.clone())),
        hosts: Arc::from(["localhost".to_owned()]),
        origins: Arc::from(["https://inspector.example".to_owned()]),
        limits,
    };
    tokio::spawn(face::serve(node.clone(), Arc::new(face), listener));
    address
}

/// A way into `node` whose peers are taken for `principal`, since on loopback every peer is the local user.
pub(crate) async fn door(node: &Arc<Node>, principal: Principal, identity_required: bool) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (node, caller) = (node.clone(), lockgate_identity::bind(&Arc::new(principal)));
    tokio::spawn(async move {
        while let Ok((stream, peer)) = listener.accept().await {
            let live = node.links.enter(NewLink {
                listener: "door".into(),
                peer: Some(peer),
                local: Some(address),
                posture: None,
                caller: caller.clone(),
                since_ms: 0,
                hosts: Arc::from(["localhost".to_owned()]),
                origins: Arc::from([]),
                identity_required,
                multiplexes: false,
            });
            let node = node.clone();
            tokio::spawn(async move {
                let service = hyper::service::service_fn(|request| {
                    let (node, context) = (node.clone(), live.context.clone());
                    async move { Ok::<_, Infallible>(pipeline::serve_call(node, context, request).await) }
                });
                let _ = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service)
                    .await;
            });
        }
    });
    address
}

/// An agent called `name`, whose proof ends at `not_after`.
pub(crate) fn agent(name: &str, not_after: SystemTime) -> Principal {
    Principal::Workload {
        id: SpiffeId::agent("test.example", name).unwrap(),
        role: Role::Agent,
        serial: "01".into(),
        not_before: SystemTime::UNIX_EPOCH,
        not_after,
        key_fingerprint: String::new(),
    }
}

/// A gateway before one wire server called `wire`, permitting everything.
pub(crate) async fn one() -> (Rig, SocketAddr) {
    let upstream = wire().await;
    (gateway(&[("wire", upstream)], ALL, Limits::default()).await, upstream)
}

/// A client connection.
pub(crate) struct Client {
    sender: http1::SendRequest<Full<Bytes>>,
    connection: tokio::task::JoinHandle<()>,
    address: SocketAddr,
    /// Headers sent with each request.
    pub(crate) headers: HeaderMap,
}

impl Client {
    pub(crate) async fn to(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).await.unwrap(), address).await
    }

    /// A client on a connection that is there already.
    pub(crate) async fn over(
        stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
        address: SocketAddr,
    ) -> Self {
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.unwrap();
        let connection = tokio::spawn(async move { drop(connection.await) });
        let mut headers = HeaderMap::new();
        headers.insert("accept", "application/json, text/event-stream".parse().unwrap());
        headers.insert("content-type", "application/json".parse().unwrap());
        Self { sender, connection, address, headers }
    }

    pub(crate) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.insert(name, value.parse().unwrap());
        self
    }

    /// A client that speaks the modern era.
    pub(crate) async fn modern(address: SocketAddr) -> Self {
        Self::to(address).await.with("mcp-protocol-version", "2026-07-28")
    }

    /// Posts a modern request with the headers that mirror it, and gives the response as it begins.
    pub(crate) async fn ask(&mut self, path: &str, request: &Value) -> Response<Incoming> {
        let text = |value: &Value| value.as_str().unwrap().parse().unwrap();
        self.headers.insert("mcp-method", text(&request["method"]));
        self.headers.remove("mcp-name");
        let named = ["name", "uri", "taskId"].iter().find(|key| request["params"][**key].is_string());
        if let Some(key) = named {
            self.headers.insert("mcp-name", text(&request["params"][*key]));
        }
        self.send("POST", path, &request.to_string()).await
    }

    /// As [`Client::ask`]; gives status and body.
    pub(crate) async fn asked(&mut self, path: &str, request: &Value) -> (StatusCode, Value) {
        let response = self.ask(path, request).await;
        let status = response.status();
        let body = text(response).await;
        (status, serde_json::from_str(data(&body).unwrap()).unwrap())
    }

    pub(crate) async fn send(&mut self, method: &str, path: &str, body: &str) -> Response<Incoming> {
        let mut request = Request::new(Full::new(Bytes::from(body.to_owned())));
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = path.parse().unwrap();
        *request.headers_mut() = self.headers.clone();
        request.headers_mut().entry("host").or_insert(self.address.to_string().parse().unwrap());
        within(self.sender.send_request(request)).await.unwrap()
    }

    /// Resolves when the connection is closed.
    pub(crate) async fn closed(self) {
        within(self.connection).await.unwrap();
    }

    /// Opens a listening stream.
    pub(crate) async fn listen(&mut self, path: &str) -> Events {
        let response = self.send("GET", path, "").await;
        assert_eq!(response.status(), 200);
        Events::of(response)
    }

    pub(crate) async fn post(&mut self, path: &str, body: &str) -> (StatusCode, HeaderMap, String) {
        let response = self.send("POST", path, body).await;
        let (status, headers) = (response.status(), response.headers().clone());
        (status, headers, text(response).await)
    }

    /// Opens a legacy session and keeps its id in the headers.
    pub(crate) async fn initialize(&mut self, path: &str) -> Value {
        let body = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
            "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
        let (status, headers, result) = self.post(path, &body.to_string()).await;
        assert_eq!(status, 200, "{result}");
        self.headers.insert("mcp-session-id", headers["mcp-session-id"].clone());
        self.headers.insert("mcp-protocol-version", "2025-11-25".parse().unwrap());
        let (status, _, body) =
            self.post(path, r#"{"jsonrpc":"2.0","method":"notifications/initialized"}"#).await;
        assert_eq!(status, 202, "{body}");
        serde_json::from_str(data(&result).unwrap()).unwrap()
    }

    /// Calls a tool and gives the text of the whole response.
    pub(crate) async fn tool(&mut self, path: &str, name: &str, arguments: Value) -> (StatusCode, String) {
        let (status, _, body) = self.post(path, &call(7, name, &arguments)).await;
        (status, body)
    }
}

/// A body to its end.
pub(crate) async fn text(response: Response<Incoming>) -> String {
    let bytes = within(response.into_body().collect()).await.unwrap().to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The events of a stream, as they come.
pub(crate) struct Events {
    body: Incoming,
    splitter: lockgate_mcp::sse::Splitter,
}

impl Events {
    pub(crate) fn of(response: Response<Incoming>) -> Self {
        let splitter = lockgate_mcp::sse::Splitter::new(64 << 20);
        Self { body: response.into_body(), splitter }
    }

    /// The data of the next event that has any; `None` at the end of the stream.
    pub(crate) async fn next(&mut self) -> Option<Value> {
        let event = self.event().await?;
        match event.data.filter(|data| !data.is_empty()) {
            Some(data) => Some(serde_json::from_slice(&data).unwrap()),
            None => Box::pin(self.next()).await,
        }
    }

    /// The next event, whatever it is.
    pub(crate) async fn event(&mut self) -> Option<lockgate_mcp::sse::Event> {
        loop {
            if let Some(event) = self.splitter.next().unwrap() {
                return Some(event);
            }
            let frame = within(self.body.frame()).await?.expect("the stream is not cut off");
            self.splitter.push(&frame.into_data().unwrap());
        }
    }
}

/// A modern request.
pub(crate) fn modern(id: u64, method: &str, mut params: Value) -> Value {
    params["_meta"]["io.modelcontextprotocol/protocolVersion"] = "2026-07-28".into();
    params["_meta"]["io.modelcontextprotocol/clientCapabilities"] =
        json!({"extensions": {"io.modelcontextprotocol/tasks": {}}});
    json!({"jsonrpc": "2.0", "id": id, "method": method, "params": params})
}

/// A legacy `tools/call`.
pub(crate) fn call(id: u64, name: &str, arguments: &Value) -> String {
    format!(
        r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{name}","arguments":{arguments}}}}}"#
    )
}

/// The data of the first event, or the body itself.
pub(crate) fn data(body: &str) -> Option<&str> {
    match body.split("data: ").nth(1) {
        Some(rest) => rest.lines().next(),
        None => Some(body).filter(|b| !b.is_empty()),
    }
}

/// What the wire server has seen; waits until it has seen as many requests and disconnects as asked.
pub(crate) async fn observed(wire: SocketAddr, query: &str) -> Value {
    let mut client = Client::to(wire).await;
    let response = client.send("GET", &format!("/observed?wait_ms=10000&{query}"), "").await;
    let bytes = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap()
}

/// The audit records, in order.
pub(crate) fn records(rig: &Rig) -> Vec<Value> {
    let mut lines = Vec::new();
    let mut files: Vec<_> =
        std::fs::read_dir(rig.dir.path().join("audit")).unwrap().map(|e| e.unwrap().path()).collect();
    files.sort();
    for file in files.iter().filter(|f| f.extension().is_some_and(|e| e == "jsonl")) {
        let text = std::fs::read_to_string(file).unwrap();
        let flat = lockgate_audit::flat(&text.lines().map(str::to_owned).collect::<Vec<_>>());
        assert_eq!(flat.len(), text.lines().count(), "every line is a record");
        lines.extend(flat.iter().map(|line| serde_json::from_str::<Value>(line).unwrap()));
    }
    lines
}
