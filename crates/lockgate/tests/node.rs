//! A user's way, with the real binary: start, look, stop, start again, break it.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};
use support::{Node, Running, call, command, initialize, place, run, run_with, shake_hands};

#[test]
fn up_says_where_everything_is() {
    let node = Node::up();
    for key in ["endpoint", "foreign", "admin", "authority", "state"] {
        assert!(node.ready[key].is_string(), "{key} in {}", node.ready);
    }
    assert_eq!(node.ready["servers"], json!(["sample"]));
    assert_eq!(node.ready["state"], node.state.to_str().unwrap());
    let authority = std::fs::read_to_string(node.ready["authority"].as_str().unwrap()).unwrap();
    // Of each nature one, and the spare for the day on which lattices break.
    assert_eq!(authority.matches("BEGIN CERTIFICATE").count(), 4);
    assert!(!authority.contains("PRIVATE KEY"));
    for (path, mode) in [
        ("", 0o700),
        ("authority", 0o700),
        ("authority/roots.pem", 0o600),
        ("run/node.json", 0o600),
        ("store.redb", 0o600),
        ("policy/local.cedar", 0o600),
    ] {
        let found = std::fs::metadata(node.state.join(path)).unwrap().permissions().mode() & 0o777;
        assert_eq!(found, mode, "{path}");
    }
}

#[test]
fn the_page_for_people_holds_a_line_that_works() {
    let (_folder, state) = place();
    let page = Running::start(command(&state).args(["up", "--listen", "127.0.0.1:0"]));
    let mut text = String::new();
    while !text.contains("Ctrl-C") {
        text.push_str(&page.line());
        text.push('\n');
    }
    let start = text.find("  {\n").unwrap();
    let end = start + text[start..].find("\n\n").unwrap();
    let snippet: Value = serde_json::from_str(&text[start..end]).unwrap();
    let entry = &snippet["mcpServers"]["sample"];
    let args: Vec<&str> = entry["args"].as_array().unwrap().iter().map(|arg| arg.as_str().unwrap()).collect();
    // A client starts the command with an environment of its own.
    let mut client = std::process::Command::new(entry["command"].as_str().unwrap());
    let mut client = Running::start(client.env_clear().args(args));
    let hello = shake_hands(&mut client);
    assert_eq!(hello["result"]["serverInfo"]["name"], "lockgate-sample");
}

#[test]
fn both_eras_reach_the_sample_server() {
    let node = Node::up();
    let mut legacy = node.connect("sample");
    shake_hands(&mut legacy);
    let tools = legacy.ask(&json!({"jsonrpc": "2.0", "id": 2, "method": "tools/list"}));
    let names: Vec<&str> = tools["result"]["tools"]
        .as_array()
        .unwrap()
        .iter()
        .map(|tool| tool["name"].as_str().unwrap())
        .collect();
    assert_eq!(
        {
            let mut names = names.clone();
            names.sort_unstable();
            names
        },
        ["echo", "sha256", "time_now", "word_count"]
    );
    let digest = legacy.ask(&call(3, "sha256", json!({"text": "abc"})));
    let wanted = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    assert_eq!(digest["result"]["content"][0]["text"], wanted);
    let time = legacy.ask(&call(4, "time_now", json!({"zone": "Europe/Berlin"})));
    assert!(
        time["result"]["structuredContent"]["local"].as_str().unwrap().contains("[Europe/Berlin]"),
        "{time}"
    );
    let read = legacy.ask(&json!({"jsonrpc": "2.0", "id": 5, "method": "resources/read", "params": {"uri": "lockgate://stages"}}));
    assert!(read["result"]["contents"][0]["text"].as_str().unwrap().contains("permit"), "{read}");
    let prompt = legacy.ask(&json!({"jsonrpc": "2.0", "id": 6, "method": "prompts/get", "params": {"name": "summarise", "arguments": {"text": "x"}}}));
    assert!(prompt["result"]["messages"].is_array(), "{prompt}");
    legacy.end_input();
    assert!(legacy.wait().success());

    let mut modern = node.connect("sample");
    let discovered = modern.ask(&support::modern(1, "server/discover", json!({})));
    assert!(
        discovered["result"]["supportedVersions"].as_array().unwrap().contains(&json!("2026-07-28")),
        "{discovered}"
    );
    let echoed =
        modern.ask(&support::modern(2, "tools/call", json!({"name": "echo", "arguments": {"text": "hi"}})));
    assert_eq!(echoed["result"]["content"][0]["text"], "hi");
}

