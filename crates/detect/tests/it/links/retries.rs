//! LG-D011: a handshake that failed with post-quantum groups on offer, and then one
//! without.

use lockgate_detect::Severity;
use lockgate_detect::links::Mode;

use super::*;

/// A link of a client that offered only classical groups.
fn classical(address: IpAddr, now_ms: u64) -> Shake {
    Shake {
        peer: format!("address:{address}"),
        address: Some(address),
        offered: Some(offer(&[CLASSICAL])),
        signature: None,
        ..shake(CLASSICAL, "", now_ms)
    }
}

/// checklist 05: fallback to less after a failure is detected.
#[test]
fn a_retry_without_post_quantum_groups_within_the_window_is_a_finding() {
    let lists = Lists::all();
    let hybrid = offer(&[HYBRID, CLASSICAL]);
    let here = [192, 0, 2, 7];
    let table = [
        (classical(here.into(), 121_000), Some(Severity::Medium)),
        (classical(here.into(), 121_001), None),
        (classical([192, 0, 2, 8].into(), 1_001), None),
        (Shake { listener: "other".to_owned(), ..classical(here.into(), 1_001) }, None),
        // Came back with all that it has.
        (Shake { offered: Some(hybrid.clone()), ..classical(here.into(), 1_001) }, None),
        // A client that differs in more than its groups, and one whose lists are unknown.
        (
            Shake {
                offered: Some(Capabilities { ciphers: vec![], ..offer(&[CLASSICAL]) }),
                ..classical(here.into(), 1_001)
            },
            Some(Severity::Low),
        ),
        (Shake { offered: None, ..classical(here.into(), 1_001) }, Some(Severity::Low)),
        // A clock that went back makes the window no shorter.
        (classical(here.into(), 0), Some(Severity::Medium)),
    ];
    for (retry, severity) in table {
        let watch = watch(Mode::Off);
        assert_eq!(watch.observe_failure(&failed(here, &hybrid, 1_000)), []);
        let findings = retry.seen_by(&watch, &lists).findings;
        let found: Vec<_> = findings.iter().map(|finding| (finding.id, finding.severity)).collect();
        let expected: Vec<_> = severity.into_iter().map(|severity| ("LG-D011", severity)).collect();
        assert_eq!(found, expected, "{retry:?}");
        if severity.is_some() {
            assert!(findings[0].reason.contains("192.0.2.7"), "{}", findings[0].reason);
            assert_eq!(retry.seen_by(&watch, &lists).findings, [], "said once");
        }
    }
}

#[test]
fn the_retry_may_fail_too_and_the_address_may_be_written_otherwise() {
    let hybrid = offer(&[HYBRID, CLASSICAL]);
    let less = offer(&[CLASSICAL]);
    let watch = watch(Mode::Off);
    assert_eq!(watch.observe_failure(&failed([192, 0, 2, 7], &less, 0)), [], "nothing before it");
    watch.observe_failure(&failed([192, 0, 2, 7], &hybrid, 1));
    let mapped: IpAddr = "::ffff:192.0.2.7".parse().unwrap();
    let findings = watch.observe_failure(&Failed { address: mapped, ..failed([0; 4], &less, 2) });
    assert_eq!(ids(&findings), ["LG-D011"]);
    assert_eq!(findings[0].peer, "address:::ffff:192.0.2.7");

    // Within its /64 a client takes any address that it likes.
    let at = |text: &str| text.parse::<IpAddr>().unwrap();
    for (second, found) in [("2001:db8::2", 1), ("2001:db8:0:1::1", 0)] {
        watch.observe_failure(&Failed { address: at("2001:db8::1"), ..failed([0; 4], &hybrid, 1) });
        let retry = Failed { address: at(second), ..failed([0; 4], &less, 2) };
        assert_eq!(watch.observe_failure(&retry).len(), found, "{second}");
    }
}

#[test]
fn a_client_that_recovers_is_no_retry_and_another_one_hides_none() {
    let lists = Lists::all();
    let hybrid = offer(&[HYBRID, CLASSICAL]);
    let here = [192, 0, 2, 7];
    let recovers = |offered: Capabilities| Shake { offered: Some(offered), ..classical(here.into(), 2) };
    for (offered, found) in [(hybrid.clone(), 0), (offer(&[LARGE]), 1)] {
        let watch = watch(Mode::Off);
        watch.observe_failure(&failed(here, &hybrid, 1));
        assert_eq!(recovers(offered).seen_by(&watch, &lists).findings, []);
        assert_eq!(classical(here.into(), 3).seen_by(&watch, &lists).findings.len(), found);
    }
}
