//! The keys that sign the audit log's checkpoints: which there are, which sign now, and what replaces them.
//!
//! ```text
//! STATE/authority/log/ALGORITHM.pem       a private key, for its owner alone
//! STATE/authority/log/ALGORITHM.old.pem   one that vouches for its successor once more, and is then removed
//! STATE/authority/log/keys.json           the public halves: those that sign, and those that did
//! ```

use std::fs::{self, DirBuilder};
use std::io::ErrorKind;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};

use lockgate_audit::Sealing;
use lockgate_audit::tlog::checkpoint::Signer;
use lockgate_crypto::digest::{hex, sha256};
use lockgate_crypto::note::{NoteKey, Signs};
use lockgate_crypto::{Algorithm, PrivateKey, Suite};
use lockgate_identity::key_file;
use serde::{Deserialize, Serialize};

use crate::diagnostic::Diagnostic;
use crate::state::{State, write_private};
use crate::trouble;

const SCHEMA: &str = "lockgate.audit-keys/1";

/// The public halves of the log's keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeyList {
    schema: String,
    /// The log's name, chosen when it was made and kept: keys are bound to it.
    pub(crate) name: String,
    /// Those that sign, as verifier keys.
    pub(crate) active: Vec<String>,
    /// Those that did, the newest last.
    #[serde(default)]
    pub(crate) retired: Vec<String>,
}

impl KeyList {
    /// The list of a state directory; `None` before its log was first sealed.
    pub(crate) fn read(state: &State) -> Result<Option<Self>, Diagnostic> {
        let path = list_path(state);
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(&path, &error)),
        };
        let list: Self = serde_json::from_slice(&text).map_err(|error| unusable(&path, &error))?;
        if list.schema != SCHEMA {
            let why = format!("it is of format {}, this program reads {SCHEMA}", list.schema);
            return Err(unusable(&path, &std::io::Error::other(why)));
        }
        Ok(Some(list))
    }

    fn write(&self, state: &State) -> Result<(), Diagnostic> {
        let text = serde_json::to_vec_pretty(self).expect("strings always serialise");
        write_private(&list_path(state), &text)
    }

    /// The keys that sign.
    pub(crate) fn active(&self, state: &State) -> Result<Vec<NoteKey>, Diagnostic> {
        parse(&self.active, &list_path(state))
    }
}

fn parse(keys: &[String], path: &Path) -> Result<Vec<NoteKey>, Diagnostic> {
    let keys = keys.iter().map(|key| NoteKey::parse(key));
    keys.collect::<Result<_, _>>().map_err(|error| unusable(path, &error))
}

/// What a log is opened with.
pub(crate) struct Keys {
    /// Who signs first: those of before, if they are there.
    pub(crate) sealing: Sealing,
    /// What has to replace them.
    pub(crate) change: Option<Change>,
}

/// Other keys sign from now on.
pub(crate) struct Change {
    pub(crate) sealing: Sealing,
    /// Those that sign no more, for the record: name, id, algorithm and hash of the verifier key.
    pub(crate) before: Vec<String>,
    /// Those that sign from now on.
    pub(crate) after: Vec<String>,
    list: KeyList,
}

impl Change {
    /// Keeps what is now in force. Private keys of before are gone after this.
    pub(crate) fn keep(&self, state: &State) -> Result<(), Diagnostic> {
        self.list.write(state)?;
        let folder = folder(state);
        let signing = self.sealing.signers.iter().map(|signer| paths(state, signer.public().algorithm()).0);
        let signing: Vec<PathBuf> = signing.collect();
        let entries = fs::read_dir(&folder).map_err(|error| unusable(&folder, &error))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            let is_key = path.extension().is_some_and(|extension| extension == "pem");
            if is_key && !signing.contains(&path) {
                fs::remove_file(&path).map_err(|error| unusable(&path, &error))?;
            }
        }
        Ok(())
    }
}

const OLD: &str = ".old.pem";

