//! Where people work: the projects that editors remember, and those below folders that the user names.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use crate::clients::{CLIENTS, Scope};
use crate::config::text;
use crate::machine::Machine;
use crate::tree::{self, Format, Limits};

/// Projects that are looked at.
pub const PROJECTS_MAX: usize = 5_000;
/// Folders that are looked into below the named ones.
const FOLDERS_MAX: usize = 200_000;
/// Levels below a named folder.
const LEVELS_MAX: usize = 8;
/// Entries of a folder that are looked at; what holds more is data.
const ENTRIES_MAX: usize = 20_000;
/// Workspaces that an editor remembers.
const WORKSPACES_MAX: usize = 2_000;
/// Bytes of an editor's note about a workspace.
const NOTE_BYTES_MAX: usize = 64 << 10;

/// Folders that hold what others wrote, and are large.
const PASSED_OVER: &[&str] = &[
    "node_modules",
    ".git",
    ".hg",
    ".svn",
    "target",
    "dist",
    "build",
    "__pycache__",
    ".venv",
    "venv",
    ".tox",
    ".cache",
    ".cargo",
    ".rustup",
    ".npm",
    ".gradle",
    ".m2",
    "vendor",
    "Library",
    "AppData",
    ".local",
    ".terraform",
    "bazel-out",
    ".next",
    "proc",
    "sys",
    "dev",
];

/// How the files of projects begin: `.mcp.json`, `.cursor`, …
static MARKS: LazyLock<Vec<&'static str>> = LazyLock::new(|| {
    let places =
        CLIENTS.iter().flat_map(|client| client.places).filter(|place| place.scope == Scope::Project);
    let firsts = places.filter_map(|place| place.pattern.strip_prefix("{project}/")?.split('/').next());
    // `config` is every second project's.
    let mut marks: Vec<_> = firsts.filter(|first| *first != "config").collect();
    marks.sort_unstable();
    marks.dedup();
    marks
});

/// Projects below folders.
#[derive(Debug, Default)]
pub struct Below {
    /// Folders with a file of a client in them.
    pub projects: Vec<PathBuf>,
    /// Whether there were more folders than are looked into.
    pub truncated: bool,
}

/// Looks for projects below folders. Links are not followed, so nothing leads in a circle or out.
#[must_use]
pub fn below(folders: &[PathBuf]) -> Below {
    let mut found = Below::default();
    let mut next: Vec<(PathBuf, usize)> = folders.iter().map(|folder| (folder.clone(), 0)).collect();
    let mut seen = 0;
    while let Some((folder, level)) = next.pop() {
        seen += 1;
        if seen > FOLDERS_MAX || found.projects.len() >= PROJECTS_MAX {
            found.truncated = true;
            break;
        }
        let Ok(entries) = fs::read_dir(&folder) else { continue };
        let mut marked = false;
        for entry in entries.flatten().take(ENTRIES_MAX) {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            marked |= MARKS.iter().any(|mark| *mark == name);
            let is_folder = entry.file_type().is_ok_and(|kind| kind.is_dir());
            if is_folder
                && level < LEVELS_MAX
                && !PASSED_OVER.contains(&name.as_ref())
                && !MARKS.iter().any(|mark| *mark == name)
            {
                next.push((entry.path(), level + 1));
            }
        }
        if marked {
            found.projects.push(folder);
        }
    }
    found
}

/// Folders that editors of the VS Code family had open.
#[must_use]
pub fn workspaces(machine: &Machine) -> Vec<PathBuf> {
    let editors = ["Code", "Code - Insiders", "Cursor", "Windsurf", "Kiro"];
    let notes = editors.iter().flat_map(|editor| {
        let storage = machine.app().join(editor).join("User/workspaceStorage");
        let entries = fs::read_dir(storage).into_iter().flatten().flatten();
        entries.take(WORKSPACES_MAX).map(|entry| entry.path().join("workspace.json"))
    });
    notes.filter_map(|note| folder_of(&note)).collect()
}

fn folder_of(note: &Path) -> Option<PathBuf> {
    if !note.is_file() {
        return None;
    }
    let node = tree::read(&text(note, NOTE_BYTES_MAX).ok()?, Format::Json, &Limits::default()).ok()?;
    let path = percent_decoded(node.get("folder")?.text()?.strip_prefix("file://")?)?;
    Some(PathBuf::from(path))
}

fn percent_decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        if byte != b'%' {
            bytes.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| byte.and_then(|byte| char::from(byte).to_digit(16));
        let value = digit(rest.next())? * 16 + digit(rest.next())?;
        bytes.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn links_lead_nowhere_and_large_folders_are_passed_over() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path();
        for path in ["a/b/.cursor", "a/node_modules/x/.cursor", "c/.vscode", "plain/src"] {
            fs::create_dir_all(root.join(path)).unwrap();
        }
        fs::write(root.join("a/.mcp.json"), "{}").unwrap();
        #[cfg(unix)]
        std::os::unix::fs::symlink(root, root.join("a/loop")).unwrap();
        let mut found = below(&[root.to_owned()]);
        found.projects.sort();
        assert_eq!(found.projects, [root.join("a"), root.join("a/b"), root.join("c")]);
        assert!(!found.truncated);
    }

    #[test]
    fn editors_notes() {
        let folder = tempfile::tempdir().unwrap();
        let storage = folder.path().join(".config/Code/User/workspaceStorage");
        for (name, note) in [
            ("a", r#"{"folder":"file:///p/my%20project"}"#),
            ("b", r#"{"folder":"vscode-remote://x"}"#),
            ("c", "{"),
            ("d", r#"{"folder":"file:///%zz"}"#),
        ] {
            fs::create_dir_all(storage.join(name)).unwrap();
            fs::write(storage.join(name).join("workspace.json"), note).unwrap();
        }
        let machine = Machine {
            system: crate::machine::System::Linux,
            home: folder.path().into(),
            root: "/".into(),
            variables: Default::default(),
        };
        assert_eq!(workspaces(&machine), [PathBuf::from("/p/my project")]);
    }
}
