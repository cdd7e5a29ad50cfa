//! Cryptographic agility: links follow what is in force, and no call fails for it.

#![allow(clippy::unwrap_used, reason = "what fails here is a test that fails")]

mod rig;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use http::Request;
use http_body_util::{BodyExt, Full};
use lockgate_crypto::Suite;
use lockgate_proxy::agility::{InForce, Move, PeerRule};
use lockgate_transport::http::{Limits as PoolLimits, Pool, Target};
use rig::tunnel::{Agent, Notices, PATH, Tunnel, classical, modern_call, modern_headers, suite};
use rig::{observed, records, within};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};

const FIRST: &str = "X25519MLKEM768";
const SECOND: &str = "SecP256r1MLKEM768";

/// Longer than any test: nobody is cut.
const PATIENT: Move = Move { within: Duration::from_millis(200), deadline: Duration::from_secs(60) };

fn banned(epoch: u64) -> Suite {
    suite("pq-hybrid", epoch, &[FIRST])
}

/// An agent with a pool, as connectors have one.
fn pool(tunnel: &Tunnel, name: &str, http1: bool) -> Pool {
    let dialer = tunnel.dialer(name, &suite("pq-hybrid", 1, &[]));
    let dialer = if http1 { dialer.http1_only() } else { dialer };
    let url = format!("https://127.0.0.1:{}", tunnel.rig.address.port()).parse().unwrap();
    let limits = PoolLimits { links_max: 1, ..PoolLimits::default() };
    Pool::new(Target::new(&url, Arc::new(dialer)).unwrap(), limits)
}

async fn call(pool: &Pool) -> String {
    let body = modern_call("echo", &json!({}));
    let mut request = Request::post(PATH).body(Full::from(body)).unwrap();
    request.headers_mut().extend(modern_headers("echo"));
    request.headers_mut().insert("host", "localhost".parse().unwrap());
    let response = within(pool.request(request)).await.unwrap();
    assert_eq!(response.status(), 200);
    String::from_utf8(response.into_body().collect().await.unwrap().to_bytes().to_vec()).unwrap()
}

/// Follows the notices as connectors do: once its link may not stay, it opens a new one and moves there.
async fn follow(pool: Pool) {
    let mut request = Request::get("/.well-known/lockgate/notices").body(Full::default()).unwrap();
    request.headers_mut().insert("host", "localhost".parse().unwrap());
    let response = within(pool.request(request)).await.unwrap();
    let mut notices = Notices::of(response.into_body());
    while notices.next().await.unwrap().stays {}
    within(pool.replace()).await.unwrap();
}

