#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

const KEY: &str = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";

fn target(text: &str) -> Target {
    Target::parse(text, "a.example").unwrap()
}

fn revocation(text: &str) -> Revocation {
    Revocation::new(target(text), "ann", "a test", 100)
}

#[test]
fn targets_are_read_and_written_back() {
    for (text, shown) in [
        ("agent/x", "spiffe://a.example/agent/x"),
        ("agent/retail-*", "spiffe://a.example/agent/retail-*"),
        ("node/gw", "spiffe://a.example/node/gw"),
        ("spiffe://b/other/x", "spiffe://b/other/x"),
        ("local-user", "local-user"),
        ("role:retail bot", "role:retail bot"),
        ("token:01J", "token:01J"),
        ("serial:0A", "serial:0a"),
    ] {
        let read = target(text);
        assert_eq!(read.to_string(), shown);
        let json = serde_json::to_string(&read).unwrap();
        assert_eq!(serde_json::from_str::<Target>(&json).unwrap(), read, "{json}");
    }
    assert_eq!(target(&format!("key:{}", KEY.to_uppercase())), Target::Key(KEY.to_owned()));
}

#[test]
fn what_names_nothing_or_everybody_is_refused() {
    let long = format!("role:{}", "x".repeat(257));
    for text in [
        "",
        "x",
        "*",
        "agent/",
        "agent/a b",
        "agent/../x",
        "spiffe://*",
        "spiffe://*/*",
        "spiffe://*/agent/*",
        "spiffe://a.example/*",
        "key:",
        "key:12",
        "key:zz",
        "serial:",
        "serial:x",
        "role:",
        "role:a\u{1b}[2J",
        "token:",
        "invite:1",
        "anonymous",
        long.as_str(),
    ] {
        assert!(Target::parse(text, "a.example").is_err(), "{text}");
    }
    assert!(
        Target::parse("agent/*", "a.example").is_ok(),
        "all agents of our own, when that is said in full"
    );
}

#[test]
fn each_check_covers_its_part_and_says_so() {
    let roles = ["retail".to_owned()];
    let subject = Subject {
        agent: "spiffe://a.example/agent/retail-7",
        key: Some(KEY),
        serial: Some("0a"),
        token: Some("t1"),
        roles: &roles,
    };
    for (text, code) in [
        ("agent/retail-7", "LG-I410"),
        ("agent/retail-*", "LG-I410"),
        (&format!("key:{KEY}"), "LG-I411"),
        ("role:retail", "LG-I412"),
        ("token:t1", "LG-I413"),
        ("serial:0A", "LG-I414"),
    ] {
        let revocations = Revocations::default();
        assert!(revocations.add(revocation(text)).unwrap());
        let refused = revocations.check(&subject, 200).unwrap_err();
        assert_eq!(refused.code(), code, "{text}");
        assert!(
            !refused.to_string().contains("ann") && refused.in_full().contains("ann: a test"),
            "{refused}"
        );
        assert_eq!(
            revocations.check(&Subject { agent: "spiffe://a.example/agent/b", ..Subject::default() }, 200),
            Ok(())
        );
    }
}

#[test]
fn who_says_it_has_a_role_of_the_same_name_as_an_agent_is_not_the_agent() {
    let revocations = Revocations::default();
    revocations.add(revocation("role:x")).unwrap();
    let subject = Subject { agent: "x", token: Some("x"), serial: Some("x"), ..Subject::default() };
    assert_eq!(revocations.check(&subject, 0), Ok(()));
}

#[test]
fn the_generation_moves_with_each_change_and_not_without_one() {
    let revocations = Revocations::default();
    assert!(revocations.restore(&target("agent/x")).is_empty());
    assert_eq!(revocations.generation(), 0);
    assert!(revocations.add(revocation("agent/x")).unwrap());
    assert!(!revocations.add(revocation("agent/x")).unwrap(), "it was revoked before");
    assert_eq!(revocations.generation(), 2);
    assert_eq!(revocations.restore(&target("agent/x")).len(), 1);
    assert_eq!((revocations.generation(), revocations.list(0).len()), (3, 0));
}

#[test]
fn one_that_ends_does_not_shorten_one_that_does_not() {
    let revocations = Revocations::default();
    let subject = Subject { agent: "local-user", ..Subject::default() };
    let until = |until_ms| Revocation { until_ms, ..revocation("local-user") };
    revocations.add(until(Some(1_000))).unwrap();
    assert!(revocations.check(&subject, 999).is_err() && revocations.check(&subject, 1_000).is_ok());
    revocations.add(until(Some(500))).unwrap();
    assert!(revocations.check(&subject, 999).is_err());
    revocations.add(until(None)).unwrap();
    revocations.add(until(Some(500))).unwrap();
    assert!(revocations.check(&subject, u64::MAX).is_err());
}

#[test]
fn what_was_revoked_along_with_an_agent_is_restored_with_it() {
    let along = Revocation { along_with: Some(target("agent/x")), ..revocation(&format!("key:{KEY}")) };
    let revocations = Revocations::of([revocation("agent/x"), along, revocation("agent/y")]);
    assert_eq!(revocations.restore(&target("agent/x")).len(), 2);
    assert_eq!(revocations.list(0).len(), 1);
}

#[test]
fn the_number_is_bounded_and_nothing_is_pushed_out() {
    let revocations = Revocations::of((0..REVOCATIONS_MAX - 1).map(|n| revocation(&format!("agent/a{n}"))));
    let ends = Revocation { until_ms: Some(150), ..revocation("agent/ends") };
    assert!(revocations.add(ends).unwrap());
    let more = |since_ms| Revocation { since_ms, ..revocation("agent/more") };
    assert!(matches!(revocations.add(more(120)), Err(RevocationError::TooMany { .. })));
    assert!(!revocations.add(revocation("agent/a5")).unwrap(), "one that is there takes no room");
    assert!(revocations.add(more(150)).unwrap(), "one that has ended makes room");
    let patterns = Revocations::of((0..PATTERNS_MAX).map(|n| revocation(&format!("agent/a{n}*"))));
    assert!(matches!(
        patterns.add(revocation("agent/z*")),
        Err(RevocationError::TooMany { what: "patterns", .. })
    ));
    let long = Revocation { reason: "x".repeat(REASON_BYTES_MAX + 1), ..revocation("agent/b") };
    assert_eq!(patterns.add(long), Err(RevocationError::Reason));
}

#[test]
fn patterns_fit_as_a_reader_thinks() {
    for (pattern, text, expected) in [
        ("a*", "a", true),
        ("a*", "ab/c", true),
        ("a*c", "abc", true),
        ("a*c", "ac", true),
        ("a*c", "acb", false),
        ("a*b*c", "a-b-b-c", true),
        ("ab*ba", "aba", false),
        ("*x*", "axb", true),
        ("a**b", "ab", true),
        ("a", "ab", false),
    ] {
        assert_eq!(fits(pattern, text), expected, "{pattern} {text}");
    }
}

proptest! {
    #[test]
    fn a_pattern_fits_what_it_was_made_from(parts in prop::collection::vec("[ab]{0,3}", 1..5), fill in "[abc]{0,3}") {
        prop_assert!(fits(&parts.join("*"), &parts.join(&fill)));
    }

    #[test]
    fn any_text_is_a_target_that_can_be_kept_or_none(text in "(agent/|spiffe://|key:|role:|token:|serial:)?[ -~ä*]{0,40}") {
        if let Ok(target) = Target::parse(&text, "a") {
            prop_assert_eq!(Target::parse(&target.to_string(), "other").unwrap(), target);
        }
    }
}
