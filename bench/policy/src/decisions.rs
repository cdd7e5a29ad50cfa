//! One call judged, by each engine, on sets of different sizes.

use anyhow::{Result, ensure};
use serde::Serialize;

use crate::Plan;
use crate::clock::{Times, medians, turn};
use crate::engines::{self, Engine};
use crate::workload::{Call, Kind, Rule, World};

/// Calls of one turn: spread over the rules, so that no engine answers out of a cache of one.
const CALLS: usize = 97;

/// What one engine needed on one set.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) engine: &'static str,
    pub(crate) rules: usize,
    /// `permitted` or `denied`.
    pub(crate) calls: &'static str,
    #[serde(flatten)]
    pub(crate) times: Times,
}

/// Measures all engines on a set of so many rules.
pub(crate) fn run(rules: usize, plan: &Plan) -> Result<Vec<Row>> {
    eprintln!("decisions by {rules} rules");
    let world = World::new();
    let mut engines = engines::all(rules, &world)?;
    let calls = |kinds: &[Kind]| -> Result<Vec<Call>> {
        let rule = |n: usize| Rule { number: n.wrapping_mul(7_919) % rules };
        (0..CALLS).map(|n| Call::new(rule(n), kinds[n % kinds.len()])).collect()
    };
    let permitted = calls(&[Kind::Good])?;
    let denied = calls(&[Kind::Field, Kind::Limit, Kind::Forbidden])?;
    for engine in &mut engines {
        agree(engine.as_mut(), permitted.iter().chain(&denied))?;
    }
    let mut rows = Vec::new();
    for (name, calls) in [("permitted", &permitted), ("denied", &denied)] {
        let mut turns: Vec<Vec<Times>> = engines.iter().map(|_| Vec::new()).collect();
        for _ in 0..plan.rounds {
            for (engine, turns) in engines.iter_mut().zip(&mut turns) {
                let mut failed = None;
                turns.push(turn(plan.turn, |n| match engine.decide(&calls[n % calls.len()]) {
                    Ok((time, _)) => time,
                    Err(error) => {
                        failed = Some(error);
                        std::time::Duration::ZERO
                    }
                }));
                if let Some(error) = failed {
                    return Err(error);
                }
            }
        }
        rows.extend(engines.iter().zip(&turns).map(|(engine, turns)| Row {
            engine: engine.name(),
            rules,
            calls: name,
            times: medians(turns),
        }));
    }
    Ok(rows)
}

/// Every engine decides every call as the rules mean it; this is also its warm-up.
fn agree<'c>(engine: &mut dyn Engine, calls: impl Iterator<Item = &'c Call>) -> Result<()> {
    for call in calls {
        let (_, outcome) = engine.decide(call)?;
        ensure!(
            outcome == call.permitted,
            "{} says {outcome} to a call of rule {}: {}",
            engine.name(),
            call.rule.number,
            call.arguments()
        );
    }
    Ok(())
}
