//! `lockgate exports`: where audit records are brought, and how far.

use lockgate_admin::{ExportView, Exports, TelemetryView, Versioned};

use super::identity::time;
use crate::cli::{Global, Output, OutputArgs};
use crate::client;
use crate::diagnostic::Failure;
use crate::exit::Exit;
use crate::output::{Table, print, print_document, print_line, visible};
use crate::state::State;

/// Runs the verb. Exit code 1 while an export fails or has lost records: a check can rest on it.
pub(crate) async fn run(args: &OutputArgs, global: &Global) -> Result<Exit, Failure> {
    let state = State::locate(global.state.as_deref())?;
    let exports = client::admin(&state)?.exports().await.map_err(|error| client::unanswered(&error))?;
    match args.output {
        Output::Human => {
            match exports.exports.is_empty() {
                true => print(
                    "Records stay on this node. Bring them elsewhere: [[export]] in the configuration\n",
                ),
                false => print(&table(&exports)),
            }
            if !exports.telemetry.is_empty() {
                print(&format!("\n{}", telemetry(&exports)));
            }
        }
        Output::Jsonl => exports.exports.iter().for_each(print_line),
        Output::Json => print_document(&Versioned::of(&exports)),
    }
    let well = |export: &ExportView| export.problem.is_none() && export.lost == 0;
    // Telemetry may lose something: that it fails is what a check should tell.
    let flows = |telemetry: &TelemetryView| telemetry.problem.is_none();
    let is_well = exports.exports.iter().all(well) && exports.telemetry.iter().all(flows);
    Ok(if is_well { Exit::Ok } else { Exit::Negative })
}

fn table(exports: &Exports) -> String {
    let mut table = Table::new(&["NAME", "TO", "NEXT", "BEHIND", "SENT", "LAST TAKEN", "STANDING"]);
    for export in &exports.exports {
        let lost = || format!("{} records left the log unsent", export.lost);
        table.row(&[
            &export.name,
            &export.to,
            &export.next_seq.to_string(),
            &export.behind.to_string(),
            &export.sent.to_string(),
            &export.sent_ms.map_or_else(|| "-".to_owned(), time),
            &standing(export.problem.as_deref(), export.failing_since_ms)
                .unwrap_or_else(|| if export.lost == 0 { "ok".to_owned() } else { lost() }),
        ]);
    }
    table.render(0)
}

fn telemetry(exports: &Exports) -> String {
    let mut table = Table::new(&["TELEMETRY", "TO", "SENT", "LOST", "LAST TAKEN", "STANDING"]);
    for telemetry in &exports.telemetry {
        table.row(&[
            &telemetry.kind,
            &telemetry.to,
            &telemetry.sent.to_string(),
            &telemetry.lost.to_string(),
            &telemetry.sent_ms.map_or_else(|| "-".to_owned(), time),
            &standing(telemetry.problem.as_deref(), telemetry.failing_since_ms)
                .unwrap_or_else(|| "ok".to_owned()),
        ]);
    }
    table.render(0)
}

/// What is wrong, if something is.
fn standing(problem: Option<&str>, since_ms: Option<u64>) -> Option<String> {
    let problem = visible(problem?);
    Some(match since_ms {
        Some(since) => format!("fails since {}: {problem}", time(since)),
        None => format!("fails: {problem}"),
    })
}
