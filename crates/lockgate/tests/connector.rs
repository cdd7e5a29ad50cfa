//! The connector: enrolment, both directions, loss of the tunnel, local HTTP.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;

use serde_json::{Value, json};
use support::{
    Node, Running, call, command, initialize, initialized, modern, place, run, serve, shake_hands,
};

fn invite(node: &Node, name: &str) -> String {
    let minted = node.run(&["identity", "invite", "--name", name, "--output", "json"]);
    assert_eq!(minted.code, 0, "{}", minted.stderr);
    minted.json()["code"].as_str().unwrap().to_owned()
}

/// Lets an agent do everything, as an administrator would.
fn permit(node: &Node, agent: &str) {
    let path = node.state.join("policy/agents.cedar");
    let policy = format!(
        "@id(\"{agent}\")\npermit(principal == Lockgate::Agent::\"spiffe://lockgate.internal/agent/{agent}\", \
         action in [Lockgate::Action::\"session\", Lockgate::Action::\"list\", Lockgate::Action::\"use\"], resource);\n"
    );
    std::fs::write(path, policy).unwrap();
    node.process.signal("HUP");
    let tail = Running::start(
        command(&node.state).args(["audit", "tail", "-n", "1000", "--follow", "--output", "jsonl"]),
    );
    while tail.json()["kind"] != "policy" {}
}

#[test]
fn an_invite_enrols_once_and_the_certificate_stays() {
    let node = Node::up();
    permit(&node, "laptop");
    let code = invite(&node, "laptop");
    let (_elsewhere, other) = place();
    let mut client =
        Running::start(command(&other).args(["connect", "--invite", &code, &node.url("sample")]));
    shake_hands(&mut client);
    assert!(client.ask(&call(2, "echo", json!({"text": "a"}))).get("result").is_some());
    client.end_input();
    assert!(client.wait().success());

    // The certificate is kept: the next time needs no code.
    let mut again = Running::start(command(&other).args(["connect", &node.url("sample")]));
    shake_hands(&mut again);
    let listed = node.run(&["identity", "list", "--output", "json"]).json();
    assert!(listed["invites"][0]["used_at_ms"].is_u64(), "{listed}");
    let record = node.run(&["audit", "tail", "--output", "jsonl"]).stdout;
    assert!(record.contains("spiffe://lockgate.internal/agent/laptop"), "{record}");

    let (_third, third) = place();
    let used = run(&third, &["connect", "--invite", &code, &node.url("sample")]);
    assert_eq!(used.code, 1);
    assert!(used.stderr.contains("LG-I003"), "{}", used.stderr);
}

#[test]
fn no_invite_lets_in_who_is_revoked() {
    let node = Node::up();
    assert_eq!(node.run(&["identity", "revoke", "agent/laptop", "--reason", "lost"]).code, 0);
    let code = invite(&node, "laptop");
    let (_elsewhere, other) = place();
    let refused = run(&other, &["connect", "--invite", &code, &node.url("sample")]);
    assert!(refused.code != 0 && refused.stderr.contains("LG-I503"), "{}", refused.stderr);
    // Once it is let in again, the invite is still the key's that asked with it.
    assert_eq!(node.run(&["identity", "restore", "agent/laptop"]).code, 0);
    let mut client =
        Running::start(command(&other).args(["connect", "--invite", &code, &node.url("sample")]));
    let answer = client.ask(&initialize(1));
    assert_eq!(answer["error"]["code"], -31001, "enrolled, but nothing permits this agent yet: {answer}");
}

#[test]
fn an_invite_leads_only_to_its_own_authority() {
    let (node, impostor) = (Node::up(), Node::up());
    let code = invite(&node, "laptop");
    let (_elsewhere, other) = place();
    let ended = run(&other, &["connect", "--invite", &code, &impostor.url("sample")]);
    assert_eq!(ended.code, 4);
    assert!(ended.stderr.contains("LG-I002"), "{}", ended.stderr);
    // Nothing was spent: it still works where it belongs.
    let mut client = Running::start(command(&other).args(["connect", "--invite", &code]));
    let answer = client.ask(&initialize(1));
    assert_eq!(answer["error"]["code"], -31001, "enrolled, but nothing permits this agent yet: {answer}");
}

