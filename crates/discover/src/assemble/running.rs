//! Which of the known servers a running one is.
//!
//! Launchers change their own command lines: `npx` runs as `npm exec`, `uvx` as `uv tool uvx`, and what they start is a file
//! deep in a cache. So that after the exact command its package is compared, and at last what the paths say.

use crate::launch::{Package, meaning};
use crate::process::Running;

/// The id of the server that this is.
pub(super) fn known(
    running: &Running<'_>,
    runs: &[(String, Package, Vec<String>)],
    by_command: impl Fn(&[String]) -> Option<String>,
) -> Option<String> {
    if let Some(id) = running.commands.iter().find_map(|command| by_command(command)) {
        return Some(id);
    }
    let same = |one: &Package, other: &Package| one.ecosystem == other.ecosystem && one.name == other.name;
    let packages: Vec<(Package, &[String])> =
        running.commands.iter().filter_map(|command| Some((meaning(command).package?, *command))).collect();
    // The same package with the same words behind it, then the same package.
    let exact = runs.iter().find(|(_, package, command)| {
        packages
            .iter()
            .any(|(other, seen)| same(package, other) && tail(command, package) == tail(seen, other))
    });
    let near = || runs.iter().find(|(_, package, _)| packages.iter().any(|(other, _)| same(package, other)));
    let by_path = || {
        runs.iter().find(|(_, package, _)| {
            running.commands.iter().any(|command| command.iter().any(|word| lies_in(word, &package.name)))
        })
    };
    exact.or_else(near).or_else(by_path).map(|(id, ..)| id.clone())
}

/// The words behind the package.
fn tail<'a>(command: &'a [String], package: &Package) -> &'a [String] {
    let at = command.iter().position(|word| word.starts_with(&package.name));
    at.and_then(|at| command.get(at + 1..)).unwrap_or_default()
}

/// Whether a path leads into a package's folder, or to its program.
fn lies_in(word: &str, package: &str) -> bool {
    let program = package.rsplit('/').next().unwrap_or(package);
    word.contains(&format!("node_modules/{package}/"))
        || (word.contains('/') && word.ends_with(&format!("/{program}")))
}
