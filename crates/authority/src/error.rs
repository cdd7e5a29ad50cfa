//! One error type, ordered by blame: the peer, our configuration, a resource.

use std::collections::BTreeSet;
use std::path::PathBuf;

use lockgate_identity::IdentityError;
use lockgate_store::StoreError;

use crate::attest::Kind;
use crate::selector::Selector;

/// Why nothing was attested or issued. The text is for the operator and the log; a peer is told less.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    // The peer's fault.
    /// Evidence that did not pass a check.
    #[error("{by} attestation refused at the check \"{check}\": {found}")]
    Refused {
        /// Which attestor.
        by: Kind,
        /// The check, in a word or two that do not change.
        check: &'static str,
        /// What was found.
        found: String,
    },
    /// What was proven is in no registration.
    #[error(
        "no [[register]] covers what {by} attestation proved: {proven}; add one whose selectors are among these"
    )]
    Unregistered {
        /// Which attestor.
        by: Kind,
        /// The selectors, with commas between them.
        proven: String,
    },
    /// The agent was revoked.
    #[error("{id} is revoked; let it in again with `lockgate identity restore {id}`")]
    Revoked {
        /// Whose credential it would have been.
        id: String,
    },
    /// A request that is not what it should be.
    #[error("the request cannot be used: {0}")]
    Malformed(String),

    /// A node refused what this process asked of it.
    #[error("{message} ({code})")]
    Answered {
        /// Its code, for `lockgate explain`.
        code: String,
        /// What it said.
        message: String,
    },

    // Our configuration.
    /// A selector that no attestor gives.
    #[error("{text} is no selector: {reason}")]
    Selector {
        /// As it was written, shortened.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A registration that cannot be.
    #[error("the registration of {id} cannot be used: {reason}")]
    Registration {
        /// Whose.
        id: String,
        /// Why not.
        reason: String,
    },
    /// No algorithm in force fits what the registration asks for.
    #[error("{id} is registered for {wanted} SVIDs, but the profiles in force permit none; {hint}")]
    Algorithm {
        /// Whose.
        id: String,
        /// The kind of SVID.
        wanted: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// The kernel cannot name the process at the other end of a socket for certain.
    #[error(
        "this kernel has no SO_PEERPIDFD (Linux 6.5 and later have it); processes cannot be attested here, and a bare process id is not taken for one"
    )]
    Kernel,

    // A resource.
    /// A file or socket.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Somebody whom an attestor has to ask.
    #[error("{what} cannot be asked: {cause}")]
    Unreachable {
        /// Whom.
        what: String,
        /// Why not.
        cause: String,
    },
    /// More at once than there is room for.
    #[error("too many at once: {limit}; try again in a moment")]
    Busy {
        /// The limit's name.
        limit: &'static str,
    },
    /// What was done could not be recorded, so it was not done.
    #[error("the audit log cannot be written: {0}; nothing is issued without a record")]
    Unrecorded(String),
    /// The authority.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl AuthorityError {
    /// Evidence that did not pass.
    pub(crate) fn refused(by: Kind, check: &'static str, found: impl Into<String>) -> Self {
        Self::Refused { by, check, found: found.into() }
    }

    /// Nothing covers what was proven.
    pub(crate) fn unregistered(by: Kind, proven: &BTreeSet<Selector>) -> Self {
        let proven: Vec<&str> = proven.iter().map(Selector::as_str).collect();
        Self::Unregistered { by, proven: proven.join(", ") }
    }

    /// Whether the peer is to blame, rather than the configuration or a resource here.
    pub fn is_peers_fault(&self) -> bool {
        matches!(
            self,
            Self::Refused { .. } | Self::Unregistered { .. } | Self::Revoked { .. } | Self::Malformed(_)
        )
    }

    /// What a peer may hear: which check failed, not what was found or configured.
    pub fn for_peer(&self) -> String {
        match self {
            Self::Refused { by, check, .. } => format!("{by} attestation refused at the check \"{check}\""),
            Self::Unregistered { .. } => "no identity is registered for this workload".to_owned(),
            Self::Revoked { .. } => "the identity is revoked".to_owned(),
            Self::Malformed(what) => format!("the request cannot be used: {what}"),
            Self::Algorithm { wanted, .. } => {
                format!("the profiles in force permit no algorithm for {wanted} SVIDs")
            }
            Self::Busy { limit } => format!("too many at once: {limit}"),
            _ => "not possible now; the gateway's log says why".to_owned(),
        }
    }

    /// Stable code for `lockgate explain`.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Refused { .. } | Self::Kernel => "LG-I501",
            Self::Unregistered { .. } => "LG-I502",
            Self::Revoked { .. } => "LG-I503",
            Self::Malformed(_) => "LG-I400",
            Self::Selector { .. } | Self::Registration { .. } => "LG-C021",
            Self::Algorithm { .. } => "LG-I504",
            Self::Io { .. } | Self::Unreachable { .. } | Self::Answered { .. } => "LG-I505",
            Self::Busy { .. } => "LG-I506",
            Self::Unrecorded(_) => "LG-A002",
            Self::Identity(_) => "LG-I402",
            Self::Store(_) => "LG-S005",
        }
    }
}

/// Text of a peer, safe to print: control characters escaped, at most 120 characters.
pub(crate) fn shown(text: &str) -> String {
    const CHARS_MAX: usize = 120;
    let mut out = String::from("\"");
    out.extend(text.chars().take(CHARS_MAX).flat_map(char::escape_debug));
    if text.chars().nth(CHARS_MAX).is_some() {
        out.push('…');
    }
    out.push('"');
    out
}
