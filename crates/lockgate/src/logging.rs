//! Logs: `tracing` events on stderr, with a level that can be changed while the process runs.

use std::io::IsTerminal as _;
use std::sync::OnceLock;

use tracing_subscriber::layer::SubscriberExt as _;
use tracing_subscriber::util::SubscriberInitExt as _;
use tracing_subscriber::{EnvFilter, Registry, fmt, reload};

use crate::config::LogFormat;
use crate::diagnostic::Diagnostic;

static LEVEL: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts logging. Later calls only change the level.
pub(crate) fn start(level: &str, format: LogFormat) -> Result<(), Diagnostic> {
    let filter = filter(level)?;
    if LEVEL.get().is_some() {
        return set(filter);
    }
    let (filter, handle) = reload::Layer::new(filter);
    let registry = tracing_subscriber::registry().with(filter);
    // Colours are for people: a file or a pipe gets plain text.
    let to_stderr = fmt::layer().with_writer(std::io::stderr).with_ansi(std::io::stderr().is_terminal());
    let started = match format {
        LogFormat::Json => registry.with(to_stderr.json()).try_init(),
        LogFormat::Human => registry.with(to_stderr.with_target(false)).try_init(),
    };
    started.map_err(|error| Diagnostic::new("LG-X001", "cannot start logging").because(&error))?;
    // Only the first call gets here, so that the cell is empty.
    let _ = LEVEL.set(handle);
    Ok(())
}

/// Changes the level of a process that runs.
pub(crate) fn change(level: &str) -> Result<(), Diagnostic> {
    set(filter(level)?)
}

/// Checks a level without using it.
pub(crate) fn check(level: &str) -> Result<(), Diagnostic> {
    filter(level).map(drop)
}

fn set(filter: EnvFilter) -> Result<(), Diagnostic> {
    let Some(handle) = LEVEL.get() else { return Ok(()) };
    handle
        .reload(filter)
        .map_err(|error| Diagnostic::new("LG-X001", "cannot change the log level").because(&error))
}

fn filter(level: &str) -> Result<EnvFilter, Diagnostic> {
    EnvFilter::builder().parse(level).map_err(|error| {
        Diagnostic::new("LG-C007", format!("\"{level}\" is no log level"))
            .because(&error)
            .hint("write error, warn, info, debug or trace, or levels for parts: warn,lockgate_proxy=debug")
    })
}
