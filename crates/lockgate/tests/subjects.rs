//! What is recorded of a person is exported, held and erased, by the commands that an operator types, with and without a
//! node that runs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::{Ended, Node, call, place, run, shake_hands};

const SECRET: &str = "ann-of-green-gables";

const CONFIG: &str = r#"
[policy]
files = ["rules.cedar"]

[[audit.subject]]
kind = "person"
argument = "text"
tool = "echo"

[audit.retention]
content = 6
"#;

const RULES: &str = r#"
@id("all") permit(principal, action, resource);
@id("kept") @record_for("support") permit(principal, action in Lockgate::Action::"tools/call", resource);
"#;

fn start(folder: &Path, state: &Path) -> Node {
    let config = folder.join("lockgate.toml");
    Node::start(state, &["up", "--config", config.to_str().unwrap()])
}

fn with_config(folder: &Path, state: &Path, words: &[&str]) -> Ended {
    let config = folder.join("lockgate.toml");
    run(state, &[words, &["--config", config.to_str().unwrap(), "--output", "json"]].concat())
}

/// Every byte of the state directory, file by file.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
}

fn export(folder: &Path, state: &Path, name: &str) -> (Value, Vec<Value>) {
    let out = folder.join(name);
    let subject = format!("person:{SECRET}");
    let ended =
        with_config(folder, state, &["audit", "subject", "export", &subject, "--out", out.to_str().unwrap()]);
    assert_eq!(ended.code, 0, "{}{}", ended.stdout, ended.stderr);
    let records = std::fs::read_to_string(out.join("records.jsonl")).unwrap();
    (ended.json(), records.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn a_person_is_exported_held_and_erased_and_the_log_verifies() {
    let (folder, state) = place();
    let folder = folder.path();
    std::fs::write(folder.join("lockgate.toml"), CONFIG).unwrap();
    std::fs::write(folder.join("rules.cedar"), RULES).unwrap();
    let node = start(folder, &state);
    let mut connector = node.connect("sample");
    shake_hands(&mut connector);
    let answer = connector.ask(&call(2, "echo", json!({ "text": SECRET })));
    assert!(answer["result"].is_object(), "{answer}");
    connector.ask(&call(3, "echo", json!({ "text": "somebody else" })));
    let subject = format!("person:{SECRET}");

    // What was said is in no file of the state, and in the export.
    let mut all = Vec::new();
    files(&state, &mut all);
    for path in &all {
        let bytes = std::fs::read(path).unwrap_or_default();
        let found = bytes.windows(SECRET.len()).any(|window| window == SECRET.as_bytes());
        assert!(!found, "{}", path.display());
    }
    let (summary, records) = export(folder, &state, "one");
    assert_eq!((&summary["records"], &summary["opened"]), (&json!(1), &json!(1)), "{summary}");
    assert_eq!(records[0]["content"]["arguments"]["text"], SECRET);
    assert!(records[0]["content"]["result"].to_string().contains(SECRET));

    // A hold keeps it.
    let hold = with_config(folder, &state, &["audit", "hold", "add", &subject, "--reason", "case 12"]).json();
    let refused = with_config(folder, &state, &["audit", "subject", "erase", &subject, "--basis", "Art. 17"]);
    assert_eq!(refused.code, 1, "{}{}", refused.stdout, refused.stderr);
    assert!(refused.stderr.contains("LG-A007") && refused.stderr.contains("case 12"), "{}", refused.stderr);
    let id = hold["id"].as_str().unwrap();
    let lifted = with_config(folder, &state, &["audit", "hold", "lift", id, "--reason", "closed"]);
    assert_eq!(lifted.code, 0, "{}", lifted.stderr);
    assert_eq!(with_config(folder, &state, &["audit", "hold", "list"]).json()["holds"], json!([]));

    let erased =
        with_config(folder, &state, &["audit", "subject", "erase", &subject, "--basis", "Art. 17"]).json();
    assert_eq!((&erased["schema"], &erased["keys"]), (&json!("lockgate.erasure/1"), &json!(2)), "{erased}");
    let (summary, records) = export(folder, &state, "two");
    assert_eq!(
        (&summary["records"], records.len()),
        (&json!(0), 0),
        "no record is tied to the person any more"
    );
    assert_eq!(with_config(folder, &state, &["audit", "subject", "erase", "nobody", "--basis", "x"]).code, 2);
    drop(connector);
    node.process.signal("TERM");
    let mut process = node.process;
    assert!(process.wait().success());

    // Without a node the same is done on its state, by one at a time.
    assert_eq!(run(&state, &["audit", "verify"]).code, 0, "what was erased is no damage");
    let again = with_config(folder, &state, &["audit", "subject", "erase", &subject, "--basis", "Art. 17"]);
    assert_eq!((again.code, &again.json()["keys"]), (0, &json!(0)), "{}", again.stderr);
    let other = ["audit", "subject", "erase", "person:somebody else", "--basis", "Art. 17"];
    assert_eq!(with_config(folder, &state, &other).json()["keys"], 2);
    let retention = with_config(folder, &state, &["audit", "retention"]).json();
    assert!(retention["parts"].as_array().unwrap().iter().all(|part| part["is_due"] == false), "{retention}");
    let held = with_config(folder, &state, &["audit", "hold", "add", "--all", "--reason", "order"]);
    assert_eq!(held.code, 0, "{}", held.stderr);
    assert_eq!(run(&state, &["audit", "verify"]).code, 0);

    // The receipt says what was erased and on what ground, and not of whom.
    let log = run(&state, &["audit", "tail", "-n", "500", "--output", "jsonl"]).stdout;
    let receipts: Vec<Value> = log
        .lines()
        .map(|line| serde_json::from_str::<Value>(line).unwrap())
        .filter(|record| record["method"] == "audit/erase" && record["outcome"] == "ok")
        .collect();
    assert_eq!(receipts.len(), 2);
    assert!(receipts[0]["reason"].as_str().unwrap().contains("Art. 17"), "{}", receipts[0]);
    assert!(!log.contains(SECRET));
    // A node that starts on it again holds on to the hold.
    let node = start(folder, &state);
    let holds = with_config(folder, &state, &["audit", "hold", "list"]).json();
    assert_eq!(holds["holds"].as_array().unwrap().len(), 1, "{holds}");
    drop(node);
}

#[test]
fn an_old_file_of_keys_is_refused() {
    let (folder, state) = place();
    let folder = folder.path();
    std::fs::write(folder.join("lockgate.toml"), CONFIG).unwrap();
    std::fs::write(folder.join("rules.cedar"), RULES).unwrap();
    let node = start(folder, &state);
    let mut connector = node.connect("sample");
    shake_hands(&mut connector);
    connector.ask(&call(2, "echo", json!({ "text": SECRET })));
    let old = std::fs::read(state.join("subjects/keys")).unwrap();
    let subject = format!("person:{SECRET}");
    with_config(folder, &state, &["audit", "subject", "erase", &subject, "--basis", "Art. 17"]);
    drop(connector);
    node.process.signal("TERM");
    let mut process = node.process;
    assert!(process.wait().success());
    std::fs::write(state.join("subjects/keys"), old).unwrap();
    let refused = with_config(folder, &state, &["audit", "hold", "list"]);
    assert!(refused.code == 3 && refused.stderr.contains("LG-A005"), "{} {}", refused.code, refused.stderr);
}
