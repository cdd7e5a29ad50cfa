//! Looking on: `tap` and `top` beside the real binary while calls flow.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::path::PathBuf;

use serde_json::{Value, json};
use support::{Node, Running, call, command, place, shake_hands};
use tempfile::TempDir;

const POLICY: &str = "@id(\"all\") permit(principal, action, resource);\n\
    @id(\"no-adding\") forbid(principal, action, resource == Lockgate::Tool::\"sample/echo\");\n";

fn node(policy: &str) -> (TempDir, PathBuf, Node) {
    let (folder, state) = place();
    std::fs::write(folder.path().join("rules.cedar"), policy).unwrap();
    let config = folder.path().join("lockgate.toml");
    std::fs::write(&config, "[policy]\nfiles = [\"rules.cedar\"]\n").unwrap();
    let node = Node::start(&state, &["up", "--config", config.to_str().unwrap()]);
    (folder, state, node)
}

fn tap(node: &Node, words: &[&str]) -> Running {
    Running::start(command(&node.state).args(["tap", "--output", "jsonl"]).args(words))
}

/// Reads on until an event is as wanted.
fn until(tap: &Running, wanted: impl Fn(&Value) -> bool) -> Value {
    loop {
        let event = tap.json();
        if wanted(&event) {
            return event;
        }
    }
}

#[test]
fn calls_links_and_changes_pass_by_with_their_nine_stages() {
    let (_folder, _, node) = node("@id(\"all\") permit(principal, action, resource);\n");
    let mut tap = tap(&node, &["--last", "100"]);
    let started = until(&tap, |event| event["kind"] == "note");
    assert_eq!((&started["topic"], &started["reason"]), (&json!("lifecycle"), &json!("node started")));
    let mut connector = node.connect("sample");
    shake_hands(&mut connector);
    let link = until(&tap, |event| event["kind"] == "link" && event["state"] == "opened");
    assert_eq!(link["link"]["quantum_safe"], true, "{link}");
    connector.ask(&call(2, "echo", json!({"text": "\u{202e}hidden"})));
    let seen = until(&tap, |event| event["method"] == "tools/call");
    assert_eq!(
        (&seen["verdict"], &seen["server"], &seen["name"]),
        (&json!("ok"), &json!("sample"), &json!("echo"))
    );
    assert_eq!(seen["policies"], json!(["all"]));
    assert!(seen["seq"].as_u64() > Some(0) && seen["policy_generation"].as_u64() > Some(0), "{seen}");
    let stages: Vec<bool> = seen["stages"].as_array().unwrap().iter().map(Value::is_u64).collect();
    assert_eq!(stages, [false, true, true, true, true, true, true, true, true], "{seen}");
    let sum: u64 = seen["stages"].as_array().unwrap()[3..].iter().filter_map(Value::as_u64).sum();
    let whole = seen["duration_us"].as_u64().unwrap();
    assert!(sum <= whole + 1_000, "{sum} of {whole}");
    assert!(seen["answered_us"].as_u64() <= seen["stages"][7].as_u64(), "{seen}");
    assert_eq!(node.run(&["identity", "revoke", "agent/nobody", "--reason", "a test"]).code, 0);
    let change = until(&tap, |event| event["method"] == "identity/revoke");
    assert_eq!((&change["topic"], &change["reason"]), (&json!("identity"), &json!("a test")));
    node.process.signal("TERM");
    assert!(tap.wait().success());
    assert!(tap.stderr().contains("the node ends"), "{}", tap.stderr());
}

#[test]
fn refusals_are_filtered_for_and_say_what_would_have_to_change() {
    let (_folder, state, node) = node(POLICY);
    let mut connector = node.connect("sample");
    shake_hands(&mut connector);
    assert!(connector.ask(&call(2, "echo", json!({"text": "x"}))).get("error").is_some());
    let tap = tap(&node, &["--last", "5", "--verdict", "refused", "--tool", "ECHO"]);
    let seen = tap.json();
    assert_eq!((&seen["verdict"], &seen["stage"]), (&json!("denied"), &json!("permit")), "{seen}");
    assert_eq!((&seen["policies"], seen["code"].as_i64()), (&json!(["no-adding"]), Some(-31001)));
    assert!(seen["hint"].as_str().is_some_and(|hint| !hint.is_empty()) && seen["reason"].is_string());
    assert_eq!((&seen["stages"][6], &seen["stages"][7]), (&Value::Null, &Value::Null), "{seen}");
    let figures = node.run(&["top", "--output", "json"]).json();
    assert_eq!(figures["schema"], "lockgate.live-summary/1");
    let group = &figures["refusals"][0];
    assert_eq!((&group["rule"], &group["count"]), (&json!("no-adding"), &json!(1)), "{figures}");
    let hits = figures["rules"].as_array().unwrap().iter().find(|rule| rule["policy"] == "no-adding");
    assert_eq!(hits.unwrap()["denies"], 1);
    assert!(figures["handshakes"][0]["quantum_safe"].as_bool().unwrap());
    let plain = node.run(&["top", "-n", "1"]);
    assert_eq!((plain.code, plain.stdout.lines().count()), (0, 2), "{}", plain.stdout);
    let odd = support::run(&state, &["tap", "--verdict", "good"]);
    assert_eq!(odd.code, 2, "{}", odd.stderr);
    assert!(odd.stderr.contains("killed, screened"), "{}", odd.stderr);
}
