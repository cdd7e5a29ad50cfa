//! LG-D012, LG-D013 and LG-D014: a peer that does not do as it usually does.

use lockgate_detect::Severity;
use lockgate_detect::links::Mode;

use super::*;

#[test]
fn a_second_hello_after_a_share_that_fitted_is_a_finding() {
    let lists = Lists::all();
    let retry = |epoch, now_ms| Shake { hello_retry: true, epoch, ..shake(HYBRID, COMPOSITE, now_ms) };
    let fits = |epoch, now_ms| Shake { epoch, ..shake(HYBRID, COMPOSITE, now_ms) };
    let watch = watch(Mode::Off);
    let found = |shake: Shake| ids(&shake.seen_by(&watch, &lists).findings).contains(&"LG-D012");

    assert!(!found(retry(1, 1)), "nothing is known yet");
    assert!(!found(fits(1, 2)));
    assert!(found(retry(1, 3)));
    assert!(!found(retry(1, 4)), "said already");
    assert!(found(retry(1, 600_003)));
    // A new epoch may want another group first.
    assert!(!found(retry(2, 1_300_000)));
    assert!(!found(Shake { resumed: true, ..fits(2, 1_300_001) }), "resumed: its share is no proof");
    assert!(!found(retry(2, 1_300_002)));
    assert!(!found(fits(2, 1_300_003)));
    assert!(found(retry(2, 1_300_004)));
    // Another listener, another history.
    assert!(!found(Shake { listener: "other".to_owned(), ..retry(2, 2_000_000) }));
    // An upstream is a peer as well, an address is none.
    for (peer, is_found) in [("upstream:db", true), ("address:192.0.2.7", false)] {
        let of = |shake| Shake { peer: peer.to_owned(), ..shake };
        assert!(!found(of(fits(2, 5))));
        assert_eq!(found(of(retry(2, 6))), is_found, "{peer}");
    }
}

/// Teaches the watch the habit of some peers.
fn settled(watch: &LinkWatch, lists: &Lists, peers: usize) {
    for round in 0..20_u64 {
        for peer in 0..peers {
            // Nobody takes exactly the same time each time.
            let took_us = 3_000 + (round * 37 + peer as u64 * 11) % 400;
            let known = shake(HYBRID, COMPOSITE, round * 1_000);
            let seen = Shake { took_us, peer: format!("upstream:{peer}"), ..known }.seen_by(watch, lists);
            assert_eq!(seen.findings, []);
        }
    }
}

fn takes(peer: usize, took_us: u64, now_ms: u64) -> Shake {
    Shake { peer: format!("upstream:{peer}"), took_us, ..shake(HYBRID, COMPOSITE, now_ms) }
}

#[test]
fn a_handshake_far_slower_than_usual_is_a_finding_while_others_are_not() {
    let lists = Lists::all();
    let watch = watch(Mode::Off);
    settled(&watch, &lists, 4);
    let found = |shake: Shake| {
        let findings = shake.seen_by(&watch, &lists).findings;
        findings.iter().find(|finding| finding.id == "LG-D013").map(|finding| finding.reason.clone())
    };
    assert_eq!(found(takes(0, 9_000, 20_000)), None, "three times");
    assert_eq!(found(takes(0, 12_900, 20_000)), None, "within what scheduling does");
    let reason = found(takes(0, 64_000, 20_000)).unwrap();
    assert!(reason.contains("upstream:0") && reason.contains("took 20 times"), "{reason}");
    assert_eq!(found(takes(0, 64_000, 20_001)), None, "said already");
    assert!(found(takes(0, 64_000, 620_000)).is_none(), "the others were not seen in the last minute");
    // Other algorithms and a second hello take another time.
    assert_eq!(found(Shake { hello_retry: true, ..takes(1, 64_000, 20_000) }), None);
    assert_eq!(found(Shake { group: LARGE.to_owned(), ..takes(1, 64_000, 20_000) }), None);
    assert_eq!(found(Shake { resumed: true, ..takes(1, 64_000, 20_000) }), None);
}

