//! The keys of another issuer, as they were last fetched: when to fetch them again, and for how long they are trusted
//! without. It fetches nothing itself.

use std::time::{Duration, SystemTime};

use lockgate_crypto::jose::JwkSet;

use super::TokenRefused;

/// Keys older than this are fetched again before they are needed.
pub const KEYS_FRESH: Duration = Duration::from_secs(600);
/// Keys are not fetched more often than this, whatever tokens with unknown keys come.
pub const KEYS_REFETCH_AFTER: Duration = Duration::from_secs(30);
/// Keys that could not be fetched again are trusted for so long. A key that an issuer withdrew is trusted no longer.
pub const KEYS_AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// The keys of one issuer.
#[derive(Clone, Debug)]
pub struct KeyCache {
    keys: JwkSet,
    fetched: Option<SystemTime>,
    tried: Option<SystemTime>,
    age_max: Duration,
}

impl Default for KeyCache {
    fn default() -> Self {
        Self { keys: JwkSet::default(), fetched: None, tried: None, age_max: KEYS_AGE_MAX }
    }
}

impl KeyCache {
    /// No keys yet. `age_max` is for how long keys are trusted that cannot be fetched again, at most
    /// [`KEYS_AGE_MAX`].
    #[must_use]
    pub fn new(age_max: Duration) -> Self {
        Self { age_max: age_max.min(KEYS_AGE_MAX), ..Self::default() }
    }

    /// The keys, if they are not too old.
    ///
    /// # Errors
    /// [`TokenRefused::KeysStale`].
    pub fn trusted(&self, now: SystemTime) -> Result<&JwkSet, TokenRefused> {
        let age = self.fetched.map(|fetched| now.duration_since(fetched).unwrap_or_default());
        match age {
            Some(age) if age <= self.age_max => Ok(&self.keys),
            _ => Err(TokenRefused::KeysStale {
                age_s: age.unwrap_or(Duration::MAX).as_secs(),
                max_s: self.age_max.as_secs(),
            }),
        }
    }

    /// Whether it is time to fetch the keys, without a token that waits for it.
    #[must_use]
    pub fn is_due(&self, now: SystemTime) -> bool {
        let fresh = |fetched| now.duration_since(fetched).unwrap_or_default() < KEYS_FRESH;
        !self.fetched.is_some_and(fresh) && self.may_fetch(now)
    }

    /// Whether the keys may be fetched now, for a token with an unknown key. Call [`KeyCache::trying`] when it
    /// is done.
    #[must_use]
    pub fn may_fetch(&self, now: SystemTime) -> bool {
        let recent = |tried| now.duration_since(tried).unwrap_or_default() < KEYS_REFETCH_AFTER;
        !self.tried.is_some_and(recent)
    }

    /// Notes that the keys are being fetched.
    pub fn trying(&mut self, now: SystemTime) {
        self.tried = Some(now);
    }

    /// Takes what was fetched. Keys that are gone are not trusted any more.
    pub fn replace(&mut self, keys: JwkSet, now: SystemTime) {
        self.keys = keys;
        self.fetched = Some(now);
        self.tried = Some(now);
    }

    /// The keys, however old they are, for showing them.
    #[must_use]
    pub fn keys(&self) -> &JwkSet {
        &self.keys
    }
}
