//! `lockgate audit query`: records that match, the newest first.

use std::io::IsTerminal as _;
use std::path::Path;

use jiff::Timestamp;
use lockgate_admin::{AuditFound, Versioned};
use lockgate_audit::Entry;
use lockgate_audit::query::{Found, Search};
use serde_json::value::RawValue;

use super::{present, table, unreadable};
use crate::cli::{Output, QueryArgs};
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{print, print_document};
use crate::question;
use crate::state::State;

pub(super) fn run(args: &QueryArgs, state: &State) -> Result<Exit, Failure> {
    let folder = args.dir.clone().unwrap_or_else(|| state.audit());
    present(&folder)?;
    let query = question::query(&args.question(), Timestamp::now()).map_err(|error| {
        Diagnostic::new("LG-U002", error).hint("see what can be asked: lockgate audit query --help")
    })?;
    let search = search(args, &folder);
    if std::io::stderr().is_terminal() && !folder.join("index").is_dir() {
        eprintln!("There is no index of this log yet; all of it is read.");
    }
    let mut lines = Vec::new();
    let streams = args.raw || args.output.output == Output::Jsonl;
    let found = search.run(&query, &mut |line| {
        let line = String::from_utf8_lossy(line);
        match (args.raw, streams) {
            (true, _) => print(&format!("{line}\n")),
            (false, true) => flat(&line).iter().for_each(|line| print(&format!("{line}\n"))),
            (false, false) => lines.extend(flat(&line)),
        }
    });
    let found = found.map_err(|error| unreadable(&error))?;
    if !streams {
        match args.output.output {
            Output::Json => print_document(&Versioned::of(&document(lines, &found))),
            _ if lines.is_empty() => print("No record matches.\n"),
            _ => print(&table(&lines)),
        }
    }
    remarks(&found, &folder);
    Ok(Exit::Ok)
}

fn search(args: &QueryArgs, folder: &Path) -> Search {
    let search = Search::of(folder);
    match (args.scan, args.dir.is_none() || args.keep_index) {
        (true, _) => search.by_scan(),
        (false, true) => search.keeping(),
        // A copy is evidence: nothing is written beside it unless asked for.
        (false, false) => search,
    }
}

fn flat(line: &str) -> Option<String> {
    Entry::parse(line).ok().map(|entry| entry.flat())
}

/// The answer as a document.
pub(crate) fn document(lines: Vec<String>, found: &Found) -> AuditFound {
    let Found { records: _, read, unreadable, damaged, unindexed, next_before, is_late } = found.clone();
    let records = lines.into_iter().filter_map(|line| RawValue::from_string(line).ok()).collect();
    AuditFound { records, next_before, is_late, read, unindexed, unreadable, damaged }
}

/// What whoever reads the records has to know, on stderr.
fn remarks(found: &Found, folder: &Path) {
    if let Some(before) = found.next_before {
        eprintln!("There may be more: add --before {before}, or --all");
    }
    if !found.damaged.is_empty() {
        let files = found.damaged.join(", ");
        eprintln!(
            "The index did not hold in {files}; the log itself was read instead, so the answer is whole."
        );
    }
    if found.unreadable > 0 {
        eprintln!(
            "{} lines of the log are no records: see what is wrong with it: lockgate audit verify {}",
            found.unreadable,
            folder.display()
        );
    }
}
