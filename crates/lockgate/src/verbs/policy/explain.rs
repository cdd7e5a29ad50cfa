//! `lockgate policy explain`: why one call is decided as it is.

use std::fmt::Write as _;

use lockgate_analysis::replay::Recorded;
use lockgate_analysis::{Call, Clause, Explanation, Held, LinkKind, Outcome, RuleReport, explain, moment};
use serde::Serialize;
use serde_json::{Map, Value};

use super::{log, set, unanswered};
use crate::cli::{ExplainCallArgs, LinkForm, Output};
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{fold, print, print_document, visible};
use crate::state::State;

/// Explains a call that the flags describe.
pub(super) async fn run(state: &State, args: &ExplainCallArgs) -> Result<Exit, Failure> {
    let (background, set) = set::of_flags(state, &args.set).await?;
    let (call, notes) = call(state, args)?;
    let explanation =
        explain(&call, &set.policies, &background.trust_domain).map_err(|error| unanswered(&error))?;
    match args.output.output {
        Output::Human => print(&human(&explanation, &notes)),
        Output::Json | Output::Jsonl => {
            #[derive(Serialize)]
            struct Document<'a> {
                schema: &'static str,
                #[serde(flatten)]
                explanation: &'a Explanation,
                #[serde(skip_serializing_if = "<[String]>::is_empty")]
                notes: &'a [String],
            }
            print_document(&Document {
                schema: "lockgate.policy-explained/1",
                explanation: &explanation,
                notes: &notes,
            });
        }
    }
    Ok(if explanation.decided.outcome == Outcome::Allow { Exit::Ok } else { Exit::Negative })
}

/// The call, and what about it is not known.
fn call(state: &State, args: &ExplainCallArgs) -> Result<(Call, Vec<String>), Failure> {
    let mut notes = Vec::new();
    let mut call = match args.record {
        Some(number) => {
            let recorded = log::record(state, number)?;
            notes.extend(unknown(&recorded, args));
            recorded.call
        }
        None => from_flags(args)?,
    };
    if let (Some(agent), Some(_)) = (&args.agent, args.record) {
        call.agent.clone_from(agent);
    }
    if !args.roles.is_empty() {
        call.roles.clone_from(&args.roles);
    }
    if let Some(text) = &args.arguments {
        call.arguments = arguments(text)?;
    }
    if let Some(at) = &args.at {
        call.at_ms = moment::parse(at).map_err(|error| unanswered(&error))?;
    }
    if let Some(link) = args.link {
        call.link = match link {
            LinkForm::QuantumSafe => LinkKind::QuantumSafe,
            LinkForm::QuantumSafeGroup => LinkKind::QuantumSafeGroup,
            LinkForm::Classical => LinkKind::Classical,
            LinkForm::Plain => LinkKind::Plain,
        };
    }
    call.loopback |= args.loopback;
    let mut facts: std::collections::BTreeMap<String, Map<String, Value>> =
        call.facts.iter().map(|(name, record)| (name.to_owned(), record.clone())).collect();
    for text in &args.facts {
        fact(text, &mut facts)?;
    }
    call.facts = facts.into_iter().collect();
    Ok((call, notes))
}

fn unknown(recorded: &Recorded, args: &ExplainCallArgs) -> Vec<String> {
    let mut notes = vec![format!("record {} was decided: {}", recorded.seq, recorded.was)];
    if !recorded.arguments_known && args.arguments.is_none() {
        notes.push("its arguments were not recorded; give them with --arguments".to_owned());
    }
    if recorded.facts_unknown && args.facts.is_empty() {
        notes.push("the facts that it rested on are not recorded; give them with --fact".to_owned());
    }
    notes
}

fn from_flags(args: &ExplainCallArgs) -> Result<Call, Diagnostic> {
    let agent = args.agent.as_deref().unwrap_or_default();
    let now = jiff::Timestamp::now().as_millisecond();
    let now = u64::try_from(now).unwrap_or_default();
    match (&args.tool, &args.server, &args.method) {
        (Some(tool), _, _) => {
            let (server, tool) = tool.split_once('/').ok_or_else(|| {
                Diagnostic::new("LG-P020", format!("{tool:?} is not SERVER/TOOL"))
                    .hint("write the server's name, a slash and the tool's name: --tool crm/get_customer")
            })?;
            Ok(Call::tool(agent, server, tool, now))
        }
        (None, Some(server), Some(method)) => {
            let mut call = Call::tool(agent, server, "", now);
            call.method.clone_from(method);
            call.name.clone_from(&args.name);
            Ok(call)
        }
        _ => Err(Diagnostic::new("LG-P020", "it is not said what is called").hint("--tool SERVER/TOOL")),
    }
}

