//! Facts that are brought.

use std::collections::BTreeMap;
use std::sync::Arc;

use lockgate_crypto::{PrivateKey, catalog, profile};
use lockgate_facts::push::{PushError, SCHEMA, Signed, Statement, sign, written};
use lockgate_facts::{Absence, Facts, From, Keep};
use parking_lot::Mutex;

use crate::rig::{ask, now_ms, record, rooms, spec, why};

fn key() -> PrivateKey {
    PrivateKey::generate(catalog::find(profile::default().signatures[0]).unwrap()).unwrap()
}

#[derive(Default)]
struct Shelf(Mutex<BTreeMap<String, Signed>>, Mutex<bool>);

impl Keep for Shelf {
    fn keep(&self, fact: &str, key: Option<&str>, signed: &Signed) -> Result<(), String> {
        if *self.1.lock() {
            return Err("the disk is full".to_owned());
        }
        self.0.lock().insert(format!("{fact}/{}", key.unwrap_or_default()), signed.clone());
        Ok(())
    }

    fn forget(&self, fact: &str, key: Option<&str>) {
        self.0.lock().remove(&format!("{fact}/{}", key.unwrap_or_default()));
    }
}

fn facts(signer: &PrivateKey, shelf: Option<Arc<Shelf>>) -> Facts {
    let from = From::Push { signer_spki: signer.spki_der() };
    Facts::new(vec![spec(from, Some("patient"))], shelf.map(|shelf| shelf as _))
}

fn statement(rooms: i64, issued_ms: u64) -> Statement {
    Statement {
        schema: SCHEMA.to_owned(),
        fact: "appointment".to_owned(),
        key: Some("p-1".to_owned()),
        issued: written(issued_ms),
        as_of: None,
        record: record(rooms).as_object().cloned(),
    }
}

fn push(facts: &Facts, statement: &Statement, signer: &PrivateKey, now_ms: u64) -> Result<(), PushError> {
    let signed = sign(statement, signer).unwrap();
    facts.push(&serde_json::to_vec(&signed).unwrap(), now_ms, &|_| Ok(())).map(drop)
}

#[tokio::test]
async fn a_statement_is_told_until_it_is_too_old() {
    let signer = key();
    let facts = facts(&signer, None);
    let now = now_ms();
    assert_eq!(why(&ask(&facts, "p-1", now).await), Absence::NothingPushed);
    push(&facts, &statement(3, now), &signer, now).unwrap();
    assert_eq!(rooms(&ask(&facts, "p-1", now + 59_000).await), Some(3));
    assert!(matches!(why(&ask(&facts, "p-1", now + 60_001).await), Absence::Stale { .. }));
    assert!(
        matches!(why(&ask(&facts, "p-1", now - 6_000).await), Absence::Future { .. }),
        "the clock was set back"
    );
    assert_eq!(why(&ask(&facts, "p-2", now).await), Absence::NothingPushed);
    // Older than the signature, as it says itself.
    let old = Statement { as_of: Some(written(now - 50_000)), ..statement(4, now + 1) };
    push(&facts, &old, &signer, now).unwrap();
    assert_eq!(rooms(&ask(&facts, "p-1", now).await), Some(4));
    assert!(matches!(why(&ask(&facts, "p-1", now + 11_000).await), Absence::Stale { .. }));
    // Never younger than the signature.
    let young = Statement { as_of: Some(written(now + 4_000)), ..statement(5, now + 2) };
    push(&facts, &young, &signer, now).unwrap();
    assert!(matches!(why(&ask(&facts, "p-1", now + 61_000).await), Absence::Stale { .. }));
    // Taken back.
    push(&facts, &Statement { record: None, ..statement(0, now + 3) }, &signer, now).unwrap();
    assert_eq!(why(&ask(&facts, "p-1", now).await), Absence::NothingPushed);
}

