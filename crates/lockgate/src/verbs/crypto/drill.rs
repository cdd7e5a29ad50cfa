//! `lockgate crypto drill`: an emergency, rehearsed.

use lockgate_admin::{Drill, DrillRequest, Versioned};

use super::{change, plan, whoever};
use crate::cli::{DrillArgs, Global, Output, Seconds};
use crate::client;
use crate::diagnostic::Failure;
use crate::exit::Exit;
use crate::output::{Table, print, print_document, print_line};
use crate::state::State;

/// How long a live drill lasts if nobody says otherwise, in seconds: long enough for every link to move and back.
const LASTS_S: u64 = 60;

/// Runs the verb. Its exit code says whether anybody would be cut off, or a step failed.
pub(super) async fn run(args: &DrillArgs, global: &Global) -> Result<Exit, Failure> {
    let state = State::locate(global.state.as_deref())?;
    let lasts = args.lasts.map_or(LASTS_S, |Seconds(lasts)| lasts);
    let request = DrillRequest {
        drill: args.drill.name().to_owned(),
        live: args.live,
        for_s: args.live.then_some(lasts),
        by: whoever(),
    };
    let drill = client::admin(&state)?.drill(&request).await.map_err(|error| client::unanswered(&error))?;
    match args.output.output {
        Output::Human => print(&human(&drill)),
        Output::Jsonl => drill.steps.iter().for_each(print_line),
        Output::Json => print_document(&Versioned::of(&drill)),
    }
    let worked = drill.steps.iter().all(|step| step.ok);
    Ok(match (worked, drill.plan.refused) {
        (false, _) => Exit::Negative,
        (true, 0) => Exit::Ok,
        (true, _) => Exit::Refused,
    })
}

fn human(drill: &Drill) -> String {
    let mut text = format!("drill {} under {}\n\n", drill.drill, drill.profile);
    let mut table = Table::new(&["STEP", "", "TOOK", "WHAT CAME OF IT"]);
    for step in &drill.steps {
        let outcome = if step.ok { "ok" } else { "FAILED" };
        table.row(&[&step.step, outcome, &plan::milliseconds(step.took_us), &step.detail]);
    }
    text.push_str(&table.render(0));
    text.push_str(&format!("\n{}", plan::human(&drill.plan)));
    if let Some(changed) = &drill.change {
        text.push_str(&format!("\n{}end it before: lockgate crypto rollback\n", change::human(changed)));
    }
    text
}
