//! Policy and revocation that bite, by the commands that an operator types, with the real binary on both ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use support::{Node, Running, call, place, shake_hands};
use tempfile::TempDir;

/// A node with the sample server under a policy of its own.
struct Stage {
    folder: TempDir,
    state: PathBuf,
    node: Node,
}

const ALL: &str = "@id(\"all\") permit(principal, action, resource);\n";

impl Stage {
    fn under(policy: &str) -> Self {
        let (folder, state) = place();
        std::fs::write(folder.path().join("rules.cedar"), format!("{ALL}{policy}")).unwrap();
        let config = "[policy]\nfiles = [\"rules.cedar\"]\n";
        std::fs::write(folder.path().join("lockgate.toml"), config).unwrap();
        let node = Self::start(&folder, &state);
        Self { folder, state, node }
    }

    fn start(folder: &TempDir, state: &Path) -> Node {
        let config = folder.path().join("lockgate.toml");
        Node::start(state, &["up", "--config", config.to_str().unwrap()])
    }

    /// The node ends and starts again.
    fn restart(&mut self) {
        self.node.process.signal("TERM");
        assert!(self.node.process.wait().success());
        self.node = Self::start(&self.folder, &self.state);
    }

    fn says(&self, words: &[&str]) -> Value {
        let ended = self.node.run(&[words, &["--output", "json"]].concat());
        assert_eq!(ended.code, 0, "{words:?}: {}{}", ended.stdout, ended.stderr);
        ended.json()
    }

    fn records(&self) -> Vec<Value> {
        let ended = self.node.run(&["audit", "tail", "-n", "500", "--output", "jsonl"]);
        ended.stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
    }

    fn connected(&self) -> Running {
        let mut connector = self.node.connect("sample");
        shake_hands(&mut connector);
        connector
    }

    /// Whether a connector that starts now is answered.
    fn lets_in(&self) -> bool {
        let mut connector = self.node.connect("sample");
        connector.say(&support::initialize(1));
        let answer = connector.maybe_line().map(|line| serde_json::from_str::<Value>(&line).unwrap());
        answer.is_some_and(|answer| answer.get("result").is_some())
    }
}

#[test]
fn a_revoked_agent_is_out_until_it_is_restored_also_over_a_restart() {
    let mut stage = Stage::under("");
    let mut connector = stage.connected();
    assert!(connector.ask(&call(2, "echo", json!({"text": "x"}))).get("result").is_some());
    let made = stage.says(&["identity", "revoke", "agent/local", "--reason", "a test"]);
    assert_eq!(made["schema"], "lockgate.revocation/1");
    assert_eq!((&made["is_new"], made["links_cut"].as_u64() >= Some(1)), (&json!(true), true), "{made}");
    assert!(connector.ask(&call(3, "echo", json!({"text": "x"}))).get("error").is_some());
    assert!(!stage.lets_in());
    stage.restart();
    assert!(!stage.lets_in(), "a restart forgets nothing");
    let all = stage.says(&["identity", "list"]);
    assert_eq!(all["schema"], "lockgate.identities/1");
    assert_eq!(all["revocations"][0]["reason"], "a test");
    let human = stage.node.run(&["identity", "list"]).stdout;
    assert!(human.contains("/agent/local") && human.contains("REVOKED"), "{human}");
    let refusal = stage.records().into_iter().find(|record| record["stage"] == "verify").unwrap();
    assert!(refusal["reason"].as_str().unwrap().contains("LG-I410"), "{refusal}");
    let restored = stage.says(&["identity", "restore", "agent/local"]);
    assert_eq!(restored["lifted"].as_array().unwrap().len(), 1);
    assert!(stage.lets_in());
    let unknown = stage.node.run(&["identity", "restore", "agent/local"]);
    assert!(unknown.code == 1 || unknown.code == 2, "{}", unknown.stderr);
    assert!(unknown.stderr.contains("LG-U002"), "{}", unknown.stderr);
}

#[test]
fn an_invite_is_revoked_by_its_id_as_before() {
    let stage = Stage::under("");
    for prefix in ["", "invite:"] {
        let minted = stage.says(&["identity", "invite", "--name", "laptop"]);
        let id = minted["invite"]["id"].as_str().unwrap().to_owned();
        let revoked = stage.says(&["identity", "revoke", &format!("{prefix}{id}")]);
        assert_eq!((&revoked["schema"], &revoked["id"]), (&json!("lockgate.invite-revoked/1"), &json!(id)));
        assert!(stage.says(&["identity", "list"])["invites"].as_array().unwrap().is_empty());
    }
    let bad = stage.node.run(&["identity", "revoke", "laptop"]);
    assert!(bad.stderr.contains("LG-U001") && bad.stderr.contains("agent/NAME"), "{}", bad.stderr);
}

#[test]
fn a_killed_agent_is_out_until_it_is_restored() {
    let mut stage = Stage::under(
        "@id(\"never\") @on_violation(\"kill\")\n\
         forbid(principal, action, resource) when { context.touched.contains(\"system_config\") };\n",
    );
    let mut connector = stage.connected();
    assert!(connector.ask(&call(2, "echo", json!({"text": "x"}))).get("result").is_some());
    let killed = connector.ask(&call(3, "echo", json!({"text": "c3lzdGVtX2NvbmZpZw=="})));
    assert_eq!(killed["error"]["code"], -31006, "encoded as it may be: {killed}");
    assert!(connector.ask(&call(4, "echo", json!({"text": "x"}))).get("error").is_some());
    assert!(!stage.lets_in());
    stage.restart();
    assert!(!stage.lets_in());
    let alerts: Vec<Value> =
        stage.records().into_iter().filter(|record| record["method"] == "alert/kill").collect();
    assert_eq!(alerts.len(), 1, "{alerts:#?}");
    let revocations = stage.says(&["identity", "list"])["revocations"].clone();
    assert_eq!(revocations.as_array().unwrap().len(), 2, "its name and its key: {revocations:#}");
    assert_eq!(revocations[0]["by"], "policy never");
    stage.says(&["identity", "restore", "agent/local"]);
    assert!(stage.lets_in());
}

