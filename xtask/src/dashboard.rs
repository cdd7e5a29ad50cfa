//! The dashboard: what is committed in `ui/dist` is what its source builds to, byte for byte.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

use crate::{
    peers::{self, Peers},
    process,
    tally::Tally,
};

/// What of `ui` a build needs.
const SOURCES: [&str; 7] =
    ["index.html", "package.json", "public", "src", "svelte.config.js", "tsconfig.json", "vite.config.ts"];

/// Installs what is pinned, checks types, runs the unit tests, builds in an empty folder and compares.
pub(crate) fn run(root: &Path) -> Result<Tally> {
    let node = Peers::install(root)?.node;
    let ui = root.join("ui");
    let folder = peers::dashboard(&ui)?;
    for name in SOURCES {
        renew(&ui.join(name), &folder.join(name))?;
    }
    let tool = |script: &str, words: &[&str]| {
        let mut command = Command::new(&node);
        command.current_dir(&folder).arg(folder.join("node_modules").join(script)).args(words);
        command
    };
    let mut tally = Tally::default();
    let typed = process::run(tool("svelte-check/bin/svelte-check", &["--fail-on-warnings"]), |_| {})?;
    println!("{} the dashboard's types", if typed { "kept  " } else { "BROKEN" });
    tally.add(Tally::one(typed));
    let mut units = Command::new(&node);
    units.current_dir(&folder).args(["--test", "--test-reporter=tap", "src/**/*.test.ts"]);
    tally.add(Tally::one(process::run(units, |_| {})?));
    let dist = folder.join("dist");
    if dist.exists() {
        fs::remove_dir_all(&dist)?;
    }
    tally.add(Tally::one(process::run(tool("vite/bin/vite.js", &["build"]), |_| {})?));
    for finding in differences(&files(&ui.join("dist"))?, &files(&dist)?) {
        println!("BROKEN ui/dist/{finding}; make it anew: cd ui && npm ci && npm run build");
        tally.add(Tally::one(false));
    }
    tally.add(Tally::one(true));
    Ok(tally)
}

/// Puts a copy of a file or folder in place of what was there.
fn renew(from: &Path, to: &Path) -> Result<()> {
    if to.is_dir() {
        fs::remove_dir_all(to)?;
    }
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            renew(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}

/// Every file of a folder without folders, by its name.
fn files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut files = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let path: PathBuf = entry?.path();
        let name = path.file_name().context("an entry has a name")?.to_string_lossy().into_owned();
        files.insert(name, fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    Ok(files)
}

/// What is not the same in both.
fn differences(committed: &BTreeMap<String, Vec<u8>>, built: &BTreeMap<String, Vec<u8>>) -> Vec<String> {
    let mut found = Vec::new();
    for (name, bytes) in built {
        match committed.get(name) {
            None => found.push(format!("{name} is not committed")),
            Some(held) if held != bytes => found.push(format!("{name} is not what the source builds to")),
            Some(_) => {}
        }
    }
    found.extend(
        committed
            .keys()
            .filter(|name| !built.contains_key(*name))
            .map(|name| format!("{name} is committed and not built")),
    );
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(files: &[(&str, &str)]) -> BTreeMap<String, Vec<u8>> {
        files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec())).collect()
    }

    #[test]
    fn every_difference_is_found() {
        let committed = folder(&[("app.js", "1"), ("app.css", "2"), ("old.js", "3")]);
        assert_eq!(differences(&committed, &committed), Vec::<String>::new());
        let built = folder(&[("app.js", "1"), ("app.css", "two"), ("new.js", "4")]);
        assert_eq!(differences(&committed, &built).len(), 3);
    }
}
