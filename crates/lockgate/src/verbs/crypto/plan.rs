//! `lockgate crypto plan`: what a change of profile would do, without doing it.

use lockgate_admin::{
    CapabilitiesView, PlaceKind, Plan, PlanRequest, PlannedCost, PlannedPlace, Scope, Verdict, Versioned,
};

use super::show::kind;
use crate::cli::{Global, Output, PlanArgs, ScopeArgs};
use crate::client;
use crate::config::TUNNEL;
use crate::diagnostic::Failure;
use crate::exit::Exit;
use crate::output::{Table, bytes, print, print_document, print_line};
use crate::state::State;

/// Runs the verb. Its exit code says whether anybody would be cut off.
pub(super) async fn run(args: &PlanArgs, global: &Global) -> Result<Exit, Failure> {
    let state = State::locate(global.state.as_deref())?;
    let request = PlanRequest { profile: args.profile.clone(), scope: scope(&args.scope) };
    let plan = client::admin(&state)?.plan(&request).await.map_err(|error| client::unanswered(&error))?;
    match args.output.output {
        Output::Human => print(&human(&plan)),
        Output::Jsonl => plan.links.iter().for_each(print_line),
        Output::Json => print_document(&Versioned::of(&plan)),
    }
    Ok(if plan.refused == 0 { Exit::Ok } else { Exit::Refused })
}

pub(super) fn scope(args: &ScopeArgs) -> Scope {
    Scope { listeners: args.listeners.clone(), upstreams: args.upstreams.clone(), peers: args.peers.clone() }
}

/// The plan for people.
pub(super) fn human(plan: &Plan) -> String {
    let mut text = String::new();
    for place in &plan.places {
        text.push_str(&format!("{} {}: {} -> {}\n", kind(place.kind), place.name, place.from, place.to));
    }
    text.push_str(&format!(
        "{} may stay, {} would move to a new link, {} would be cut off\n",
        plan.stays, plan.moves, plan.refused
    ));
    let links = peers(plan);
    if !links.is_empty() {
        text.push_str(&format!("\n{}", links.render(0)));
    }
    if !plan.certificates.is_empty() {
        let mut table = Table::new(&["CERTIFICATE", "OF", "NOW", "THEN"]);
        for certificate in &plan.certificates {
            let from = certificate.from.as_deref().unwrap_or("-");
            table.row(&[&certificate.role, &certificate.name, from, &certificate.to]);
        }
        text.push_str(&format!("\n{}", table.render(0)));
    }
    if needs_new_roots_by_hand(plan) {
        text.push_str(
            "\nConnectors take the new root in band. Clients that were given a file of roots need the new one first:\n\
             lockgate identity show names it.\n",
        );
    }
    if !plan.costs.is_empty() {
        text.push_str(&format!("\n{}", costs(&plan.costs)));
    }
    text.push_str(match plan.refused {
        0 => "\nDo it: lockgate crypto apply ",
        _ => "\nDo it all the same: lockgate crypto apply --cut-off ",
    });
    text.push_str(&format!("{}\n", plan.profile));
    text
}

/// Whether a listener for clients without a connector would present certificates of a root that does not exist yet.
fn needs_new_roots_by_hand(plan: &Plan) -> bool {
    let foreign = |place: &PlannedPlace| place.kind == PlaceKind::Listener && place.name != TUNNEL;
    plan.certificates.iter().any(|certificate| certificate.role == "root") && plan.places.iter().any(foreign)
}

fn peers(plan: &Plan) -> Table {
    let mut table = Table::new(&["VERDICT", "LINK", "PEER", "NEW LINK BY", "WHY", "OFFERED LAST"]);
    let foreseen = |view: Option<&lockgate_admin::ForeseenView>| {
        view.map_or_else(|| "-".to_owned(), |seen| format!("{}, {}", seen.group, seen.signature))
    };
    for link in &plan.links {
        table.row(&[
            verdict(link.verdict),
            &link.number.to_string(),
            &link.agent,
            &foreseen(link.foreseen.as_ref()),
            &why(&link.why),
            &offered(link.capabilities.as_ref()),
        ]);
    }
    for peer in &plan.peers {
        table.row(&[
            verdict(peer.verdict),
            "-",
            &peer.agent,
            &foreseen(peer.foreseen.as_ref()),
            &why(&peer.why),
            &offered(peer.capabilities.as_ref()),
        ]);
    }
    table
}

fn verdict(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Stays => "stays",
        Verdict::Moves => "moves",
        Verdict::Refused => "CUT OFF",
    }
}

fn why(reasons: &[String]) -> String {
    // What to do about it is the same for all of them, and too long for a table; JSON has it.
    let short: Vec<_> = reasons.iter().map(|why| why.split("; next:").next().unwrap_or(why)).collect();
    if short.is_empty() { "-".to_owned() } else { short.join("; ") }
}

fn offered(capabilities: Option<&CapabilitiesView>) -> String {
    capabilities.map_or_else(|| "unknown".to_owned(), |offered| offered.groups.join(" "))
}

fn costs(costs: &[PlannedCost]) -> String {
    let mut table =
        Table::new(&["FULL HANDSHAKE", "", "GROUP", "SIGNATURE", "UP", "DOWN", "CLIENT", "SERVER"]);
    for cost in costs {
        for (when, view) in [("now", &cost.before), ("then", &cost.after)] {
            table.row(&[
                if when == "now" { &cost.place } else { "" },
                when,
                &view.group,
                &view.signature,
                &bytes(view.bytes_up),
                &bytes(view.bytes_down),
                &milliseconds(view.client_us),
                &milliseconds(view.server_us),
            ]);
        }
    }
    table.render(0)
}

/// Microseconds as milliseconds with two decimals.
pub(super) fn milliseconds(micros: u64) -> String {
    format!("{}.{:02} ms", micros / 1000, micros % 1000 / 10)
}
