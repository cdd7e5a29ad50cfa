//! Erasing, holding and retaining, over a real log: what is gone is gone, what is held stays, and the log verifies.
#![allow(clippy::unwrap_used, missing_docs)]

use std::borrow::Cow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use lockgate_audit::tlog::checkpoint::Signer;
use lockgate_audit::{
    AuditError, Durability, Entry, Kind, Log, Options, Outcome, Record, Sealing, drop_month, months, tail,
    verify,
};
use lockgate_crypto::PrivateKey;
use lockgate_crypto::note::Signs;
use lockgate_privacy::{
    Called, Describer, ERASE, EraseStep, InMemory, Keeper, MasterKey, Month, Open, Part, Place, PrivacyError,
    Recorder, Retention, Rule, Rules, STEPS, Subject, Told, Vault,
};
use lockgate_store::Store;

struct OfLog(Arc<Log>);

impl Recorder for OfLog {
    fn record(&self, record: &Record<'_>) -> Result<u64, AuditError> {
        Ok(self.0.append(record, Durability::Durable)?.seq())
    }

    fn last(&self) -> u64 {
        self.0.head().0
    }
}

/// A node's state, and what of it a process has open.
struct Place1 {
    folder: tempfile::TempDir,
    master: InMemory,
    store: Store,
    signer: Signer,
}

struct Opened {
    keeper: Keeper,
    log: OfLog,
    describer: Describer,
}

impl Place1 {
    fn new() -> Self {
        let key = PrivateKey::generate_algorithm("ML-DSA-44").unwrap();
        Self {
            folder: tempfile::tempdir().unwrap(),
            master: InMemory::default(),
            store: Store::in_memory().unwrap(),
            signer: Signer::new("d/node/a/audit", key, Signs::Subtree).unwrap(),
        }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("audit")
    }

    fn keys(&self) -> PathBuf {
        self.folder.path().join("subjects")
    }

    fn open(&self) -> Opened {
        let sealing = Some(Sealing::new("d/node/a/audit", vec![self.signer.clone()]));
        let log = OfLog(Log::open(&self.log(), Options { sealing, ..Options::default() }).unwrap());
        let vault = Arc::new(Vault::open(&self.keys(), Box::new(self.master.clone())).unwrap());
        let place = Place::Argument(vec!["id".to_owned()]);
        let rules = Rules::new(vec![Rule { server: None, tool: None, place, kind: "patient".to_owned() }]);
        let describer = Describer::new(rules, Arc::clone(&vault), None);
        Opened { keeper: Keeper::new(vault, self.store.clone(), &self.log()), log, describer }
    }

    fn receipts(&self) -> Vec<Entry> {
        let lines = tail(&self.log(), 1000).unwrap();
        let entries = lines.iter().map(|line| Entry::parse(line).unwrap());
        entries.filter(|entry| entry.record.method.as_deref() == Some(ERASE)).collect()
    }

    fn call(&self, opened: &Opened, id: &str) -> Record<'static> {
        let arguments = format!(r#"{{"id":"{id}"}}"#);
        let called =
            Called { agent: "spiffe://d/agent/a", server: "s", name: "t", arguments: Some(&arguments) };
        let described = opened.describer.describe(&Told { called, result: None, purpose: Some("treatment") });
        let record = Record {
            subjects: Cow::Owned(described.subjects.clone()),
            committed: Cow::Owned(described.committed.clone()),
            content: described.seal("").map(Cow::Owned),
            ..Record::new(Kind::Call, Outcome::Ok)
        };
        opened.log.record(&record).unwrap();
        record
    }
}

fn patient(id: &str) -> Subject {
    Subject::new("patient", id).unwrap()
}

fn opens(record: &Record<'_>, opened: &Opened) -> bool {
    Open::of(record, opened.keeper.vault()).unwrap().is_some()
}

fn verified(dir: &Path) {
    verify(dir).unwrap();
}

