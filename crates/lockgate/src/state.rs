//! The state directory: what a node keeps, and where.
//!
//! ```text
//! STATE/                  0700
//!   authority/            the local authority's keys and certificates (lockgate-identity)
//!   connectors/NAME/      keys and certificates of connectors on this machine, one folder for each gateway
//!   audit/                the signed log (lockgate-audit)
//!   witness/              what was cosigned of others' logs (lockgate-audit), and how the witnesses of this one stand
//!   policy/local.cedar    the rules of this node, made once and then yours; role files (*.toml) stand beside
//!   secrets/              credentials for servers, sealed, with their key unless that lies elsewhere (lockgate-identity)
//!   subjects/             keys of those whom records are about; what is erased is erased here (lockgate-privacy)
//!   gateway.toml          the servers that `lockgate adopt` put behind this machine's gateway
//!   discovery.json        the last map of `lockgate discover`; discover.key keys its fingerprints
//!   store.redb            pins of tool definitions, invites (lockgate-store)
//!   run/node.lock         held by the running node
//!   run/node.json  0600   where the running node is reached, and the token for its admin interface
//! ```

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use serde::{Deserialize, Serialize};

use crate::diagnostic::Diagnostic;

/// A state directory, by its path. Nothing exists until [`State::create`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct State {
    root: PathBuf,
}

impl State {
    /// The directory of the flag or variable, or the user's default (XDG base directories).
    pub(crate) fn locate(given: Option<&Path>) -> Result<Self, Diagnostic> {
        let named = std::env::var_os("LOCKGATE_STATE").filter(|path| !path.is_empty()).map(PathBuf::from);
        let root = match given.map(Path::to_owned).or(named) {
            Some(path) => path,
            None => default_root(|name| std::env::var_os(name).map(PathBuf::from)).ok_or_else(|| {
                Diagnostic::new("LG-S001", "no place for the state directory: HOME is not set")
                    .hint("name one: --state DIR or LOCKGATE_STATE=DIR")
            })?,
        };
        // Absolute, since the path is printed for use in other folders.
        let root = std::path::absolute(&root).map_err(|error| unusable(&root, &error))?;
        Ok(Self { root })
    }

    /// Whether this is where a user's state is without flag and variables of ours.
    pub(crate) fn is_default(root: &Path) -> bool {
        default_root(|name| std::env::var_os(name).map(PathBuf::from)).is_some_and(|default| default == root)
    }

    /// Makes what is missing; refuses what others can read.
    pub(crate) fn create(&self) -> Result<(), Diagnostic> {
        for folder in [self.root.clone(), self.policy(), self.run(), self.connectors()] {
            DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(|error| unusable(&folder, &error))?;
        }
        private(&self.root)?;
        let owner = fs::metadata(&self.root).map_err(|error| unusable(&self.root, &error))?.uid();
        if owner != rustix::process::geteuid().as_raw() {
            return Err(Diagnostic::new(
                "LG-S001",
                format!("{} belongs to another user", self.root.display()),
            )
            .hint("run lockgate as its owner, or name another place: --state DIR"));
        }
        Ok(())
    }

    /// The directory itself.
    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// The local authority's folder.
    pub(crate) fn authority(&self) -> PathBuf {
        self.root.join("authority")
    }

    /// Folders of connectors on this machine.
    pub(crate) fn connectors(&self) -> PathBuf {
        self.root.join("connectors")
    }

    /// The workload socket, unless the configuration names another place.
    pub(crate) fn workload_socket(&self) -> PathBuf {
        self.root.join("workload.sock")
    }

    /// The audit log's folder.
    pub(crate) fn audit(&self) -> PathBuf {
        self.root.join("audit")
    }

    /// What this node cosigned for others, and who cosigns its own log.
    pub(crate) fn witness(&self) -> PathBuf {
        self.root.join("witness")
    }

    /// The policies' folder.
    pub(crate) fn policy(&self) -> PathBuf {
        self.root.join("policy")
    }

    /// The store's file.
    pub(crate) fn store(&self) -> PathBuf {
        self.root.join("store.redb")
    }

    /// Where sealed credentials are.
    pub(crate) fn secrets(&self) -> PathBuf {
        self.root.join("secrets")
    }

    /// Where the keys of those are whom records are about.
    pub(crate) fn subjects(&self) -> PathBuf {
        self.root.join("subjects")
    }

    /// The configuration of this machine's own gateway, which `lockgate adopt` keeps.
    pub(crate) fn gateway_config(&self) -> PathBuf {
        self.root.join("gateway.toml")
    }

    /// The last map of `lockgate discover`.
    pub(crate) fn discovery(&self) -> PathBuf {
        self.root.join("discovery.json")
    }

