//! LG-D010: a peer that comes back with less than it has shown.

use lockgate_detect::Severity;
use lockgate_detect::links::{Commitment, Continuity, LinkWatch, Mode};

use super::*;

/// checklist 05: a downgrade is detected, and refused or flagged as configured.
#[test]
fn a_peer_below_its_commitment_is_refused_flagged_or_let_be() {
    let lists = Lists::all();
    let falls = [
        (shake(CLASSICAL, COMPOSITE, 2), Severity::High, "key exchange than before: X25519 (traditional)"),
        (
            shake(HYBRID, COMPOSITE, 2),
            Severity::Medium,
            "key exchange than before: X25519MLKEM768 (hybrid 3)",
        ),
        (
            shake(LARGE, ECDSA, 2),
            Severity::High,
            "authentication than before: ECDSA-P256-SHA256 (traditional)",
        ),
        (shake(LARGE, ML_DSA, 2), Severity::Medium, "authentication than before: ML-DSA-65 (post-quantum 3)"),
        (
            Shake { signature: None, ..shake(LARGE, "", 2) },
            Severity::High,
            "authentication than before: no certificate (traditional)",
        ),
    ];
    for (fall, severity, text) in falls {
        for mode in [Mode::Refuse, Mode::Flag, Mode::Off] {
            let watch = watch(mode);
            let first = shake(LARGE, COMPOSITE, 1).seen_by(&watch, &lists);
            assert_eq!((first.findings.len(), first.refuse), (0, false));
            assert_eq!(first.commitment.is_some(), mode != Mode::Off);

            let second = fall.seen_by(&watch, &lists);
            assert_eq!(second.refuse, mode == Mode::Refuse, "{fall:?}");
            if mode == Mode::Off {
                assert_eq!(second.findings, []);
                continue;
            }
            let [finding] = second.findings.as_slice() else { panic!("{:?}", second.findings) };
            assert_eq!((finding.id, finding.severity), ("LG-D010", severity), "{fall:?}");
            assert_eq!((finding.peer.as_str(), finding.listener.as_str()), (AGENT, "main"));
            let said = finding.reason.replace('"', "");
            assert!(said.contains(text), "{said}");
            assert!(finding.evidence.contains("of epoch 1"), "{}", finding.evidence);
            // A refused link is no proof of anything; a better one is welcome again.
            assert_eq!(shake(LARGE, COMPOSITE, 3).seen_by(&watch, &lists).findings, []);
        }
    }
}

#[test]
fn what_is_better_in_one_respect_is_not_below() {
    let lists = Lists::all();
    let watch = watch(Mode::Refuse);
    shake(HYBRID, ML_DSA, 1).seen_by(&watch, &lists);
    assert_eq!(
        shake(PURE, ML_DSA, 2).seen_by(&watch, &lists),
        Observation { commitment: watch.commitments().pop(), ..Observation::default() }
    );
    let both = shake(CLASSICAL, ECDSA, 3).seen_by(&watch, &lists);
    assert_eq!(ids(&both.findings), ["LG-D010", "LG-D010"]);
}

/// What the operator takes away is not held against the peer, and excuses nothing
/// else.
#[test]
fn the_operators_own_change_explains_a_level() {
    let watch = watch(Mode::Refuse);
    shake(HYBRID, COMPOSITE, 1).seen_by(&watch, &Lists::all());
    shake(LARGE, COMPOSITE, 2).seen_by(&watch, &Lists::all());

    let banned = Lists::all().without(LARGE);
    let moved = shake(HYBRID, COMPOSITE, 3).seen_by(&watch, &banned);
    assert_eq!((moved.findings.len(), moved.refuse), (0, false));
    // The level below the banned one goes on binding, and so does the other part.
    assert!(shake(CLASSICAL, COMPOSITE, 4).seen_by(&watch, &banned).refuse);
    assert!(shake(HYBRID, ECDSA, 5).seen_by(&watch, &banned).refuse);

    let classical = banned.without(HYBRID).without(PURE);
    assert!(!shake(CLASSICAL, COMPOSITE, 6).seen_by(&watch, &classical).refuse);
    // Rolled back: the old level binds again.
    assert!(shake(CLASSICAL, COMPOSITE, 7).seen_by(&watch, &Lists::all()).refuse);
}

