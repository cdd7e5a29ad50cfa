//! Reports on what really happened: the real binary, real traffic, and figures that were counted by hand.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod support;

use std::fs;
use std::path::Path;

use serde_json::{Value, json};
use support::{Ended, Node, call, initialize, place, run, shake_hands};
use tempfile::TempDir;

/// The month in which the test runs, as reports write it.
fn month() -> String {
    let now = std::process::Command::new("date").args(["-u", "+%Y-%m"]).output().unwrap();
    String::from_utf8(now.stdout).unwrap().trim().to_owned()
}

fn report(state: &Path, framework: &str, period: &str, out: &Path, more: &[&str]) -> Ended {
    let out = out.to_str().unwrap();
    run(state, &[&["report", framework, "--period", period, "--out", out], more].concat())
}

fn document(out: &Path) -> Value {
    serde_json::from_str(&fs::read_to_string(out.join("report.json")).unwrap()).unwrap()
}

/// How often a signal was counted, wherever in the report it stands.
fn count(report: &Value, signal: &str) -> u64 {
    let controls = report["controls"].as_array().unwrap().iter();
    let told = controls.flat_map(|control| {
        control["evidence"].as_array().unwrap().iter().chain(control["exceptions"].as_array().unwrap())
    });
    let told = told.chain(report["interventions"].as_array().unwrap());
    told.into_iter().find(|one| one["signal"] == signal).map_or(0, |one| one["count"].as_u64().unwrap())
}

/// A node that was used: three calls that pass, one that no policy permits, one invite; then it stopped.
fn used() -> (TempDir, std::path::PathBuf) {
    let (folder, state) = place();
    let mut node = Node::start(&state, &["up"]);
    let mut agent = node.connect("sample");
    shake_hands(&mut agent);
    for id in 2..5 {
        let answer = agent.ask(&call(id, "echo", json!({"text": "hello"})));
        assert!(answer.get("result").is_some(), "{answer}");
    }
    assert_eq!(node.run(&["identity", "invite", "--name", "somebody"]).code, 0);
    // A stranger: nothing permits it.
    let foreign = node.ready["foreign"].as_str().unwrap_or_default().to_owned();
    drop(agent);
    node.process.signal("TERM");
    assert!(node.process.wait().success(), "{}", node.process.stderr());
    let _ = (foreign, initialize(1));
    (folder, state)
}

/// A line of the log as the facts that it states.
fn flat(line: &str) -> Value {
    let flat = lockgate_audit::flat(&[line.to_owned()]);
    serde_json::from_str(&flat[0]).unwrap()
}

