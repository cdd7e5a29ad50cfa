//! Events of every class: read back as the record that they were made of, and valid by the published schema; and the
//! whole log, checked by a program that knows the specifications and none of our code.

#![allow(clippy::unwrap_used)]

use std::borrow::Cow;
use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use lockgate_audit::tlog::checkpoint::Signer;
use lockgate_audit::{
    Commitment, Content, Durability, Entry, Kind, Log, Options, Outcome, Record, Sealing, Text, prove, tail,
};
use lockgate_crypto::PrivateKey;
use lockgate_crypto::note::Signs;
use proptest::prelude::*;

/// Every kind of record, as the node writes them.
fn samples() -> Vec<Record<'static>> {
    let method = |kind, outcome, method: &'static str| Record {
        agent: Some("spiffe://example.org/agent/a".into()),
        method: Some(method.into()),
        name: Some("subject".into()),
        reason: Some("why".into()),
        ..Record::new(kind, outcome)
    };
    let mut samples = vec![full(Kind::Call), full(Kind::Refusal)];
    let outcomes = [Outcome::Ok, Outcome::Refused, Outcome::Failed, Outcome::Cancelled];
    let kinds = [
        Kind::Call,
        Kind::Refusal,
        Kind::Link,
        Kind::Stream,
        Kind::Identity,
        Kind::Policy,
        Kind::Detect,
        Kind::Crypto,
        Kind::Lifecycle,
    ];
    for kind in kinds {
        samples.push(full(kind));
        samples.extend(outcomes.map(|outcome| Record::new(kind, outcome)));
    }
    for stage in ["accept", "secure", "verify"] {
        samples.push(Record {
            stage: Some(stage.into()),
            peer: Some("192.0.2.1:4711".into()),
            ..Record::new(Kind::Refusal, Outcome::Refused)
        });
    }
    for name in ["invite", "revoke", "restore", "bind", "enrol", "enrol-local", "renew", "svid", "token"] {
        let name: &'static str = Box::leak(format!("identity/{name}").into_boxed_str());
        samples.push(method(Kind::Identity, Outcome::Ok, name));
        samples.push(Record { agent: None, name: None, ..method(Kind::Identity, Outcome::Refused, name) });
    }
    for name in ["threats/approve", "alert/kill"] {
        samples.push(method(Kind::Detect, Outcome::Refused, name));
    }
    for name in ["initialize", "ping", "tools/list", "resources/unsubscribe", "logging/setLevel", "-", "x/y"]
    {
        samples.push(method(Kind::Call, Outcome::Ok, name));
    }
    for reason in ["node started", "node stopped", "node draining"] {
        samples.push(Record { reason: Some(reason.into()), ..Record::new(Kind::Lifecycle, Outcome::Ok) });
    }
    samples
}

/// A record with every fact that there is.
fn full(kind: Kind) -> Record<'static> {
    let text = |text: &'static str| Some(Cow::Borrowed(text));
    let list = |one: &str| Cow::Owned(vec![one.to_owned(), "second".to_owned()]);
    Record {
        kind,
        outcome: Outcome::Refused,
        stage: text("permit"),
        agent: text("spiffe://example.org/agent/a"),
        principal: text("certificate 1234"),
        peer: text("[2001:db8::7]:8443"),
        server: text("crm"),
        method: text("tools/call"),
        name: text("get_customer"),
        request_id: text("\"one\""),
        session: text("0123abcd"),
        code: Some(-31_001),
        reason: text("no policy permits it"),
        policies: list("crm.read"),
        policy_generation: Some(7),
        consequence: text("kill"),
        approval: text("spiffe://example.org/person/p"),
        shadow: text("deny"),
        facts: text("5d41"),
        roles: list("support"),
        argument_names: list("id"),
        arguments: text("{\"id\":\"c-1\"}"),
        subjects: list("00112233445566778899aabbccddeeff"),
        committed: Cow::Owned(vec![committed("$", 12), committed("id", 3)]),
        committed_result: Cow::Owned(vec![Commitment { tag: None, ..committed("$", 2_000_000) }]),
        content: Some(Cow::Owned(Content { purpose: "treatment".to_owned(), sealed: "AQID".to_owned() })),
        left_out: list("result: larger than is read"),
        tool_definition: text("7d86"),
        prev_event: text("0123456789abcdef-6"),
        findings: list("LG-F001"),
        bytes_in: Some(100),
        bytes_out: Some(200),
        duration_us: Some(1234),
        quantum_safe: Some(true),
        protocol: text("TLSv1.3"),
        group: text("a group"),
        cipher: text("a cipher"),
        peer_signature: text("a signature"),
        own_signature: text("another"),
        resumed: Some(false),
        hello_retry: Some(false),
        handshake_us: Some(900),
        handshake_bytes_in: Some(1500),
        handshake_bytes_out: Some(7000),
        profile: text("a profile"),
        epoch: Some(3),
        count: Some(1),
        before: list("one"),
        after: list("two"),
    }
}

