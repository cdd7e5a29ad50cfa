//! `lockgate audit prove`: one record with its path to what was signed.

use std::path::Path;

use serde::Serialize;

use crate::cli::Output;
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{print, print_document};
use crate::state::write_private;

pub(super) fn run(folder: &Path, record: &str, out: &Path, output: Output) -> Result<Exit, Failure> {
    let seq = lockgate_audit::seq_of(record).ok_or_else(|| {
        Diagnostic::new(
            "LG-U002",
            format!("{record} is neither the number of a record nor the uid of an event"),
        )
        .hint("see them: lockgate audit tail")
    })?;
    let proof = lockgate_audit::prove(folder, seq).map_err(|error| super::unreadable(&error))?;
    let proof = proof.ok_or_else(|| {
        Diagnostic::new("LG-U002", format!("no checkpoint covers record {seq}"))
            .hint("a checkpoint is made within a second while the node runs; if there is no such record, see: lockgate audit tail")
    })?;
    write_private(out, proof.write().as_bytes())?;
    let checkpoint = &proof.signed.checkpoint;
    match output {
        Output::Human => print(&format!(
            "The proof of record {seq} is in {}.\n  log         {}\n  checkpoint  of {} leaves\nCheck it: lockgate audit verify {} --key KEY\n",
            out.display(),
            checkpoint.origin,
            checkpoint.head.size,
            out.display(),
        )),
        Output::Json | Output::Jsonl => {
            #[derive(Serialize)]
            struct Written<'a> {
                schema: &'static str,
                seq: u64,
                file: &'a Path,
                origin: &'a str,
                index: u64,
                size: u64,
            }
            print_document(&Written {
                schema: "lockgate.audit-prove/1",
                seq,
                file: out,
                origin: &checkpoint.origin,
                index: proof.index,
                size: checkpoint.head.size,
            });
        }
    }
    Ok(Exit::Ok)
}
