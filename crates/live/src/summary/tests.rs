use std::sync::Arc;

use super::*;
use crate::event::LinkFacts;

fn call(agent: &str, tool: &str, verdict: Verdict, duration_us: u64) -> What {
    let link = Arc::new(LinkFacts { agent: agent.into(), ..LinkFacts::default() });
    What::Call(Box::new(Call {
        verdict,
        link,
        bearer: None,
        server: "crm".into(),
        method: "tools/call".into(),
        name: Some(tool.into()),
        duration_us,
        stages: Default::default(),
        answered_us: None,
        stage: Some("permit".into()),
        code: None,
        reason: Some("no".into()),
        hint: None,
        policies: vec!["p1".into()],
        policy_generation: Some(1),
        approval: None,
        shadow: None,
        findings: Vec::new(),
        bytes_in: None,
        bytes_out: None,
        trace: None,
    }))
}

fn tally(events: impl IntoIterator<Item = (u64, What)>) -> Tally {
    let mut tally = Tally::default();
    for (id, (at_ms, what)) in events.into_iter().enumerate() {
        tally.count(id as u64 + 1, &Event { at_ms, seq: None, what });
    }
    tally
}

#[test]
fn seconds_rates_and_latencies() {
    let events = (0..100).map(|n| (1_000_000, call("a", "pay", Verdict::Ok, n * 100)));
    let events = events.chain([
        (1_001_500, call("a", "pay", Verdict::Denied, 5)),
        (1_001_600, call("b", "list", Verdict::Failed, 5)),
    ]);
    let summary = tally(events).summary(1_002_000, &Wanted::default());
    let [first, second] = &summary.seconds[..] else { panic!("{:?}", summary.seconds) };
    assert_eq!((first.at_s, first.calls, first.refused, first.max_us), (1000, 100, 0, 9_900));
    assert!(first.p50_us >= 4_900 && first.p99_us <= 9_900, "{first:?}");
    assert_eq!((second.calls, second.refused, second.failed), (2, 1, 1));
    assert_eq!(summary.latency.count, 102);
    let edges: Vec<_> = summary.edges.iter().map(|e| (e.agent.as_str(), e.calls, e.refused)).collect();
    assert_eq!(edges, [("a", 101, 1), ("b", 1, 0)]);
}

#[test]
fn what_is_past_the_window_is_no_rate_any_more() {
    let tally =
        tally([(1_000_000, call("a", "pay", Verdict::Ok, 5)), (1_100_000, call("b", "pay", Verdict::Ok, 5))]);
    let summary = tally.summary(1_101_000, &Wanted::default());
    assert_eq!(summary.edges.iter().map(|e| e.agent.as_str()).collect::<Vec<_>>(), ["b"]);
    assert_eq!((summary.latency.count, summary.seconds.len()), (1, 2));
}

#[test]
fn rules_and_groups_of_refusals() {
    let verdicts = [Verdict::Ok, Verdict::Denied, Verdict::Denied, Verdict::Held, Verdict::Killed];
    let summary = tally(verdicts.map(|v| (1_000, call("a", "pay", v, 5)))).summary(2_000, &Wanted::default());
    let hits = &summary.rules[0];
    assert_eq!((hits.permits, hits.denies, hits.holds, hits.kills), (1, 2, 1, 1));
    let denied = summary.refusals.iter().find(|group| group.verdict == Verdict::Denied).unwrap();
    assert_eq!((denied.count, denied.rule.as_str(), denied.last_id), (2, "p1", 3));
}

#[test]
fn callers_cannot_make_tables_grow() {
    let events = (0..5_000).map(|n| (1_000_000 + n, call("a", &format!("made-up-{n}"), Verdict::Denied, 5)));
    let tally = tally(events);
    assert!(tally.groups.len() <= GROUPS_MAX);
    assert!(tally.slots.iter().all(|slot| slot.edges.len() <= EDGES_MAX + 1));
    let summary = tally.summary(1_006_000, &Wanted::default());
    assert_eq!(summary.edges.iter().map(|edge| edge.calls).sum::<u64>(), 5_000);
    assert_eq!(summary.refusals.len(), GROUPS_MAX);
    assert_eq!(summary.refusals[0].tool, "made-up-4999");
}

#[test]
fn a_finding_marks_the_handshake_that_it_is_about() {
    let link = |agent: &str| {
        let link = LinkFacts {
            agent: agent.into(),
            group: Some("X25519MLKEM768".into()),
            handshake_us: Some(900),
            ..LinkFacts::default()
        };
        let link = Arc::new(link);
        What::Link(Box::new(LinkChange { state: "opened".into(), link, stage: None, reason: None }))
    };
    let note = Note {
        topic: "detect".into(),
        stage: Some("verify".into()),
        agent: Some("b".into()),
        findings: vec!["LG-D013".into()],
        ..Note::default()
    };
    let events =
        [(1, link("a")), (2, What::Note(Box::new(note))), (3, link("a")), (4, link("b")), (5, link("b"))];
    let summary = tally(events).summary(1_000, &Wanted::default());
    let marked: Vec<usize> = summary.handshakes.iter().map(|shake| shake.findings.len()).collect();
    assert_eq!(marked, [0, 0, 1, 0]);
}

#[test]
fn samples_are_kept_for_an_hour_and_thinned_out_for_a_day() {
    let mut tally = Tally::default();
    (0..1_000).for_each(|at_ms| tally.sample(PostureSample { at_ms, ..PostureSample::default() }));
    assert_eq!((tally.postures.len(), tally.postures[0].at_ms), (SAMPLES_MAX, 640));
    assert_eq!((tally.day.len(), tally.day[1].at_ms), (34, 30));
}

#[test]
fn a_part_comes_without_the_others() {
    let tally = tally([
        (1_000_000, call("a", "pay", Verdict::Denied, 5)),
        (1_001_000, call("a", "pay", Verdict::Ok, 5)),
    ]);
    let wanted = Wanted { parts: vec![Part::Seconds], since_s: 1_001 };
    let summary = tally.summary(1_002_000, &wanted);
    assert_eq!((summary.seconds.len(), summary.refusals.len(), summary.latency.count), (1, 0, 2));
    assert_eq!(tally.summary(1_002_000, &Wanted::default()).refusals.len(), 1);
}

#[test]
fn findings_are_kept_with_what_they_rest_on_and_not_without_end() {
    let found =
        Found { id: "LG-D001".into(), severity: None, reason: "hidden".into(), evidence: "U+202E".into() };
    let events = (0..300).map(|n| {
        let What::Call(mut call) = call("a", "pay", Verdict::Ok, 5) else { panic!("it is a call") };
        call.findings = vec![found.clone()];
        (1_000_000 + n, What::Call(call))
    });
    let summary = tally(events).summary(1_001_000, &Wanted::default());
    assert_eq!((summary.findings.len(), summary.findings[199].event), (FINDINGS_MAX, 300));
    assert_eq!((&summary.findings[0].found, summary.findings[0].name.as_str()), (&found, "pay"));
}
