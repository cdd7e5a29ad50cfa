//! Months that are taken away: what stays verifies, and their end stays known.

use std::fs;
use std::path::Path;

use lockgate_audit::{drop_month, months};

use crate::support::{append, broken, check, open, segments, signer, write_old};

/// A log of two months and some records of now, a file for each month.
fn log(dir: &Path) -> lockgate_audit::tlog::checkpoint::Signer {
    let times: Vec<String> = (0..300)
        .map(|n| format!("2026-{:02}-07T{:02}:{:02}:00.000000Z", 8 + n / 150, n % 150 / 60, n % 150 % 60))
        .collect();
    write_old(dir, &times.iter().map(String::as_str).collect::<Vec<_>>());
    let file = dir.join("audit-00000000000000000001.jsonl");
    let text = fs::read_to_string(&file).unwrap();
    let at = text.match_indices('\n').nth(149).unwrap().0 + 1;
    fs::write(dir.join("audit-00000000000000000151.jsonl"), &text[at..]).unwrap();
    fs::write(&file, &text[..at]).unwrap();
    let signer = signer();
    let log = open(dir, &signer);
    append(&log, 301, 5);
    signer
}

#[test]
fn months_go_from_the_oldest_on_and_what_stays_verifies() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("audit");
    let signer = log(&dir);
    let keys = [signer.public().clone()];
    let all: Vec<_> =
        months(&dir).unwrap().into_iter().map(|month| (month.month, month.first, month.last)).collect();
    assert_eq!(all[..2], [("2026-08".to_owned(), 1, 150), ("2026-09".to_owned(), 151, 300)]);
    assert_eq!(segments(&dir).len(), 3, "a month begins a file");
    assert_eq!(drop_month(&dir, "2026-09").unwrap(), 0, "only the oldest goes");
    assert_eq!(drop_month(&dir, "2026-08").unwrap(), 1);
    assert_eq!(drop_month(&dir, "2026-08").unwrap(), 0);
    let report = check(&dir, &keys).unwrap();
    assert_eq!((report.first.unwrap().seq, report.unsealed, report.shards[0].first), (151, 0, 151));
    assert_eq!(drop_month(&dir, "2026-09").unwrap(), 1);
    check(&dir, &keys).unwrap();
    assert!(
        dir.join("tree/dropped/2026-08/checkpoint").is_file()
            && !dir.join("tree/dropped/2026-08/tile").exists()
    );
    assert_eq!(drop_month(&dir, &all[2].0).unwrap(), 0, "the month that is written stays");
    // It goes on.
    let log = open(&dir, &signer);
    append(&log, 306, 3);
    drop(log);
    assert_eq!(check(&dir, &keys).unwrap().records, 8);
    // Another end put in its place is found.
    let end = dir.join("tree/dropped/2026-09/checkpoint");
    let other = fs::read_to_string(&end).unwrap().replacen("\n151\n", "\n150\n", 1);
    fs::write(&end, other).unwrap();
    assert!(broken(check(&dir, &keys)).to_string().contains("taken away"));
}

#[test]
fn a_kill_on_the_way_leaves_a_log_that_verifies_and_is_finished_later() {
    // Between the files and the tree.
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("audit");
    let signer = log(&dir);
    let keys = [signer.public().clone()];
    fs::remove_file(dir.join("audit-00000000000000000001.jsonl")).unwrap();
    check(&dir, &keys).unwrap();
    assert_eq!(drop_month(&dir, "2026-08").unwrap(), 0);
    check(&dir, &keys).unwrap();
    // Between the tree and its tiles.
    fs::create_dir_all(dir.join("tree/dropped/2026-08/tile/0")).unwrap();
    check(&dir, &keys).unwrap();
    assert_eq!(drop_month(&dir, "2026-09").unwrap(), 1);
    assert!(!dir.join("tree/dropped/2026-08/tile").exists());
    check(&dir, &keys).unwrap();
}
