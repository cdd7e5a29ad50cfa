//! Connectors on other machines when the gateway's cryptography changes: while they run, while they are away, before
//! they enrol, and with links that are cut under their calls.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::fs::DirBuilder;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use lockgate_identity::{Authority, Root, TrustBundle};
use serde_json::{Value, json};
use support::{Node, Running, call, command, modern, place, run, shake_hands};

fn invite(node: &Node) -> String {
    let minted = node.run(&["identity", "invite", "--name", "laptop", "--output", "json"]);
    assert_eq!(minted.code, 0, "{}", minted.stderr);
    minted.json()["code"].as_str().unwrap().to_owned()
}

/// Lets the agent do everything, as an administrator would.
fn permit(node: &Node) {
    let policy = "@id(\"laptop\")\npermit(principal == Lockgate::Agent::\"spiffe://lockgate.internal/agent/laptop\", \
                  action in [Lockgate::Action::\"session\", Lockgate::Action::\"list\", Lockgate::Action::\"use\"], \
                  resource);\n";
    std::fs::write(node.state.join("policy/agents.cedar"), policy).unwrap();
    node.process.signal("HUP");
    let tail = Running::start(
        command(&node.state).args(["audit", "tail", "-n", "1000", "--follow", "--output", "jsonl"]),
    );
    while tail.json()["kind"] != "policy" {}
}

fn changed(node: &Node, words: &[&str]) -> Value {
    let ended = node.run(&[&["crypto"], words, &["--output", "json"]].concat());
    assert_eq!(ended.code, 0, "{words:?}: {}{}", ended.stdout, ended.stderr);
    ended.json()
}

fn connect(node: &Node, elsewhere: &Path, words: &[&str]) -> Running {
    Running::start(command(elsewhere).args([&["connect"], words, &[&node.url("sample")]].concat()))
}

fn echo(connector: &mut Running, id: u64) {
    let answer = connector.ask(&call(id, "echo", json!({"text": "here"})));
    assert!(answer.get("result").is_some(), "{answer}\n{}", connector.stderr());
}

#[test]
fn a_connector_elsewhere_follows_and_a_later_start_begins_there_checklist_09() {
    let node = Node::up();
    permit(&node);
    let (_folder, elsewhere) = place();
    let mut connector = connect(&node, &elsewhere, &["--invite", &invite(&node)]);
    shake_hands(&mut connector);
    echo(&mut connector, 2);
    // The nameless link of the enrolment was a peer, too, and it would not follow.
    let change = changed(&node, &["apply", "cnsa2", "--cut-off"]);
    assert_eq!(change["migration"]["killed"], 0, "{change:#}");
    echo(&mut connector, 3);
    drop(connector);

    // What it followed is kept, and so is the certificate that it got on the way.
    let mut again = connect(&node, &elsewhere, &[]);
    shake_hands(&mut again);
    echo(&mut again, 2);
    // Who will not follow has nothing to offer to such a gateway.
    let refused = run(&elsewhere, &["connect", "--follow", "never", &node.url("sample")]);
    assert_ne!(refused.code, 0);
    assert!(refused.stderr.contains("LG-K00"), "{}", refused.stderr);
}

/// Roots of yesterday: those that are made today can be told from them by their dates.
fn an_old_authority(state: &Path) {
    // Of all algorithms that a node makes roots of when it starts.
    let sample = Node::up();
    let bundle =
        TrustBundle::from_pem_file(&Authority::bundle_path(&sample.state.join("authority"))).unwrap();
    let algorithms: Vec<_> = bundle.roots().iter().map(Root::algorithm).collect();
    let yesterday = SystemTime::now() - Duration::from_secs(24 * 3600);
    let folder = state.join("authority");
    DirBuilder::new().recursive(true).mode(0o700).create(state).unwrap();
    Authority::open_or_create(&folder, "lockgate.internal", &algorithms, yesterday).unwrap();
}

