//! One test for each attack on the log, by somebody who can write its folder and knows the format.

use std::fs;
use std::path::Path;

use lockgate_audit::tlog::checkpoint::Signed;
use lockgate_audit::{AuditError, Checks, What, verify, verify_with};
use proptest::prelude::*;

use crate::support::{append, broken, check, copy, files, open, rewrite, shard, signer, write_old, written};

#[test]
fn a_record_rewritten_with_its_whole_chain_is_found_by_its_number() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("audit");
    let signer = signer();
    written(&dir, &signer, 300);
    rewrite(&dir, |lines| lines[122] = lines[122].replace("tool-123\"", "tool-999\""));
    let found = broken(check(&dir, &[signer.public().clone()]));
    assert_eq!((found.seq, found.line, found.what), (123, 123, What::Changed));
    assert_eq!(broken(verify(&dir)).seq, 123, "even without a key, as long as the tree stands");
}

#[test]
fn records_taken_out_swapped_or_slipped_in_with_a_fitting_chain_are_found() {
    type Change = fn(&mut Vec<String>);
    let table: [(&str, Change, u64); 3] = [
        ("one out of the middle", |lines| drop(lines.remove(99)), 100),
        ("two swapped", |lines| lines.swap(49, 50), 50),
        ("one slipped in", |lines| lines.insert(9, lines[20].clone()), 10),
    ];
    for (name, change, seq) in table {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("audit");
        let signer = signer();
        written(&dir, &signer, 300);
        rewrite(&dir, change);
        assert_eq!(broken(check(&dir, &[signer.public().clone()])).seq, seq, "{name}");
    }
}

#[test]
fn an_end_cut_off_together_with_the_head_file_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("audit");
    let signer = signer();
    written(&dir, &signer, 300);
    rewrite(&dir, |lines| lines.truncate(290));
    let found = broken(check(&dir, &[signer.public().clone()]));
    assert_eq!((found.seq, found.what), (291, What::Truncated { last: 300 }));
}

#[test]
fn an_older_state_of_everything_is_found_by_a_checkpoint_that_was_seen() {
    let dir = tempfile::tempdir().unwrap();
    let (dir, older) = (dir.path().join("audit"), dir.path().join("older"));
    let signer = signer();
    written(&dir, &signer, 100);
    copy(&dir, &older);
    let log = open(&dir, &signer);
    append(&log, 101, 100);
    drop(log);
    let seen = Signed::parse(&fs::read(shard(&dir).join("checkpoint")).unwrap()).unwrap();
    let keys = [signer.public().clone()];
    let checks = Checks { keys: &keys, seen: std::slice::from_ref(&seen), ..Checks::default() };
    verify_with(&dir, &checks).unwrap();
    check(&older, &keys).expect("a whole older state holds in itself: only who saw more can tell");
    assert_eq!(broken(verify_with(&older, &checks)).what, What::Truncated { last: 200 });
}

#[test]
fn two_views_signed_by_the_same_key_are_found() {
    let dir = tempfile::tempdir().unwrap();
    let (one, two) = (dir.path().join("one"), dir.path().join("two"));
    let signer = signer();
    written(&one, &signer, 50);
    copy(&one, &two);
    for (dir, from) in [(&one, 51), (&two, 61)] {
        let log = open(dir, &signer);
        append(&log, from, 20);
        drop(log);
    }
    let keys = [signer.public().clone()];
    let seen = Signed::parse(&fs::read(shard(&one).join("checkpoint")).unwrap()).unwrap();
    let checks = Checks { keys: &keys, seen: std::slice::from_ref(&seen), ..Checks::default() };
    verify_with(&one, &checks).unwrap();
    let found = broken(verify_with(&two, &checks));
    assert_eq!((found.seq, found.what), (70, What::ForkedView));
    let forged = Signed { lines: Vec::new(), ..seen.clone() };
    let checks = Checks { seen: std::slice::from_ref(&forged), ..checks };
    assert!(
        matches!(verify_with(&one, &checks), Err(AuditError::Tlog(_))),
        "what nobody signed shows nothing"
    );
}

#[test]
fn a_log_made_anew_under_another_key_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("audit");
    let (ours, theirs) = (signer(), signer());
    written(&dir, &theirs, 50);
    check(&dir, &[]).expect("without a key it holds in itself");
    let found = broken(check(&dir, &[ours.public().clone()]));
    assert!(matches!(found.what, What::Unsigned(_)), "{found}");
    let both = [theirs.public().clone(), ours.public().clone()];
    assert!(check(&dir, &both).is_err(), "each of the keys must have signed");
    let unsealed = dir.parent().unwrap().join("unsealed");
    write_old(&unsealed, &["2026-11-01T00:00:00.000000Z"]);
    assert!(check(&unsealed, &[ours.public().clone()]).is_err(), "no checkpoint at all");
}

