//! `lockgate top`: the node at a glance, again and again.

use std::io::IsTerminal as _;
use std::time::Duration;

use lockgate_admin::{Client, Links, LiveSummary, Status, Versioned};
use tokio::sync::mpsc;

use super::tap::{duration, has_colour};
use crate::cli::{Global, Output, TopArgs};
use crate::client;
use crate::diagnostic::Failure;
use crate::exit::Exit;
use crate::output::{print, print_document};
use crate::state::State;

mod screen;
mod terminal;

use terminal::Terminal;

/// Time between two looks.
const LOOK: Duration = Duration::from_secs(1);

/// Lines of the plain form after which its heading comes again.
const HEADING_EVERY: u32 = 20;

/// What one look shows.
struct Look {
    status: Status,
    links: Links,
    live: LiveSummary,
}

/// Runs the verb until somebody has seen enough.
pub(crate) async fn run(args: &TopArgs, global: &Global) -> Result<Exit, Failure> {
    let admin = client::admin(&State::locate(global.state.as_deref())?)?;
    if args.output.output != Output::Human {
        let live = admin.live_summary().await.map_err(|error| client::unanswered(&error))?;
        print_document(&Versioned::of(&live));
        return Ok(Exit::Ok);
    }
    let is_terminal = std::io::stdout().is_terminal() && std::io::stdin().is_terminal();
    let terminal = if is_terminal && !args.plain { Terminal::take() } else { None };
    match terminal {
        Some(terminal) => whole_screen(&admin, terminal, args.count).await,
        None => lines(&admin, args.count).await,
    }
}

async fn look(admin: &Client) -> Result<Look, Failure> {
    let asked = async { tokio::try_join!(admin.status(), admin.links(), admin.live_summary()) };
    let (status, links, live) = asked.await.map_err(|error| client::unanswered(&error))?;
    Ok(Look { status, links, live })
}

/// One line a second, as `vmstat` does.
async fn lines(admin: &Client, count: Option<u32>) -> Result<Exit, Failure> {
    let mut tick = tokio::time::interval(LOOK);
    for n in 0..count.unwrap_or(u32::MAX) {
        tick.tick().await;
        let Look { status, live, .. } = look(admin).await?;
        if n % HEADING_EVERY == 0 {
            print("CALLS/s  REFUSED/s  FAILED/s       P50       P99  IN FLIGHT  LINKS  SAFE  DROPPED\n");
        }
        let second = screen::last_second(&live.summary);
        print(&format!(
            "{:>7}  {:>9}  {:>8}  {:>8}  {:>8}  {:>9}  {:>5}  {:>4}  {:>7}\n",
            second.calls,
            second.refused,
            second.failed,
            duration(second.p50_us),
            duration(second.p99_us),
            status.calls_in_flight,
            status.links,
            status.links_quantum_safe,
            live.summary.dropped
        ));
    }
    Ok(Exit::Ok)
}

async fn whole_screen(admin: &Client, terminal: Terminal, count: Option<u32>) -> Result<Exit, Failure> {
    let mut keys = terminal.keys();
    let stop = crate::signals::stop()?;
    let mut tick = tokio::time::interval(LOOK);
    let (mut paused, mut shown) = (false, None);
    let mut left = count.unwrap_or(u32::MAX);
    loop {
        tokio::select! {
            _ = tick.tick(), if !paused => {
                if left == 0 {
                    return Ok(Exit::Ok);
                }
                left -= 1;
                // Dropping the terminal gives it back before the error is printed.
                shown = Some(look(admin).await?);
            }
            key = next(&mut keys) => match key {
                Some(b'q' | b'Q' | 3 | 4 | 27) | None => return Ok(Exit::Ok),
                Some(b'p' | b'P' | b' ') => paused = !paused,
                Some(_) => continue,
            },
            () = stop.cancelled() => return Ok(Exit::Ok),
        }
        if let Some(look) = &shown {
            terminal.show(&screen::draw(
                look,
                terminal.size(),
                screen::Mode { paused, colour: has_colour() },
            ));
        }
    }
}

async fn next(keys: &mut mpsc::Receiver<u8>) -> Option<u8> {
    keys.recv().await
}
