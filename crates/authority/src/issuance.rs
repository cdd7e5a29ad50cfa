//! What issuing needs of the node around it: its authority, what is in force, who is revoked, and the record.

use std::collections::BTreeSet;

use lockgate_crypto::Algorithm;
use lockgate_identity::{Authority, SpiffeId};

use crate::AuthorityError;
use crate::attest::Kind;
use crate::selector::Selector;

/// Something that goes into the record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// What was asked for, such as `identity/svid`.
    pub method: &'static str,
    /// For whom: the SPIFFE id, once there is one.
    pub id: Option<SpiffeId>,
    /// How it was proven.
    pub by: Kind,
    /// Of whom, in words: never a secret.
    pub subject: String,
    /// What was proven.
    pub selectors: BTreeSet<Selector>,
    /// Why it was refused; `None` if it was issued.
    pub refused: Option<String>,
}

/// The node that issues. Calls may block on the disk.
pub trait Issuance: Send + Sync {
    /// Roots and their keys.
    fn authority(&self) -> &Authority;

    /// The algorithms of which certificates are issued now, the preferred first.
    fn in_force(&self) -> Vec<&'static Algorithm>;

    /// Whether an agent, or one of the roles that it would get, is revoked.
    fn is_revoked(&self, id: &SpiffeId, roles: &[String]) -> bool;

    /// Whether a token of ours was taken back, by its name (`jti`).
    fn is_token_revoked(&self, id: &str) -> bool;

    /// Whether a key is revoked, by its thumbprint (RFC 7638).
    fn is_key_revoked(&self, thumbprint: &str) -> bool;

    /// Takes a token of ours back, until it would have ended (Unix seconds).
    ///
    /// # Errors
    /// [`AuthorityError`], if that cannot be stored; then it is not.
    fn revoke_token(&self, id: &str, until_s: u64) -> Result<(), AuthorityError>;

    /// A number that changes whenever an earlier answer may not hold any more: roots, algorithms, revocations.
    fn generation(&self) -> u64;

    /// Writes a record.
    ///
    /// # Errors
    /// [`AuthorityError::Unrecorded`]; then nothing is issued.
    fn record(&self, event: &Event) -> Result<(), AuthorityError>;
}
