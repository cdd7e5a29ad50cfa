//! What records hold of calls, and what nobody gets out of them.
#![allow(clippy::unwrap_used, missing_docs)]

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;

use lockgate_audit::{Kind, Outcome, Record};
use lockgate_privacy::{
    CONTENT_BYTES_MAX, Called, Described, Describer, InMemory, MasterKey, Month, Open, Place, PrivacyError,
    Rule, Rules, STEPS, Step, Subject, Told, Vault,
};
use proptest::prelude::*;

const AGENT: &str = "spiffe://d/agent/a";

fn rules() -> Rules {
    let rule = |argument: &str| Rule {
        server: Some("ehr".to_owned()),
        tool: None,
        place: Place::Argument(vec![argument.to_owned()]),
        kind: "patient".to_owned(),
    };
    Rules::new(vec![rule("patient_id"), rule("other_id")])
}

fn told(arguments: &str) -> Told<'_> {
    let called = Called { agent: AGENT, server: "ehr", name: "get", arguments: Some(arguments) };
    Told {
        called,
        result: Some(r#"{"content":[{"type":"text","text":"positive"}]}"#),
        purpose: Some("treatment"),
    }
}

fn record(described: &Described, after: &str) -> Record<'static> {
    Record {
        subjects: Cow::Owned(described.subjects.clone()),
        content: described.seal(after).map(Cow::Owned),
        prev_event: Some(Cow::Owned(after.to_owned())),
        ..Record::new(Kind::Call, Outcome::Ok)
    }
}

fn vault(folder: &Path, master: &InMemory) -> Arc<Vault> {
    Arc::new(Vault::open(folder, Box::new(master.clone())).unwrap())
}

fn opened(record: &Record<'_>, vault: &Vault) -> Option<String> {
    Open::of(record, vault).unwrap().map(|open| open.arguments.unwrap().get().to_owned())
}