#[test]
fn input_that_ends_at_once_is_still_answered() {
    let node = Node::up();
    let lines = [
        initialize(1),
        support::initialized(),
        call(2, "echo", json!({"text": "a"})),
        call(3, "echo", json!({"text": "b"})),
    ];
    let input: String = lines.iter().map(|line| format!("{line}\n")).collect();
    let ended = run_with(command(&node.state).args(["connect", &node.url("sample")]), &input);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    let mut ids: Vec<i64> = ended
        .stdout
        .lines()
        .filter_map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_i64())
        .collect();
    ids.sort_unstable();
    assert_eq!(ids, [1, 2, 3]);
}

#[test]
fn ping_and_status_show_the_proof() {
    let node = Node::up();
    let mut client = node.connect("sample");
    shake_hands(&mut client);
    let ping = node.run(&["ping", "--output", "json"]);
    assert_eq!(ping.code, 0, "{}", ping.stderr);
    let pong = ping.json();
    assert_eq!(pong["schema"], "lockgate.ping/1");
    assert_eq!((&pong["quantum_safe"], &pong["verified"]), (&json!(true), &json!(true)));
    assert_eq!(pong["posture"]["group"], "X25519MLKEM768");
    assert_eq!(pong["posture"]["peer_signature"], "MLDSA65-Ed25519-SHA512");
    assert_eq!(pong["gateway"]["posture"]["own_signature"], "MLDSA65-Ed25519-SHA512");
    let three = node.run(&["ping", "-n", "3", "--output", "jsonl"]);
    let resumed: Vec<bool> = three
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap()["posture"]["resumed"].as_bool().unwrap())
        .collect();
    assert_eq!(resumed, [false, true, true]);

    let status = node.run(&["status", "--output", "json"]).json();
    let link = status["links"]
        .as_array()
        .unwrap()
        .iter()
        .find(|link| link["agent"].as_str().unwrap().ends_with("/agent/local"))
        .unwrap();
    assert_eq!(link["quantum_safe"], true);
    assert_eq!(status["upstreams"][0]["id"], "sample");
    let human = node.run(&["status"]).stdout;
    for word in ["X25519MLKEM768", "MLDSA65-Ed25519-SHA512", "yes", "sample", "pq-hybrid@"] {
        assert!(human.contains(word), "{word} in:\n{human}");
    }
    let doctor = node.run(&["doctor"]);
    assert_eq!(doctor.code, 0, "{}", doctor.stdout);
}

#[test]
fn every_call_is_in_the_log_and_the_log_holds() {
    let node = Node::up();
    let mut client = node.connect("sample");
    shake_hands(&mut client);
    client.ask(&call(2, "echo", json!({"text": "secret text"})));
    let tail = node.run(&["audit", "tail", "--output", "jsonl"]);
    let record = tail
        .stdout
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .find(|record| record["method"] == "tools/call")
        .expect("the call is recorded before it is answered");
    assert_eq!(
        (&record["server"], &record["name"], &record["quantum_safe"]),
        (&json!("sample"), &json!("echo"), &json!(true))
    );
    assert!(!tail.stdout.contains("secret text"));
    assert_eq!(node.run(&["audit", "verify"]).code, 0);

    let log = std::fs::read_dir(node.state.join("audit")).unwrap().map(|entry| entry.unwrap().path());
    let segment =
        log.into_iter().find(|path| path.extension().is_some_and(|extension| extension == "jsonl")).unwrap();
    let text = std::fs::read_to_string(&segment).unwrap();
    std::fs::write(&segment, text.replacen("\"echo\"", "\"oche\"", 1)).unwrap();
    let broken = node.run(&["audit", "verify"]);
    assert_eq!(broken.code, 1);
    assert!(
        broken.stderr.contains("LG-A001") && broken.stderr.contains(segment.to_str().unwrap()),
        "{}",
        broken.stderr
    );
}

