//! What peers are told in band, what they get for it, and what they are held to.

#![allow(clippy::unwrap_used, reason = "what fails here is a test that fails")]

mod rig;

use std::time::Duration;

use http_body_util::BodyExt;
use lockgate_crypto::catalog;
use lockgate_detect::links::{LinkWatch, Mode};
use lockgate_identity::enrol::Enrolment;
use lockgate_proxy::agility::{Move, continuity};
use lockgate_transport::{Dialer, Trust, dialer};
use rig::tunnel::{Agent, Tunnel, classical, strict, suite};
use rig::{records, within};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const NOTICES: &str = "/.well-known/lockgate/notices";
const FIRST: &str = "X25519MLKEM768";
const PATIENT: Move = Move { within: Duration::from_millis(10), deadline: Duration::from_secs(600) };

async fn body(response: http::Response<hyper::body::Incoming>) -> Value {
    let bytes = within(response.into_body().collect()).await.unwrap().to_bytes();
    serde_json::from_slice(&bytes).unwrap()
}

/// checklist 07: both ends see what ends when, long before it does.
#[tokio::test]
async fn a_follower_is_told_at_once_and_on_each_change() {
    let tunnel = Tunnel::open("pq-transition").await;
    let node = &tunnel.rig.node;
    let mut agent = tunnel.agent("claude", "pq-hybrid").await;
    let mut notices = agent.follow("?profile=pq-hybrid@20261122&version=1.2.3").await;
    let first = notices.next().await.unwrap();
    assert_eq!((first.schema.as_str(), first.epoch, first.stays), ("lockgate.notice/1", 1, true));
    assert_eq!(first.announced.profile, "pq-transition@20261122");
    assert_eq!(first.authority, tunnel.authority.bundle().fingerprint());
    assert_eq!(first.bundle_sequence, tunnel.authority.bundle().sequence());
    assert_eq!((first.why.len(), first.closes_at_ms), (0, None));
    let ending = first.endings.iter().find(|ending| ending.algorithm == "X25519").unwrap();
    assert!(ending.not_after.is_some());

    let view = tunnel.apply(&suite("pq-hybrid", 2, &[FIRST]), PATIENT);
    let second = notices.next().await.unwrap();
    assert_eq!((second.epoch, second.stays, second.move_within_ms), (2, false, 10));
    assert_eq!((second.why[0].part.as_str(), second.why[0].found.as_str()), ("group", FIRST));
    assert_eq!(second.closes_at_ms, Some(view.closes_at_ms));
    assert!(!second.announced.groups.iter().any(|group| group == FIRST));

    // Told, it is left alone: it carries calls until its peer has moved.
    assert!(view.waiting[0].told);
    agent.call("echo", json!({})).await.unwrap();
    assert_eq!(node.metrics.calls_in_flight.get(), 0, "those who follow are no calls in flight");
    let peers = node.peers();
    let following = peers[0].following.as_ref().unwrap();
    assert_eq!(
        (following.profile.as_deref(), following.version.as_deref()),
        (Some("pq-hybrid@20261122"), Some("1.2.3"))
    );
    assert_eq!((peers[0].agent.as_str(), peers[0].live_links), ("spiffe://test.example/agent/claude", 1));
    assert!(peers[0].capabilities.as_ref().unwrap().groups.iter().any(|group| group == FIRST));

    // It does not keep a node from stopping.
    node.draining.cancel();
    assert!(notices.next().await.is_none(), "the stream ends, and is not cut off");
    agent.closed().await;
}

