//! How a sealed log grows, and what can be shown of it.

use std::fs;

use lockgate_audit::tlog::proof::Proof;
use lockgate_audit::{Durability, Entry, Kind, Log, Outcome, Record, What, prove, tail};

use crate::support::{
    NAME, append, broken, check, files, open, options, rewrite, shard, signer, write_old, written,
};

#[tokio::test]
async fn every_record_is_covered_within_moments_and_can_be_proved_to_others() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("audit");
    let signer = signer();
    let log = open(&dir, &signer);
    append(&log, 1, 700);
    let receipt = log.append(&Record::new(Kind::Lifecycle, Outcome::Ok), Durability::Durable).unwrap();
    log.covered(&receipt).await.unwrap();
    let state = log.state();
    let checkpoint = state.checkpoint.unwrap();
    assert_eq!((checkpoint.size, checkpoint.covers_seq, state.problem), (702, 701, None));
    assert_eq!(checkpoint.signed_by[0].algorithm, "ML-DSA-44");
    assert!(checkpoint.origin.starts_with(NAME) && checkpoint.time_s.is_some());
    let keys = [signer.public().clone()];
    assert_eq!(state.keys, [keys[0].to_string()]);

    let report = check(&dir, &keys).unwrap();
    assert_eq!((report.records, report.unsealed, report.shards.len()), (701, 0, 1));
    assert_eq!(report.shards[0].root, checkpoint.root);
    assert_eq!(report.shards[0].signed_by.len(), 1);
    let lines = tail(&dir, 701).unwrap();
    for seq in [1, 2, 255, 256, 257, 600, 701] {
        let file = prove(&dir, seq).unwrap().unwrap().write();
        let proof = Proof::parse(file.as_bytes()).unwrap();
        proof.verify(&keys).unwrap();
        assert_eq!(proof.entry, lines[usize::try_from(seq).unwrap() - 1].as_bytes(), "{seq}");
        assert!(proof.verify(&[self::signer().public().clone()]).is_err(), "another key vouches for nothing");
    }
    assert!(prove(&dir, 0).unwrap().is_none());
    assert!(prove(&dir, 702).unwrap().is_none());
}

#[test]
fn a_log_is_closed_and_opened_at_any_size() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("audit");
    let signer = signer();
    let mut size = 0;
    for count in [1, 254, 1, 1, 255, 256, 3, 0, 500] {
        let log = open(&dir, &signer);
        append(&log, size + 1, count);
        drop(log);
        size += count;
        let report = check(&dir, &[signer.public().clone()]).unwrap();
        assert_eq!((report.records, report.unsealed), (size, 0), "{size}");
    }
}

#[test]
fn a_log_of_before_is_carried_on_and_sealed_from_its_first_record() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("audit");
    let times: Vec<String> = (0..300)
        .map(|n| format!("2026-{:02}-07T{:02}:{:02}:00.000000Z", 9 + n / 150, n % 150 / 60, n % 150 % 60))
        .collect();
    write_old(&dir, &times.iter().map(String::as_str).collect::<Vec<_>>());
    let before = tail(&dir, 1000).unwrap();
    let signer = signer();
    let log = open(&dir, &signer);
    append(&log, 301, 5);
    drop(log);
    let report = check(&dir, &[signer.public().clone()]).unwrap();
    assert_eq!((report.records, report.unsealed), (305, 0));
    let months: Vec<_> = report.shards.iter().map(|shard| (shard.first, shard.last)).collect();
    assert_eq!(months[..2], [(1, 150), (151, 300)]);
    assert_eq!(months.last().unwrap().1, 305);
    assert_eq!(tail(&dir, 1000).unwrap()[..300], before, "nothing of it changed");
    let old = Entry::parse(&before[0]).unwrap();
    assert_eq!((old.seq, old.record.name.as_deref()), (1, Some("old-1")));
    prove(&dir, 7).unwrap().unwrap().verify(&[signer.public().clone()]).unwrap();

    // Each month names the end of the one before, so that an older one cannot be shortened on its own.
    let month = dir.join("tree/2026-09");
    let checkpoint = fs::read_to_string(month.join("checkpoint")).unwrap();
    fs::write(month.join("checkpoint"), checkpoint.replacen("\n151\n", "\n150\n", 1)).unwrap();
    assert!(check(&dir, &[signer.public().clone()]).is_err());
    fs::remove_dir_all(month).unwrap();
    assert!(check(&dir, &[]).is_ok(), "an old month may be dropped; its end is in the next");
}

#[test]
fn a_tree_that_is_gone_or_damaged_is_made_anew_out_of_the_records() {
    for damage in ["tile/0/000", "tile/0/002.p", "tile/entries/001", "tile/1", "tile"] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("audit");
        let signer = signer();
        written(&dir, &signer, 600);
        let path = shard(&dir).join(damage);
        match path.is_dir() {
            true => fs::remove_dir_all(&path).unwrap(),
            false => fs::write(&path, b"x").unwrap(),
        }
        let before = check(&dir, &[signer.public().clone()]);
        assert!(before.is_err(), "{damage}");
        written(&dir, &signer, 3);
        // What was full is only looked at by the verifier; the edge is what the log goes on with.
        if damage != "tile/0/000" && damage != "tile/entries/001" {
            check(&dir, &[signer.public().clone()]).unwrap();
        }
    }
}

#[test]
fn a_node_does_not_go_on_over_a_tree_that_it_did_not_sign_or_that_its_records_contradict() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("audit");
    let (ours, others) = (signer(), signer());
    written(&dir, &ours, 40);
    let refused = Log::open(&dir, options(std::slice::from_ref(&others))).unwrap_err();
    assert!(refused.to_string().contains("not signed by a key of this log"), "{refused}");
    rewrite(&dir, |lines| lines[2] = lines[2].replace("tool-3\"", "tool-4\""));
    fs::remove_dir_all(shard(&dir).join("tile")).unwrap();
    let refused = Log::open(&dir, options(std::slice::from_ref(&ours))).unwrap_err();
    assert!(refused.to_string().contains("vouches for other records"), "{refused}");
}

#[tokio::test]
async fn keys_are_changed_and_the_old_one_vouches_for_the_moment() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("audit");
    let (old, new) = (signer(), signer());
    let log = open(&dir, &old);
    append(&log, 1, 30);
    log.flush().await.unwrap();
    log.change_signers(options(std::slice::from_ref(&new)).sealing.unwrap());
    append(&log, 31, 10);
    drop(log);
    check(&dir, &[new.public().clone()]).unwrap();
    let found = broken(check(&dir, &[old.public().clone()]));
    assert!(matches!(&found.what, What::Unsigned(why) if why.contains("it signed up to record")), "{found}");

    let mut after = options(std::slice::from_ref(&new));
    if let Some(sealing) = &mut after.sealing {
        sealing.retired.push(old.public().clone());
    }
    drop(Log::open(&dir, after).unwrap());
    assert!(files(&dir).iter().any(|path| path.parent().unwrap().ends_with("kept")));
}
