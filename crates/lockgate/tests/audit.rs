//! The audit trail of a real node: signed while it runs, proved and verified elsewhere, and carried over a change of keys.

#![allow(clippy::unwrap_used)]

mod support;

use std::path::Path;

use serde_json::json;
use support::{Node, call, place, run, shake_hands};

/// Waits until the newest checkpoint covers the record.
fn covered(node: &Node, seq: u64) {
    for _ in 0..200 {
        let status = node.run(&["status", "--output", "json"]).json();
        if status["node"]["audit"]["checkpoint"]["covers_seq"].as_u64() >= Some(seq) {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("no checkpoint covers record {seq}");
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[test]
fn a_call_is_proved_to_somebody_who_has_only_the_key() {
    let node = Node::up();
    let mut client = node.connect("sample");
    shake_hands(&mut client);
    // A definition is known once it was listed.
    client.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}));
    client.ask(&call(2, "echo", json!({"text": "here"})));
    client.ask(&call(3, "echo", json!({"text": "again"})));
    let tail = node.run(&["audit", "tail", "-n", "1000", "--output", "json"]).json();
    let records = tail["records"].as_array().unwrap();
    let calls: Vec<_> = records.iter().filter(|record| record["method"] == "tools/call").collect();
    assert_eq!(calls.len(), 2, "{tail}");
    assert!(
        calls.iter().all(|record| record["tool_definition"].as_str().is_some_and(|hash| hash.len() == 64))
    );
    let seq = calls[1]["seq"].as_u64().unwrap();
    let uid = format!("{}-{}", &calls[0]["prev"].as_str().unwrap()[..16], calls[0]["seq"]);
    assert_eq!(calls[1]["prev_event"], uid.as_str(), "the calls of a link are one chain");
    covered(&node, seq);

    let (folder, elsewhere) = place();
    let (keys, proof) = (folder.path().join("keys"), folder.path().join("one.tlog-proof"));
    let printed = node.run(&["audit", "key"]).stdout;
    assert_eq!(printed.lines().count(), 2, "one by the standard, one by the profile: {printed}");
    std::fs::write(&keys, &printed).unwrap();
    let made = node.run(&["audit", "prove", &uid, "--out", text(&proof)]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let held = run(&elsewhere, &["audit", "verify", text(&proof), "--key", text(&keys), "--output", "json"]);
    assert_eq!(held.code, 0, "{}", held.stderr);
    assert_eq!(held.json()["record"]["api"]["operation"], "tools/call");
    assert_eq!(held.json()["record"]["class_uid"], 6003);
    let unnamed = run(&elsewhere, &["audit", "verify", text(&proof)]);
    assert_eq!(unnamed.code, 2, "a proof without a key shows nothing");

    // The record in the file is changed; then another key is asked for.
    let content = std::fs::read_to_string(&proof).unwrap();
    let changed = folder.path().join("changed.tlog-proof");
    let line = content.lines().find(|line| line.starts_with("extra ")).unwrap();
    std::fs::write(&changed, content.replacen(line, &line.replacen('e', "f", 3), 1)).unwrap();
    let refused = run(&elsewhere, &["audit", "verify", text(&changed), "--key", text(&keys)]);
    assert_eq!(refused.code, 1);
    assert!(refused.stderr.contains("LG-A004"), "{}", refused.stderr);
    let other = Node::up();
    let strange = other.run(&["audit", "key"]).stdout;
    let strange = strange.lines().next().unwrap();
    assert_eq!(run(&elsewhere, &["audit", "verify", text(&proof), "--key", strange]).code, 1);

    // The whole log, copied to that machine.
    let log = node.state.join("audit");
    let whole = run(&elsewhere, &["audit", "verify", text(&log), "--key", text(&keys), "--output", "json"]);
    assert_eq!(whole.code, 0, "{}", whole.stderr);
    assert_eq!(whole.json()["keys"], 2);
    assert_eq!(run(&elsewhere, &["audit", "verify", text(&log), "--key", strange]).code, 1);
    let raw = node.run(&["audit", "tail", "-n", "1", "--raw"]).stdout;
    assert!(raw.starts_with("{\"unmapped\":{\"schema\":\"lockgate.audit/2\""), "{raw}");
}

#[test]
fn keys_are_rotated_and_the_old_ones_vouch_for_the_new() {
    let (_folder, state) = place();
    let mut node = Node::start(&state, &["up"]);
    let old = node.run(&["audit", "key", "--output", "json"]).json();
    let refused = node.run(&["audit", "key", "--rotate"]);
    assert!(refused.stderr.contains("LG-S003"), "a running node has its keys in memory: {}", refused.stderr);
    node.process.signal("TERM");
    assert!(node.process.wait().success());
    assert_eq!(run(&state, &["audit", "key", "--rotate"]).code, 0);
    let mut node = Node::start(&state, &["up"]);
    let new = node.run(&["audit", "key", "--output", "json"]).json();
    assert_eq!(new["retired"], old["active"]);
    assert_ne!(new["active"], old["active"]);
    let tail = node.run(&["audit", "tail", "-n", "100", "--output", "jsonl"]).stdout;
    assert!(tail.contains("\"audit/keys\""), "the change is a record: {tail}");
    assert_eq!(node.run(&["audit", "verify"]).code, 0);
    let key = old["active"][0].as_str().unwrap();
    let since = node.run(&["audit", "verify", state.join("audit").to_str().unwrap(), "--key", key]);
    assert!(since.stderr.contains("it signed up to record"), "{}", since.stderr);
    node.process.signal("TERM");
    assert!(node.process.wait().success());
    let folder = state.join("authority/log");
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert!(!files.iter().any(|name| name.to_string_lossy().ends_with(".old.pem")), "{files:?}");
}

#[test]
fn records_are_found_on_a_running_node_and_in_a_copy() {
    let node = Node::up();
    let mut client = node.connect("sample");
    shake_hands(&mut client);
    client.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}));
    for number in 2..5 {
        client.ask(&call(number, "echo", json!({"text": "here"})));
    }
    client.ask(&call(5, "unheard-of", json!({})));
    let query = |args: &[&str]| node.run(&[&["audit", "query", "--output", "json"], args].concat()).json();
    let found = query(&["--tool", "=echo", "--quantum-safe", "yes", "--verdict", "ok", "-n", "2"]);
    let seqs = |found: &serde_json::Value| -> Vec<u64> {
        found["records"].as_array().unwrap().iter().map(|record| record["seq"].as_u64().unwrap()).collect()
    };
    assert_eq!(found["schema"], "lockgate.audit-query/1");
    let newest = seqs(&found);
    assert!(newest.len() == 2 && newest[0] > newest[1], "the newest first: {found}");
    let older = query(&["--tool", "=echo", "--before", &newest[1].to_string()]);
    assert_eq!(seqs(&older).len(), 1, "{older}");
    assert_eq!(seqs(&query(&["--tool", "unheard", "--since", "1h"])).len(), 1);
    assert!(seqs(&query(&["--until", "2020-01-01"])).is_empty());
    let wrong = node.run(&["audit", "query", "--verdict", "good"]);
    assert_eq!(wrong.code, 2);
    assert!(wrong.stderr.contains("there are ok, denied"), "{}", wrong.stderr);

    let (folder, elsewhere) = place();
    let copy = folder.path().join("copy");
    std::fs::create_dir(&copy).unwrap();
    for entry in std::fs::read_dir(node.state.join("audit")).unwrap() {
        let path = entry.unwrap().path();
        if path.is_file() {
            std::fs::copy(&path, copy.join(path.file_name().unwrap())).unwrap();
        }
    }
    let ask = ["audit", "query", "--dir", text(&copy), "--tool", "echo", "--all", "--output", "jsonl"];
    let held = run(&elsewhere, &ask);
    assert_eq!(held.stdout.lines().count(), 3, "{}", held.stderr);
    assert!(!copy.join("index").exists(), "nothing is written beside evidence");
    assert_eq!(run(&elsewhere, &[&ask[..], &["--scan"]].concat()).stdout, held.stdout);
    let raw = run(&elsewhere, &["audit", "query", "--dir", text(&copy), "--tool", "echo", "--raw"]).stdout;
    assert!(raw.starts_with("{\"unmapped\":"), "{raw}");
    let table = run(&elsewhere, &["audit", "query", "--dir", text(&copy), "--tool", "=unheard-of"]).stdout;
    assert!(table.contains("unheard-of"), "{table}");
}

