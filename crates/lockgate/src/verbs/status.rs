//! `lockgate status`: the running node, its servers, and the proof of each link.

use lockgate_admin::{Link, Links, Status, Upstream, Upstreams};
use serde::Serialize;

use super::identity::{now_ms, time};
use crate::cli::{Global, Output, OutputArgs, Seconds};
use crate::client;
use crate::diagnostic::Failure;
use crate::exit::Exit;
use crate::output::{Table, bytes, print, print_document, print_line, visible};
use crate::state::State;

/// Everything that `status` shows.
#[derive(Serialize)]
struct Report {
    schema: &'static str,
    node: Status,
    links: Vec<Link>,
    upstreams: Vec<Upstream>,
}

/// Runs the verb.
pub(crate) async fn run(output: OutputArgs, global: &Global) -> Result<Exit, Failure> {
    let state = State::locate(global.state.as_deref())?;
    let admin = client::admin(&state)?;
    let asked = async { tokio::try_join!(admin.status(), admin.links(), admin.upstreams()) };
    let (node, Links { links }, Upstreams { upstreams }) =
        asked.await.map_err(|error| client::unanswered(&error))?;
    let report = Report { schema: "lockgate.status-report/1", node, links, upstreams };
    match output.output {
        Output::Human => print(&human(&report)),
        Output::Jsonl => report.links.iter().for_each(print_line),
        Output::Json => print_document(&report),
    }
    Ok(Exit::Ok)
}

fn human(report: &Report) -> String {
    let node = &report.node;
    let up = now_ms().saturating_sub(node.since_ms) / 1000;
    let draining = if node.draining { ", draining" } else { "" };
    let mut text = format!("{}, up {} (since {}){draining}\n", node.node, Seconds(up), time(node.since_ms));
    for listener in &node.listeners {
        let profile = listener.profile.as_deref().unwrap_or("no tunnel");
        text.push_str(&format!("  {:10}{} under {profile}\n", listener.name, listener.url));
    }
    text.push_str(&format!(
        "  {:10}{} policies, generation {}\n  {:10}record {}, {}\n",
        "policy",
        node.policies,
        node.policy_generation,
        "audit",
        node.audit.seq,
        node.audit
            .problem
            .as_deref()
            .map_or_else(|| "writable".to_owned(), |problem| format!("BROKEN: {}", visible(problem)))
    ));
    for lost in &node.lost_forbids {
        text.push_str(&format!(
            "  {:10}{} forbids no more: lockgate explain LG-P016\n",
            "GONE",
            visible(lost)
        ));
    }
    text.push_str(&crypto(node));
    if node.threats > 0 {
        text.push_str(&format!("  {:10}{} waiting: lockgate threats list\n", "threats", node.threats));
    }
    text.push_str(&format!("\n{}\n{}", servers(&report.upstreams), links(&report.links)));
    text
}

/// The epoch, and what of the cryptography needs attention.
fn crypto(node: &Status) -> String {
    let mut text = format!("  {:10}epoch {}", "crypto", node.epoch);
    if let Some(migration) = &node.migration {
        let until = migration.closes_at_ms.map_or_else(String::new, |at| format!(", until {}", time(at)));
        text.push_str(&format!(", {} of {} links moved{until}", migration.moved, migration.to_move));
    } else if node.links_below_epoch > 0 {
        text.push_str(&format!(", {} links below it", node.links_below_epoch));
    }
    text.push('\n');
    for ban in &node.bans {
        text.push_str(&format!(
            "  {:10}{} since {}: {}\n",
            "BANNED",
            ban.target,
            time(ban.since_ms),
            visible(&ban.reason)
        ));
    }
    for ending in &node.endings {
        let last =
            ending.not_after.as_deref().map_or_else(String::new, |day| format!(", its last day is {day}"));
        text.push_str(&format!(
            "  {:10}{} is warned of{last}: lockgate crypto show\n",
            "ENDING", ending.algorithm
        ));
    }
    text
}

fn servers(upstreams: &[Upstream]) -> String {
    let mut table = Table::new(&["SERVER", "AT", "STATE"]);
    for upstream in upstreams {
        let state = match (upstream.circuit.as_str(), &upstream.last_error) {
            ("open", error) => format!(
                "left alone for {} s after failures: {}",
                upstream.retry_ms.unwrap_or(0).div_ceil(1000),
                error.as_deref().unwrap_or("unknown")
            ),
            (_, Some(error)) => format!("last failure: {error}"),
            (_, None) => match upstream.children {
                Some(children) => format!("ok, {children} processes"),
                None => format!("ok, {} connections", upstream.links.len()),
            },
        };
        table.row(&[&upstream.id, &upstream.address, &state]);
    }
    table.render(0)
}

fn links(links: &[Link]) -> String {
    let mut table = Table::new(&[
        "LINK",
        "AGENT",
        "FROM",
        "CALLS",
        "SAFE",
        "GROUP",
        "THEY SIGN",
        "WE SIGN",
        "HANDSHAKE",
        "PROFILE",
        "EPOCH",
    ]);
    for link in links {
        let posture = link.posture.as_ref();
        let part = |part: Option<&str>| part.unwrap_or("-").to_owned();
        table.row(&[
            &link.number.to_string(),
            &link.agent,
            link.peer.as_deref().unwrap_or("-"),
            &link.calls.to_string(),
            link.quantum_safe.map_or("-", |safe| if safe { "yes" } else { "NO" }),
            &part(posture.map(|posture| posture.group.as_str())),
            &part(posture.and_then(|posture| posture.peer_signature.as_deref())),
            &part(posture.and_then(|posture| posture.own_signature.as_deref())),
            &posture.map_or_else(|| "-".to_owned(), handshake),
            &part(posture.map(|posture| posture.profile.as_str())),
            &link.epoch.map_or_else(|| "-".to_owned(), |epoch| epoch.to_string()),
        ]);
    }
    if table.is_empty() { "No links now.\n".to_owned() } else { table.render(0) }
}

fn handshake(posture: &lockgate_crypto::Posture) -> String {
    let kind = if posture.resumed { "resumed" } else { "full" };
    format!(
        "{kind} {}.{} ms {}",
        posture.handshake_us / 1000,
        posture.handshake_us % 1000 / 100,
        bytes(posture.bytes_in + posture.bytes_out)
    )
}
