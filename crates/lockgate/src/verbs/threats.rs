//! `lockgate threats …`: what detection holds back until a person has looked at it.

use lockgate_admin::{Threat, Threats, Versioned};

use super::identity::time;
use crate::cli::{Global, Output, ThreatsVerb};
use crate::client;
use crate::diagnostic::Failure;
use crate::exit::Exit;
use crate::output::{fold, print, print_document, print_line, visible};
use crate::state::State;

/// Runs the verb.
pub(crate) async fn run(verb: &ThreatsVerb, global: &Global) -> Result<Exit, Failure> {
    let state = State::locate(global.state.as_deref())?;
    let admin = client::admin(&state)?;
    match verb {
        ThreatsVerb::List(output) => {
            let threats = admin.threats().await.map_err(|error| client::unanswered(&error))?;
            list(&threats, output.output);
        }
        ThreatsVerb::Approve { id, output } => {
            let approval = admin.approve_threat(id).await.map_err(|error| client::unanswered(&error))?;
            match output.output {
                Output::Human => print(&format!(
                    "{} of server {} can be used again, with the definition {}.\n",
                    visible(&approval.tool),
                    visible(&approval.server),
                    approval.hash
                )),
                Output::Json | Output::Jsonl => print_line(&Versioned::of(&approval)),
            }
        }
    }
    Ok(Exit::Ok)
}

fn list(threats: &Threats, output: Output) {
    match output {
        Output::Human if threats.threats.is_empty() => print("Nothing waits for approval.\n"),
        Output::Human => threats.threats.iter().for_each(|threat| print(&describe(threat))),
        Output::Jsonl => threats.threats.iter().for_each(print_line),
        Output::Json => print_document(&Versioned::of(threats)),
    }
}

fn describe(threat: &Threat) -> String {
    let mut text = format!(
        "{}  tool {} of server {}, since {}\n",
        threat.id,
        visible(&threat.tool),
        visible(&threat.server),
        time(threat.first_seen_ms)
    );
    for finding in &threat.findings {
        text.push_str(&format!("  {} ({}): {}\n", finding.id, finding.severity, visible(&finding.reason)));
        if !finding.evidence.is_empty() {
            text.push_str(&fold(&visible(&finding.evidence), 4, 100));
        }
    }
    for change in &threat.changes {
        text.push_str(&format!("    {}\n", visible(change)));
    }
    text.push_str(&format!("  now: {}\n", visible(&threat.definition)));
    text.push_str(&format!("  approve it: lockgate threats approve {}\n\n", threat.id));
    text
}
