use super::super::report::{
    Answer, Chain, Group, Order, QuantumSafe, SCHEMA, Signature, Tolerance, TraditionalShare, Version,
};
use super::*;

fn order(whose: Whose) -> Order {
    Order { whose, order: Vec::new() }
}

fn version(version: &str) -> Version {
    Version { version: version.to_owned(), answer: Answer::Yes, cipher: None, sentinel: None }
}

fn offer(id: &str, nature: &str) -> Offer {
    Offer {
        id: id.to_owned(),
        code_point: "0x0001".to_owned(),
        nature: nature.to_owned(),
        nist_level: 3,
        answer: Answer::Yes,
    }
}

fn group(id: &str, nature: &str) -> Group {
    Group { offer: offer(id, nature), handshake: None }
}

/// A server without anything to complain about.
fn fine() -> Report {
    Report {
        schema: SCHEMA.to_owned(),
        host: "gw".to_owned(),
        port: 1,
        address: "192.0.2.1:1".parse().unwrap(),
        name: None,
        at_ms: 1_000_000_000_000,
        quantum_safe: QuantumSafe { key_exchange: true, authentication: true },
        verdicts: Vec::new(),
        versions: vec![version("TLSv1.3")],
        fallback_refused: None,
        groups: vec![group("safe", "hybrid")],
        group_order: order(Whose::Single),
        groups_unknown: Vec::new(),
        traditional_share: None,
        ciphers: Vec::new(),
        cipher_order: order(Whose::Single),
        signatures: vec![Signature { offer: offer("safe", "post_quantum"), leaf: None }],
        chains: Vec::new(),
        alpn: Vec::new(),
        client_certificate: None,
        resumption: None,
        tolerance: Tolerance {
            unknown_values: Answer::Yes,
            intolerant_of: Vec::new(),
            large_hello: Answer::Yes,
            split_hello: Answer::Yes,
            large_hello_bytes: 1_500,
        },
        handshakes: Vec::new(),
        connections: 1,
        took_ms: 1,
    }
}

/// Whether there is a verdict of this level and subject with these words.
fn says(report: &Report, level: Level, about: &str, words: &str) -> bool {
    of(report)
        .iter()
        .any(|verdict| verdict.level == level && verdict.about == about && verdict.found.contains(words))
}

#[test]
fn a_server_without_fault_gets_good_marks_only() {
    let report = fine();
    assert!(of(&report).iter().all(|verdict| verdict.level == Level::Good && verdict.advice.is_none()));
    assert!(says(&report, Level::Good, "key exchange", "every client that gets in: safe"));
}

#[test]
fn another_way_in_is_never_overlooked() {
    let classical = Report { groups: vec![group("safe", "hybrid"), group("old", "traditional")], ..fine() };
    let unknown = Report { groups_unknown: vec!["0x0019".to_owned()], ..fine() };
    let older = Report { versions: vec![version("TLSv1.3"), version("TLSv1.2")], ..fine() };
    for report in [&classical, &unknown, &older] {
        assert!(says(report, Level::Good, "key exchange", "clients that can do it"));
        assert!(!says(report, Level::Good, "key exchange", "every client"));
    }
    assert!(says(&classical, Level::Note, "key exchange", "old"));
    assert!(says(&unknown, Level::Note, "key exchange", "0x0019"));
    assert!(says(&older, Level::Note, "versions", "TLS 1.2"));
}

#[test]
fn a_client_that_is_left_behind_is_a_warning() {
    let safe = || Moved::QuantumSafe { group: "safe".to_owned() };
    let old = || Moved::Traditional { group: "old".to_owned() };
    for (listed_first, listed_last, words) in [
        (old(), safe(), Some("lists and shares first")),
        (safe(), old(), Some("lists last, but shares")),
        (old(), old(), Some("sends a share of")),
        (safe(), safe(), None),
    ] {
        let share = TraditionalShare { shared: "old".to_owned(), listed_first, listed_last };
        let report = Report {
            groups: vec![group("safe", "hybrid"), group("old", "traditional")],
            traditional_share: Some(share),
            ..fine()
        };
        assert_eq!(says(&report, Level::Warning, "key exchange", words.unwrap_or("")), words.is_some());
    }
}

#[test]
fn old_versions_and_missing_sentinels_are_bad() {
    let report = Report { versions: vec![version("TLSv1.3"), version("TLSv1.0")], ..fine() };
    assert!(says(&report, Level::Bad, "versions", "TLSv1.0"));
    let silent = Version { sentinel: Some(false), ..version("TLSv1.2") };
    let report = Report { versions: vec![version("TLSv1.3"), silent], ..fine() };
    assert!(says(&report, Level::Bad, "versions", "sentinel"));
    // The worst comes first.
    assert_eq!(of(&report)[0].level, Level::Bad);
}

#[test]
fn a_certificate_that_ends_soon_is_told_unless_a_program_renews_it() {
    const DAY_MS: u64 = 24 * 60 * 60 * 1000;
    let at_ms = fine().at_ms;
    let leaf = |not_after_ms, lifetime_ms| Certificate {
        subject: "CN=gw".to_owned(),
        issuer: "CN=gw".to_owned(),
        names: vec!["gw".to_owned()],
        key: "k".to_owned(),
        signature: "s".to_owned(),
        quantum_safe: true,
        not_before: String::new(),
        not_after: "then".to_owned(),
        not_after_ms,
        lifetime_ms,
        bytes: 1,
    };
    for (not_after_ms, lifetime_ms, expected) in [
        (at_ms - 1, 90 * DAY_MS, Some(Level::Bad)),
        (at_ms - 1, DAY_MS, Some(Level::Bad)),
        (at_ms + DAY_MS, 90 * DAY_MS, Some(Level::Warning)),
        (at_ms + DAY_MS / 2, DAY_MS, None),
        (at_ms + 30 * DAY_MS, 90 * DAY_MS, None),
        (0, 0, None),
    ] {
        let certificates = vec![leaf(not_after_ms, lifetime_ms)];
        let report =
            Report { chains: vec![Chain { fingerprint: String::new(), bytes: 1, certificates }], ..fine() };
        let level =
            of(&report).iter().find(|verdict| verdict.about == "certificate").map(|verdict| verdict.level);
        assert_eq!(level, expected, "{not_after_ms} {lifetime_ms}");
    }
}

#[test]
fn what_keeps_new_clients_out_is_bad() {
    let no = || Answer::No { alert: None };
    let mut report = fine();
    report.tolerance.split_hello = no();
    assert!(says(&report, Level::Bad, "tolerance", "in one segment, and not in two"));
    report.tolerance.large_hello = no();
    assert!(says(&report, Level::Bad, "tolerance", "1500 bytes"));
    report.tolerance.unknown_values = no();
    report.tolerance.intolerant_of = vec!["groups".to_owned()];
    assert!(says(&report, Level::Bad, "tolerance", "unknown values among its groups"));
}

#[test]
fn what_is_recommended_is_safe_and_known_to_everybody() {
    for kind in [Kind::Group, Kind::Signature] {
        let row = catalogued::recommended(kind).and_then(lockgate_crypto::catalog::find).unwrap();
        assert!(row.is_quantum_safe() && row.kind == kind);
        assert!(row.code_point.is_some_and(|point| point < 0xfe00), "{} is for private use", row.id);
    }
}
