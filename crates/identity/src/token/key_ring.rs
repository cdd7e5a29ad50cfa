//! The keys with which we sign tokens: one that signs, and the public halves of those before it, for as long as what
//! they signed may live.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lockgate_crypto::jose::{Jwk, JwkSet};
use lockgate_crypto::{Algorithm, PrivateKey, Suite};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use super::{CLOCK_SKEW, TOKEN_LIFETIME_MAX};
use crate::error::unix_seconds;
use crate::file::{self, Secrecy};
use crate::{IdentityError, key_pem};

/// How long a key signs, if nothing replaces it before.
const KEY_LIFETIME: Duration = Duration::from_secs(30 * 24 * 60 * 60);
/// Most keys of which the public half is kept: someone who rotates each minute loses the oldest.
const PREVIOUS_MAX: usize = 16;
/// What the line after the key starts with.
const MARK: &str = "# lockgate.token-keys/1 ";
const FILE: &str = "token-keys.pem";
const WHAT: &str = "the keys for tokens";

/// One state of the keys; a change makes the next one.
#[derive(Clone)]
pub(crate) struct KeyRing {
    pub(crate) key: PrivateKey,
    made_s: u64,
    previous: Vec<Previous>,
}

/// A key that signs no more.
#[derive(Clone)]
struct Previous {
    key: Jwk,
    until_s: u64,
}

/// What the file says beside the private key.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    made_s: u64,
    #[serde(default)]
    previous: Vec<StoredKey>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct StoredKey {
    jwk: Value,
    until_s: u64,
}

impl KeyRing {
    /// A first key.
    pub(crate) fn make(algorithm: &'static Algorithm, now: SystemTime) -> Result<Self, IdentityError> {
        let key = PrivateKey::generate(algorithm)?;
        // A key that has no name in tokens is of no use, and better found now.
        Jwk::of_private(&key)?;
        Ok(Self { key, made_s: unix_seconds(now), previous: Vec::new() })
    }

    /// Where the keys are kept in a directory.
    pub(crate) fn path(directory: &Path) -> PathBuf {
        directory.join(FILE)
    }

    /// The next state: another key signs, and what this one signed is good until it ends.
    pub(crate) fn rotated(
        &self,
        algorithm: &'static Algorithm,
        now: SystemTime,
    ) -> Result<Self, IdentityError> {
        let mut next = Self::make(algorithm, now)?;
        let until_s = unix_seconds(now) + (TOKEN_LIFETIME_MAX + CLOCK_SKEW).as_secs();
        next.previous = vec![Previous { key: Jwk::of_private(&self.key)?, until_s }];
        next.previous.extend(self.previous.iter().cloned());
        next.previous.truncate(PREVIOUS_MAX);
        next.forget(now);
        Ok(next)
    }

    /// What has to change so that the keys fit the suite at this time; `None` if nothing has to.
    ///
    /// A key whose algorithm the suite does not permit any more is gone at once, with everything that it signed.
    pub(crate) fn following(&self, suite: &Suite, now: SystemTime) -> Result<Option<Self>, IdentityError> {
        let wanted = algorithm_for(suite)?;
        let permitted = suite.token_algorithms();
        let over_s = self.made_s.saturating_add(KEY_LIFETIME.as_secs());
        let replaced = self.key.algorithm() != wanted || unix_seconds(now) >= over_s;
        let mut next = if replaced { self.rotated(wanted, now)? } else { self.clone() };
        next.previous.retain(|old| old.key.algorithms().iter().all(|row| permitted.contains(row)));
        next.forget(now);
        let same = !replaced && next.previous.len() == self.previous.len();
        Ok((!same).then_some(next))
    }

    /// The public halves, the one that signs first.
    pub(crate) fn public(&self) -> Result<JwkSet, IdentityError> {
        let mut keys = vec![Jwk::of_private(&self.key)?];
        keys.extend(self.previous.iter().map(|old| old.key.clone()));
        Ok(JwkSet::new(keys))
    }

    fn forget(&mut self, now: SystemTime) {
        let now = unix_seconds(now);
        self.previous.retain(|old| now < old.until_s);
    }

    /// Reads what [`KeyRing::write`] wrote; `None` if there is nothing.
    pub(crate) fn read(directory: &Path) -> Result<Option<Self>, IdentityError> {
        let path = Self::path(directory);
        let Some(pem) = file::read_private(&path)? else { return Ok(None) };
        Self::parse(&pem).map(Some).map_err(|error| error.in_file(&path))
    }

    fn parse(pem: &[u8]) -> Result<Self, IdentityError> {
        let damaged = |cause: String| IdentityError::Malformed { what: WHAT, cause };
        let (key, rest) = key_pem::read_one(pem)?;
        let line = rest.lines().find_map(|line| line.strip_prefix(MARK));
        let line = line.ok_or_else(|| damaged("the line after the key is missing".to_owned()))?;
        let stored: Stored = serde_json::from_str(line).map_err(|error| damaged(error.to_string()))?;
        let previous = stored
            .previous
            .into_iter()
            .map(|old| Ok(Previous { key: Jwk::parse(&old.jwk.to_string())?, until_s: old.until_s }));
        let previous = previous.collect::<Result<_, IdentityError>>()?;
        Ok(Self { key, made_s: stored.made_s, previous })
    }

    /// Keeps the keys in a directory, readable by its owner alone.
    pub(crate) fn write(&self, directory: &Path) -> Result<(), IdentityError> {
        file::private_directory(directory)?;
        let previous = self.previous.iter();
        let previous =
            previous.map(|old| StoredKey { jwk: old.key.to_json(), until_s: old.until_s }).collect();
        let stored = Stored { made_s: self.made_s, previous };
        let line = serde_json::to_string(&stored).expect("numbers and texts are JSON");
        let key = key_pem::write(&self.key);
        // Room for everything at once: a growing text would leave copies of the key behind.
        let mut pem = Zeroizing::new(String::with_capacity(key.len() + MARK.len() + line.len() + 1));
        for part in [key.as_str(), MARK, line.as_str(), "\n"] {
            pem.push_str(part);
        }
        file::write_whole(&Self::path(directory), pem.as_bytes(), Secrecy::OwnerOnly)
    }
}

/// What the suite has for tokens.
pub(crate) fn algorithm_for(suite: &Suite) -> Result<&'static Algorithm, IdentityError> {
    suite.token_algorithm().ok_or_else(|| {
        IdentityError::Crypto(lockgate_crypto::CryptoError::UnusableAlgorithm {
            id: suite.profile().name.to_owned(),
            reason: "bans and dates leave it no signature that has a name in tokens".to_owned(),
        })
    })
}
