//! The report as a value, `lockgate.report/1`: everything that any of its forms shows.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::background::{Background, Ending};
use crate::collect::{Cited, Collector};
use crate::count::{Cite, Counted};
use crate::error::ReportError;
use crate::framework::{self, Beyond, Control, Framework, Part};
use crate::gap::{self, Gap};
use crate::integrity::{Integrity, Verdict};
use crate::parts::{Availability, Incident, Processing, Quantum};
use crate::period::{Period, moment};
use crate::signal::Signal;
use crate::text::number;

/// Name and version of the document.
pub const SCHEMA: &str = "lockgate.report/1";

/// The whole report.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// [`SCHEMA`].
    pub schema: &'static str,
    /// Which framework, by its id.
    pub framework: &'static str,
    /// Its name.
    pub title: &'static str,
    /// What the report is, in a sentence.
    pub about: &'static str,
    /// When it was made, RFC 3339.
    pub generated: String,
    /// Which days it is about.
    pub period: Period,
    /// Whether they were over.
    pub progress: Progress,
    /// The check of the log, which comes before all else.
    pub integrity: Integrity,
    /// What the configuration says today.
    pub background: Background,
    /// How many records there were.
    pub records: Records,
    /// The figures of the first page.
    pub summary: Summary,
    /// What did not hold, or had to be looked at; damage of the log first.
    pub exceptions: Vec<Exception>,
    /// Where Lockgate stepped in, as it should.
    pub interventions: Vec<Evidence>,
    /// Rules that refused calls, and how often.
    pub denials: Vec<Named>,
    /// What is missing.
    pub gaps: Vec<Gap>,
    /// Control by control.
    pub controls: Vec<Judged>,
    /// What no record speaks of.
    pub beyond: &'static [Beyond],
    /// When the node was up.
    pub availability: Availability,
    /// Changes of policy, cryptography and authority.
    pub changes: Vec<u64>,
    /// How many more there were.
    pub changes_left_out: u64,
    /// Records of processing, where the framework asks for them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub processing: Option<Processing>,
    /// What happened, where the framework asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub timeline: Option<Vec<Incident>>,
    /// How many more happenings there were than the timeline lists.
    pub timeline_left_out: u64,
    /// Cryptography on the wire, where the framework asks for it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quantum: Option<Quantum>,
    /// The records that are cited, by number; whole in `evidence.jsonl`.
    pub cited: BTreeMap<u64, Cited>,
}

/// How far the period has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Progress {
    /// It is over.
    Over,
    /// It is not over: what comes is not in the report.
    Running,
    /// It has not begun.
    Future,
}

/// How many records.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Records {
    /// In the log.
    pub in_log: u64,
    /// In the period.
    pub in_period: u64,
    /// That cannot be read; in a log that holds there is none.
    pub unreadable: u64,
}

/// The figures of the first page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Controls with evidence and without exceptions.
    pub enforced: usize,
    /// Controls with exceptions.
    pub with_exceptions: usize,
    /// Controls without evidence in the period.
    pub without_evidence: usize,
    /// Kinds of exceptions.
    pub exceptions: usize,
    /// What is missing.
    pub gaps: usize,
    /// Limits of knowledge that the controls name, and what is beyond them.
    pub unknown: usize,
}

/// Something that did not hold, or had to be looked at.
#[derive(Clone, Debug, Serialize)]
pub struct Exception {
    /// What, in a sentence without a full stop.
    pub what: String,
    /// How often.
    pub count: u64,
    /// Controls that it touches.
    pub controls: Vec<&'static str>,
    /// Numbers of records to look at.
    pub records: Vec<u64>,
}

/// A count with records to look at.
#[derive(Clone, Debug, Serialize)]
pub struct Evidence {
    /// Which kind.
    pub signal: Signal,
    /// What was counted.
    pub what: &'static str,
    /// Which records were counted.
    pub backed_by: &'static str,
    /// How many.
    pub count: u64,
    /// When the first was made.
    pub first: String,
    /// When the last was made.
    pub last: String,
    /// Numbers of the first, the last and samples that nobody chose (those with the smallest hashes).
    pub records: Vec<u64>,
}

