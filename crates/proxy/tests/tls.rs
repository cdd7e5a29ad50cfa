//! The tunnel: what was proven and negotiated reaches policy and the audit record, and ends with its proof.

#![allow(clippy::unwrap_used, reason = "what fails here is a test that fails")]

mod rig;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Full};
use hyper_util::rt::{TokioExecutor, TokioIo};
use lockgate_crypto::{Suite, profile};
use lockgate_identity::enrol::{Enrolment, ProvenKey};
use lockgate_identity::verifier::Expect;
use lockgate_identity::{Authority, Leaf, Request as Order, Role, SpiffeId};
use lockgate_proxy::{Limits, Server};
use lockgate_transport::{Alpn, Dialer, Link, Trust, dialer};
use rig::{Client, Rig, authority, call, listen, node_of, records, upstream, wire};
use serde_json::{Value, json};

const PATH: &str = "/servers/wire/mcp";

/// Only this agent, and only through a tunnel that holds.
const POLICY: &str = r#"
    @id("proven") permit(principal == Lockgate::Agent::"spiffe://test.example/agent/claude", action, resource)
    when { context.link.quantum_safe && context.link.peer_signature == "MLDSA65-Ed25519-SHA512" };
"#;

fn suite() -> Suite {
    profile::find("pq-hybrid").unwrap().compile(7).unwrap()
}

/// A gateway that is reached by mutual TLS.
async fn tunnel() -> (Rig, Authority) {
    let limits = Arc::new(Limits::default());
    let server = Server::new("wire".into(), upstream(wire().await, &limits));
    let (node, dir) = node_of(vec![server], POLICY, limits);
    let authority = authority();
    let tls = rig::tunnel::tls(&authority, &suite());
    let address = listen(&node, Some(Arc::new(tls)), &authority.bundle()).await;
    (Rig { node, address, dir }, authority)
}

/// The leaf of an agent called `name`, issued at `now` for a minute.
fn leaf(authority: &Authority, name: &str, now: SystemTime) -> Leaf {
    let enrolment = Enrolment::begin(suite().identities()[0]).unwrap();
    let order = Order {
        key: ProvenKey::from_request_pem(enrolment.request_pem()).unwrap(),
        id: SpiffeId::agent("test.example", name).unwrap(),
        role: Role::Agent,
        dns_names: Vec::new(),
        ips: Vec::new(),
        lifetime: Duration::from_secs(60),
    };
    let issued = authority.issue(&order, now).unwrap();
    enrolment.finish(&issued.to_pem(), authority.bundle(), now).unwrap().leaf
}

fn dialer(authority: &Authority, identity: Option<&Leaf>) -> Dialer {
    let trust = Trust::own(&authority.bundle(), Expect::Node);
    Dialer::new(suite(), identity, trust, dialer::Limits::default()).unwrap()
}

async fn dial(dialer: &Dialer, address: SocketAddr) -> Link {
    dialer.dial("127.0.0.1", address.port()).await.unwrap()
}

async fn client(dialer: Dialer, address: SocketAddr) -> Client {
    let link = dial(&dialer.http1_only(), address).await;
    Client::over(link.io, address).await.with("host", "localhost")
}