/// Two nodes, each with an authority of its own, and what each has to know of the other.
#[test]
fn one_node_witnesses_another_and_refuses_its_other_history() {
    let (folder, first) = place();
    let (_folder, second) = place();
    // The log that is witnessed exists before its witness knows its key.
    let mut logged = Node::start(&first, &["up"]);
    let keys = folder.path().join("first.keys");
    std::fs::write(&keys, logged.run(&["audit", "key"]).stdout).unwrap();
    logged.process.signal("TERM");
    assert!(logged.process.wait().success());

    let config = folder.path().join("second.toml");
    std::fs::write(&config, format!("[node]\nname = \"witness\"\n[witness]\nlogs = [{:?}]\n", text(&keys)))
        .unwrap();
    let witness = Node::start(&second, &["up", "--config", text(&config)]);
    let (witness_keys, roots) = (folder.path().join("second.keys"), second.join("authority/authority.pem"));
    std::fs::write(&witness_keys, witness.run(&["audit", "key"]).stdout).unwrap();

    let base = witness.endpoint();
    let asking = format!(
        "[[audit.witness]]\nurl = {base:?}\nkeys = [{:?}]\nroots = {:?}\n",
        text(&witness_keys),
        text(&roots)
    );
    let config = folder.path().join("first.toml");
    std::fs::write(&config, asking).unwrap();
    let before = folder.path().join("before");
    copy(&first.join("audit"), &before);
    let mut logged = Node::start(&first, &["up", "--config", text(&config)]);
    let shown = wait_for_witness(&logged, |shown| shown["witnesses"][0]["size"].as_u64().is_some());
    assert_eq!(shown["witnesses"][0]["problem"], serde_json::Value::Null, "{shown}");
    let listed = witness.run(&["audit", "witness", "--output", "json"]).json();
    assert!(listed["witnessed"][0]["size"].as_u64() > Some(1), "{listed}");
    let told = witness.run(&["audit", "query", "--method", "=witness/cosigned", "--output", "json"]).json();
    assert_eq!(told["records"].as_array().unwrap().len(), 1, "{told}");

    logged.process.signal("TERM");
    assert!(logged.process.wait().success());
    let verify = |words: &[&str]| run(&first, &[&["audit", "verify", "--output", "json"], words].concat());
    let verified = verify(&["--quorum", "1"]);
    assert_eq!(verified.code, 0, "{}", verified.stderr);
    assert_eq!(verified.json()["cosigned"]["by"][0], "lockgate.internal/node/witness/audit");
    assert_eq!(verify(&["--quorum", "2"]).code, 1);

    // The log is put back to what it was, and goes on from there.
    std::fs::remove_dir_all(first.join("audit")).unwrap();
    copy(&before, &first.join("audit"));
    let logged = Node::start(&first, &["up", "--config", text(&config)]);
    let shown = wait_for_witness(&logged, |shown| shown["witnesses"][0]["problem"].is_string());
    let problem = shown["witnesses"][0]["problem"].as_str().unwrap();
    assert!(problem.contains("not the beginning") || problem.contains("does not go on"), "{problem}");
    let found = logged.run(&["audit", "query", "--finding", "LG-A006", "--output", "json"]).json();
    assert_eq!(found["records"].as_array().unwrap().len(), 1, "{found}");
}

