//! `lockgate audit verify`: a whole log, a range of it, or one proof.

use std::fs;
use std::path::{Path, PathBuf};

use lockgate_audit::tlog::checkpoint::Signed;
use lockgate_audit::tlog::proof::Proof;
use lockgate_audit::witness::{Seen, is_not_before};
use lockgate_audit::{AuditError, Checks, Report, verify_with};
use lockgate_crypto::note::NoteKey;
use serde::Serialize;
use serde_json::value::RawValue;

use super::{present, unreadable};
use crate::audit_keys::KeyList;
use crate::cli::Output;
use crate::config;
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{print, print_document, visible};
use crate::state::State;
use crate::witnesses::Standing;

/// What is to be checked, and against what.
pub(super) struct Asked<'a> {
    pub(super) path: Option<&'a Path>,
    pub(super) from: Option<u64>,
    pub(super) to: Option<u64>,
    pub(super) keys: &'a [String],
    pub(super) witnesses: &'a [String],
    pub(super) quorum: Option<usize>,
    pub(super) seen: &'a [PathBuf],
}

pub(super) fn run(asked: &Asked<'_>, state: &State, output: Output) -> Result<Exit, Failure> {
    let mut keys = Vec::new();
    for key in asked.keys {
        keys.extend(read_keys(key)?);
    }
    let folder = match asked.path {
        Some(path) if path.is_file() => {
            let vouching = vouching(asked, path, state)?;
            return proof(path, (&keys, vouching), output);
        }
        Some(path) => path.to_owned(),
        None => state.audit(),
    };
    present(&folder)?;
    // The keys of this machine are those of its own log.
    if keys.is_empty() && folder == state.audit() {
        keys = KeyList::read(state)?.map(|list| list.active(state)).transpose()?.unwrap_or_default();
    }
    let seen = asked.seen.iter().map(|path| read_checkpoint(path)).collect::<Result<Vec<_>, _>>()?;
    let mut seen = seen;
    if folder == state.audit() {
        seen.extend(seen_by_peers(&folder, &keys, state));
    }
    let (witnesses, quorum) = vouching(asked, &folder, state)?;
    let checks =
        Checks { keys: &keys, seen: &seen, witnesses: &witnesses, quorum, from: asked.from, to: asked.to };
    let report = verify_with(&folder, &checks).map_err(|error| broken(&error))?;
    match output {
        Output::Human => print(&sentences(&report, keys.len())),
        Output::Json | Output::Jsonl => {
            #[derive(Serialize)]
            struct Whole {
                schema: &'static str,
                keys: usize,
                #[serde(flatten)]
                report: Report,
            }
            print_document(&Whole { schema: "lockgate.audit-verify/1", keys: keys.len(), report });
        }
    }
    Ok(Exit::Ok)
}

/// What peers showed of this node's own log, as far as these keys signed it.
fn seen_by_peers(folder: &Path, keys: &[NoteKey], state: &State) -> Vec<Signed> {
    let mut seen = Seen::at(&state.witness().join("seen")).all().unwrap_or_default();
    seen.retain(|seen| is_not_before(folder, seen) && keys.iter().all(|key| seen.verify(key).is_ok()));
    seen
}

/// The keys of witnesses, and how many of these must have cosigned.
fn vouching(asked: &Asked<'_>, folder: &Path, state: &State) -> Result<(Vec<NoteKey>, usize), Diagnostic> {
    let mut keys = Vec::new();
    for key in asked.witnesses {
        keys.extend(read_keys(key)?);
    }
    let is_own = folder == state.audit();
    if keys.is_empty() && is_own {
        keys = Standing::read(state).map(|standing| standing.keys()).unwrap_or_default();
    }
    if keys.is_empty() && asked.quorum.is_some_and(|quorum| quorum > 0) {
        let what = "a quorum is of witnesses, and none is known";
        return Err(Diagnostic::new("LG-U002", what).hint("name their keys: --witness KEY or --witness FILE"));
    }
    let least = usize::from(!asked.witnesses.is_empty());
    Ok((keys, asked.quorum.unwrap_or(least)))
}

fn broken(error: &AuditError) -> Diagnostic {
    match error {
        AuditError::Broken(found) => Diagnostic::new("LG-A001", format!("record {}: {}", found.seq, found.what))
            .at(if found.line == 0 {
                found.file.display().to_string()
            } else {
                format!("{}:{}", found.file.display(), found.line)
            })
            .hint("keep the files as evidence and compare them with your backup; what comes before this place holds"),
        AuditError::Tlog(_) => {
            Diagnostic::new("LG-A004", "a checkpoint that was given is not one of this log").because(error)
        }
        error => unreadable(error),
    }
}

/// A verifier key, or the file that has one a line.
fn read_keys(given: &str) -> Result<Vec<NoteKey>, Diagnostic> {
    config::read_keys(given, Path::new("")).map_err(|error| {
        Diagnostic::new("LG-U002", format!("{given} is neither a verifier key nor a file with some"))
            .cause(error)
            .hint("the log's owner prints them: lockgate audit key")
    })
}

