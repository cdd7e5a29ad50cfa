//! Bundles that peers are handed while they are connected.

use std::time::Duration;

use proptest::prelude::*;
use serde_json::Value;

use super::*;
use crate::preamble::Preamble;
use crate::{IdentityError, SIGNED_BUNDLE_BYTES_MAX, invite, key_pem, update};

const WEEK: Duration = Duration::from_secs(7 * 24 * 60 * 60);

fn fresh() -> Authority {
    Authority::generate("example.org", &[composite(), ecdsa()], now()).unwrap()
}

fn anyone(_: &Algorithm) -> bool {
    true
}

fn quantum_safe(algorithm: &Algorithm) -> bool {
    algorithm.is_quantum_safe()
}

/// checklist 9: peers take the new roots before they need them, and drop the old ones.
#[test]
fn a_peer_follows_every_change() {
    let authority = fresh();
    let mut known = TrustBundle::from_pem(&authority.bundle().to_pem()).unwrap();
    assert_eq!(known.sequence(), 0);
    let mut last = 0;
    let mut follow = |moment| {
        let text = authority.signed_bundle().unwrap();
        let (bundle, sequence) = known.accept_update(&text, quantum_safe, last, moment).unwrap();
        assert_eq!((&bundle, sequence), (&authority.bundle(), authority.bundle().sequence()));
        let again = bundle.accept_update(&text, quantum_safe, sequence, moment).unwrap_err();
        assert!(matches!(again, IdentityError::BundleOutdated { .. }), "{again}");
        (known, last) = (bundle.clone(), sequence);
        bundle
    };
    follow(now());
    authority.ensure(&[ml_dsa()], now()).unwrap();
    assert_eq!(follow(now()).roots().len(), 3);
    let rotation = authority.rotate(composite(), now(), WEEK).unwrap();
    let both = follow(now());
    let retiring = both.roots().iter().find(|root| root.fingerprint() == rotation.old[0]).unwrap();
    assert_eq!(retiring.retire_at(), Some(now() + WEEK), "a peer that hears nothing more ends it too");
    authority.prune(now() + WEEK).unwrap();
    assert_eq!(follow(now() + WEEK).roots().len(), 3);
}

/// checklist 9: whoever was away for a while follows by a root that it still knows.
#[test]
fn one_root_in_common_is_enough_and_none_is_too_few() {
    let authority = fresh();
    let known = authority.bundle();
    authority.rotate(composite(), now(), Duration::ZERO).unwrap();
    let text = authority.signed_bundle().unwrap();
    known.accept_update(&text, anyone, 0, now()).unwrap();
    let refused = |error: IdentityError| assert!(matches!(error, IdentityError::BundleUnsigned), "{error}");
    // The one that is left is ECDSA, which a profile for the day of the quantum computer does not permit.
    refused(known.accept_update(&text, quantum_safe, 0, now()).unwrap_err());
    authority.rotate(ecdsa(), now(), Duration::ZERO).unwrap();
    let text = authority.signed_bundle().unwrap();
    refused(known.accept_update(&text, anyone, 0, now()).unwrap_err());
    refused(theirs().accept_update(&text, anyone, 0, now()).unwrap_err());
}

#[test]
fn a_root_that_is_retired_vouches_for_nothing() {
    let authority = fresh();
    authority.rotate(composite(), now(), WEEK).unwrap();
    authority.rotate(ecdsa(), now(), WEEK).unwrap();
    let old: Vec<_> =
        authority.bundle().roots().iter().filter(|root| root.retire_at().is_some()).cloned().collect();
    let old = TrustBundle::of_roots("example.org", 1, old, Vec::new()).unwrap();
    let text = authority.signed_bundle().unwrap();
    old.accept_update(&text, anyone, 0, now() + WEEK - MINUTE).unwrap();
    let error = old.accept_update(&text, anyone, 0, now() + WEEK).unwrap_err();
    assert!(matches!(error, IdentityError::BundleUnsigned), "{error}");
}

#[test]
fn old_documents_are_refused() {
    let authority = fresh();
    let first = authority.signed_bundle().unwrap();
    authority.ensure(&[ml_dsa()], now()).unwrap();
    let known = authority.bundle();
    for last in [0, known.sequence(), u64::MAX] {
        let error = known.accept_update(&first, anyone, last, now()).unwrap_err();
        assert!(matches!(error, IdentityError::BundleOutdated { .. }), "{error}");
    }
    // A gateway that was set back to an old copy of its state still finds a higher number.
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("authority");
    let open = |moment| Authority::open_or_create(&dir, "example.org", &[composite()], moment).unwrap();
    let authority = open(now());
    let copy = std::fs::read(dir.join("roots.pem")).unwrap();
    authority.ensure(&[ml_dsa()], now() + MINUTE).unwrap();
    let known = authority.bundle();
    std::fs::write(dir.join("roots.pem"), copy).unwrap();
    let authority = open(now() + 2 * MINUTE);
    authority.ensure(&[ecdsa()], now() + 2 * MINUTE).unwrap();
    known.accept_update(&authority.signed_bundle().unwrap(), anyone, 0, now() + 2 * MINUTE).unwrap();
}