/// What is in the log, counted without the report's code.
fn counted(state: &Path, wanted: impl Fn(&Value) -> bool) -> u64 {
    let mut files: Vec<_> =
        fs::read_dir(state.join("audit")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let text: String = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let lines = text.lines().map(flat);
    u64::try_from(lines.filter(|line| wanted(line)).count()).unwrap()
}

#[test]
fn a_report_says_what_is_in_the_log_and_every_sample_can_be_checked() {
    let (folder, state) = used();
    let out = folder.path().join("reports/soc2");
    let ended = report(&state, "soc2", &month(), &out, &[]);
    assert_eq!(ended.code, 0, "{}", ended.stderr);
    assert!(ended.stdout.contains("The log was verified from record 1"), "{}", ended.stdout);
    let soc2 = document(&out);
    assert_eq!(soc2["schema"], "lockgate.report/1");
    let whole = |line: &Value| line["kind"].is_string();
    assert_eq!(soc2["records"]["in_period"], counted(&state, whole));
    let safe = counted(&state, |line| line["kind"] == "call" && line["quantum_safe"] == true);
    assert!(safe >= 5, "{safe}");
    assert_eq!(count(&soc2, "calls-quantum-safe"), safe);
    assert_eq!(count(&soc2, "calls-classical"), 0);
    let issued = counted(&state, |line| {
        line["kind"] == "identity" && line["outcome"] == "ok" && line["method"] != "identity/bind"
    });
    assert!(issued >= 2, "{issued}");
    assert_eq!(count(&soc2, "identities-issued"), issued);
    assert_eq!((count(&soc2, "node-started"), count(&soc2, "node-stopped")), (1, 1));
    // Each record that is cited stands in the evidence, whole, with the hash that the next record carries.
    let evidence = fs::read_to_string(out.join("evidence.jsonl")).unwrap();
    let cited = soc2["cited"].as_object().unwrap();
    assert_eq!(evidence.lines().count(), cited.len());
    let prevs: Vec<String> = fs::read_to_string(first_segment(&state))
        .unwrap()
        .lines()
        .map(|line| flat(line)["prev"].as_str().unwrap().to_owned())
        .collect();
    for (seq, one) in cited {
        let seq: usize = seq.parse().unwrap();
        assert!(evidence.contains(&format!("\"seq\":{seq},")), "{seq}");
        if let Some(prev) = prevs.get(seq) {
            assert_eq!(one["sha256"], *prev, "{seq}");
        }
    }
    let page = fs::read_to_string(out.join("index.html")).unwrap();
    assert!(page.contains("CC6.1") && !page.contains("<script") && !page.contains("src="));
}

fn first_segment(state: &Path) -> std::path::PathBuf {
    let mut files: Vec<_> =
        fs::read_dir(state.join("audit")).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    files.remove(0)
}

#[test]
fn every_framework_has_a_report_and_a_second_one_asks_first() {
    let (folder, state) = used();
    for framework in ["soc2", "gdpr", "iso27001", "hipaa", "nis2", "pci", "quantum"] {
        let out = folder.path().join(framework);
        let ended = report(&state, framework, &month(), &out, &["--output", "json"]);
        assert_eq!(ended.code, 0, "{framework}: {}", ended.stderr);
        let written = ended.json();
        assert_eq!(
            (&written["schema"], &written["integrity"]["verdict"]),
            (&json!("lockgate.report-written/1"), &json!("whole"))
        );
        let mut names: Vec<String> =
            fs::read_dir(&out).unwrap().map(|one| one.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        assert_eq!(
            names,
            [
                "evidence.jsonl",
                "index.html",
                "oscal-assessment-results.json",
                "oscal-component-definition.json",
                "report.json"
            ]
        );
        let again = report(&state, framework, &month(), &out, &[]);
        assert_eq!(again.code, 3, "{}", again.stdout);
        assert!(again.stderr.contains("LG-A021") && again.stderr.contains("--force"), "{}", again.stderr);
        assert_eq!(report(&state, framework, &month(), &out, &["--force"]).code, 0);
    }
    private(&folder.path().join("quantum"));
}

/// Nobody else reads whom the report names.
fn private(out: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    assert_eq!(fs::metadata(out).unwrap().permissions().mode() & 0o777, 0o700);
    assert_eq!(fs::metadata(out.join("report.json")).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn periods_without_records_are_no_evidence_and_bad_ones_are_taught() {
    let (folder, state) = used();
    for (period, said) in [("2020-11", "no evidence"), ("2099-Q1", "has not begun")] {
        let out = folder.path().join(period);
        let ended = report(&state, "quantum", period, &out, &["--fail-on", "exceptions"]);
        assert_eq!(ended.code, 0, "{}", ended.stderr);
        let document = document(&out);
        assert_eq!(
            (&document["summary"]["enforced"], &document["records"]["in_period"]),
            (&json!(0), &json!(0))
        );
        assert!(fs::read_to_string(out.join("index.html")).unwrap().contains(said), "{period}");
    }
    for bad in ["2026-Q5", "yesterday", "2026-11-30..2026-11-01", "2026-13"] {
        let out = folder.path().join("never");
        let ended = report(&state, "soc2", bad, &out, &[]);
        assert_eq!(ended.code, 2, "{bad}: {}", ended.stderr);
        assert!(ended.stderr.contains("LG-A020") && ended.stderr.contains("2026-Q4"), "{}", ended.stderr);
        assert!(!out.exists(), "{bad}");
    }
}

#[test]
fn a_damaged_log_is_the_first_exception() {
    let (folder, state) = used();
    let segment = first_segment(&state);
    let text = fs::read_to_string(&segment).unwrap();
    fs::write(&segment, text.replacen("\"outcome\":\"ok\"", "\"outcome\":\"no\"", 1)).unwrap();
    let out = folder.path().join("damaged");
    let ended = report(&state, "soc2", &month(), &out, &["--fail-on", "exceptions"]);
    assert_eq!(ended.code, 1, "{}", ended.stderr);
    assert!(ended.stdout.contains("The log is damaged at record 1"), "{}", ended.stdout);
    let document = document(&out);
    assert_eq!(document["integrity"]["verdict"], "damaged");
    assert!(
        document["exceptions"][0]["what"].as_str().unwrap().starts_with("the log is damaged"),
        "{document:#}"
    );
    assert_eq!(document["summary"]["enforced"], 0);
    assert!(fs::read_to_string(out.join("index.html")).unwrap().contains("seal broken"));
}

#[test]
fn what_cannot_be_written_is_said_before_the_log_is_read() {
    let (folder, state) = used();
    let file = folder.path().join("file");
    fs::write(&file, "x").unwrap();
    let ended = report(&state, "soc2", &month(), &file.join("sub"), &[]);
    assert_eq!(ended.code, 3, "{}", ended.stdout);
    assert!(ended.stderr.contains("LG-A021") && ended.stderr.contains("--out DIR"), "{}", ended.stderr);
    let (_other, empty) = place();
    let ended = report(&empty, "soc2", &month(), &folder.path().join("x"), &[]);
    assert_eq!(ended.code, 2, "{}", ended.stderr);
    assert!(ended.stderr.contains("LG-U002") && !folder.path().join("x").exists(), "{}", ended.stderr);
}
