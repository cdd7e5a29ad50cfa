//! `lockgate policy replay` and `suggest`, and the audit log as other questions read it.

use std::collections::BTreeSet;
use std::path::Path;

use lockgate_analysis::replay::{Recorded, Replayed, replay as decide_again};
use lockgate_analysis::suggest::{Learning, Suggested, Suggestion, suggest as learn};
use lockgate_policy::Policies;
use serde::Serialize;

use super::set::{self, Background, Set};
use super::{File, proof, unanswered};
use crate::cli::{Output, PolicyArgs, Seconds};
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{print, print_document, visible};
use crate::state::State;
use crate::subjects::Recalling;
use crate::verbs::audit::unreadable;

/// Most records that a question reads, the newest ones: about 300 MiB of log, read within seconds.
const RECORDS_MAX: usize = 500_000;

/// The calls of the log that policy decided, oldest first; none if there is no log.
pub(super) fn all(state: &State) -> Vec<Recorded> {
    read(state, None).unwrap_or_default()
}

/// Where content was kept for this, and its keys are still there, calls have their arguments.
fn read(state: &State, config: Option<&Path>) -> Result<Vec<Recorded>, Diagnostic> {
    let folder = state.audit();
    if !folder.is_dir() {
        return Err(Diagnostic::new("LG-U002", format!("there is no audit log in {}", folder.display()))
            .hint("a node writes one when it starts: lockgate up")
            .hint("if it runs with another state directory, name it: --state DIR"));
    }
    let lines = lockgate_audit::tail(&folder, RECORDS_MAX).map_err(|error| unreadable(&error))?;
    let recalling = Recalling::open(state, config);
    Ok(lines.iter().filter_map(|line| Recorded::read(&recalling.entry(line)?)).collect())
}

/// One call of the log, by the number of its record.
pub(super) fn record(state: &State, number: u64) -> Result<Recorded, Diagnostic> {
    read(state, None)?.into_iter().find(|one| one.seq == number).ok_or_else(|| {
        Diagnostic::new("LG-U002", format!("record {number} is no call that policy decided"))
            .hint("find its number: lockgate audit tail")
    })
}

/// Agents that the log has seen.
pub(super) fn agents(state: &State) -> BTreeSet<String> {
    all(state).into_iter().map(|one| one.call.agent).collect()
}

/// Tools that the log has seen, as server and name.
pub(super) fn tools(state: &State) -> BTreeSet<(String, String)> {
    all(state)
        .into_iter()
        .filter(|one| one.call.method == "tools/call")
        .filter_map(|one| Some((one.call.server, one.call.name?)))
        .collect()
}

fn since(state: &State, span: Seconds, config: Option<&Path>) -> Result<Vec<Recorded>, Failure> {
    let now = u64::try_from(jiff::Timestamp::now().as_millisecond()).unwrap_or_default();
    let from = now.saturating_sub(span.0.saturating_mul(1000));
    let mut recorded = read(state, config)?;
    recorded.retain(|one| one.call.at_ms >= from);
    if recorded.is_empty() {
        return Err(Diagnostic::new(
            "LG-U002",
            "the audit log holds no call of that time that policy decided",
        )
        .hint("look further back: --since 30d")
        .into());
    }
    Ok(recorded)
}

/// Decides recorded calls again.
pub(super) async fn replay(
    state: &State,
    span: Seconds,
    args: &PolicyArgs,
    output: Output,
) -> Result<Exit, Failure> {
    let (background, set) = set::of_flags(state, args).await?;
    let recorded = since(state, span, args.background.config.as_deref())?;
    let replayed = again(&recorded, &set.policies, &background)?;
    match output {
        Output::Human => print(&replayed_text(&replayed)),
        Output::Json | Output::Jsonl => {
            #[derive(Serialize)]
            struct Document<'a> {
                schema: &'static str,
                #[serde(flatten)]
                replayed: &'a Replayed,
            }
            print_document(&Document { schema: "lockgate.policy-replay/1", replayed: &replayed });
        }
    }
    Ok(if replayed.changed == 0 { Exit::Ok } else { Exit::Negative })
}

fn again(recorded: &[Recorded], policies: &Policies, background: &Background) -> Result<Replayed, Failure> {
    decide_again(recorded, policies, &background.trust_domain).map_err(|error| unanswered(&error).into())
}

fn replayed_text(replayed: &Replayed) -> String {
    let mut text = format!("would change {} of {} calls\n", replayed.changed, replayed.decided);
    if replayed.unknown > 0 {
        text.push_str(&format!(
            "unknown for {} more: their arguments or facts were not recorded (policy.record_arguments)\n",
            replayed.unknown
        ));
    }
    let names = |ids: &[String]| if ids.is_empty() { "no rule".to_owned() } else { ids.join(", ") };
    for group in &replayed.groups {
        text.push_str(&format!(
            "\n{} × {} ({}) becomes {} ({})\n  record {}: {} calls {}\n  {}\n",
            group.count,
            group.before,
            visible(&names(&group.decided_by)),
            group.after,
            visible(&names(&group.would_decide)),
            group.first_record,
            visible(&group.example.agent),
            visible(&group.example.what),
            visible(&group.example.explain),
        ));
    }
    text
}

