//! What only another process can show: a writer that is killed, and one whose disk is full.
//!
//! The writer is this test program itself, started again for one ignored test with its orders in the environment.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use lockgate_audit::{AuditError, Durability, Entry, Kind, Log, Options, Outcome, Record, tail, verify};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

const DIR: &str = "LOCKGATE_AUDIT_TEST_DIR";

fn record() -> Record<'static> {
    Record {
        method: Some("tools/call".into()),
        name: Some("x".repeat(300).into()),
        ..Record::new(Kind::Call, Outcome::Ok)
    }
}

/// The command that runs one ignored test of this file in another process. The shell ignores SIGXFSZ for it, so that a
/// file that may not grow is an error and not the end.
fn run(test: &str, dir: &Path) -> Command {
    let mut command = Command::new("sh");
    command
        .args(["-c", "trap '' XFSZ; exec \"$@\"", "sh"])
        .arg(std::env::current_exe().expect("known"))
        .args([test, "--exact", "--ignored", "--nocapture"])
        .env(DIR, dir)
        .stdout(Stdio::piped());
    command
}

fn ordered_dir() -> std::path::PathBuf {
    std::env::var_os(DIR).expect("started by another test").into()
}

#[test]
fn every_acknowledged_record_survives_kill_9() {
    let dir = tempfile::tempdir().expect("temporary");
    let dir = dir.path().join("audit");
    let mut before = 0;
    for _ in 0..3 {
        let mut child = run("child_appends_until_it_is_killed", &dir).spawn().expect("starts");
        let output = BufReader::new(child.stdout.take().expect("piped"));
        let mut acknowledged = Vec::new();
        for line in output.lines() {
            let line = line.expect("reads");
            acknowledged.extend(line.strip_prefix("seq ").map(|seq| seq.parse::<u64>()));
            if acknowledged.len() == 500 {
                child.kill().expect("SIGKILL");
            }
        }
        child.wait().expect("ends");
        let last = acknowledged.pop().expect("some").expect("a number");
        assert!(last >= before + 500);
        let report = verify(&dir).expect("holds");
        assert!(report.records >= last, "{} < {last}", report.records);
        before = report.records;
    }
}

#[test]
#[ignore = "run by every_acknowledged_record_survives_kill_9"]
fn child_appends_until_it_is_killed() {
    let options = Options { segment_bytes_max: 64 << 10, ..Options::default() };
    let log = Log::open(&ordered_dir(), options).expect("opens");
    let mut out = std::io::stdout();
    loop {
        let receipt = log.append(&record(), Durability::Grouped).expect("appends");
        writeln!(out, "\nseq {}", receipt.seq()).expect("writes");
    }
}

#[test]
fn a_full_disk_refuses_leaves_no_half_line_and_recovers() {
    let dir = tempfile::tempdir().expect("temporary");
    let dir = dir.path().join("audit");
    let output = run("child_fills_its_disk", &dir).output().expect("runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{text}");
    let report = verify(&dir).expect("holds");
    assert_eq!((report.torn_bytes, report.end_known_to), (0, Some(report.records)));
}

#[test]
#[ignore = "run by a_full_disk_refuses_leaves_no_half_line_and_recovers"]
fn child_fills_its_disk() {
    let dir = ordered_dir();
    let log = Log::open(&dir, Options::default()).expect("opens");
    let limit = |bytes| {
        let maximum = getrlimit(Resource::Fsize).maximum;
        let current = Some(bytes);
        setrlimit(Resource::Fsize, Rlimit { current, maximum }).expect("below the hard limit");
    };
    limit(20_000);
    let mut written = 0;
    let refused = loop {
        match log.append(&record(), Durability::Grouped) {
            Ok(receipt) => written = receipt.seq(),
            Err(refused) => break refused,
        }
    };
    assert!(matches!(refused, AuditError::Unavailable { .. }));
    assert!(refused.to_string().contains("make room"), "{refused}");
    assert!(written > 10, "a few records fit");
    let report = verify(&dir).expect("holds while it is full");
    assert_eq!((report.records, report.torn_bytes), (written, 0));
    limit(report.bytes);
    log.append(&record(), Durability::Grouped).expect_err("still full");
    log.available().expect_err("still full");

    limit(1_000_000);
    let receipt = log.append(&record(), Durability::Durable).expect("room again");
    assert_eq!(receipt.seq(), written + 2);
    log.available().expect("room again");
    let note = Entry::parse(&tail(&dir, 2).expect("reads")[0]).expect("a record");
    assert_eq!((note.record.kind, note.record.count), (Kind::Lifecycle, Some(2)));
}
