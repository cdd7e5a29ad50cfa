//! Facts in files.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use lockgate_facts::{Absence, Facts, From};

use crate::rig::{ask, facts, now_ms, record, rooms, spec, why};

fn write(path: &Path, text: &str) {
    let new = path.with_extension("new");
    std::fs::write(&new, text).unwrap();
    std::fs::rename(&new, path).unwrap();
}

fn by_key(rooms: i64) -> String {
    serde_json::json!({"p-1": record(rooms), "p-2": {"patient": "p-2", "rooms": 0}}).to_string()
}

fn file(text: &str) -> (tempfile::TempDir, PathBuf, Facts) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("appointments.json");
    write(&path, text);
    let mut spec = spec(From::File(path.clone()), Some("patient"));
    spec.deadline_ms = 5_000;
    (folder, path, facts(spec))
}

/// Waits until the fact is what it should be.
async fn becomes(facts: &Facts, expected: Option<i64>) {
    let until = Instant::now() + Duration::from_secs(20);
    while rooms(&ask(facts, "p-1", now_ms()).await) != expected {
        assert!(Instant::now() < until, "it never became {expected:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn records_are_found_by_key_and_read_again_when_they_change() {
    let (_folder, path, facts) = file(&by_key(1));
    assert_eq!(rooms(&ask(&facts, "p-1", now_ms()).await), Some(1));
    assert_eq!(rooms(&ask(&facts, "p-2", now_ms()).await), Some(0));
    assert_eq!(why(&ask(&facts, "p-3", now_ms()).await), Absence::NoRecord);
    write(&path, &by_key(2));
    becomes(&facts, Some(2)).await;
    write(&path, "{}");
    becomes(&facts, None).await;
}

/// Half a file changes nothing, until what it was is too old.
#[tokio::test]
async fn half_a_file_is_the_last_whole_one_until_that_is_too_old() {
    let (_folder, path, facts) = file(&by_key(1));
    assert_eq!(rooms(&ask(&facts, "p-1", now_ms()).await), Some(1));
    write(&path, &by_key(2)[..20]);
    tokio::time::sleep(Duration::from_millis(250)).await;
    assert_eq!(rooms(&ask(&facts, "p-1", now_ms()).await), Some(1));
    let gathered = ask(&facts, "p-1", now_ms() + 61_000).await;
    assert!(matches!(why(&gathered), Absence::Stale { .. }), "{gathered:?}");
    assert!(gathered.used[0].age_ms.unwrap() > 60_000);
}

/// Whoever keeps a file stopped doing so an hour ago.
#[tokio::test]
async fn a_file_that_nobody_writes_is_stale() {
    let (_folder, path, facts) = file(&by_key(1));
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    file.set_modified(SystemTime::now() - Duration::from_secs(3_600)).unwrap();
    assert!(matches!(why(&ask(&facts, "p-1", now_ms()).await), Absence::Stale { .. }));
    file.set_modified(SystemTime::now() + Duration::from_secs(3_600)).unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(matches!(why(&ask(&facts, "p-1", now_ms()).await), Absence::Future { .. }));
}

#[tokio::test]
async fn what_is_no_file_of_records() {
    for text in
        ["", "[]", "{\"p-1\":1}", "{\"p-1\":{\"patient\":\"p-1\"}}", "{\"p-1\":{},\"p-1\":{}}", "\u{0}"]
    {
        let (_folder, _path, facts) = file(text);
        assert_eq!(rooms(&ask(&facts, "p-1", now_ms()).await), None, "{text}");
    }
    let (_folder, path, facts) = file("{}");
    std::fs::remove_file(&path).unwrap();
    assert!(matches!(why(&ask(&facts, "p-1", now_ms()).await), Absence::Unreachable(_)));
    // A directory, and a pipe that nobody writes into, are told at once.
    std::fs::create_dir(&path).unwrap();
    tokio::time::sleep(Duration::from_millis(600)).await;
    assert!(matches!(why(&ask(&facts, "p-1", now_ms()).await), Absence::Unreachable(_)));
}

#[tokio::test]
async fn a_record_without_key_is_the_whole_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("staff.json");
    write(&path, &record(5).to_string());
    let mut spec = spec(From::File(path), None);
    spec.deadline_ms = 5_000;
    assert_eq!(rooms(&ask(&facts(spec), "whoever", now_ms()).await), Some(5));
}