/// The shortest life that a certificate can have is a minute, so that this test takes most of one.
#[test]
fn a_certificate_renews_itself_and_no_call_is_dropped() {
    let (folder, state) = place();
    let server = serve(lockgate_testkit::wire::listen);
    let config = folder.path().join("lockgate.toml");
    std::fs::write(&config, "[node]\nagent_lifetime_s = 60\n").unwrap();
    let to = format!("wire=http://{server}/mcp");
    let node = Node::start(&state, &["gateway", "--config", config.to_str().unwrap(), "--to", &to]);
    permit(&node, "laptop");
    let code = invite(&node, "laptop");
    let (_elsewhere, other) = place();
    let mut client = Running::start(command(&other).args(["connect", "--invite", &code, &node.url("wire")]));
    shake_hands(&mut client);
    let certificate = || std::fs::read_to_string(find(&other, "identity.pem")).unwrap();
    let first = certificate();
    let mut id = 10;
    while certificate() == first {
        // Each takes its time, so that there is always a call under way.
        let answer = client.ask(&call(id, "slow", json!({"pieces": 1, "interval_ms": 200})));
        assert!(answer.get("result").is_some(), "{answer}\n{}", client.stderr());
        id += 1;
    }
    assert!(client.ask(&call(id, "exact", json!({}))).get("result").is_some());
}

fn find(folder: &std::path::Path, name: &str) -> std::path::PathBuf {
    let entries = std::fs::read_dir(folder.join("connectors")).unwrap();
    let found = entries.map(|entry| entry.unwrap().path().join(name)).find(|path| path.exists());
    found.expect("the connector keeps its certificate")
}

#[test]
fn who_is_not_enrolled_is_told_how() {
    let node = Node::up();
    let (_elsewhere, other) = place();
    let ended = run(&other, &["connect", &node.url("sample")]);
    assert_eq!(ended.code, 3);
    assert!(
        ended.stderr.contains("LG-I004") && ended.stderr.contains("lockgate identity invite"),
        "{}",
        ended.stderr
    );
}

#[test]
fn ping_without_knowing_the_authority_says_so() {
    let node = Node::up();
    let (_elsewhere, other) = place();
    let pong = run(&other, &["ping", node.endpoint(), "--output", "json"]).json();
    assert_eq!((&pong["verified"], &pong["quantum_safe"]), (&json!(false), &json!(true)));
}

#[test]
fn lines_that_are_no_messages_are_answered_and_harm_nothing() {
    let node = Node::up();
    let mut client = node.connect("sample");
    shake_hands(&mut client);
    client.write("this is not JSON\n");
    assert_eq!(client.json()["error"]["code"], -32700);
    client.write("[{\"jsonrpc\":\"2.0\",\"id\":7,\"method\":\"ping\"}]\n");
    assert_eq!(client.json()["error"]["code"], -32600);
    client.write("{\"jsonrpc\":\"2.0\",\"id\":8,\"method\":\"ping\",\"Method\":\"tools/call\"}\n");
    let refused = client.json();
    assert_eq!((&refused["id"], refused["error"]["code"].as_i64()), (&json!(8), Some(-32600)));
    let long = "x".repeat(5 << 20);
    client.write(&format!(
        "{{\"jsonrpc\":\"2.0\",\"id\":9,\"method\":\"ping\",\"params\":{{\"x\":\"{long}\"}}}}\n"
    ));
    assert!(client.json()["error"]["message"].as_str().unwrap().contains("larger"));
    assert!(client.ask(&call(10, "echo", json!({"text": "a"}))).get("result").is_some());
}

