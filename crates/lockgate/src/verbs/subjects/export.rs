//! `lockgate audit subject export`: all records of a subject, as files that somebody else can read and check.
//!
//! | file | what it is |
//! |---|---|
//! | `subject.json` | who asked, under which names records know the subject, how many there are |
//! | `records.jsonl` | each record as people read it, with its content where the keys are there |
//! | `events.jsonl` | the same records byte for byte as they stand in the log |
//! | `proofs/SEQ.tlog-proof` | that each stands in the signed log |

use std::collections::BTreeSet;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use lockgate_admin::KnownView;
use lockgate_audit::{Entry, Line};
use lockgate_privacy::{CALLER, Open, Subject, Vault};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{Place, unwritable};
use crate::cli::Output;
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{print, print_document};
use crate::subjects;
use crate::verbs::audit::unreadable;

#[derive(Serialize)]
struct Summary {
    schema: &'static str,
    /// The subject as it was asked for.
    subject: String,
    pseudonyms: Vec<(String, String)>,
    /// The record that says that this was asked.
    receipt: u64,
    records: u64,
    /// Records whose content was kept and could be opened.
    opened: u64,
    /// Records whose content was kept and whose keys are gone.
    sealed: u64,
    proofs: u64,
    /// Records that no checkpoint covers yet.
    unproven: u64,
}

/// One record as people read it.
#[derive(Serialize)]
struct Told<'a> {
    record: &'a RawValue,
    #[serde(skip_serializing_if = "Option::is_none")]
    content: Option<Open>,
    #[serde(skip_serializing_if = "Option::is_none")]
    proof: Option<String>,
}

pub(super) async fn run(place: &Place, subject: &str, out: &Path) -> Result<Exit, Failure> {
    let known = place.known(subject).await?;
    let vault = subjects::look(&place.settings, &place.state)?;
    // What was asked for was read by the node already.
    let read = Subject::parse(subject).ok();
    let agent = read.filter(|one| one.kind() == CALLER).map(|one| one.value().to_owned());
    let mut export = Export::begin(place, out, &known, vault.as_ref(), agent)?;
    let log = place.state.audit();
    let mut reader = lockgate_audit::read(&log).map_err(|error| unreadable(&error))?;
    while let Some(line) = reader.next_line().map_err(|error| unreadable(&error))? {
        export.take(&log, line)?;
    }
    let summary = export.end(subject, known)?;
    match place.output {
        Output::Human => print(&format!(
            "{} records of the subject are in {}, {} of them with content; {} have a proof.\n{}",
            summary.records,
            out.display(),
            summary.opened,
            summary.proofs,
            match summary.sealed {
                0 => String::new(),
                sealed => format!("The content of {sealed} cannot be opened: its keys are gone.\n"),
            }
        )),
        Output::Json | Output::Jsonl => print_document(&summary),
    }
    Ok(Exit::Ok)
}

struct Export<'a> {
    out: PathBuf,
    names: BTreeSet<String>,
    agent: Option<String>,
    vault: Option<&'a Vault>,
    records: BufWriter<File>,
    events: BufWriter<File>,
    summary: Summary,
}

impl<'a> Export<'a> {
    fn begin(
        place: &Place,
        out: &Path,
        known: &KnownView,
        vault: Option<&'a Vault>,
        agent: Option<String>,
    ) -> Result<Self, Failure> {
        if out.exists() && std::fs::read_dir(out).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(Diagnostic::new("LG-A021", format!("{} is not empty", out.display()))
                .hint("name another folder: --out DIR")
                .into());
        }
        let proofs = out.join("proofs");
        let made = DirBuilder::new().recursive(true).mode(0o700).create(&proofs);
        made.map_err(|error| unwritable(&proofs, &error))?;
        let log = place.state.audit();
        if !log.is_dir() {
            return Err(
                Diagnostic::new("LG-U002", format!("there is no audit log in {}", log.display())).into()
            );
        }
        Ok(Self {
            out: out.to_owned(),
            names: known.pseudonyms.iter().map(|(name, _)| name.clone()).collect(),
            agent,
            vault,
            records: BufWriter::new(create(&out.join("records.jsonl"))?),
            events: BufWriter::new(create(&out.join("events.jsonl"))?),
            summary: Summary {
                schema: "lockgate.subject-export/1",
                subject: String::new(),
                pseudonyms: Vec::new(),
                receipt: known.receipt,
                records: 0,
                opened: 0,
                sealed: 0,
                proofs: 0,
                unproven: 0,
            },
        })
    }

    fn is_about(&self, entry: &Entry) -> bool {
        let record = &entry.record;
        record.subjects.iter().any(|name| self.names.contains(name))
            || (self.agent.is_some() && record.agent.as_deref() == self.agent.as_deref())
    }

    fn take(&mut self, log: &Path, line: Line<'_>) -> Result<(), Failure> {
        let Some(entry) = line.entry().filter(|entry| self.is_about(entry)) else { return Ok(()) };
        self.summary.records += 1;
        let content = match (&entry.record.content, self.vault) {
            (Some(_), Some(vault)) => Open::of(&entry.record, vault).ok().flatten(),
            _ => None,
        };
        match (&content, &entry.record.content) {
            (Some(_), _) => self.summary.opened += 1,
            (None, Some(_)) => self.summary.sealed += 1,
            (None, None) => {}
        }
        let proof = self.prove(log, entry.seq)?;
        let flat = entry.flat();
        let record = serde_json::from_str(&flat).expect("a record is JSON: it was just written");
        let told = serde_json::to_string(&Told { record, content, proof }).expect("plain data serialises");
        let path = self.out.join("records.jsonl");
        writeln!(self.records, "{told}").map_err(|error| unwritable(&path, &error))?;
        let path = self.out.join("events.jsonl");
        self.events.write_all(line.bytes()).map_err(|error| unwritable(&path, &error))?;
        Ok(())
    }

    fn prove(&mut self, log: &Path, seq: u64) -> Result<Option<String>, Failure> {
        let Some(proof) = lockgate_audit::prove(log, seq).map_err(|error| unreadable(&error))? else {
            self.summary.unproven += 1;
            return Ok(None);
        };
        let name = format!("proofs/{seq}.tlog-proof");
        let path = self.out.join(&name);
        let written = create(&path)?.write_all(proof.write().as_bytes());
        written.map_err(|error| unwritable(&path, &error))?;
        self.summary.proofs += 1;
        Ok(Some(name))
    }

    fn end(mut self, subject: &str, known: KnownView) -> Result<Summary, Failure> {
        for (file, name) in [(&mut self.records, "records.jsonl"), (&mut self.events, "events.jsonl")] {
            let path = self.out.join(name);
            file.flush()
                .and_then(|()| file.get_ref().sync_all())
                .map_err(|error| unwritable(&path, &error))?;
        }
        let mut summary = self.summary;
        summary.subject = subject.to_owned();
        summary.pseudonyms = known.pseudonyms;
        let path = self.out.join("subject.json");
        let text = serde_json::to_string_pretty(&summary).expect("plain data serialises") + "\n";
        let written = create(&path)?.write_all(text.as_bytes());
        written.map_err(|error| unwritable(&path, &error))?;
        Ok(summary)
    }
}

/// Readable by its owner alone: it is about somebody.
fn create(path: &Path) -> Result<File, Failure> {
    let file = OpenOptions::new().create_new(true).write(true).mode(0o600).open(path);
    file.map_err(|error| unwritable(path, &error).into())
}
