//! `lockgate policy …`: the rules, checked as strictly as a node checks them, and questions about them.

use std::path::PathBuf;

use lockgate_analysis::AnalysisError;
use lockgate_policy::{Options, Policies, PolicyError, Source, role};
use serde::Serialize;

use crate::cli::{Global, PolicyVerb};
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::print;
use crate::state::State;

mod check;
mod explain;
mod log;
mod proof;
pub(crate) mod set;
mod test;
mod who;

/// A policy file and its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// Runs the verb.
pub(crate) async fn run(verb: &PolicyVerb, global: &Global) -> Result<Exit, Failure> {
    let state = State::locate(global.state.as_deref())?;
    match verb {
        PolicyVerb::Check { set, output } => check::check(&state, set, output.output).await,
        PolicyVerb::Show { set, cedar, output } => check::show(&state, set, *cedar, output.output).await,
        // JSON in any form: there is no other.
        PolicyVerb::Schema { output: _ } => {
            let schema = serde_json::to_string_pretty(&role::json_schema()).expect("a schema is plain JSON");
            print(&format!("{schema}\n"));
            Ok(Exit::Ok)
        }
        PolicyVerb::Test { cases, set, output } => test::run(&state, cases, set, output.output).await,
        PolicyVerb::Explain(args) => explain::run(&state, args).await,
        PolicyVerb::WhoCan { tool, set, output } => who::who_can(&state, tool, set, output.output).await,
        PolicyVerb::WhatCan { agent, roles, set, output } => {
            who::what_can(&state, (agent, roles), set, output.output).await
        }
        PolicyVerb::Diff { old, new, background, output } => {
            proof::diff(&state, (old, new.as_deref()), background, output.output).await
        }
        PolicyVerb::Prove(args) => proof::prove(&state, args).await,
        PolicyVerb::Replay { since, set, output } => log::replay(&state, *since, set, output.output).await,
        PolicyVerb::Suggest { since, zone, out, set, output } => {
            log::suggest(&state, *since, (zone, out.as_deref()), set, output.output).await
        }
    }
}

/// Reads policy files; all that cannot be read are named at once.
pub(crate) fn read(paths: Vec<PathBuf>) -> Result<Vec<File>, Failure> {
    let mut files = Vec::new();
    let mut problems = Vec::new();
    for path in paths {
        match std::fs::read_to_string(&path) {
            Ok(text) => files.push(File { path, text }),
            Err(error) => problems.push(
                Diagnostic::new("LG-C009", format!("cannot read the policy file {}", path.display()))
                    .because(&error),
            ),
        }
    }
    if problems.is_empty() { Ok(files) } else { Err(Failure(problems)) }
}

/// Parses policy files against what is known, every mistake of every file at once; `before` is the set that they take the place of.
pub(crate) fn parse_with(
    files: &[File],
    options: &Options<'_>,
    before: Option<&Policies>,
) -> Result<Policies, Failure> {
    // Whoever writes a file empties it first; a set of policies is never the better for an empty file.
    let empty: Vec<Diagnostic> =
        files.iter().filter(|file| file.text.trim().is_empty()).map(emptied).collect();
    if !empty.is_empty() {
        return Err(Failure(empty));
    }
    let names: Vec<String> = files.iter().map(|file| file.path.display().to_string()).collect();
    let sources: Vec<Source<'_>> =
        files.iter().zip(&names).map(|(file, name)| Source { name, text: &file.text }).collect();
    before
        .map_or_else(|| Policies::parse(&sources, options), |before| before.parse_again(&sources, options))
        .map_err(|errors| Failure(errors.iter().map(diagnose).collect()))
}

fn emptied(file: &File) -> Diagnostic {
    let path = file.path.display();
    Diagnostic::new("LG-P007", "the file is empty: it is unfinished, or was cut off")
        .at(format!("{path}:1:1"))
        .hint("write it, or remove it if nothing is to stand in it")
}

fn diagnose(error: &PolicyError) -> Diagnostic {
    Diagnostic::new(error.fault.code(), error.what.clone())
        .at(format!("{}:{}:{}", error.file, error.line, error.column))
        .hint(error.hint.clone())
}

fn none(state: &State) -> Diagnostic {
    Diagnostic::new("LG-U002", format!("there is no policy file in {}", state.policy().display()))
        .hint("a node writes one when it starts: lockgate up")
        .hint("check a file by its name: lockgate policy check FILE")
}

/// A question that has no answer.
fn unanswered(error: &AnalysisError) -> Diagnostic {
    let (code, hint) = match error {
        AnalysisError::Call { .. } => ("LG-P020", None),
        AnalysisError::Cases { .. } => ("LG-P021", None),
        AnalysisError::Invariant { .. } => ("LG-P022", None),
        AnalysisError::NoSolver { .. } => {
            ("LG-P023", Some("install it, on Debian: apt install cvc5; or name it: CVC5=/path/to/cvc5"))
        }
        AnalysisError::Solver(_) => ("LG-P024", Some("try again; the solver can be named with CVC5=PATH")),
        AnalysisError::Bug(_) => ("LG-X001", None),
    };
    let (what, place) = match error {
        AnalysisError::Cases { file, line, column, what } => {
            (what.clone(), Some(format!("{}:{line}:{column}", file.display())))
        }
        other => (other.to_string(), None),
    };
    let mut diagnostic = Diagnostic::new(code, what);
    if let Some(place) = place {
        diagnostic = diagnostic.at(place);
    }
    for hint in error.hint().into_iter().chain(hint) {
        diagnostic = diagnostic.hint(hint);
    }
    diagnostic
}
