//! Tool calls: direct, through nginx, through Lockgate.

use std::time::Instant;

use anyhow::Result;
use futures_util::future::try_join_all;
use lockgate_transport::{Dialer, dialer};
use serde::Serialize;

use crate::Plan;
use crate::bed::{Bed, Gateway, Nginx};
use crate::load::{self, Caller, Era, Target, Work};
use crate::process;
use crate::statistics::{median, percentile};
use crate::upstream::{self, TOOLS};

/// Medians over the rounds of one case.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    pub(crate) era: Era,
    pub(crate) result_kib: usize,
    pub(crate) connections: usize,
    pub(crate) target: &'static str,
    pub(crate) calls_per_s: f64,
    pub(crate) p50_us: f64,
    pub(crate) p99_us: f64,
    /// Processor time of the proxy for each call; none without a proxy.
    pub(crate) cpu_us: Option<f64>,
}

struct Sample {
    calls_per_s: f64,
    p50_us: f64,
    p99_us: f64,
    cpu_us: Option<f64>,
}

/// Measures every case. `commands` gets what was started, and what the links negotiated.
pub(crate) async fn run(bed: &Bed, plan: &Plan, commands: &mut Vec<String>) -> Result<Vec<Row>> {
    let gateway = Gateway::start(bed, "calls").await?;
    let nginx = Nginx::start(bed, &gateway).await?;
    commands
        .extend([&bed.upstream, &gateway.process, &nginx.process].map(|process| bed.shown(&process.command)));
    commands.push(format!("# DIR/nginx/nginx.conf\n{}", nginx.config.trim_end()));
    let targets = targets(bed, &gateway, &nginx)?;
    let mut rows = Vec::new();
    for era in [Era::Legacy, Era::Modern] {
        for (tool, result_kib) in TOOLS {
            for &connections in plan.connections {
                let work = Work { era, tool, result_kib };
                eprintln!("calls: {era:?}, {result_kib} KiB, {connections} connections");
                rows.extend(case(&targets, work, connections, plan, commands).await?);
            }
        }
    }
    drop((targets, gateway));
    let records = bed.audited("calls")?;
    commands.push(format!("lockgate audit verify --state DIR/calls # {records} records, the chain is whole"));
    Ok(rows)
}

fn targets(bed: &Bed, gateway: &Gateway, nginx: &Nginx) -> Result<Vec<Target>> {
    let through_nginx = |name, dialer| Target {
        name,
        dialer,
        port: nginx.port,
        path: upstream::PATH,
        process: Some(nginx.process.id()),
    };
    let through_lockgate = |name, dialer| Target {
        name,
        dialer,
        port: gateway.port,
        path: Gateway::PATH,
        process: Some(gateway.process.id()),
    };
    let direct = Target {
        name: "direct",
        dialer: Dialer::plain(dialer::Limits::default()),
        port: bed.upstream_port,
        path: upstream::PATH,
        process: None,
    };
    Ok(vec![
        direct,
        through_nginx("nginx, HTTP/1.1", nginx.dialer()?.http1_only()),
        through_lockgate("Lockgate, HTTP/1.1", gateway.dialer()?.http1_only()),
        through_nginx("nginx, HTTP/2", nginx.dialer()?),
        through_lockgate("Lockgate, HTTP/2", gateway.dialer()?),
    ])
}

/// One case: every target in turn, and that several times.
async fn case(
    targets: &[Target],
    work: Work,
    connections: usize,
    plan: &Plan,
    commands: &mut Vec<String>,
) -> Result<Vec<Row>> {
    let mut callers = Vec::new();
    for target in targets {
        let opened = try_join_all((0..connections).map(|_| Caller::open(target, work))).await?;
        let negotiated = format!("# {}: {}", target.name, opened[0].link);
        if !commands.contains(&negotiated) {
            commands.push(negotiated);
        }
        callers.push(opened);
    }
    let mut samples: Vec<Vec<Sample>> = targets.iter().map(|_| Vec::new()).collect();
    for _ in 0..plan.rounds {
        for (at, target) in targets.iter().enumerate() {
            samples[at].push(measure(target, &mut callers[at], plan).await?);
        }
    }
    let row = |(target, samples): (&Target, &Vec<Sample>)| {
        let of = |figure: fn(&Sample) -> f64| median(samples.iter().map(figure));
        Row {
            era: work.era,
            result_kib: work.result_kib,
            connections,
            target: target.name,
            calls_per_s: of(|sample| sample.calls_per_s),
            p50_us: of(|sample| sample.p50_us),
            p99_us: of(|sample| sample.p99_us),
            cpu_us: target.process.map(|_| median(samples.iter().filter_map(|sample| sample.cpu_us))),
        }
    };
    Ok(targets.iter().zip(&samples).map(row).collect())
}

async fn measure(target: &Target, callers: &mut [Caller], plan: &Plan) -> Result<Sample> {
    load::repeat(callers, plan.warm_up).await?;
    let cpu_s = || target.process.map(process::cpu_s).transpose();
    let (cpu_before, begun) = (cpu_s()?, Instant::now());
    let latencies_ns = load::repeat(callers, plan.measured).await?;
    let (elapsed, cpu_after) = (begun.elapsed(), cpu_s()?);
    let calls = latencies_ns.len() as f64;
    Ok(Sample {
        calls_per_s: calls / elapsed.as_secs_f64(),
        p50_us: percentile(&latencies_ns, 50) as f64 / 1e3,
        p99_us: percentile(&latencies_ns, 99) as f64 / 1e3,
        cpu_us: cpu_before.zip(cpu_after).map(|(before, after)| (after - before) * 1e6 / calls),
    })
}
