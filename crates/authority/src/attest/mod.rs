//! Attestors: evidence in, proven facts out.

use std::collections::BTreeSet;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::SystemTime;

use crate::AuthorityError;
use crate::selector::Selector;

mod bundle;
mod executable;
mod invite;
mod keys;
mod outside;
mod parent;
mod process;
mod procfs;
mod review;
mod tokens;

pub use invite::{INVITES, Invites, Revoked};
pub(crate) use keys::named_at;
pub use keys::{KeySource, Keys};
pub use outside::Outside;
pub use parent::Parent;
pub use process::{Peer, Process};
pub use review::Review;
pub use tokens::{Algorithms, Judge, Tokens, Trusted};

/// Which way of attesting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Kind {
    /// A one-time code.
    Invite,
    /// A service-account token of a Kubernetes cluster.
    Kubernetes,
    /// A process on this machine.
    Process,
    /// An SVID of another SPIFFE trust domain.
    Spiffe,
    /// A token of an OIDC issuer.
    Oidc,
    /// The process that started the one that asks.
    Parent,
}

impl Kind {
    /// All of them.
    pub const ALL: [Kind; 6] =
        [Kind::Invite, Kind::Kubernetes, Kind::Process, Kind::Spiffe, Kind::Oidc, Kind::Parent];

    /// Its name in the configuration.
    pub fn name(self) -> &'static str {
        match self {
            Kind::Invite => "invite",
            Kind::Kubernetes => "kubernetes",
            Kind::Process => "process",
            Kind::Spiffe => "spiffe",
            Kind::Oidc => "oidc",
            Kind::Parent => "parent",
        }
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// What somebody shows.
#[derive(Clone, Copy)]
pub enum Evidence<'a> {
    /// The secret of an invite, together with a key that was proven in the same request.
    Invite {
        /// The secret as it was sent, base64url.
        secret: &'a str,
        /// SHA-256 of the key's subject public key info, lower-case hexadecimal.
        key: &'a str,
    },
    /// Whoever opened a Unix socket.
    Process(&'a Peer),
    /// A signed token (a JWT).
    Token(&'a str),
}

/// What was proven.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attested {
    /// By whom.
    pub by: Kind,
    /// What it was proven of, in words for the record: never a secret.
    pub subject: String,
    /// The facts.
    pub selectors: BTreeSet<Selector>,
    /// What a reader should know about them, such as that a hash is an interpreter's.
    pub notes: Vec<String>,
    /// When the evidence itself ends, if it does; a credential does not outlive it where the attestor says so.
    pub not_after: Option<SystemTime>,
}

impl Attested {
    pub(crate) fn new(by: Kind, subject: String) -> Self {
        Self { by, subject, selectors: BTreeSet::new(), notes: Vec::new(), not_after: None }
    }

    /// Adds a fact; a value that cannot be said exactly is left out.
    pub(crate) fn add(&mut self, fact: &str, value: &str) {
        self.selectors.extend(Selector::new(fact, value));
    }
}

/// The answer of an attestor.
pub type Judged<'a> = Pin<Box<dyn Future<Output = Result<Attested, AuthorityError>> + Send + 'a>>;

/// Judges evidence of one kind. What it does not understand it refuses; it never guesses.
pub trait Attestor: Send + Sync {
    /// Which kind it is.
    fn kind(&self) -> Kind;

    /// Judges evidence.
    ///
    /// # Errors
    /// [`AuthorityError::Refused`] with the check that failed; [`AuthorityError::Unreachable`],
    /// [`AuthorityError::Io`] or [`AuthorityError::Busy`] if it could not be judged.
    fn attest<'a>(&'a self, evidence: Evidence<'a>) -> Judged<'a>;
}