#[test]
fn what_is_erased_is_gone_the_log_verifies_and_erasing_again_finds_nothing() {
    let place = Place1::new();
    let (gone, left) = {
        let opened = place.open();
        let (gone, left) = (place.call(&opened, "4711"), place.call(&opened, "4712"));
        let known = opened.keeper.know(&patient("4711"), "ann", &opened.log).unwrap();
        assert_eq!(known.pseudonyms[0].0, gone.subjects[0]);
        let erased = opened.keeper.erase(&patient("4711"), ("Art. 17", "ann"), &opened.log, &|_| {}).unwrap();
        assert_eq!(erased.keys, 2, "that of tags and that of content");
        assert!(!opens(&gone, &opened) && opens(&left, &opened));
        let again = opened.keeper.erase(&patient("4711"), ("Art. 17", "ann"), &opened.log, &|_| {}).unwrap();
        assert_eq!((again.id, again.keys), (None, 0));
        let anew = place.call(&opened, "4711");
        assert_ne!(anew.subjects, gone.subjects, "what comes after is known by another name");
        (gone, left)
    };
    verified(&place.log());
    let [receipt] = &place.receipts()[..] else { panic!("one receipt") };
    assert_eq!((receipt.record.count, receipt.record.agent.as_deref()), (Some(2), Some("ann")));
    assert!(receipt.record.before.iter().any(|names| names.contains(&gone.subjects[0])));
    assert!(receipt.record.reason.as_deref().unwrap().contains("Art. 17"));
    assert!(tail(&place.log(), 1000).unwrap().iter().all(|line| !line.contains("4711")));
    assert!(opens(&left, &place.open()));
}

#[test]
fn what_is_held_is_not_erased_and_the_attempt_is_recorded() {
    let place = Place1::new();
    let opened = place.open();
    let record = place.call(&opened, "4711");
    let other = place.call(&opened, "4712");
    let hold = opened.keeper.hold(Some(&patient("4711")), ("case 12", "bob"), &opened.log).unwrap();
    let erase = |id: &str| opened.keeper.erase(&patient(id), ("Art. 17", "ann"), &opened.log, &|_| {});
    assert!(matches!(erase("4711"), Err(PrivacyError::Held { .. })));
    assert!(opens(&record, &opened));
    erase("4712").unwrap();
    assert!(!opens(&other, &opened), "others are not held");
    let everything = opened.keeper.hold(None, ("order", "bob"), &opened.log).unwrap();
    opened.keeper.lift(&hold.id, ("closed", "bob"), &opened.log).unwrap();
    assert!(matches!(erase("4711"), Err(PrivacyError::Held { .. })), "everything is held");
    assert!(matches!(
        opened.keeper.lift("none", ("x", "bob"), &opened.log),
        Err(PrivacyError::NoHold { .. })
    ));
    opened.keeper.lift(&everything.id, ("closed", "bob"), &opened.log).unwrap();
    erase("4711").unwrap();
    assert!(!opens(&record, &opened));
    let outcomes: Vec<Outcome> = place.receipts().iter().map(|entry| entry.record.outcome).collect();
    assert_eq!(outcomes, [Outcome::Refused, Outcome::Ok, Outcome::Refused, Outcome::Ok]);
    for wrong in ["", " ", &"x".repeat(513)] {
        assert!(matches!(
            opened.keeper.hold(None, (wrong, "bob"), &opened.log),
            Err(PrivacyError::NoText { .. })
        ));
    }
}

