//! Cryptography changed on a live system, by the commands that an operator types, with the real binary on both ends.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;

use serde_json::{Value, json};
use support::{Ended, Node, Running, call, command, place, run, shake_hands};

/// Changes of the test with random profiles; set `TEST_AGILITY_ROUNDS` for a long run.
const ROUNDS: u64 = 10;

/// A connector that calls without a pause, on a thread of its own, and panics with the first call that fails.
struct Caller {
    stop: Arc<AtomicBool>,
    calls: Arc<AtomicU64>,
    thread: JoinHandle<()>,
}

impl Caller {
    fn start(mut connector: Running) -> Self {
        let (stop, calls) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        shake_hands(&mut connector);
        let (stopped, counted) = (Arc::clone(&stop), Arc::clone(&calls));
        let thread = std::thread::spawn(move || {
            let mut id = 10;
            while !stopped.load(Ordering::Relaxed) {
                let answer = connector.ask(&call(id, "echo", json!({"text": "on the way"})));
                assert!(answer.get("result").is_some(), "call {id}: {answer}\n{}", connector.stderr());
                id += 1;
                counted.fetch_add(1, Ordering::Relaxed);
            }
        });
        Self { stop, calls, thread }
    }

    fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().unwrap();
        self.calls.load(Ordering::Relaxed)
    }
}

fn crypto(node: &Node, words: &[&str]) -> Ended {
    node.run(&[&["crypto"], words, &["--output", "json"]].concat())
}

fn changed(node: &Node, words: &[&str]) -> Value {
    let ended = crypto(node, words);
    assert_eq!(ended.code, 0, "{words:?}: {}{}", ended.stdout, ended.stderr);
    ended.json()
}

fn status(node: &Node) -> Value {
    node.run(&["status", "--output", "json"]).json()
}

/// The live links of connectors.
fn links(node: &Node) -> Vec<Value> {
    let report = status(node);
    let links = report["links"].as_array().unwrap().iter();
    links.filter(|link| link["listener"] == "tunnel").cloned().collect()
}

fn postures(node: &Node, field: &str) -> Vec<String> {
    let text = |link: &Value| link["posture"][field].as_str().unwrap_or_default().to_owned();
    links(node).iter().map(text).collect()
}

/// Nobody is left under what was in force before.
fn nobody_is_behind(node: &Node, epoch: u64) {
    let report = status(node);
    assert_eq!(report["node"]["epoch"], epoch, "{report:#}");
    assert_eq!(report["node"]["links_below_epoch"], 0, "{report:#}");
    for link in report["links"].as_array().unwrap() {
        assert_eq!(link["epoch"], epoch, "{link:#}");
    }
}

/// A generator that needs no library and tells its seed (Marsaglia's xorshift, 64 bits).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

/// checklist 3 and 11: profiles applied, rolled back and banned at random, under load: no call fails, and after each
/// change no link is below the epoch.
#[test]
fn changes_at_random_under_load_fail_no_call() {
    let rounds = std::env::var("TEST_AGILITY_ROUNDS").ok().and_then(|text| text.parse().ok());
    let mut dice = Dice(0x9e37_79b9_7f4a_7c15);
    let node = Node::up();
    let callers: Vec<_> = (0..3).map(|_| Caller::start(node.connect("sample"))).collect();
    let profiles = ["pq-hybrid", "bsi-hybrid", "cnsa2-transition", "cnsa2", "classical-broken", "pq-kex"];
    for round in 0..rounds.unwrap_or(ROUNDS) {
        let change = match dice.roll(5) {
            0 => {
                let group = postures(&node, "group").pop().unwrap();
                let banned = crypto(&node, &["ban", &group, "--reason", "a test"]);
                match banned.code {
                    0 => {
                        let groups = postures(&node, "group");
                        assert!(!groups.contains(&group), "round {round}: {group} in {groups:?}");
                        let change = banned.json();
                        nobody_is_behind(&node, change["epoch"].as_u64().unwrap());
                        changed(&node, &["lift", &group])
                    }
                    // The profile has no other group: refused, and nothing has changed.
                    code => {
                        assert_eq!(code, 5, "{}", banned.stderr);
                        continue;
                    }
                }
            }
            1 if round > 0 => {
                let back = crypto(&node, &["rollback"]);
                if back.code != 0 {
                    assert!(back.stderr.contains("LG-K"), "{}", back.stderr);
                    continue;
                }
                back.json()
            }
            _ => {
                let profile = profiles[usize::try_from(dice.roll(6)).unwrap()];
                changed(&node, &["apply", profile])
            }
        };
        assert_eq!(change["migration"]["killed"], 0, "round {round}: {change:#}");
        nobody_is_behind(&node, change["epoch"].as_u64().unwrap());
    }
    let calls: u64 = callers.into_iter().map(Caller::stop).sum();
    assert!(calls > 0);
    let verified = node.run(&["audit", "verify"]);
    assert_eq!(verified.code, 0, "{}{}", verified.stdout, verified.stderr);
}

