//! Witnesses: what they sign, and what nobody gets them to sign.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use lockgate_audit::tlog::checkpoint::{Signed, Signer};
use lockgate_audit::tlog::witness::{AddCheckpoint, BODY_BYTES_MAX};
use lockgate_audit::witness::{
    Answered, Compared, Outcome, Roles, Seen, Shown, Witness, cosign_request, is_beginning, keep_cosigned,
    newest_checkpoint,
};
use lockgate_audit::{AuditError, Checks, What, verify_with};
use lockgate_crypto::PrivateKey;
use lockgate_crypto::note::{NoteKey, Signs};
use tempfile::TempDir;

use crate::support::{append, broken, copy, open, signer, written};

const NOW_S: u64 = 1_795_356_000;

fn cosigner(name: &str) -> Signer {
    Signer::new(name, PrivateKey::generate_algorithm("ML-DSA-44").unwrap(), Signs::Subtree).unwrap()
}

/// A log with its key, and a witness of it.
struct Scene {
    folder: TempDir,
    log: Signer,
    cosigner: Signer,
}

impl Scene {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, log: signer(), cosigner: cosigner("example.org/witness/audit") }
    }

    fn dir(&self, name: &str) -> std::path::PathBuf {
        self.folder.path().join(name)
    }

    fn roles(&self) -> Roles {
        Roles {
            logs: vec![self.log.public().clone()],
            signers: vec![self.cosigner.clone()],
            retired: Vec::new(),
        }
    }

    fn witness(&self, floor: &[(&str, u64)]) -> Witness {
        let floor: HashMap<String, u64> =
            floor.iter().map(|(name, size)| ((*name).to_owned(), *size)).collect();
        Witness::open(&self.dir("witness"), self.roles(), floor).unwrap()
    }

    fn grow(&self, name: &str, from: u64, count: u64) -> Signed {
        let dir = self.dir(name);
        let log = open(&dir, &self.log);
        append(&log, from, count);
        drop(log);
        newest_checkpoint(&dir).unwrap().unwrap()
    }

    fn ask(&self, witness: &Witness, name: &str, old: u64) -> (AddCheckpoint, Outcome) {
        let dir = self.dir(name);
        let signed = newest_checkpoint(&dir).unwrap().unwrap();
        let request = cosign_request(&dir, &signed, old).unwrap().unwrap();
        let outcome = witness.add(request.write().as_bytes(), NOW_S);
        (request, outcome)
    }
}

fn cosigned_size(outcome: &Outcome) -> u64 {
    match outcome {
        Outcome::Cosigned { size, .. } => *size,
        other => panic!("not cosigned: {other:?}"),
    }
}

fn answered(keys: &[NoteKey], (request, outcome): &(AddCheckpoint, Outcome)) -> Answered {
    let (status, _, body) = outcome.answer();
    Answered::read(request, keys, (status, body.as_bytes()))
}

#[test]
fn a_log_that_grows_is_cosigned_and_a_verifier_sees_by_whom() {
    let scene = Scene::new();
    let witness = scene.witness(&[]);
    let keys = [scene.cosigner.public().clone()];
    let first = scene.grow("log", 1, 10);
    assert_eq!(cosigned_size(&scene.ask(&witness, "log", 0).1), first.checkpoint.head.size);
    let signed = scene.grow("log", 11, 300);
    // Who does not know where the witness is hears it.
    assert_eq!(answered(&keys, &scene.ask(&witness, "log", 0)), Answered::From(first.checkpoint.head.size));
    let asked = scene.ask(&witness, "log", first.checkpoint.head.size);
    let Answered::Cosigned(lines) = answered(&keys, &asked) else { panic!("{:?}", asked.1) };
    let cosigned =
        Signed { checkpoint: signed.checkpoint.clone(), lines: [signed.lines.clone(), lines].concat() };
    assert!(keep_cosigned(&scene.dir("log"), &cosigned).unwrap());

    let checks = |quorum| Checks { witnesses: &keys, quorum, ..Checks::default() };
    let report = verify_with(&scene.dir("log"), &checks(1)).unwrap();
    let vouched = report.cosigned.unwrap();
    assert_eq!(
        (vouched.by, vouched.last, vouched.time_s),
        (vec!["example.org/witness/audit".to_owned()], 310, Some(NOW_S))
    );
    let lacking = broken(verify_with(&scene.dir("log"), &checks(2)));
    assert!(matches!(lacking.what, What::Unsigned(_)), "{lacking}");
    // Two keys of one witness are one witness.
    let twice = [keys[0].clone(), keys[0].clone()];
    let checks = Checks { witnesses: &twice, quorum: 2, ..Checks::default() };
    assert!(verify_with(&scene.dir("log"), &checks).is_err());

    let (listed, damaged) = Witness::list(&scene.dir("witness")).unwrap();
    assert_eq!((listed.len(), listed[0].size, damaged.len()), (1, 311, 0));
    // Asked again for the same, it says the same.
    assert_eq!(cosigned_size(&scene.ask(&witness, "log", 311).1), 311);
}

