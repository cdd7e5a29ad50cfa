//! Measures Lockgate: beside nginx, beside no proxy at all, and beside the same handshakes without a network.
//!
//! Everything happens in one run on one machine, and each figure is a median of several rounds in which the
//! candidates take turns, so that what else the machine does hits all of them alike. What is under test has one core
//! to itself; the upstream and the load generator share the other one. Time is reported, never asserted.
//!
//! * [`calls`]: throughput and latency of tool calls, with all nine stages on.
//! * [`handshakes`]: composite, mutually authenticated handshakes, full and resumed.
//! * [`memory`]: what an idle link costs the gateway.
//! * [`agility`]: changes of cryptography under load, with up to 10,000 live connectors.
//!
//! `cargo xtask bench` builds everything and runs `lockgate-bench run`; `lockgate-bench upstream` is the MCP server at
//! the far end, which the run starts by itself.

#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use tokio::runtime::Builder;
use tokio::signal::unix::{SignalKind, signal};

mod agility;
mod bed;
mod calls;
mod handshakes;
mod load;
mod memory;
mod process;
mod report;
mod statistics;
mod upstream;

/// Measures Lockgate beside nginx and beside no proxy at all.
#[derive(Debug, Parser)]
#[command(name = "lockgate-bench")]
enum Command {
    /// Measure, and print a table
    Run(RunArgs),
    /// Serve the minimal MCP server that the calls go to
    Upstream,
}

#[derive(Debug, clap::Args)]
struct RunArgs {
    /// Seconds instead of minutes: shows that everything runs; its figures are noise
    #[arg(long)]
    quick: bool,
    /// Measure this only; repeat for several
    #[arg(long, value_enum)]
    part: Vec<Part>,
    /// Write the table to FILE, and the figures as JSON beside it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Connectors that follow a change; repeat for several
    #[arg(long, value_name = "N")]
    followers: Vec<usize>,
    /// The gateway's binary [default: `lockgate` beside this one]
    #[arg(long, value_name = "FILE")]
    lockgate: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// Tool calls: direct, nginx, Lockgate
    Calls,
    /// Handshakes: the gateway, and the same in memory
    Handshakes,
    /// Memory of idle links
    Memory,
    /// A change of cryptography under load
    Agility,
}

/// How much is measured.
struct Plan {
    /// Times that each candidate takes its turn.
    rounds: usize,
    /// Load before each measurement that is not counted.
    warm_up: Duration,
    /// Length of one measurement.
    measured: Duration,
    /// Links with one call in flight each.
    connections: &'static [usize],
    /// Handshakes of one measurement.
    handshakes: usize,
    /// Handshakes of one measurement in the table of all pairs.
    table_handshakes: usize,
    /// Idle links.
    links: usize,
    /// Connectors that follow a change.
    followers: Vec<usize>,
    /// Steady calls before a change.
    steady: Duration,
}

fn full() -> Plan {
    Plan {
        rounds: 5,
        warm_up: Duration::from_millis(300),
        measured: Duration::from_secs(1),
        connections: &[1, 16, 64],
        handshakes: 2_000,
        table_handshakes: 400,
        links: 5_000,
        followers: vec![100, 1_000, 10_000],
        steady: Duration::from_secs(5),
    }
}

fn quick() -> Plan {
    Plan {
        rounds: 2,
        warm_up: Duration::from_millis(50),
        measured: Duration::from_millis(100),
        connections: &[1, 16, 64],
        handshakes: 200,
        table_handshakes: 40,
        links: 250,
        followers: vec![20],
        steady: Duration::from_millis(500),
    }
}

fn main() -> ExitCode {
    let outcome = Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
        .and_then(|runtime| runtime.block_on(until_stopped(Command::parse())));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("lockgate-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Carries out the command. A signal drops it half-way, and with it every process and folder that it made.
async fn until_stopped(command: Command) -> Result<()> {
    let (mut interrupt, mut terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    tokio::select! {
        outcome = carry_out(command) => outcome,
        _ = interrupt.recv() => bail!("interrupted"),
        _ = terminate.recv() => bail!("terminated"),
    }
}

async fn carry_out(command: Command) -> Result<()> {
    match command {
        Command::Upstream => upstream::serve().await,
        Command::Run(arguments) => run(&arguments).await,
    }
}

async fn run(arguments: &RunArgs) -> Result<()> {
    let mut plan = if arguments.quick { quick() } else { full() };
    if !arguments.followers.is_empty() {
        plan.followers.clone_from(&arguments.followers);
    }
    let plan = &plan;
    let wanted = |part| arguments.part.is_empty() || arguments.part.contains(&part);
    process::pin(process::LOAD_CORE)?;
    // A connector that moves has two links for a moment, and the gateway at the other end inherits the limit.
    let followers = plan.followers.iter().copied().filter(|_| wanted(Part::Agility)).max().unwrap_or(0);
    process::raise_open_files((followers * 3 / 2).max(plan.links))?;
    let bed = bed::Bed::prepare(arguments.lockgate.as_deref()).await?;
    let mut report = report::Report::begin(&bed, plan, arguments)?;
    if wanted(Part::Calls) {
        report.calls = calls::run(&bed, plan, &mut report.commands).await?;
    }
    if wanted(Part::Handshakes) {
        report.handshakes = handshakes::run(&bed, plan).await?;
    }
    if wanted(Part::Memory) {
        report.memory = memory::run(&bed, plan).await?;
    }
    if wanted(Part::Agility) {
        report.agility = agility::run(&bed, plan).await?;
    }
    let text = report.to_markdown();
    println!("{text}");
    if let Some(path) = &arguments.out {
        report.write(path, &text)?;
    }
    Ok(())
}
