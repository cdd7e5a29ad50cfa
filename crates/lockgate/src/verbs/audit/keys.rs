//! `lockgate audit key`: the public halves of the keys that sign the log.

use serde::Serialize;

use crate::audit_keys::{self, KeyList};
use crate::cli::Output;
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{print, print_document};
use crate::state::State;

pub(super) fn run(state: &State, rotate: bool, output: Output) -> Result<Exit, Failure> {
    let list =
        if rotate { rotated(state)? } else { KeyList::read(state)?.ok_or_else(audit_keys::none_yet)? };
    #[derive(Serialize)]
    struct Keys<'a> {
        schema: &'static str,
        name: &'a str,
        active: &'a [String],
        retired: &'a [String],
        rotating: bool,
    }
    match output {
        Output::Human if rotate => {
            print("New keys sign from the next start on, and the old ones vouch for them once: lockgate up\n")
        }
        Output::Human => list.active.iter().for_each(|key| print(&format!("{key}\n"))),
        Output::Json | Output::Jsonl => print_document(&Keys {
            schema: "lockgate.audit-key/1",
            name: &list.name,
            active: &list.active,
            retired: &list.retired,
            rotating: rotate,
        }),
    }
    Ok(Exit::Ok)
}

/// A running node has its keys in memory, and would not see that others took their place.
fn rotated(state: &State) -> Result<KeyList, Diagnostic> {
    state.create()?;
    let _lock = state.lock()?;
    audit_keys::rotate(state)
}
