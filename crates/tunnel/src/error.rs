//! Why a tunnel could not do what was asked of it.

use std::path::PathBuf;
use std::sync::Arc;

use http::StatusCode;
use lockgate_crypto::CryptoError;
use lockgate_identity::IdentityError;
use lockgate_transport::http::{PoolError, TargetError};
use lockgate_transport::{DialError, TlsError};

/// What a gateway's own services say when they say no: `{"error":{"code","message","hint"}}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// The HTTP status.
    pub status: StatusCode,
    /// Stable code for `lockgate explain`; empty if the answer has none. Written by the other side: bounded, but
    /// not made fit for a terminal.
    pub code: String,
    /// What happened, in the gateway's words.
    pub message: String,
    /// What to do next, in the gateway's words; may be empty.
    pub hint: String,
}

impl Refusal {
    /// Whether the same request may succeed a moment later: the gateway is busy or starting.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        matches!(self.status, StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE)
    }
}

/// Every error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum TunnelError {
    // The gateway's.
    /// A service of the gateway said no.
    #[error("the gateway answered {}: {}", .0.status, .0.message)]
    Refused(Refusal),
    /// An answer that no gateway gives.
    #[error("the answer to {path} is not a gateway's: {cause}; check host and port of the URL")]
    Answer {
        /// Path of the request.
        path: String,
        /// What is wrong with the answer.
        cause: String,
    },
    /// No answer in time.
    #[error("{path} was not answered within {answer_s_max} s (answer_s_max); the gateway is slow or down")]
    Late {
        /// Path of the request.
        path: String,
        /// The limit that passed, seconds.
        answer_s_max: u64,
    },
    /// The exchange itself failed.
    #[error(transparent)]
    Exchange(#[from] PoolError),
    /// New roots of the authority that nobody vouches for whom we trust, or that do not hold otherwise.
    #[error("the gateway's new roots are not accepted: {0}")]
    Bundle(String),
    /// What was issued does not hold, or the identity cannot be kept.
    #[error(transparent)]
    Identity(#[from] IdentityError),

    // Our configuration.
    /// A profile that cannot be used, or one that is below the floor.
    #[error(transparent)]
    Crypto(#[from] Arc<CryptoError>),
    /// Profile and certificate do not fit.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The URL is not one of a gateway.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// What was followed last cannot be kept or read.
    #[error("cannot use {}: {cause}; remove the file to dial by the connector's own profile", path.display())]
    Kept {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: String,
    },

    /// The links were replaced again and again, and may not stay all the same.
    #[error(
        "new links may not stay either after {moves} moves in epoch {epoch}; on the gateway, `lockgate crypto show` \
         says why"
    )]
    InVain {
        /// The gateway's epoch.
        epoch: u64,
        /// How often they were replaced.
        moves: u32,
    },

    // Who issues certificates, where that is not the gateway.
    /// The certificate could not be issued.
    #[error("no certificate was issued: {0}")]
    NotIssued(String),
}

impl TunnelError {
    /// Whether trying again in a moment makes sense.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Refused(refusal) => refusal.is_temporary(),
            Self::Late { .. } | Self::Exchange(_) | Self::NotIssued(_) => true,
            Self::Answer { .. }
            | Self::Bundle(_)
            | Self::Identity(_)
            | Self::Crypto(_)
            | Self::Tls(_)
            | Self::Target(_)
            | Self::InVain { .. }
            | Self::Kept { .. } => false,
        }
    }

    /// Whether the gateway's certificate is not trusted: perhaps it is of a root that this end has not heard of.
    #[must_use]
    pub fn is_untrusted(&self) -> bool {
        matches!(self, Self::Exchange(PoolError::Dial(DialError::Certificate { .. })))
    }

    /// Whether crypto policy, at either end, is what keeps the two apart.
    #[must_use]
    pub fn is_crypto_refusal(&self) -> bool {
        matches!(self, Self::Exchange(PoolError::Dial(error)) if error.is_crypto_refusal())
    }
}
