//! `lockgate policy test`: cases beside the policy.

use std::path::{Path, PathBuf};

use lockgate_analysis::cases::{self, Case, Tested};
use serde::Serialize;

use super::set::{self, of_folder};
use super::unanswered;
use crate::cli::{Output, PolicyArgs};
use crate::diagnostic::{Diagnostic, Failure};
use crate::exit::Exit;
use crate::output::{Table, print, print_document, print_line, visible};
use crate::state::State;

/// Decides the cases and compares.
pub(super) async fn run(
    state: &State,
    named: &[PathBuf],
    args: &PolicyArgs,
    output: Output,
) -> Result<Exit, Failure> {
    let mut args = args.clone();
    if args.policy.is_empty() {
        args.policy = beside(named)?;
    }
    let args = &args;
    let (background, set) = set::of_flags(state, args).await?;
    let cases = read(&places(state, named, args)?)?;
    let tested =
        cases::test(&cases, &set.policies, &background.trust_domain).map_err(|error| unanswered(&error))?;
    match output {
        Output::Human => print(&human(&tested)),
        Output::Jsonl => tested.cases.iter().for_each(print_line),
        Output::Json => {
            #[derive(Serialize)]
            struct Document<'a> {
                schema: &'static str,
                passed: usize,
                failed: usize,
                #[serde(flatten)]
                tested: &'a Tested,
            }
            print_document(&Document {
                schema: "lockgate.policy-tested/1",
                passed: tested.cases.len() - tested.failed(),
                failed: tested.failed(),
                tested: &tested,
            });
        }
    }
    Ok(if tested.failed() == 0 { Exit::Ok } else { Exit::Negative })
}

/// The folders of cases that hold policies, too: cases stand beside what they test.
fn beside(named: &[PathBuf]) -> Result<Vec<PathBuf>, Diagnostic> {
    let mut folders: Vec<PathBuf> =
        named.iter().map(|path| if path.is_dir() { path.clone() } else { folder_of(path) }).collect();
    folders.sort();
    folders.dedup();
    let mut holding = Vec::new();
    for folder in folders.into_iter().filter(|folder| folder.is_dir()) {
        if !of_folder(&folder, crate::state::is_policy)?.is_empty() {
            holding.push(folder);
        }
    }
    Ok(holding)
}

/// The files of cases: those that are named, those beside the policies that are named, or those of the state directory.
fn places(state: &State, named: &[PathBuf], args: &PolicyArgs) -> Result<Vec<PathBuf>, Failure> {
    let places: Vec<PathBuf> = match (named, args.policy.as_slice()) {
        ([], []) => vec![state.policy()],
        ([], policies) => {
            policies.iter().map(|path| if path.is_dir() { path.clone() } else { folder_of(path) }).collect()
        }
        (named, _) => named.to_vec(),
    };
    let mut files = Vec::new();
    for path in places {
        if path.is_dir() {
            files.extend(of_folder(&path, is_cases)?);
        } else {
            files.push(path);
        }
    }
    files.dedup();
    if files.is_empty() {
        return Err(Diagnostic::new("LG-U002", "there are no cases")
            .hint("write NAME.test.toml beside the policies; lockgate policy test --help shows one")
            .into());
    }
    Ok(files)
}

fn folder_of(file: &Path) -> PathBuf {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

fn is_cases(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    name.ends_with(".test.toml") && !name.starts_with('.')
}

fn read(paths: &[PathBuf]) -> Result<Vec<Case>, Failure> {
    let mut all = Vec::new();
    let mut problems = Vec::new();
    for path in paths {
        match std::fs::read_to_string(path) {
            Ok(text) => match cases::read(path, &text) {
                Ok(cases) => all.extend(cases),
                Err(error) => problems.push(unanswered(&error)),
            },
            Err(error) => problems.push(
                Diagnostic::new("LG-P021", format!("cannot read the cases in {}", path.display()))
                    .because(&error),
            ),
        }
    }
    if problems.is_empty() { Ok(all) } else { Err(Failure(problems)) }
}

fn human(tested: &Tested) -> String {
    let mut table = Table::new(&["", "CASE", "EXPECTED", "DECIDED", "BY"]);
    for case in &tested.cases {
        table.row(&[
            if case.passed { "ok" } else { "FAILED" },
            &case.name,
            case.expect.name(),
            case.decided.outcome.name(),
            &if case.decided.by.is_empty() { "-".to_owned() } else { case.decided.by.join(", ") },
        ]);
    }
    let mut text = table.render(0);
    for case in tested.cases.iter().filter(|case| !case.passed) {
        text.push_str(&format!("\n{} ({})\n", visible(&case.name), case.place));
        text.push_str(&format!("  expected  {}", case.expect));
        if let Some(by) = &case.expect_by {
            text.push_str(&format!(" by {}", visible(by)));
        }
        text.push_str(&format!("\n  decided   {}", case.decided.outcome));
        if !case.decided.by.is_empty() {
            text.push_str(&format!(" by {}", visible(&case.decided.by.join(", "))));
        }
        text.push('\n');
        if !case.decided.reason.is_empty() {
            text.push_str(&format!("  because   {}\n", visible(&case.decided.reason)));
        }
        text.push_str(&format!("  explain   {}\n", visible(&case.explain)));
    }
    let decided = tested.rules - tested.never_decided.len();
    text.push_str(&format!(
        "\n{} cases, {} as expected, {} not. {decided} of {} rules decided a case.\n",
        tested.cases.len(),
        tested.cases.len() - tested.failed(),
        tested.failed(),
        tested.rules,
    ));
    if !tested.never_decided.is_empty() {
        text.push_str(&format!("Never decided: {}\n", visible(&tested.never_decided.join(", "))));
    }
    text
}
