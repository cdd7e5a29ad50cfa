//! `lockgate report`: what the audit log proves of a period, as files that an auditor reads.
//!
//! The log is read three times, and never held: to verify it, to count, and to copy the records that are cited.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{BufWriter, IsTerminal as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use lockgate_audit::{AuditError, Checks};
use lockgate_crypto::note::NoteKey;
use lockgate_report::{
    Cited, Collector, Framework, Inputs, Integrity, Period, Report, ReportError, Verdict, cited_lines, html,
    oscal,
};
use serde::Serialize;

use self::background::gather;
use crate::audit_keys::KeyList;
use crate::cli::{FailOn, Global, Output, ReportArgs};
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{print, print_document};
use crate::state::State;
use crate::verbs::audit::unreadable;

mod background;
mod told;

/// The files of a report.
const PAGE: &str = "index.html";
const DOCUMENT: &str = "report.json";
const RESULTS: &str = "oscal-assessment-results.json";
const COMPONENT: &str = "oscal-component-definition.json";
const EVIDENCE: &str = "evidence.jsonl";
const FILES: [&str; 5] = [PAGE, DOCUMENT, RESULTS, COMPONENT, EVIDENCE];

/// Lines between two signs of progress, about half a second.
const PROGRESS_LINES: u64 = 50_000;

/// Runs the verb.
pub(crate) async fn run(args: &ReportArgs, global: &Global) -> Result<Exit, Failure> {
    let framework =
        Framework::find(&args.framework).expect("the command line takes the names of frameworks only");
    let period = Period::parse(&args.period).map_err(|error| {
        Diagnostic::new("LG-A020", error.to_string())
            .hint("write it like 2026-Q4, 2026-11, 2026 or 2026-11-01..2026-11-30; days are in UTC")
    })?;
    let state = State::locate(global.state.as_deref())?;
    let background = gather(&state, args.config.as_deref()).await?;
    let folder = args.from.clone().unwrap_or_else(|| state.audit());
    present(&folder)?;
    let out = Out::open(&args.out, args.force)?;

    // A copy may be of another node, whose keys are not here.
    let keys = match (&args.from, KeyList::read(&state)?) {
        (None, Some(list)) => list.active(&state)?,
        _ => Vec::new(),
    };
    let mut integrity = checked(&folder, &keys)?;
    let log = collect(&folder, period, &mut integrity)?;
    let cited = out.copy_evidence(&folder, &log, framework)?;
    let now_ms = jiff::Timestamp::now().as_millisecond();
    let inputs = Inputs { framework, integrity, background, now_ms };
    let report = Report::new(inputs, &log, cited).map_err(|error| broken(&error))?;
    out.write(&report)?;
    match args.output.output {
        Output::Human => print(&told::human(&report, &args.out, PAGE)),
        Output::Json | Output::Jsonl => print_document(&Written::of(&report, &args.out)),
    }
    let negative = args.fail_on == Some(FailOn::Exceptions) && report.has_exceptions();
    Ok(if negative { Exit::Negative } else { Exit::Ok })
}

/// What programs are told.
#[derive(Serialize)]
struct Written<'a> {
    schema: &'static str,
    framework: &'a str,
    period: &'a Period,
    integrity: &'a Integrity,
    records: &'a lockgate_report::Records,
    summary: &'a lockgate_report::Summary,
    exceptions: &'a [lockgate_report::Exception],
    gaps: &'a [lockgate_report::Gap],
    files: Vec<PathBuf>,
}

impl<'a> Written<'a> {
    fn of(report: &'a Report, out: &Path) -> Self {
        Self {
            schema: "lockgate.report-written/1",
            framework: report.framework,
            period: &report.period,
            integrity: &report.integrity,
            records: &report.records,
            summary: &report.summary,
            exceptions: &report.exceptions,
            gaps: &report.gaps,
            files: FILES.iter().map(|name| out.join(name)).collect(),
        }
    }
}

fn present(folder: &Path) -> Result<(), Diagnostic> {
    if folder.is_dir() {
        return Ok(());
    }
    Err(Diagnostic::new("LG-U002", format!("there is no audit log in {}", folder.display()))
        .hint("a node writes one when it starts: lockgate up")
        .hint("if it runs with another state directory, name it: --state DIR; a copy of a log: --from DIR"))
}

fn checked(folder: &Path, keys: &[NoteKey]) -> Result<Integrity, Failure> {
    progress("verifying the log");
    let checks = Checks { keys, ..Checks::default() };
    let checked = Integrity::of(lockgate_audit::verify_with(folder, &checks));
    Ok(checked.map_err(|error| unreadable(&error))?)
}

/// Counts. A log that holds is read up to the record to which it was verified, and no further: a node may be writing.
fn collect(folder: &Path, period: Period, integrity: &mut Integrity) -> Result<Collector, Failure> {
    let mut log = Collector::new(period);
    let most = if integrity.verdict == Verdict::Damaged { u64::MAX } else { integrity.records };
    let mut reader = opened(folder)?;
    let mut lines = 0;
    while lines < most {
        let Some(line) = reader.next_line().map_err(|error| unreadable(&error))? else { break };
        log.add(line);
        lines += 1;
        if lines % PROGRESS_LINES == 0 {
            progress(&format!("reading record {lines}"));
        }
    }
    log.end();
    progress("");
    if integrity.verdict == Verdict::Whole && log.head_hash() != integrity.head_hash {
        integrity.changed_meanwhile(integrity.to);
    }
    Ok(log)
}

