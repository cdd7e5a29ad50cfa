//! What policy is told of the world: configured, listed, asked for, brought, and taken up while the node runs.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::{Node, place, run};

const STAFF: &str = r#"
[[fact]]
name = "staff"
from = "file:staff.json"
fields = { on_duty = "integer" }
max_age = "10m"
"#;

fn roster(signer: &str, max_age: &str) -> String {
    format!(
        "\n[[fact]]\nname = \"appointment\"\nfrom = \"push\"\nkey = \"patient\"\nsigner = \"{signer}\"\n\
         fields = {{ patient = \"text\", start = \"time\" }}\nmax_age = \"{max_age}\"\n"
    )
}

fn keygen(state: &Path, folder: &Path, name: &str) -> String {
    let path = folder.join(name).display().to_string();
    let made = run(state, &["crypto", "keygen", &path]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    path
}

fn get(node: &Node, args: &[&str]) -> Value {
    node.run(&[&["facts", "get"], args, &["--output", "json"]].concat()).json()
}

/// Asks until it is so.
fn until(what: &str, so: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(support::WAIT_S_MAX);
    while !so() {
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn facts_are_listed_asked_for_and_taken_up() {
    let (folder, state) = place();
    let config = folder.path().join("lockgate.toml");
    std::fs::write(&config, STAFF).unwrap();
    std::fs::write(folder.path().join("staff.json"), r#"{"on_duty": 2, "names": ["x"]}"#).unwrap();
    let node = Node::start(&state, &["up", "--config", config.to_str().unwrap()]);
    let listed = node.run(&["facts", "list", "--output", "json"]).json();
    assert_eq!(listed["schema"], "lockgate.facts/1");
    assert_eq!((&listed["facts"][0]["name"], &listed["facts"][0]["last"]), (&json!("staff"), &Value::Null));
    let staff = get(&node, &["staff"]);
    assert_eq!((&staff["record"], &staff["present"]), (&json!({"on_duty": 2}), &json!(true)), "{staff}");
    // Half a file: the last whole one is known still.
    std::fs::write(folder.path().join("staff.json"), r#"{"on_du"#).unwrap();
    assert_eq!(get(&node, &["staff"])["record"], json!({"on_duty": 2}));
    std::fs::write(folder.path().join("staff.json"), r#"{"on_duty": "two"}"#).unwrap();
    let ended = node.run(&["facts", "get", "staff"]);
    assert_eq!(ended.code, 1);
    assert!(ended.stdout.contains("LG-F003") && ended.stdout.contains("on_duty"), "{}", ended.stdout);
    let none = node.run(&["facts", "get", "stuff"]);
    assert_eq!(none.code, 1);
    assert!(none.stderr.contains("LG-F007") && none.stderr.contains("staff"), "{}", none.stderr);

    // Another fact, without a restart.
    let key = keygen(&state, folder.path(), "roster.key");
    std::fs::write(&config, format!("{STAFF}{}", roster("roster.key.pub", "1h"))).unwrap();
    until("the second fact is taken up", || {
        node.run(&["facts", "list", "--output", "jsonl"]).stdout.lines().count() == 2
    });
    let record = folder.path().join("p1.json");
    std::fs::write(&record, r#"{"patient": "p-1", "start": "2026-11-22T14:00:00+01:00"}"#).unwrap();
    let push = |about: &str, key: &str| {
        node.run(&["facts", "push", "appointment", record.to_str().unwrap(), "--about", about, "--key", key])
    };
    let pushed = push("p-1", &key);
    assert_eq!(pushed.code, 0, "{}", pushed.stderr);
    let told = get(&node, &["appointment", "--key", "p-1"]);
    assert_eq!(told["record"], json!({"patient": "p-1", "start": "2026-11-22T13:00:00.000Z"}));
    // About somebody else, by somebody else, about nobody.
    assert!(push("p-2", &key).stderr.contains("LG-F006"));
    let other = keygen(&state, folder.path(), "other.key");
    assert!(push("p-1", &other).stderr.contains("LG-F005"));
    assert!(node.run(&["facts", "get", "appointment"]).stderr.contains("LG-F001"));
    let tail = node.run(&["audit", "tail", "--output", "jsonl"]).stdout;
    assert!(tail.contains("facts/push") && tail.contains("appointment/p-1"), "{tail}");

    // What was pushed outlives a restart.
    drop(node);
    let node = Node::start(&state, &["up", "--config", config.to_str().unwrap()]);
    assert_eq!(get(&node, &["appointment", "--key", "p-1"])["present"], true);
    let withdrawn =
        node.run(&["facts", "push", "appointment", "--withdraw", "--about", "p-1", "--key", &key]);
    assert_eq!(withdrawn.code, 0, "{}", withdrawn.stderr);
    assert_eq!(get(&node, &["appointment", "--key", "p-1"])["code"], "LG-F001");

    // A configuration that cannot be changes nothing.
    std::fs::write(&config, STAFF.replace("integer", "intger")).unwrap();
    node.process.signal("HUP");
    until("the mistake is told", || node.process.stderr().contains("intger"));
    assert_eq!(node.run(&["facts", "list", "--output", "jsonl"]).stdout.lines().count(), 2);
    // Nor does one without facts leave anything behind.
    std::fs::write(&config, "").unwrap();
    until("the facts are gone", || node.run(&["facts", "list"]).stdout.contains("no facts"));
}
