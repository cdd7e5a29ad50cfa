//! Cryptographically agile transport security for AI infrastructure: the command line.
//!
//! One binary, several verbs. [`cli`] says what can be asked, [`verbs`] answers, [`node`] puts a gateway together and
//! [`connect`] is the near end of a tunnel. Whatever goes wrong becomes a [`diagnostic::Diagnostic`] with a code of
//! the [`registry`], and the code decides how the process ends.

#![forbid(unsafe_code)]

use std::process::ExitCode;

use clap::Parser as _;
use tokio::runtime::{Builder, Runtime};

use crate::cli::{Cli, Verb};
use crate::config::LogFormat;
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;

mod audit_keys;
mod authority;
mod cli;
mod client;
mod config;
mod connect;
mod diagnostic;
mod endpoint;
mod exit;
mod explain;
mod logging;
mod node;
mod output;
mod question;
mod registry;
mod sample;
mod signals;
mod state;
mod subjects;
mod trouble;
mod verbs;
mod witnesses;

fn main() -> ExitCode {
    let cli = Cli::parse();
    let json = verbs::wants_json(&cli.verb);
    match run(&cli) {
        Ok(exit) => exit.into(),
        Err(failure) => {
            output::print_failure(&failure, json);
            failure.exit().into()
        }
    }
}

fn run(cli: &Cli) -> Result<Exit, Failure> {
    let global = &cli.global;
    match &cli.verb {
        Verb::Explain(args) => explain::run(args),
        Verb::Config(verb) => verbs::config::run(verb, global),
        Verb::Crypto(verb) => on_one_thread(global, verbs::crypto::run(verb, global)),
        Verb::Audit(verb) => verbs::audit::run(verb, global),
        Verb::Report(args) => on_one_thread(global, verbs::report::run(args, global)),
        Verb::Secret(verb) => verbs::secret::run(verb, global),
        Verb::Policy(verb) => on_one_thread(global, verbs::policy::run(verb, global)),
        Verb::Identity(verb) => on_one_thread(global, verbs::identity::run(verb, global)),
        Verb::Exports(args) => on_one_thread(global, verbs::exports::run(args, global)),
        Verb::Approvals(args) => on_one_thread(global, verbs::approvals::run(args, global)),
        Verb::Facts(verb) => on_one_thread(global, verbs::facts::run(verb, global)),
        Verb::Threats(verb) => on_one_thread(global, verbs::threats::run(verb, global)),
        Verb::Scan(args) => on_one_thread(global, verbs::scan::run(args)),
        Verb::Dashboard(args) => on_one_thread(global, verbs::dashboard::run(args, global)),
        Verb::Discover(args) => on_one_thread(global, verbs::discover::run(args, global)),
        Verb::Adopt(args) => on_one_thread(global, verbs::adopt::run(args, global)),
        Verb::Tap(args) => on_one_thread(global, verbs::tap::run(args, global)),
        Verb::Top(args) => on_one_thread(global, verbs::top::run(args, global)),
        Verb::Status(output) => on_one_thread(global, verbs::status::run(*output, global)),
        Verb::Ping(args) => on_one_thread(global, verbs::ping::run(args, global)),
        Verb::Doctor(args) => on_one_thread(global, verbs::doctor::run(args, global)),
        Verb::Sample => on_one_thread(global, sample::run()),
        Verb::Connect(args) => {
            logging::start(global.log.as_deref().unwrap_or("info"), LogFormat::Human)?;
            let runtime = one_thread()?;
            let exit = runtime.block_on(async { connect::run(args, global, signals::stop()?).await });
            // A thread may still wait for stdin, which nothing can interrupt.
            runtime.shutdown_background();
            exit
        }
        Verb::Up(args) => node::run(&verbs::start::up(args, global)?, global),
        Verb::Gateway(args) => node::run(&verbs::start::gateway(args, global)?, global),
        Verb::Wrap(args) => node::run(&verbs::start::wrap(args, global)?, global),
    }
}

/// Runs a verb that asks something and ends.
fn on_one_thread(
    global: &cli::Global,
    verb: impl Future<Output = Result<Exit, Failure>>,
) -> Result<Exit, Failure> {
    logging::start(global.log.as_deref().unwrap_or("warn"), LogFormat::Human)?;
    one_thread()?.block_on(verb)
}

fn one_thread() -> Result<Runtime, Diagnostic> {
    built(Builder::new_current_thread().enable_all().build())
}

fn built(runtime: std::io::Result<Runtime>) -> Result<Runtime, Diagnostic> {
    runtime.map_err(|error| Diagnostic::new("LG-X001", "cannot start the runtime").because(&error))
}
