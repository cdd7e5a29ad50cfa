//! A log as its users meet it: written, read, and damaged in every way that the verifier must find.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use lockgate_audit::{
    AuditError, Break, Durability, Entry, Kind, Log, Options, Outcome, Record, What, follow, tail, verify,
};
use proptest::prelude::*;

type Damage = fn(&mut Vec<Vec<u8>>);

fn record(name: &str) -> Record<'_> {
    Record {
        method: Some("tools/call".into()),
        name: Some(name.into()),
        ..Record::new(Kind::Call, Outcome::Ok)
    }
}

/// A closed log of `count` records; segments hold about four each.
fn written(dir: &Path, count: usize) {
    let log = Log::open(dir, small_segments()).expect("opens");
    for number in 1..=count {
        let name = format!("tool-{number}");
        let receipt = log.append(&record(&name), Durability::Grouped);
        assert_eq!(receipt.expect("appends").seq(), number as u64);
    }
}

fn small_segments() -> Options {
    Options { segment_bytes_max: 3400, ..Options::default() }
}

fn segments(dir: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(dir)
        .expect("lists")
        .map(|entry| entry.expect("reads").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "jsonl"))
        .collect();
    files.sort();
    files
}

fn lines(path: &Path) -> Vec<Vec<u8>> {
    let bytes = fs::read(path).expect("reads");
    let lines = bytes.split_inclusive(|byte| *byte == b'\n');
    lines.map(<[u8]>::to_vec).collect()
}

fn broken(dir: &Path) -> Break {
    match verify(dir) {
        Err(AuditError::Broken(found)) => found,
        other => panic!("not found: {other:?}"),
    }
}

#[test]
fn what_is_appended_is_chained_across_segments_and_verifies() {
    let dir = tempfile::tempdir().expect("temporary");
    let dir = dir.path().join("a/audit");
    written(&dir, 10);
    written_more(&dir, 10, 3);
    let report = verify(&dir).expect("holds");
    assert!(report.segments >= 3, "{report:?}");
    assert_eq!((report.records, report.torn_bytes), (13, 0));
    assert_eq!(report.end_known_to, Some(13));
    assert_eq!(report.last.expect("there").seq, 13);
    for (path, mode) in [(dir.clone(), 0o700)]
        .into_iter()
        .chain(segments(&dir).into_iter().map(|path| (path, 0o600)))
        .chain(["head", "lock"].map(|name| (dir.join(name), 0o600)))
    {
        let metadata = fs::metadata(&path).expect("there");
        assert_eq!(metadata.permissions().mode() & 0o777, mode, "{path:?}");
    }
}

/// Goes on with a log of `before` records.
fn written_more(dir: &Path, before: u64, count: u64) {
    let log = Log::open(dir, small_segments()).expect("opens again");
    assert_eq!(log.head().0, before);
    for number in 1..=count {
        let receipt = log.append(&record("later"), Durability::Grouped);
        assert_eq!(receipt.expect("appends").seq(), before + number);
    }
}

#[test]
fn every_deed_is_named_with_its_place() {
    let table: [(&str, Damage, u64, u64, What); 9] = [
        ("a letter changed", |lines| change(&mut lines[1]), 2, 6, What::Changed),
        (
            "no JSON any more",
            |lines| lines[1][0] = b'?',
            2,
            6,
            What::NotARecord("expected value, at byte 1".to_owned()),
        ),
        ("a line gone", |lines| drop(lines.remove(1)), 2, 6, What::Missing { next: 7 }),
        ("the first line gone", |lines| drop(lines.remove(0)), 1, 5, What::Missing { next: 6 }),
        ("two lines swapped", |lines| lines.swap(1, 2), 2, 7, What::OutOfOrder { due: 6 }),
        ("a line doubled", |lines| lines.insert(2, lines[1].clone()), 3, 6, What::Duplicate),
        ("an old line again", |lines| lines.push(lines[0].clone()), 5, 5, What::Duplicate),
        (
            "two histories",
            |lines| {
                let mut other = lines[1].clone();
                change(&mut other);
                lines.insert(2, other);
            },
            3,
            6,
            What::Fork,
        ),
        ("a line slipped in", |lines| renumber(lines), 2, 6, What::Changed),
    ];
    for (name, damage, line, seq, what) in table {
        let dir = tempfile::tempdir().expect("temporary");
        let dir = dir.path().join("audit");
        written(&dir, 12);
        let second = segments(&dir)[1].clone();
        let mut content = lines(&second);
        assert_eq!(content.len(), 4, "records 5 to 8");
        damage(&mut content);
        fs::write(&second, content.concat()).expect("writes");
        let found = broken(&dir);
        let expected = Break { file: second, line, seq, what };
        assert_eq!(found, expected, "{name}");
    }
}