#[test]
fn a_held_call_passes_once_when_a_person_approved_it() {
    let mut stage = Stage::under(
        "@id(\"careful\") @on_violation(\"hold\")\n\
         forbid(principal, action, resource == Lockgate::Tool::\"sample/echo\");\n",
    );
    let mut connector = stage.connected();
    let asks = |connector: &mut Running, id: u64| connector.ask(&call(id, "echo", json!({"text": "pay 9"})));
    let held = asks(&mut connector, 2);
    assert_eq!(held["result"]["isError"], true, "{held}");
    let id = held["result"]["_meta"]["lockgate/hold"]["id"].as_str().unwrap().to_owned();
    drop(connector);

    stage.restart();
    let waiting = stage.says(&["approvals", "list"]);
    assert_eq!((&waiting["calls"][0]["id"], &waiting["calls"][0]["state"]), (&json!(id), &json!("pending")));
    let shown = stage.node.run(&["approvals", "show", &id]).stdout;
    assert!(shown.contains("pay 9") && shown.contains("lockgate approvals approve"), "{shown}");
    let approved = stage.says(&["approvals", "approve", &id, "--for", "5m"]);
    assert_eq!(
        (&approved["schema"], &approved["state"]),
        (&json!("lockgate.held-call/1"), &json!("approved"))
    );
    let mut connector = stage.connected();
    let passed = asks(&mut connector, 3);
    assert_eq!(passed["result"]["content"][0]["text"], "pay 9", "{passed}");
    let again = asks(&mut connector, 4);
    let next = again["result"]["_meta"]["lockgate/hold"]["id"].as_str().unwrap().to_owned();
    assert_ne!(next, id);
    stage.says(&["approvals", "reject", &next, "--reason", "once is enough"]);
    let rejected = asks(&mut connector, 5);
    assert!(
        rejected["result"]["content"][0]["text"].as_str().unwrap().contains("once is enough"),
        "{rejected}"
    );
    let twice = stage.node.run(&["approvals", "approve", &next]);
    assert!(twice.code == 1 && twice.stderr.contains("LG-P014"), "{}", twice.stderr);
    assert!(stage.node.run(&["approvals", "show", "nothing"]).stderr.contains("LG-P013"));
}

#[test]
fn who_watches_sees_calls_that_wait_as_they_come_and_ends_cleanly() {
    let stage = Stage::under(
        "@id(\"careful\") @on_violation(\"hold\")\n\
         forbid(principal, action, resource == Lockgate::Tool::\"sample/echo\");\n",
    );
    let mut connector = stage.connected();
    connector.ask(&call(2, "echo", json!({"text": "before"})));
    let mut watching =
        Running::start(support::command(&stage.state).args(["approvals", "--watch", "--output", "jsonl"]));
    let first = watching.json();
    assert_eq!(
        (&first["state"], first["arguments"].as_str()),
        (&json!("pending"), Some(r#"{"text":"before"}"#))
    );
    connector.ask(&call(3, "echo", json!({"text": "before"})));
    connector.ask(&call(4, "echo", json!({"text": "after"})));
    let second = watching.json();
    assert_eq!(second["arguments"], r#"{"text":"after"}"#, "each once: {second}");
    let id = second["id"].as_str().unwrap();
    stage.says(&["approvals", "approve", id]);
    connector.ask(&call(5, "echo", json!({"text": "after"})));
    connector.ask(&call(6, "echo", json!({"text": "after"})));
    assert_eq!(watching.json()["arguments"], r#"{"text":"after"}"#, "it waits anew");
    watching.signal("INT");
    assert!(watching.wait().success());
    let human = stage.node.run(&["approvals"]).stdout;
    assert!(human.contains("pending") && human.contains("before"), "{human}");
    for args in [&["approvals", "--watch", "--output", "json"][..], &["approvals", "--watch", "list"]] {
        let refused = stage.node.run(args);
        assert!(refused.code == 2 && refused.stderr.contains("LG-U001"), "{args:?}: {}", refused.stderr);
    }
}

#[test]
fn a_reload_that_closes_a_server_is_felt_by_who_is_connected() {
    let stage = Stage::under("");
    let mut connector = stage.connected();
    assert!(connector.ask(&call(2, "echo", json!({"text": "x"}))).get("result").is_some());
    let closed = "@id(\"closed\") forbid(principal, action, resource in Lockgate::Server::\"sample\");\n";
    std::fs::write(stage.folder.path().join("rules.cedar"), format!("{ALL}{closed}")).unwrap();
    stage.says_reload();
    let denied = connector.ask(&call(3, "echo", json!({"text": "x"})));
    assert!(denied.get("error").is_some(), "{denied}");
}

impl Stage {
    /// Has the files read again, and waits until they are in force.
    fn says_reload(&self) {
        let before = self.says(&["status"])["node"]["policy_generation"].as_u64().unwrap();
        self.node.process.signal("HUP");
        while self.says(&["status"])["node"]["policy_generation"].as_u64().unwrap() == before {
            std::thread::yield_now();
        }
    }
}