/// checklist 9: the gateway presents a certificate of a root that was made meanwhile.
#[test]
fn a_connector_that_was_away_learns_the_new_roots() {
    let (_folder, state) = place();
    an_old_authority(&state);
    let node = Node::start(&state, &["up"]);
    permit(&node);
    let (_folder, elsewhere) = place();
    let mut connector = connect(&node, &elsewhere, &["--invite", &invite(&node)]);
    shake_hands(&mut connector);
    drop(connector);
    let early = invite(&node);
    changed(&node, &["apply", "bsi-hybrid"]);
    let mut again = connect(&node, &elsewhere, &[]);
    shake_hands(&mut again);
    echo(&mut again, 2);

    // An invite pins the roots of its day, and those vouch for the new ones.
    let (_folder, other) = place();
    let mut late = connect(&node, &other, &["--invite", &early]);
    shake_hands(&mut late);
    echo(&mut late, 2);
}

/// `--now` cuts the links under the calls. Each of these is of a tool that says itself that it only reads, and so is
/// sent again: the client notices nothing.
#[test]
fn links_cut_under_calls_that_only_read_fail_none_of_them_checklist_11() {
    let node = Node::up();
    let mut connector = node.connect("sample");
    shake_hands(&mut connector);
    let listed = connector.ask(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}));
    assert!(listed.get("result").is_some(), "{listed}");
    let (stop, made) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&made));
    let calling = std::thread::spawn(move || {
        let mut id = 10;
        while !stopped.load(Ordering::Relaxed) {
            echo(&mut connector, id);
            id += 1;
            counted.fetch_add(1, Ordering::Relaxed);
        }
    });
    for _ in 0..3 {
        let change = changed(&node, &["ban", "X25519MLKEM768", "--reason", "rehearsal", "--now"]);
        assert_eq!(change["ban"]["covers"], json!(["X25519MLKEM768"]), "{change:#}");
        changed(&node, &["lift", "X25519MLKEM768"]);
        changed(&node, &["apply", "bsi-hybrid"]);
        changed(&node, &["apply", "pq-hybrid"]);
    }
    stop.store(true, Ordering::Relaxed);
    calling.join().unwrap();
    assert!(made.load(Ordering::Relaxed) > 0);
}

/// A server that acknowledges each subscription, holds it open, and answers whatever else it is asked.
fn subscribable() -> SocketAddr {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            std::thread::spawn(move || while answer(&stream).is_some() {});
        }
    });
    address
}

/// Reads one request and answers it; none when the connection is over.
fn answer(mut stream: &TcpStream) -> Option<()> {
    let mut reader = BufReader::with_capacity(1, stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(value) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().unwrap();
        }
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    if asked["method"] == "subscriptions/listen" {
        let said =
            json!({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": {}});
        let head = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";
        stream.write_all(format!("{head}data: {said}\n\n").as_bytes()).ok()?;
        // Until the other side has had enough.
        return reader.read(&mut [0]).ok().filter(|read| *read > 0).map(drop);
    }
    let result = json!({"jsonrpc": "2.0", "id": asked["id"], "result": {"content": []}}).to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        result.len()
    );
    stream.write_all((head + &result).as_bytes()).ok()
}

/// A subscription has no answer as long as its client wants it: a change of links is no reason to end it.
#[test]
fn a_subscription_outlives_the_link_that_it_began_on() {
    let node = Node::gateway(&["--to", &format!("sub=http://{}/mcp", subscribable())]);
    let mut connector = node.connect("sub");
    connector.say(&modern(1, "subscriptions/listen", json!({"notifications": {"toolsListChanged": true}})));
    let acknowledged = |connector: &Running| {
        let message = connector.json();
        assert_eq!(
            message["method"],
            "notifications/subscriptions/acknowledged",
            "{message}\n{}",
            connector.stderr()
        );
    };
    acknowledged(&connector);
    let change = changed(&node, &["apply", "cnsa2"]);
    assert_eq!(change["migration"]["moved"], 1, "{change:#}");
    // Nothing but a second acknowledgement: it was asked for again, on the new link.
    acknowledged(&connector);
}
