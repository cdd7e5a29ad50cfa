//! Sets of public keys (RFC 7517 section 5), as issuers publish them.

use serde_json::{Value, json};

use super::{Jwk, strict};
use crate::CryptoError;
use crate::catalog::Algorithm;

/// Longest set, in bytes. Sixty-four of the largest keys take 230 kB.
pub const SET_BYTES_MAX: usize = 512 * 1024;
/// Most keys of a set: issuers publish two to six, large clouds a dozen.
pub const SET_KEYS_MAX: usize = 64;

const WHAT: &str = "set of JSON Web Keys";

/// Keys to verify with, and why others of the set were passed over.
#[derive(Clone, Debug, Default)]
pub struct JwkSet {
    keys: Vec<Jwk>,
    skipped: Vec<String>,
}

impl JwkSet {
    /// A set of these keys.
    #[must_use]
    pub fn new(keys: Vec<Jwk>) -> Self {
        Self { keys, skipped: Vec::new() }
    }

    /// Reads a set. Keys that are for something else, or that are not understood, are passed over
    /// ([`JwkSet::skipped`] says why), as RFC 7517 section 5 has it.
    ///
    /// # Errors
    /// [`CryptoError::MalformedKey`] for what is no set, is too large, holds a private or a shared key,
    /// or has two keys of one name that fit the same algorithm.
    pub fn parse(text: &str) -> Result<Self, CryptoError> {
        let refused = |reason: &str| CryptoError::malformed(WHAT, reason);
        if text.len() > SET_BYTES_MAX {
            return Err(refused("it is longer than 512 KiB"));
        }
        let members = strict::object(text).map_err(|flaw| CryptoError::malformed(WHAT, flaw))?;
        let Some(Value::Array(entries)) = members.get("keys") else {
            return Err(refused("it has no list of keys"));
        };
        if entries.len() > SET_KEYS_MAX {
            return Err(refused("it has more than 64 keys"));
        }
        let mut set = Self::default();
        for entry in entries {
            let Value::Object(entry) = entry else { return Err(refused("one of its keys is no object")) };
            if SECRET.iter().any(|member| entry.contains_key(*member)) {
                return Err(refused(
                    "it publishes a private or a shared key; the issuer must replace that key at once",
                ));
            }
            match Jwk::from_members(entry) {
                Ok(key) if set.has_rival(&key) => {
                    return Err(refused("two of its keys have the same kid and the same algorithm"));
                }
                Ok(key) => set.keys.push(key),
                Err(error) => set.skipped.push(error.to_string()),
            }
        }
        Ok(set)
    }

    /// The keys, in their order.
    #[must_use]
    pub fn keys(&self) -> &[Jwk] {
        &self.keys
    }

    /// Why keys of the published set are not among them, one reason each.
    #[must_use]
    pub fn skipped(&self) -> &[String] {
        &self.skipped
    }

    /// The key of this name that fits `algorithm`. Where a token names none, the only one that fits.
    #[must_use]
    pub fn find(&self, kid: Option<&str>, algorithm: &Algorithm) -> Option<&Jwk> {
        let mut fitting = self.keys.iter().filter(|key| key.fits(algorithm));
        match kid {
            Some(_) => fitting.find(|key| key.kid() == kid),
            None => fitting.next().filter(|_| fitting.next().is_none()),
        }
    }

    /// The set as JSON.
    #[must_use]
    pub fn to_json(&self) -> Value {
        json!({ "keys": self.keys.iter().map(Jwk::to_json).collect::<Vec<_>>() })
    }

    fn has_rival(&self, new: &Jwk) -> bool {
        let mut named = self.keys.iter().filter(|key| key.kid().is_some() && key.kid() == new.kid());
        named.any(|key| key.algorithms().iter().any(|row| new.fits(row)))
    }
}

/// Members that no published key has.
const SECRET: [&str; 3] = ["d", "k", "priv"];