#[tokio::test]
async fn a_link_that_was_replaced_is_closed_at_once() {
    let tunnel = Tunnel::open("pq-hybrid").await;
    let mut old = tunnel.agent("claude", "pq-hybrid").await;
    let mut before = old.follow("?instance=one").await;
    let mut stranger = tunnel.agent("claude", "pq-hybrid").await;
    let mut others = stranger.follow("?instance=two").await;
    before.next().await.unwrap();
    others.next().await.unwrap();
    tunnel.apply(&suite("pq-hybrid", 2, &[FIRST]), PATIENT);
    assert!(!before.next().await.unwrap().stays);

    let mut new = tunnel.agent("claude", "pq-hybrid").await;
    let mut after = new.follow("?instance=one").await;
    assert!(after.next().await.unwrap().stays);
    assert!(before.next().await.is_none());
    old.closed().await;
    within(tunnel.rig.node.progress().wait_for(|progress| progress.moved == 1)).await.unwrap();
    let view = tunnel.rig.node.migration();
    assert_eq!((view.to_move, view.waiting[0].links), (2, 1), "that of another instance stays where it is");
    stranger.call("echo", json!({})).await.unwrap();
    new.call("echo", json!({})).await.unwrap();
}

#[tokio::test]
async fn only_who_proved_a_certificate_follows_and_once_a_link() {
    let tunnel = Tunnel::open("pq-hybrid").await;
    let mut agent = tunnel.agent("claude", "pq-hybrid").await;
    let mut notices = agent.follow("").await;
    notices.next().await.unwrap();
    let second = agent.get(NOTICES).await;
    assert_eq!(second.status(), 409);
    assert_eq!(body(second).await["error"]["code"], "LG-I409");
    let odd = tunnel.agent("claude", "pq-hybrid").await.get(&format!("{NOTICES}?profile=%22")).await;
    assert_eq!(odd.status(), 400);

    let trust = Trust::own(&tunnel.authority.bundle(), lockgate_identity::verifier::Expect::Node);
    let nobody = Dialer::new(suite("pq-hybrid", 1, &[]), None, trust, dialer::Limits::default()).unwrap();
    let refused = Agent::over(&nobody, tunnel.rig.address).await.get(NOTICES).await;
    assert_eq!(refused.status(), 401);
    assert_eq!(body(refused).await["error"]["code"], "LG-I403");
}

#[tokio::test]
async fn a_follower_gets_the_new_roots_and_a_certificate_of_another_algorithm_over_its_old_link() {
    let tunnel = Tunnel::open("pq-hybrid").await;
    let mut agent = tunnel.agent("claude", "pq-hybrid").await;
    let mut notices = agent.follow("").await;
    notices.next().await.unwrap();
    let before = tunnel.authority.bundle();
    let more = catalog::find("ML-DSA-87").unwrap();
    tunnel.authority.ensure(&[more], std::time::SystemTime::now()).unwrap();
    let bundle = agent.get("/.well-known/lockgate/bundle").await;
    assert_eq!(bundle.headers()["content-type"], "application/json");
    let text = within(bundle.into_body().collect()).await.unwrap().to_bytes();
    let text = std::str::from_utf8(&text).unwrap();
    let now = std::time::SystemTime::now();
    let (updated, _) = before.accept_update(text, |_| true, before.sequence(), now).unwrap();
    assert_eq!(updated.roots().len(), before.roots().len() + 1);

    tunnel.publish(&suite("pq-hybrid", 2, &["MLDSA65-Ed25519-SHA512"]), Vec::new(), PATIENT);
    assert!(!notices.next().await.unwrap().stays);
    for (id, status) in [("MLDSA65-Ed25519-SHA512", 403), ("ECDSA-P256-SHA256", 403), ("ML-DSA-65", 200)] {
        let enrolment = Enrolment::begin(catalog::find(id).unwrap()).unwrap();
        let renewal = json!({ "csr": enrolment.request_pem() });
        let (answered, answer) = agent.post("/.well-known/lockgate/renew", &renewal).await;
        assert_eq!(answered, status, "{id}: {answer}");
        if status == 200 {
            let certificate = answer["certificate"].as_str().unwrap();
            let renewed = enrolment.finish(certificate, updated.clone(), now).unwrap();
            assert_eq!(
                (renewed.leaf.algorithm.id, renewed.id.to_string().as_str()),
                (id, "spiffe://test.example/agent/claude")
            );
        } else {
            assert_eq!(answer["error"]["code"], "LG-I402");
            assert!(answer["error"]["hint"].as_str().unwrap().contains("ML-DSA-65"));
        }
    }
    assert_eq!(records(&tunnel.rig).iter().filter(|record| record["kind"] == "identity").count(), 3);
}