/// A name and how often.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Named {
    /// As it stands in the log.
    pub name: String,
    /// How often.
    pub count: u64,
}

/// How a control came out. None of these says that it is met: that is for an auditor to say.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Records show it at work, and none shows that it did not hold.
    Enforced,
    /// Records show where it did not hold, or was close to.
    Exceptions,
    /// No record of the period speaks of it.
    NoEvidence,
}

impl Standing {
    /// In words.
    #[must_use]
    pub fn says(self) -> &'static str {
        match self {
            Standing::Enforced => "evidence, no exceptions",
            Standing::Exceptions => "evidence with exceptions",
            Standing::NoEvidence => "no evidence",
        }
    }
}

/// A control and what the period shows of it.
#[derive(Clone, Debug, Serialize)]
pub struct Judged {
    /// The framework's id.
    pub id: &'static str,
    /// The id as OSCAL writes ids.
    pub token: String,
    /// What it is about.
    pub about: &'static str,
    /// What Lockgate does for it.
    pub enforces: &'static str,
    /// How it came out.
    pub standing: Standing,
    /// Records that show it at work.
    pub evidence: Vec<Evidence>,
    /// Kinds of records that would have shown it, of which there was none.
    pub absent: Vec<&'static str>,
    /// Records that show where it did not hold.
    pub exceptions: Vec<Evidence>,
    /// What is missing.
    pub gaps: Vec<Gap>,
    /// What the log cannot know of it.
    pub cannot: &'static [&'static str],
}

/// Refusals and the like: what shows a control at work by stepping in.
const INTERVENTIONS: [Signal; 11] = [
    Signal::CallsDenied,
    Signal::CallsHeld,
    Signal::CallsKilled,
    Signal::CallsScreened,
    Signal::MessagesRejected,
    Signal::LinksRefused,
    Signal::PeersRefused,
    Signal::CallersRefused,
    Signal::IdentitiesRefused,
    Signal::IdentitiesRevoked,
    Signal::LinksCut,
];

/// Rules that are listed by name.
const DENIALS_MAX: usize = 20;

/// What the report is made of, besides the log.
#[derive(Debug)]
pub struct Inputs {
    /// Which framework.
    pub framework: &'static Framework,
    /// How the log stands.
    pub integrity: Integrity,
    /// What the configuration says.
    pub background: Background,
    /// Now, in milliseconds since 1970.
    pub now_ms: i64,
}

/// The lines whose records the report cites: their numbers from 0 at the beginning of the log, and their SHA-256.
#[must_use]
pub fn cited_lines(log: &Collector, framework: &Framework) -> BTreeMap<u64, [u8; 32]> {
    let controls = framework.controls.iter().flat_map(|control| control.shows.iter().chain(control.breaks));
    let signals: BTreeSet<Signal> = controls.copied().chain(INTERVENTIONS).collect();
    log.cited(&signals)
}

