//! `lockgate crypto apply`, `rollback`, `ban` and `lift`: a change, and how links follow it.

use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

use lockgate_admin::{
    ApplyRequest, BanRequest, Change, Client, ClientError, LiftRequest, Migration, RollbackRequest, Versioned,
};

use super::plan::scope;
use super::whoever;
use crate::cli::{ApplyArgs, BanArgs, Global, LiftArgs, Output, OutputArgs, RollbackArgs, Seconds};
use crate::client;
use crate::diagnostic::Failure;
use crate::exit::Exit;
use crate::output::{print, print_document, print_line, visible};
use crate::state::State;
use crate::verbs::identity::{now_ms, time};

/// Time between two looks at how far links are.
const LOOK_MS: u64 = 200;
/// How long after the announced end links are waited for, in milliseconds: the node looks once a second.
const GRACE_MS: u64 = 5_000;

/// `lockgate crypto apply`.
pub(super) async fn apply(args: &ApplyArgs, global: &Global) -> Result<Exit, Failure> {
    let admin = client::admin(&State::locate(global.state.as_deref())?)?;
    let request = ApplyRequest {
        profile: args.profile.clone(),
        scope: scope(&args.scope),
        drain_s: args.drain,
        cut_off: args.cut_off,
        for_s: args.lasts.map(|Seconds(lasts)| lasts),
        reason: args.reason.clone(),
        by: whoever(),
    };
    let changed = admin.apply(&request).await;
    follow(&admin, changed, args.no_wait, args.output).await
}

/// `lockgate crypto rollback`.
pub(super) async fn rollback(args: &RollbackArgs, global: &Global) -> Result<Exit, Failure> {
    let admin = client::admin(&State::locate(global.state.as_deref())?)?;
    let changed = admin.rollback(&RollbackRequest { drain_s: args.drain, by: whoever() }).await;
    follow(&admin, changed, args.no_wait, args.output).await
}

/// `lockgate crypto ban`.
pub(super) async fn ban(args: &BanArgs, global: &Global) -> Result<Exit, Failure> {
    let admin = client::admin(&State::locate(global.state.as_deref())?)?;
    let request = BanRequest {
        target: args.target.clone(),
        reason: args.reason.clone(),
        now: args.now,
        keep_hybrids: args.keep_hybrids,
        drain_s: args.drain,
        by: whoever(),
    };
    let changed = admin.ban(&request).await;
    follow(&admin, changed, args.no_wait, args.output).await
}

/// `lockgate crypto lift`.
pub(super) async fn lift(args: &LiftArgs, global: &Global) -> Result<Exit, Failure> {
    let admin = client::admin(&State::locate(global.state.as_deref())?)?;
    let changed = admin.lift(&LiftRequest { target: args.target.clone(), by: whoever() }).await;
    follow(&admin, changed, true, args.output).await
}

/// Says what was changed, and waits until the links have followed.
async fn follow(
    admin: &Client,
    changed: Result<Change, ClientError>,
    no_wait: bool,
    output: OutputArgs,
) -> Result<Exit, Failure> {
    let mut change = changed.map_err(|error| client::unanswered(&error))?;
    if output.output == Output::Human {
        print(&human(&change));
    }
    let waits = !no_wait && change.migration.to_move > 0;
    if waits {
        change.migration = moved(admin, &change, output.output).await?;
    }
    match output.output {
        Output::Human if waits || change.migration.stayed > 0 => print(&outcome(&change.migration, no_wait)),
        Output::Human => {}
        Output::Jsonl => print_line(&change),
        Output::Json => print_document(&Versioned::of(&change)),
    }
    Ok(Exit::Ok)
}

/// Looks until nothing is left to move, showing on stderr how far it is.
async fn moved(admin: &Client, change: &Change, output: Output) -> Result<Migration, Failure> {
    let live = output == Output::Human && std::io::stderr().is_terminal();
    let deadline = change.migration.closes_at_ms.unwrap_or_else(now_ms) + GRACE_MS;
    loop {
        let now = admin.migration().await.map_err(|error| client::unanswered(&error))?;
        // A later change has taken over: its own command follows it.
        let over = now.done || now.epoch != change.epoch || now_ms() > deadline;
        if live {
            let end = if over { "\n" } else { "" };
            eprint!("\r{} of {} links moved{end}", now.moved, now.to_move);
            let _ = std::io::stderr().flush();
        }
        if over {
            return Ok(now);
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
}

/// The change for people.
pub(super) fn human(change: &Change) -> String {
    let mut text = format!("epoch {} -> {}: {}\n", change.epoch_before, change.epoch, visible(&change.what));
    for line in &change.before {
        text.push_str(&format!("  - {}\n", visible(line)));
    }
    for line in &change.after {
        text.push_str(&format!("  + {}\n", visible(line)));
    }
    if let Some(ban) = &change.ban {
        text.push_str(&format!("  covers {}\n", ban.covers.join(", ")));
    }
    if let Some(until) = change.until_ms {
        text.push_str(&format!("  ends by itself at {}\n", time(until)));
    }
    text
}

fn outcome(migration: &Migration, no_wait: bool) -> String {
    let Migration { to_move, moved, stayed, killed, .. } = migration;
    if no_wait {
        return format!(
            "{stayed} links stay, {to_move} have to move: lockgate status shows how far they are\n"
        );
    }
    let took = migration.done_ms.map(|done| done.saturating_sub(migration.started_ms));
    let took = took.map_or_else(String::new, |ms| format!(" in {}.{:03} s", ms / 1000, ms % 1000));
    let mut text = format!("{moved} of {to_move} links moved{took}, {stayed} stayed, {killed} were cut\n");
    for waiting in &migration.waiting {
        let told = if waiting.told { "was told and has not moved" } else { "takes no notices" };
        text.push_str(&format!("  {} links of {}: {told}\n", waiting.links, visible(&waiting.agent)));
    }
    text
}
