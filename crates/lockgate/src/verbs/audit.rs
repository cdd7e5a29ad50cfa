//! `lockgate audit …`: the record of calls, read from its files. No node needs to run.

use std::path::Path;

use lockgate_audit::AuditError;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::cli::{AuditVerb, Global, Output};
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{Table, print, print_document, visible};
use crate::state::State;

mod keys;
mod prove;
pub(crate) mod query;
mod verify;
mod witness;

/// Runs the verb.
pub(crate) fn run(verb: &AuditVerb, global: &Global) -> Result<Exit, Failure> {
    match verb {
        AuditVerb::Tail { lines, follow, raw, output } => {
            let folder = State::locate(global.state.as_deref())?.audit();
            present(&folder)?;
            match (*follow, *raw) {
                (true, _) => follow_log(&folder, *lines, *raw, output.output),
                (false, true) => tail_raw(&folder, *lines),
                (false, false) => tail(&folder, *lines, output.output),
            }
        }
        AuditVerb::Query(args) => query::run(args, &State::locate(global.state.as_deref())?),
        AuditVerb::Witness(output) => witness::run(&State::locate(global.state.as_deref())?, output.output),
        AuditVerb::Verify { path, from, to, keys, witnesses, quorum, seen, output } => {
            let asked = verify::Asked {
                path: path.as_deref(),
                from: *from,
                to: *to,
                keys,
                witnesses,
                quorum: *quorum,
                seen,
            };
            verify::run(&asked, &State::locate(global.state.as_deref())?, output.output)
        }
        AuditVerb::Prove { record, out, dir, output } => {
            let folder = match dir {
                Some(folder) => folder.clone(),
                None => State::locate(global.state.as_deref())?.audit(),
            };
            present(&folder)?;
            prove::run(&folder, record, out, output.output)
        }
        AuditVerb::Subject(_) | AuditVerb::Hold(_) | AuditVerb::Retention(_) => {
            unreachable!("these verbs wait for a node or a disk, and have a place of their own")
        }
        AuditVerb::Key { rotate, output } => {
            keys::run(&State::locate(global.state.as_deref())?, *rotate, output.output)
        }
    }
}

/// What of a record a line of the table shows.
#[derive(Deserialize)]
struct Shown {
    #[serde(default)]
    seq: u64,
    #[serde(default)]
    time: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    outcome: String,
    stage: Option<String>,
    agent: Option<String>,
    server: Option<String>,
    method: Option<String>,
    name: Option<String>,
    reason: Option<String>,
    quantum_safe: Option<bool>,
    duration_us: Option<u64>,
}

fn present(folder: &Path) -> Result<(), Diagnostic> {
    if folder.is_dir() {
        return Ok(());
    }
    Err(Diagnostic::new("LG-U002", format!("there is no audit log in {}", folder.display()))
        .hint("a node writes one when it starts: lockgate up")
        .hint("if it runs with another state directory, name it: --state DIR"))
}

fn tail(folder: &Path, lines: usize, output: Output) -> Result<Exit, Failure> {
    let lines = lockgate_audit::tail(folder, lines).map_err(|error| unreadable(&error))?;
    let lines = lockgate_audit::flat(&lines);
    match output {
        Output::Human => print(&table(&lines)),
        Output::Jsonl => lines.iter().for_each(|line| print(&format!("{line}\n"))),
        Output::Json => {
            #[derive(Serialize)]
            struct All {
                schema: &'static str,
                records: Vec<Box<RawValue>>,
            }
            let records = lines.into_iter().filter_map(|line| RawValue::from_string(line).ok()).collect();
            print_document(&All { schema: "lockgate.audit-tail/1", records });
        }
    }
    Ok(Exit::Ok)
}

/// The lines as they stand in the log, and as they were signed.
fn tail_raw(folder: &Path, lines: usize) -> Result<Exit, Failure> {
    let lines = lockgate_audit::tail(folder, lines).map_err(|error| unreadable(&error))?;
    lines.iter().for_each(|line| print(&format!("{line}\n")));
    Ok(Exit::Ok)
}

fn follow_log(folder: &Path, lines: usize, raw: bool, output: Output) -> Result<Exit, Failure> {
    let mut follow = lockgate_audit::follow(folder, lines).map_err(|error| unreadable(&error))?;
    loop {
        let lines = follow.next_lines().map_err(|error| unreadable(&error))?;
        let lines = if raw { lines } else { lockgate_audit::flat(&lines) };
        match output {
            Output::Human if !raw => lines.iter().for_each(|line| print(&format!("{}\n", sentence(line)))),
            // A document never ends while the log grows, so that both forms are lines.
            _ => lines.iter().for_each(|line| print(&format!("{line}\n"))),
        }
    }
}

fn table(lines: &[String]) -> String {
    let mut table =
        Table::new(&["SEQ", "TIME", "KIND", "OUTCOME", "AGENT", "WHAT", "QUANTUM-SAFE", "MS", "WHY"]);
    for line in lines {
        let Ok(record) = serde_json::from_str::<Shown>(line) else {
            table.row(&["?", "", "", "", "", line]);
            continue;
        };
        table.row(&[
            &record.seq.to_string(),
            record.time.get(..19).unwrap_or(&record.time),
            &record.kind,
            &outcome(&record),
            record.agent.as_deref().unwrap_or("-"),
            &what(&record),
            record.quantum_safe.map_or("-", |safe| if safe { "yes" } else { "NO" }),
            &record.duration_us.map_or_else(|| "-".to_owned(), milliseconds),
            record.reason.as_deref().unwrap_or(""),
        ]);
    }
    if table.is_empty() { "The log is empty.\n".to_owned() } else { table.render(0) }
}

/// One record as a line without columns, since the widths of what is to come are not known.
fn sentence(line: &str) -> String {
    let Ok(record) = serde_json::from_str::<Shown>(line) else { return visible(line) };
    let why = record.reason.as_deref().map_or_else(String::new, |reason| format!(": {reason}"));
    let agent = record.agent.as_deref().unwrap_or("-");
    let text =
        format!("{} {} {} {} by {agent}{why}", record.time, outcome(&record), record.kind, what(&record));
    visible(&text)
}

fn outcome(record: &Shown) -> String {
    match (&record.stage, record.outcome.as_str()) {
        (Some(stage), "refused" | "failed") => format!("{} at {stage}", record.outcome),
        _ => record.outcome.clone(),
    }
}

fn what(record: &Shown) -> String {
    let parts = [record.server.as_deref(), record.method.as_deref(), record.name.as_deref()];
    let what: Vec<&str> = parts.into_iter().flatten().collect();
    if what.is_empty() { "-".to_owned() } else { what.join(" ") }
}

fn milliseconds(us: u64) -> String {
    format!("{}.{}", us / 1000, us % 1000 / 100)
}

pub(crate) fn unreadable(error: &AuditError) -> Diagnostic {
    Diagnostic::new("LG-A002", "the audit log cannot be read")
        .because(error)
        .hint("check owner and mode of its folder")
}