fn wait_for_witness(node: &Node, is_there: impl Fn(&serde_json::Value) -> bool) -> serde_json::Value {
    for _ in 0..600 {
        let shown = node.run(&["audit", "witness", "--output", "json"]);
        if !shown.stdout.is_empty() && is_there(&shown.json()) {
            return shown.json();
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("the witness was never heard of: {}", node.run(&["audit", "witness"]).stdout);
}

fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().mode(0o700).recursive(true).create(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap().map(Result::unwrap) {
        let place = to.join(entry.file_name());
        match entry.path().is_dir() {
            true => copy(&entry.path(), &place),
            false => drop(std::fs::copy(entry.path(), place).unwrap()),
        }
    }
}

#[test]
fn a_connector_finds_a_gateway_that_shows_less_than_before() {
    let (_folder, state) = place();
    let mut node = Node::start(&state, &["up"]);
    let mut client = node.connect("sample");
    shake_hands(&mut client);
    let seen = |name: &str| {
        let folders = std::fs::read_dir(state.join("connectors")).unwrap().flatten();
        folders.map(|entry| entry.path().join("seen").join(name)).find(|path| path.is_dir())
    };
    wait_until("a checkpoint is seen", || seen("").is_some());
    drop(client);
    let stop = |node: &mut Node| {
        node.process.signal("TERM");
        assert!(node.process.wait().success());
    };
    stop(&mut node);
    let (folder, before) = (state.join("audit"), state.join("before"));
    copy(&folder, &before);
    // It grows, and the connector and, from it, the gateway keep how far it was seen.
    let mut node = Node::start(&state, &["up"]);
    for _ in 0..2 {
        let mut client = node.connect("sample");
        shake_hands(&mut client);
        client.ask(&json!({"jsonrpc": "2.0", "id": 1, "method": "tools/list"}));
        covered(
            &node,
            node.run(&["status", "--output", "json"]).json()["node"]["audit"]["seq"].as_u64().unwrap(),
        );
        let largest = || lockgate_audit::witness::Seen::at(&seen("").unwrap()).newest().unwrap().unwrap();
        let size = largest().checkpoint.head.size;
        drop(client);
        let mut client = node.connect("sample");
        shake_hands(&mut client);
        wait_until("more is seen", || largest().checkpoint.head.size > size);
    }
    wait_until("the gateway keeps it", || state.join("witness/seen").is_dir());
    stop(&mut node);
    assert_eq!(run(&state, &["audit", "verify"]).code, 0);
    std::fs::remove_dir_all(&folder).unwrap();
    copy(&before, &folder);
    let verified = run(&state, &["audit", "verify"]);
    assert_eq!(verified.code, 1, "{}{}", verified.stdout, verified.stderr);

    let node = Node::start(&state, &["up"]);
    let mut client = node.connect("sample");
    shake_hands(&mut client);
    wait_until("the connector says so", || client.stderr().contains("LG-A006"));
    let found = || node.run(&["audit", "query", "--finding", "LG-A006", "--output", "json"]).json();
    wait_until("the gateway records it", || found()["records"].as_array().is_some_and(|all| all.len() == 1));
    assert!(seen("forks").is_some(), "both checkpoints are kept");
    client.ask(&json!({"jsonrpc": "2.0", "id": 9, "method": "tools/list"}));
}

fn wait_until(what: &str, is_so: impl Fn() -> bool) {
    for _ in 0..1200 {
        if is_so() {
            return;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    panic!("never: {what}");
}
