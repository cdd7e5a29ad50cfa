//! Signals: the first SIGTERM or SIGINT asks to drain, the second ends the process at once, SIGHUP reloads.

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::diagnostic::Diagnostic;

/// Exit code of a process that a second signal ends: 128 and the number of SIGINT, as shells have it.
const CUT_SHORT: i32 = 130;

/// A token that the first SIGTERM or SIGINT cancels. From then on a second one ends the process.
pub(crate) fn stop() -> Result<CancellationToken, Diagnostic> {
    let mut terminate = listen(SignalKind::terminate())?;
    let mut interrupt = listen(SignalKind::interrupt())?;
    let stop = CancellationToken::new();
    let first = stop.clone();
    tokio::spawn(async move {
        either(&mut terminate, &mut interrupt).await;
        first.cancel();
        either(&mut terminate, &mut interrupt).await;
        std::process::exit(CUT_SHORT);
    });
    Ok(stop)
}

/// SIGHUP, as often as it comes.
pub(crate) fn reload() -> Result<Signal, Diagnostic> {
    listen(SignalKind::hangup())
}

fn listen(kind: SignalKind) -> Result<Signal, Diagnostic> {
    signal(kind).map_err(|error| Diagnostic::new("LG-X001", "cannot listen for signals").because(&error))
}

async fn either(one: &mut Signal, other: &mut Signal) {
    tokio::select! {
        _ = one.recv() => {}
        _ = other.recv() => {}
    }
}