/// Learns role files from what was used.
pub(super) async fn suggest(
    state: &State,
    span: Seconds,
    (zone, out): (&str, Option<&Path>),
    args: &PolicyArgs,
    output: Output,
) -> Result<Exit, Failure> {
    jiff::tz::TimeZone::get(zone).map_err(|error| {
        Diagnostic::new("LG-P020", format!("there is no time zone {zone:?}"))
            .because(&error)
            .hint("write an IANA name: --zone Europe/Berlin")
    })?;
    let (background, set) = set::of_flags(state, args).await?;
    let recorded = since(state, span, args.background.config.as_deref())?;
    let learning = Learning {
        zone: zone.to_owned(),
        trust_domain: background.trust_domain.clone(),
        permits: set
            .policies
            .cedar()
            .filter(|policy| policy.effect() == lockgate_policy::Effect::Permit)
            .map(|policy| policy.id().to_string())
            .collect(),
    };
    let suggested = learn(&recorded, &learning);
    let judged = judge(state, &background, &set, &suggested, &recorded).await?;
    if let Some(folder) = out {
        write(folder, &suggested.roles)?;
    }
    match output {
        Output::Human => print(&suggested_text(&suggested, &judged, out)),
        Output::Json | Output::Jsonl => {
            #[derive(Serialize)]
            struct Document<'a> {
                schema: &'static str,
                #[serde(flatten)]
                suggested: &'a Suggested,
                checked: &'a [String],
            }
            print_document(&Document {
                schema: "lockgate.policy-suggested/1",
                suggested: &suggested,
                checked: &judged,
            });
        }
    }
    Ok(Exit::Ok)
}

/// Whether the proposal covers what was used, and grants nothing that is denied today.
async fn judge(
    state: &State,
    background: &Background,
    current: &Set,
    suggested: &Suggested,
    recorded: &[Recorded],
) -> Result<Vec<String>, Failure> {
    let files: Vec<File> = suggested
        .roles
        .iter()
        .map(|role| File { path: format!("{}.toml", role.role).into(), text: role.text.clone() })
        .collect();
    let proposed = match background.parse(files) {
        Ok(proposed) => proposed,
        Err(failure) => {
            return Ok(failure
                .0
                .iter()
                .map(|problem| format!("NOT checked: it does not load: {problem}"))
                .collect());
        }
    };
    let used: Vec<Recorded> =
        recorded.iter().filter(|one| one.was == lockgate_analysis::Outcome::Allow).cloned().collect();
    let replayed = again(&used, &proposed.policies, background)?;
    let difference = proof::compare(state, background, current, &proposed).await?;
    let covers = format!(
        "of {} calls that were allowed, {} would be denied by it, {} are unknown",
        replayed.calls, replayed.changed, replayed.unknown
    );
    let grants = if difference.grants_nothing_new() {
        "proved: it grants nothing that is denied today".to_owned()
    } else if difference.gained.is_empty() {
        "not proved, and no counterexample found: that it grants nothing that is denied today".to_owned()
    } else {
        let kinds: Vec<&str> = difference.gained.iter().map(|change| change.kind.as_str()).collect();
        format!("it GRANTS what is denied today: {}", kinds.join(", "))
    };
    Ok(vec![covers, grants])
}

/// Writes each role file; what is there stays.
fn write(folder: &Path, roles: &[Suggestion]) -> Result<(), Failure> {
    let failed = |path: &Path, error: &std::io::Error| {
        Diagnostic::new("LG-P026", format!("cannot write {}", path.display()))
            .because(error)
            .hint("nothing is overwritten: name an empty folder")
    };
    std::fs::create_dir_all(folder).map_err(|error| failed(folder, &error))?;
    for role in roles {
        let path = folder.join(format!("{}.toml", role.role));
        let mut file = std::fs::File::create_new(&path).map_err(|error| failed(&path, &error))?;
        std::io::Write::write_all(&mut file, role.text.as_bytes()).map_err(|error| failed(&path, &error))?;
    }
    Ok(())
}

fn suggested_text(suggested: &Suggested, judged: &[String], out: Option<&Path>) -> String {
    let mut text = String::new();
    for role in &suggested.roles {
        match out {
            Some(folder) => text.push_str(&format!(
                "{}: {} rules' worth of {} calls\n",
                folder.join(format!("{}.toml", role.role)).display(),
                role.text.matches("[[allow]]").count(),
                role.calls
            )),
            None => {
                text.push_str(&format!("# ---- {}.toml\n", role.role));
                role.text.lines().for_each(|line| text.push_str(&format!("{}\n", visible(line))));
                text.push('\n');
            }
        }
    }
    for line in judged {
        text.push_str(&format!("# checked: {}\n", visible(line)));
    }
    if suggested.without_arguments > 0 {
        text.push_str(&format!(
            "# {} calls were recorded without arguments (policy.record_arguments), so nothing is said about those\n",
            suggested.without_arguments
        ));
    }
    if !suggested.never_used.is_empty() {
        text.push_str(&format!(
            "# granted today and not used: {}\n",
            visible(&suggested.never_used.join(", "))
        ));
    }
    text
}
