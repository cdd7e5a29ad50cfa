//! What can go wrong.

use std::path::PathBuf;

use lockgate_audit::AuditError;
use lockgate_store::StoreError;

/// Why something about a subject cannot be done.
#[derive(Debug, thiserror::Error)]
pub enum PrivacyError {
    /// That names no subject.
    #[error("that is no subject: {why}")]
    NoSubject {
        /// What one looks like.
        why: String,
    },
    /// That is no basis, reason or purpose.
    #[error("{what} is wrong: {why}")]
    NoText {
        /// Which text.
        what: &'static str,
        /// What it must be.
        why: String,
    },
    /// A hold keeps it.
    #[error("hold {id} keeps it{}", reason_of(.reason))]
    Held {
        /// The hold.
        id: String,
        /// Why it was put on.
        reason: String,
    },
    /// There is no such hold.
    #[error("there is no hold {id}")]
    NoHold {
        /// What was asked for.
        id: String,
    },
    /// There are as many holds or keys as there may be.
    #[error("there are {max} {what}, and no more can be kept")]
    Full {
        /// What there are too many of.
        what: &'static str,
        /// How many there may be.
        max: usize,
    },
    /// The keys are those of another time, or of another node.
    #[error("the subject keys in {} do not open: {why}", path.display())]
    OtherKeys {
        /// The file.
        path: PathBuf,
        /// What does not fit.
        why: String,
    },
    /// The file of keys cannot be read or written.
    #[error("cannot {doing} {}: {source}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        source: std::io::Error,
    },
    /// The key over all keys cannot be read or written.
    #[error("the key over the subject keys is not at hand: {0}")]
    MasterKey(String),
    /// The log.
    #[error(transparent)]
    Audit(#[from] AuditError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn reason_of(reason: &str) -> String {
    if reason.is_empty() { String::new() } else { format!(": {reason}") }
}

impl PrivacyError {
    pub(crate) fn io(doing: &'static str, path: &std::path::Path) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.to_owned();
        move |source| Self::Io { doing, path, source }
    }
}