/// Another name for the tool, as long as the one before.
fn change(line: &mut [u8]) {
    let at = line.windows(5).position(|bytes| bytes == b"tool-").expect("named");
    line[at] = b'T';
}

/// Replaces record 6 by a forged one that carries the right number and the right predecessor.
fn renumber(lines: &mut [Vec<u8>]) {
    let line = String::from_utf8(lines[1].clone()).expect("text");
    lines[1] = line.replace("tools/call", "tools/list").into_bytes();
}

#[test]
fn two_lines_that_became_one_are_found() {
    let dir = tempfile::tempdir().expect("temporary");
    let dir = dir.path().join("audit");
    written(&dir, 12);
    let second = segments(&dir)[1].clone();
    let mut content = lines(&second);
    content[1].pop();
    fs::write(&second, content.concat()).expect("writes");
    let found = broken(&dir);
    assert_eq!((found.line, found.seq), (2, 6));
    assert!(matches!(found.what, What::NotARecord(_)), "{found}");
}

#[test]
fn a_missing_end_is_found_as_long_as_the_head_file_is_there() {
    let dir = tempfile::tempdir().expect("temporary");
    let dir = dir.path().join("audit");
    written(&dir, 12);
    let last = segments(&dir).pop().expect("there");
    let content = lines(&last);
    fs::write(&last, content[..content.len() - 1].concat()).expect("writes");
    let found = broken(&dir);
    assert_eq!((found.seq, found.what), (12, What::TailMissing { synced: 12 }));
    fs::remove_file(&last).expect("removes");
    assert_eq!(broken(&dir).what, What::TailMissing { synced: 12 });
    let refused = Log::open(&dir, small_segments()).expect_err("no new record over a gap");
    assert!(matches!(refused, AuditError::Broken(_)), "{refused}");

    fs::remove_file(dir.join("head")).expect("removes");
    let report = verify(&dir).expect("the documented limit");
    assert_eq!((report.records, report.end_known_to), (8, None));
    drop(Log::open(&dir, small_segments()).expect("opens"));
    let noted = tail(&dir, 1).expect("reads").remove(0);
    assert!(noted.contains("the head file was gone"), "{noted}");
}

#[test]
fn a_head_file_put_back_from_another_log_is_found() {
    let dir = tempfile::tempdir().expect("temporary");
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    written(&one, 5);
    written(&two, 5);
    fs::copy(one.join("head"), two.join("head")).expect("copies");
    assert_eq!(broken(&two).what, What::HeadMismatch);
    fs::write(two.join("head"), "{}").expect("writes");
    assert_eq!(broken(&two).what, What::HeadUnreadable);
}

#[test]
fn a_segment_taken_from_the_middle_is_missed_and_one_from_the_front_is_reported() {
    let dir = tempfile::tempdir().expect("temporary");
    let dir = dir.path().join("audit");
    written(&dir, 12);
    let files = segments(&dir);
    fs::remove_file(&files[0]).expect("removes");
    let report = verify(&dir).expect("holds from there on");
    assert_eq!(report.first.expect("there").seq, 5);
    written_more(&dir, 12, 1);
    fs::remove_file(&files[1]).expect("removes");
    assert_eq!(verify(&dir).expect("holds").records, 5);
    drop(dir);

    let dir = tempfile::tempdir().expect("temporary");
    let dir = dir.path().join("audit");
    written(&dir, 12);
    fs::remove_file(&segments(&dir)[1]).expect("removes");
    let found = broken(&dir);
    assert_eq!((found.seq, found.what), (5, What::Missing { next: 9 }));
}

