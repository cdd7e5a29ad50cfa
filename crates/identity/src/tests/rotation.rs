//! Roots that are added, replaced and retired while the authority is in use.

use std::fs;
use std::time::Duration;

use super::*;
use crate::verifier::{self, Expect};
use crate::{Evidence, IdentityError, OVERLAP_MAX, Principal, ROOTS_MAX, verify};

const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

fn fresh() -> Authority {
    Authority::generate("example.org", &[composite(), ecdsa()], now()).unwrap()
}

/// Whether a bundle takes the leaf of an agent at a moment.
fn takes(bundle: &TrustBundle, agent: &AgentIdentity, moment: SystemTime) -> bool {
    let evidence =
        Evidence { peer_certificates: vec![agent.leaf.certificate().clone()], ..Evidence::default() };
    matches!(verify(&evidence, bundle, moment), Ok(Principal::Workload { .. }))
}

/// An agent that enrols at a moment.
fn agent_at(authority: &Authority, algorithm: &'static Algorithm, moment: SystemTime) -> AgentIdentity {
    let enrolment = Enrolment::begin(algorithm).unwrap();
    let key = ProvenKey::from_request_pem(enrolment.request_pem()).unwrap();
    let issued = authority.issue(&agent_request(key), moment).unwrap();
    enrolment.finish(&issued.to_pem(), authority.bundle(), moment).unwrap()
}

/// A change that could not be put in force leaves no root behind, in memory or on the disk.
#[test]
fn a_rotation_can_be_taken_back() {
    let dir = tempfile::tempdir().unwrap();
    let authority = Authority::open_or_create(dir.path(), "example.org", &[composite()], now()).unwrap();
    let (before, held) = (authority.bundle(), agent(&authority, composite()));
    for overlap in [WEEK, Duration::ZERO] {
        let snapshot = authority.snapshot();
        authority.rotate(composite(), now(), overlap).unwrap();
        let between = authority.bundle();
        assert_ne!(between.fingerprint(), before.fingerprint());
        authority.go_back(&snapshot, now()).unwrap();
        let after = authority.bundle();
        assert_eq!(after.fingerprint(), before.fingerprint());
        assert!(after.roots().iter().all(|root| root.retire_at().is_none()));
        assert!(after.sequence() > between.sequence(), "peers that heard of it hear of its end");
        assert!(takes(&after, &held, now()));
        let stored = Authority::open(dir.path()).unwrap().unwrap();
        assert_eq!(stored.bundle(), after);
        takes(&after, &agent(&stored, composite()), now());
    }
    assert!(!format!("{:?}", authority.snapshot()).contains("PRIVATE"));
}

/// checklist 9: certificates are issued anew under another algorithm, by a root that is made when it is first needed.
#[test]
fn an_authority_grows_by_the_algorithms_that_are_needed() {
    let authority = fresh();
    let before = authority.bundle();
    let old = agent(&authority, composite());
    let key = ProvenKey::own(&key(ml_dsa()));
    let error = authority.issue(&agent_request(key.clone()), now()).unwrap_err();
    assert!(error.to_string().contains("no root for ML-DSA-65"), "{error}");

    assert!(authority.ensure(&[composite(), ml_dsa()], now() + MINUTE).unwrap());
    authority.issue(&agent_request(key), now() + MINUTE).unwrap();
    let after = authority.bundle();
    assert!(after.includes(&before) && !before.includes(&after));
    assert!(after.sequence() > before.sequence());
    assert_ne!(after.fingerprint(), before.fingerprint());

    // The overlap: leaves of the old algorithm and of the new one are both taken, and the renewal moves over.
    let renewal = old.renew(ml_dsa()).unwrap();
    let key = ProvenKey::from_request_pem(renewal.request_pem()).unwrap();
    assert_eq!(key.algorithm(), ml_dsa());
    let issued = authority.issue(&agent_request(key), now() + MINUTE).unwrap();
    let new = renewal.finish(&issued.to_pem(), after.clone(), now() + MINUTE).unwrap();
    assert!(takes(&after, &old, now() + MINUTE) && takes(&after, &new, now() + MINUTE));
    assert_eq!((new.id, new.bundle.sequence()), (old.id, after.sequence()));

    assert!(!authority.ensure(&all(), now() + 2 * MINUTE).unwrap(), "nothing was missing");
    assert_eq!(authority.bundle().sequence(), after.sequence());
}

