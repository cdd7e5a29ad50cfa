//! `lockgate policy check` and `show`.

use std::path::PathBuf;

use lockgate_policy::PolicyError;
use serde::Serialize;

use super::set::{self, Background, Set};
use super::{File, none};
use crate::cli::{Output, SetArgs};
use crate::diagnostic::Failure;
use crate::exit::Exit;
use crate::output::{print, print_document, print_line};
use crate::state::State;

/// A warning as programs read it.
#[derive(Serialize)]
struct Warning<'a> {
    code: &'static str,
    file: &'a str,
    line: u32,
    column: u32,
    what: &'a str,
    hint: &'a str,
}

impl<'a> Warning<'a> {
    fn new(warning: &'a PolicyError) -> Self {
        Warning {
            code: warning.fault.code(),
            file: &warning.file,
            line: warning.line,
            column: warning.column,
            what: &warning.what,
            hint: &warning.hint,
        }
    }
}

/// Checks a set and says what it found.
pub(super) async fn check(state: &State, args: &SetArgs, output: Output) -> Result<Exit, Failure> {
    let (background, set) = set::of_arguments(state, args).await?;
    match output {
        Output::Human => print(&human(&background, &set)),
        Output::Json | Output::Jsonl => {
            #[derive(Serialize)]
            struct Valid<'a> {
                schema: &'static str,
                valid: bool,
                files: Vec<&'a PathBuf>,
                policies: Vec<&'a str>,
                tools: usize,
                warnings: Vec<Warning<'a>>,
            }
            print_line(&Valid {
                schema: "lockgate.policy-valid/1",
                valid: true,
                files: set.files.iter().map(|file| &file.path).collect(),
                policies: set.policies.ids().collect(),
                tools: background.tools(),
                warnings: set.policies.warnings().iter().map(Warning::new).collect(),
            });
        }
    }
    Ok(Exit::Ok)
}

fn human(background: &Background, set: &Set) -> String {
    let mut text = String::new();
    for warning in set.policies.warnings() {
        text.push_str(&format!(
            "warning[{}]: {}\n  --> {}:{}:{}\nhint: {}\n\n",
            warning.fault.code(),
            warning.what,
            warning.file,
            warning.line,
            warning.column,
            warning.hint
        ));
    }
    let names: Vec<String> = set.files.iter().map(|file| file.path.display().to_string()).collect();
    let ids: Vec<&str> = set.policies.ids().collect();
    let warnings = match set.policies.warnings().len() {
        0 => String::new(),
        1 => ", 1 warning".to_owned(),
        several => format!(", {several} warnings"),
    };
    text.push_str(&format!(
        "{}: valid, {} policies{warnings}: {}\n",
        names.join(", "),
        ids.len(),
        ids.join(", ")
    ));
    text.push_str(&match background.tools() {
        0 => {
            format!("Arguments of tools were not checked: definitions of tools: {}.\n", background.tools_from)
        }
        tools => format!("Checked against {tools} tools: {}.\n", background.tools_from),
    });
    text
}

/// Shows a set.
pub(super) async fn show(
    state: &State,
    args: &SetArgs,
    cedar: bool,
    output: Output,
) -> Result<Exit, Failure> {
    let files = if cedar {
        let (_, set) = set::of_arguments(state, args).await?;
        compiled(&set)
    } else {
        set::files(state, &args.files)?
    };
    if files.is_empty() {
        return Err(none(state).into());
    }
    match output {
        Output::Human => {
            for file in files {
                print(&format!("// {}\n{}\n\n", file.path.display(), file.text.trim_end()));
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
    Ok(Exit::Ok)
}

/// Each file with the Cedar that it comes to.
fn compiled(set: &Set) -> Vec<File> {
    let mut files: Vec<File> =
        set.files.iter().map(|file| File { path: file.path.clone(), text: String::new() }).collect();
    for placed in set.policies.placed() {
        let of = files.iter_mut().find(|file| file.path.display().to_string() == placed.file);
        if let Some(file) = of {
            file.text.push_str(&format!("// {} ({})\n{}\n\n", placed.id(), placed.place(), placed.policy));
        }
    }
    files
}
