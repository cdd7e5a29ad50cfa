//! `lockgate facts …`: what policy is told of the world.

use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

use lockgate_admin::{FactAnswer, FactQuestion, FactUsed, FactView, Facts, Versioned};
use lockgate_facts::push::{SCHEMA, Statement, sign, written};
use lockgate_identity::key_file;
use serde_json::{Map, Value};

use super::identity::time;
use crate::cli::{FactsVerb, Global, Output};
use crate::client;
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{Table, print, print_document, print_line, visible};
use crate::state::State;

/// Runs the verb.
pub(crate) async fn run(verb: &FactsVerb, global: &Global) -> Result<Exit, Failure> {
    let state = State::locate(global.state.as_deref())?;
    match verb {
        FactsVerb::List(output) => {
            let facts = client::admin(&state)?.facts().await.map_err(|error| client::unanswered(&error))?;
            list(&facts, output.output);
            Ok(Exit::Ok)
        }
        FactsVerb::Get { name, key, output } => {
            let question = FactQuestion { name: name.clone(), key: key.clone() };
            let answer = client::admin(&state)?.ask_fact(&question).await;
            let answer = answer.map_err(|error| client::unanswered(&error))?;
            show(&answer, output.output);
            Ok(if answer.used.present { Exit::Ok } else { Exit::Negative })
        }
        FactsVerb::Push { name, file, withdraw, about, key, output } => {
            let record = match (file, withdraw) {
                (Some(file), false) => Some(record(file)?),
                _ => None,
            };
            let statement = Statement {
                schema: SCHEMA.to_owned(),
                fact: name.clone(),
                key: about.clone(),
                issued: written(now_ms()),
                as_of: None,
                record,
            };
            push(&statement, key, output.output, &state).await
        }
    }
}

/// Signs a statement here and brings it to the node: the key stays with whoever states.
async fn push(statement: &Statement, key: &Path, output: Output, state: &State) -> Result<Exit, Failure> {
    let key = key_file::read(key).map_err(|error| {
        Diagnostic::new("LG-S003", format!("cannot read {}", key.display())).because(&error)
    })?;
    let signed = sign(statement, &key)
        .map_err(|error| Diagnostic::new("LG-F005", "the statement cannot be signed").because(&error))?;
    let signed = serde_json::value::to_raw_value(&signed).expect("a signed statement is plain data");
    let receipt =
        client::admin(state)?.push_fact(&signed).await.map_err(|error| client::unanswered(&error))?;
    match output {
        Output::Human if receipt.withdrawn => print(&format!("{} is taken back.\n", visible(&receipt.fact))),
        Output::Human => print(&format!(
            "{} holds until {}, or until the next one.\n",
            visible(&receipt.fact),
            time(receipt.until_ms)
        )),
        Output::Json | Output::Jsonl => print_line(&Versioned::of(&receipt)),
    }
    Ok(Exit::Ok)
}

fn record(file: &Path) -> Result<Map<String, Value>, Diagnostic> {
    let unread = |why: String| {
        Diagnostic::new("LG-S003", format!("cannot read {}", file.display()))
            .cause(why)
            .hint("the file holds one JSON object with the fields of the fact, like {\"on_duty\": 2}")
    };
    let bytes = std::fs::read(file).map_err(|error| unread(error.to_string()))?;
    serde_json::from_slice(&bytes).map_err(|error| unread(error.to_string()))
}

fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn list(facts: &Facts, output: Output) {
    match output {
        Output::Human if facts.facts.is_empty() => {
            print("This node is told no facts. Add one to its configuration: [[fact]]\n");
        }
        Output::Human => print(&table(&facts.facts)),
        Output::Jsonl => facts.facts.iter().for_each(print_line),
        Output::Json => print_document(&Versioned::of(facts)),
    }
}

fn table(facts: &[FactView]) -> String {
    let mut table = Table::new(&["NAME", "FROM", "KEY", "MAX AGE", "KNOWN", "LAST USE", "AGE", "OUTCOME"]);
    for fact in facts {
        let last = fact.last.as_ref();
        let outcome = last.map_or_else(|| "not used yet".to_owned(), described);
        let outcome = if fact.resting { format!("{outcome} (resting)") } else { outcome };
        table.row(&[
            &fact.name,
            &fact.from,
            fact.key.as_deref().unwrap_or("-"),
            &span(fact.max_age_ms),
            &fact.known.to_string(),
            &last.map_or_else(|| "-".to_owned(), |last| time(last.at_ms)),
            &last.and_then(|last| last.age_ms).map_or_else(|| "-".to_owned(), span),
            &outcome,
        ]);
    }
    table.render(0)
}

fn show(answer: &FactAnswer, output: Output) {
    match (output, &answer.record) {
        (Output::Human, Some(record)) => {
            let age = answer.used.age_ms.map_or_else(String::new, |age| format!(", {} old", span(age)));
            let record = serde_json::to_string_pretty(record).expect("a record is plain data");
            print(&format!("{}{age}\n{}\n", visible(&answer.name), printable(&record)));
        }
        (Output::Human, None) => print(&format!("{}: {}\n", visible(&answer.name), described(&answer.used))),
        (Output::Json, _) => print_document(&Versioned::of(answer)),
        (Output::Jsonl, _) => print_line(&Versioned::of(answer)),
    }
}

/// Each line with its control characters visible.
fn printable(text: &str) -> String {
    text.lines().map(visible).collect::<Vec<_>>().join("\n")
}

fn described(used: &FactUsed) -> String {
    match &used.code {
        Some(code) => format!("{} [{code}]", visible(&used.outcome)),
        None => visible(&used.outcome),
    }
}

/// Milliseconds in the unit that reads best.
fn span(ms: u64) -> String {
    match ms {
        0..=9_999 => format!("{ms} ms"),
        10_000..=599_999 => format!("{} s", ms / 1_000),
        600_000..=35_999_999 => format!("{} min", ms / 60_000),
        _ => format!("{} h", ms / 3_600_000),
    }
}