#[test]
fn policy_is_taken_up_while_the_node_runs() {
    let mut node = Node::up();
    let mut client = node.connect("sample");
    shake_hands(&mut client);
    assert!(client.ask(&call(2, "echo", json!({"text": "a"}))).get("result").is_some());
    let path = node.state.join("policy/local.cedar");
    let text = std::fs::read_to_string(&path).unwrap();

    let forbid = "@id(\"no-echo\")\nforbid(principal, action in Lockgate::Action::\"tools/call\", resource == Lockgate::Tool::\"sample/echo\");\n";
    let with = text.replace("// end\n", &format!("{forbid}// end\n"));
    std::fs::write(&path, &with).unwrap();
    node.process.signal("HUP");
    follow(&node, |record| record["kind"] == "policy" && record["outcome"] == "ok");
    let denied = client.ask(&call(3, "echo", json!({"text": "a"})));
    assert_eq!(denied["error"]["code"], -31001, "{denied}");
    assert!(denied.to_string().contains("no-echo"), "{denied}");
    let listed = client.ask(&json!({"jsonrpc": "2.0", "id": 4, "method": "tools/list"}));
    assert!(!listed.to_string().contains("\"echo\""), "{listed}");

    // A mistake changes nothing, and neither does a file that is cut off or just being written.
    for broken in ["permit(", &with[..with.len() - "// end\n".len()], ""] {
        let seen = records(&node);
        std::fs::write(&path, broken).unwrap();
        node.process.signal("HUP");
        follow(&node, |record| {
            record["seq"].as_u64() > seen && record["kind"] == "policy" && record["outcome"] == "failed"
        });
    }
    assert!(!node.run(&["status"]).stdout.contains("GONE"));

    // What is lost with a file is named.
    std::fs::write(&path, &text).unwrap();
    node.process.signal("HUP");
    follow(&node, |record| record["reason"].to_string().contains("no longer in force: no-echo"));
    let status = node.run(&["status"]);
    assert!(status.stdout.contains("GONE") && status.stdout.contains("no-echo"), "{}", status.stdout);
    assert!(client.ask(&call(5, "word_count", json!({"text": "a b"}))).get("result").is_some());
    node.process.signal("TERM");
    assert!(node.process.wait().success());
}

/// The number of the last record.
fn records(node: &Node) -> Option<u64> {
    let ended = node.run(&["audit", "tail", "-n", "1", "--output", "jsonl"]);
    serde_json::from_str::<Value>(ended.stdout.lines().last()?).ok()?["seq"].as_u64()
}

/// Reads the audit log until a record fits.
fn follow(node: &Node, fits: impl Fn(&Value) -> bool) {
    let tail = Running::start(
        command(&node.state).args(["audit", "tail", "-n", "1000", "--follow", "--output", "jsonl"]),
    );
    while !fits(&tail.json()) {}
}

#[test]
fn sigterm_drains_and_leaves_nothing_behind() {
    let mut node = Node::up();
    let mut client = node.connect("sample");
    shake_hands(&mut client);
    node.process.signal("TERM");
    assert!(node.process.wait().success());
    assert!(!node.state.join("run/node.json").exists());
    assert_eq!(node.run(&["status"]).code, 4);
    assert_eq!(node.run(&["audit", "verify"]).code, 0);
    let log = node.run(&["audit", "tail", "--output", "jsonl"]).stdout;
    assert!(log.lines().last().unwrap().contains("node stopped"), "{log}");
}

#[test]
fn a_second_node_on_the_same_state_is_refused() {
    let node = Node::up();
    let second = node.run(&["up", "--listen", "127.0.0.1:0"]);
    assert_eq!(second.code, 3);
    assert!(
        second.stderr.contains("LG-S003") && second.stderr.contains(node.endpoint()),
        "{}",
        second.stderr
    );
}

