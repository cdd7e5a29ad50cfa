//! How a log stands, for whoever shows it.

use lockgate_crypto::digest::hex;
use serde::Serialize;

use crate::sequencer::Standing;

/// How far a log is written and signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LogState {
    /// Number of the last record.
    pub seq: u64,
    /// SHA-256 of its line, lower-case hex.
    pub head_hash: String,
    /// The newest checkpoint; `None` before the first, and where nothing is sealed.
    pub checkpoint: Option<CheckpointState>,
    /// Public keys that sign now, as verifier keys.
    pub keys: Vec<String>,
    /// Why no checkpoint can be made at the moment.
    pub problem: Option<String>,
}

/// What is signed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckpointState {
    /// The log and its month.
    pub origin: String,
    /// Leaves of the tree: the records of the month, and one for its beginning.
    pub size: u64,
    /// Root of the tree, lower-case hex.
    pub root: String,
    /// The last record that it covers.
    pub covers_seq: u64,
    /// When it was signed, Unix seconds.
    pub time_s: Option<u64>,
    /// Keys of the log that signed it.
    pub signed_by: Vec<SignerState>,
    /// Names of others whose lines are under it.
    pub cosigned_by: Vec<String>,
}

/// A key that signs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SignerState {
    /// Its name.
    pub name: String,
    /// Its id, lower-case hex.
    pub id: String,
    /// Its algorithm, by its name in the catalog.
    pub algorithm: String,
}

impl LogState {
    pub(crate) fn of((seq, head_hash): (u64, String), standing: Option<Standing>) -> Self {
        let Standing { newest, covered, keys, problem } = standing.unwrap_or_default();
        let checkpoint = newest.map(|signed| {
            let verified = keys.iter().filter_map(|key| Some((key, signed.verify(key).ok()?)));
            let verified: Vec<_> = verified.collect();
            let is_own = |name: &str| keys.iter().any(|key| key.name() == name);
            let others = signed.lines.iter().map(|line| &line.name).filter(|name| !is_own(name));
            CheckpointState {
                origin: signed.checkpoint.origin.clone(),
                size: signed.checkpoint.head.size,
                root: hex(&signed.checkpoint.head.root),
                covers_seq: covered,
                time_s: verified.iter().find_map(|(_, signature)| signature.time_s),
                signed_by: verified
                    .iter()
                    .map(|(key, _)| SignerState {
                        name: key.name().to_owned(),
                        id: hex(&key.id()),
                        algorithm: key.algorithm().id.to_owned(),
                    })
                    .collect(),
                cosigned_by: others.cloned().collect(),
            }
        });
        Self { seq, head_hash, checkpoint, keys: keys.iter().map(ToString::to_string).collect(), problem }
    }
}