#[test]
fn a_torn_last_line_is_reported_cut_off_and_recorded() {
    let dir = tempfile::tempdir().expect("temporary");
    let dir = dir.path().join("audit");
    written(&dir, 6);
    let last = segments(&dir).pop().expect("there");
    let torn = br#"{"schema":"lockgate.audit/1","seq":7,"pre"#;
    let mut content = fs::read(&last).expect("reads");
    content.extend_from_slice(torn);
    fs::write(&last, content).expect("writes");
    let report = verify(&dir).expect("a torn end is not damage");
    assert_eq!((report.records, report.torn_bytes), (6, torn.len() as u64));

    written_more(&dir, 7, 1);
    let report = verify(&dir).expect("holds");
    assert_eq!((report.records, report.torn_bytes), (8, 0));
    let noted = Entry::parse(&tail(&dir, 2).expect("reads")[0]).expect("a record");
    assert_eq!(noted.record.kind, Kind::Lifecycle);
    assert_eq!(noted.record.count, Some(torn.len() as u64));
}

#[test]
fn zeros_that_a_power_cut_left_behind_the_synced_end_are_cut_off() {
    let dir = tempfile::tempdir().expect("temporary");
    let dir = dir.path().join("audit");
    written(&dir, 4);
    let begun = dir.join("audit-00000000000000000005.jsonl");
    fs::write(&begun, [0; 700]).expect("writes");
    written_more(&dir, 5, 1);
    assert_eq!(verify(&dir).expect("holds").records, 6);
    let noted = Entry::parse(&tail(&dir, 2).expect("reads")[0]).expect("a record");
    assert_eq!(noted.record.count, Some(700));
}

#[test]
fn damage_before_the_synced_end_stops_the_log_from_going_on() {
    let dir = tempfile::tempdir().expect("temporary");
    let dir = dir.path().join("audit");
    written(&dir, 7);
    let last = segments(&dir).pop().expect("there");
    let mut content = lines(&last);
    change(&mut content[1]);
    fs::write(&last, content.concat()).expect("writes");
    let refused = Log::open(&dir, small_segments()).expect_err("damaged");
    assert!(matches!(refused, AuditError::Broken(_)), "{refused}");
    assert_eq!(lines(&last), content, "evidence stays as it is");
}

#[test]
fn a_second_writer_is_told_who_holds_the_log() {
    let dir = tempfile::tempdir().expect("temporary");
    let dir = dir.path().join("audit");
    let log = Log::open(&dir, Options::default()).expect("opens");
    let refused = Log::open(&dir, Options::default()).expect_err("held");
    let holder = format!("process {}", std::process::id());
    assert!(refused.to_string().contains(&holder), "{refused}");
    drop(log);
    Log::open(&dir, Options::default()).expect("free again");
}

#[test]
fn a_directory_that_others_can_reach_is_refused() {
    let dir = tempfile::tempdir().expect("temporary");
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o750)).expect("sets");
    let refused = Log::open(dir.path(), Options::default()).expect_err("open to the group");
    assert!(refused.to_string().contains("chmod 700"), "{refused}");
}

#[test]
fn tail_reads_the_newest_lines_across_segments_and_blocks() {
    let dir = tempfile::tempdir().expect("temporary");
    let dir = dir.path().join("audit");
    assert!(matches!(tail(&dir, 1), Err(AuditError::Io { .. })));
    let log = Log::open(&dir, Options { segment_bytes_max: 150_000, ..Options::default() });
    let log = log.expect("opens");
    assert!(tail(&dir, 5).expect("reads").is_empty());
    let long = "x".repeat(1500);
    for _ in 0..250 {
        let _ = log.append(&record(&long), Durability::Grouped).expect("appends");
    }
    for count in [0, 1, 2, 50, 100, 249, 250, 1000] {
        let lines = tail(&dir, count).expect("reads");
        let seqs: Vec<u64> = lines.iter().map(|line| Entry::parse(line).expect("a record").seq).collect();
        let first = 250 - count.min(250) as u64;
        assert_eq!(seqs, (first + 1..=250).collect::<Vec<_>>());
    }
}