#[test]
fn a_node_that_was_killed_starts_again_with_the_same_authority() {
    let (_folder, state) = place();
    let mut first = Node::start(&state, &["up"]);
    let fingerprint = first.run(&["identity", "show", "--output", "json"]).json()["fingerprint"].clone();
    first.process.signal("KILL");
    assert!(!first.process.wait().success());
    assert_eq!(run(&state, &["status"]).code, 4);
    let second = Node::start(&state, &["up"]);
    assert_eq!(second.run(&["identity", "show", "--output", "json"]).json()["fingerprint"], fingerprint);
    assert_eq!(second.run(&["audit", "verify"]).code, 0);
    let mut client = second.connect("sample");
    shake_hands(&mut client);
}

#[test]
fn a_port_in_use_is_said_so() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (_folder, state) = place();
    let ended = run(&state, &["up", "--listen", &address]);
    assert_eq!(ended.code, 3);
    assert!(ended.stderr.contains("LG-N001") && ended.stderr.contains(&address), "{}", ended.stderr);
}

#[test]
fn a_state_that_others_can_read_is_refused() {
    let (_folder, state) = place();
    std::fs::create_dir(&state).unwrap();
    std::fs::set_permissions(&state, std::fs::Permissions::from_mode(0o755)).unwrap();
    let ended = run(&state, &["up", "--listen", "127.0.0.1:0"]);
    assert_eq!(ended.code, 3);
    assert!(ended.stderr.contains("LG-S002") && ended.stderr.contains("chmod"), "{}", ended.stderr);
    let doctor = run(&state, &["doctor"]);
    assert_eq!(doctor.code, 1);
    assert!(doctor.stdout.contains("LG-S002"), "{}", doctor.stdout);
}

#[test]
fn wrap_serves_one_command() {
    let (_folder, state) = place();
    let mut process = command(&state);
    let binary = env!("CARGO_BIN_EXE_lockgate");
    process.args([
        "wrap",
        "--name",
        "mine",
        "--listen",
        "127.0.0.1:0",
        "--output",
        "json",
        "--",
        binary,
        "sample",
    ]);
    let process = Running::start(&mut process);
    let ready = process.json();
    let url = ready["endpoint"].as_str().unwrap().replace("/mcp", "/servers/mine/mcp");
    let mut client = Running::start(command(&state).args(["connect", &url]));
    shake_hands(&mut client);
    assert!(client.ask(&call(2, "echo", json!({"text": "a"}))).get("result").is_some());
}

#[test]
fn one_server_that_is_down_takes_no_other_down() {
    let binary = env!("CARGO_BIN_EXE_lockgate");
    let good = format!("good=stdio:{binary} sample");
    let node = Node::gateway(&[
        "--to",
        &good,
        "--to",
        "bad=http://127.0.0.1:9/mcp",
        "--to",
        "gone=stdio:/no/such/program",
    ]);
    let mut bad = node.connect("bad");
    let refused = bad.ask(&initialize(1));
    assert_eq!(refused["error"]["code"], -31003, "{refused}");
    let mut gone = node.connect("gone");
    assert!(gone.ask(&initialize(1)).get("error").is_some());
    let mut all = Running::start(command(&node.state).args(["connect", node.endpoint()]));
    shake_hands(&mut all);
    let called = all.ask(&call(2, "good_echo", json!({"text": "still here"})));
    assert_eq!(called["result"]["content"][0]["text"], "still here", "{called}");
}