impl Report {
    /// Puts it together. `cited` are the records of [`cited_lines`].
    ///
    /// # Errors
    /// [`ReportError::SelfCheck`] for a mapping that claims a control without a record behind it.
    pub fn new(inputs: Inputs, log: &Collector, cited: Vec<Cited>) -> Result<Self, ReportError> {
        let Inputs { framework, integrity, background, now_ms } = inputs;
        framework::check(framework)?;
        let judged = |control: &Control| judge(control, framework, log, &background, &integrity);
        let controls: Vec<Judged> = framework.controls.iter().map(judged).collect();
        let exceptions = exceptions(&controls, &integrity, log);
        let gaps = gaps(&controls, log, &background, now_ms);
        let interventions = INTERVENTIONS.iter().filter_map(|signal| evidence(*signal, log)).collect();
        let summary = summary(&controls, &exceptions, &gaps, framework);
        Ok(Self {
            schema: SCHEMA,
            framework: framework.id,
            title: framework.title,
            about: framework.about,
            generated: format!("{}Z", moment(now_ms).replace(' ', "T")),
            progress: progress(&log.period, now_ms),
            period: log.period.clone(),
            records: Records {
                in_log: log.lines,
                in_period: log.count(Signal::Recorded),
                unreadable: log.unreadable,
            },
            summary,
            exceptions,
            interventions,
            denials: named(log.denials.sorted(|count| *count), DENIALS_MAX),
            gaps,
            controls,
            beyond: framework.beyond,
            availability: Availability::of(log, now_ms),
            changes: log.changes.iter().map(|cite| cite.seq).collect(),
            changes_left_out: log.changes_left_out,
            processing: framework.has(Part::Processing).then(|| Processing::of(log, &background)),
            timeline: framework.has(Part::Timeline).then(|| Incident::all(log)),
            timeline_left_out: log.timeline.left_out,
            quantum: framework.has(Part::Quantum).then(|| Quantum::of(log, &background)),
            cited: cited.into_iter().map(|cited| (cited.seq, cited)).collect(),
            integrity,
            background,
        })
    }

    /// Whether something did not hold.
    #[must_use]
    pub fn has_exceptions(&self) -> bool {
        !self.exceptions.is_empty()
    }
}

pub(crate) fn named(all: Vec<(&str, &u64)>, most: usize) -> Vec<Named> {
    all.into_iter().take(most).map(|(name, count)| Named { name: name.to_owned(), count: *count }).collect()
}

fn progress(period: &Period, now_ms: i64) -> Progress {
    match now_ms {
        now if now < period.from_ms() => Progress::Future,
        now if now < period.to_ms() => Progress::Running,
        _ => Progress::Over,
    }
}

pub(crate) fn seqs(counted: &Counted) -> Vec<u64> {
    counted.cites().iter().map(|cite| cite.seq).collect()
}

fn evidence(signal: Signal, log: &Collector) -> Option<Evidence> {
    let counted = log.counts.get(&signal)?;
    let at = |cite: Option<Cite>| cite.map_or_else(String::new, |cite| moment(cite.time_ms));
    Some(Evidence {
        signal,
        what: signal.says(),
        backed_by: signal.backed_by(),
        count: counted.count,
        first: at(counted.first),
        last: at(counted.last),
        records: seqs(counted),
    })
}

fn judge(
    control: &Control,
    framework: &Framework,
    log: &Collector,
    background: &Background,
    integrity: &Integrity,
) -> Judged {
    let evidence_of =
        |signals: &[Signal]| signals.iter().filter_map(|signal| evidence(*signal, log)).collect::<Vec<_>>();
    let (shown, broken) = (evidence_of(control.shows), evidence_of(control.breaks));
    // On a damaged log nothing is without exceptions.
    let standing = match (shown.is_empty(), broken.is_empty() && integrity.verdict != Verdict::Damaged) {
        (true, true) => Standing::NoEvidence,
        (true, false) if broken.is_empty() => Standing::NoEvidence,
        (_, false) => Standing::Exceptions,
        (false, true) => Standing::Enforced,
    };
    let absent = control.shows.iter().filter(|signal| log.count(**signal) == 0);
    Judged {
        id: control.id,
        token: control.token(framework),
        about: control.about,
        enforces: control.enforces,
        standing,
        absent: absent.map(|signal| signal.says()).collect(),
        evidence: shown,
        exceptions: broken,
        gaps: control.asks.iter().filter_map(|ask| gap::answer(*ask, log, background, integrity)).collect(),
        cannot: control.cannot,
    }
}

