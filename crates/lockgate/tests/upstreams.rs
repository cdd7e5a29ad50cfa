//! Cryptography to servers behind the gateway, changed while calls go on: another node is the server.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use serde_json::{Value, json};
use support::{Ended, Node, call, place, shake_hands};

fn crypto(node: &Node, words: &[&str]) -> Ended {
    node.run(&[&["crypto"], words, &["--output", "json"]].concat())
}

/// Groups of the connections to the server that take new calls.
fn groups(node: &Node) -> Vec<Value> {
    let report = node.run(&["status", "--output", "json"]).json();
    let links = report["upstreams"][0]["links"].as_array().unwrap();
    links
        .iter()
        .filter(|link| link["retired"] == false)
        .map(|link| link["posture"]["group"].clone())
        .collect()
}

/// checklist 3: connections to a server are replaced first, and then ended; and a plan asks the server itself.
#[test]
fn connections_to_a_server_move_without_a_failed_call() {
    let far = Node::up();
    let (folder, state) = place();
    let config = folder.path().join("lockgate.toml");
    let foreign = far.ready["foreign"].as_str().unwrap();
    let text = format!(
        "[[server]]\nname = \"far\"\nto = \"{foreign}\"\nroots = {:?}\nprofile = \"pq-kex\"\n",
        far.ready["authority"].as_str().unwrap()
    );
    std::fs::write(&config, text).unwrap();
    let near = Node::start(&state, &["gateway", "--config", config.to_str().unwrap()]);
    let mut client = near.connect("far");
    shake_hands(&mut client);
    let mut id = 10;
    let mut echo = |client: &mut support::Running| {
        id += 1;
        client.ask(&call(id, "echo", json!({ "text": "there and back" })))
    };
    assert!(echo(&mut client).get("result").is_some());
    assert_eq!(groups(&near).first(), Some(&json!("X25519MLKEM768")));

    let plan = crypto(&near, &["plan", "cnsa2-transition", "--upstream", "far"]);
    // The other node's foreign listener has no certificate of that profile: it was asked, and says no.
    assert_eq!(plan.code, 5, "{}", plan.stdout);
    let plan = plan.json();
    assert_eq!(plan["links"][0]["verdict"], "refused", "{plan:#}");
    assert_eq!(crypto(&near, &["apply", "cnsa2-transition", "--upstream", "far"]).code, 5);

    let ban = crypto(&near, &["ban", "X25519MLKEM768", "--reason", "a test", "--drain", "5s"]);
    assert_eq!(ban.code, 0, "{}", ban.stderr);
    while groups(&near).iter().any(|group| group == "X25519MLKEM768") {
        assert!(echo(&mut client).get("result").is_some());
    }
    assert!(echo(&mut client).get("result").is_some());
    assert!(!groups(&near).is_empty());
    assert_eq!(crypto(&near, &["lift", "X25519MLKEM768"]).code, 0);
    assert!(echo(&mut client).get("result").is_some());

    // At once, and everything: no call passes under what the server cannot do, and all do when it is taken back.
    let cut =
        crypto(&near, &["apply", "cnsa2-transition", "--upstream", "far", "--cut-off", "--drain", "0s"]);
    assert_eq!(cut.code, 0, "{}", cut.stderr);
    let refused = echo(&mut client);
    assert!(refused.get("error").is_some(), "{refused}");
    assert_eq!(crypto(&near, &["rollback"]).code, 0);
    while echo(&mut client).get("result").is_none() {
        // The circuit opens again by itself after a pause.
        std::thread::yield_now();
    }
}
