//! A gateway: put together, run, reloaded, drained.
//!
//! [`admin`] serves the admin interface on a thread of its own. [`parts`] turns settings into what serves, [`faces`] are its listeners with their certificates, [`agility`] decides
//! which algorithms hold where and changes that while it runs, [`control`] is what can change, [`administer`] what the
//! admin interface can ask, [`ready`] says that it is there.

use std::sync::Arc;

use lockgate_audit::query::Indexer;
use lockgate_audit::{Durability, Kind, Outcome, Record};
use tokio::runtime::Builder;

use crate::cli::{Global, Output};
use crate::config::{self, Flags, Settings};
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::logging;
use crate::signals;
use crate::state::State;
use crate::verbs::config::variables;

mod admin;
mod administer;
mod agility;
mod control;
pub(crate) mod credentials;
mod enforce;
mod exports;
mod faces;
mod facts;
mod parts;
pub(crate) mod policies;
mod ready;
mod reload;
mod sealing;
mod subjects;
mod telemetry;
mod threats;
mod tokens;
mod views;
mod watch;
mod witness;
mod workload;

use control::Control;
use parts::Running;
pub(crate) use subjects::{Desk, Offline};
pub(crate) use tokens::TokenService;

/// What a verb asks a node to be.
#[derive(Debug)]
pub(crate) struct Launch {
    pub(crate) flags: Flags,
    pub(crate) output: Output,
}

/// Runs a node until it is told to stop.
pub(crate) fn run(launch: &Launch, global: &Global) -> Result<Exit, Failure> {
    let (settings, ..) = config::load(&launch.flags, variables())?;
    if settings.servers.is_empty() {
        return Err(Diagnostic::new("LG-C011", "no server to serve")
            .hint("name one: lockgate gateway --to http://127.0.0.1:3001/mcp")
            .hint("or try the built-in sample server: lockgate up")
            .into());
    }
    logging::start(&settings.log_level, settings.log_format)?;
    let state = State::locate(global.state.as_deref())?;
    state.create()?;
    let _lock = state.lock()?;
    let runtime = crate::built(Builder::new_multi_thread().enable_all().build())?;
    let served = runtime.block_on(serve(launch, settings, state));
    runtime.shutdown_background();
    served
}

async fn serve(launch: &Launch, settings: Settings, state: State) -> Result<Exit, Failure> {
    let stop = signals::stop()?;
    let mut hangup = signals::reload()?;
    let Running { control, faces, admin, token, credentials, workload } =
        parts::put_together(launch, settings, state).await?;
    let node = Arc::clone(control.node());
    for (face, listener) in faces {
        tokio::spawn(lockgate_proxy::face::serve(Arc::clone(&node), face, listener));
    }
    let admin_address = admin.local_addr();
    let admin_stop = node.draining.clone();
    let drained = tokio_util::sync::CancellationToken::new();
    let until_drained = drained.clone();
    let admin = admin::start(admin, &control, until_drained)?;
    tokio::spawn(Arc::clone(&node).keep_house());
    tokio::spawn(faces::keep_certificates(Arc::clone(&control)));
    tokio::spawn(agility::keep_calendar(Arc::clone(&control)));
    tokio::spawn(watch::files(Arc::clone(&control)));
    tokio::spawn(policies::keep_definitions(Arc::clone(&control)));
    tokio::spawn(credentials.keep(Arc::clone(&node)));
    tokio::spawn(tokens::keep(Arc::clone(&control)));
    tokio::spawn(sealing::keep(Arc::clone(&control)));
    tokio::spawn(witness::serve(Arc::clone(&control)));
    tokio::spawn(witness::ask(Arc::clone(&control)));
    tokio::spawn(subjects::keep(Arc::clone(&control)));
    if let Some(listening) = workload {
        tokio::spawn(workload::serve(Arc::clone(&control), listening));
    }

    // Without it questions to the log take longer, which is no reason to serve nothing.
    let indexer = Indexer::start(&control.state().audit());
    if let Err(error) = &indexer {
        tracing::warn!(%error, "the audit log has no index");
    }
    record(&control, "node started");
    let note = control.note(admin_address, &token);
    control.state().write_note(&note)?;
    ready::announce(&control, &note, launch.output);
    loop {
        tokio::select! {
            () = stop.cancelled() => break,
            // Asked to by the admin interface, or a listener is lost.
            () = admin_stop.cancelled() => break,
            Some(()) = hangup.recv() => drop(reload::run(&control).await),
        }
    }
    tracing::info!(calls = node.metrics.calls_in_flight.get(), "draining");
    record(&control, "node draining");
    node.drain().await;
    record(&control, "node stopped");
    if let Err(error) = node.audit.flush().await {
        tracing::error!(%error, "the last records may not be on the disk");
    }
    control.state().remove_note();
    drained.cancel();
    // The interface answers what is under way within its own deadline.
    let _ = tokio::task::spawn_blocking(move || (admin.join(), drop(indexer))).await;
    Ok(Exit::Ok)
}

/// Records a step of the node's life. A log that cannot be written is reported by the calls that it stops.
fn record(control: &Control, what: &'static str) {
    let record = Record { reason: Some(what.into()), ..Record::new(Kind::Lifecycle, Outcome::Ok) };
    if let Err(error) = control.node().append(&record, Durability::Durable) {
        tracing::error!(%error, "{what}, but that cannot be recorded");
    }
}
