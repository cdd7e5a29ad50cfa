//! What holds for any sequence of handshakes.

use lockgate_detect::links::Mode;
use proptest::prelude::*;

use super::*;

const GROUPS: [&str; 5] = [HYBRID, LARGE, PURE, CLASSICAL, "0x1a2b"];
const SIGNATURES: [&str; 4] = [COMPOSITE, ML_DSA, ECDSA, "1.2.3.4"];
const PEERS: [&str; 3] = [AGENT, "upstream:db", "address:192.0.2.7"];

prop_compose! {
    fn shakes()(
        peer in 0..PEERS.len(),
        group in 0..GROUPS.len(),
        signature in proptest::option::of(0..SIGNATURES.len()),
        (hello_retry, resumed) in any::<(bool, bool)>(),
        took_us in 0..200_000_u64,
        offered in proptest::option::of(proptest::sample::subsequence(GROUPS.to_vec(), 0..GROUPS.len())),
        epoch in 0..3_u64,
        now_ms in 0..40 * DAY_MS,
    ) -> Shake {
        let signature = signature.map(|index| SIGNATURES[index].to_owned());
        let made = shake(GROUPS[group], "", now_ms);
        let offered = offered.map(|groups| offer(&groups));
        let peer = PEERS[peer].to_owned();
        Shake { peer, signature, hello_retry, resumed, took_us, offered, epoch, ..made }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(512) })]

    /// The same observations in the same order give the same findings, and only a
    /// peer with a name is ever refused, for a reason.
    #[test]
    fn the_watch_is_exact(all in proptest::collection::vec(shakes(), 0..60)) {
        let lists = Lists::all();
        let (one, two) = (watch(Mode::Refuse), watch(Mode::Refuse));
        for shake in &all {
            let seen = shake.seen_by(&one, &lists);
            prop_assert_eq!(&seen, &shake.seen_by(&two, &lists));
            let below = ids(&seen.findings).contains(&"LG-D010");
            prop_assert_eq!(seen.refuse, below && !shake.peer.starts_with("address:"));
            prop_assert!(!(seen.refuse && seen.commitment.is_some()));
        }
    }

    /// What is stored says as much as what is remembered.
    #[test]
    fn a_restart_changes_no_refusal(
        all in proptest::collection::vec(shakes(), 0..40),
        then in proptest::collection::vec(shakes(), 0..20),
    ) {
        let lists = Lists::all();
        let before = watch(Mode::Refuse);
        for shake in &all {
            shake.seen_by(&before, &lists);
        }
        let text = serde_json::to_string(&before.commitments()).unwrap();
        let stored = serde_json::from_str(&text).unwrap();
        let after = LinkWatch::new(stored, Continuity { mode: Mode::Refuse, ..Continuity::default() });
        prop_assert_eq!(before.commitments(), after.commitments());
        for shake in then.iter().filter(|shake| !shake.peer.starts_with("address:")) {
            prop_assert_eq!(shake.seen_by(&before, &lists).refuse, shake.seen_by(&after, &lists).refuse);
        }
    }

    /// Nothing is held against a peer of which nothing is in force any more.
    #[test]
    fn the_operator_can_take_everything_away(all in proptest::collection::vec(shakes(), 0..40)) {
        let watch = watch(Mode::Refuse);
        let nothing = Lists { groups: vec![], signatures: vec![], ciphers: vec![] };
        for shake in &all {
            shake.seen_by(&watch, &nothing);
            let seen = shake.seen_by(&watch, &nothing);
            prop_assert!(!seen.refuse, "{:?}", seen.findings);
        }
    }

    /// A peer that always does the same is never reported, whatever it does.
    #[test]
    fn who_stays_the_same_is_left_alone(same in shakes(), times in 1..80_u64) {
        let same = Shake { hello_retry: false, ..same };
        let (lists, watch) = (Lists::all(), watch(Mode::Refuse));
        for n in 0..times {
            let now_ms = same.now_ms + n * 1_000;
            let seen = Shake { now_ms, ..same.clone() }.seen_by(&watch, &lists);
            prop_assert_eq!(seen.findings, []);
        }
    }
}
