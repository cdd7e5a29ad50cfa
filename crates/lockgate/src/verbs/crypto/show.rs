//! `lockgate crypto show`: what is in force, where, and why.

use lockgate_admin::{BanView, CryptoShow, EndingView, PeerUse, Place, PlaceKind, Versioned};

use crate::cli::{Global, Output};
use crate::client;
use crate::diagnostic::Failure;
use crate::exit::Exit;
use crate::output::{Table, fold_list, print, print_document, print_line, visible};
use crate::state::State;
use crate::verbs::identity::time;

/// Width of folded lists, and where they begin.
const WIDTH: usize = 100;
const COLUMN: usize = 20;

/// Runs the verb.
pub(super) async fn run(effective: bool, output: Output, global: &Global) -> Result<Exit, Failure> {
    let state = State::locate(global.state.as_deref())?;
    let show = client::admin(&state)?.crypto().await.map_err(|error| client::unanswered(&error))?;
    match output {
        Output::Human => print(&human(&show, effective)),
        Output::Jsonl => show.places.iter().for_each(print_line),
        Output::Json => print_document(&Versioned::of(&show)),
    }
    Ok(Exit::Ok)
}

fn human(show: &CryptoShow, effective: bool) -> String {
    let mut text = format!("epoch {}\n", show.epoch);
    if let Some(document) = &show.document {
        text.push_str(&format!(
            "document {} number {}, signed by {}\n",
            visible(&document.file),
            document.epoch,
            &document.signer[..document.signer.len().min(16)]
        ));
    }
    if let Some(rollback) = &show.rollback {
        text.push_str(&format!("rollback would bring back: {}\n", visible(rollback)));
    }
    text.push_str(&format!("\n{}", places(&show.places)));
    if effective {
        show.places.iter().for_each(|place| text.push_str(&in_force(place)));
    } else {
        text.push_str("\nEach algorithm in force, and what was left out: lockgate crypto show --effective\n");
    }
    if !show.peers.is_empty() {
        text.push_str(&format!("\n{}", peers(&show.peers)));
    }
    if !show.bans.is_empty() {
        text.push_str(&format!("\n{}", bans(&show.bans)));
    }
    if !show.endings.is_empty() {
        text.push_str(&format!("\n{}", endings(&show.endings)));
    }
    text
}

pub(super) fn kind(kind: PlaceKind) -> &'static str {
    match kind {
        PlaceKind::Listener => "listener",
        PlaceKind::Upstream => "upstream",
        PlaceKind::Exception => "exception",
    }
}

fn places(places: &[Place]) -> String {
    let mut table = Table::new(&["WHERE", "NAME", "PROFILE", "SINCE EPOCH", "UNTIL", "WHY"]);
    for place in places {
        let until = place.until_ms.map_or_else(|| "-".to_owned(), time);
        let epoch = place.epoch.to_string();
        table.row(&[kind(place.kind), &place.name, &place.profile, &epoch, &until, &place.why]);
    }
    table.render(0)
}

fn in_force(place: &Place) -> String {
    let mut text = format!("\n{} {}: {}\n", kind(place.kind), visible(&place.name), place.profile);
    let mut list = |what: &str, ids: &[String]| text.push_str(&fold_list(what, COLUMN, ids, WIDTH));
    list("groups", &place.groups);
    list("signatures", &place.signatures);
    list("ciphers", &place.ciphers);
    list("own certificates", &place.identities);
    let providers: Vec<_> =
        place.providers.iter().map(|view| format!("{} by {}", view.algorithm, view.provider)).collect();
    list("implementations", &providers);
    for left in &place.left_out {
        let why = format!("{}: {}", left.algorithm, visible(&left.why));
        text.push_str(&fold_list("left out", COLUMN, &[why], WIDTH));
    }
    text
}

fn peers(peers: &[PeerUse]) -> String {
    let mut table =
        Table::new(&["PEER", "LINKS", "LAST SEEN", "GROUP", "THEY SIGN", "FOLLOWS", "GROUPS THEY OFFERED"]);
    for peer in peers {
        let posture = peer.posture.as_ref();
        let offered = peer.capabilities.as_ref().map(|offered| offered.groups.join(" "));
        table.row(&[
            &peer.agent,
            &peer.live_links.to_string(),
            &time(peer.last_seen_ms),
            posture.map_or("-", |posture| &posture.group),
            posture.and_then(|posture| posture.peer_signature.as_deref()).unwrap_or("-"),
            peer.following.as_deref().unwrap_or("-"),
            offered.as_deref().unwrap_or("-"),
        ]);
    }
    table.render(0)
}

pub(super) fn bans(bans: &[BanView]) -> String {
    let mut table = Table::new(&["BANNED", "SINCE", "BY", "COVERS", "REASON"]);
    for ban in bans {
        let by = if ban.signed { "the signed document" } else { &ban.by };
        table.row(&[&ban.target, &time(ban.since_ms), by, &ban.covers.join(" "), &ban.reason]);
    }
    table.render(0)
}

fn endings(endings: &[EndingView]) -> String {
    let mut table = Table::new(&["ENDING", "WARNED AFTER", "LAST DAY", "TODAY"]);
    for ending in endings {
        table.row(&[
            &ending.algorithm,
            ending.warn_after.as_deref().unwrap_or("-"),
            ending.not_after.as_deref().unwrap_or("-"),
            &ending.phase,
        ]);
    }
    table.render(0)
}
