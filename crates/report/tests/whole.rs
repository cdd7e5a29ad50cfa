//! A log of a few days, and every form of every report on it, against figures that were counted by hand.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

use lockgate_audit::Line;
use lockgate_report::{
    Background, Cited, Collector, FRAMEWORKS, Framework, Inputs, Integrity, Listener, Period, Report, Signal,
    Standing, Verdict, cited_lines, html, oscal,
};
use proptest::prelude::*;

/// 2026-12-05 00:00 UTC.
const NOW_MS: i64 = 1_796_428_800_000;

fn line(seq: u64, time: &str, json: &str) -> String {
    format!("{{\"schema\":\"lockgate.audit/1\",\"seq\":{seq},\"prev\":\"0\",\"time\":\"{time}\",{json}}}\n")
}

fn log() -> Vec<String> {
    let safe = r#""group":"X25519MLKEM768","cipher":"TLS_AES_256_GCM_SHA384","protocol":"TLSv1.3","peer_signature":"MLDSA65-Ed25519","own_signature":"MLDSA65-Ed25519","quantum_safe":true,"profile":"pq-hybrid@20261122","epoch":1"#;
    let weak = r#""group":"X25519","cipher":"TLS_AES_256_GCM_SHA384","protocol":"TLSv1.3","quantum_safe":false,"profile":"pq-transition@20261122","epoch":1"#;
    let call = r#""kind":"call","outcome":"ok","server":"crm","method":"tools/call","name":"get","policies":["bot.read"]"#;
    let all = [
        ("2026-10-31T23:00:00Z", r#""kind":"lifecycle","outcome":"ok","reason":"node started""#.to_owned()),
        ("2026-11-01T00:00:00Z", format!(r#"{call},"agent":"spiffe://d/agent/a","peer":"192.0.2.1:5","argument_names":["id"],"bytes_in":10,"bytes_out":20,{safe}"#)),
        ("2026-11-01T12:00:00Z", format!(r#"{call},"agent":"spiffe://d/agent/a","peer":"192.0.2.1:5","bytes_in":10,"bytes_out":20,{safe}"#)),
        ("2026-11-02T12:00:00Z", format!(r#"{call},"agent":"anonymous","peer":"192.0.2.9:7",{weak}"#)),
        ("2026-11-02T12:00:01Z", r#""kind":"refusal","outcome":"refused","stage":"permit","consequence":"deny","policies":["bot.never"],"agent":"spiffe://d/agent/a","server":"crm","method":"tools/call","name":"drop""#.to_owned()),
        ("2026-11-02T12:00:02Z", r#""kind":"detect","outcome":"refused","stage":"permit","method":"alert/kill","name":"policy bot.never","reason":"bot.never","findings":["LG-P012"],"consequence":"kill","agent":"spiffe://d/agent/a""#.to_owned()),
        ("2026-11-03T00:00:00Z", r#""kind":"lifecycle","outcome":"ok","reason":"node started""#.to_owned()),
        ("2026-11-03T10:00:00Z", r#""kind":"call","outcome":"ok","agent":"local-user","server":"crm","method":"tools/list","policies":["starter"]"#.to_owned()),
        ("2026-11-03T09:00:00Z", r#""kind":"policy","outcome":"ok","reason":"3 policies, generation 2""#.to_owned()),
        ("2026-12-01T00:00:00Z", format!(r#"{call},"agent":"spiffe://d/agent/a",{safe}"#)),
    ];
    all.iter().zip(1..).map(|((time, json), seq)| line(seq, time, json)).collect()
}

fn whole(records: u64) -> Integrity {
    Integrity {
        verdict: Verdict::Whole,
        records,
        from: 1,
        to: records,
        head_hash: Some("ab".repeat(32)),
        end_known_to: Some(records),
        torn_bytes: 0,
        damage: None,
        anchors: Vec::new(),
    }
}

fn background() -> Background {
    Background {
        node: "gw".to_owned(),
        trust_domain: "d".to_owned(),
        version: "1.0.0".to_owned(),
        listeners: vec![Listener {
            name: "foreign".to_owned(),
            profile: "pq-transition@20261122".to_owned(),
            classical: vec!["X25519".to_owned()],
            identity_required: false,
        }],
        purposes: [("bot.read".to_owned(), "answering customers".to_owned())].into(),
        ..Background::default()
    }
}

fn report(framework: &str, period: &str, lines: &[String]) -> Report {
    let framework = Framework::find(framework).unwrap();
    let mut log = Collector::new(Period::parse(period).unwrap());
    lines.iter().for_each(|line| log.add(Line::new(line.as_bytes())));
    log.end();
    let cited = cited_lines(&log, framework);
    let cited = cited
        .keys()
        .filter_map(|n| Cited::of(Line::new(lines[usize::try_from(*n).unwrap()].as_bytes())))
        .collect();
    let integrity = whole(lines.len() as u64);
    Report::new(Inputs { framework, integrity, background: background(), now_ms: NOW_MS }, &log, cited)
        .unwrap()
}

/// The count of a signal anywhere in the report.
fn count(report: &Report, signal: Signal) -> u64 {
    let all = report.controls.iter().flat_map(|control| control.evidence.iter().chain(&control.exceptions));
    all.chain(&report.interventions).find(|one| one.signal == signal).map_or(0, |one| one.count)
}

#[test]
fn figures_are_those_of_the_log() {
    let soc2 = report("soc2", "2026-11", &log());
    for (signal, wanted) in [
        (Signal::Recorded, 8),
        (Signal::CallsPermitted, 4),
        (Signal::CallsQuantumSafe, 2),
        (Signal::CallsClassical, 1),
        (Signal::CallsAnonymous, 1),
        (Signal::CallsDenied, 1),
        (Signal::Alerts, 1),
        (Signal::PoliciesChanged, 1),
        (Signal::NodeStarted, 1),
        (Signal::UncleanStarts, 1),
        (Signal::ClockBack, 1),
        (Signal::CallsHeld, 0),
    ] {
        assert_eq!(count(&soc2, signal), wanted, "{signal:?}");
    }
    let transmission = soc2.controls.iter().find(|control| control.id == "CC6.7").unwrap();
    assert_eq!(transmission.standing, Standing::Exceptions);
    assert_eq!(transmission.evidence[0].records, [2, 3]);
    assert_eq!(transmission.exceptions[0].records, [4]);
    let identities = soc2.controls.iter().find(|control| control.id == "CC6.2").unwrap();
    assert_eq!(identities.standing, Standing::NoEvidence);
    assert!(identities.gaps[0].what.contains("No invites"), "{:?}", identities.gaps);
    assert_eq!(soc2.cited[&4].seq, 4);
    assert_eq!(soc2.availability.down.len(), 1);
    assert_eq!(soc2.availability.clock_back_ms_max, 3_600_000);
    let timeline = soc2.timeline.as_ref().unwrap();
    assert_eq!(
        (timeline[0].time.as_str(), timeline[0].due_72h.as_str()),
        ("2026-11-02 12:00:02", "2026-11-05 12:00:02")
    );
}

#[test]
fn the_quantum_report_names_the_weakest_link_and_its_fix() {
    let quantum = report("quantum", "2026-11", &log()).quantum.unwrap();
    assert_eq!((quantum.calls.quantum_safe, quantum.calls.classical, quantum.calls.local), (2, 1, 1));
    assert_eq!((quantum.links.quantum_safe, quantum.links.classical, quantum.links.local), (1, 1, 0));
    assert_eq!(quantum.days.len(), 30);
    assert_eq!(quantum.days[1].calls.classical, 1);
    assert_eq!(quantum.weakest.len(), 1);
    let weakest = &quantum.weakest[0];
    assert_eq!(
        (weakest.part.as_str(), weakest.calls, weakest.records.as_slice()),
        ("group X25519", 1, &[4][..])
    );
    assert_eq!(weakest.command, "lockgate crypto plan pq-kex --listener foreign");
    assert_eq!(quantum.groups[0].name, "X25519MLKEM768");
}

#[test]
fn records_of_processing_have_purposes_only_where_they_are_written() {
    let report = report("gdpr", "2026-11", &log());
    let processing = report.processing.unwrap();
    let crm = &processing.activities[0];
    assert_eq!((crm.recipient.as_str(), crm.calls, crm.refused), ("crm", 4, 1));
    assert_eq!(
        (crm.purposes.as_slice(), crm.without_purpose.as_slice()),
        (&["answering customers".to_owned()][..], &["starter".to_owned()][..])
    );
    assert_eq!((crm.country.as_str(), crm.leaves, crm.bytes_sent), ("unknown", None, 20));
    assert_eq!(crm.categories, ["id"]);
}

#[test]
fn a_period_without_records_is_never_met() {
    for framework in FRAMEWORKS {
        for period in ["2025-11", "2027-Q1"] {
            let report = report(framework.id, period, &log());
            assert_eq!(report.summary.enforced + report.summary.with_exceptions, 0, "{}", framework.id);
            assert_eq!(report.summary.without_evidence, framework.controls.len());
            assert!(!report.has_exceptions());
            let page = html::render(&report);
            assert!(page.contains("no evidence") && !page.contains("● "), "{}", framework.id);
            if period.starts_with("2027") {
                assert!(report.gaps[0].what.contains("has not begun"), "{:?}", report.gaps);
            }
        }
    }
}

#[test]
fn damage_is_the_first_exception_and_touches_every_control() {
    let lines = log();
    let framework = Framework::find("soc2").unwrap();
    let mut log = Collector::new(Period::parse("2026-11").unwrap());
    lines.iter().for_each(|line| log.add(Line::new(line.as_bytes())));
    log.add(Line::new(b"garbage\n"));
    log.end();
    let mut integrity = whole(10);
    integrity.changed_meanwhile(7);
    let inputs = Inputs { framework, integrity, background: background(), now_ms: NOW_MS };
    let report = Report::new(inputs, &log, Vec::new()).unwrap();
    assert!(report.exceptions[0].what.contains("damaged at record 7"), "{}", report.exceptions[0].what);
    assert_eq!(report.exceptions[1].what, "lines of the log that are no records");
    assert_eq!(report.summary.enforced, 0);
    let page = html::render(&report);
    assert!(page.contains("seal broken") && page.contains("The log is damaged at record 7"));
}

#[test]
fn the_same_log_gives_the_same_report() {
    for framework in FRAMEWORKS {
        let (one, other) = (report(framework.id, "2026-11", &log()), report(framework.id, "2026-11", &log()));
        assert_eq!(html::render(&one), html::render(&other));
        assert_eq!(oscal::assessment_results(&one).unwrap(), oscal::assessment_results(&other).unwrap());
        assert_eq!(serde_json::to_string(&one).unwrap(), serde_json::to_string(&other).unwrap());
    }
}

/// Whether all markup is of a kind that ours is: no script, no image, nothing that is loaded, no handler.
fn is_inert(page: &str) -> bool {
    const TAGS: &str = " !DOCTYPE html head body meta title style header section footer div span p h1 h2 h3 h4 dl dt dd strong b \
        code a ul li table thead tbody tr th td figure figcaption wbr svg defs pattern rect line g text ";
    const ATTRIBUTES: &str = " lang charset http-equiv content name class id href viewBox role aria-label xmlns x y x1 x2 y1 y2 \
        width height fill stroke stroke-width patternUnits patternTransform text-anchor ";
    page.split('<').skip(1).all(|markup| {
        let tag = markup.split('>').next().unwrap_or_default().trim_start_matches('/').trim_end_matches('/');
        let (name, attributes) = tag.split_once(' ').unwrap_or((tag, ""));
        // Values are quoted, and quotes in them escaped, so that every other part is a name.
        let mut names = attributes.split('"').step_by(2).map(|part| part.trim().trim_end_matches('='));
        let links_inside = !tag.contains("href=\"") || tag.contains("href=\"#");
        TAGS.contains(&format!(" {name} "))
            && links_inside
            && (name == "!DOCTYPE"
                || names.all(|name| name.is_empty() || ATTRIBUTES.contains(&format!(" {name} "))))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn hostile_names_stay_names(text in prop_oneof![
        any::<String>(),
        Just("</title><script>alert(1)</script>".to_owned()),
        Just("\"><img src=x onerror=alert(1)>\u{202e}\u{0}".to_owned()),
        Just("{{7*7}} ${x} \u{1b}[31m\r\n".to_owned()),
    ]) {
        let name = serde_json::to_string(&text).unwrap();
        let json = format!(
            r#""kind":"call","outcome":"ok","agent":{name},"server":{name},"method":{name},"name":{name},"policies":[{name}],"argument_names":[{name}],"group":{name},"peer_signature":{name},"profile":{name},"peer":{name},"quantum_safe":false"#
        );
        let refusal = json.replace(r#""kind":"call","outcome":"ok""#, r#""kind":"refusal","outcome":"refused","stage":"screen""#);
        let reason = format!(r#"{refusal},"reason":{name}"#);
        let lines = [line(1, "2026-11-02T00:00:00Z", &json), line(2, "2026-11-02T00:00:01Z", &reason)];
        for framework in FRAMEWORKS {
            let report = report(framework.id, "2026-11", &lines);
            let page = html::render(&report);
            prop_assert!(is_inert(&page), "{}", framework.id);
            prop_assert!(!page.chars().any(|c| c.is_control() && c != '\n'));
            prop_assert!(oscal::assessment_results(&report).is_ok());
            prop_assert!(oscal::component_definition(&report).is_ok());
        }
    }

    #[test]
    fn lines_that_are_no_records_are_counted_and_nothing_else(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
        let mut log = Collector::new(Period::parse("2026-11").unwrap());
        log.add(Line::new(&bytes));
        log.end();
        let framework = Framework::find("quantum").unwrap();
        let inputs = Inputs { framework, integrity: whole(0), background: background(), now_ms: NOW_MS };
        let report = Report::new(inputs, &log, Vec::new()).unwrap();
        prop_assert_eq!((report.records.in_log, report.records.unreadable), (1, 1));
    }
}