#[tokio::test]
async fn statements_that_are_not_taken() {
    let (signer, other) = (key(), key());
    let facts = facts(&signer, None);
    let now = now_ms();
    push(&facts, &statement(3, now), &signer, now).unwrap();
    let cases: Vec<(&str, Result<(), PushError>, &str)> = vec![
        ("another key", push(&facts, &statement(9, now + 1), &other, now), "LG-F005"),
        ("again", push(&facts, &statement(3, now), &signer, now), "LG-F006"),
        ("before", push(&facts, &statement(9, now - 1), &signer, now), "LG-F006"),
        ("too old", push(&facts, &statement(9, now + 1), &signer, now + 61_000), "LG-F006"),
        ("too early", push(&facts, &statement(9, now + 6_000), &signer, now), "LG-F006"),
        (
            "another fact",
            push(&facts, &Statement { fact: "staff".to_owned(), ..statement(9, now + 1) }, &signer, now),
            "LG-F007",
        ),
        ("no key", push(&facts, &Statement { key: None, ..statement(9, now + 1) }, &signer, now), "LG-F007"),
        (
            "of another",
            push(&facts, &Statement { key: Some("p-2".to_owned()), ..statement(9, now + 1) }, &signer, now),
            "LG-F006",
        ),
        (
            "no time",
            push(&facts, &Statement { issued: "today".to_owned(), ..statement(9, now + 1) }, &signer, now),
            "LG-F005",
        ),
        (
            "another shape",
            push(
                &facts,
                &Statement { record: Some(Default::default()), ..statement(9, now + 1) },
                &signer,
                now,
            ),
            "LG-F006",
        ),
    ];
    for (what, result, code) in cases {
        assert_eq!(result.unwrap_err().code(), code, "{what}");
    }
    let signed = sign(&statement(9, now + 1), &signer).unwrap();
    for changed in [
        Signed { statement: signed.statement.replace("\"rooms\":9", "\"rooms\":8"), ..signed.clone() },
        Signed { statement: signed.statement.clone() + " ", ..signed.clone() },
        Signed {
            signature: signed.signature.replacen(|c: char| c.is_ascii_digit(), "A", 3),
            ..signed.clone()
        },
        Signed { signature: String::new(), ..signed.clone() },
        Signed { schema: "lockgate.fact-push/2".to_owned(), ..signed.clone() },
        Signed { statement: String::new(), ..signed.clone() },
    ] {
        let error = facts.push(&serde_json::to_vec(&changed).unwrap(), now, &|_| Ok(())).unwrap_err();
        assert_eq!(error.code(), "LG-F005", "{error}");
    }
    // A signature for another purpose by the same key.
    let document = lockgate_crypto::document::sign(signed.statement.as_bytes(), &signer).unwrap();
    let document: serde_json::Value = serde_json::from_str(&document).unwrap();
    let swapped = Signed { signature: document["signature"].as_str().unwrap().to_owned(), ..signed.clone() };
    assert!(facts.push(&serde_json::to_vec(&swapped).unwrap(), now, &|_| Ok(())).is_err());
    for junk in ["", "{}", "[]", "null", &"[".repeat(100_000)] {
        assert_eq!(facts.push(junk.as_bytes(), now, &|_| Ok(())).unwrap_err().code(), "LG-F005");
    }
    let banned = facts.push(&serde_json::to_vec(&signed).unwrap(), now, &|_| Err("it is banned".to_owned()));
    assert_eq!(banned.unwrap_err().code(), "LG-F005");
    assert_eq!(rooms(&ask(&facts, "p-1", now).await), Some(3), "none of it was taken");
}

#[tokio::test]
async fn statements_and_their_times_outlive_a_restart() {
    let signer = key();
    let shelf = Arc::new(Shelf::default());
    let now = now_ms();
    let first = facts(&signer, Some(Arc::clone(&shelf)));
    push(&first, &statement(3, now), &signer, now).unwrap();
    push(&first, &statement(4, now + 1), &signer, now).unwrap();
    *shelf.1.lock() = true;
    assert_eq!(push(&first, &statement(5, now + 2), &signer, now).unwrap_err().code(), "LG-S005");
    assert_eq!(rooms(&ask(&first, "p-1", now).await), Some(4), "what cannot be kept is not taken");
    let second = facts(&signer, None);
    let kept: Vec<Signed> = shelf.0.lock().values().cloned().collect();
    assert!(second.restore(kept.clone(), now).is_empty());
    assert_eq!(rooms(&ask(&second, "p-1", now).await), Some(4));
    assert!(matches!(push(&second, &statement(3, now), &signer, now), Err(PushError::Replayed)));
    // Another key is configured since: nothing of the old one's holds.
    let third = facts(&key(), None);
    assert_eq!(third.restore(kept.clone(), now).len(), 1);
    assert_eq!(why(&ask(&third, "p-1", now).await), Absence::NothingPushed);
    // Another age: what was stated stays, also that it came.
    let mut changed = spec(From::Push { signer_spki: signer.spki_der() }, Some("patient"));
    changed.max_age_ms = 10_000;
    let renewed = second.renewed(vec![changed]);
    assert_eq!(rooms(&ask(&renewed, "p-1", now).await), Some(4));
    assert!(matches!(why(&ask(&renewed, "p-1", now + 11_000).await), Absence::Stale { .. }));
    assert!(matches!(push(&renewed, &statement(3, now), &signer, now), Err(PushError::Replayed)));
}
