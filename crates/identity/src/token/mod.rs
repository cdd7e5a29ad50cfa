//! Tokens: short-lived, for one audience, always bound to a key or a connection.
//!
//! - [`Authority`](crate::Authority) issues certificates; [`TokenIssuer`] issues access tokens (`at+jwt`,
//!   RFC 9068) with keys of its own, which follow the crypto profile and are replaced with overlap.
//! - [`AccessVerifier`] judges our own tokens, [`ForeignIssuer`] those of others. A token is only a claim until its
//!   [`Confirmation`] was met: by the certificate of the link, by a proof that a key is held
//!   ([`dpop`], RFC 9449), or by the connection itself ([`bind`], RFC 9266).
//! - Everything from outside goes through one strict reader of compact JWS ([`jws`]). The algorithm comes from a list
//!   and from the key, never from the token alone.
//!
//! What is refused, is refused with a [`TokenRefused`]: whole for the operator, and with
//! [`TokenRefused::oauth_error`] for the caller, who learns no more than that.
//!
//! ```
//! use std::time::{Duration, SystemTime};
//! use lockgate_identity::SpiffeId;
//! use lockgate_identity::token::{Confirmation, Grant, Held, Resource, TokenIssuer};
//!
//! let now = SystemTime::now();
//! let suite = lockgate_crypto::profile::default().compile(1)?;
//! let issuer = TokenIssuer::generate("https://gw.example.org", &suite, now)?;
//! let audience = Resource::parse("https://gw.example.org/mcp")?;
//! let certificate_sha256 = [7; 32];
//! let issued = issuer.issue(
//!     &Grant {
//!         subject: SpiffeId::agent("example.org", "claude")?,
//!         audience: audience.clone(),
//!         client_id: "claude".to_owned(),
//!         scope: Default::default(),
//!         confirmation: Confirmation::Certificate(certificate_sha256),
//!         actors: Vec::new(),
//!         lifetime: Duration::from_secs(300),
//!     },
//!     now,
//! )?;
//! let token = issuer.verifier().verify(&issued.token, &audience, now)?;
//! token.confirmation.check(&Held { certificate_sha256: Some(certificate_sha256), ..Held::default() })?;
//! assert_eq!(token.subject.to_string(), "spiffe://example.org/agent/claude");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod access;
pub mod bind;
mod claims;
mod confirmation;
pub mod dpop;
mod foreign;
mod issuer;
pub mod jws;
mod key_cache;
mod key_ring;
mod nonce;
mod refused;
mod replay;
mod resource;
mod scope;

use std::time::Duration;

pub use access::{ACTORS_MAX, AccessToken, AccessVerifier};
pub use confirmation::{Confirmation, Held};
pub use foreign::{FOREIGN_ACCESS_LIFETIME_MAX, ForeignClaims, ForeignIssuer, TokenType, unverified_issuer};
pub use issuer::{Assertion, Grant, Issued, TokenIssuer};
pub use key_cache::{KEYS_AGE_MAX, KEYS_FRESH, KEYS_REFETCH_AFTER, KeyCache};
pub use nonce::{NONCE_LIFETIME, Nonces};
pub use refused::TokenRefused;
pub use replay::{REPLAY_ENTRIES_MAX, REPLAY_ENTRIES_PER_KEY_MAX, ReplayCache};
pub use resource::{RESOURCE_BYTES_MAX, Resource};
pub use scope::{SCOPE_BYTES_MAX, SCOPES_MAX, Scope};

/// Life of an access token unless asked otherwise.
pub const TOKEN_LIFETIME: Duration = Duration::from_secs(300);
/// Shortest life of an access token: below, clocks and renewals eat it up.
pub const TOKEN_LIFETIME_MIN: Duration = Duration::from_secs(60);
/// Longest life of an access token. No configuration can raise it.
pub const TOKEN_LIFETIME_MAX: Duration = Duration::from_secs(900);
/// How far the clocks of two machines may differ when a token begins. Its end is never stretched: who
/// issued it knows that it will be short.
pub const CLOCK_SKEW: Duration = Duration::from_secs(30);
/// Longest token or proof, in bytes. An access token with the largest signature has 7 kB, a proof with the largest key
/// in it 11 kB.
pub const TOKEN_BYTES_MAX: usize = 16 * 1024;

#[cfg(test)]
mod tests;
