//! `lockgate dashboard`: a URL that is good once.

use std::process::Stdio;

use lockgate_admin::TicketRequest;
use serde::Serialize;

use super::crypto::whoever;
use crate::cli::{DashboardArgs, Global, Output};
use crate::client;
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{print, print_document};
use crate::state::{State, write_private};

/// What opens a file in the desktop's browser.
const OPENERS: [&str; 2] = ["xdg-open", "open"];

/// `lockgate.dashboard/1`.
#[derive(Serialize)]
struct Report<'a> {
    schema: &'static str,
    /// Good for one visit.
    url: &'a str,
    lifetime_s: u64,
    write: bool,
}

/// Runs the verb.
pub(crate) async fn run(args: &DashboardArgs, global: &Global) -> Result<Exit, Failure> {
    let state = State::locate(global.state.as_deref())?;
    let note = state.running()?;
    let admin = client::admin(&state)?;
    let ticket = admin.ticket(&TicketRequest { by: whoever() }).await;
    let ticket = ticket.map_err(|error| client::unanswered(&error))?;
    // Browsers send the fragment to nobody, and the page takes it out of the address bar.
    let url = format!("http://{}/#ticket={}", note.admin, ticket.ticket);
    if args.open {
        open(&state, &url)?;
    }
    match args.output.output {
        Output::Human => {
            let write = match ticket.write {
                true => "It can approve and reject what waits for a person.",
                false => "It looks and changes nothing (admin.write = false).",
            };
            print(&format!(
                "{url}\n\nGood once, for {} s. {write}\nAnother tab needs another one: lockgate dashboard\n",
                ticket.lifetime_s
            ));
        }
        Output::Json | Output::Jsonl => print_document(&Report {
            schema: "lockgate.dashboard/1",
            url: &url,
            lifetime_s: ticket.lifetime_s,
            write: ticket.write,
        }),
    }
    Ok(Exit::Ok)
}

/// Opens the URL by way of a private file: the arguments of a program can be read by everybody on the machine.
fn open(state: &State, url: &str) -> Result<(), Diagnostic> {
    let file = state.dashboard_file();
    let page = format!(
        "<!doctype html><meta charset=\"utf-8\"><meta http-equiv=\"refresh\" content=\"0;url={url}\"><title>Lockgate</title>\n"
    );
    write_private(&file, page.as_bytes())?;
    for opener in OPENERS {
        let mut command = std::process::Command::new(opener);
        command.arg(&file).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        if command.spawn().is_ok() {
            return Ok(());
        }
    }
    Err(Diagnostic::new("LG-U002", "there is no program here that opens a browser")
        .hint("copy the URL instead: lockgate dashboard"))
}
