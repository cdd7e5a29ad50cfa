//! What was changed, and the way back.
//!
//! ```text
//! STATE/adopted/ID.json       which file, and each step: hash before, hash after, servers
//! STATE/adopted/ID.N.backup   the file before step N
//! ```

use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use lockgate_crypto::digest::{hex, sha256};
use serde::{Deserialize, Serialize};

use super::Edited;
use crate::diagnostic::Diagnostic;
use crate::state::{self, State};
use crate::verbs::identity::now_ms;

/// Letters of a file's id.
const ID_LETTERS: usize = 16;

/// The changes of one file.
#[derive(Serialize, Deserialize)]
pub(super) struct Record {
    schema: String,
    file: PathBuf,
    pub(super) client: String,
    /// The first one first.
    steps: Vec<Step>,
}

#[derive(Serialize, Deserialize)]
struct Step {
    at_ms: u64,
    backup: PathBuf,
    /// SHA-256 of the file before and after.
    before: String,
    after: String,
    servers: Vec<String>,
}

impl Record {
    pub(super) fn is_of(&self, file: &Path) -> bool {
        real(file) == self.file
    }
}

/// What came of undoing.
#[derive(Default)]
pub(super) struct Undone {
    pub(super) restored: Vec<PathBuf>,
    pub(super) changed: Vec<PathBuf>,
    /// Names of servers that these files do not need any more.
    pub(super) servers: Vec<String>,
}

/// All records of a state directory.
pub(super) struct Records {
    folder: PathBuf,
}

impl Records {
    pub(super) fn open(state: &State) -> Result<Self, Diagnostic> {
        let folder = state.root().join("adopted");
        fs::create_dir_all(&folder).map_err(|error| unusable(&folder, &error))?;
        Ok(Self { folder })
    }

    /// Keeps a copy, notes the change, and makes it. In this order: what is changed can always be undone.
    pub(super) fn keep(&self, edited: &Edited) -> Result<(), Diagnostic> {
        let file = real(&edited.path);
        let id = hex(&sha256(file.as_os_str().as_encoded_bytes()))[..ID_LETTERS].to_owned();
        let path = self.folder.join(format!("{id}.json"));
        let mut record = match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).map_err(|error| unusable(&path, &error.into()))?,
            Err(_) => Record {
                schema: "lockgate.adopted/1".to_owned(),
                file: file.clone(),
                client: edited.client.to_owned(),
                steps: Vec::new(),
            },
        };
        let now = fs::read_to_string(&file).map_err(|error| unusable(&file, &error))?;
        if now != edited.before {
            return Err(Diagnostic::new(
                "LG-G020",
                format!("{} was changed at this very moment", file.display()),
            )
            .hint("end the client, and try again"));
        }
        let backup = self.folder.join(format!("{id}.{}.backup", record.steps.len()));
        state::write_private(&backup, edited.before.as_bytes())?;
        record.steps.push(Step {
            at_ms: now_ms(),
            backup,
            before: digest(&edited.before),
            after: digest(&edited.after),
            servers: edited.servers.clone(),
        });
        self.write(&path, &record)?;
        replace(&file, &edited.after)
    }

    /// Puts files back, step by step, as long as each is as that step left it.
    pub(super) fn undo(&self, wanted: impl Fn(&Record) -> bool, force: bool) -> Result<Undone, Diagnostic> {
        let mut undone = Undone::default();
        for (path, mut record) in self.all()? {
            if !wanted(&record) {
                continue;
            }
            let mut restored = false;
            while let Some(step) = record.steps.last() {
                let now = fs::read_to_string(&record.file).map(|text| digest(&text));
                let untouched = now.as_ref().is_ok_and(|now| *now == step.after);
                // A crash may have come between the note and the change.
                let never_made = now.as_ref().is_ok_and(|now| *now == step.before);
                if !untouched && !never_made && !force {
                    undone.changed.push(record.file.clone());
                    break;
                }
                let before =
                    fs::read_to_string(&step.backup).map_err(|error| unusable(&step.backup, &error))?;
                if !never_made {
                    replace(&record.file, &before)?;
                }
                let step = record.steps.pop().expect("it was just looked at");
                undone.servers.extend(step.servers);
                // The copy holds secrets, and it is where it came from now.
                let _ = fs::remove_file(&step.backup);
                restored = true;
            }
            if restored {
                undone.restored.push(record.file.clone());
            }
            match record.steps.is_empty() {
                true => fs::remove_file(&path).map_err(|error| unusable(&path, &error))?,
                false => self.write(&path, &record)?,
            }
        }
        Ok(undone)
    }

    /// Names of servers that adopted files need.
    pub(super) fn servers(&self) -> Result<BTreeSet<String>, Diagnostic> {
        let records = self.all()?.into_iter();
        Ok(records.flat_map(|(_, record)| record.steps).flat_map(|step| step.servers).collect())
    }

    fn all(&self) -> Result<Vec<(PathBuf, Record)>, Diagnostic> {
        let entries = fs::read_dir(&self.folder).map_err(|error| unusable(&self.folder, &error))?;
        let mut paths: Vec<PathBuf> = entries
            .flatten()
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|end| end == "json"))
            .collect();
        paths.sort();
        let read = |path: PathBuf| {
            let text = fs::read(&path).map_err(|error| unusable(&path, &error))?;
            let record = serde_json::from_slice(&text).map_err(|error| unusable(&path, &error.into()))?;
            Ok((path, record))
        };
        paths.into_iter().map(read).collect()
    }

    fn write(&self, path: &Path, record: &Record) -> Result<(), Diagnostic> {
        state::write_private(
            path,
            &serde_json::to_vec_pretty(record).expect("strings and numbers always serialise"),
        )
    }
}

fn digest(text: &str) -> String {
    hex(&sha256(text.as_bytes()))
}

/// The file behind links, since a link to a folder of dot files must stay one.
fn real(file: &Path) -> PathBuf {
    fs::canonicalize(file).unwrap_or_else(|_| file.to_owned())
}

/// Writes a file all or nothing, with the permissions that it has.
fn replace(file: &Path, text: &str) -> Result<(), Diagnostic> {
    let failed = |error: std::io::Error| {
        Diagnostic::new("LG-G020", format!("{} cannot be written", file.display()))
            .because(&error)
            .hint("check its permissions and those of its folder; what was done before can be undone: lockgate adopt --undo")
    };
    let temporary = file.with_extension(format!("{}.lockgate", std::process::id()));
    let write = || -> std::io::Result<()> {
        let permissions = fs::metadata(file)?.permissions();
        let mut new = fs::OpenOptions::new().create_new(true).write(true).open(&temporary)?;
        new.set_permissions(permissions)?;
        new.write_all(text.as_bytes())?;
        new.sync_all()?;
        fs::rename(&temporary, file)
    };
    write().map_err(|error| {
        let _ = fs::remove_file(&temporary);
        failed(error)
    })
}

fn unusable(path: &Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic::new("LG-S001", format!("cannot use {}", path.display())).because(error)
}
