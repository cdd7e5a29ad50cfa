//! The part of the report about changes of cryptography under load.

use super::Aim;
use crate::agility::Row;

pub(super) const INTRODUCTION: &str = "\n## Changes under load (`cargo xtask bench --part agility`)

Each connector has an identity, a tunnel and a follower of its own; all of them live in the load's process. 400 calls a
second in all, before and during. *Moved* is the time from the start of the operator's command to the last connector on
its new link. The gateway has one core; connectors, upstream and the command share the other.\n\n";

pub(super) const HEAD: [&str; 12] = [
    "change",
    "links",
    "moved s",
    "command s",
    "p50 before µs",
    "p99 before µs",
    "p50 during µs",
    "p99 during µs",
    "calls during",
    "failed",
    "gateway CPU s",
    "gateway peak MiB",
];

pub(super) fn cells(row: &Row) -> Vec<String> {
    let micros = |value: f64| format!("{value:.0}");
    vec![
        row.change.to_owned(),
        row.links.to_string(),
        format!("{:.2}", row.moved_s),
        format!("{:.2}", row.command_s),
        micros(row.before_p50_us),
        micros(row.before_p99_us),
        micros(row.during_p50_us),
        micros(row.during_p99_us),
        row.calls_during.to_string(),
        row.failed.to_string(),
        format!("{:.2}", row.gateway_cpu_s),
        (row.gateway_peak_kib / 1024).to_string(),
    ]
}

/// No call may fail unless its link was cut on purpose, latency may triple, and there is a time for each fleet.
pub(super) fn aims(rows: &[Row]) -> Vec<Aim> {
    let mut aims = Vec::new();
    for (links, aimed, limit_s) in [(1_000, "≤ 2 s", 2.0), (10_000, "≤ 15 s", 15.0)] {
        let moved = rows.iter().filter(|row| row.links == links).map(|row| row.moved_s);
        if let Some(worst) = moved.reduce(f64::max) {
            aims.push(Aim {
                what: format!("{links} links moved, any change"),
                aimed,
                reached: format!("{worst:.2} s at worst"),
                met: worst <= limit_s,
            });
        }
    }
    let graceful = || rows.iter().filter(|row| !row.change.contains("--now"));
    if rows.is_empty() {
        return aims;
    }
    let failed: u64 = graceful().map(|row| row.failed).sum();
    aims.push(Aim {
        what: "calls failed by apply, rollback and ban".to_owned(),
        aimed: "0",
        reached: format!("{failed} of {}", graceful().map(|row| row.calls_during).sum::<usize>()),
        met: failed == 0,
    });
    let slower = |row: &Row| row.during_p99_us / row.before_p99_us;
    let worst = graceful().map(slower).fold(0.0, f64::max);
    aims.push(Aim {
        what: "p99 during a change, of that before".to_owned(),
        aimed: "≤ 3",
        reached: format!("{worst:.1} at worst"),
        met: worst <= 3.0,
    });
    aims
}