/// A listener that prefers post-quantum groups and admits others, and an agent that has shown the better.
#[tokio::test]
async fn a_peer_that_comes_back_below_its_level_is_refused_also_after_a_restart() {
    let tunnel = Tunnel::with("pq-transition", |parts| parts.link_watch = strict()).await;
    let mut stored = tunnel.store.watch(lockgate_proxy::node::COMMITMENTS);
    let mut strong = tunnel.agent("claude", "pq-hybrid").await;
    strong.call("echo", json!({})).await.unwrap();
    within(stored.changed()).await.unwrap();
    tunnel.agent("claude", "classical").await.closed().await;
    let written = records(&tunnel.rig);
    let found = written.iter().find(|record| record["kind"] == "detect").unwrap();
    assert_eq!((&found["findings"], &found["outcome"]), (&json!(["LG-D010"]), &json!("refused")));
    let refused = written.iter().find(|record| record["kind"] == "refusal").unwrap();
    assert_eq!((&refused["stage"], &refused["findings"]), (&json!("verify"), &json!(["LG-D010"])));
    assert_eq!(refused["group"], "X25519");
    assert!(tunnel.rig.node.metrics.encode().contains(r#"finding="LG-D010",server="test""#));
    // Another peer that never was better is none of it.
    tunnel.agent("other", "classical").await.call("echo", json!({})).await.unwrap();

    let kept = continuity::load(&tunnel.store).unwrap();
    assert_eq!(kept[0].peer, "spiffe://test.example/agent/claude");
    let mode = lockgate_detect::links::Continuity { mode: Mode::Refuse, ..Default::default() };
    let again = Tunnel::with("pq-transition", |parts| parts.link_watch = LinkWatch::new(kept, mode)).await;
    again.agent("claude", "classical").await.closed().await;
    assert!(again.rig.node.forget_peer("spiffe://test.example/agent/claude"));
    assert!(again.rig.node.commitments().is_empty());
    again.agent("claude", "classical").await.call("echo", json!({})).await.unwrap();
}

#[tokio::test]
async fn a_change_by_the_operator_is_not_held_against_a_peer() {
    let tunnel = Tunnel::with("pq-transition", |parts| parts.link_watch = strict()).await;
    let mut agent = tunnel.agent("claude", "pq-hybrid").await;
    agent.call("echo", json!({})).await.unwrap();
    tunnel.apply(&classical(2), Move::NOW);
    agent.closed().await;
    tunnel.agent("claude", "classical").await.call("echo", json!({})).await.unwrap();
    assert!(records(&tunnel.rig).iter().all(|record| record["kind"] != "detect"));
}

#[tokio::test]
async fn a_stranger_who_fails_on_and_on_fills_no_log() {
    let tunnel = Tunnel::open("pq-hybrid").await;
    let mut strangers = Vec::new();
    for _ in 0..40 {
        let address = tunnel.rig.address;
        strangers.push(tokio::spawn(async move {
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
            let _ = stream.read_to_end(&mut Vec::new()).await;
        }));
    }
    for stranger in strangers {
        within(stranger).await.unwrap();
    }
    let figure = r#"lockgate_links_refused_total{stage="secure",why="handshake"} 40"#;
    within(async {
        while !tunnel.rig.node.metrics.encode().contains(figure) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let recorded = records(&tunnel.rig).iter().filter(|record| record["kind"] == "refusal").count();
    assert_eq!(recorded, 10, "the rest is one number, a minute later");
}