fn arguments(text: &str) -> Result<Map<String, Value>, Diagnostic> {
    let wrong = |why: &dyn std::error::Error| {
        Diagnostic::new("LG-P020", "the arguments cannot be read")
            .because(why)
            .hint("write a JSON object, or @FILE: --arguments '{\"id\":\"c-1\"}'")
    };
    let text = match text.strip_prefix('@') {
        Some(path) => std::fs::read_to_string(path).map_err(|error| wrong(&error))?,
        None => text.to_owned(),
    };
    serde_json::from_str(&text).map_err(|error| wrong(&error))
}

/// `NAME.FIELD=VALUE`, or `NAME=RECORD` in JSON.
fn fact(
    text: &str,
    into: &mut std::collections::BTreeMap<String, Map<String, Value>>,
) -> Result<(), Diagnostic> {
    let wrong = || {
        Diagnostic::new("LG-P020", format!("{text:?} is no fact"))
            .hint("write NAME.FIELD=VALUE or NAME='{\"FIELD\":VALUE}': --fact staff.on_duty=2")
    };
    let (name, value) = text.split_once('=').ok_or_else(wrong)?;
    let value: Value = serde_json::from_str(value).unwrap_or_else(|_| value.into());
    match (name.split_once('.'), value) {
        (Some((name, field)), value) => {
            into.entry(name.to_owned()).or_default().insert(field.to_owned(), value);
        }
        (None, Value::Object(record)) => _ = into.insert(name.to_owned(), record),
        (None, _) => return Err(wrong()),
    }
    Ok(())
}

fn human(explanation: &Explanation, notes: &[String]) -> String {
    let decided = &explanation.decided;
    let mut text = format!("{}: {} by {}\n", decided.outcome, explanation.what, explanation.agent);
    let roles = if explanation.roles.is_empty() { "none".to_owned() } else { explanation.roles.join(", ") };
    let _ = write!(
        text,
        "  roles     {roles}\n  time      {}\n  link      {}\n",
        explanation.at, explanation.link
    );
    for (name, fact) in &explanation.facts {
        let value = fact.as_ref().map_or_else(
            || "missing or stale".to_owned(),
            |record| Value::Object(record.clone()).to_string(),
        );
        let _ = writeln!(text, "  fact      {name}: {value}");
    }
    for note in notes {
        let _ = writeln!(text, "  note      {note}");
    }
    if !decided.reason.is_empty() {
        let _ = write!(text, "\n{}", fold(&decided.reason, 0, 100));
    }
    if let Some(shadow) = &decided.shadow {
        let _ = writeln!(text, "In shadow mode: {shadow}");
    }
    if !explanation.deciding.is_empty() {
        text.push_str("\nDecided by\n");
        explanation.deciding.iter().for_each(|rule| text.push_str(&rule_text(rule)));
    }
    if !explanation.nearest.is_empty() {
        text.push_str("\nPermits that came nearest\n");
        explanation.nearest.iter().for_each(|rule| text.push_str(&rule_text(rule)));
    }
    if !decided.hint.is_empty() {
        let _ = write!(text, "\n{}", fold(&format!("hint: {}", decided.hint), 0, 100));
    }
    text.lines().map(|line| format!("{}\n", visible(line))).collect()
}

fn rule_text(rule: &RuleReport) -> String {
    let mut text = format!("  {} {} ({})\n", rule.effect, rule.id, rule.place);
    if let Some(says) = &rule.says {
        let _ = writeln!(text, "    \"{says}\"");
    }
    for clause in rule.scope.iter().chain(&rule.conditions) {
        text.push_str(&clause_text(clause));
    }
    text
}

fn clause_text(clause: &Clause) -> String {
    let mark = match &clause.held {
        Held::Yes => "true ",
        Held::No => "FALSE",
        Held::NotAsked => "-    ",
        Held::Failed(_) => "ERROR",
    };
    let mut text = format!("    {mark}  {}", clause.text);
    if clause.held != Held::Yes && !clause.values.is_empty() {
        let values: Vec<String> =
            clause.values.iter().map(|(name, value)| format!("{name} is {value}")).collect();
        let _ = write!(text, "\n           {}", values.join("; "));
    }
    if let Held::Failed(why) = &clause.held {
        let _ = write!(text, "\n           {why}");
    }
    text.push('\n');
    text
}
