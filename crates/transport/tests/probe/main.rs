//! The prober against servers of every kind: our own, others' and ones that misbehave.

#![allow(clippy::unwrap_used)] // a test fails by its panic

#[path = "../world/mod.rs"]
mod world;

mod foreign;
mod misbehaving;
mod own;

use std::time::Duration;

use lockgate_transport::probe::report::{Answer, Group, Signature};
use lockgate_transport::probe::{Level, Limits, ProbeError, Prober, Report};

/// As patient as a loaded machine needs, and as fast as it can.
fn limits() -> Limits {
    Limits {
        connect_ms_max: 20_000,
        answer_ms_max: 20_000,
        settle_ms_max: 10_000,
        connections_per_s_max: 10_000,
        ..Limits::default()
    }
}

async fn probe(port: u16, limits: Limits) -> Result<Report, ProbeError> {
    let limit = Duration::from_millis(limits.probe_ms_max + 10_000);
    let prober = Prober::new(limits);
    let probe = prober.probe("localhost", port, None, |_| {});
    tokio::time::timeout(limit, Box::pin(probe)).await.expect("the probe hangs")
}

/// Ids of the groups that the server supports, in the catalog's order.
fn groups(report: &Report) -> Vec<&str> {
    let yes = |group: &&Group| group.offer.answer.is_yes();
    report.groups.iter().filter(yes).map(|group| group.offer.id.as_str()).collect()
}

/// Ids of the signatures that the server made.
fn signatures(report: &Report) -> Vec<&str> {
    let yes = |signature: &&Signature| signature.offer.answer.is_yes();
    report.signatures.iter().filter(yes).map(|signature| signature.offer.id.as_str()).collect()
}

/// Names of the versions that the server speaks.
fn versions(report: &Report) -> Vec<&str> {
    let spoken = report.versions.iter().filter(|version| version.answer.is_yes());
    spoken.map(|version| version.version.as_str()).collect()
}

fn found(report: &Report, level: Level, about: &str) -> bool {
    report.verdicts.iter().any(|verdict| verdict.level == level && verdict.about == about)
}

/// A report survives its own format, and says the same in it.
fn survives_json(report: &Report) {
    let text = serde_json::to_string(report).unwrap();
    assert_eq!(&serde_json::from_str::<Report>(&text).unwrap(), report);
    assert!(text.starts_with(r#"{"schema":"lockgate.probe/1","#), "{text}");
}

fn no(alert: &str) -> Answer {
    Answer::No { alert: Some(alert.to_owned()) }
}
