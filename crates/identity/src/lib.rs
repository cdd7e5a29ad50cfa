//! Keys, certificates and evidence become principals and callers.
//!
//! This is the only crate that opens private keys. It knows five things:
//!
//! - **Names.** Agents and nodes have SPIFFE ids ([`SpiffeId`]), such as
//!   `spiffe://example.org/agent/claude`.
//! - **The authority.** [`Authority`] has one root per signature algorithm that its crypto profiles
//!   use, makes further ones when they are needed ([`Authority::ensure`]), replaces them
//!   ([`Authority::rotate`]), and issues leaves that live a day at most. Roots sign leaves directly and are the
//!   trust anchors themselves ([`TrustBundle`]), so a handshake carries one certificate and no chain:
//!   with post-quantum signatures each further certificate would cost 5.5 kB. Peers learn of new roots by a
//!   bundle that the old ones have signed ([`TrustBundle::accept_update`]).
//! - **Enrolment.** An agent makes its own key, proves that it has it ([`enrol`]) and is let in by
//!   a one-time [`invite`]. Renewal is the same, with the old certificate in place of the invite.
//! - **Tokens.** [`token`] issues and judges short-lived tokens that are always bound to a key or a connection.
//! - **Judgement.** [`verifier`] answers TLS, [`verify`] turns the [`Evidence`] of a link into a
//!   [`Principal`] (stage 3), [`bind`] turns that into the [`Caller`] of a call (stage 5).
//!
//! A leaf, its root and their signatures are always of one and the same algorithm. A profile that drops an
//! algorithm therefore drops its roots too, and whoever breaks one algorithm cannot vouch for keys of another.
//!
//! ```
//! use std::time::SystemTime;
//! use lockgate_identity::{AGENT_LIFETIME, Authority, Request, Role, SpiffeId};
//! use lockgate_identity::enrol::{Enrolment, ProvenKey};
//!
//! let now = SystemTime::now();
//! let suite = lockgate_crypto::profile::default().compile(1)?;
//! let authority = Authority::generate("example.org", suite.identities(), now)?;
//!
//! // On the agent's machine: a key and a request that proves possession.
//! let enrolment = Enrolment::begin(suite.identities()[0])?;
//! // At the gateway: a leaf for the id that the invite names.
//! let issued = authority.issue(
//!     &Request {
//!         key: ProvenKey::from_request_pem(enrolment.request_pem())?,
//!         id: SpiffeId::agent("example.org", "claude")?,
//!         role: Role::Agent,
//!         dns_names: Vec::new(),
//!         ips: Vec::new(),
//!         lifetime: AGENT_LIFETIME,
//!     },
//!     now,
//! )?;
//! // Back at the agent: the certificate fits the key and the pinned authority.
//! let agent = enrolment.finish(&issued.to_pem(), authority.bundle(), now)?;
//! assert_eq!(agent.id.to_string(), "spiffe://example.org/agent/claude");
//! # Ok::<(), lockgate_identity::IdentityError>(())
//! ```

#![forbid(unsafe_code)]

mod authority;
mod bundle;
mod certificate;
mod described;
pub mod enrol;
mod error;
mod explain;
mod facts;
mod file;
pub mod invite;
pub mod key_file;
mod key_pem;
mod leaf;
mod preamble;
mod principal;
mod proven;
mod request;
mod revocation;
mod roots;
mod sealed;
mod signed;
mod spiffe;
mod stranger;
mod svid;
pub mod token;
mod update;
pub mod verifier;

pub use authority::{Authority, OVERLAP_MAX, Snapshot};
pub use bundle::{ROOTS_MAX, Root, TrustBundle};
pub use described::{Described, describe};
pub use error::IdentityError;
pub use explain::explain;
pub use leaf::{Leaf, NodeIdentity};
pub use principal::{
    Assurance, Caller, Evidence, Principal, ROLE_NAME_BYTES_MAX, bind, is_role_name, verify,
};
pub use request::{
    AGENT_LIFETIME, IssuedCertificate, LEAF_LIFETIME_MAX, LEAF_LIFETIME_MIN, NAMES_MAX, NODE_LIFETIME,
    Request,
};
pub use revocation::{
    Check, PATTERNS_MAX, REASON_BYTES_MAX, REVOCATIONS_MAX, Revocation, RevocationError, Revocations,
    Revoked, Subject, Target,
};
pub use roots::Rotation;
pub use sealed::{SECRET_BYTES_MAX, SECRET_NAME_BYTES_MAX, SECRETS_MAX, SealedStore, Secret};
pub use spiffe::{Role, SPIFFE_ID_BYTES_MAX, SpiffeId, TRUST_DOMAIN_BYTES_MAX};
pub use svid::X509Svid;
pub use update::SIGNED_BUNDLE_BYTES_MAX;

#[cfg(test)]
mod tests;