/// checklist 9: a root is replaced with an overlap in which both are trusted, and then is gone.
#[test]
fn a_root_is_replaced_with_an_overlap() {
    let authority = fresh();
    let first = authority.bundle();
    let old = agent(&authority, composite());
    let rotation = authority.rotate(composite(), now(), WEEK).unwrap();
    assert_eq!((rotation.issues_from, rotation.retire_at), (now() + WEEK / 2, now() + WEEK));
    let both = authority.bundle();
    assert!(both.includes(&first));
    assert_eq!(both.roots().len(), 3);
    let root =
        |fingerprint: &str| both.roots().iter().find(|root| root.fingerprint() == fingerprint).unwrap();
    assert_eq!(root(&rotation.old[0]).retire_at(), Some(now() + WEEK));
    assert_eq!(root(&rotation.new).retire_at(), None);

    // First the old root goes on issuing, for peers that have not heard of the new one.
    assert_eq!(authority.next_change(now()), Some(rotation.issues_from));
    let early = agent_at(&authority, composite(), now() + DAY);
    assert!(takes(&first, &early, now() + DAY));
    let moment = rotation.issues_from;
    let late = agent_at(&authority, composite(), moment);
    assert!(!takes(&first, &late, moment) && takes(&both, &late, moment));
    assert!(takes(&both, &old, now()), "what was issued before is still taken");
    assert_eq!(authority.next_change(moment), Some(rotation.retire_at));

    // Then it retires, whether it is pruned in time or not.
    let end = rotation.retire_at;
    assert!(!authority.prune(end - MINUTE).unwrap());
    let spki = key(composite()).spki_der();
    let issuer = authority.issuer(composite(), now());
    let path = id("/agent/x");
    let content = crate::certificate::LeafContent {
        spki_der: &spki,
        id: &path,
        role: Role::Agent,
        dns_names: &[],
        ips: &[],
        not_before: now(),
        not_after: end + DAY,
    };
    let (leaf, _) = issuer.leaf_certificate(&content).unwrap();
    let evidence = Evidence { peer_certificates: vec![leaf], ..Evidence::default() };
    verify(&evidence, &both, end - MINUTE).unwrap();
    assert!(matches!(verify(&evidence, &both, end), Err(IdentityError::UnknownAuthority { .. })));
    assert!(authority.prune(end).unwrap());
    let last = authority.bundle();
    assert_eq!(last.roots().len(), 2);
    assert!(!last.includes(&both) && last.sequence() > both.sequence());
    assert!(verify(&evidence, &last, end - MINUTE).is_err(), "a pruned root vouches for nothing");
    assert!(takes(&last, &late, moment));
    assert_eq!(authority.next_change(end), None);
    assert!(!authority.prune(end + WEEK).unwrap());
}

/// checklist 9: a leaf never outlives its root.
#[test]
fn leaves_end_with_the_root_that_issued_them() {
    let authority = fresh();
    authority.rotate(composite(), now(), 2 * MINUTE).unwrap();
    let leaf = agent(&authority, composite()).leaf;
    assert_eq!(leaf.not_after(), now() + 2 * MINUTE);
    let leaf = agent_at(&authority, composite(), now() + MINUTE).leaf;
    assert_eq!(leaf.not_after(), now() + MINUTE + AGENT_LIFETIME);
}