#[test]
fn what_the_operator_prefers_is_not_held_against_the_peer() {
    let mut lists = Lists::all();
    lists.groups = rows(&[HYBRID, LARGE, CLASSICAL]);
    let watch = watch(Mode::Refuse);
    shake(LARGE, COMPOSITE, 1).seen_by(&watch, &lists);
    assert!(!shake(HYBRID, COMPOSITE, 2).seen_by(&watch, &lists).refuse);
    assert!(shake(CLASSICAL, COMPOSITE, 3).seen_by(&watch, &lists).refuse);
}

#[test]
fn a_better_group_that_was_offered_again_was_ours_to_choose() {
    let lists = Lists::all();
    let watch = watch(Mode::Refuse);
    shake(LARGE, COMPOSITE, 1).seen_by(&watch, &lists);
    let mut again = Shake { offered: Some(offer(&[HYBRID, LARGE])), ..shake(HYBRID, COMPOSITE, 2) };
    assert!(!again.seen_by(&watch, &lists).refuse);
    again.offered = Some(offer(&[HYBRID]));
    assert!(again.seen_by(&watch, &lists).refuse);
}

#[test]
fn a_commitment_lasts_as_long_as_its_lifetime_after_it_was_last_seen() {
    let lists = Lists::all();
    let weak = |day: u64| shake(CLASSICAL, ECDSA, day * DAY_MS);
    let watch = watch(Mode::Refuse);
    shake(HYBRID, COMPOSITE, DAY_MS).seen_by(&watch, &lists);
    shake(HYBRID, COMPOSITE, 10 * DAY_MS).seen_by(&watch, &lists);
    assert!(weak(39).seen_by(&watch, &lists).refuse);
    assert_eq!(watch.prune(39 * DAY_MS), Vec::<String>::new());
    // A clock that goes back takes nothing away.
    assert!(weak(0).seen_by(&watch, &lists).refuse);

    let key = watch.commitments()[0].key();
    assert!(!weak(40).seen_by(&watch, &lists).refuse);
    assert_eq!(watch.prune(40 * DAY_MS), [key]);
    assert_eq!(watch.commitments(), []);

    // A shorter lifetime counts for what is remembered already.
    shake(HYBRID, COMPOSITE, 50 * DAY_MS).seen_by(&watch, &lists);
    watch.set_continuity(Continuity { mode: Mode::Refuse, lifetime_s: 3_600 });
    assert!(!weak(51).seen_by(&watch, &lists).refuse);
}

#[test]
fn a_flagged_peer_that_stays_weak_is_taken_for_what_it_is_in_the_end() {
    let lists = Lists::all();
    let watch = watch(Mode::Flag);
    shake(HYBRID, COMPOSITE, 0).seen_by(&watch, &lists);
    for day in 1..30 {
        let seen = shake(CLASSICAL, COMPOSITE, day * DAY_MS).seen_by(&watch, &lists);
        assert_eq!(ids(&seen.findings), ["LG-D010"], "day {day}");
    }
    let seen = shake(CLASSICAL, COMPOSITE, 30 * DAY_MS).seen_by(&watch, &lists);
    assert_eq!(seen.findings, []);
}

#[test]
fn commitments_survive_a_restart_and_what_they_were_written_by() {
    let lists = Lists::all();
    let before = watch(Mode::Refuse);
    shake(HYBRID, COMPOSITE, 1).seen_by(&before, &lists);
    let stored =
        shake(LARGE, ML_DSA, 2).seen_by(&before, &Lists::all().without(COMPOSITE)).commitment.unwrap();
    assert_eq!(stored.best_group, LARGE);
    assert_eq!(stored.best_signature.as_deref(), Some(COMPOSITE));
    assert_eq!(stored.group_level.to_string(), "hybrid 5");
    assert_eq!(stored.auth_level.to_string(), "hybrid 3");
    assert_eq!((stored.seen_ms, stored.expires_ms), (2, 2 + 30 * DAY_MS));
    assert_eq!(before.commitments(), std::slice::from_ref(&stored));

    let mut value = serde_json::to_value(&stored).unwrap();
    let text = value.to_string();
    assert_eq!(serde_json::from_str::<Commitment>(&text).unwrap(), stored);
    // The summary alone binds too, and an algorithm that is no longer known does not.
    value.as_object_mut().unwrap().remove("rungs");
    let mut unknown = value.clone();
    unknown["peer"] = "spiffe://example.org/agent/b".into();
    unknown["best_group"] = "ROT13".into();
    unknown["best_signature"] = serde_json::Value::Null;
    let stored = [value, unknown].map(|value| serde_json::from_value(value).unwrap());
    let after = LinkWatch::new(stored.to_vec(), Continuity { mode: Mode::Refuse, ..Continuity::default() });
    assert_eq!(after.commitments().len(), 1);
    assert!(shake(CLASSICAL, COMPOSITE, 3).seen_by(&after, &lists).refuse);
}

