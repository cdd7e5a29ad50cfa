//! Nonces for proofs (RFC 9449 section 8): given out and recognised without remembering them.
//!
//! A nonce is the time, sealed: nobody can make one in advance, and each is good for a few minutes. All nodes that
//! share the key recognise each other's.

use std::fmt;
use std::time::{Duration, SystemTime};

use lockgate_crypto::{SealKey, jose};

use super::CLOCK_SKEW;
use crate::error::unix_seconds;

/// How long a nonce is good.
pub const NONCE_LIFETIME: Duration = Duration::from_secs(300);
/// Longest nonce that is looked at, in bytes; ours have 50.
const NONCE_BYTES_MAX: usize = 128;
/// What the seal is bound to.
const PURPOSE: &[u8] = b"lockgate.dpop-nonce/1";

/// Makes and recognises nonces.
pub struct Nonces(SealKey);

impl fmt::Debug for Nonces {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Nonces([redacted])")
    }
}

impl Default for Nonces {
    fn default() -> Self {
        Self(SealKey::generate())
    }
}

impl Nonces {
    /// With a key that other nodes have too.
    #[must_use]
    pub fn with_key(key: SealKey) -> Self {
        Self(key)
    }

    /// A nonce for a client, to be sent as `DPoP-Nonce`.
    #[must_use]
    pub fn give(&self, now: SystemTime) -> String {
        jose::encode(&self.0.seal(&unix_seconds(now).to_be_bytes(), PURPOSE))
    }

    /// Whether it is one of ours that is still good.
    #[must_use]
    pub fn is_current(&self, nonce: &str, now: SystemTime) -> bool {
        if nonce.len() > NONCE_BYTES_MAX {
            return false;
        }
        let opened = jose::decode(nonce).and_then(|sealed| self.0.open(&sealed, PURPOSE).ok());
        let Some(made) = opened.and_then(|bytes| bytes.try_into().ok()).map(u64::from_be_bytes) else {
            return false;
        };
        let now = unix_seconds(now);
        made <= now + CLOCK_SKEW.as_secs() && now < made.saturating_add(NONCE_LIFETIME.as_secs())
    }
}