/// Damage first, then what controls name, each kind once.
fn exceptions(controls: &[Judged], integrity: &Integrity, log: &Collector) -> Vec<Exception> {
    let mut all = Vec::new();
    if let Some(damage) = &integrity.damage {
        all.push(Exception {
            what: format!("the log is damaged at record {} ({}): {}", damage.seq, damage.place, damage.what),
            count: 1,
            controls: controls.iter().map(|control| control.id).collect(),
            records: Vec::new(),
        });
    }
    if log.unreadable > u64::from(integrity.torn_bytes > 0) {
        all.push(Exception {
            what: "lines of the log that are no records".to_owned(),
            count: log.unreadable,
            controls: Vec::new(),
            records: Vec::new(),
        });
    }
    for signal in Signal::ALL {
        let touched: Vec<(&'static str, &Evidence)> = controls
            .iter()
            .flat_map(|control| control.exceptions.iter().map(move |one| (control.id, one)))
            .filter(|(_, one)| one.signal == *signal)
            .collect();
        let Some((_, one)) = touched.first() else { continue };
        all.push(Exception {
            what: one.what.to_owned(),
            count: one.count,
            controls: touched.iter().map(|(id, _)| *id).collect(),
            records: one.records.clone(),
        });
    }
    all
}

/// Those of the period as a whole first, then those of the controls, each once.
fn gaps(controls: &[Judged], log: &Collector, background: &Background, now_ms: i64) -> Vec<Gap> {
    let mut all = Vec::new();
    let mut add = |what: String, fix: &str| all.push(Gap { what, fix: fix.to_owned() });
    match progress(&log.period, now_ms) {
        Progress::Over => {}
        Progress::Running => add(
            "The period is not over: what comes is not in this report.".to_owned(),
            "make it again when it is over",
        ),
        Progress::Future => add(
            "The period has not begun: there is nothing that could be evidence.".to_owned(),
            "check the period",
        ),
    }
    let begins_ms = log.first.map(|first| first.time_ms);
    if let Some(begins_ms) = begins_ms.filter(|begins| *begins > log.period.from_ms()) {
        let days = (begins_ms.min(log.period.to_ms()) - log.period.from_ms()) / crate::period::DAY_MS;
        add(
            format!(
                "The log begins at {}: nothing is known of the period before ({} whole days).",
                moment(begins_ms),
                number(days.unsigned_abs())
            ),
            "if there are older files of the log, put them back; if the node began then, there is nothing to do",
        );
    }
    if background.config.is_none() {
        add(
            "No configuration was named: listeners and servers are described by the defaults, and by what the log says.".to_owned(),
            "--config FILE",
        );
    }
    for ending in background.dates.iter().filter(|ending| is_past(ending, now_ms)) {
        add(
            format!("What ended on {} is still in the {}: {}.", ending.day, ending.source, ending.what),
            "remove it, or renew it with a reason",
        );
    }
    for gap in controls.iter().flat_map(|control| &control.gaps) {
        if !all.contains(gap) {
            all.push(gap.clone());
        }
    }
    all
}

fn is_past(ending: &Ending, now_ms: i64) -> bool {
    let day: Option<jiff::civil::Date> = ending.day.get(..10).and_then(|day| day.parse().ok());
    let today = moment(now_ms);
    day.is_some_and(|day| day.to_string().as_str() < &today[..10.min(today.len())])
}

fn summary(controls: &[Judged], exceptions: &[Exception], gaps: &[Gap], framework: &Framework) -> Summary {
    let of = |standing| controls.iter().filter(|control| control.standing == standing).count();
    let unknown: BTreeSet<&str> =
        controls.iter().flat_map(|control| control.cannot.iter().copied()).collect();
    Summary {
        enforced: of(Standing::Enforced),
        with_exceptions: of(Standing::Exceptions),
        without_evidence: of(Standing::NoEvidence),
        exceptions: exceptions.len(),
        gaps: gaps.len(),
        unknown: unknown.len() + framework.beyond.len(),
    }
}