/// checklist 9 and 17: certificates of another algorithm, from a root that did not exist, over the link that is still up;
/// and the client, which speaks stdio and knows no cryptography, notices nothing.
#[test]
fn certificates_follow_the_profile_by_themselves() {
    let node = Node::up();
    let caller = Caller::start(node.connect("sample"));
    let plan = crypto(&node, &["plan", "cnsa2"]).json();
    assert_eq!((&plan["refused"], &plan["moves"]), (&json!(0), &json!(1)), "{plan:#}");
    let roles: Vec<_> = plan["certificates"].as_array().unwrap().iter().map(|c| c["role"].clone()).collect();
    assert!(roles.contains(&json!("agent")) && roles.contains(&json!("node")), "{plan:#}");
    assert!(plan["costs"][0]["after"]["bytes_up"].as_u64() > Some(1_000), "{plan:#}");

    let change = changed(&node, &["apply", "cnsa2"]);
    assert_eq!(change["migration"]["moved"], 1, "{change:#}");
    assert_eq!(postures(&node, "group"), ["MLKEM1024"]);
    assert_eq!(postures(&node, "peer_signature"), ["ML-DSA-87"]);
    assert_eq!(postures(&node, "own_signature"), ["ML-DSA-87"]);
    assert!(caller.stop() > 0);

    // A connector that was not there starts with what it is told to, or with what was announced to it before.
    let stranger =
        Running::start(command(&node.state).args(["connect", "--profile", "cnsa2", &node.url("sample")]));
    assert!(Caller::start(stranger).stop() < u64::MAX);
    let again = node.connect("sample");
    assert!(Caller::start(again).stop() < u64::MAX);
}

/// checklist 11: from the moment it returns.
#[test]
fn a_ban_holds_at_once_everywhere_and_over_a_restart() {
    let (_folder, state) = place();
    let node = Node::start(&state, &["up"]);
    let caller = Caller::start(node.connect("sample"));
    let group = postures(&node, "group").pop().unwrap();
    assert_eq!(group, "X25519MLKEM768");
    let change = changed(&node, &["ban", &group, "--reason", "rehearsal"]);
    assert_eq!(change["ban"]["covers"], json!([group]), "{change:#}");
    assert_ne!(postures(&node, "group"), [group.as_str()]);
    caller.stop();

    // low-latency knows no other group.
    let refused = node.run(&["ping", "--profile", "low-latency", node.endpoint()]);
    assert_eq!(refused.code, 5, "{}{}", refused.stdout, refused.stderr);
    let epoch = change["epoch"].as_u64().unwrap();
    drop(node);

    let node = Node::start(&state, &["up"]);
    let show = changed(&node, &["show"]);
    assert_eq!(show["bans"][0]["reason"], "rehearsal", "{show:#}");
    assert!(show["epoch"].as_u64().unwrap() >= epoch, "{show:#}");
    Caller::start(node.connect("sample")).stop();
    assert_ne!(postures(&node, "group"), [group.as_str()]);
    changed(&node, &["lift", &group]);

    let records = node.run(&["audit", "tail", "-n", "100", "--output", "jsonl"]).stdout;
    let records: Vec<Value> = records.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let changes: Vec<_> = records.iter().filter(|record| record["kind"] == "crypto").collect();
    let text = format!("{changes:?}");
    assert!(text.contains("rehearsal") && text.contains("by command line"), "who and why: {text}");
    assert!(text.contains(&group), "what, before and after: {text}");
}

