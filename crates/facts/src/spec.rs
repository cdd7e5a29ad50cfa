//! What the configuration says of a fact.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use lockgate_transport::http::Pool;

use crate::FactShape;
use crate::source::http::Template;

/// Most facts of a node: each is a member of what every policy can read.
pub const FACTS_MAX: usize = 64;

/// Most fields of a fact.
pub const FIELDS_MAX: usize = 64;

/// How far ahead of this node's clock a provider's own time may be, in milliseconds: what well-kept clocks differ by,
/// many times over.
pub const SKEW_MS_MAX: u64 = 5_000;

/// Longest life of a fact in milliseconds, 30 days. What is true for longer belongs into the policy.
pub const MAX_AGE_MS_MAX: u64 = 30 * 24 * 3_600 * 1_000;

/// Longest wait of a call for a fact in milliseconds.
pub const DEADLINE_MS_MAX: u64 = 5_000;

/// Wait of a call for a fact in milliseconds, unless told otherwise.
pub const DEADLINE_MS_DEFAULT: u64 = 50;

/// A fact: what it looks like, where it comes from, how old it may be.
#[derive(Debug, Clone)]
pub struct Spec {
    /// What policy is promised.
    pub shape: Arc<FactShape>,
    /// Where it comes from.
    pub from: From,
    /// How old it may be, in milliseconds.
    pub max_age_ms: u64,
    /// What a call may wait for it, in milliseconds.
    pub deadline_ms: u64,
}

/// Where a fact comes from.
#[derive(Clone)]
pub enum From {
    /// A JSON file.
    File(PathBuf),
    /// A JSON document over HTTP.
    Http {
        /// The URL.
        url: Template,
        /// The connections to it, over TLS or on loopback.
        pool: Pool,
    },
    /// The result of a tool.
    Mcp {
        /// A server of this node.
        server: String,
        /// Its tool, which only reads.
        tool: String,
    },
    /// Statements that are signed and brought.
    Push {
        /// The key that signs them: a DER `SubjectPublicKeyInfo`.
        signer_spki: Vec<u8>,
    },
}

impl From {
    /// `file`, `http`, `mcp` or `push`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::File(_) => "file",
            Self::Http { .. } => "http",
            Self::Mcp { .. } => "mcp",
            Self::Push { .. } => "push",
        }
    }

    /// Whether it is the very same provider, so that what is known from it may be kept.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::File(path), Self::File(other)) => path == other,
            (Self::Http { url, pool }, Self::Http { url: other, pool: others }) => {
                url == other && Arc::ptr_eq(pool.target().dialer(), others.target().dialer())
            }
            (Self::Mcp { server, tool }, Self::Mcp { server: other, tool: others }) => {
                (server, tool) == (other, others)
            }
            (Self::Push { signer_spki }, Self::Push { signer_spki: other }) => signer_spki == other,
            _ => false,
        }
    }
}

/// As the configuration writes it.
impl fmt::Display for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(path) => write!(f, "file:{}", path.display()),
            Self::Http { url, .. } => write!(f, "{url}"),
            Self::Mcp { server, tool } => write!(f, "mcp:{server}/{tool}"),
            Self::Push { .. } => f.write_str("push"),
        }
    }
}

impl fmt::Debug for From {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "From({self})")
    }
}
