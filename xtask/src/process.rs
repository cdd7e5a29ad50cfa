//! Running other programs: nothing to type into, everything they print passed on.

use std::{
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, Result, bail};

/// The same `cargo` that runs this command.
pub(crate) fn cargo(root: &Path) -> Command {
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root);
    cargo
}

/// Runs `command`, hands each line that it prints to `line`, and says whether it succeeded.
///
/// # Errors
/// When it cannot be started.
pub(crate) fn run(mut command: Command, mut line: impl FnMut(&str)) -> Result<bool> {
    let shown = format!("{command:?}");
    command.stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().with_context(|| format!("cannot start {shown}"))?;
    let printed = child.stdout.take().context("the output is piped")?;
    for text in BufReader::new(printed).split(b'\n') {
        let text = text.with_context(|| format!("cannot read the output of {shown}"))?;
        let text = String::from_utf8_lossy(&text);
        line(&text);
        // Whoever closed our output does not want to read on; the run goes on for its result.
        let _ = writeln!(std::io::stdout(), "{text}");
    }
    Ok(child.wait().with_context(|| format!("cannot wait for {shown}"))?.success())
}

/// Runs `command` and returns what it printed.
///
/// # Errors
/// When it cannot be started or fails, with the end of what it said.
pub(crate) fn read(mut command: Command) -> Result<String> {
    let shown = format!("{command:?}");
    let output = command.stdin(Stdio::null()).output();
    let output = output.with_context(|| format!("cannot start {shown}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{shown} failed ({}): {}", output.status, said.trim_end());
    }
    String::from_utf8(output.stdout).with_context(|| format!("{shown} printed bytes, not text"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Command {
        let mut shell = Command::new("sh");
        shell.args(["-c", script]);
        shell
    }

    #[test]
    fn lines_and_the_result_are_passed_on() {
        let mut lines = Vec::new();
        let ended = run(shell("echo one; echo two; exit 3"), |line| lines.push(line.to_owned()));
        assert_eq!(lines, ["one", "two"]);
        assert!(!ended.expect("it ran"));
        assert!(run(shell("true"), |_| {}).expect("it ran"));
    }

    #[test]
    fn a_failure_says_why() {
        let error = read(shell("echo because >&2; exit 1")).expect_err("a failure").to_string();
        assert!(error.contains("because"), "{error}");
        assert!(read(Command::new("/nonexistent/program")).is_err());
    }
}