#[test]
fn what_is_not_trusted_known_or_a_request_is_refused() {
    let scene = Scene::new();
    let witness = scene.witness(&[]);
    let signed = scene.grow("log", 1, 20);
    let add = |request: &AddCheckpoint| witness.add(request.write().as_bytes(), NOW_S);
    let request = AddCheckpoint { old: 0, proof: Vec::new(), signed: signed.clone() };

    let stranger = cosigner(scene.log.public().name());
    let by_stranger = Signed::new(signed.checkpoint.clone(), &[stranger], 1).unwrap();
    let by_stranger = AddCheckpoint { signed: by_stranger, ..request.clone() };
    assert_eq!(add(&by_stranger), Outcome::Untrusted);
    assert_eq!(add(&by_stranger).answer().0, 403);
    let mut changed = request.clone();
    changed.signed.checkpoint.head.root[0] ^= 1;
    assert_eq!(add(&changed), Outcome::Untrusted);
    for origin in
        ["example.org/other/2026-11", "example.org/gateway/audit/2026-111", "example.org/gateway/audit/x"]
    {
        let mut other = request.clone();
        other.signed.checkpoint.origin = origin.to_owned();
        assert_eq!(add(&other), Outcome::Unknown, "{origin}");
    }
    assert_eq!(Outcome::Unknown.answer().0, 404);
    for body in
        [&b""[..], b"old 1\n\n", b"\xff", &vec![b'a'; BODY_BYTES_MAX + 1], b"old 99999999999999999999\n\nx"]
    {
        let outcome = witness.add(body, NOW_S);
        assert!(matches!(outcome, Outcome::Malformed(_)), "{outcome:?}");
        assert_eq!(outcome.answer().0, 400);
    }
    assert_eq!(add(&AddCheckpoint { old: 99, ..request.clone() }).answer().0, 400);
    assert_eq!(add(&AddCheckpoint { old: 3, ..request.clone() }), Outcome::Elsewhere { size: 0 });
    assert_eq!(
        add(&AddCheckpoint { old: 3, ..request.clone() }).answer(),
        (409, "text/x.tlog.size", "0\n".to_owned())
    );
    assert!(matches!(
        add(&AddCheckpoint { proof: vec![[0; 32]], ..request.clone() }),
        Outcome::Unproven { .. }
    ));
    assert!(fs::read_dir(scene.dir("witness")).unwrap().next().is_none(), "none of it left a trace");
    assert_eq!(cosigned_size(&add(&request)), 21);

    // A line that claims to be of the witness harms nobody.
    let mut claimed = scene.cosigner.sign(&signed.checkpoint, 3).unwrap();
    *claimed.signature.last_mut().unwrap() ^= 1;
    let mut with_claim = AddCheckpoint { old: 21, ..request };
    with_claim.signed.lines.push(claimed);
    assert_eq!(cosigned_size(&add(&with_claim)), 21);
    assert_eq!(cosigned_size(&scene.ask(&scene.witness(&[]), "log", 21).1), 21);
}

