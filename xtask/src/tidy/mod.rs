//! The rules that neither the compiler nor clippy knows.
//!
//! Each rule is a pure function from text to findings, so that its test shows that it can fail;
//! this module only reads files.

mod code;
mod crypto;
mod edges;
mod source;

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

use crate::{process, tally::Tally};

/// Packages that the lock file may hold: what a person can still look through.
const LOCKED_PACKAGES_MAX: usize = 400;
/// Folders whose Rust files are checked.
const SOURCE_FOLDERS: [&str; 4] = ["crates", "xtask", "bench", "fuzz"];

/// Something that breaks a rule, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) place: String,
    pub(crate) broken: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.broken)
    }
}

/// Checks the whole workspace, prints each finding, and counts the rules kept and broken.
///
/// # Errors
/// When the workspace cannot be read.
pub(crate) fn run(root: &Path) -> Result<Tally> {
    let mut cargo = process::cargo(root);
    cargo.args(["metadata", "--no-deps", "--format-version", "1"]);
    let packages = edges::packages(&process::read(cargo)?)?;
    let files = source_files(root)?;
    let lock = fs::read_to_string(root.join("Cargo.lock")).context("cannot read Cargo.lock")?;
    let rules = [
        ("crate edges", edges::own(&packages)),
        ("external crates in their place", edges::external(&packages)),
        ("no unfinished code", source::all(&files, source::unfinished)),
        ("unsafe in the named files only", source::all(&files, source::unsafe_code)),
        ("algorithms are data", crypto::named_algorithms(&files)),
        ("TLS 1.3 by name", source::all(&files, crypto::unnamed_versions)),
        ("short files", source::all(&files, source::too_long)),
        ("documented crates", source::all(&files, source::undocumented)),
        ("telling file names", source::all(&files, source::vague_name)),
        ("a short lock file", lock_file(&lock, LOCKED_PACKAGES_MAX)?),
    ];
    let mut tally = Tally::default();
    for (rule, findings) in rules {
        println!("{} {rule}", if findings.is_empty() { "kept  " } else { "BROKEN" });
        findings.iter().for_each(|finding| println!("       {finding}"));
        tally.add(Tally::one(findings.is_empty()));
    }
    Ok(tally)
}

/// Every Rust file, with its path from the root.
fn source_files(root: &Path) -> Result<Vec<(String, String)>> {
    let mut folders: Vec<PathBuf> = SOURCE_FOLDERS.iter().map(|name| root.join(name)).collect();
    let mut files = Vec::new();
    while let Some(folder) = folders.pop() {
        if !folder.is_dir() {
            continue;
        }
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            if path.is_dir() && !path.ends_with("target") {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text =
                    fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
                let place = path.strip_prefix(root)?.to_string_lossy().into_owned();
                files.push((place, text));
            }
        }
    }
    files.sort();
    Ok(files)
}

fn lock_file(text: &str, packages_max: usize) -> Result<Vec<Finding>> {
    let lock: toml::Table = toml::from_str(text).context("Cargo.lock is no TOML")?;
    let packages = lock.get("package").and_then(|packages| packages.as_array());
    let held = packages.map_or(0, Vec::len);
    Ok(match held {
        0 => vec![finding("Cargo.lock", "it holds no package")],
        _ if held <= packages_max => Vec::new(),
        _ => vec![finding("Cargo.lock", format!("{held} packages, more than {packages_max}"))],
    })
}

fn finding(place: impl Into<String>, broken: impl Into<String>) -> Finding {
    Finding { place: place.into(), broken: broken.into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_or_empty_lock_file_is_found() {
        let two = "[[package]]\nname = \"a\"\n[[package]]\nname = \"b\"\n";
        assert_eq!(lock_file(two, 2).expect("TOML"), []);
        assert_eq!(lock_file(two, 1).expect("TOML").len(), 1);
        assert_eq!(lock_file("version = 4", 400).expect("TOML").len(), 1);
        assert!(lock_file("[[package", 400).is_err());
    }
}