#[test]
fn values_are_in_no_record_and_content_opens_with_the_keys_alone() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(folder.path(), &InMemory::default());
    let describer = Describer::new(rules(), Arc::clone(&vault), None);
    let arguments = r#"{"patient_id":"P-4711","note":"hepatitis"}"#;
    let described = describer.describe(&told(arguments));
    let text = format!("{described:?}");
    for secret in ["4711", "hepatitis", "positive"] {
        assert!(!text.contains(secret), "{text}");
    }
    let paths: Vec<_> = described.committed.iter().map(|one| (one.path.as_str(), one.bytes)).collect();
    assert_eq!(paths, [("$", 42), ("patient_id", 6), ("note", 9)]);
    assert_eq!(described.committed_result[2].path, "content[0].text");
    assert_eq!((described.subjects.len(), described.left_out.len()), (1, 0));
    let record = record(&described, "0123456789abcdef-6");
    assert_eq!(opened(&record, &vault).as_deref(), Some(arguments));
    // The same call again: the same pseudonym and tags in a month, and another ciphertext.
    let again = describer.describe(&told(arguments));
    assert_eq!((&again.subjects, &again.committed), (&described.subjects, &described.committed));
    assert_ne!(again.seal("x"), described.seal("x"));
    // About somebody else nothing is the same, although the values are.
    let other = describer.describe(&told(r#"{"patient_id":"P-4712","note":"hepatitis"}"#));
    assert_ne!(other.committed[2].tag, described.committed[2].tag);
    assert_ne!(other.subjects, described.subjects);
}

#[test]
fn a_ciphertext_in_another_record_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(folder.path(), &InMemory::default());
    let describer = Describer::new(rules(), Arc::clone(&vault), None);
    let one = record(&describer.describe(&told(r#"{"patient_id":1}"#)), "0123456789abcdef-6");
    let same = record(&describer.describe(&told(r#"{"patient_id":1}"#)), "0123456789abcdef-7");
    let other = record(&describer.describe(&told(r#"{"patient_id":2}"#)), "0123456789abcdef-8");
    for (to, from) in [(&one, &same), (&same, &one), (&one, &other), (&other, &one)] {
        assert!(opened(to, &vault).is_some());
        let swapped = Record { content: from.content.clone(), ..to.clone() };
        assert_eq!(opened(&swapped, &vault), None);
    }
    let purpose = |record: &Record<'static>| {
        let mut record = record.clone();
        record.content.as_mut().unwrap().to_mut().purpose = "billing".to_owned();
        record
    };
    assert_eq!(opened(&purpose(&one), &vault), None, "another purpose");
    let both =
        Record { subjects: Cow::Owned([&one.subjects[..], &other.subjects[..]].concat()), ..one.clone() };
    assert_eq!(opened(&both, &vault), None, "another list of subjects");
}

#[test]
fn what_is_about_two_is_gone_with_either() {
    for erased in ["1", "2"] {
        let folder = tempfile::tempdir().unwrap();
        let vault = vault(folder.path(), &InMemory::default());
        let describer = Describer::new(rules(), Arc::clone(&vault), None);
        let arguments = r#"{"patient_id":1,"other_id":2}"#;
        let described = describer.describe(&told(arguments));
        assert_eq!(described.subjects.len(), 2);
        let record = record(&described, "");
        assert_eq!(opened(&record, &vault).as_deref(), Some(arguments));
        let tag = vault.tag(&Subject::new("patient", erased).unwrap());
        assert_eq!(vault.destroy(&|held| held.subject() == tag, &|_| {}).unwrap(), 2);
        assert_eq!(opened(&record, &vault), None);
        let after = describer.describe(&told(arguments));
        assert_eq!(
            after.subjects.iter().filter(|name| described.subjects.contains(name)).count(),
            1,
            "a new pseudonym"
        );
    }
}

#[test]
fn what_is_too_large_is_left_out_and_said() {
    let folder = tempfile::tempdir().unwrap();
    let vault = vault(folder.path(), &InMemory::default());
    let describer = Describer::new(rules(), Arc::clone(&vault), None);
    let large = format!(r#"{{"patient_id":1,"text":"{}"}}"#, "x".repeat(CONTENT_BYTES_MAX));
    let described = describer.describe(&told(&large));
    assert!(described.left_out.iter().any(|why| why.starts_with("content: the arguments")), "{described:?}");
    assert!(described.left_out.iter().any(|why| why.starts_with("content: the result")));
    assert!(described.seal("").is_none() && described.committed.len() == 3);
    let many =
        format!(r#"{{"patient_id":[{}]}}"#, (0..40).map(|n| n.to_string()).collect::<Vec<_>>().join(","));
    let described = describer.describe(&told(&many));
    assert!(described.subjects.is_empty() && described.seal("").is_none());
    assert!(described.committed.iter().all(|one| one.tag.is_none() && one.bytes > 0));
    assert!(described.left_out.iter().any(|why| why.starts_with("tags")), "{described:?}");
    let without = Describer::default().describe(&told(r#"{"patient_id":1}"#));
    assert!(without.subjects.is_empty() && without.seal("").is_none() && without.committed[0].tag.is_none());
}

#[test]
fn keys_outlive_the_process_and_an_old_file_does_not_come_back() {
    let folder = tempfile::tempdir().unwrap();
    let master = InMemory::default();
    let keys = folder.path().join("keys");
    let (erased, kept) = (r#"{"patient_id":1}"#, r#"{"patient_id":2}"#);
    let (gone, left) = {
        let vault = vault(folder.path(), &master);
        let describer = Describer::new(rules(), Arc::clone(&vault), None);
        (record(&describer.describe(&told(erased)), ""), record(&describer.describe(&told(kept)), ""))
    };
    let backup = std::fs::read(&keys).unwrap();
    let before = master.read().unwrap().unwrap();
    {
        let vault = vault(folder.path(), &master);
        assert!(Vault::open(folder.path(), Box::new(master.clone())).is_err(), "one process at a time");
        let beside = Vault::look(folder.path(), Box::new(master.clone())).unwrap().unwrap();
        assert_eq!(opened(&gone, &beside).as_deref(), Some(erased));
        let tag = vault.tag(&Subject::parse("patient:1").unwrap());
        assert_eq!(vault.destroy(&|held| held.subject() == tag, &|_| {}).unwrap(), 2);
        assert_eq!((opened(&gone, &vault), opened(&left, &vault).as_deref()), (None, Some(kept)));
    }
    // Nothing of the file before is left in the new one, and the old one belongs to no key.
    let now = std::fs::read(&keys).unwrap();
    for slot in backup[256..].chunks(256) {
        let sealed = &slot[84..145];
        assert!(!now.windows(sealed.len()).any(|window| window == sealed));
    }
    std::fs::write(&keys, &backup).unwrap();
    let refused = Vault::open(folder.path(), Box::new(master.clone())).unwrap_err();
    assert!(matches!(refused, PrivacyError::OtherKeys { .. }), "{refused}");
    // Only both together, out of a backup of everything, open again: that is what the documentation warns of.
    master.write(&before).unwrap();
    assert_eq!(opened(&gone, &vault(folder.path(), &master)).as_deref(), Some(erased));
}

#[test]
fn a_kill_at_any_step_leaves_keys_that_open_or_are_gone() {
    for step in STEPS {
        let folder = tempfile::tempdir().unwrap();
        let master = InMemory::default();
        let (gone, left, tag) = {
            let vault = vault(folder.path(), &master);
            let describer = Describer::new(rules(), Arc::clone(&vault), None);
            let gone = record(&describer.describe(&told(r#"{"patient_id":1}"#)), "");
            let left = record(&describer.describe(&told(r#"{"patient_id":2}"#)), "");
            let tag = vault.tag(&Subject::parse("patient:1").unwrap());
            let killed = catch_unwind(AssertUnwindSafe(|| {
                let end = |at: Step| assert!(at != step, "killed");
                vault.destroy(&|held| held.subject() == tag, &end)
            }));
            assert!(killed.is_err(), "{step:?}");
            let told = told(r#"{"patient_id":3}"#);
            assert!(
                describer.describe(&told).seal("").is_none(),
                "nothing is made over a change that did not end"
            );
            (gone, left, tag)
        };
        let vault = vault(folder.path(), &master);
        assert!(opened(&left, &vault).is_some(), "{step:?}");
        assert_eq!(opened(&gone, &vault).is_some(), step == Step::Overwrite, "{step:?}");
        vault.destroy(&|held| held.subject() == tag, &|_| {}).unwrap();
        assert_eq!(opened(&gone, &vault), None);
        assert!(opened(&left, &vault).is_some());
        assert!(!folder.path().join("keys.new").exists());
    }
}

#[test]
fn a_file_that_was_changed_opens_nothing_and_half_a_slot_is_cut_off() {
    let folder = tempfile::tempdir().unwrap();
    let master = InMemory::default();
    let keys = folder.path().join("keys");
    let record = {
        let vault = vault(folder.path(), &master);
        record(&Describer::new(rules(), Arc::clone(&vault), None).describe(&told(r#"{"patient_id":1}"#)), "")
    };
    let good = std::fs::read(&keys).unwrap();
    for (at, byte) in good.iter().enumerate().skip(512).take(145) {
        let mut bad = good.clone();
        bad[at] = byte ^ 1;
        std::fs::write(&keys, &bad).unwrap();
        assert_eq!(opened(&record, &vault(folder.path(), &master)), None, "byte {at}");
    }
    std::fs::write(&keys, [&good[..], &[1; 100]].concat()).unwrap();
    assert!(opened(&record, &vault(folder.path(), &master)).is_some());
    assert_eq!(std::fs::metadata(&keys).unwrap().len(), good.len() as u64);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// No value, whatever it is, stands in what a record is given.
    #[test]
    fn no_value_is_in_a_description(secret in "[a-zA-Z0-9 ]{6,40}", key in "[a-z]{1,5}") {
        let folder = tempfile::tempdir().unwrap();
        let describer = Describer::new(rules(), vault(folder.path(), &InMemory::default()), Some("replay".to_owned()));
        let arguments = serde_json::json!({ &key: &secret, "patient_id": &secret, &secret: [&secret] }).to_string();
        let result = serde_json::json!({ "structuredContent": { &secret: &secret } }).to_string();
        let told = Told { result: Some(&result), purpose: None, ..told(&arguments) };
        let described = describer.describe(&told);
        let text = format!("{described:?}");
        // A key that reads like a name of a field is shown; this one is a value as well.
        prop_assume!(lockgate_privacy::shown(&secret) == "*");
        prop_assert!(!text.contains(&secret), "{text}");
        prop_assert_eq!(Month::now(), Month::now());
    }
}
