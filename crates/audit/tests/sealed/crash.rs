//! A process that is killed at every step of a commit, and what is there afterwards.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};

use lockgate_audit::tlog::checkpoint::Signer;
use lockgate_audit::{Durability, Kind, Log, Outcome, Record, STEPS, Step, prove};
use lockgate_crypto::PrivateKey;
use lockgate_crypto::note::Signs;

use crate::support::{NAME, append, check, options};

const DIR: &str = "TEST_AUDIT_DIR";
const STEP: &str = "TEST_AUDIT_STEP";
const KEY: &str = "TEST_AUDIT_KEY";

/// How often each step is passed before the process ends there: at the first checkpoint, and at later ones.
const PASSES: [u64; 3] = [1, 2, 4];

fn child(dir: &Path, step: Step, passes: u64, key: &Path) -> Command {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", "crash::child_appends_until_it_is_killed", "--ignored", "--nocapture"]);
    child.env(DIR, dir).env(STEP, format!("{step:?} {passes}")).env(KEY, key);
    child.stdout(Stdio::piped()).stderr(Stdio::null());
    child
}

fn signer_of(path: &Path) -> Signer {
    let key = PrivateKey::from_pkcs8_der(&std::fs::read(path).unwrap()).unwrap();
    Signer::new(NAME, key, Signs::Subtree).unwrap()
}

#[test]
fn a_process_killed_at_any_step_loses_no_record_and_no_checkpoint() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("key");
    std::fs::write(&key, &*PrivateKey::generate_algorithm("ML-DSA-44").unwrap().to_pkcs8_der()).unwrap();
    let signer = signer_of(&key);
    let keys = [signer.public().clone()];
    for step in STEPS {
        for passes in PASSES {
            if step == Step::BeginShard && passes > 1 {
                continue;
            }
            let case = format!("{step:?} {passes}");
            let dir = dir.path().join(case.replace(' ', "-"));
            let output = child(&dir, step, passes, &key).output().unwrap();
            assert!(!output.status.success(), "{case}: it was to be killed");
            let said = String::from_utf8_lossy(&output.stdout);
            let mut acknowledged =
                said.lines().filter_map(|line| line.strip_prefix("seq ")?.parse::<u64>().ok());
            let acknowledged = acknowledged.next_back().unwrap_or(0);

            let log = Log::open(&dir, options(std::slice::from_ref(&signer))).unwrap();
            let found = log.head().0;
            assert!(found >= acknowledged, "{case}: {found} of {acknowledged}");
            append(&log, found + 1, 3);
            drop(log);
            let report = check(&dir, &keys).unwrap_or_else(|error| panic!("{case}: {error}"));
            assert_eq!((report.records, report.unsealed), (found + 3, 0), "{case}");
            prove(&dir, found.max(1)).unwrap().unwrap().verify(&keys).unwrap();
        }
    }
}

static PASSED: AtomicU64 = AtomicU64::new(0);

fn end_there(step: Step) {
    let wanted = std::env::var(STEP).unwrap();
    let (name, passes) = wanted.split_once(' ').unwrap();
    if format!("{step:?}") == name
        && PASSED.fetch_add(1, Ordering::Relaxed) + 1 == passes.parse::<u64>().unwrap()
    {
        // As kill -9 does: no destructor, no flush.
        std::process::abort();
    }
}

#[test]
#[ignore = "run by a_process_killed_at_any_step_loses_no_record_and_no_checkpoint"]
fn child_appends_until_it_is_killed() {
    let dir = PathBuf::from(std::env::var_os(DIR).unwrap());
    let signer = signer_of(Path::new(&std::env::var_os(KEY).unwrap()));
    let mut options = options(&[signer]);
    if let Some(sealing) = &mut options.sealing {
        sealing.on_step = Some(end_there);
    }
    let log = Log::open(&dir, options).unwrap();
    for _ in 0..20_000 {
        let record = Record::new(Kind::Call, Outcome::Ok);
        let receipt = log.append(&record, Durability::Grouped).unwrap();
        println!("\nseq {}", receipt.seq());
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
}
