//! The keys of those whom records are about: where they lie, and what opens them.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::Path;
use std::sync::Arc;

use lockgate_audit::Entry;
use lockgate_identity::SealedStore;
use lockgate_privacy::{Describer, MasterKey, Open, PrivacyError, Vault};
use zeroize::Zeroizing;

use crate::config::{self, Flags, Settings};
use crate::diagnostic::Diagnostic;
use crate::node::credentials;
use crate::state::State;
use crate::verbs::config::variables;

/// The secret that is the master key, in a sealed store of its own under the node's key.
const MASTER: &str = "subject-keys";

/// The purpose of content that is kept for every call (`policy.record_arguments`).
const REPLAY: &str = "replay";

/// The master key, sealed under the key that seals the node's secrets.
struct Sealed(SealedStore);

impl MasterKey for Sealed {
    fn read(&self) -> Result<Option<Zeroizing<Vec<u8>>>, String> {
        if !self.0.path(MASTER).exists() {
            return Ok(None);
        }
        let secret = self.0.get(MASTER).map_err(|error| error.to_string())?;
        Ok(Some(Zeroizing::new(secret.reveal().to_vec())))
    }

    fn write(&self, bytes: &[u8]) -> Result<(), String> {
        self.0.put(MASTER, bytes).map_err(|error| error.to_string())
    }
}

fn master(settings: &Settings, state: &State) -> Box<dyn MasterKey> {
    let key = credentials::store(settings, state).key_path().to_owned();
    Box::new(Sealed(SealedStore::new(state.subjects(), Some(key))))
}

/// Opens them for the one process that writes.
///
/// # Errors
/// [`Diagnostic`]: they are in use, or not those that belong to the key.
pub(crate) fn open(settings: &Settings, state: &State) -> Result<Arc<Vault>, Diagnostic> {
    let secrets = state.secrets();
    let made = DirBuilder::new().recursive(true).mode(0o700).create(&secrets);
    made.map_err(|error| unusable(&PrivacyError::MasterKey(error.to_string())))?;
    Vault::open(&state.subjects(), master(settings, state)).map(Arc::new).map_err(|error| unusable(&error))
}

/// Opens them to look, beside whoever writes; none if there are none, or they cannot be opened here.
pub(crate) fn look(settings: &Settings, state: &State) -> Result<Option<Vault>, Diagnostic> {
    Vault::look(&state.subjects(), master(settings, state)).map_err(|error| unusable(&error))
}

/// What goes into records of what is said in calls.
pub(crate) fn describer(settings: &Settings, vault: &Arc<Vault>) -> Describer {
    let purpose = settings.record_arguments.then(|| REPLAY.to_owned());
    Describer::new(settings.subjects.clone(), Arc::clone(vault), purpose)
}

fn unusable(error: &PrivacyError) -> Diagnostic {
    Diagnostic::new("LG-A005", "the keys of those whom records are about cannot be used")
        .because(error)
        .hint("put STATE/subjects and the key of the sealed store back as they belong together")
        .hint("or move STATE/subjects away: then everything that is encrypted in the log is lost, and new keys are made")
}

/// Reads records of this node: with the arguments of calls, where they were kept and the keys are still there.
pub(crate) struct Recalling(Option<Vault>);

impl Recalling {
    /// By the keys of the state directory. Without keys calls are known, and their arguments are not.
    pub(crate) fn open(state: &State, config: Option<&Path>) -> Self {
        let flags = Flags { config: config.map(Path::to_owned), ..Flags::default() };
        let settings = config::load(&flags, variables()).ok();
        Self(settings.and_then(|(settings, ..)| look(&settings, state).ok().flatten()))
    }

    /// The record in a line; none if it cannot be read.
    pub(crate) fn entry(&self, line: &str) -> Option<Entry> {
        let mut entry = Entry::parse(line).ok()?;
        if let Some(vault) = &self.0
            && entry.record.arguments.is_none()
        {
            let open = Open::of(&entry.record, vault).ok().flatten();
            let arguments = open.and_then(|open| open.arguments);
            entry.record.arguments = arguments.map(|arguments| arguments.get().to_owned().into());
        }
        Some(entry)
    }
}