#[test]
fn follow_gives_every_line_once_across_segments_while_they_are_written() {
    let dir = tempfile::tempdir().expect("temporary");
    let dir = dir.path().join("audit");
    let log = Log::open(&dir, small_segments()).expect("opens");
    let _ = log.append(&record("before"), Durability::Grouped).expect("appends");
    let mut follow = follow(&dir, 1).expect("follows");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for _ in 0..200 {
                let _ = log.append(&record("tool"), Durability::Grouped).expect("appends");
            }
        });
        let mut due = 1;
        while due <= 201 {
            for line in follow.next_lines().expect("reads") {
                assert_eq!(Entry::parse(&line).expect("a record").seq, due);
                due += 1;
            }
        }
    });
}

#[tokio::test]
async fn many_writers_share_one_chain_and_durable_ones_wait_for_the_disk() {
    let dir = tempfile::tempdir().expect("temporary");
    let dir = dir.path().join("audit");
    let log = Log::open(&dir, small_segments()).expect("opens");
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let _ = log.append(&record("tool"), Durability::Grouped).expect("appends");
                }
            });
        }
    });
    let receipt = log.record(&record("paid"), Durability::Durable).await.expect("durable");
    assert_eq!(receipt.seq(), 201);
    assert!(verify(&dir).expect("holds").end_known_to >= Some(201));
    let _ = log.append(&record("tool"), Durability::Grouped).expect("appends");
    log.flush().await.expect("flushes");
    let report = verify(&dir).expect("holds");
    assert_eq!(report.end_known_to, Some(202));
    assert_eq!((202, report.head_hash), log.head());
}

#[tokio::test]
async fn a_log_whose_file_was_deleted_refuses_from_the_next_sync_on() {
    let dir = tempfile::tempdir().expect("temporary");
    let dir = dir.path().join("audit");
    let log = Log::open(&dir, Options::default()).expect("opens");
    log.record(&record("a"), Durability::Durable).await.map(drop).expect("durable");
    fs::remove_file(&segments(&dir)[0]).expect("removes");
    let refused = log.record(&record("b"), Durability::Durable).await;
    assert!(matches!(refused, Err(AuditError::Unavailable { .. })), "{refused:?}");
    let refused = log.append(&record("c"), Durability::Grouped).expect_err("stays so");
    assert!(refused.to_string().contains("was deleted"), "{refused}");
    log.available().expect_err("stays so");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    /// Any changed byte in any file of a closed log is found.
    #[test]
    fn a_changed_byte_anywhere_is_found(at: prop::sample::Index, change in 1..=255_u8) {
        let dir = tempfile::tempdir().expect("temporary");
        let dir = dir.path().join("audit");
        written(&dir, 6);
        let mut files = segments(&dir);
        files.push(dir.join("head"));
        let sizes = files.iter().map(|path| fs::metadata(path).expect("there").len() as usize);
        let sizes: Vec<usize> = sizes.collect();
        let mut at = at.index(sizes.iter().sum());
        let file = sizes.iter().position(|size| at.checked_sub(*size).map(|rest| at = rest).is_none());
        let path = &files[file.expect("within")];
        let mut bytes = fs::read(path).expect("reads");
        bytes[at] ^= change;
        fs::write(path, bytes).expect("writes");
        prop_assert!(matches!(verify(&dir), Err(AuditError::Broken(_))));
    }

    /// No bytes whatever make reading panic, and only the log's own bytes verify.
    #[test]
    fn foreign_bytes_are_never_a_log(bytes in prop::collection::vec(any::<u8>(), 1..2000)) {
        let dir = tempfile::tempdir().expect("temporary");
        fs::write(dir.path().join("audit-00000000000000000001.jsonl"), &bytes).expect("writes");
        tail(dir.path(), 3).expect("shows what is there");
        match verify(dir.path()) {
            Ok(report) => prop_assert_eq!((report.records, report.torn_bytes), (0, bytes.len() as u64)),
            Err(error) => prop_assert!(matches!(error, AuditError::Broken(_))),
        }
    }
}
