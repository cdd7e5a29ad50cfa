//! What servers are shown of the sealed store: the node's own credential, never the client's, and nothing without one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::mpsc::{self, Receiver};
use std::time::Duration;

use serde_json::{Value, json};
use support::{Node, WAIT_S_MAX, command, initialize, place, run, run_with};

/// A server of few words: it answers every request the same way, and tells the headers that it saw.
fn server() -> (SocketAddr, Receiver<Vec<String>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, seen) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let sender = sender.clone();
            std::thread::spawn(move || {
                while let Some(headers) = exchange(stream.as_ref().unwrap()) {
                    if sender.send(headers).is_err() {
                        return;
                    }
                }
            });
        }
    });
    (address, seen)
}

/// One request and its answer; `None` when the client has gone.
fn exchange(mut stream: &TcpStream) -> Option<Vec<String>> {
    let mut reader = BufReader::new(stream);
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|&read| read > 0)?;
        match line.trim_end() {
            "" => break,
            line => headers.push(line.to_owned()),
        }
    }
    let length =
        headers.iter().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
    let mut body = vec![0; length.unwrap_or(0)];
    reader.read_exact(&mut body).ok()?;
    let asked: Value = serde_json::from_slice(&body).unwrap_or_default();
    let answer = json!({"jsonrpc": "2.0", "id": asked["id"], "result": {
        "protocolVersion": "2025-11-25", "capabilities": {}, "serverInfo": {"name": "x", "version": "1"},
    }});
    let answer = answer.to_string();
    let head = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n",
        answer.len()
    );
    stream.write_all([head.as_bytes(), answer.as_bytes()].concat().as_slice()).ok()?;
    Some(headers)
}

fn put(state: &std::path::Path, name: &str, secret: &str) {
    let ended = run_with(command(state).args(["secret", "put", name]), secret);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(!ended.stdout.contains(secret.trim()) && !ended.stderr.contains(secret.trim()));
}

fn credential(headers: &[String]) -> Vec<&str> {
    headers.iter().filter_map(|line| line.strip_prefix("authorization: ")).collect()
}

#[test]
fn a_server_sees_the_sealed_credential_until_it_is_taken_away() {
    let (address, seen) = server();
    let (folder, state) = place();
    let config = folder.path().join("lockgate.toml");
    let text = format!(
        "[[server]]\nname = \"crm\"\nto = \"http://{address}/mcp\"\ncredential = {{ secret = \"crm-token\" }}\n"
    );
    std::fs::write(&config, text).unwrap();
    let args = ["gateway", "--config", config.to_str().unwrap()];

    let early = run(&state, &args);
    assert_eq!(early.code, 3, "a node without the secret does not start: {}", early.stderr);
    assert!(
        early.stderr.contains("LG-S006") && early.stderr.contains("lockgate secret put crm-token"),
        "{}",
        early.stderr
    );

    put(&state, "crm-token", "hunter2-hunter2\n");
    let node = Node::start(&state, &args);
    let open = |node: &Node| node.connect("crm").ask(&initialize(1));
    assert!(open(&node).get("result").is_some());
    let wait = Duration::from_secs(WAIT_S_MAX);
    assert_eq!(credential(&seen.recv_timeout(wait).unwrap()), ["Bearer hunter2-hunter2"]);

    put(&state, "crm-token", "another");
    while {
        assert!(open(&node).get("result").is_some());
        credential(&seen.recv_timeout(wait).unwrap()) != ["Bearer another"]
    } {}

    // The key goes dark: within a second nothing is sent any more, and nothing else is sent in its place.
    let key = state.join("secrets/seal.key");
    std::fs::rename(&key, folder.path().join("pulled")).unwrap();
    let refused = loop {
        let answer = open(&node);
        if answer.get("error").is_some() {
            break answer;
        }
    };
    assert!(refused.to_string().contains("crm-token"), "{refused}");
    while let Ok(headers) = seen.try_recv() {
        assert_eq!(credential(&headers), ["Bearer another"]);
    }
    std::fs::rename(folder.path().join("pulled"), &key).unwrap();
    while open(&node).get("result").is_none() {}

    let listed = node.run(&["secret", "list", "--output", "json"]).json();
    assert_eq!(listed["secrets"], json!([{ "name": "crm-token", "opens": true }]));
    let log =
        std::fs::read_dir(state.join("audit")).unwrap().map(|entry| std::fs::read(entry.unwrap().path()));
    for bytes in log.filter_map(Result::ok) {
        assert!(!String::from_utf8_lossy(&bytes).contains("hunter2"), "the audit log has it");
    }
    assert!(!node.process.stderr().contains("hunter2"));
}

#[test]
fn a_credential_that_cannot_be_presented_is_a_mistake_with_its_place() {
    let (folder, state) = place();
    let config = folder.path().join("lockgate.toml");
    for (server, says) in [
        ("to = \"http://127.0.0.1:1/mcp\"\ncredential = { secret = \"x\", env = \"TOKEN\" }", "remove env"),
        ("command = [\"true\"]\ncredential = { secret = \"x\" }", "add env"),
        ("to = \"http://127.0.0.1:1/mcp\"\ncredential = { secret = \"x\", header = \"Host\" }", "X-Api-Key"),
        ("to = \"http://127.0.0.1:1/mcp\"\ncredential = { secert = \"x\" }", "secret"),
        ("to = \"http://127.0.0.1:1/mcp\"\ncredential = {}", "either a secret or"),
        (
            "to = \"http://127.0.0.1:1/mcp\"\ncredential = { secret = \"x\", exchange = { issuer = \"https://a\" } }",
            "either a secret or",
        ),
        (
            "to = \"http://127.0.0.1:1/mcp\"\ncredential = { exchange = { issuer = \"http://a\" } }",
            "loopback",
        ),
        (
            "to = \"http://127.0.0.1:1/mcp\"\ncredential = { exchange = { issuer = \"https://a\" }, header = \"X-A\" }",
            "remove header",
        ),
        (
            "to = \"http://127.0.0.1:1/mcp?x=1\"\ncredential = { exchange = { issuer = \"https://a\" } }",
            "no resource",
        ),
        ("command = [\"true\"]\ncredential = { exchange = { issuer = \"https://a\" } }", "from a variable"),
    ] {
        std::fs::write(&config, format!("[[server]]\nname = \"a\"\n{server}\n")).unwrap();
        let ended = run(&state, &["config", "validate", config.to_str().unwrap()]);
        assert_eq!(ended.code, 3, "{server}");
        assert!(
            ended.stderr.contains(says) && ended.stderr.contains("lockgate.toml:"),
            "{server}\n{}",
            ended.stderr
        );
    }
}