#[test]
fn forked_views_are_not_cosigned_and_the_evidence_is_kept() {
    let scene = Scene::new();
    let witness = scene.witness(&[]);
    scene.grow("log", 1, 20);
    scene.ask(&witness, "log", 0);
    // The same key, the same number of records, another history.
    scene.grow("fork", 1000, 20);
    let keys = [scene.cosigner.public().clone()];
    let same_size = scene.ask(&witness, "fork", 21);
    assert!(matches!(same_size.1, Outcome::Forked { size: 21, .. }), "{:?}", same_size.1);
    assert_eq!(answered(&keys, &same_size), Answered::Beyond(21));
    assert_eq!(fs::read_dir(scene.dir("witness/forks")).unwrap().count(), 1);
    scene.grow("fork", 2000, 20);
    let longer = scene.ask(&witness, "fork", 21);
    assert!(matches!(longer.1, Outcome::Unproven { .. }), "{:?}", longer.1);
    assert_eq!(answered(&keys, &longer), Answered::Forked);
    // The true one goes on.
    scene.grow("log", 21, 20);
    assert_eq!(cosigned_size(&scene.ask(&witness, "log", 21).1), 41);
}

#[test]
fn a_log_that_was_put_back_hears_that_it_had_been_further() {
    let scene = Scene::new();
    let witness = scene.witness(&[]);
    scene.grow("log", 1, 20);
    copy(&scene.dir("log"), &scene.dir("before"));
    scene.grow("log", 21, 20);
    scene.ask(&witness, "log", 0);
    let asked = scene.ask(&witness, "before", 0);
    assert_eq!(asked.1, Outcome::Elsewhere { size: 41 });
    assert_eq!(answered(&[], &asked), Answered::Beyond(41));
}

#[test]
fn a_witness_does_not_go_on_from_a_state_that_was_put_back_or_changed() {
    let scene = Scene::new();
    let signed = scene.grow("log", 1, 20);
    let origin = signed.checkpoint.origin.clone();
    scene.ask(&scene.witness(&[]), "log", 0);
    copy(&scene.dir("witness"), &scene.dir("before"));
    scene.grow("log", 21, 20);
    scene.ask(&scene.witness(&[]), "log", 21);
    let state = state_file(&scene.dir("witness"));
    let good = fs::read(&state).unwrap();

    fs::copy(state_file(&scene.dir("before")), &state).unwrap();
    let outcome = scene.ask(&scene.witness(&[(&origin, 41)]), "log", 21).1;
    assert!(matches!(&outcome, Outcome::Unable(why) if why.contains("was put back")), "{outcome:?}");
    assert_eq!(outcome.answer().0, 503);
    fs::remove_file(&state).unwrap();
    assert!(matches!(scene.ask(&scene.witness(&[(&origin, 41)]), "log", 0).1, Outcome::Unable(_)));
    for at in [0, 40, good.len() - 30] {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        fs::write(&state, bytes).unwrap();
        let outcome = scene.ask(&scene.witness(&[]), "log", 41).1;
        assert!(matches!(&outcome, Outcome::Unable(why) if why.contains("damaged")), "{at} {outcome:?}");
    }
    fs::write(&state, good).unwrap();
    assert_eq!(cosigned_size(&scene.ask(&scene.witness(&[(&origin, 41)]), "log", 41).1), 41);
}

fn state_file(dir: &Path) -> std::path::PathBuf {
    let mut files =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_file());
    files.next().unwrap()
}

/// The process ends when the state is on the disk and nobody has heard of it.
#[test]
fn an_answer_that_was_lost_is_given_again() {
    let scene = Scene::new();
    scene.grow("log", 1, 20);
    scene.ask(&scene.witness(&[]), "log", 0);
    let witness = scene.witness(&[]);
    let asked = scene.ask(&witness, "log", 0);
    assert_eq!(answered(&[], &asked), Answered::From(21));
    assert_eq!(cosigned_size(&scene.ask(&witness, "log", 21).1), 21);
}