    fn run(&self) -> PathBuf {
        self.root.join("run")
    }

    fn note_path(&self) -> PathBuf {
        self.run().join("node.json")
    }

    /// All policy files: `*.cedar`, and `*.toml` that is no `*.test.toml`; sorted by name.
    pub(crate) fn policy_files(&self) -> Result<Vec<PathBuf>, Diagnostic> {
        let folder = self.policy();
        let entries = match fs::read_dir(&folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(unusable(&folder, &error)),
        };
        let mut files: Vec<PathBuf> =
            entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| is_policy(path)).collect();
        files.sort();
        Ok(files)
    }

    /// Takes the lock that a node holds as long as it lives. The kernel gives it back when the process ends, however.
    pub(crate) fn lock(&self) -> Result<Lock, Diagnostic> {
        let path = self.run().join("node.lock");
        let file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .mode(0o600)
            .open(&path)
            .map_err(|error| unusable(&path, &error))?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock { _file: file }),
            Err(rustix::io::Errno::WOULDBLOCK) => {
                let running = self.note().ok().flatten();
                let who = running
                    .map_or_else(String::new, |note| format!(" (process {}, {})", note.pid, note.endpoint));
                Err(Diagnostic::new("LG-S003", format!("another node runs on {}{who}", self.root.display()))
                    .hint("see it: lockgate status")
                    .hint("or give this node its own state: --state DIR"))
            }
            Err(error) => Err(unusable(&path, &error.into())),
        }
    }

    /// Whether a node holds the lock now.
    pub(crate) fn is_locked(&self) -> bool {
        let Ok(file) = OpenOptions::new().write(true).open(self.run().join("node.lock")) else {
            return false;
        };
        matches!(
            rustix::fs::flock(&file, FlockOperation::NonBlockingLockShared),
            Err(rustix::io::Errno::WOULDBLOCK)
        )
    }

    /// The running node's note, if there is one.
    pub(crate) fn note(&self) -> Result<Option<NodeNote>, Diagnostic> {
        let path = self.note_path();
        let text = match fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(unusable(&path, &error)),
        };
        private(&path)?;
        match serde_json::from_slice(&text) {
            Ok(note) => Ok(Some(note)),
            Err(error) => {
                Err(unusable(&path, &error.into()).hint("the note is written anew when a node starts"))
            }
        }
    }

    /// The running node's note, or a clear error.
    pub(crate) fn running(&self) -> Result<NodeNote, Diagnostic> {
        let note = self.note()?.filter(|_| self.is_locked());
        note.ok_or_else(|| {
            Diagnostic::new("LG-S004", format!("no node runs on {}", self.root.display()))
                .hint("start one: lockgate up")
                .hint("or name the state directory of the running one: --state DIR")
        })
    }

    /// Writes the note; the folder is private, and so is the file from its first byte.
    pub(crate) fn write_note(&self, note: &NodeNote) -> Result<(), Diagnostic> {
        let text = serde_json::to_vec_pretty(note).expect("strings and numbers always serialise");
        write_private(&self.note_path(), &text)
    }

    /// A page that leads a browser to the dashboard. What it holds is good once.
    pub(crate) fn dashboard_file(&self) -> PathBuf {
        self.note_path().with_file_name("dashboard.html")
    }

    /// Removes the note when the node ends.
    pub(crate) fn remove_note(&self) {
        // Nobody is left to be told; a stale note is recognised by the lock that is not held.
        let _ = fs::remove_file(self.note_path());
    }
}

/// Held by the one node of a state directory.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
}

/// How other processes of the same user reach the running node. It holds the admin token, so it is a secret.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct NodeNote {
    /// `lockgate.node/1`.
    pub(crate) schema: String,
    /// The node's process.
    pub(crate) pid: u32,
    /// Base URL for connectors, `https://HOST:PORT`.
    pub(crate) endpoint: String,
    /// Base URL for clients without a connector.
    pub(crate) foreign: Option<String>,
    /// `HOST:PORT` of the admin interface.
    pub(crate) admin: String,
    /// Token for the admin interface, made anew at each launch.
    pub(crate) token: String,
    /// PEM file with the authority's roots.
    pub(crate) authority: PathBuf,
    /// Name of the profile of tunnels.
    pub(crate) profile: String,
    /// The socket at which processes of this machine are attested, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) workload: Option<PathBuf>,
    /// Whose tokens are taken.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) issuers: Vec<crate::verbs::whoami::Issuer>,
}