#[tokio::test]
async fn caller_and_posture_of_a_mutual_tunnel_reach_policy_and_the_record() {
    let (rig, authority) = tunnel().await;
    let mut claude =
        client(dialer(&authority, Some(&leaf(&authority, "claude", SystemTime::now()))), rig.address).await;
    claude.initialize(PATH).await;
    assert_eq!(claude.tool(PATH, "echo", json!({})).await.0, 200);
    let record = records(&rig).pop().unwrap();
    for (field, expected) in [
        ("agent", json!("spiffe://test.example/agent/claude")),
        ("policies", json!(["proven"])),
        ("quantum_safe", json!(true)),
        ("protocol", json!("TLSv1.3")),
        ("group", json!("X25519MLKEM768")),
        ("peer_signature", json!("MLDSA65-Ed25519-SHA512")),
        ("own_signature", json!("MLDSA65-Ed25519-SHA512")),
        ("resumed", json!(false)),
        ("epoch", json!(7)),
    ] {
        assert_eq!(record[field], expected, "{field}: {record}");
    }
    let live = rig.node.links.snapshot();
    assert_eq!(
        (live[0].agent.as_str(), live[0].quantum_safe),
        ("spiffe://test.example/agent/claude", Some(true))
    );

    let mut other =
        client(dialer(&authority, Some(&leaf(&authority, "other", SystemTime::now()))), rig.address).await;
    let (_, answer) = other.tool(PATH, "echo", json!({})).await;
    assert!(answer.contains("-31001"), "another agent of the same authority is denied: {answer}");
}

#[tokio::test]
async fn http2_through_the_tunnel_carries_calls_side_by_side() {
    let (rig, authority) = tunnel().await;
    let link =
        dial(&dialer(&authority, Some(&leaf(&authority, "claude", SystemTime::now()))), rig.address).await;
    assert_eq!(link.alpn, Some(Alpn::H2));
    let (sender, connection) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(link.io)).await.unwrap();
    tokio::spawn(connection);
    let post = |session: Option<String>, body: String| {
        let mut sender = sender.clone();
        async move {
            let mut request = Request::post(format!("https://localhost{PATH}"))
                .header("content-type", "application/json")
                .header("accept", "application/json, text/event-stream");
            if let Some(session) = session {
                request = request.header("mcp-session-id", session);
            }
            let response =
                sender.send_request(request.body(Full::new(Bytes::from(body))).unwrap()).await.unwrap();
            assert_eq!(response.status(), 200);
            let session = response.headers().get("mcp-session-id").map(|id| id.to_str().unwrap().to_owned());
            (session, response.into_body().collect().await.unwrap().to_bytes())
        }
    };
    let init = json!({"jsonrpc": "2.0", "id": 0, "method": "initialize", "params": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}}});
    let (session, _) = post(None, init.to_string()).await;
    // Each waits for the other: they can only be answered if they are carried at the same time.
    let meet = |label: &str| call(7, "meet", &json!({"key": "h2", "count": 2, "label": label}));
    let (left, right) =
        tokio::join!(post(session.clone(), meet("left")), post(session.clone(), meet("right")));
    for ((_, body), label) in [(left, "left"), (right, "right")] {
        let answer: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(answer["result"]["content"][0]["text"], label, "{answer}");
    }
    assert_eq!(rig.node.links.snapshot().len(), 1);
}

#[tokio::test]
async fn a_link_ends_with_the_certificate_that_opened_it() {
    let (rig, authority) = tunnel().await;
    // Three seconds are left of its minute.
    let old = leaf(&authority, "claude", SystemTime::now() - Duration::from_secs(57));
    let mut listener = client(dialer(&authority, Some(&old)), rig.address).await;
    listener.initialize(PATH).await;
    let mut stream = listener.listen(PATH).await;
    assert!(stream.next().await.is_some());
    let mut caller = client(dialer(&authority, Some(&old)), rig.address).await;
    let headers = listener.headers.clone();
    caller.headers = headers.clone();
    assert_eq!(caller.tool(PATH, "echo", json!({})).await.0, 200);

    assert_eq!(stream.next().await, None, "the stream ends, and is not cut off");
    listener.closed().await;
    caller.closed().await;
    assert!(old.not_after() <= SystemTime::now(), "not before its time");

    // Its next certificate finds the session where it was.
    let next = leaf(&authority, "claude", SystemTime::now());
    let mut renewed = client(dialer(&authority, Some(&next)), rig.address).await;
    renewed.headers = headers;
    assert_eq!(renewed.tool(PATH, "echo", json!({})).await.0, 200);
    assert!(records(&rig).iter().all(|record| record["outcome"] == "ok"), "{:?}", records(&rig));
}
