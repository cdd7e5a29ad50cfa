//! Why an exchange failed.

use crate::dial_error::DialError;

/// A request was not answered, or its answer broke off.
#[derive(Debug, thiserror::Error)]
pub enum PoolError {
    /// No connection: nothing was sent.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// All connections are in use: nothing was sent.
    #[error(
        "{target}: all {links_max} connections (links_max) were in use for {wait_ms_max} ms (wait_ms_max); the server is slower than its callers, so retry later or raise links_max"
    )]
    Exhausted {
        /// The target's origin.
        target: String,
        /// The limit on connections.
        links_max: usize,
        /// How long was waited, milliseconds.
        wait_ms_max: u64,
    },
    /// Another request is opening the connection that all could share, and takes long: nothing was sent.
    #[error(
        "{target}: no connection was open, and opening one took more than {wait_ms_max} ms (wait_ms_max); the server is slow or down"
    )]
    Opening {
        /// The target's origin.
        target: String,
        /// How long was waited, milliseconds.
        wait_ms_max: u64,
    },
    /// A new connection came up, but its server gave no sign of accepting it: the present ones stay in use.
    #[error(
        "{target}: a new connection was opened, but the server said nothing on it for {wait_ms_max} ms (wait_ms_max); the present connections stay in use, so try again"
    )]
    Silent {
        /// The target's origin.
        target: String,
        /// How long was waited, milliseconds.
        wait_ms_max: u64,
    },
    /// The connection broke after the request was, or may have been, sent. Whether the server acted on it is
    /// unknown.
    #[error("{target}: the connection broke before the answer: {source}")]
    Broken {
        /// The target's origin.
        target: String,
        /// What happened.
        source: hyper::Error,
    },
    /// The body of the answer broke off, or is not what its headers announced.
    #[error("the answer broke off: {0}")]
    Body(#[source] hyper::Error),
}

impl PoolError {
    /// Whether it is certain that the server has not seen the request, so that it may be sent again.
    pub fn is_unsent(&self) -> bool {
        match self {
            Self::Dial(_) | Self::Exhausted { .. } | Self::Opening { .. } | Self::Silent { .. } => true,
            Self::Broken { .. } | Self::Body(_) => false,
        }
    }
}