#[test]
fn when_all_are_slow_it_is_not_the_peer() {
    let lists = Lists::all();
    let watch = watch(Mode::Off);
    settled(&watch, &lists, 4);
    let mut found = Vec::new();
    for peer in 0..4 {
        found.extend(takes(peer, 64_000, 20_000).seen_by(&watch, &lists).findings);
    }
    // The first stands out; from the second on, the others are slow too.
    assert!(found.len() <= 2, "{found:?}");
    assert_eq!(takes(3, 64_000, 21_000).seen_by(&watch, &lists).findings, []);

    // A peer alone on a listener can be compared with nobody.
    let alone = super::watch(Mode::Off);
    settled(&alone, &lists, 1);
    assert_eq!(takes(0, 64_000, 20_000).seen_by(&alone, &lists).findings, []);
}

/// What is offered before and after, what is in force, and what is found.
type Change = (&'static [&'static str], &'static [&'static str], Lists, Option<(Severity, &'static str)>);

#[test]
fn a_peer_that_offers_less_is_a_finding_unless_the_operator_took_it_away() {
    let offers =
        |groups: &[&str], now_ms| Shake { offered: Some(offer(groups)), ..shake(HYBRID, COMPOSITE, now_ms) };
    const MANY: &[&str] = &[LARGE, HYBRID, CLASSICAL, "secp521r1", "0x11ff"];
    let table: [Change; 7] = [
        (&[LARGE, HYBRID], &[HYBRID, LARGE], Lists::all(), None),
        (&[HYBRID, "0x6a6a"], &[HYBRID, LARGE, CLASSICAL], Lists::all(), None),
        // What is unknown, or not in force, is no loss.
        (MANY, &[LARGE, HYBRID, CLASSICAL], Lists::all(), None),
        (MANY, &[LARGE, CLASSICAL], Lists::all().without(HYBRID), None),
        (MANY, &[LARGE, CLASSICAL], Lists::all(), Some((Severity::Medium, HYBRID))),
        (MANY, &[LARGE, HYBRID], Lists::all(), Some((Severity::Low, CLASSICAL))),
        (&[LARGE, HYBRID], &[], Lists::all(), Some((Severity::Medium, "SecP384r1MLKEM1024, X25519MLKEM768"))),
    ];
    for (before, after, lists, expected) in table {
        let watch = watch(Mode::Off);
        assert_eq!(offers(before, 1).seen_by(&watch, &lists).findings, []);
        let findings = offers(after, 2).seen_by(&watch, &lists).findings;
        let found: Vec<_> = findings.iter().map(|f| (f.id, f.severity, f.evidence.clone())).collect();
        let gone = |names| format!("gone from the ClientHello in epoch 1: {names}");
        let expected: Vec<_> =
            expected.into_iter().map(|(how, names)| ("LG-D014", how, gone(names))).collect();
        assert_eq!(found, expected, "{before:?} then {after:?}");
        assert_eq!(offers(after, 3).seen_by(&watch, &lists).findings, [], "what it offers now is its habit");
    }
}

#[test]
fn other_lists_count_too_and_a_refused_link_is_no_habit() {
    let lists = Lists::all();
    let watch = watch(Mode::Refuse);
    let full = Shake { offered: Some(offer(&[HYBRID, CLASSICAL])), ..shake(HYBRID, COMPOSITE, 1) };
    assert_eq!(full.seen_by(&watch, &lists).findings, []);
    let mut less = full.clone();
    let offered = less.offered.as_mut().unwrap();
    offered.signatures.retain(|id| id != ML_DSA);
    offered.groups.retain(|id| id != HYBRID);
    less.group = CLASSICAL.to_owned();
    let refused = less.seen_by(&watch, &lists);
    assert_eq!((ids(&refused.findings), refused.refuse), (vec!["LG-D010"], true));

    let mut less = full.clone();
    less.offered.as_mut().unwrap().signatures.retain(|id| id != ML_DSA);
    let findings = less.seen_by(&watch, &lists).findings;
    assert_eq!(ids(&findings), ["LG-D014"]);
    assert!(findings[0].reason.contains("no longer offers ML-DSA-65"), "{}", findings[0].reason);
}