/// checklist 9: revocation. A stolen root ends at once, with all that it issued.
#[test]
fn an_overlap_of_zero_ends_a_root_at_once() {
    let authority = fresh();
    let (stolen, spared) = (agent(&authority, composite()), agent(&authority, ecdsa()));
    let rotation = authority.rotate(composite(), now(), Duration::ZERO).unwrap();
    assert_eq!(rotation.issues_from, now());
    let bundle = authority.bundle();
    assert_eq!(bundle.roots().len(), 2);
    assert!(!takes(&bundle, &stolen, now()) && takes(&bundle, &spared, now()));
    assert!(takes(&bundle, &agent(&authority, composite()), now()));
    // The verifiers of TLS say the same.
    let end = stolen.leaf.certificate();
    let moment =
        rustls::pki_types::UnixTime::since_unix_epoch(now().duration_since(SystemTime::UNIX_EPOCH).unwrap());
    assert!(verifier::client(&bundle, any_suite()).verify_client_cert(end, &[], moment).is_err());
    let node = node_of(&authority, &[composite()]);
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    verifier::server(&bundle, any_suite(), Expect::Node)
        .verify_server_cert(node.leaves[0].certificate(), &[], &name, &[], moment)
        .unwrap();
}

fn node_of(authority: &Authority, algorithms: &[&'static Algorithm]) -> NodeIdentity {
    authority.issue_node(&id("/node/n"), &[], &[], algorithms, NODE_LIFETIME, now()).unwrap()
}

#[test]
fn two_changes_of_one_root_may_overlap() {
    let authority = fresh();
    authority.rotate(composite(), now(), WEEK).unwrap();
    let second = authority.rotate(composite(), now() + DAY, 2 * DAY).unwrap();
    assert_eq!(second.old.len(), 2);
    // At each moment somebody issues, and whoever does is trusted for as long as the leaf lives.
    for hours in 24..200 {
        let moment = now() + 60 * hours * MINUTE;
        let agent = agent_at(&authority, composite(), moment);
        assert!(
            takes(&authority.bundle(), &agent, agent.leaf.not_after() - Duration::from_secs(1)),
            "{hours}"
        );
    }
    assert!(authority.prune(now() + 3 * DAY).unwrap());
    assert_eq!(authority.bundle().roots().len(), 2, "the shorter overlap counts");
}

#[test]
fn changes_that_cannot_be_made_leave_everything_as_it_was() {
    let authority = fresh();
    let before = authority.bundle();
    let error = authority.rotate(ml_dsa(), now(), WEEK).unwrap_err();
    assert!(matches!(error, IdentityError::NoRoot { .. }), "{error}");
    let error = authority.rotate(ecdsa(), now(), OVERLAP_MAX + MINUTE).unwrap_err();
    assert!(matches!(error, IdentityError::Range { .. }), "{error}");
    let error = authority.ensure(&[row("RSA-PSS-SHA256")], now()).unwrap_err();
    assert!(matches!(error, IdentityError::Crypto(_)), "{error}");
    assert_eq!(authority.bundle().sequence(), before.sequence());
    assert!(Authority::generate("example.org", &[], now()).is_err(), "an authority has a root");

    // Roots that pile up are refused before a peer would refuse the bundle.
    for _ in before.roots().len()..ROOTS_MAX {
        authority.rotate(ecdsa(), now(), WEEK).unwrap();
    }
    let error = authority.rotate(ecdsa(), now(), WEEK).unwrap_err();
    assert!(error.to_string().contains("more than 32"), "{error}");
    assert_eq!(authority.bundle().roots().len(), ROOTS_MAX);
}

/// checklist 9: roots are replaced by themselves before they end.
#[test]
fn a_root_that_ends_is_replaced_in_time() {
    let authority = fresh();
    let end = authority.bundle().roots()[0].not_after();
    assert!(!authority.ensure(&[composite(), ecdsa()], end - 366 * DAY).unwrap());
    assert!(authority.ensure(&[composite(), ecdsa()], end - 364 * DAY).unwrap());
    assert_eq!(authority.bundle().roots().len(), 4);
    assert!(authority.prune(end - 364 * DAY + 90 * DAY).unwrap());
    assert!(authority.bundle().roots().iter().all(|root| root.not_after() > end));
}

/// Whoever issues while the roots change gets a leaf that is good under the roots of that moment or the next.
#[test]
fn leaves_are_issued_while_the_roots_change() {
    let authority = fresh();
    let issued: Vec<AgentIdentity> = std::thread::scope(|scope| {
        let issue = || (0..40).map(|_| agent(&authority, ecdsa())).collect::<Vec<_>>();
        let threads: Vec<_> = (0..3).map(|_| scope.spawn(issue)).collect();
        for _ in 0..4 {
            authority.rotate(ecdsa(), now(), WEEK).unwrap();
            authority.ensure(&[ml_dsa()], now()).unwrap();
        }
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    let bundle = authority.bundle();
    assert_eq!(issued.len(), 120);
    assert!(issued.iter().all(|agent| takes(&bundle, agent, now())));
    assert_eq!(bundle.roots().len(), 2 + 4 + 1);
}

#[test]
fn a_clock_that_goes_back_leaves_an_issuer() {
    let authority = fresh();
    let rotation = authority.rotate(composite(), now(), 2 * DAY).unwrap();
    authority.prune(rotation.retire_at).unwrap();
    let leaf = agent(&authority, composite()).leaf;
    assert_eq!(leaf.not_after(), now() + AGENT_LIFETIME);
}

/// checklist 9: what was changed is still so after a restart, and two processes change one authority.
#[test]
fn changes_are_kept_and_shared() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("authority");
    let open = || Authority::open_or_create(&dir, "example.org", &[composite()], now()).unwrap();
    let (one, other) = (open(), open());
    assert!(one.ensure(&[ecdsa()], now()).unwrap());
    let rotation = other.rotate(composite(), now(), WEEK).unwrap();
    assert_eq!(other.bundle().roots().len(), 3, "the root that the first one made is not lost");
    let again = open();
    assert_eq!(again.bundle(), other.bundle());
    assert_eq!(again.bundle().sequence(), other.bundle().sequence());
    assert_eq!(again.next_change(now()), Some(rotation.issues_from));
    let public = TrustBundle::from_pem_file(&Authority::bundle_path(&dir)).unwrap();
    assert_eq!((&public, public.sequence()), (&again.bundle(), again.bundle().sequence()));
    let retiring: Vec<_> = public.roots().iter().filter_map(crate::Root::retire_at).collect();
    assert_eq!(retiring, [rotation.retire_at]);

    assert!(again.prune(rotation.retire_at).unwrap());
    let secret = fs::read_to_string(dir.join("roots.pem")).unwrap();
    assert_eq!(secret.matches("BEGIN PRIVATE KEY").count(), 2, "the key of the old root is gone");
    assert_eq!(open().bundle().roots().len(), 2);
}

/// The file of a version that knew three families and no dates.
#[test]
fn the_roots_of_an_earlier_version_go_on() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("authority");
    let made = Authority::open_or_create(&dir, "example.org", &all(), now()).unwrap();
    let leaf = agent(&made, ml_dsa());
    let path = dir.join("roots.pem");
    let text = fs::read_to_string(&path).unwrap();
    let (line, earlier) = text.split_once('\n').unwrap();
    assert!(line.starts_with("# lockgate.roots/1 {") && earlier.starts_with("-----BEGIN PRIVATE KEY"));
    fs::write(&path, earlier).unwrap();
    fs::write(Authority::bundle_path(&dir), made.bundle().to_pem()).unwrap();

    let opened = Authority::open_or_create(&dir, "example.org", &[composite()], now()).unwrap();
    assert_eq!((opened.bundle(), opened.bundle().sequence()), (made.bundle(), 1));
    assert!(takes(&opened.bundle(), &leaf, now()));
    assert_eq!(fs::read_to_string(&path).unwrap(), earlier, "nothing was written");
    let agent = agent_at(&opened, ecdsa(), now());
    assert!(opened.ensure(&[row("MLDSA65-ECDSA-P256-SHA512")], now()).unwrap());
    assert!(takes(&opened.bundle(), &agent, now()));
    let damaged = text.replacen("\"sequence\":", "\"sequence\":-", 1);
    fs::write(&path, damaged).unwrap();
    let error = Authority::open(&dir).unwrap_err().to_string();
    assert!(error.contains("roots.pem") && error.contains("first line"), "{error}");
}