#[test]
fn a_changed_tool_waits_for_a_person() {
    let server = support::serve(lockgate_testkit::wire::listen);
    let node = Node::gateway(&["--to", &format!("wire=http://{server}/mcp")]);
    let mut client = node.connect("wire");
    shake_hands(&mut client);
    let list = |id: u64| json!({"jsonrpc": "2.0", "id": id, "method": "tools/list"});
    assert!(client.ask(&list(2)).to_string().contains("\"redefine\""));
    assert!(node.run(&["threats", "list"]).stdout.contains("Nothing waits"));
    client.ask(&call(3, "redefine", json!({})));
    assert!(!client.ask(&list(4)).to_string().contains("\"redefine\""), "the changed tool is hidden");
    let held = client.ask(&call(5, "redefine", json!({})));
    assert_eq!(held["error"]["code"], -31002, "{held}");

    let threats = node.run(&["threats", "list", "--output", "json"]).json();
    let threat = &threats["threats"][0];
    assert_eq!((&threat["server"], &threat["tool"]), (&json!("wire"), &json!("redefine")));
    let id = threat["id"].as_str().unwrap();
    assert!(node.run(&["threats", "list"]).stdout.contains(&format!("lockgate threats approve {id}")));
    assert_eq!(node.run(&["threats", "approve", id]).code, 0);
    assert_eq!(node.run(&["threats", "approve", id]).code, 1, "approved already");
    assert!(client.ask(&list(6)).to_string().contains("\"redefine\""));
}

#[test]
fn a_profile_changes_while_the_node_runs() {
    let (folder, state) = place();
    let path = folder.path().join("lockgate.toml");
    let write = |profile: &str| std::fs::write(&path, format!("[node]\nprofile = \"{profile}\"\n")).unwrap();
    write("pq-hybrid");
    let node = Node::start(&state, &["up", "--config", path.to_str().unwrap()]);
    let mut client = node.connect("sample");
    shake_hands(&mut client);
    write("pq-kex");
    node.process.signal("HUP");
    follow(&node, |record| {
        record["kind"] == "policy" && record["reason"].as_str().is_some_and(|why| why.contains("pq-kex@"))
    });
    let seen = node.run(&["ping", "--output", "json"]).json()["gateway"]["posture"].clone();
    assert!(seen["profile"].as_str().unwrap().starts_with("pq-kex@"), "{seen}");
    assert_eq!(seen["epoch"], 2);
    // The link that was up before goes on.
    assert!(client.ask(&call(2, "echo", json!({"text": "a"}))).get("result").is_some());
    let status = node.run(&["status", "--output", "json"]).json();
    assert_eq!(status["node"]["epoch"], 2);
}

/// A certificate from outside, made with the system's OpenSSL as an administrator would.
#[test]
fn an_own_certificate_is_presented_and_taken_up_when_it_changes() {
    let (folder, state) = place();
    let (certificate, key) = (folder.path().join("own.pem"), folder.path().join("own.key"));
    let make = |name: &str| {
        let (new_key, new) = (folder.path().join("new.key"), folder.path().join("new.pem"));
        let made = std::process::Command::new("openssl")
            .args([
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-days",
                "2",
            ])
            .args([
                "-subj",
                &format!("/CN={name}"),
                "-addext",
                &format!("subjectAltName=DNS:{name}"),
                "-keyout",
            ])
            .args([&new_key, &std::path::PathBuf::from("-out"), &new])
            .output()
            .unwrap();
        assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
        std::fs::set_permissions(&new_key, std::fs::Permissions::from_mode(0o600)).unwrap();
        std::fs::rename(new_key, &key).unwrap();
        std::fs::rename(new, &certificate).unwrap();
    };
    make("first.example");
    let address = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = folder.path().join("lockgate.toml");
    let text = format!(
        "[node]\nforeign = \"off\"\n[[listener]]\naddress = \"{address}\"\ntls = {{ certificate = \"own.pem\", key = \"own.key\" }}\n"
    );
    std::fs::write(&config, text).unwrap();
    let node = Node::start(&state, &["up", "--config", config.to_str().unwrap()]);
    let (_elsewhere, other) = place();
    let url = format!("https://{address}");
    let pong = run(&other, &["ping", &url, "--profile", "pq-kex", "--output", "json"]).json();
    assert_eq!(pong["posture"]["peer_signature"], "ECDSA-P256-SHA256", "{pong}");
    assert_eq!(pong["quantum_safe"], false);
    // Without a signal: the change of the files is noticed.
    make("second.example");
    follow(&node, |record| {
        record["kind"] == "policy" && record["reason"].as_str().is_some_and(|why| why.contains("listener"))
    });
}
