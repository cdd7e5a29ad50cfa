//! Findings that are on record: how many there were, and what other rules would have done.

use std::collections::BTreeMap;
use std::path::Path;

use lockgate_audit::Entry;
use lockgate_detect::{Detector, Finding, Response, Scene, Severity};
use serde::Serialize;

use crate::cli::{Output, Seconds};
use crate::config::{self, Flags};
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{Table, print, print_document, visible};
use crate::state::State;
use crate::subjects::Recalling;
use crate::verbs::audit::unreadable;
use crate::verbs::config::variables;

/// Most records that are read, the newest ones.
const RECORDS_MAX: usize = 500_000;

/// Groups that are shown.
const GROUPS_MAX: usize = 200;

/// Now, in milliseconds since the Unix epoch.
pub(super) fn now_ms() -> u64 {
    u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default()
}

/// The records of the last while, oldest first.
fn records(state: &State, span: Seconds) -> Result<Vec<Entry>, Failure> {
    let folder = state.audit();
    if !folder.is_dir() {
        return Err(Diagnostic::new("LG-U002", format!("there is no audit log in {}", folder.display()))
            .hint("a node writes one when it starts: lockgate up")
            .hint("if it runs with another state directory, name it: --state DIR")
            .into());
    }
    let from = jiff::Timestamp::now()
        - jiff::SignedDuration::from_secs(i64::try_from(span.0).unwrap_or(i64::MAX / 2));
    let lines = lockgate_audit::tail(&folder, RECORDS_MAX).map_err(|error| unreadable(&error))?;
    let recalling = Recalling::open(state, None);
    let entries = lines.iter().filter_map(|line| recalling.entry(line));
    let young = |entry: &Entry| entry.time.parse::<jiff::Timestamp>().is_ok_and(|time| time >= from);
    Ok(entries.filter(young).collect())
}

/// One kind of finding in the log.
#[derive(Serialize)]
struct Counted {
    finding: String,
    server: String,
    name: String,
    count: usize,
    refused: usize,
    quieten: String,
}

/// Counts findings and says what would quieten each.
pub(super) fn tune(state: &State, since: Seconds, output: Output) -> Result<Exit, Failure> {
    let mut counts: BTreeMap<(String, String, String), (usize, usize)> = BTreeMap::new();
    let entries = records(state, since)?;
    for entry in &entries {
        let record = &entry.record;
        let about = |text: &Option<std::borrow::Cow<'_, str>>| text.as_deref().unwrap_or_default().to_owned();
        for id in record.findings.iter().filter(|id| id.starts_with("LG-D")) {
            let count = counts.entry((id.clone(), about(&record.server), about(&record.name))).or_default();
            count.0 += 1;
            count.1 += usize::from(record.outcome == lockgate_audit::Outcome::Refused);
        }
    }
    let mut counted: Vec<Counted> = counts
        .into_iter()
        .map(|((finding, server, name), (count, refused))| {
            let quieten = quieten(&finding, &server, &name);
            Counted { finding, server, name, count, refused, quieten }
        })
        .collect();
    counted.sort_by(|a, b| b.count.cmp(&a.count).then_with(|| a.finding.cmp(&b.finding)));
    counted.truncate(GROUPS_MAX);
    match output {
        Output::Human if counted.is_empty() => print(&format!("No findings in {} records.\n", entries.len())),
        Output::Human => {
            let mut table = Table::new(&["FINDING", "SERVER", "ABOUT", "TIMES", "STOPPED"]);
            for one in &counted {
                let (count, refused) = (one.count.to_string(), one.refused.to_string());
                table.row(&[&one.finding, &visible(&one.server), &visible(&one.name), &count, &refused]);
            }
            print(&table.render(0));
            print("\nThe most frequent, if it is harmless:\n");
            print(&format!("  {}\n", counted[0].quieten));
        }
        Output::Json | Output::Jsonl => {
            #[derive(Serialize)]
            struct Document<'a> {
                schema: &'static str,
                records: usize,
                findings: &'a [Counted],
            }
            print_document(&Document {
                schema: "lockgate.threats-tune/1",
                records: entries.len(),
                findings: &counted,
            });
        }
    }
    Ok(Exit::Ok)
}

fn quieten(finding: &str, server: &str, name: &str) -> String {
    let mut command = format!("lockgate threats suppress {finding}");
    for (flag, value) in [("--server", server), ("--tool", name)] {
        if !value.is_empty() {
            let quoted = shlex::try_quote(value).map_or_else(|_| visible(value), |quoted| visible(&quoted));
            command.push_str(&format!(" {flag} {quoted}"));
        }
    }
    command.push_str(" --reason WHY --for 7d");
    command
}

/// What the rules tried would have done with the records.
#[derive(Default, Serialize)]
struct Replayed {
    schema: &'static str,
    records: usize,
    /// Findings on record, by what follows from them under the rules tried.
    groups: Vec<Group>,
    /// Calls with arguments on record, which were read again.
    arguments_read: usize,
    /// Calls without: nothing new can be found in them.
    arguments_missing: usize,
    cannot_show: &'static str,
}

