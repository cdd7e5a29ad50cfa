//! Proofs that were seen, for as long as they could be used again.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use lockgate_crypto::digest::sha256;

use super::CLOCK_SKEW;
use super::TokenRefused;
use super::claims::PROOF_AGE_MAX;
use crate::error::unix_seconds;

/// Most proofs that are remembered: 1,400 requests a second for a minute and a half. Takes 12 MB.
pub const REPLAY_ENTRIES_MAX: usize = 131_072;
/// Most proofs of one key, so that one client cannot fill the memory of all.
pub const REPLAY_ENTRIES_PER_KEY_MAX: usize = 16_384;

/// Remembers proofs. When it is full, no proof is taken: forgetting one would let it pass twice.
#[derive(Debug)]
pub struct ReplayCache {
    seen: Mutex<Seen>,
    entries_max: usize,
    per_key_max: usize,
}

/// SHA-256 of a name from outside: all names take the same room.
type Name = [u8; 32];

#[derive(Debug, Default)]
struct Seen {
    proofs: HashSet<Name>,
    /// By the second in which they may be forgotten: proof and key.
    ends: BTreeMap<u64, Vec<(Name, Name)>>,
    per_key: HashMap<Name, usize>,
}

impl Default for ReplayCache {
    fn default() -> Self {
        Self::with_limits(REPLAY_ENTRIES_MAX, REPLAY_ENTRIES_PER_KEY_MAX)
    }
}

impl ReplayCache {
    /// With other limits: most proofs in all, and of one key.
    #[must_use]
    pub fn with_limits(entries_max: usize, per_key_max: usize) -> Self {
        Self { seen: Mutex::default(), entries_max, per_key_max }
    }

    /// Notes the proof `id` of `key`, made at `made_s`, and refuses it if it was noted before.
    ///
    /// # Errors
    /// [`TokenRefused::Replayed`] or [`TokenRefused::ReplayFull`].
    pub fn note(&self, key: &str, id: &str, made_s: u64, now: SystemTime) -> Result<(), TokenRefused> {
        let key = sha256(key.as_bytes());
        let proof = sha256(&[&key[..], id.as_bytes()].concat());
        let now = unix_seconds(now);
        // Sets and counts are whole at any moment, so a panic elsewhere cannot have spoilt them.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.forget(now);
        if seen.proofs.contains(&proof) {
            return Err(TokenRefused::Replayed);
        }
        let of_key = seen.per_key.get(&key).copied().unwrap_or_default();
        if seen.proofs.len() >= self.entries_max || of_key >= self.per_key_max {
            return Err(TokenRefused::ReplayFull);
        }
        // The last second in which the proof would be taken, and one more; clocks that step back are covered by the skew.
        let end = made_s.max(now) + PROOF_AGE_MAX.as_secs() + CLOCK_SKEW.as_secs() + 1;
        seen.proofs.insert(proof);
        seen.ends.entry(end).or_default().push((proof, key));
        *seen.per_key.entry(key).or_default() += 1;
        Ok(())
    }

    /// How many proofs are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).proofs.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl Seen {
    /// Drops what is over at `now`.
    fn forget(&mut self, now: u64) {
        while let Some(first) = self.ends.first_entry().filter(|first| *first.key() <= now) {
            for (proof, key) in first.remove() {
                self.proofs.remove(&proof);
                if let Some(count) = self.per_key.get_mut(&key) {
                    *count -= 1;
                    if *count == 0 {
                        self.per_key.remove(&key);
                    }
                }
            }
        }
    }
}
