//! `lockgate exports`: where audit records are brought, and how far.

use lockgate_admin::{ExportView, Exports, Versioned};

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
        Output::Human if exports.exports.is_empty() => {
            print("Records stay on this node. Bring them elsewhere: [[export]] in the configuration\n");
        }
        Output::Human => print(&table(&exports)),
        Output::Jsonl => exports.exports.iter().for_each(print_line),
        Output::Json => print_document(&Versioned::of(&exports)),
    }
    let well = |export: &ExportView| export.problem.is_none() && export.lost == 0;
    Ok(if exports.exports.iter().all(well) { Exit::Ok } else { Exit::Negative })
}

fn table(exports: &Exports) -> String {
    let mut table = Table::new(&["NAME", "TO", "NEXT", "BEHIND", "SENT", "LAST TAKEN", "STANDING"]);
    for export in &exports.exports {
        let standing = match (&export.problem, export.failing_since_ms, export.lost) {
            (Some(problem), Some(since), _) => format!("fails since {}: {}", time(since), visible(problem)),
            (Some(problem), None, _) => format!("fails: {}", visible(problem)),
            (None, _, 0) => "ok".to_owned(),
            (None, _, lost) => format!("{lost} records left the log unsent"),
        };
        table.row(&[
            &export.name,
            &export.to,
            &export.next_seq.to_string(),
            &export.behind.to_string(),
            &export.sent.to_string(),
            &export.sent_ms.map_or_else(|| "-".to_owned(), time),
            &standing,
        ]);
    }
    table.render(0)
}