#[test]
fn peers_are_not_cut_off_by_mistake() {
    let node = Node::up();
    let caller = Caller::start(node.connect("sample"));
    let plan = crypto(&node, &["plan", "lattice-broken"]);
    assert_eq!(plan.code, 5, "{}", plan.stderr);
    let plan = plan.json();
    assert_eq!(plan["refused"], 1, "a connector never goes below its floor: {plan:#}");
    assert!(!plan["links"][0]["capabilities"]["groups"].as_array().unwrap().is_empty(), "{plan:#}");

    let before = changed(&node, &["show"]);
    let refused = crypto(&node, &["apply", "lattice-broken"]);
    assert_eq!(refused.code, 5, "{}", refused.stderr);
    assert!(refused.stderr.contains("LG-K003") && refused.stderr.contains("--cut-off"), "{}", refused.stderr);
    for words in [
        &["apply", "pq-wishful"][..],
        &["ban", "ROT13", "--reason", "x"],
        &["ban", "tin/X25519MLKEM768", "--reason", "x"],
        &["lift", "X25519"],
    ] {
        let refused = crypto(&node, words);
        assert!(refused.code > 0 && refused.stderr.contains("LG-"), "{words:?}: {}", refused.stderr);
    }
    assert_eq!(changed(&node, &["show"])["epoch"], before["epoch"], "the old epoch stays");
    assert!(caller.stop() > 0);

    let drill = crypto(&node, &["drill", "classical-broken"]);
    assert_eq!(drill.code, 0, "{}{}", drill.stdout, drill.stderr);
    let drill = crypto(&node, &["drill", "lattice-broken"]);
    assert_eq!(drill.code, 5, "{}{}", drill.stdout, drill.stderr);
    assert_eq!(
        drill.json()["steps"].as_array().unwrap().iter().filter(|step| step["ok"] == false).count(),
        0
    );
    assert_eq!(changed(&node, &["show"])["epoch"], before["epoch"], "a rehearsal changes nothing");
}

const DOCUMENT: &str = r#"schema = "lockgate.crypto/1"
epoch = 7
issued = "2026-11-22"

[[profile]]
name = "lab@20261122"
purpose = "level 5 without P-384, and a second library"
groups = ["X25519MLKEM1024", "X25519MLKEM768"]
signatures = ["ML-DSA-87", "ML-DSA-65"]
ciphers = ["TLS_AES_256_GCM_SHA384"]
"#;

fn sign(folder: &Path, document: &Path, key: &str) -> Ended {
    let key = folder.join(key);
    run(
        &folder.join("offline"),
        &["crypto", "sign", document.to_str().unwrap(), "--key", key.to_str().unwrap()],
    )
}