/// checklist 03: an algorithm is retired on a live system, and no request fails.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn links_of_both_protocols_move_under_load_and_no_call_fails() {
    const EACH: usize = 4;
    let tunnel = Tunnel::open("pq-hybrid").await;
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let warm = Arc::new(tokio::sync::Barrier::new(2 * EACH + 1));
    let mut workers = Vec::new();
    for n in 0..2 * EACH {
        let pool = pool(&tunnel, &format!("agent{n}"), n >= EACH);
        let (stop, done, warm) = (stop.clone(), done.clone(), warm.clone());
        workers.push(tokio::spawn(async move {
            assert!(call(&pool).await.contains("result"));
            let following = (n < EACH).then(|| tokio::spawn(follow(pool.clone())));
            warm.wait().await;
            while !stop.load(Ordering::Relaxed) {
                assert!(call(&pool).await.contains("\"result\""));
                done.fetch_add(1, Ordering::Relaxed);
            }
            if let Some(following) = following {
                following.await.unwrap();
            }
        }));
    }
    within(warm.wait()).await;
    within(async {
        while tunnel.rig.node.peers().iter().filter(|peer| peer.following.is_some()).count() < EACH {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let live = tunnel.rig.node.links.snapshot();
    assert!(live.iter().all(|link| link.posture.as_ref().unwrap().group == FIRST && link.epoch == 1));

    let begun = tunnel.apply(&banned(2), PATIENT);
    assert_eq!((begun.epoch, begun.to_move, begun.stayed), (2, 2 * EACH as u64, 0));
    assert!(begun.waiting.iter().all(|waiting| waiting.why[0].part == "group"));
    assert_eq!(begun.waiting.iter().filter(|waiting| waiting.told).count(), EACH);
    let moved = tunnel.moved().await;
    assert_eq!((moved.moved, moved.killed, moved.waiting.len()), (2 * EACH as u64, 0, 0));
    let before = done.load(Ordering::Relaxed);
    within(async {
        while done.load(Ordering::Relaxed) < before + 100 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    for worker in workers {
        worker.await.unwrap();
    }
    let live = tunnel.rig.node.links.snapshot();
    assert!(
        live.iter().all(|link| link.posture.as_ref().unwrap().group == SECOND && link.epoch == 2),
        "{live:?}"
    );
    assert!(live.iter().all(|link| link.closes_at_ms.is_none()));
    let written = records(&tunnel.rig);
    assert!(written.iter().all(|record| record["outcome"] == "ok"));
    let moved = written.iter().find(|record| record["kind"] == "crypto").unwrap();
    assert_eq!((&moved["epoch"], &moved["count"]), (&json!(2), &json!(2 * EACH)));
    let figures = tunnel.rig.node.metrics.encode();
    for line in [
        "lockgate_epoch 2".to_owned(),
        "lockgate_links_below_epoch 0".to_owned(),
        format!("lockgate_links_moved_total{{outcome=\"moved\"}} {}", 2 * EACH),
        "lockgate_migrations_total 2".to_owned(),
    ] {
        assert!(figures.contains(&line), "{line}:\n{figures}");
    }
}

#[tokio::test]
async fn a_link_that_is_asked_to_leave_finishes_its_calls() {
    let tunnel = Tunnel::open("pq-hybrid").await;
    let mut agent = tunnel.agent("claude", "pq-hybrid").await;
    agent.call("echo", json!({})).await.unwrap();
    let meet = |label: &str| json!({"key": "agility", "count": 2, "label": label});
    let first = meet("old");
    let waiting = tokio::spawn(async move {
        let answer = agent.call("meet", first).await.unwrap();
        (agent, answer)
    });
    observed(tunnel.wire, "requests=2").await;
    let at_once = Move { within: Duration::ZERO, deadline: Duration::from_secs(60) };
    assert_eq!(tunnel.apply(&banned(2), at_once).to_move, 1);
    // The other half of the meeting comes over a link of the new epoch.
    let mut new = tunnel.agent("claude", "pq-hybrid").await;
    let (status, answer) = new.call("meet", meet("new")).await.unwrap();
    assert!(status == 200 && answer.contains("new"), "{answer}");
    let (agent, (status, answer)) = within(waiting).await.unwrap();
    assert!(status == 200 && answer.contains("old"), "{answer}");
    agent.closed().await;
    let view = tunnel.moved().await;
    assert_eq!((view.moved, view.killed), (1, 0));
}

#[tokio::test]
async fn a_change_that_takes_nothing_away_moves_no_link() {
    let tunnel = Tunnel::open("pq-hybrid").await;
    let mut agent = tunnel.agent("claude", "pq-hybrid").await;
    agent.call("echo", json!({})).await.unwrap();
    let view = tunnel.apply(&suite("pq-kex", 2, &[]), Move::NOW);
    assert_eq!((view.stayed, view.to_move), (1, 0));
    assert!(view.finished_ms.is_some());
    assert_eq!(tunnel.rig.node.links.snapshot()[0].epoch, 2);
    agent.call("echo", json!({})).await.unwrap();

    let older = InForce { epoch: 2, ..InForce::default() };
    let refused = tunnel.rig.node.publish(older, Move::NOW).unwrap_err();
    assert_eq!((refused.offered, refused.in_force), (2, 2));
    assert!(tunnel.rig.node.in_force().listeners.contains_key("test"), "nothing has changed");
}

/// checklist 11: the kill switch reaches live links at once, and every cut is recorded.
#[tokio::test]
async fn what_is_banned_now_is_cut_before_the_ban_returns() {
    let tunnel = Tunnel::open("pq-hybrid").await;
    let mut agents = Vec::new();
    for n in 0..20 {
        let mut agent = tunnel.agent(&format!("agent{n}"), "pq-hybrid").await;
        agent.call("echo", json!({})).await.unwrap();
        agents.push(agent);
    }
    let view = tunnel.apply(&banned(2), Move::NOW);
    assert_eq!((view.to_move, view.killed, view.moved), (20, 20, 0));
    assert!(view.finished_ms.is_some());
    for agent in agents {
        agent.closed().await;
    }
    let cut: Vec<_> = records(&tunnel.rig).into_iter().filter(|r| r["kind"] == "link").collect();
    assert_eq!(cut.len(), 20);
    assert_eq!((&cut[0]["outcome"], &cut[0]["group"]), (&json!("refused"), &json!(FIRST)));
    let reason = cut[0]["reason"].as_str().unwrap();
    assert!(reason.contains("epoch 2") && reason.contains(FIRST) && reason.contains("banned"), "{reason}");
    // Whoever comes back is served by what is left.
    let mut agent = tunnel.agent("agent0", "pq-hybrid").await;
    agent.call("echo", json!({})).await.unwrap();
    assert_eq!(tunnel.rig.node.links.snapshot()[0].posture.as_ref().unwrap().group, SECOND);
}

#[tokio::test]
async fn a_call_that_outlasts_the_deadline_is_cut_with_its_link() {
    let tunnel = Tunnel::open("pq-hybrid").await;
    let mut agent = tunnel.agent("claude", "pq-hybrid").await;
    agent.call("echo", json!({})).await.unwrap();
    let hanging = tokio::spawn(async move { agent.call("hang", json!({})).await });
    observed(tunnel.wire, "requests=2").await;
    let pace = Move { within: Duration::ZERO, deadline: Duration::from_millis(300) };
    let begun = tunnel.apply(&banned(2), pace);
    assert_eq!((begun.to_move, begun.killed, begun.waiting[0].links), (1, 0, 1));
    assert_eq!(begun.waiting[0].agent, "spiffe://test.example/agent/claude");
    let view = tunnel.moved().await;
    assert_eq!((view.moved, view.killed), (0, 1));
    within(hanging).await.unwrap().unwrap_err();
    tunnel.live(0).await;
    assert_eq!(records(&tunnel.rig).iter().filter(|record| record["kind"] == "link").count(), 1);
}

#[tokio::test]
async fn a_link_that_may_stay_again_is_not_cut() {
    let tunnel = Tunnel::open("pq-hybrid").await;
    // HTTP/1.1: nobody is asked to leave before the last call.
    let mut client = tunnel.agent_http1("claude", "pq-hybrid").await;
    client.headers.extend(modern_headers("echo"));
    client.send("POST", PATH, &modern_call("echo", &json!({}))).await.collect().await.unwrap();
    assert_eq!(tunnel.apply(&banned(2), PATIENT).to_move, 1);
    let view = tunnel.apply(&suite("pq-hybrid", 3, &[]), Move::NOW);
    assert_eq!((view.to_move, view.stayed), (0, 1));
    let response = client.send("POST", PATH, &modern_call("echo", &json!({}))).await;
    assert_eq!((response.status().as_u16(), response.headers().get("connection")), (200, None));
}

/// Between client and gateway: lets the client's hello through, and nothing more of it until it is told to.
async fn gate(to: SocketAddr) -> (SocketAddr, oneshot::Receiver<()>, Arc<Notify>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, answered) = oneshot::channel();
    let open = Arc::new(Notify::new());
    let opened = open.clone();
    tokio::spawn(async move {
        let (mut client, _) = listener.accept().await.unwrap();
        let mut server = TcpStream::connect(to).await.unwrap();
        let mut bytes = vec![0; 64 << 10];
        // A hello is one record: its length stands in the header.
        client.read_exact(&mut bytes[..5]).await.unwrap();
        let length = usize::from(u16::from_be_bytes([bytes[3], bytes[4]]));
        client.read_exact(&mut bytes[5..5 + length]).await.unwrap();
        server.write_all(&bytes[..5 + length]).await.unwrap();
        let read = server.read(&mut bytes).await.unwrap();
        client.write_all(&bytes[..read]).await.unwrap();
        sender.send(()).unwrap();
        opened.notified().await;
        let _ = tokio::io::copy_bidirectional(&mut client, &mut server).await;
    });
    (address, answered, open)
}

/// A link of which the handshake began in epoch 1 and ends in epoch 2.
async fn across(tunnel: &Tunnel, change: impl FnOnce(&Tunnel)) -> lockgate_transport::Link {
    let (address, answered, open) = gate(tunnel.rig.address).await;
    let dialer = tunnel.dialer("claude", &suite("pq-hybrid", 1, &[]));
    let dialling = tokio::spawn(async move { dialer.dial("127.0.0.1", address.port()).await });
    within(answered).await.unwrap();
    change(tunnel);
    open.notify_one();
    within(dialling).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_handshake_that_began_before_a_change_is_held_to_it() {
    let tunnel = Tunnel::open("pq-hybrid").await;
    let link = across(&tunnel, |tunnel| drop(tunnel.apply(&banned(2), PATIENT))).await;
    let mut agent = Agent::on(link).await;
    agent.call("echo", json!({})).await.unwrap();
    let live = tunnel.rig.node.links.snapshot();
    assert_eq!(live[0].posture.as_ref().unwrap().group, FIRST);
    assert!(live[0].closes_at_ms.is_some(), "it is moved as those that were there before");
    assert_eq!(tunnel.rig.node.migration().to_move, 1);
    drop(agent);
    assert_eq!(tunnel.moved().await.moved, 1);

    let tunnel = Tunnel::open("pq-hybrid").await;
    let link = across(&tunnel, |tunnel| drop(tunnel.apply(&banned(2), Move::NOW))).await;
    Agent::on(link).await.closed().await;
    tunnel.live(0).await;
    let refused = records(&tunnel.rig).pop().unwrap();
    assert_eq!((&refused["kind"], &refused["stage"]), (&json!("refusal"), &json!("verify")));
    assert_eq!(refused["agent"], "spiffe://test.example/agent/claude");
    assert!(refused["reason"].as_str().unwrap().contains("not permitted in epoch 2"), "{refused}");
}

#[tokio::test]
async fn a_handshake_that_ran_ahead_of_a_change_is_judged_when_it_comes() {
    let tunnel = Tunnel::open("pq-hybrid").await;
    let next = classical(2);
    tunnel.accept(&next);
    let mut agent = tunnel.agent("claude", "classical").await;
    agent.call("echo", json!({})).await.unwrap();
    let view = tunnel.publish(&next, Vec::new(), Move::NOW);
    assert_eq!((view.stayed, view.to_move), (1, 0));
    agent.call("echo", json!({})).await.unwrap();
    assert!(records(&tunnel.rig).iter().all(|record| record["kind"] == "call"), "nothing is held against it");
}

/// checklist 14: an exception holds for its peer alone, and ends.
#[tokio::test]
async fn an_exception_holds_for_its_peer_until_it_ends() {
    let tunnel = Tunnel::open("pq-hybrid").await;
    let (own, spared) = (suite("pq-hybrid", 2, &[]), classical(2));
    tunnel.accept(&own.union(&[&spared]).unwrap());
    let node = &tunnel.rig.node;
    let expires_ms = node.now_ms() + 2_000;
    let exception = PeerRule { peer: "spiffe://test.example/agent/old*".into(), suite: spared, expires_ms };
    tunnel.publish(&own, vec![exception], Move::NOW);

    let other = tunnel.agent("other", "classical").await;
    other.closed().await;
    let mut old = tunnel.agent("old-printer", "classical").await;
    old.call("echo", json!({})).await.unwrap();
    let refused: Vec<_> = records(&tunnel.rig).into_iter().filter(|r| r["kind"] == "refusal").collect();
    assert_eq!(refused.len(), 1);
    assert_eq!(refused[0]["agent"], "spiffe://test.example/agent/other");
    let live = node.links.snapshot();
    assert_eq!((live.len(), live[0].closes_at_ms), (1, None));

    old.closed().await;
    assert!(node.now_ms() >= expires_ms, "not before its end");
    let view = node.migration();
    assert_eq!((view.epoch, view.to_move, view.killed), (2, 1, 1));
    tunnel.agent("old-printer", "classical").await.closed().await;
}