/// The keys of the log under this suite; makes those that are missing.
///
/// # Errors
/// [`Diagnostic`] if nothing is left to sign with, or a key cannot be read or written.
pub(crate) fn open(state: &State, node: &str, suite: &Suite) -> Result<Keys, Diagnostic> {
    let read = KeyList::read(state)?;
    let is_first = read.is_none();
    let list = read.unwrap_or_else(|| KeyList {
        schema: SCHEMA.to_owned(),
        name: format!("{node}/audit"),
        active: Vec::new(),
        retired: Vec::new(),
    });
    let folder = folder(state);
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)
        .map_err(|error| unusable(&folder, &error))?;
    let wanted = suite.note_algorithms();
    if wanted.is_empty() {
        return Err(Diagnostic::new("LG-A003", "no algorithm is left to sign the audit log with")
            .hint("see what keeps them out: lockgate crypto show"));
    }
    let next = wanted.into_iter().map(|(row, signs)| signer(state, &list.name, row, signs));
    let next: Vec<Signer> = next.collect::<Result<_, _>>()?;
    let after: Vec<String> = next.iter().map(|signer| signer.public().to_string()).collect();
    let mut following = KeyList { active: after.clone(), ..list.clone() };
    let gone = list.active.iter().filter(|key| !after.contains(key));
    following.retired.extend(gone.cloned());
    following.retired.retain(|key| !after.contains(key));
    let sealing = |list: &KeyList, signers| -> Result<Sealing, Diagnostic> {
        let retired = parse(&list.retired, &list_path(state))?;
        Ok(Sealing { retired, ..Sealing::new(&list.name, signers) })
    };
    if is_first {
        following.write(state)?;
    }
    if is_first || list.active == after {
        return Ok(Keys { sealing: sealing(&following, next)?, change: None });
    }
    let before = list.active(state)?;
    let old: Vec<Signer> = before.iter().filter_map(|key| held(state, key)).collect();
    let first = if old.is_empty() { next.clone() } else { old };
    let change = Change {
        sealing: sealing(&following, next.clone())?,
        before: before.iter().map(shown).collect(),
        after: next.iter().map(|signer| shown(signer.public())).collect(),
        list: following.clone(),
    };
    Ok(Keys { sealing: sealing(&following, first)?, change: Some(change) })
}

/// Has other keys sign from the next start on. The old ones stay until they have vouched for the new ones.
///
/// # Errors
/// [`Diagnostic`] if there is no key, or one cannot be moved.
pub(crate) fn rotate(state: &State) -> Result<KeyList, Diagnostic> {
    let list = KeyList::read(state)?.ok_or_else(none_yet)?;
    for key in list.active(state)? {
        let (path, old) = paths(state, key.algorithm());
        match fs::rename(&path, &old) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(unusable(&path, &error)),
            _ => {}
        }
    }
    Ok(list)
}

/// There is no list of keys.
pub(crate) fn none_yet() -> Diagnostic {
    Diagnostic::new("LG-A003", "the audit log has no keys yet")
        .hint("a node makes them when it starts: lockgate up")
}

/// A key as a record names it. The verifier key itself may be longer than a text in a record.
fn shown(key: &NoteKey) -> String {
    let text = key.to_string();
    format!(
        "{}+{} {} sha256:{}",
        key.name(),
        hex(&key.id()),
        key.algorithm().id,
        hex(&sha256(text.as_bytes()))
    )
}

/// The private key of this algorithm, made where it is not there.
fn signer(state: &State, name: &str, row: &'static Algorithm, signs: Signs) -> Result<Signer, Diagnostic> {
    let (path, _) = paths(state, row);
    if !path.exists() {
        let made = PrivateKey::generate(row).map_err(|error| unusable(&path, &error))?;
        key_file::write_new(&path, &made).map_err(|error| trouble::identity(&error, &path))?;
    }
    let key = key_file::read(&path).map_err(|error| trouble::identity(&error, &path))?;
    Signer::new(name, key, signs).map_err(|error| unusable(&path, &error))
}

/// The private half of this public key, if it is still there.
fn held(state: &State, key: &NoteKey) -> Option<Signer> {
    let (path, old) = paths(state, key.algorithm());
    let signers = [old, path].into_iter().filter_map(|path| {
        let private = key_file::read(&path).ok()?;
        Signer::new(key.name(), private, key.signs()).ok()
    });
    signers.into_iter().find(|signer| signer.public() == key)
}

fn folder(state: &State) -> PathBuf {
    state.authority().join("log")
}

fn list_path(state: &State) -> PathBuf {
    folder(state).join("keys.json")
}

fn paths(state: &State, row: &Algorithm) -> (PathBuf, PathBuf) {
    let folder = folder(state);
    (folder.join(format!("{}.pem", row.id)), folder.join(format!("{}{OLD}", row.id)))
}

fn unusable(path: &Path, cause: &dyn std::error::Error) -> Diagnostic {
    Diagnostic::new("LG-A003", format!("the key of the audit log in {} cannot be used", path.display()))
        .because(cause)
        .hint("put it back from your backup; records are verified with the public key, so no record is lost with it")
}
