//! Attestation becomes short-lived credentials.
//!
//! An agent has no secret to keep. It shows what it *is*, and gets a credential that lives minutes to hours:
//!
//! 1. **Evidence** comes in: a process at a Unix socket, the parent that started it, an invite, a token of a Kubernetes
//!    cluster or of an OIDC issuer, an SVID of another SPIFFE trust domain ([`Evidence`]).
//! 2. An **attestor** ([`Attestor`]) judges it and answers with [`Selector`]s: single facts that are proven, such as
//!    `unix:uid:1000` or `oidc:repository:acme/billing`. It says nothing about who may do what.
//! 3. A **registration** ([`Registration`]) of the configuration turns selectors into a SPIFFE id with roles and a life.
//!    What no registration covers gets nothing.
//! 4. A **credential** is issued for that id: an X.509-SVID, over the SPIFFE Workload API ([`workload`]) together with its
//!    key, or for a key that the agent made itself.
//!
//! Every refusal names the check that failed ([`AuthorityError::Refused`]), for the operator; a stranger hears less.
//!
//! ```
//! use std::collections::BTreeSet;
//! use std::time::Duration;
//! use lockgate_authority::{Pattern, Registration, Registrations, Selector};
//! use lockgate_identity::SpiffeId;
//!
//! let registrations = Registrations::new(vec![Registration {
//!     selectors: vec![Pattern::parse("oidc:repository:acme/*")?],
//!     id: SpiffeId::agent("example.org", "builder")?,
//!     roles: vec!["build".to_owned()],
//!     scope: None,
//!     life: Duration::from_secs(3600),
//!     svid: Default::default(),
//! }])?;
//! let proven = BTreeSet::from([Selector::new("oidc:repository", "acme/billing").expect("a plain value")]);
//! assert_eq!(registrations.first(&proven).unwrap().id.path(), "/agent/builder");
//! assert!(registrations.first(&BTreeSet::new()).is_none());
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![forbid(unsafe_code)]

pub mod attest;
mod error;
mod exchange;
mod issuance;
mod known;
pub mod oauth;
mod registration;
mod selector;
pub mod workload;

pub use attest::{Attested, Attestor, Evidence, Kind};
pub use error::AuthorityError;
pub use exchange::{ExchangeGrant, ExchangePlan, Exchanger, OnBehalf};
pub use issuance::{Event, Issuance};
pub use known::{Known, REGISTRATIONS};
pub use registration::{LIFE_MAX, LIFE_MIN, REGISTRATIONS_MAX, Registration, Registrations, SvidKind};
pub use selector::{Pattern, SELECTOR_BYTES_MAX, Selector};

#[cfg(test)]
mod tests;