fn read_checkpoint(path: &Path) -> Result<Signed, Diagnostic> {
    let wrong = |error: &dyn std::error::Error| {
        Diagnostic::new("LG-U002", format!("{} is not a checkpoint", path.display())).because(error)
    };
    let bytes = fs::read(path).map_err(|error| wrong(&error))?;
    Signed::parse(&bytes).map_err(|error| wrong(&error))
}

fn sentences(report: &Report, keys: usize) -> String {
    let span = match (&report.first, &report.last) {
        (Some(first), Some(last)) => {
            format!("{} to {}, {} to {}", first.seq, last.seq, first.time, last.time)
        }
        _ => "none yet".to_owned(),
    };
    let mut lines = vec![
        "The log holds.".to_owned(),
        format!(
            "  records    {} in {} files, {}",
            report.records,
            report.segments,
            crate::output::bytes(report.bytes)
        ),
        format!("  numbers    {span}"),
        format!("  head hash  {}", report.head_hash),
    ];
    if report.torn_bytes > 0 {
        lines.push(format!("  being written or torn: the last {} bytes", report.torn_bytes));
    }
    for shard in &report.shards {
        lines.push(format!(
            "  signed     {} to {} as {}, {} leaves",
            shard.first, shard.last, shard.origin, shard.size
        ));
    }
    if let Some(cosigned) = &report.cosigned {
        lines.push(format!("  cosigned   up to {} by {}", cosigned.last, visible(&cosigned.by.join(", "))));
    }
    if report.unsealed > 0 {
        lines.push(format!("  not signed yet: {} records, held by the chain alone", report.unsealed));
    }
    for step in &report.clock_steps {
        lines.push(format!("  note: at record {} the clock went back by {} ms", step.seq, step.by_ms));
    }
    lines.push(match (keys, report.shards.is_empty()) {
        (_, true) => "Nothing of it is signed. Keep the head hash elsewhere: it proves later that nothing before it was changed.".to_owned(),
        (0, false) => "No key was given, so it was checked against itself only: name the log's public key with --key.".to_owned(),
        (1, false) => "The newest checkpoint is signed by the key that was asked for.".to_owned(),
        (keys, false) => format!("The newest checkpoint is signed by all {keys} keys that were asked for."),
    });
    lines.join("\n") + "\n"
}

fn proof(
    path: &Path,
    (keys, (witnesses, quorum)): (&[NoteKey], (Vec<NoteKey>, usize)),
    output: Output,
) -> Result<Exit, Failure> {
    if keys.is_empty() {
        let what = "a proof is checked with the public key of its log";
        return Err(Diagnostic::new("LG-U002", what).hint("name it: --key KEY or --key FILE").into());
    }
    let wrong = |error: &dyn std::error::Error| {
        Diagnostic::new("LG-A004", "the proof does not hold").at(path.display().to_string()).because(error)
    };
    let bytes = fs::read(path).map_err(|error| wrong(&error))?;
    let proof = Proof::parse(&bytes).map_err(|error| wrong(&error))?;
    let signatures = proof.verify(keys).map_err(|error| wrong(&error))?;
    let by = proof.signed.cosigners(&witnesses);
    if by.len() < quorum {
        let why =
            format!("{quorum} of the witnesses must have cosigned its checkpoint, and {} did", by.len());
        return Err(wrong(&std::io::Error::other(why)).into());
    }
    let record = String::from_utf8_lossy(&proof.entry);
    let time_s = signatures.iter().find_map(|signature| signature.time_s);
    let checkpoint = &proof.signed.checkpoint;
    match output {
        Output::Human => {
            let at = time_s.and_then(|time| jiff::Timestamp::from_second(i64::try_from(time).ok()?).ok());
            let at = at.map_or_else(String::new, |at| format!(", {at}"));
            let vouched = match by.is_empty() {
                true => String::new(),
                false => format!(", cosigned by {}", visible(&by.join(", "))),
            };
            print(&format!(
                "The proof holds: the record below is leaf {} of {} in the log {}{at}{vouched}.\n{}\n",
                proof.index,
                checkpoint.head.size,
                visible(&checkpoint.origin),
                visible(&record),
            ));
        }
        Output::Json | Output::Jsonl => {
            #[derive(Serialize)]
            struct Held<'a> {
                schema: &'static str,
                origin: &'a str,
                index: u64,
                size: u64,
                time_s: Option<u64>,
                cosigned_by: Vec<String>,
                record: Option<Box<RawValue>>,
            }
            print_document(&Held {
                schema: "lockgate.audit-proof/1",
                origin: &checkpoint.origin,
                index: proof.index,
                size: checkpoint.head.size,
                time_s,
                cosigned_by: by,
                record: RawValue::from_string(record.into_owned()).ok(),
            });
        }
    }
    Ok(Exit::Ok)
}
