//! What a suite makes of a profile, of bans and of dates.

use std::sync::Arc;

use jiff::civil::Date;

use super::*;
use crate::{Ban, Capabilities, Posture, Sunset, profile};

fn date(text: &str) -> Date {
    text.parse().unwrap()
}

fn on(day: &str) -> Conditions {
    Conditions::on(3, date(day))
}

fn suite(alias: &str) -> Suite {
    profile::find(alias).unwrap().compile_under(&on("2026-11-22")).unwrap()
}

fn banning(alias: &str, target: &str, keep_hybrids: bool) -> Result<Suite, CryptoError> {
    let (algorithm, provider) = Ban::parse_target(target).unwrap();
    let reason = "a test".to_owned();
    let ban = Ban { algorithm, provider, keep_hybrids, reason, ..Ban::default() };
    let conditions = Conditions { bans: Arc::from([ban]), ..on("2026-11-22") };
    profile::find(alias).unwrap().compile_under(&conditions)
}

fn ids(rows: &[&'static Algorithm]) -> Vec<&'static str> {
    rows.iter().map(|row| row.id).collect()
}

fn schemes(ids: &[&str]) -> Vec<SignatureScheme> {
    let code_point = |id: &&str| catalog::find(id).unwrap().code_point.unwrap();
    ids.iter().map(|id| code_point(id).into()).collect()
}

#[test]
fn every_profile_compiles_today_and_keeps_what_it_lists() {
    for profile in profile::all() {
        let suite = profile.compile(42).unwrap();
        assert_eq!((suite.profile(), suite.epoch()), (profile, 42));
        assert!(suite.retired().is_empty() && suite.warned().is_empty());
        let algorithms = suite.verification_algorithms();
        assert_eq!(algorithms.mapping.len(), profile.signatures.len());
    }
}

#[test]
fn our_own_leaves_are_the_first_of_each_nature() {
    let table: [(&str, &[&str]); 6] = [
        ("pq-hybrid", &["MLDSA65-Ed25519-SHA512", "ML-DSA-65"]),
        ("pq-kex", &["MLDSA65-Ed25519-SHA512", "ML-DSA-65", "ECDSA-P256-SHA256"]),
        ("bsi-hybrid", &["MLDSA65-ECDSA-P256-SHA512"]),
        ("cnsa2", &["ML-DSA-87"]),
        ("low-latency", &["MLDSA44-Ed25519-SHA512"]),
        ("lattice-broken", &["SLH-DSA-SHA2-128f", "ECDSA-P256-SHA256"]),
    ];
    for (alias, identities) in table {
        assert_eq!(ids(suite(alias).identities()), identities, "{alias}");
        assert_eq!(ids(&profile::find(alias).unwrap().identities()), identities, "{alias}");
    }
}

#[test]
fn tables_are_made_once_for_each_profile() {
    let [first, second] = [(); 2].map(|()| suite("pq-kex").verification_algorithms());
    assert!(std::ptr::eq(first.all, second.all));
    assert!(std::ptr::eq(first.mapping, second.mapping));
}

#[test]
fn the_preferred_that_both_sides_know_is_chosen() {
    let kex = suite("pq-kex");
    let row = |id: &str| catalog::find(id).unwrap();
    let composite = "MLDSA65-Ed25519-SHA512";
    let all = kex.identities().to_vec();
    let table: [(&[&str], &[&'static Algorithm], Option<&str>); 6] = [
        (&["ECDSA-P256-SHA256", "ML-DSA-65", composite], &all, Some(composite)),
        (&["ECDSA-P256-SHA256", "ML-DSA-65"], &all, Some("ML-DSA-65")),
        (&["RSA-PSS-SHA256", "ECDSA-P256-SHA256"], &all, Some("ECDSA-P256-SHA256")),
        (&["ECDSA-P256-SHA256", composite], &[row("ECDSA-P256-SHA256")], Some("ECDSA-P256-SHA256")),
        (&["ML-DSA-44"], &all, None),
        (&[], &all, None),
    ];
    for (offered, held, expected) in table {
        let chosen = kex.choose_signature(&schemes(offered), held);
        assert_eq!(chosen.ok().map(|row| row.id), expected, "{offered:?}");
    }
    let held = [row("ECDSA-P384-SHA384"), row("RSA-PSS-SHA256")];
    let offered = schemes(&["RSA-PSS-SHA256", "ECDSA-P384-SHA384"]);
    assert_eq!(kex.choose_signature(&offered, &held).unwrap().id, "ECDSA-P384-SHA384");
}

#[test]
fn an_algorithm_outside_the_profile_is_not_chosen_even_if_held_and_offered() {
    let hybrid = suite("pq-hybrid");
    let held = suite("pq-kex").identities().to_vec();
    let refused = hybrid.choose_signature(&schemes(&["ECDSA-P256-SHA256"]), &held).unwrap_err();
    assert_eq!(refused.what, CryptoRefused::SIGNATURE);
    assert_eq!(refused.offered, ["ECDSA-P256-SHA256"]);
    assert_eq!(refused.required, ["MLDSA65-Ed25519-SHA512", "ML-DSA-65"]);
    assert!(refused.to_string().contains("no signature algorithm in common"));
}

#[test]
fn dates_warn_retire_and_end() {
    let kex = profile::find("pq-kex").unwrap();
    let warned = kex.compile_under(&on("2031-01-01")).unwrap();
    assert!(warned.warned().iter().any(|row| row.id == "ECDSA-P256-SHA256"));
    assert!(warned.retired().is_empty());
    let ending = warned.endings().into_iter().find(|ending| ending.algorithm == "Ed25519").unwrap();
    assert_eq!((ending.phase, ending.not_after.as_deref()), (Phase::Warned, Some("2035-12-31")));

    let later = kex.compile_under(&on("2036-01-01")).unwrap();
    assert!(later.retired().iter().any(|row| row.id == "ECDSA-P256-SHA256"));
    assert!(later.signatures().iter().all(|row| row.is_quantum_safe()));
    assert!(!later.admits_everything_of(&warned) && warned.admits_everything_of(&later));

    let transition = profile::find("pq-transition").unwrap();
    transition.compile_under(&on("2030-12-31")).unwrap();
    let ended = transition.compile_under(&on("2031-01-01")).unwrap_err();
    assert!(matches!(ended, CryptoError::ProfileEnded { .. }));
    assert!(ended.to_string().contains("2030-12-31; choose pq-kex"), "{ended}");
}

#[test]
fn a_sunset_brings_the_end_forward_and_never_back() {
    let sunset = |not_after: &str| Sunset {
        algorithm: "Ed25519".to_owned(),
        warn_after: None,
        not_after: Some(not_after.to_owned()),
    };
    let kex = profile::find("pq-kex").unwrap();
    for (not_after, day, retired) in [
        ("2026-11-21", "2026-11-22", true),
        ("2026-11-22", "2026-11-22", false),
        ("2099-01-01", "2036-01-01", true),
    ] {
        let sunsets = Arc::from([sunset(not_after)]);
        let suite = kex.compile_under(&Conditions { sunsets, ..on(day) }).unwrap();
        assert_eq!(suite.retired().iter().any(|row| row.id == "Ed25519"), retired, "{not_after}");
    }
}

/// Which algorithms a ban takes away: whole, with its hybrids or without, or one
/// implementation.
#[test]
fn a_ban_takes_effect_in_every_list_checklist_11() {
    let whole = banning("pq-transition", "X25519", false).unwrap();
    assert!(whole.groups().iter().all(|row| !row.id.contains("X25519")));
    let kept = banning("pq-transition", "X25519", true).unwrap();
    assert!(kept.groups().iter().any(|row| row.id == "X25519MLKEM768"));
    assert!(kept.groups().iter().all(|row| row.id != "X25519"));

    let reissued = banning("pq-hybrid", "ML-DSA-65", false).unwrap();
    assert_eq!(ids(reissued.identities()), ["MLDSA44-Ed25519-SHA512"]);

    let empty = banning("cnsa2", "MLKEM1024", false).unwrap_err();
    assert!(matches!(empty, CryptoError::NothingLeft { what: "group", .. }), "{empty}");
    assert!(empty.to_string().contains("MLKEM1024 is banned: a test"), "{empty}");

    assert!(Ban::parse_target("ROT13").is_err());
    let error = Ban::parse_target("tin/X25519MLKEM768").unwrap_err().to_string();
    assert!(error.contains("it has aws-lc, graviola"), "{error}");
}

/// The same algorithm by another library, chosen by a profile or after a ban.
#[test]
fn a_second_provider_takes_over_checklist_12() {
    let row = catalog::find("X25519MLKEM768").unwrap();
    assert_eq!(suite("pq-hybrid").provider_of(row), Some("aws-lc"));
    if crate::graviola::group(row.id).is_none() {
        // The group goes, and the others carry on.
        let without = banning("pq-hybrid", "aws-lc/X25519MLKEM768", false).unwrap();
        assert!(!without.groups().contains(&row));
        return;
    }
    let other = banning("pq-hybrid", "aws-lc/X25519MLKEM768", false).unwrap();
    assert_eq!(other.provider_of(row), Some("graviola"));
    assert!(!other.admits_everything_of(&suite("pq-hybrid")));
    let posture = Posture { group: row.id.to_owned(), provider: "aws-lc".to_owned(), ..posture() };
    assert_eq!(other.judge(&posture)[0].part, "provider");
    assert_eq!(other.judge(&Posture { provider: "graviola".to_owned(), ..posture.clone() }), []);
    assert_eq!(suite("pq-hybrid").judge(&posture), []);
    let composed = banning("pq-hybrid", "aws-lc/MLKEM1024", false).unwrap();
    assert!(composed.groups().iter().all(|row| row.id != "SecP384r1MLKEM1024"));
    // The library's own hybrids run the same code as its halves.
    let halves = banning("pq-hybrid", "aws-lc/MLKEM768", false).unwrap();
    assert_eq!(halves.provider_of(row), Some("graviola"));
    assert!(halves.groups().iter().all(|row| row.id != "SecP256r1MLKEM768"));
    assert_eq!(halves.judge(&posture)[0].part, "provider");
    let kept = banning("pq-hybrid", "aws-lc/MLKEM768", true).unwrap();
    assert!(kept.retired().is_empty() && kept.provider_of(row) == Some("aws-lc"));
}

fn posture() -> Posture {
    let text = |text: &str| text.to_owned();
    Posture {
        protocol: text("TLSv1.3"),
        group: text("X25519MLKEM768"),
        provider: text("aws-lc"),
        cipher: text("TLS_AES_256_GCM_SHA384"),
        peer_signature: Some(text("MLDSA65-Ed25519-SHA512")),
        own_signature: Some(text("MLDSA65-Ed25519-SHA512")),
        resumed: false,
        hello_retry: false,
        handshake_us: 1,
        bytes_in: 1,
        bytes_out: 1,
        epoch: 1,
        profile: text("pq-hybrid@20261122"),
    }
}

#[test]
fn a_link_is_judged_by_what_it_is() {
    let table: [(&str, &[&str]); 5] = [
        ("pq-hybrid", &[]),
        ("bsi-hybrid", &[]),
        ("nist-fips", &["peer signature", "own signature"]),
        ("cnsa2", &["group", "peer signature", "own signature"]),
        ("low-latency", &["cipher", "peer signature", "own signature"]),
    ];
    for (alias, parts) in table {
        let breaches = suite(alias).judge(&posture());
        assert_eq!(breaches.iter().map(|breach| breach.part.as_str()).collect::<Vec<_>>(), parts, "{alias}");
    }
    let banned = banning("pq-hybrid", "Ed25519", false).unwrap();
    let breach = &banned.judge(&posture())[0];
    assert_eq!(breach.to_string(), "peer signature MLDSA65-Ed25519-SHA512: Ed25519 is banned: a test");
}

#[test]
fn a_handshake_is_foreseen_as_it_would_be() {
    let hybrid = Capabilities::of_suite(&suite("pq-hybrid"));
    let seen = suite("bsi-hybrid").foresee(&hybrid).unwrap();
    assert_eq!((seen.group.as_str(), seen.hello_retry_likely), ("X25519MLKEM768", false));
    assert_eq!(seen.signature, "MLDSA65-ECDSA-P256-SHA512");
    let refused = suite("cnsa2").foresee(&hybrid).unwrap_err();
    assert_eq!(refused.required, ["MLKEM1024"]);
    let weak = Capabilities { ciphers: vec!["TLS_AES_128_GCM_SHA256".to_owned()], ..hybrid.clone() };
    let refused = suite("bsi-hybrid").foresee(&weak).unwrap_err();
    assert_eq!((refused.what, &refused.offered), (CryptoRefused::CIPHER, &weak.ciphers));
    let signatures = suite("cnsa2-transition").foresee(&hybrid).unwrap_err();
    assert_eq!(signatures.what, CryptoRefused::SIGNATURE);
}

#[test]
fn a_union_accepts_what_either_accepts() {
    let cnsa = suite("cnsa2");
    let both = cnsa.union(&[&suite("pq-transition")]).unwrap();
    assert_eq!((both.profile(), both.groups()[0].id), (cnsa.profile(), "MLKEM1024"));
    assert!(both.admits_everything_of(&cnsa) && both.admits_everything_of(&suite("pq-transition")));
    let safe: Vec<_> = both.groups().iter().map(|row| row.is_quantum_safe()).collect();
    assert!(safe.iter().rev().is_sorted(), "{safe:?}");
}

#[test]
fn what_is_unavailable_is_an_error_and_what_has_all_ended_too() {
    static RESERVED: Profile = Profile {
        name: "test@1",
        alias: "test",
        purpose: "lists what has no code",
        groups: &["HQC-192"],
        signatures: &["ML-DSA-65"],
        ciphers: &["TLS_AES_256_GCM_SHA384"],
        not_after: None,
        providers: &[],
        guidance: &[],
    };
    static ENDED: Profile = Profile { groups: &["X25519"], ..RESERVED };
    let error = RESERVED.compile(1).unwrap_err().to_string();
    assert!(error.contains("HQC-192"), "{error}");
    let error = ENDED.compile_under(&on("2036-01-01")).unwrap_err();
    assert!(matches!(error, CryptoError::NothingLeft { what: "group", .. }), "{error}");
    ENDED.compile_under(&on("2026-11-22")).unwrap();
}