#[test]
fn bytes_of_a_result_arrive_as_they_were() {
    let server = serve(lockgate_testkit::wire::listen);
    let node = Node::gateway(&["--to", &format!("wire=http://{server}/mcp")]);
    let mut client = node.connect("wire");
    shake_hands(&mut client);
    client.say(&call(2, "exact", json!({})));
    let line = loop {
        let line = client.line();
        if line.contains("\"id\":2") {
            break line;
        }
    };
    for part in [
        r#""big":18446744073709551616"#,
        r#""n":1.0"#,
        r#""tiny":1E-400"#,
        r#"caf\u00e9 \ud83d\ude00 \/ é"#,
        r#"[null,true , false]"#,
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
}

#[test]
fn progress_comes_before_the_answer() {
    let server = serve(lockgate_testkit::wire::listen);
    let node = Node::gateway(&["--to", &format!("wire=http://{server}/mcp")]);
    let mut client = node.connect("wire");
    shake_hands(&mut client);
    let mut request = call(2, "progress", json!({"pieces": 3}));
    request["params"]["_meta"] = json!({"progressToken": "p"});
    client.say(&request);
    let mut seen = Vec::new();
    loop {
        let message = client.json();
        if message["id"] == 2 {
            break;
        }
        if message["method"] == "notifications/progress" {
            assert_eq!(message["params"]["progressToken"], "p");
            seen.push(message["params"]["progress"].as_f64().unwrap());
        }
    }
    assert_eq!(seen.len(), 3, "{seen:?}");
    assert!(seen.is_sorted());
}

#[test]
fn a_modern_call_that_is_cancelled_ends_upstream() {
    let server = serve(lockgate_testkit::wire::listen);
    let node = Node::gateway(&["--to", &format!("wire=http://{server}/mcp")]);
    let mut client = node.connect("wire");
    client.say(&modern(1, "tools/call", json!({"name": "hang", "arguments": {}})));
    observed(server, "requests=1");
    let cancelled = json!({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": 1, "_meta": {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28", "io.modelcontextprotocol/clientCapabilities": {}}}});
    client.say(&cancelled);
    let seen = observed(server, "requests=1&disconnects=1");
    assert_eq!(seen["disconnects"].as_array().unwrap().len(), 1, "{seen}");
    // The relay goes on; no answer to the cancelled call comes.
    let next = client.ask(&modern(2, "tools/call", json!({"name": "exact", "arguments": {}})));
    assert_eq!(next["id"], 2);
}

/// Asks the fixture what it saw; it waits until there is enough to tell.
fn observed(server: std::net::SocketAddr, wanted: &str) -> Value {
    let mut stream = TcpStream::connect(server).unwrap();
    write!(stream, "GET /observed?{wanted}&wait_ms=30000 HTTP/1.1\r\nHost: {server}\r\n\r\n").unwrap();
    let mut answer = BufReader::new(stream);
    let mut length = 0;
    loop {
        let mut line = String::new();
        answer.read_line(&mut line).unwrap();
        if let Some(said) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = said.trim().parse().unwrap();
        }
        if line.trim().is_empty() {
            break;
        }
    }
    let mut body = vec![0; length];
    answer.read_exact(&mut body).unwrap();
    serde_json::from_slice(&body).unwrap()
}

