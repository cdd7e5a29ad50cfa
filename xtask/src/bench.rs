//! `cargo xtask bench`: builds what is measured, installs what it is measured beside, and runs it.
//!
//! What is measured, and how, stands in the package `lockgate-bench`; its arguments are passed on. `bench policy` is a
//! package of its own, `lockgate-bench-policy`, in a workspace of its own: the engines beside us do not ship. `bench audit` is
//! an example of `lockgate-audit`.

use std::{env, path::Path, process::Command};

use anyhow::{Context, Result, ensure};

use crate::{peers, process};

/// The table of the last full run, which is committed.
const TABLE: &str = "bench/results/latest.md";

/// The table of the last full run of `bench policy`, which is committed too.
const POLICY_TABLE: &str = "bench/results/policy.md";

/// The table of the last full run of `bench audit`.
const AUDIT_TABLE: &str = "bench/results/audit.md";

/// The workspace of `bench policy`.
const POLICY_MANIFEST: &str = "bench/policy/Cargo.toml";

/// Measures; `false` when that failed half-way. A full run without `--out` renews the committed table.
///
/// # Errors
/// When the binaries cannot be built, or nginx cannot be installed.
pub(crate) fn run(root: &Path, arguments: &[String]) -> Result<bool> {
    if let Some(("policy", arguments)) = arguments.split_first().map(|(word, rest)| (word.as_str(), rest)) {
        return policy(root, arguments);
    }
    if let Some(("audit", arguments)) = arguments.split_first().map(|(word, rest)| (word.as_str(), rest)) {
        return audit(root, arguments);
    }
    peers::nginx()?;
    let mut cargo = process::cargo(root);
    cargo.args(["build", "--release", "--locked", "--package", "lockgate", "--package", "lockgate-bench"]);
    ensure!(process::run(cargo, |_| {})?, "the binaries cannot be built");
    let mut cargo = process::cargo(root);
    cargo.args(["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: serde_json::Value = serde_json::from_str(&process::read(cargo)?)?;
    let target = metadata["target_directory"].as_str().context("cargo metadata names no target folder")?;
    let mut bench = Command::new(Path::new(target).join("release/lockgate-bench"));
    bench.arg("run").args(arguments);
    // The table names the command that made it, so it must not name this machine's folders.
    match whole(arguments) {
        true => bench.current_dir(root).args(["--out", TABLE]),
        false => bench.current_dir(env::current_dir()?),
    };
    process::run(bench, |_| {})
}

/// Measures policy decisions beside other engines.
fn policy(root: &Path, arguments: &[String]) -> Result<bool> {
    let mut cargo = process::cargo(root);
    cargo.args(["run", "--release", "--locked", "--quiet", "--manifest-path", POLICY_MANIFEST, "--"]);
    cargo.args(arguments);
    if whole(arguments) {
        cargo.args(["--out", POLICY_TABLE]);
    }
    process::run(cargo, |_| {})
}

/// Measures the audit log; a full run renews the committed table.
fn audit(root: &Path, arguments: &[String]) -> Result<bool> {
    let mut cargo = process::cargo(root);
    cargo.args([
        "run",
        "--release",
        "--locked",
        "--quiet",
        "--package",
        "lockgate-audit",
        "--example",
        "measure",
        "--",
    ]);
    cargo.args(arguments);
    if !arguments.is_empty() {
        return process::run(cargo, |_| {});
    }
    let table = process::read(cargo)?;
    println!("{table}");
    std::fs::write(root.join(AUDIT_TABLE), table)?;
    Ok(true)
}

/// Whether nothing is left out, and no other place is named for the table.
fn whole(arguments: &[String]) -> bool {
    let flags = ["--quick", "--part", "--out", "--help", "-h"];
    !arguments.iter().any(|word| flags.contains(&word.split('=').next().unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_whole_run_renews_the_table() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert!(whole(&[]));
        assert!(whole(&words("--lockgate target/release/lockgate")));
        for partial in ["--quick", "--part calls", "--part=calls", "--out x.md", "--help"] {
            assert!(!whole(&words(partial)), "{partial}");
        }
    }
}