#[derive(Serialize)]
struct Group {
    finding: String,
    server: String,
    name: String,
    count: usize,
    was_refused: usize,
    would: String,
    is_new: bool,
}

/// What records cannot show, in one sentence.
const CANNOT_SHOW: &str = "records hold neither results nor the severity of findings, and arguments only with \
policy.record_arguments: what rules on results would find, and what is found in calls without arguments on record, is not \
shown here";

/// Tells what other rules would have done.
pub(super) fn replay(state: &State, since: Seconds, ruleset: &Path, output: Output) -> Result<Exit, Failure> {
    let flags = Flags { config: Some(ruleset.to_owned()), ..Flags::default() };
    let (settings, ..) = config::load(&flags, variables())?;
    let detector = Detector::default();
    detector.set_rules(settings.detect.rules.clone());
    detector.set_hosts(settings.detect.hosts.clone());
    let entries = records(state, since)?;
    let mut replayed = Replayed {
        schema: "lockgate.threats-replay/1",
        records: entries.len(),
        cannot_show: CANNOT_SHOW,
        ..Replayed::default()
    };
    let mut groups = Groups::new();
    for entry in &entries {
        again(&detector, entry, &mut replayed, &mut groups);
    }
    replayed.groups = groups
        .into_iter()
        .map(|((finding, server, name, would, is_new), (count, was_refused))| Group {
            finding,
            server,
            name,
            count,
            was_refused,
            would,
            is_new,
        })
        .collect();
    replayed.groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    replayed.groups.truncate(GROUPS_MAX);
    match output {
        Output::Human => print(&described(&replayed)),
        Output::Json | Output::Jsonl => print_document(&replayed),
    }
    Ok(Exit::Ok)
}

type Groups = BTreeMap<(String, String, String, String, bool), (usize, usize)>;

fn again(detector: &Detector, entry: &Entry, replayed: &mut Replayed, groups: &mut Groups) {
    let record = &entry.record;
    let (server, name) =
        (record.server.as_deref().unwrap_or_default(), record.name.as_deref().unwrap_or_default());
    let refused = usize::from(record.outcome == lockgate_audit::Outcome::Refused);
    let scene = Scene { roles: &record.roles, now_ms: now_ms(), ..Scene::default() };
    let mut note = |finding: &str, would: String, is_new: bool| {
        let group = groups
            .entry((finding.to_owned(), server.to_owned(), name.to_owned(), would, is_new))
            .or_default();
        group.0 += 1;
        group.1 += refused;
    };
    for id in record.findings.iter().filter(|id| id.starts_with("LG-D")) {
        note(id, would(detector, id, (server, name), &scene), false);
    }
    if record.method.as_deref() != Some("tools/call") {
        return;
    }
    let Some(arguments) = &record.arguments else {
        replayed.arguments_missing += 1;
        return;
    };
    replayed.arguments_read += 1;
    for finding in detector.examine(server, name, arguments) {
        if !record.findings.iter().any(|known| known == finding.id) {
            let would = detector.response(&finding, &scene).map_or("nothing", Response::name);
            note(finding.id, would.to_owned(), true);
        }
    }
}

/// What follows from a finding of which only the code is on record.
fn would(detector: &Detector, id: &str, (server, name): (&str, &str), scene: &Scene<'_>) -> String {
    let Some(id) = crate::registry::find(id).map(|entry| entry.code) else { return "unknown".to_owned() };
    let by = |severity| {
        let text = |text: &str| text.to_owned();
        let (reason, evidence) = (String::new(), String::new());
        let finding = Finding { id, severity, server: text(server), subject: text(name), reason, evidence };
        detector.response(&finding, scene).map_or("nothing", Response::name)
    };
    let all = [Severity::Low, Severity::Medium, Severity::High].map(by);
    match all {
        [low, medium, high] if low == medium && medium == high => low.to_owned(),
        [low, medium, high] => format!("{low}, {medium} or {high} by severity"),
    }
}

fn described(replayed: &Replayed) -> String {
    let mut text = format!("{} records\n", replayed.records);
    if !replayed.groups.is_empty() {
        let mut table = Table::new(&["FINDING", "SERVER", "ABOUT", "TIMES", "STOPPED THEN", "WOULD BE"]);
        for group in &replayed.groups {
            let count = format!("{}{}", group.count, if group.is_new { " new" } else { "" });
            let (name, server) = (visible(&group.name), visible(&group.server));
            table.row(&[
                &group.finding,
                &server,
                &name,
                &count,
                &group.was_refused.to_string(),
                &group.would,
            ]);
        }
        text.push_str(&table.render(0));
    }
    text.push_str(&format!(
        "Arguments of {} calls were read again; those of {} more are not on record.\n",
        replayed.arguments_read, replayed.arguments_missing
    ));
    text.push_str(&crate::output::fold(replayed.cannot_show, 0, 100));
    text
}
