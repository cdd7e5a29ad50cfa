//! Many rules read for the first time and again, while calls are decided.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Result, anyhow};
use lockgate_policy::Policies;
use serde::Serialize;

use crate::Plan;
use crate::clock::{Times, median, of, timed};
use crate::workload::{Call, Kind, Rule, World, files, sources};

/// What one way of loading needed.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) what: &'static str,
    pub(crate) rules: usize,
    /// The median of the repetitions.
    pub(crate) seconds: f64,
    /// Decisions of the old set meanwhile; none for the first time.
    pub(crate) meanwhile: Option<Times>,
}

/// Times that each is repeated.
const REPEATED: usize = 3;

/// Measures loading.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Row>> {
    eprintln!("reload of {} rules", plan.many);
    let world = World::new();
    let rules = plan.many;
    let before = files(rules);
    let mut first = Vec::new();
    let mut policies = None;
    for _ in 0..REPEATED {
        let (time, parsed) = timed(|| world.parse(&before));
        first.push(time.as_secs_f64());
        policies = Some(parsed?);
    }
    let policies = policies.ok_or_else(|| anyhow!("nothing was parsed"))?;
    let mut one_rule = before.clone();
    one_rule[0].1 = one_rule[0].1.replacen("limit <= 50", "limit <= 49", 1);
    let mut one_file = before.clone();
    one_file[0].1 = one_file[0].1.replace("hour < 18", "hour < 17");
    let mut rows =
        vec![Row { what: "the first time", rules, seconds: median(first.into_iter()), meanwhile: None }];
    for (what, files) in [
        ("again, nothing changed", &before),
        ("again, one rule changed", &one_rule),
        ("again, a file of 1,000 rules changed", &one_file),
    ] {
        let mut seconds = Vec::new();
        let mut meanwhile = None;
        for _ in 0..REPEATED {
            let (time, times) = with_traffic(&policies, &world, files)?;
            seconds.push(time);
            meanwhile = Some(times);
        }
        rows.push(Row { what, rules, seconds: median(seconds.into_iter()), meanwhile });
    }
    Ok(rows)
}

/// Loads again while another thread decides without a pause.
fn with_traffic(policies: &Policies, world: &World, files: &[(String, String)]) -> Result<(f64, Times)> {
    let done = AtomicBool::new(false);
    let call = Call::new(Rule { number: 0 }, Kind::Good)?;
    thread::scope(|scope| {
        let traffic = scope.spawn(|| {
            let mut samples = Vec::new();
            while !done.load(Ordering::Relaxed) || samples.is_empty() {
                let message = call.message.clone();
                samples.push(timed(|| policies.decide(call.query(), &world.circumstances(), message)).0);
            }
            of(samples)
        });
        let (time, again) = timed(|| policies.parse_again(&sources(files), &world.options(2)));
        done.store(true, Ordering::Relaxed);
        let times = traffic.join().map_err(|_| anyhow!("the traffic broke off"))?;
        again.map_err(|errors| anyhow!("{}", errors[0]))?;
        Ok((time.as_secs_f64(), times))
    })
}
