//! `lockgate audit witness`: what this node witnesses, and who witnesses it.

use jiff::Timestamp;
use lockgate_audit::witness::{Witness, Witnessed};
use serde::Serialize;

use super::unreadable;
use crate::cli::Output;
use crate::diagnostic::Failure;
use crate::exit::Exit;
use crate::output::{Table, print, print_document, print_line, visible};
use crate::state::State;
use crate::witnesses::{Asked, Standing};

#[derive(Serialize)]
struct Shown {
    schema: &'static str,
    /// Logs of others, as far as this node cosigned them.
    witnessed: Vec<Witnessed>,
    /// Files of what was cosigned that are not what this node wrote: it vouches for nothing of their logs any more.
    damaged: Vec<String>,
    /// Logs that showed two histories: how many times that was kept as evidence.
    forks: usize,
    /// How many witnesses have to cosign this node's log.
    quorum: usize,
    /// Who is asked to.
    witnesses: Vec<Asked>,
}

/// Exit code 1 if a witness has a problem or a file is damaged.
pub(super) fn run(state: &State, output: Output) -> Result<Exit, Failure> {
    let folder = state.witness();
    let (witnessed, damaged) = Witness::list(&folder).map_err(|error| unreadable(&error))?;
    let damaged: Vec<String> = damaged.into_iter().map(|path| path.display().to_string()).collect();
    let forks = std::fs::read_dir(folder.join("forks")).map_or(0, |entries| entries.count());
    let (quorum, witnesses) =
        Standing::read(state).map_or((0, Vec::new()), |standing| (standing.quorum, standing.witnesses));
    let is_good =
        damaged.is_empty() && forks == 0 && witnesses.iter().all(|witness| witness.problem.is_none());
    let shown = Shown { schema: "lockgate.audit-witness/1", witnessed, damaged, forks, quorum, witnesses };
    match output {
        Output::Human => print(&human(&shown)),
        Output::Json => print_document(&shown),
        Output::Jsonl => print_line(&shown),
    }
    Ok(if is_good { Exit::Ok } else { Exit::Negative })
}

fn human(shown: &Shown) -> String {
    let mut text = String::new();
    if shown.witnesses.is_empty() {
        text.push_str(
            "Nobody witnesses this log: name witnesses in [[audit.witness]] of the configuration.\n",
        );
    } else {
        text.push_str(&format!(
            "This log is witnessed by {}, of whom {} must cosign:\n",
            shown.witnesses.len(),
            shown.quorum
        ));
        let mut table = Table::new(&["WITNESS", "LEAVES", "COSIGNED", "PROBLEM"]);
        for asked in &shown.witnesses {
            let size = asked.size.map_or_else(|| "-".to_owned(), |size| size.to_string());
            let problem = asked.problem.as_deref().unwrap_or("-");
            table.row(&[&asked.name, &size, &time(asked.time_s), problem]);
        }
        text.push_str(&table.render(2));
    }
    if shown.witnessed.is_empty() {
        text.push_str(
            "This node witnesses no log: name the keys of logs in [witness] of the configuration.\n",
        );
    } else {
        text.push_str("This node witnesses:\n");
        let mut table = Table::new(&["LOG", "LEAVES", "COSIGNED"]);
        for log in &shown.witnessed {
            table.row(&[&log.origin, &log.size.to_string(), &time(log.time_s)]);
        }
        text.push_str(&table.render(2));
    }
    for path in &shown.damaged {
        text.push_str(&format!("DAMAGED: {}\n", visible(path)));
    }
    if shown.forks > 0 {
        text.push_str(&format!(
            "{} TIMES a log showed two histories; both signed checkpoints are kept in witness/forks of the state directory.\n",
            shown.forks
        ));
    }
    text
}

fn time(time_s: Option<u64>) -> String {
    let at = time_s.and_then(|time| Timestamp::from_second(i64::try_from(time).ok()?).ok());
    at.map_or_else(|| "-".to_owned(), |at| at.to_string())
}