#[test]
fn an_altered_document_is_refused() {
    let authority = fresh();
    let known = TrustBundle::from_pem(&authority.bundle().to_pem()).unwrap();
    let text = authority.signed_bundle().unwrap();
    known.accept_update(&text, anyone, 0, now()).unwrap();
    let edit = |edit: &dyn Fn(&mut Value)| {
        let mut document: Value = serde_json::from_str(&text).unwrap();
        edit(&mut document);
        known.accept_update(&document.to_string(), anyone, 0, now()).unwrap_err()
    };
    let unsigned = |error: &IdentityError| matches!(error, IdentityError::BundleUnsigned);
    let body = |document: &mut Value, from: &str, to: &str| {
        let body = document["body"].as_str().unwrap().replacen(from, to, 1);
        document["body"] = body.into();
    };
    assert!(unsigned(&edit(&|document| body(document, "\"sequence\":", "\"sequence\":9"))));
    assert!(unsigned(&edit(&|document| body(document, "example.org", "example.com"))));
    assert!(unsigned(&edit(&|document| document["signatures"] = Value::Array(Vec::new()))));
    assert!(unsigned(&edit(&|document| {
        for signature in document["signatures"].as_array_mut().unwrap() {
            signature["signature"] = "AAAA".into();
        }
    })));
    let error = edit(&|document| document["schema"] = "lockgate.bundle/2".into());
    assert!(error.to_string().contains("another version"), "{error}");
    let error = edit(&|document| {
        let one = document["signatures"][0].clone();
        document["signatures"] = vec![one; 33].into();
    });
    assert!(error.to_string().contains("more than 32"), "{error}");
    // Another document of the same root does not stand in for it.
    let cross = serde_json::json!({"schema": "lockgate.bundle/1", "body": "{}", "signatures": []});
    assert!(known.accept_update(&cross.to_string(), anyone, 0, now()).is_err());
    let long = " ".repeat(SIGNED_BUNDLE_BYTES_MAX + 1);
    assert!(known.accept_update(&long, anyone, 0, now()).is_err());
}

/// A document that a trusted root signed and that still says nothing that can be used.
#[test]
fn a_signed_document_is_checked_all_the_same() {
    let elsewhere = Authority::generate("example.net", &[ecdsa()], now()).unwrap();
    let authority = fresh();
    let issuer = authority.issuer(ecdsa(), now());
    let text = crate::update::sign(&elsewhere.bundle(), &[&issuer.key]).unwrap();
    let error = authority.bundle().accept_update(&text, anyone, 0, now() + MINUTE);
    assert!(error.is_err());
    let known = TrustBundle::from_pem(&authority.bundle().to_pem()).unwrap();
    let error = known.accept_update(&text, anyone, 0, now()).unwrap_err();
    assert!(matches!(error, IdentityError::ForeignTrustDomain { .. }), "{error}");
}

/// checklist 9: an agent's bundle changes with its certificate, and is kept with its sequence.
#[test]
fn an_agent_keeps_what_it_learned() {
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("agent");
    let authority = fresh();
    let mut agent = agent(&authority, composite());
    assert_eq!(agent.bundle_sequence(), authority.bundle().sequence());
    authority.rotate(composite(), now(), WEEK).unwrap();
    let text = authority.signed_bundle().unwrap();
    let (bundle, sequence) =
        agent.bundle.accept_update(&text, anyone, agent.bundle_sequence(), now()).unwrap();
    agent.adopt(bundle).unwrap();
    agent.save(&dir).unwrap();
    let loaded = AgentIdentity::load(&dir).unwrap().unwrap();
    assert_eq!(loaded.bundle_sequence(), sequence);
    assert_eq!(loaded.bundle, authority.bundle());
    assert_eq!(loaded.bundle.roots().iter().filter_map(crate::Root::retire_at).count(), 1);

    // A bundle under which its own certificate is worthless comes with the next certificate only.
    authority.prune(now() + WEEK).unwrap();
    let text = authority.signed_bundle().unwrap();
    let (bundle, _) = agent.bundle.accept_update(&text, anyone, agent.bundle_sequence(), now()).unwrap();
    let error = agent.adopt(bundle.clone()).unwrap_err();
    assert!(matches!(error, IdentityError::UnknownAuthority { .. }), "{error}");
    assert_eq!(agent.bundle_sequence(), sequence, "the old one stays");
    let renewal = agent.renew(composite()).unwrap();
    let key = ProvenKey::from_request_pem(renewal.request_pem()).unwrap();
    let moment = now() + WEEK;
    let issued = authority.issue(&agent_request(key), moment).unwrap();
    let next = renewal.finish(&issued.to_pem(), bundle, moment).unwrap();
    assert_eq!(next.bundle_sequence(), authority.bundle().sequence());
}