fn opened(folder: &Path) -> Result<lockgate_audit::Reader, Failure> {
    lockgate_audit::read(folder).map_err(|error: AuditError| unreadable(&error).into())
}

/// Where a person waits, says what is going on, on one line that is written over.
fn progress(what: &str) {
    let mut err = std::io::stderr().lock();
    if err.is_terminal() {
        // Nobody is harmed if it cannot be said.
        let _ = write!(err, "\r\u{1b}[2K{what}").and_then(|()| err.flush());
    }
}

fn broken(error: &ReportError) -> Diagnostic {
    Diagnostic::new("LG-X001", "the report that was made is broken, so that it was not written")
        .because(error)
        .hint("this is a bug in Lockgate; nothing was changed")
}

/// The folder of the report. Files come under other names first, so that there is a whole report or none.
struct Out {
    folder: PathBuf,
}

impl Out {
    fn open(folder: &Path, force: bool) -> Result<Self, Failure> {
        DirBuilder::new()
            .recursive(true)
            .mode(0o700)
            .create(folder)
            .map_err(|error| unwritable(folder, &error))?;
        let there = FILES.into_iter().find(|name| folder.join(name).symlink_metadata().is_ok());
        if let Some(name) = there.filter(|_| !force) {
            let what = format!("there is a report in {} already ({name})", folder.display());
            return Err(Diagnostic::new("LG-A021", what)
                .hint("name another folder, or write over it: --force")
                .into());
        }
        let out = Self { folder: folder.to_owned() };
        // Found out now, and not after a long log was read.
        out.create(EVIDENCE)?;
        Ok(out)
    }

    /// Readable by its owner alone: it names agents, tools and reasons.
    fn create(&self, name: &str) -> Result<File, Failure> {
        let path = self.fresh(name);
        let file = OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&path);
        file.map_err(|error| unwritable(&path, &error).into())
    }

    fn fresh(&self, name: &str) -> PathBuf {
        self.folder.join(format!(".{name}.{}.new", std::process::id()))
    }

    /// Copies the lines that the report cites, byte for byte.
    fn copy_evidence(
        &self,
        folder: &Path,
        log: &Collector,
        framework: &Framework,
    ) -> Result<Vec<Cited>, Failure> {
        let wanted = cited_lines(log, framework);
        let path = self.fresh(EVIDENCE);
        let mut file = BufWriter::new(self.create(EVIDENCE)?);
        let mut cited = Vec::new();
        let mut reader = opened(folder)?;
        let last = wanted.keys().next_back().copied();
        let mut number = 0;
        while last.is_some_and(|last| number <= last) {
            let Some(line) = reader.next_line().map_err(|error| unreadable(&error))? else { break };
            if let Some(hash) = wanted.get(&number) {
                let one = Cited::of(line).filter(|_| line.sha256() == *hash).ok_or_else(changed)?;
                file.write_all(line.bytes()).map_err(|error| unwritable(&path, &error))?;
                cited.push(one);
            }
            number += 1;
        }
        if cited.len() != wanted.len() {
            return Err(changed().into());
        }
        let file = file.into_inner().map_err(|error| unwritable(&path, error.error()))?;
        file.sync_all().map_err(|error| unwritable(&path, &error))?;
        Ok(cited)
    }

    fn write(&self, report: &Report) -> Result<(), Failure> {
        let json = serde_json::to_string_pretty(report).expect("plain data serialises") + "\n";
        let documents = [
            (PAGE, html::render(report)),
            (DOCUMENT, json),
            (RESULTS, oscal::assessment_results(report).map_err(|error| broken(&error))?),
            (COMPONENT, oscal::component_definition(report).map_err(|error| broken(&error))?),
        ];
        for (name, text) in &documents {
            let path = self.fresh(name);
            let mut file = self.create(name)?;
            file.write_all(text.as_bytes())
                .and_then(|()| file.sync_all())
                .map_err(|error| unwritable(&path, &error))?;
        }
        for name in FILES {
            let path = self.folder.join(name);
            std::fs::rename(self.fresh(name), &path).map_err(|error| unwritable(&path, &error))?;
        }
        Ok(())
    }
}

impl Drop for Out {
    fn drop(&mut self) {
        for name in FILES {
            // After a whole report there is none of them; after a failure there may be some.
            let _ = std::fs::remove_file(self.fresh(name));
        }
    }
}

fn unwritable(path: &Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic::new("LG-A021", format!("the report cannot be written: {}", path.display()))
        .because(error)
        .hint("name a folder that you can write: --out DIR")
}

fn changed() -> Diagnostic {
    Diagnostic::new("LG-A022", "the log was changed while it was read, and no report was written")
        .hint("make it again; if a node is moving its log, make it from a copy: --from DIR")
}
