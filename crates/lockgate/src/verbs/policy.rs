//! `lockgate policy …`: the rules, checked as strictly as a node checks them.

use std::path::PathBuf;

use lockgate_policy::{FactShape, Options, Policies, PolicyError, Source};
use serde::Serialize;

use crate::cli::{Global, Output, PolicyVerb};
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{print, print_document, print_line};
use crate::state::State;

/// A policy file and its text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

/// Runs the verb.
pub(crate) fn run(verb: &PolicyVerb, global: &Global) -> Result<Exit, Failure> {
    let state = State::locate(global.state.as_deref())?;
    match verb {
        PolicyVerb::Check { files, output } => {
            let files = read(if files.is_empty() { state.policy_files()? } else { files.clone() })?;
            if files.is_empty() {
                return Err(none(&state).into());
            }
            let policies = parse(&files, &[], 1)?;
            say_valid(&files, &policies, output.output);
        }
        PolicyVerb::Show(output) => {
            let files = read(state.policy_files()?)?;
            if files.is_empty() {
                return Err(none(&state).into());
            }
            show(files, output.output);
        }
    }
    Ok(Exit::Ok)
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

/// Parses policy files; every mistake of every file at once.
pub(crate) fn parse(files: &[File], facts: &[FactShape], generation: u64) -> Result<Policies, Failure> {
    parse_with(files, &Options { facts, ..Options::bare(generation) }, None)
}

/// Parses policy files against what is known; `before` is the set that they take the place of.
pub(crate) fn parse_with(
    files: &[File],
    options: &Options<'_>,
    before: Option<&Policies>,
) -> Result<Policies, Failure> {
    let names: Vec<String> = files.iter().map(|file| file.path.display().to_string()).collect();
    let sources: Vec<Source<'_>> =
        files.iter().zip(&names).map(|(file, name)| Source { name, text: &file.text }).collect();
    before
        .map_or_else(|| Policies::parse(&sources, options), |before| before.parse_again(&sources, options))
        .map_err(|errors| Failure(errors.iter().map(diagnose).collect()))
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

fn say_valid(files: &[File], policies: &Policies, output: Output) {
    let ids: Vec<&str> = policies.ids().collect();
    match output {
        Output::Human => {
            let names: Vec<String> = files.iter().map(|file| file.path.display().to_string()).collect();
            print(&format!("{}: valid, {} policies: {}\n", names.join(", "), policies.len(), ids.join(", ")));
        }
        Output::Json | Output::Jsonl => {
            #[derive(Serialize)]
            struct Valid<'a> {
                schema: &'static str,
                valid: bool,
                files: Vec<&'a PathBuf>,
                policies: Vec<&'a str>,
            }
            let files = files.iter().map(|file| &file.path).collect();
            print_line(&Valid { schema: "lockgate.policy-valid/1", valid: true, files, policies: ids });
        }
    }
}

fn show(files: Vec<File>, output: Output) {
    match output {
        Output::Human => {
            for file in files {
                print(&format!("// {}\n{}\n", file.path.display(), file.text.trim_end()));
            }
        }
        Output::Jsonl => files.iter().for_each(print_line),
        Output::Json => {
            #[derive(Serialize)]
            struct All {
                schema: &'static str,
                files: Vec<File>,
            }
            print_document(&All { schema: "lockgate.policies/1", files });
        }
    }
}