/// checklist 16: signed, versioned, protected against rollback; and 3: no build, no restart.
#[test]
fn a_signed_document_brings_profiles_and_is_never_older() {
    let (folder, state) = place();
    let folder = folder.path();
    let key = folder.join("signer.pem");
    let public = folder.join("signer.pem.pub");
    std::fs::write(&public, "somebody else's").unwrap();
    let made = run(&folder.join("offline"), &["crypto", "keygen", key.to_str().unwrap()]);
    assert!(made.code == 2 && made.stderr.contains("LG-U003") && !key.exists(), "{}", made.stderr);
    std::fs::remove_file(&public).unwrap();
    let made = run(&folder.join("offline"), &["crypto", "keygen", key.to_str().unwrap()]);
    assert_eq!(made.code, 0, "{}", made.stderr);
    let (document, config) = (folder.join("agility.toml"), folder.join("lockgate.toml"));
    std::fs::write(&document, DOCUMENT).unwrap();
    assert_eq!(sign(folder, &document, "signer.pem").code, 0);
    std::fs::write(
        &config,
        "[crypto]\ndocument = \"agility.toml\"\ntrust = [\"signer.pem.pub\"]\n\n[[server]]\nname = \"sample\"\ncommand = [\"BINARY\", \"sample\"]\n"
            .replace("BINARY", env!("CARGO_BIN_EXE_lockgate")),
    )
    .unwrap();
    let node = Node::start(&state, &["gateway", "--config", config.to_str().unwrap()]);
    let caller = Caller::start(node.connect("sample"));
    changed(&node, &["apply", "lab"]);
    assert_eq!(postures(&node, "group"), ["X25519MLKEM1024"]);
    assert_eq!(postures(&node, "peer_signature"), ["ML-DSA-87"]);
    assert!(caller.stop() > 0);
    let epoch = changed(&node, &["show"])["epoch"].clone();

    // Each is noticed by its file, refused with its reason, and what was in force stays.
    let refused_since = |reason: &str| {
        node.process.signal("HUP");
        let tail = Running::start(
            command(&node.state).args(["audit", "tail", "-n", "100", "--follow", "--output", "jsonl"]),
        );
        loop {
            let record = tail.json();
            let said = record["reason"].as_str().unwrap_or_default();
            if record["outcome"] == "failed" && said.contains(reason) {
                return;
            }
        }
    };
    std::fs::write(&document, DOCUMENT.replace("epoch = 7", "epoch = 6")).unwrap();
    assert_eq!(sign(folder, &document, "signer.pem").code, 0);
    refused_since("epoch 7 was in force already");
    std::fs::write(&document, DOCUMENT.replace("epoch = 7", "epoch = 8")).unwrap();
    refused_since("does not match the document");
    assert_eq!(changed(&node, &["show"])["epoch"], epoch);

    let bad = folder.join("bad.toml");
    std::fs::write(&bad, DOCUMENT.replace("\"ML-DSA-87\", ", "\"ML-DSA-88\", ")).unwrap();
    let refused = sign(folder, &bad, "signer.pem");
    assert!(refused.code > 0 && refused.stderr.contains("bad.toml:9:"), "{}", refused.stderr);
}

/// checklist 9: the authority's own root is replaced, with both trusted for a while.
#[test]
fn a_root_is_replaced_while_calls_go_on() {
    let node = Node::up();
    let caller = Caller::start(node.connect("sample"));
    let before = status(&node)["node"]["authority"].clone();
    let rotated = node.run(&[
        "identity",
        "rotate-root",
        "MLDSA65-Ed25519-SHA512",
        "--overlap",
        "1h",
        "--output",
        "json",
    ]);
    assert_eq!(rotated.code, 0, "{}", rotated.stderr);
    assert_ne!(rotated.json()["fingerprint"], before);
    assert_eq!(status(&node)["node"]["authority"], rotated.json()["fingerprint"]);
    let change = changed(&node, &["apply", "bsi-hybrid"]);
    nobody_is_behind(&node, change["epoch"].as_u64().unwrap());
    assert!(caller.stop() > 0);
    Caller::start(node.connect("sample")).stop();
}

/// checklist 8 and 18: every live link reports what it is, and the inventory says so in a standard form.
#[test]
fn the_inventory_has_every_link_and_certificate() {
    let node = Node::up();
    let caller = Caller::start(node.connect("sample"));
    let ours = changed(&node, &["inventory"]);
    let text = ours.to_string();
    for expected in
        ["X25519MLKEM768", "MLDSA65-Ed25519-SHA512", "TLS_AES_256_GCM_SHA384", "aws-lc", "spiffe://"]
    {
        assert!(text.contains(expected), "{expected}: {ours:#}");
    }
    let standard = changed(&node, &["inventory", "--format", "cyclonedx"]);
    assert_eq!((&standard["bomFormat"], &standard["specVersion"]), (&json!("CycloneDX"), &json!("1.7")));
    let link = links(&node).pop().unwrap();
    for fact in ["group", "provider", "cipher", "peer_signature", "own_signature", "epoch", "profile"] {
        assert!(!link["posture"][fact].is_null(), "{fact}: {link:#}");
    }
    assert!(caller.stop() > 0);
}