fn committed(path: &str, bytes: u64) -> Commitment {
    Commitment { path: path.to_owned(), bytes, tag: Some("0011".repeat(8)) }
}

fn signer() -> Signer {
    let key = PrivateKey::generate_algorithm("ML-DSA-44").unwrap();
    Signer::new("example.org/gateway/audit", key, Signs::Subtree).unwrap()
}

fn write(dir: &Path, signer: &Signer, samples: &[Record<'_>]) {
    let sealing = Some(Sealing::new("example.org/gateway/audit", vec![signer.clone()]));
    let log = Log::open(dir, Options { sealing, ..Options::default() }).unwrap();
    for record in samples {
        let _ = log.append(record, Durability::Grouped).unwrap();
    }
}

#[test]
fn every_kind_of_record_is_read_back_as_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("audit");
    let samples = samples();
    write(&dir, &signer(), &samples);
    let lines = tail(&dir, samples.len()).unwrap();
    for (line, record) in lines.iter().zip(&samples) {
        let entry = Entry::parse(line).unwrap();
        assert_eq!(entry.record, *record, "{line}");
        assert_eq!(Entry::parse(&entry.flat()).unwrap(), entry);
    }
}

/// Python with the packages of `tests/python`, if they are there.
fn python() -> Option<PathBuf> {
    let base = env::var_os("XDG_CACHE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let base = base.or_else(|| Some(PathBuf::from(env::var_os("HOME")?).join(".cache")))?;
    let python = base.join("lockgate/python/bin/python");
    let there = |package: &str| {
        let import = Command::new(&python).args(["-c", &format!("import {package}")]).output();
        import.is_ok_and(|output| output.status.success())
    };
    if there("ocsf_json_schema") && there("cryptography") {
        return Some(python);
    }
    eprintln!("skipped: run `cargo xtask install`, which installs Python's packages");
    None
}

#[test]
fn a_program_that_knows_only_the_specifications_finds_the_log_good() {
    let Some(python) = python() else { return };
    let dir = tempfile::tempdir().unwrap();
    let (log, proof) = (dir.path().join("audit"), dir.path().join("one.tlog-proof"));
    let signer = signer();
    let mut samples = samples();
    let many = samples.len() as u64 + 600;
    samples.extend((0..600).map(|_| full(Kind::Call)));
    write(&log, &signer, &samples);
    std::fs::write(&proof, prove(&log, 300).unwrap().unwrap().write()).unwrap();
    let script = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/python/audit.py");
    let check = || {
        let vkey = signer.public().to_string();
        Command::new(&python).arg(&script).arg(&log).arg(vkey).arg(&proof).output().unwrap()
    };
    let output = check();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&found["records"], &found["covered"], &found["proved"]),
        (&many.into(), &many.into(), &300.into())
    );
    let classes = found["classes"].as_object().unwrap();
    for class in ["2004", "3002", "3003", "3004", "3005", "5019", "6002", "6003"] {
        assert!(classes.contains_key(class), "{class} of {classes:?}");
    }
    // And it is no rubber stamp.
    let line = tail(&log, 1).unwrap().remove(0);
    let segment = log.join("audit-00000000000000000001.jsonl");
    let text = std::fs::read_to_string(&segment).unwrap();
    std::fs::write(&segment, text.replace(&line, &line.replace("get_customer", "get_customex"))).unwrap();
    assert!(!check().status.success(), "a changed record");
}

fn text() -> impl Strategy<Value = Option<Text<'static>>> {
    prop::option::of(any::<String>().prop_map(Text::from))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_call_with_any_texts_is_read_back_as_it_was(
        texts in prop::collection::vec(text(), 9),
        lists in prop::collection::vec(prop::collection::vec(any::<String>(), 0..3), 3),
        code: Option<i64>,
        duration_us: Option<u64>,
    ) {
        let [agent, principal, peer, server, method, name, request_id, session, reason] = texts.try_into().unwrap();
        let [policies, roles, findings] = lists.try_into().unwrap();
        let record = Record {
            agent, principal, peer, server, method, name, request_id, session, reason, code, duration_us,
            policies: policies.into(),
            roles: roles.into(),
            findings: findings.into(),
            ..Record::new(Kind::Call, Outcome::Ok)
        };
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("audit");
        let log = Log::open(&dir, Options::default()).unwrap();
        let _ = log.append(&record, Durability::Grouped).unwrap();
        let entry = Entry::parse(&tail(&dir, 1).unwrap()[0]).unwrap();
        prop_assert_eq!(entry.record, record);
    }
}