#[test]
fn nothing_is_signed_that_cannot_be_kept_and_no_time_twice() {
    let scene = Scene::new();
    let witness = scene.witness(&[]);
    let signed = scene.grow("log", 1, 20);
    let request = AddCheckpoint { old: 0, proof: Vec::new(), signed };
    let dir = scene.dir("witness");
    fs::remove_dir(&dir).unwrap();
    let outcome = witness.add(request.write().as_bytes(), NOW_S);
    assert!(matches!(outcome, Outcome::Unable(_)), "{outcome:?}");
    fs::create_dir(&dir).unwrap();
    assert_eq!(cosigned_size(&witness.add(request.write().as_bytes(), NOW_S)), 21);
    let earlier = AddCheckpoint { old: 21, ..request };
    assert_eq!(cosigned_size(&witness.add(earlier.write().as_bytes(), NOW_S - 100)), 21);
    assert_eq!(Witness::list(&dir).unwrap().0[0].time_s, Some(NOW_S));
}

/// Two ends of a link: what the log shows to somebody who had seen it before, and what each makes of it.
#[test]
fn a_peer_finds_a_log_that_is_less_or_other_than_it_was() {
    let scene = Scene::new();
    let keys = [scene.log.public().clone()];
    let seen = Seen::at(&scene.dir("seen"));
    let show = |name: &str| {
        let known = seen.newest().unwrap();
        Shown::of(&scene.dir(name), &keys, known.as_ref()).unwrap().unwrap()
    };
    let is_held = |name: &str| {
        let known = seen.newest().unwrap().unwrap();
        is_beginning(&scene.dir(name), &keys, &known).unwrap()
    };
    scene.grow("log", 1, 20);
    copy(&scene.dir("log"), &scene.dir("before"));
    assert_eq!(seen.compare(&show("log")).unwrap(), Compared::First);
    scene.grow("log", 21, 300);
    let early = show("log");
    assert_eq!(seen.compare(&early).unwrap(), Compared::GoesOn);
    assert_eq!(seen.newest().unwrap().unwrap().checkpoint.head.size, 321);
    assert_eq!(seen.compare(&show("log")).unwrap(), Compared::GoesOn);
    assert_eq!(is_held("log"), Some(true));
    // An older answer that comes late is what a log looks like that was put back.
    assert!(
        matches!(seen.compare(&show("before")).unwrap(), Compared::Differs(how) if how.contains("its end is gone"))
    );
    assert_eq!((is_held("before"), seen.differences()), (Some(false), 1));
    scene.grow("before", 1000, 300);
    assert!(
        matches!(seen.compare(&show("before")).unwrap(), Compared::Differs(how) if how.contains("two histories"))
    );
    scene.grow("before", 2000, 30);
    assert!(
        matches!(seen.compare(&show("before")).unwrap(), Compared::Differs(how) if how.contains("does not go on"))
    );
    assert_eq!(is_held("before"), Some(false));
    assert_eq!(
        seen.newest().unwrap().unwrap().checkpoint.head.size,
        321,
        "what differs is not believed from then on"
    );
    assert_eq!(seen.compare(&show("log")).unwrap(), Compared::GoesOn);

    // What another key signed says nothing of this log.
    let other = [cosigner("example.org/other/audit").public().clone()];
    assert_eq!(is_beginning(&scene.dir("log"), &other, &seen.newest().unwrap().unwrap()).unwrap(), None);
    let unsigned = Shown { keys: vec![other[0].to_string()], ..show("log") };
    assert!(seen.compare(&unsigned).is_err());
    assert!(seen.compare(&Shown { schema: "lockgate.checkpoints/2".to_owned(), ..show("log") }).is_err());
    seen.remember(&newest_checkpoint(&scene.dir("before")).unwrap().unwrap()).unwrap();
    assert_eq!(seen.newest().unwrap().unwrap().checkpoint.head.size, 351);
}

#[test]
fn a_log_of_others_says_no_month() {
    let scene = Scene::new();
    written(&scene.dir("log"), &scene.log, 3);
    let none = cosign_request(&scene.dir("log"), &newest_checkpoint(&scene.dir("log")).unwrap().unwrap(), 99);
    assert!(matches!(none, Ok(None) | Err(AuditError::Broken(_))));
}