#[test]
fn a_kill_at_any_step_of_an_erasure_is_finished_by_the_next_start_with_one_receipt() {
    let destroy = STEPS.into_iter().map(EraseStep::Destroy);
    let steps = [EraseStep::Note].into_iter().chain(destroy).chain([
        EraseStep::Receipt,
        EraseStep::Remember,
        EraseStep::Forget,
    ]);
    for step in steps {
        let place = Place1::new();
        let (gone, left) = {
            let opened = place.open();
            let (gone, left) = (place.call(&opened, "1"), place.call(&opened, "2"));
            let killed = catch_unwind(AssertUnwindSafe(|| {
                let end = |at: EraseStep| assert!(at != step, "killed");
                opened.keeper.erase(&patient("1"), ("Art. 17", "ann"), &opened.log, &end)
            }));
            assert!(killed.is_err(), "{step:?}");
            (gone, left)
        };
        {
            let opened = place.open();
            opened.keeper.resume(&opened.log).unwrap();
            assert_eq!(opens(&gone, &opened), step == EraseStep::Note, "{step:?}");
            assert!(opens(&left, &opened), "{step:?}");
            // Whoever asked was not told that it is done, and asks again.
            opened.keeper.erase(&patient("1"), ("Art. 17", "ann"), &opened.log, &|_| {}).unwrap();
            assert!(!opens(&gone, &opened));
            assert_eq!(opened.keeper.resume(&opened.log).unwrap(), 0, "nothing is left to finish");
        }
        assert_eq!(place.receipts().len(), 1, "{step:?}");
        verified(&place.log());
    }
}

#[test]
fn keys_that_come_back_with_a_backup_are_erased_again() {
    let place = Place1::new();
    let record = {
        let opened = place.open();
        place.call(&opened, "1")
    };
    let (keys, master) =
        (std::fs::read(place.keys().join("keys")).unwrap(), place.master.read().unwrap().unwrap());
    {
        let opened = place.open();
        opened.keeper.erase(&patient("1"), ("Art. 17", "ann"), &opened.log, &|_| {}).unwrap();
    }
    std::fs::write(place.keys().join("keys"), &keys).unwrap();
    place.master.write(&master).unwrap();
    let opened = place.open();
    assert!(opens(&record, &opened), "that is what a backup of everything does");
    assert_eq!(opened.keeper.resume(&opened.log).unwrap(), 2);
    assert!(!opens(&record, &opened));
}

#[test]
fn keys_expire_by_class_and_what_is_held_stays() {
    let place = Place1::new();
    let opened = place.open();
    let (one, two) = (place.call(&opened, "1"), place.call(&opened, "2"));
    let retention = Retention { content: Some(1), calls: Some(3), others: Vec::new() };
    let now = Month::now();
    assert!(opened.keeper.plan(&retention, now.plus(1)).unwrap().iter().all(|due| !due.is_due));
    let hold = opened.keeper.hold(Some(&patient("2")), ("case", "bob"), &opened.log).unwrap();
    let gone = opened.keeper.retain(&retention, now.plus(2), &opened.log).unwrap();
    assert_eq!(
        gone.iter().map(|due| (due.part, due.count, due.held)).collect::<Vec<_>>(),
        [(Part::Content, 2, 1)]
    );
    assert!(!opens(&one, &opened) && opens(&two, &opened));
    assert!(
        opened.keeper.retain(&retention, now.plus(2), &opened.log).unwrap().is_empty(),
        "what is held waits"
    );
    opened.keeper.lift(&hold.id, ("closed", "bob"), &opened.log).unwrap();
    opened.keeper.retain(&retention, now.plus(4), &opened.log).unwrap();
    assert!(!opens(&two, &opened) && opened.keeper.plan(&retention, now).unwrap().is_empty());
    let never = opened.keeper.plan(&Retention::default(), now.plus(1000)).unwrap();
    assert!(never.iter().all(|due| due.goes.is_none() && !due.is_due));
}

#[test]
fn the_month_that_is_written_is_never_dropped() {
    let place = Place1::new();
    let month = {
        let opened = place.open();
        place.call(&opened, "1");
        Month::now().to_string()
    };
    assert_eq!(months(&place.log()).unwrap().len(), 1);
    assert_eq!(drop_month(&place.log(), &month).unwrap(), 0);
    verified(&place.log());
}
