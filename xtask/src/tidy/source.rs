//! Rules about single files.

use super::{Finding, code, finding};

/// Longest file; most are about half as long.
const LINES_MAX: usize = 800;
/// The files that may hold unsafe code, each for one foreign call that has no safe form: the
/// context string of a composite signature, and the signal that ties a child process to its parent.
const UNSAFE_FILES: [&str; 2] =
    ["crates/crypto/src/ml_dsa_context.rs", "crates/transport/src/child/kernel.rs"];
/// Macros that mark unfinished code or left-over debugging.
const UNFINISHED: [&str; 3] = ["todo", "unimplemented", "dbg"];
/// File names that say nothing about what is inside.
const VAGUE: [&str; 6] = ["utils", "util", "helpers", "helper", "common", "manager"];

/// A file's path from the workspace's root, and its text.
pub(super) type File = (String, String);

/// The findings of one rule in all files.
pub(super) fn all(files: &[File], rule: fn(&str, &str) -> Vec<Finding>) -> Vec<Finding> {
    files.iter().flat_map(|(path, text)| rule(path, text)).collect()
}

/// `todo!`, `unimplemented!`, `dbg!`.
pub(super) fn unfinished(path: &str, text: &str) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (number, line) in code::code(text).lines().enumerate() {
        for name in UNFINISHED {
            let called = words(line).any(|(word, rest)| word == name && rest.starts_with('!'));
            if called {
                let place = format!("{path}:{}", number + 1);
                findings.push(finding(place, format!("`{name}!` marks unfinished code")));
            }
        }
    }
    findings
}

/// Unsafe code, or leave for it, outside the named files.
pub(super) fn unsafe_code(path: &str, text: &str) -> Vec<Finding> {
    if UNSAFE_FILES.contains(&path) {
        return Vec::new();
    }
    let mut findings = Vec::new();
    for (number, line) in code::code(text).lines().enumerate() {
        let leave = line.contains("allow(") || line.contains("expect(");
        let found = words(line).any(|(word, _)| word == "unsafe" || word == "unsafe_code" && leave);
        if found {
            let place = format!("{path}:{}", number + 1);
            findings.push(finding(place, "unsafe code belongs in the named files only"));
        }
    }
    findings
}

/// Files of more than [`LINES_MAX`] lines.
pub(super) fn too_long(path: &str, text: &str) -> Vec<Finding> {
    match text.lines().count() {
        lines if lines > LINES_MAX => {
            vec![finding(path, format!("{lines} lines, more than {LINES_MAX}"))]
        }
        _ => Vec::new(),
    }
}

/// Crate roots that do not open with a description.
pub(super) fn undocumented(path: &str, text: &str) -> Vec<Finding> {
    let root = ["src/lib.rs", "src/main.rs"].iter().any(|name| path.ends_with(name));
    let binary = path.contains("/src/bin/");
    // A fuzz target is a crate of its own, and so is a file of integration tests.
    let target = path.contains("/fuzz_targets/") || is_test(path);
    let opens = text.lines().map(str::trim).find(|line| !line.is_empty());
    let documented = opens.is_some_and(|line| line.starts_with("//!") || line.starts_with("#!["));
    if (root || binary || target) && !(documented && text.contains("//! ")) {
        return vec![finding(path, "the crate has no description (`//!`)")];
    }
    Vec::new()
}

fn is_test(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    parts.len() == 4 && parts[2] == "tests"
}

/// Names like `utils.rs`.
pub(super) fn vague_name(path: &str, _: &str) -> Vec<Finding> {
    let parts = path.split('/').map(|part| part.trim_end_matches(".rs"));
    parts
        .filter(|part| VAGUE.contains(part))
        .map(|part| finding(path, format!("`{part}` says nothing about what is inside")))
        .collect()
}

/// Each word of a line with what follows it.
fn words(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let start = rest.find(code::is_word)?;
        let from = &rest[start..];
        let end = from.find(|c| !code::is_word(c)).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        rest = after;
        Some((word, after))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: &str = "crates/mcp/src/message.rs";

    #[test]
    fn unfinished_code_is_found_and_talk_of_it_is_not() {
        for bad in ["fn f() { todo!() }", "let x = dbg!(1);", "std::unimplemented!{}"] {
            assert_eq!(unfinished(PLACE, bad).len(), 1, "{bad}");
        }
        for good in ["// todo!()", r#"let s = "dbg!";"#, "my_todo!()", "todo_list()"] {
            assert_eq!(unfinished(PLACE, good), [], "{good}");
        }
        assert_eq!(unfinished(PLACE, "\n\ndbg!(1)")[0].place, format!("{PLACE}:3"));
    }

    #[test]
    fn unsafe_outside_the_named_files_is_found() {
        for bad in ["unsafe { f() }", "#[allow(unsafe_code)]", "#[expect(unsafe_code)]"] {
            assert_eq!(unsafe_code(PLACE, bad).len(), 1, "{bad}");
            assert_eq!(unsafe_code(UNSAFE_FILES[0], bad), [], "{bad}");
        }
        for good in ["#![forbid(unsafe_code)]", "// unsafe", "fn not_unsafe() {}"] {
            assert_eq!(unsafe_code(PLACE, good), [], "{good}");
        }
    }

    #[test]
    fn a_long_file_is_found() {
        assert_eq!(too_long(PLACE, &"\n".repeat(LINES_MAX)), []);
        assert_eq!(too_long(PLACE, &"\n".repeat(LINES_MAX + 1)).len(), 1);
    }

    #[test]
    fn a_crate_without_description_is_found() {
        for root in [
            "crates/mcp/src/lib.rs",
            "xtask/src/main.rs",
            "crates/testkit/src/bin/server.rs",
            "crates/mcp/tests/golden.rs",
            "fuzz/fuzz_targets/sse.rs",
        ] {
            assert_eq!(undocumented(root, "mod a;\n").len(), 1, "{root}");
            assert_eq!(undocumented(root, "\n//! What it is.\nmod a;\n"), [], "{root}");
            assert_eq!(undocumented(root, "#![no_main]\n//! What it is.\n"), [], "{root}");
        }
        assert_eq!(undocumented(PLACE, "fn f() {}"), []);
    }

    #[test]
    fn a_vague_name_is_found() {
        assert_eq!(vague_name("crates/mcp/src/utils.rs", "").len(), 1);
        assert_eq!(vague_name("crates/mcp/src/common/line.rs", "").len(), 1);
        assert_eq!(vague_name(PLACE, ""), []);
    }
}
