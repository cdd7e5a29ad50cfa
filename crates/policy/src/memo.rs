//! A bounded memory, of frames.
//!
//! What all calls of one caller to one thing have in common is a pure function
//! of who, what and where. The memo is a table of fixed size: a key hashes to
//! one bucket, where a new entry pushes out the one that was used longest ago.
//! No list to keep in order, no growth, and no caller can push out more than
//! the buckets that it hits; the hash is keyed at random, so it cannot choose
//! them.

use std::{collections::hash_map::RandomState, hash::BuildHasher, sync::Arc};

use parking_lot::Mutex;

/// Entries remembered. 8,192 is 8 agents × 1,000 tools; a frame costs about
/// 4 KiB, so a full table is some 32 MiB.
pub(crate) const ENTRIES_MAX: usize = 8_192;

/// Entries that share a bucket. With eight, a table that is half full pushes
/// nothing out.
const WAYS: usize = 8;

/// Longest key remembered, in bytes. Resource URIs may be megabytes long;
/// those are looked up anew each time, so that keys can never take more than
/// 8 MiB.
pub(crate) const KEY_BYTES_MAX: usize = 1_024;

/// Everything that a decision depends on, as unambiguous bytes: texts carry
/// their length in front, so ("ab", "c") and ("a", "bc") differ.
#[derive(Debug, Default)]
pub(crate) struct Key(Vec<u8>);

impl Key {
    /// An empty key with room for an ordinary one.
    pub(crate) fn new() -> Self {
        Key(Vec::with_capacity(256))
    }

    /// Adds a text.
    pub(crate) fn text(&mut self, text: &str) {
        self.0.extend_from_slice(&(text.len() as u64).to_le_bytes());
        self.0.extend_from_slice(text.as_bytes());
    }

    /// Adds a yes or no.
    pub(crate) fn flag(&mut self, flag: bool) {
        self.byte(u8::from(flag));
    }

    /// Adds a tag.
    pub(crate) fn byte(&mut self, byte: u8) {
        self.0.push(byte);
    }
}

struct Entry<V> {
    key: Box<[u8]>,
    value: V,
}

/// Some places of the table, the latest used first. The lock is held for a
/// search and a copy of a pointer only.
type Bucket<V> = Mutex<Vec<Arc<Entry<V>>>>;

/// The table.
pub(crate) struct Memo<V> {
    buckets: Box<[Bucket<V>]>,
    hasher: RandomState,
}

impl<V: Clone> Memo<V> {
    /// An empty table.
    pub(crate) fn new() -> Self {
        let buckets = (0..ENTRIES_MAX / WAYS).map(|_| Mutex::new(Vec::new())).collect();
        Memo { buckets, hasher: RandomState::new() }
    }

    /// The remembered value, or the value that `make` gives now.
    pub(crate) fn get_or(&self, key: Key, make: impl FnOnce() -> V) -> V {
        if key.0.len() > KEY_BYTES_MAX {
            return make();
        }
        let hash = self.hasher.hash_one(key.0.as_slice());
        let bucket = &self.buckets[(hash % self.buckets.len() as u64) as usize];
        if let Some(value) = find(bucket, &key) {
            return value;
        }
        // Made without the lock: two callers may make the same thing twice,
        // which is cheaper than making one wait for the other.
        let value = make();
        let entry = Entry { key: key.0.into_boxed_slice(), value: value.clone() };
        let mut entries = bucket.lock();
        entries.retain(|other| other.key != entry.key);
        entries.truncate(WAYS - 1);
        entries.insert(0, Arc::new(entry));
        value
    }
}

fn find<V: Clone>(bucket: &Bucket<V>, key: &Key) -> Option<V> {
    let mut entries = bucket.lock();
    let at = entries.iter().position(|entry| *entry.key == *key.0)?;
    entries[..=at].rotate_right(1);
    Some(entries[0].value.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(texts: &[&str]) -> Key {
        let mut key = Key::new();
        for text in texts {
            key.text(text);
        }
        key
    }

    #[test]
    fn remembers_and_tells_keys_apart() {
        let memo = Memo::new();
        assert_eq!(memo.get_or(key(&["ab", "c"]), || 1), 1);
        assert_eq!(memo.get_or(key(&["ab", "c"]), || 2), 1);
        assert_eq!(memo.get_or(key(&["a", "bc"]), || 3), 3);
    }

    #[test]
    fn stays_bounded_and_right_when_overrun() {
        let memo = Memo::new();
        for n in 0..ENTRIES_MAX * 2 {
            assert_eq!(memo.get_or(key(&[&n.to_string()]), || n), n);
        }
        for n in 0..ENTRIES_MAX * 2 {
            assert_eq!(memo.get_or(key(&[&n.to_string()]), || n), n);
        }
    }

    #[test]
    fn long_keys_are_not_kept() {
        let memo = Memo::new();
        let long = "x".repeat(KEY_BYTES_MAX);
        assert_eq!(memo.get_or(key(&[&long]), || 1), 1);
        assert_eq!(memo.get_or(key(&[&long]), || 2), 2);
    }
}