/// An invite that was handed out before the authority grew still leads to the right place.
#[test]
fn a_pin_outlives_the_growth_of_the_authority() {
    let authority = fresh();
    let (before, lifetime) = (authority.bundle(), invite::LIFETIME);
    let (code, _) = invite::Invite::mint(&before, "claude", "https://gw", lifetime, now()).unwrap();
    authority.ensure(&[ml_dsa()], now() + MINUTE).unwrap();
    authority.ensure(&[row("Ed25519")], now() + 2 * MINUTE).unwrap();
    let served = authority.bundle().to_pem();
    let pinned = TrustBundle::from_pem_pinned(&served, &code.fingerprint).unwrap();
    assert_eq!(pinned, before, "only the roots that the pin speaks of");
    let text = authority.signed_bundle().unwrap();
    let (grown, _) = pinned.accept_update(&text, anyone, pinned.sequence(), now()).unwrap();
    assert_eq!(grown, authority.bundle());

    // A stranger's root beside ours does not get in, and a replaced root is told.
    let both = [before.to_pem(), theirs().to_pem()].concat();
    match TrustBundle::from_pem_pinned(&both, &code.fingerprint) {
        Ok(bundle) => assert_eq!(bundle, before),
        Err(error) => assert!(matches!(error, IdentityError::PinMismatch { .. }), "{error}"),
    }
    authority.rotate(composite(), now() + 3 * MINUTE, Duration::ZERO).unwrap();
    let error = TrustBundle::from_pem_pinned(&authority.bundle().to_pem(), &code.fingerprint).unwrap_err();
    assert!(matches!(error, IdentityError::PinMismatch { .. }), "{error}");
}

/// An authority may run a newer version than its peers, with a root of an algorithm that they have never heard of.
#[test]
fn a_root_of_an_unknown_algorithm_is_kept_and_trusted_in_nothing() {
    // id-ml-dsa-65, and what might come after it.
    const KNOWN: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x12];
    const UNKNOWN: &[u8] = &[0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03, 0x63];
    let root = tempfile::tempdir().unwrap();
    let dir = root.path().join("authority");
    let authority = Authority::open_or_create(&dir, "example.org", &[composite(), ml_dsa()], now()).unwrap();
    let known = TrustBundle::from_pem(&authority.bundle().to_pem()).unwrap();
    let roots = authority.bundle().roots().to_vec();
    let strange: Vec<_> = roots
        .iter()
        .map(|root| match root.algorithm() == ml_dsa() {
            true => replaced(root.certificate(), KNOWN, UNKNOWN).into(),
            false => root.certificate().clone(),
        })
        .collect();
    let preamble = Preamble { sequence: authority.bundle().sequence() + 1, dates: Vec::new() };
    let newer = TrustBundle::dated(strange.clone(), &preamble).unwrap();
    assert_eq!((newer.roots().len(), newer.unknown_roots()), (1, 1));

    let (keys, _) = key_pem::read_all(&std::fs::read(dir.join("roots.pem")).unwrap()).unwrap();
    let text = update::sign(&newer, &keys.iter().collect::<Vec<_>>()).unwrap();
    let (taken, _) = known.accept_update(&text, quantum_safe, 0, now()).unwrap();
    assert_eq!((taken.roots().len(), taken.unknown_roots()), (1, 1));
    // It is pinned, written and read as a whole, for the version that will know it.
    assert_eq!(taken.fingerprint(), newer.fingerprint());
    assert_ne!(taken.fingerprint(), known.fingerprint());
    assert_eq!(TrustBundle::from_pem_pinned(&taken.to_pem(), newer.fingerprint()).unwrap(), taken);
    assert!(
        !taken.includes(&known),
        "what its twin of a known algorithm vouched for is not trusted any more"
    );

    let only = strange.into_iter().filter(|one| one.windows(9).any(|bytes| bytes == UNKNOWN)).collect();
    let error = TrustBundle::new(only).unwrap_err();
    assert!(error.to_string().contains("update this end"), "{error}");
}

fn replaced(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    while let Some(at) = bytes.windows(from.len()).position(|window| window == from) {
        bytes[at..at + to.len()].copy_from_slice(to);
    }
    bytes
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn any_text_is_refused_without_a_panic(text in "\\PC{0,120}", body in "\\PC{0,80}") {
        prop_assert!(ours().accept_update(&text, anyone, 0, now()).is_err());
        let document = serde_json::json!({"schema": "lockgate.bundle/1", "body": body, "signatures": []});
        prop_assert!(ours().accept_update(&document.to_string(), anyone, 0, now()).is_err());
    }

    /// One character changed anywhere: refused, or the same bundle by another signature.
    #[test]
    fn a_damaged_document_never_becomes_another(at in 0usize..10_000, with in any::<char>()) {
        static TEXT: OnceLock<String> = OnceLock::new();
        let text = TEXT.get_or_init(|| authority().signed_bundle().unwrap());
        let mut text: Vec<char> = text.chars().collect();
        let at = at * text.len() / 10_000;
        text[at] = with;
        let known = TrustBundle::from_pem(&ours().to_pem()).unwrap();
        if let Ok((bundle, sequence)) = known.accept_update(&text.into_iter().collect::<String>(), anyone, 0, now()) {
            prop_assert_eq!((&bundle, sequence), (ours(), ours().sequence()));
        }
    }
}