#[test]
fn a_clock_that_went_back_unsaid_is_found_where_it_did() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("audit");
    write_old(
        &dir,
        &["2026-11-01T10:00:00.000000Z", "2026-11-01T09:59:59.000000Z", "2026-11-01T08:00:00.000000Z"],
    );
    let found = broken(verify(&dir));
    assert_eq!((found.seq, found.line, found.what), (3, 3, What::ClockBack { by_ms: 7_200_000 }));
}

#[test]
fn a_clock_that_the_log_finds_behind_its_last_record_is_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("audit");
    write_old(&dir, &["2099-01-01T00:00:00.000000Z"]);
    let signer = signer();
    written(&dir, &signer, 2);
    let report = check(&dir, &[signer.public().clone()]).unwrap();
    assert_eq!(report.records, 4);
    assert_eq!((report.clock_steps.len(), report.clock_steps[0].seq), (1, 2));
    assert_eq!(report.shards.len(), 1, "the month does not go back with it");
}

#[test]
fn files_of_the_tree_that_are_gone_or_exchanged_are_found() {
    type Damage = fn(&Path);
    let table: [(&str, Damage); 6] = [
        ("a tile gone", |shard| fs::remove_file(shard.join("tile/0/001")).unwrap()),
        ("a bundle gone", |shard| fs::remove_file(shard.join("tile/entries/000")).unwrap()),
        ("the checkpoint gone", |shard| fs::remove_file(shard.join("checkpoint")).unwrap()),
        ("two tiles exchanged", |shard| {
            let (one, two) = (shard.join("tile/0/000"), shard.join("tile/0/001"));
            let bytes = fs::read(&one).unwrap();
            fs::copy(&two, &one).unwrap();
            fs::write(two, bytes).unwrap();
        }),
        ("the first leaf exchanged", |shard| {
            let text = fs::read_to_string(shard.join("shard")).unwrap();
            fs::write(shard.join("shard"), text.replace("\"first\":1", "\"first\":2")).unwrap();
        }),
        ("all of it gone", |shard| fs::remove_dir_all(shard).unwrap()),
    ];
    for (name, damage) in table {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path().join("audit");
        let signer = signer();
        written(&dir, &signer, 600);
        damage(&shard(&dir));
        assert!(matches!(check(&dir, &[signer.public().clone()]), Err(AuditError::Broken(_))), "{name}");
    }
}

#[test]
fn a_range_is_checked_on_its_own() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("audit");
    let signer = signer();
    written(&dir, &signer, 300);
    let keys = [signer.public().clone()];
    let range = |from, to| Checks { keys: &keys, from: Some(from), to: Some(to), ..Checks::default() };
    let report = verify_with(&dir, &range(150, 200)).unwrap();
    assert_eq!((report.records, report.first.unwrap().seq, report.last.unwrap().seq), (51, 150, 200));
    rewrite(&dir, |lines| lines[249] = lines[249].replace("tool-250\"", "tool-999\""));
    verify_with(&dir, &range(150, 249)).unwrap();
    assert_eq!(broken(verify_with(&dir, &range(150, 250))).seq, 250);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    /// Any bit of any file of a log.
    #[test]
    fn a_flipped_bit_anywhere_is_found(at: prop::sample::Index, bit in 0..8) {
        thread_local! {
            static LOG: (tempfile::TempDir, lockgate_crypto::note::NoteKey) = {
                let dir = tempfile::tempdir().unwrap();
                let signer = signer();
                written(&dir.path().join("audit"), &signer, 270);
                (dir, signer.public().clone())
            };
        }
        LOG.with(|(dir, key)| {
            let dir = dir.path().join("audit");
            let files = files(&dir);
            let sizes: Vec<usize> = files.iter().map(|path| fs::metadata(path).unwrap().len() as usize).collect();
            let mut at = at.index(sizes.iter().sum());
            let file = sizes.iter().position(|size| {
                let is_here = at < *size;
                at -= if is_here { 0 } else { *size };
                is_here
            });
            let path = &files[file.expect("within the files")];
            let whole = fs::read(path).unwrap();
            let mut changed = whole.clone();
            changed[at] ^= 1_u8 << bit;
            fs::write(path, &changed).unwrap();
            let found = check(&dir, std::slice::from_ref(key));
            fs::write(path, whole).unwrap();
            prop_assert!(found.is_err(), "{path:?}, byte {at}, bit {bit}");
            Ok(())
        })?;
    }
}
