//! How the witnesses of a node's log stand, as the node writes it down and other commands read it.
//!
//! ```text
//! STATE/witness/                 what this node cosigned for others
//! STATE/witness/standing.json    who is asked to cosign this node's log, with their keys, and what came of it
//! ```

use std::path::PathBuf;

use lockgate_audit::tlog::checkpoint::Signed;
use lockgate_crypto::note::NoteKey;
use serde::{Deserialize, Serialize};

use crate::config::WitnessPlan;
use crate::diagnostic::Diagnostic;
use crate::state::{State, write_private};

const SCHEMA: &str = "lockgate.audit-witnesses/1";

/// Longest file that is read, in bytes.
const BYTES_MAX: u64 = 1 << 20;

/// Who is asked, and what came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Standing {
    schema: String,
    /// How many have to cosign.
    pub(crate) quorum: usize,
    /// In the order of the configuration.
    pub(crate) witnesses: Vec<Asked>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked {
    /// The name of its keys.
    pub(crate) name: String,
    /// Where it is asked.
    pub(crate) url: String,
    /// Its verifier keys.
    pub(crate) keys: Vec<String>,
    /// The log and its month that it cosigned last.
    pub(crate) origin: Option<String>,
    /// Leaves of the tree that it cosigned.
    pub(crate) size: Option<u64>,
    /// When, Unix seconds.
    pub(crate) time_s: Option<u64>,
    /// Why it did not the last time.
    pub(crate) problem: Option<String>,
}

impl Asked {
    /// It has cosigned this.
    pub(crate) fn cosigned(&mut self, signed: &Signed) {
        self.origin = Some(signed.checkpoint.origin.clone());
        self.size = Some(signed.checkpoint.head.size);
        self.time_s = u64::try_from(jiff::Timestamp::now().as_second()).ok();
        self.problem = None;
    }
}

impl Standing {
    /// Nobody was asked yet.
    pub(crate) fn new(quorum: usize, plans: &[WitnessPlan]) -> Self {
        let asked = |plan: &WitnessPlan| Asked {
            name: plan.name.clone(),
            url: plan.url.to_string(),
            keys: plan.keys.iter().map(ToString::to_string).collect(),
            origin: None,
            size: None,
            time_s: None,
            problem: None,
        };
        Self { schema: SCHEMA.to_owned(), quorum, witnesses: plans.iter().map(asked).collect() }
    }

    pub(crate) fn show(&mut self, at: usize, asked: &Asked) {
        self.witnesses[at].clone_from(asked);
    }

    /// The file of a state directory; none before a node wrote one.
    pub(crate) fn read(state: &State) -> Option<Self> {
        let path = path(state);
        let length = path.metadata().ok()?.len();
        let text = (length <= BYTES_MAX).then(|| std::fs::read(&path).ok())??;
        let standing: Self = serde_json::from_slice(&text).ok()?;
        (standing.schema == SCHEMA).then_some(standing)
    }

    pub(crate) fn write(&self, state: &State) -> Result<(), Diagnostic> {
        if self.witnesses.is_empty() && !path(state).exists() {
            return Ok(());
        }
        let text = serde_json::to_vec_pretty(self).expect("strings and numbers always serialise");
        // The folder may be new.
        let folder = state.witness();
        std::fs::create_dir_all(&folder).map_err(|error| {
            Diagnostic::new("LG-S002", format!("{} cannot be made", folder.display())).because(&error)
        })?;
        write_private(&path(state), &text)
    }

    /// The keys of all witnesses.
    pub(crate) fn keys(&self) -> Vec<NoteKey> {
        let keys = self.witnesses.iter().flat_map(|asked| &asked.keys);
        keys.filter_map(|key| NoteKey::parse(key).ok()).collect()
    }
}

fn path(state: &State) -> PathBuf {
    state.witness().join("standing.json")
}