impl std::fmt::Debug for NodeNote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodeNote")
            .field("pid", &self.pid)
            .field("endpoint", &self.endpoint)
            .field("admin", &self.admin)
            .field("token", &"[redacted]")
            .finish_non_exhaustive()
    }
}

/// Writes a file that only its owner can read, all or nothing: a temporary file beside it, then a rename.
pub(crate) fn write_private(path: &Path, content: &[u8]) -> Result<(), Diagnostic> {
    let temporary = path.with_extension(format!("{}.new", std::process::id()));
    let write = || -> std::io::Result<()> {
        let mut file =
            OpenOptions::new().create(true).truncate(true).write(true).mode(0o600).open(&temporary)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&temporary, path)
    };
    write().map_err(|error| {
        // What is left is of no use; the error that matters is the first one.
        let _ = fs::remove_file(&temporary);
        unusable(path, &error)
    })
}

/// Refuses what group or others can read.
pub(crate) fn private(path: &Path) -> Result<(), Diagnostic> {
    let metadata = fs::metadata(path).map_err(|error| unusable(path, &error))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(Diagnostic::new(
            "LG-S002",
            format!("{} is open to other users (mode {mode:o})", path.display()),
        )
        .hint(format!("if nobody else could have read it: chmod -R go= {}", path.display())));
    }
    Ok(())
}

/// Whether a file of the policy folder holds rules. Cases for `lockgate policy test` stand beside them, and what an editor
/// keeps for itself begins with a dot.
pub(crate) fn is_policy(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let is_rules = name.ends_with(".cedar") || (name.ends_with(".toml") && !name.ends_with(".test.toml"));
    is_rules && !name.starts_with('.')
}

fn unusable(path: &Path, error: &std::io::Error) -> Diagnostic {
    Diagnostic::new("LG-S001", format!("cannot use {}", path.display()))
        .because(error)
        .hint("check owner, permissions and free space, or name another place: --state DIR")
}

fn default_root(variable: impl Fn(&str) -> Option<PathBuf>) -> Option<PathBuf> {
    // The XDG specification says that a relative path is to be ignored.
    let absolute = |name: &str| variable(name).filter(|path| path.is_absolute());
    absolute("XDG_STATE_HOME")
        .or_else(|| absolute("HOME").map(|home| home.join(".local/state")))
        .map(|base| base.join("lockgate"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> (tempfile::TempDir, State) {
        let folder = tempfile::tempdir().unwrap();
        let state = State::locate(Some(&folder.path().join("s"))).unwrap();
        state.create().unwrap();
        (folder, state)
    }

    fn note() -> NodeNote {
        NodeNote {
            schema: "lockgate.node/1".into(),
            pid: 7,
            endpoint: "https://127.0.0.1:1".into(),
            foreign: None,
            admin: "127.0.0.1:2".into(),
            token: "secret-token".into(),
            authority: "/x/ca.pem".into(),
            profile: "pq-hybrid".into(),
            workload: None,
            issuers: Vec::new(),
        }
    }

    #[test]
    fn default_places() {
        let place = |pairs: &[(&str, &str)]| {
            default_root(|name| pairs.iter().find(|(n, _)| *n == name).map(|(_, v)| PathBuf::from(v)))
        };
        assert_eq!(place(&[("HOME", "/h")]), Some("/h/.local/state/lockgate".into()));
        assert_eq!(place(&[("HOME", "/h"), ("XDG_STATE_HOME", "/x")]), Some("/x/lockgate".into()));
        assert_eq!(
            place(&[("HOME", "/h"), ("XDG_STATE_HOME", "rel")]),
            Some("/h/.local/state/lockgate".into())
        );
        assert_eq!(place(&[]), None);
    }

    #[test]
    fn one_node_at_a_time() {
        let (_folder, state) = state();
        assert!(!state.is_locked());
        let lock = state.lock().unwrap();
        state.write_note(&note()).unwrap();
        assert!(state.is_locked());
        let refused = state.lock().unwrap_err();
        assert_eq!(refused.code, "LG-S003");
        assert!(refused.what.contains("process 7"), "{}", refused.what);
        assert_eq!(state.running().unwrap().pid, 7);
        drop(lock);
        assert_eq!(state.running().unwrap_err().code, "LG-S004");
        state.lock().unwrap();
    }

    #[test]
    fn secrets_stay_private() {
        let (_folder, state) = state();
        state.write_note(&note()).unwrap();
        let path = state.note_path();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(!format!("{:?}", note()).contains("secret-token"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(state.note().unwrap_err().code, "LG-S002");
        fs::set_permissions(state.root(), fs::Permissions::from_mode(0o755)).unwrap();
        assert_eq!(state.create().unwrap_err().code, "LG-S002");
    }
}
