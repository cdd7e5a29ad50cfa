//! Measures policy decisions: with context, beside other engines on equivalent rules, in one run on one machine.
//!
//! * [`decisions`]: one call judged, by 10 to 10,000 rules, with 1,000 tools known.
//! * [`reload`]: 10,000 rules read for the first time and again, with decisions going on.
//! * [`arguments`]: a look into arguments of 1 KiB and 64 KiB, by itself.
//! * [`lists`]: `tools/list` of 1,000 tools reduced to what a caller could ever use.
//!
//! `cargo xtask bench policy` builds and runs it. Each figure is a median of several rounds in which the candidates
//! take turns, so that what else the machine does hits all of them alike. Time is reported, never asserted; that all
//! engines decide alike is asserted before anything is measured.
//!
//! `lockgate-bench-policy [--quick] [--out FILE]`
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Result, bail};

mod arguments;
mod clock;
mod decisions;
mod engines;
mod lists;
mod reload;
mod report;
mod workload;

/// How much is measured.
struct Plan {
    quick: bool,
    /// Times that each candidate takes its turn.
    rounds: usize,
    /// Length of one turn.
    turn: Duration,
    /// Sizes of the rule sets.
    rules: &'static [usize],
    /// Rules that are reloaded, and that lists are filtered by.
    many: usize,
}

fn main() -> Result<()> {
    let (mut quick, mut out) = (false, None);
    let mut words = std::env::args().skip(1);
    while let Some(word) = words.next() {
        match (word.as_str(), word.split_once('=')) {
            ("--quick", _) => quick = true,
            ("--out", _) => out = words.next().map(PathBuf::from),
            (_, Some(("--out", file))) => out = Some(PathBuf::from(file)),
            _ => bail!("unknown word `{word}`\nusage: cargo xtask bench policy [--quick] [--out FILE]"),
        }
    }
    let plan = match quick {
        true => Plan { quick, rounds: 2, turn: Duration::from_millis(30), rules: &[10, 100], many: 500 },
        false => Plan {
            quick,
            rounds: 7,
            turn: Duration::from_millis(400),
            rules: &[10, 100, 1_000, 10_000],
            many: 10_000,
        },
    };
    let mut report = report::Report::begin(&plan)?;
    for rules in plan.rules {
        report.decisions.extend(decisions::run(*rules, &plan)?);
    }
    report.arguments = arguments::run(&plan)?;
    report.reload = reload::run(&plan)?;
    report.lists = lists::run(&plan)?;
    let text = report.to_markdown();
    println!("{text}");
    if let Some(out) = out {
        report.write(&out, &text)?;
    }
    Ok(())
}