fn http(address: std::net::SocketAddr, request: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn a_gateway_that_dies_fails_the_call_and_is_found_again() {
    let (_folder, state) = place();
    let server = serve(lockgate_testkit::wire::listen);
    let to = format!("wire=http://{server}/mcp");
    let mut first = Node::start(&state, &["gateway", "--to", &to]);
    let port = first.endpoint().rsplit(':').next().unwrap().to_owned();
    let mut client = first.connect("wire");
    shake_hands(&mut client);
    client.say(&call(2, "hang", json!({})));
    observed(server, "requests=3");
    first.process.signal("KILL");
    let lost = client.answer(&json!(2));
    assert_eq!(lost["error"]["data"]["lockgate"]["code"], "LG-M002", "{lost}");
    first.process.wait();

    // The next call waits for the gateway, opens the session anew and is answered, without the client's doing.
    client.say(&call(3, "exact", json!({})));
    let mut again = command(&state);
    again.args([
        "gateway",
        "--to",
        &to,
        "--listen",
        &format!("127.0.0.1:{port}"),
        "--foreign",
        "off",
        "--output",
        "json",
    ]);
    let second = Running::start(&mut again);
    assert_eq!(second.json()["schema"], "lockgate.ready/1");
    let answer = client.answer(&json!(3));
    assert!(answer.get("result").is_some(), "{answer}\n{}", client.stderr());
}

fn local_http(node: &Node, server: &str) -> (Running, std::net::SocketAddr) {
    let mut process = command(&node.state);
    process.args(["connect", &node.url(server), "--listen", "127.0.0.1:0", "--output", "json"]);
    let process = Running::start(&mut process);
    let ready = process.json();
    assert_eq!(ready["schema"], "lockgate.connect-ready/1");
    let address = ready["endpoint"]
        .as_str()
        .unwrap()
        .trim_start_matches("http://")
        .trim_end_matches("/mcp")
        .parse()
        .unwrap();
    (process, address)
}

fn post(address: std::net::SocketAddr, headers: &str, body: &Value) -> String {
    let body = body.to_string();
    format!(
        "POST /mcp HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nAccept: application/json, text/event-stream\r\n\
         Content-Length: {}\r\n{headers}\r\n{body}",
        body.len()
    )
}

#[test]
fn local_http_carries_a_session() {
    let node = Node::up();
    let (mut connector, address) = local_http(&node, "sample");
    let answer = http(address, &post(address, "Connection: close\r\n", &initialize(1)));
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let session = answer
        .lines()
        .find_map(|line| line.strip_prefix("mcp-session-id: "))
        .expect("a session id")
        .to_owned();
    let headers =
        format!("Connection: close\r\nMcp-Session-Id: {session}\r\nMCP-Protocol-Version: 2025-11-25\r\n");
    assert!(http(address, &post(address, &headers, &initialized())).starts_with("HTTP/1.1 202"));
    let called = http(address, &post(address, &headers, &call(2, "echo", json!({"text": "over HTTP"}))));
    assert!(called.contains("over HTTP"), "{called}");
    connector.signal("TERM");
    assert!(connector.wait().success());
}

#[test]
fn local_http_turns_web_pages_away() {
    let node = Node::up();
    let (_connector, address) = local_http(&node, "sample");
    let foreign = http(
        address,
        &post(address, "Connection: close\r\nOrigin: https://evil.example\r\n", &initialize(1)),
    );
    assert!(foreign.starts_with("HTTP/1.1 403"), "{foreign}");
    let rebound = post(address, "Connection: close\r\n", &initialize(1))
        .replace(&format!("Host: {address}"), "Host: evil.example");
    assert!(http(address, &rebound).starts_with("HTTP/1.1 403"));
    // The reason arrives although the door looked at the head alone, and most of the body was still to come.
    let long =
        json!({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": {"name": "x".repeat(700 << 10)}});
    for _ in 0..10 {
        let refused =
            http(address, &post(address, "Connection: close\r\nOrigin: https://evil.example\r\n", &long));
        assert!(refused.starts_with("HTTP/1.1 403") && refused.ends_with('}'), "{refused}");
    }
    let page = http(
        address,
        &post(address, "Connection: close\r\nOrigin: http://localhost:6274\r\n", &initialize(1)),
    );
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
}

#[test]
fn local_http_streams_and_a_client_that_leaves_is_noticed() {
    let server = serve(lockgate_testkit::wire::listen);
    let node = Node::gateway(&["--to", &format!("wire=http://{server}/mcp")]);
    let (_connector, address) = local_http(&node, "wire");
    let mirrored = "MCP-Protocol-Version: 2026-07-28\r\nMcp-Method: tools/call\r\nMcp-Name: hang\r\n";
    let mut stream = TcpStream::connect(address).unwrap();
    let request = modern(1, "tools/call", json!({"name": "hang", "arguments": {"after": "event"}}));
    stream.write_all(post(address, mirrored, &request).as_bytes()).unwrap();
    observed(server, "requests=1");
    drop(stream);
    let seen = observed(server, "requests=1&disconnects=1");
    assert_eq!(seen["disconnects"].as_array().unwrap().len(), 1, "{seen}");

    // Events pass one by one, while the answer is still open.
    let mirrored = mirrored.replace("hang", "slow");
    let mut stream = TcpStream::connect(address).unwrap();
    let request =
        modern(2, "tools/call", json!({"name": "slow", "arguments": {"pieces": 3, "interval_ms": 20}}));
    stream.write_all(post(address, &mirrored, &request).as_bytes()).unwrap();
    let mut events = 0;
    for line in BufReader::new(stream).lines() {
        let line = line.unwrap();
        events += usize::from(line.starts_with("data:"));
        if line.contains("\"id\":2") {
            break;
        }
    }
    assert!(events >= 3, "{events}");
}

#[test]
fn arguments_are_mirrored_as_the_tool_asks() {
    let server = serve(lockgate_testkit::conformance::listen);
    let node = Node::gateway(&["--to", &format!("fixture=http://{server}/mcp")]);
    let mut client = node.connect("fixture");
    let listed = client.ask(&modern(1, "tools/list", json!({})));
    assert!(listed.to_string().contains("x-mcp-header"), "{listed}");
    // Gateway and server both refuse a call whose headers do not mirror these.
    let arguments = json!({"region": "Zürich west", "count": 7, "urgent": true});
    let called = client.ask(&modern(
        2,
        "tools/call",
        json!({"name": "test_header_parameters", "arguments": arguments}),
    ));
    assert!(called.get("result").is_some(), "{called}");
}

#[test]
fn a_session_that_the_server_forgot_is_opened_anew() {
    let server = serve(lockgate_testkit::wire::listen);
    let node = Node::gateway(&["--to", &format!("wire=http://{server}/mcp")]);
    let mut client = node.connect("wire");
    shake_hands(&mut client);
    assert!(client.ask(&call(2, "expire", json!({}))).get("result").is_some());
    let answer = client.ask(&call(3, "exact", json!({})));
    assert!(answer.get("result").is_some(), "{answer}");
}

#[test]
fn a_local_node_that_does_not_run_is_named_so() {
    let mut node = Node::up();
    node.process.signal("TERM");
    node.process.wait();
    let ended = node.run(&["connect", &node.url("sample")]);
    assert_eq!(ended.code, 4);
    assert!(ended.stderr.contains("LG-S004"), "{}", ended.stderr);
}

#[test]
fn a_revoked_invite_is_unknown() {
    let node = Node::up();
    let code = invite(&node, "laptop");
    let id = node.run(&["identity", "list", "--output", "json"]).json()["invites"][0]["id"]
        .as_str()
        .unwrap()
        .to_owned();
    assert_eq!(node.run(&["identity", "revoke", &id]).code, 0);
    assert_eq!(node.run(&["identity", "revoke", &id]).code, 2);
    let (_elsewhere, other) = place();
    let ended = run(&other, &["connect", "--invite", &code]);
    assert_eq!(ended.code, 1);
    assert!(ended.stderr.contains("LG-I003"), "{}", ended.stderr);
}

/// A TLS server of today without post-quantum algorithms, which is what Debian's OpenSSL 3.0 is.
#[test]
fn a_classical_server_is_refused_and_measured_only_on_request() {
    let (folder, state) = place();
    let in_folder = |program: &str| {
        let mut command = std::process::Command::new(program);
        command.current_dir(folder.path());
        command
    };
    let made = in_folder("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"])
        .args(["-subj", "/CN=classical", "-keyout", "key.pem", "-out", "cert.pem"])
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let server = Running::start(
        in_folder("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-cert", "cert.pem", "-key", "key.pem"])
            .args(["-tls1_3", "-groups", "X25519:P-256"]),
    );
    let address = loop {
        if let Some(address) = server.line().strip_prefix("ACCEPT ") {
            break address.to_owned();
        }
    };
    let url = format!("https://{address}");
    for profile in ["pq-hybrid", "pq-kex"] {
        let refused = run(&state, &["ping", &url, "--profile", profile]);
        assert_eq!(refused.code, 5, "{}", refused.stderr);
        assert!(refused.stderr.contains("LG-K001"), "{}", refused.stderr);
    }
    let measured = run(&state, &["ping", &url, "--profile", "pq-transition", "--output", "json"]);
    assert_eq!(measured.code, 1, "{}", measured.stderr);
    let pong = measured.json();
    assert_eq!((&pong["quantum_safe"], &pong["posture"]["group"]), (&json!(false), &json!("X25519")));
    assert!(pong["weakest"].as_str().unwrap().contains("X25519"), "{pong}");
}
