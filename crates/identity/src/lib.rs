//! Keys, certificates and evidence become principals and callers.
//!
//! This is the only crate that opens private keys. It knows four things:
//!
//! - **Names.** Agents and nodes have SPIFFE ids ([`SpiffeId`]), such as
//!   `spiffe://example.org/agent/claude`.
//! - **The authority.** [`Authority`] has one root per signature family (composite, ML-DSA,
//!   ECDSA) and issues leaves that live a day at most. Roots sign leaves directly and are the trust
//!   anchors themselves ([`TrustBundle`]), so a handshake carries one certificate and no chain:
//!   with post-quantum signatures each further certificate would cost 5.5 kB.
//! - **Enrolment.** An agent makes its own key, proves that it has it ([`enrol`]) and is let in by
//!   a one-time [`invite`]. Renewal is the same, with the old certificate in place of the invite.
//! - **Judgement.** [`verifier`] answers TLS, [`verify`] turns the [`Evidence`] of a link into a
//!   [`Principal`] (stage 3), [`bind`] turns that into the [`Caller`] of a call (stage 5).
//!
//! A leaf, its root and their signatures are always of one family. A profile that drops a family
//! therefore drops its roots too, and whoever breaks one family cannot vouch for keys of another.
//!
//! ```
//! use std::time::SystemTime;
//! use lockgate_identity::{AGENT_LIFETIME, Authority, Request, Role, SpiffeId};
//! use lockgate_identity::enrol::{Enrolment, ProvenKey};
//!
//! let now = SystemTime::now();
//! let authority = Authority::generate("example.org", now)?;
//!
//! // On the agent's machine: a key and a request that proves possession.
//! let enrolment = Enrolment::begin(lockgate_crypto::Family::Composite)?;
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
//! let agent = enrolment.finish(&issued.to_pem(), authority.bundle().clone(), now)?;
//! assert_eq!(agent.id.to_string(), "spiffe://example.org/agent/claude");
//! # Ok::<(), lockgate_identity::IdentityError>(())
//! ```

#![forbid(unsafe_code)]

mod authority;
mod bundle;
mod certificate;
pub mod enrol;
mod error;
mod explain;
mod facts;
mod file;
pub mod invite;
mod key_pem;
mod leaf;
mod principal;
mod signed;
mod spiffe;
pub mod verifier;

pub use authority::{
    AGENT_LIFETIME, Authority, IssuedCertificate, LEAF_LIFETIME_MAX, LEAF_LIFETIME_MIN, NAMES_MAX,
    NODE_LIFETIME, Request,
};
pub use bundle::{ROOTS_MAX, Root, TrustBundle};
pub use error::IdentityError;
pub use explain::explain;
pub use leaf::{Leaf, NodeIdentity};
pub use principal::{Assurance, Caller, Evidence, Principal, bind, verify};
pub use spiffe::{Role, SPIFFE_ID_BYTES_MAX, SpiffeId, TRUST_DOMAIN_BYTES_MAX};

#[cfg(test)]
mod tests;
