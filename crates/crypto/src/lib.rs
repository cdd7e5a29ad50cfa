//! Agility: the one place where algorithms are named.
//!
//! Everywhere else in Lockgate an algorithm is a catalog id, a choice of algorithms is a
//! profile name, and what a link negotiated is a [`Posture`]. That makes replacing an
//! algorithm a change of data.
//!
//! # From a name to a handshake
//!
//! 1. The [`catalog`] holds one row for each algorithm: what it is for, how it stands
//!    against a quantum adversary (RFC 9794), its code point, its dates.
//! 2. A [`profile`] is a named, dated, immutable choice of rows, in order of preference.
//! 3. [`Profile::compile`] turns it into a [`Suite`]: providers for rustls with explicit
//!    order, and tables for webpki. A suite exists only if it has completed a handshake
//!    against itself with each group and each family of signatures; what is unavailable
//!    is an error at start-up and never replaced by something else.
//! 4. A server asks [`Suite::server_provider`] and [`Suite::choose_signature`] what to
//!    present to a client, and gets the strongest that both sides can do, or a
//!    [`CryptoRefused`] with what was offered and what is required.
//! 5. The finished link has a [`Posture`], whose [`Posture::quantum_safe`] is the minimum
//!    over everything negotiated.
//!
//! ```
//! use lockgate_crypto::{CryptoRefused, profile};
//! use rustls::NamedGroup;
//!
//! let suite = profile::find("pq-hybrid")?.compile(1)?;
//! // Whatever the client's order is, a post-quantum group wins.
//! let client = [NamedGroup::X25519, NamedGroup::X25519MLKEM768];
//! let provider = suite.server_provider(&client)?;
//! assert!(provider.kx_groups.iter().all(|group| group.name() != NamedGroup::X25519));
//! // And a client with nothing else to offer is told why it is refused.
//! let refused: CryptoRefused = suite.server_provider(&[NamedGroup::X25519]).unwrap_err();
//! assert_eq!(refused.offered, ["X25519"]);
//! assert_eq!(refused.required[0], "X25519MLKEM768");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Two gates
//!
//! A hybrid holds while either of its halves holds. In key exchange that is a group made
//! of two (`group.rs`): both shared secrets enter the key schedule. In authentication it
//! is a composite signature (`composite.rs`): both halves must verify. The halves come
//! from AWS-LC through `aws-lc-rs` and rustls; this crate only joins them.
//!
//! # Unsafe code
//!
//! One file, `ml_dsa_context.rs`, calls AWS-LC directly, because the safe interface has
//! no ML-DSA context strings. It says why it is sound, and is tested against independent
//! implementations and, where they are at hand, the draft's vectors.

// In a test, a panic with the value in it is the report.
#![cfg_attr(test, allow(clippy::unwrap_used))]

pub mod calendar;
pub mod catalog;
pub mod cbom;
pub mod digest;
pub mod document;
pub mod jose;
pub mod mac;
pub mod note;
pub mod profile;
pub mod random;
pub mod seal;

mod cipher;
mod code;
mod composite;
mod conditions;
mod error;
mod graviola;
mod group;
mod judge;
mod library;
mod ml_dsa_context;
mod notice;
mod posture;
mod self_test;
mod sign;
mod slh_dsa;
mod suite;
mod verify;

#[cfg(test)]
mod tests;

pub use catalog::{Algorithm, Kind, Nature, Phase, Status};
pub use conditions::{Ban, Conditions, Ending, Sunset};
pub use error::{CryptoError, CryptoRefused};
pub use judge::{Breach, Capabilities, Foreseen};
pub use notice::{Announced, Notice};
pub use posture::{Observed, Posture};
pub use profile::{Definition, Profile, Profiles};
pub use seal::SealKey;
pub use self_test::{Cost, try_algorithm};
pub use sign::PrivateKey;
pub use suite::{Suite, probe_provider};
pub use verify::{algorithm_of_spki, verify};
