//! The project's own commands, run as `cargo xtask COMMAND`.
//!
//! * `test` is the whole gate, the same for a person and for continuous integration: it installs
//!   what the tests need, runs every stage, and ends with one line `N passed, M failed`.
//!   `test STAGE…` runs some of them.
//! * `tidy` asserts the rules that neither the compiler nor clippy knows: which crate may depend
//!   on which, where `unsafe` may stand, how long a file may be.
//! * `bench` measures Lockgate beside its peers, in a release build.

mod bench;
mod dashboard;
mod gate;
mod peers;
mod process;
mod tally;
mod tidy;

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, Result, bail};

const USAGE: &str = "\
usage: cargo xtask COMMAND
  test [STAGE…]   run the gate, or some of its stages
  tidy            check the rules of ARCHITECTURE.md
  bench [ARG…]    measure, in a release build
  install         install the peers that the tests talk to, and nothing else

stages of test:";

fn main() -> ExitCode {
    match run() {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::from(2)
        }
    }
}

/// Runs the command on the command line; `false` when it found something wrong.
fn run() -> Result<bool> {
    let root = root()?;
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, rest)) = arguments.split_first() else {
        bail!("{}", usage());
    };
    match command.as_str() {
        "test" => gate::run(&root, rest),
        "tidy" => {
            let tally = tidy::run(&root)?;
            println!("{tally}");
            Ok(tally.failed == 0)
        }
        "bench" => bench::run(&root, rest),
        "install" => {
            let peers = peers::Peers::install(&root)?;
            peers::dashboard(&root.join("ui"))?;
            print!("{peers}{}\n{}\n", peers::nginx()?.display(), peers::browser()?.display());
            Ok(true)
        }
        _ => bail!("there is no command `{command}`\n{}", usage()),
    }
}

fn usage() -> String {
    let stages = gate::STAGES.iter().map(|stage| format!("  {:<14}  {}", stage.name, stage.about));
    format!("{USAGE}\n{}", stages.collect::<Vec<_>>().join("\n"))
}

/// The workspace's folder, whichever folder of it the command was typed in.
fn root() -> Result<PathBuf> {
    // What cargo says now goes before what it said at build time: two checkouts that share a target directory also
    // share the place of this binary.
    let here = std::env::var_os("CARGO_MANIFEST_DIR").unwrap_or_else(|| env!("CARGO_MANIFEST_DIR").into());
    let root = Path::new(&here).parent().context("xtask is a folder of the workspace")?;
    Ok(root.to_path_buf())
}