#[test]
fn a_commitment_is_stored_when_it_is_new_and_then_hourly() {
    let lists = Lists::all();
    let watch = watch(Mode::Flag);
    let stored = |group, now_ms| shake(group, COMPOSITE, now_ms).seen_by(&watch, &lists).commitment.is_some();
    assert!(stored(HYBRID, 0));
    assert!(!stored(HYBRID, 3_599_999));
    assert!(stored(LARGE, 3_599_999), "a new group");
    assert!(!stored(LARGE, 2 * 3_600_000 - 2));
    assert!(stored(LARGE, 2 * 3_600_000));
    // Nothing that binds, nothing to store.
    let other = Shake { peer: "upstream:old".to_owned(), ..shake(CLASSICAL, ECDSA, 1) };
    assert_eq!(other.seen_by(&watch, &lists).commitment, None);
}

#[test]
fn forgetting_a_peer_lets_it_begin_anew() {
    let lists = Lists::all();
    let watch = watch(Mode::Refuse);
    let key = shake(HYBRID, COMPOSITE, 1).seen_by(&watch, &lists).commitment.unwrap().key();
    assert_eq!(key.len(), 64);
    assert_eq!(watch.forget(AGENT), Some(key));
    assert_eq!(watch.forget(AGENT), None);
    assert!(!shake(CLASSICAL, ECDSA, 2).seen_by(&watch, &lists).refuse);
}

/// Many clients may stand behind one address.
#[test]
fn an_address_is_never_refused_seldom_reported_and_not_stored() {
    let lists = Lists::all();
    let watch = watch(Mode::Refuse);
    let at = |group, now_ms| {
        let stranger = Shake { signature: None, ..shake(group, "", now_ms) };
        Shake { peer: "address:192.0.2.7".to_owned(), ..stranger }.seen_by(&watch, &lists)
    };
    assert_eq!(at(HYBRID, 0), Observation::default());
    let weak = at(CLASSICAL, 1);
    assert!(!weak.refuse && weak.commitment.is_none());
    assert_eq!(weak.findings[0].severity, Severity::Low);
    assert_eq!(at(CLASSICAL, 600_000).findings, []);
    assert_eq!(ids(&at(CLASSICAL, 600_001).findings), ["LG-D010"]);
    assert_eq!(watch.commitments(), []);
}

#[test]
fn memory_is_bounded_and_addresses_do_not_push_out_names() {
    let lists = Lists::all();
    let watch = watch(Mode::Refuse);
    shake(HYBRID, COMPOSITE, 0).seen_by(&watch, &lists);
    for n in 0..10_100_u64 {
        Shake { peer: format!("address:{n}"), ..shake(HYBRID, COMPOSITE, n) }.seen_by(&watch, &lists);
    }
    assert!(shake(CLASSICAL, COMPOSITE, 1).seen_by(&watch, &lists).refuse);
    for n in 0..10_100_u64 {
        Shake { peer: format!("upstream:{n}"), ..shake(HYBRID, COMPOSITE, n) }.seen_by(&watch, &lists);
    }
    assert_eq!(watch.commitments().len(), 10_000);
    let mut stored = watch.commitments();
    stored.push(Commitment { peer: "upstream:last".to_owned(), seen_ms: 99_999, ..stored[0].clone() });
    let after = LinkWatch::new(stored, Continuity::default());
    assert_eq!(after.commitments().len(), 10_000);
}

#[test]
fn the_configuration_has_defaults_and_no_other_words() {
    let read = serde_json::from_str::<Continuity>;
    assert_eq!(read("{}").unwrap(), Continuity { mode: Mode::Flag, lifetime_s: 2_592_000 });
    let refuse = read(r#"{"mode":"refuse","lifetime_s":60}"#).unwrap();
    assert_eq!(refuse, Continuity { mode: Mode::Refuse, lifetime_s: 60 });
    assert!(read(r#"{"mode":"alarm"}"#).is_err());
    assert!(read(r#"{"life":60}"#).is_err());
}
