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
