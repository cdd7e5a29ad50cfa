//! Why a change is not made, ordered by blame: who asked, the configuration, a resource.

use http::StatusCode;
use lockgate_admin::Fault;
use lockgate_crypto::CryptoError;

use crate::diagnostic::Diagnostic;

/// Why what was in force stays in force.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Problem {
    /// No such listener, upstream or peer.
    #[error("there is no {what} called \"{name}\"; there are: {known}")]
    Place { what: &'static str, name: String, known: String },
    /// Something in the request that cannot be.
    #[error("{0}")]
    Request(String),
    /// No such profile.
    #[error("no profile is called \"{0}\"")]
    Profile(String),
    /// No such algorithm, or provider of it.
    #[error(transparent)]
    Algorithm(CryptoError),
    /// Peers would lose their link and get no other.
    #[error("{count} of {of} peers would be cut off: {who}")]
    CutOff { count: usize, of: usize, who: String },
    /// Nothing to take back.
    #[error("there is no change that could be taken back")]
    NothingBefore,
    /// No such ban.
    #[error("{target} is not banned; banned are: {banned}")]
    NotBanned { target: String, banned: String },
    /// The ban comes from the signed document.
    #[error("the ban of {target} comes from the signed document")]
    SignedBan { target: String },
    /// More than a person could have meant.
    #[error("there are {max} {what} already, which is the limit")]
    TooMany { what: &'static str, max: usize },
    /// A ban or a date leaves a place with nothing.
    #[error("{place} would have nothing left: {source}")]
    NothingLeft { place: String, source: CryptoError },
    /// A profile cannot be used.
    #[error("{place}: {source}")]
    Unusable { place: String, source: CryptoError },
    /// A profile was chosen and is not known any more.
    #[error("profile {profile} was put in force for {place}, and no profile of this name is known any more")]
    Lost { profile: String, place: String },
    /// The signed document may not follow the last one.
    #[error("the crypto document cannot be taken up: {0}")]
    Document(String),
    /// A certificate, or the TLS that it is for.
    #[error("{what}: {cause}")]
    Certificates { what: &'static str, cause: String },
    /// What is written before anything happens cannot be written.
    #[error("the change cannot be recorded: {0}")]
    Unrecorded(lockgate_audit::AuditError),
    /// What must survive a restart cannot be stored.
    #[error("the change cannot be stored: {0}")]
    Unstored(lockgate_store::StoreError),
    /// The pipeline does not take the epoch.
    #[error("{0}")]
    Published(String),
}

impl Problem {
    /// Status, code of the registry, and what to do.
    fn said(&self) -> (StatusCode, &'static str, &'static str) {
        use StatusCode as S;
        match self {
            Self::Place { .. } => (S::NOT_FOUND, "LG-U002", "list them: lockgate crypto show"),
            Self::Request(_) => (S::BAD_REQUEST, "LG-U001", "see the examples: lockgate crypto apply --help"),
            Self::Profile(_) => (S::NOT_FOUND, "LG-C012", "list them: lockgate crypto profiles"),
            Self::Algorithm(_) => (S::NOT_FOUND, "LG-U002", "list them: lockgate crypto catalog"),
            Self::CutOff { .. } => (
                S::CONFLICT,
                "LG-K003",
                "see who and why: lockgate crypto plan; spare them for a while: --peer ID --for 7d; or do it all the same: --cut-off",
            ),
            Self::NothingBefore => (S::CONFLICT, "LG-K004", "see what is in force: lockgate crypto show"),
            Self::NotBanned { .. } | Self::SignedBan { .. } => {
                (S::NOT_FOUND, "LG-K006", "see what is banned: lockgate crypto show")
            }
            Self::TooMany { .. } => {
                (S::CONFLICT, "LG-U001", "use a profile of your own for so many: lockgate crypto sign --help")
            }
            Self::NothingLeft { .. } => (
                S::CONFLICT,
                "LG-K005",
                "put another profile in force there first: lockgate crypto apply PROFILE --listener NAME",
            ),
            Self::Unusable { .. } => (S::CONFLICT, "LG-K002", "choose another: lockgate crypto profiles"),
            Self::Lost { .. } => (
                S::CONFLICT,
                "LG-K007",
                "bring the document back that defined it, or name another profile in the configuration, which ends the choice",
            ),
            Self::Document(_) => {
                (S::CONFLICT, "LG-C013", "give it a higher epoch, sign it, and put it in place")
            }
            Self::Certificates { .. } => (S::CONFLICT, "LG-I006", "see what is wrong: lockgate doctor"),
            Self::Unrecorded(_) => (S::SERVICE_UNAVAILABLE, "LG-A002", "free space for the audit log"),
            Self::Unstored(_) => (S::SERVICE_UNAVAILABLE, "LG-S005", "see what is wrong: lockgate doctor"),
            Self::Published(_) => (S::CONFLICT, "LG-X001", "please report it"),
        }
    }

    /// For the admin interface.
    pub(crate) fn fault(&self) -> Fault {
        let (status, code, hint) = self.said();
        Fault::new(status, code, self.to_string(), hint)
    }

    /// For the command line.
    pub(crate) fn diagnostic(&self) -> Diagnostic {
        let (_, code, hint) = self.said();
        Diagnostic::new(code, self.to_string()).hint(hint)
    }
}
