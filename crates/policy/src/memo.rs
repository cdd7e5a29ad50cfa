//! A bounded memory of decisions.
//!
//! A tool-level decision is a pure function of who, what, where and over which
//! link. The memo is a table of fixed size: a key hashes to one slot, a new
//! decision replaces the old one there. No list to keep in order, no growth,
//! and no caller can push out more than the slots that it hits; the hash is
//! keyed at random, so it cannot choose them.

use std::{collections::hash_map::RandomState, hash::BuildHasher, sync::Arc};

use parking_lot::Mutex;

/// Decisions remembered. 8,192 is 8 agents × 1,000 tools; each costs about
/// 300 bytes, so the table stays below 3 MiB in ordinary use.
pub(crate) const DECISIONS_MAX: usize = 8_192;

/// Longest key remembered, in bytes. Resource URIs may be megabytes long;
/// those are decided anew each time, so the memo can never exceed 8 MiB.
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

/// One place of the table. The lock is held for a copy of the pointer only.
type Slot<V> = Mutex<Option<Arc<Entry<V>>>>;

/// The table.
pub(crate) struct Memo<V> {
    slots: Box<[Slot<V>]>,
    hasher: RandomState,
}

impl<V: Clone> Memo<V> {
    /// An empty table.
    pub(crate) fn new() -> Self {
        Memo { slots: (0..DECISIONS_MAX).map(|_| Mutex::new(None)).collect(), hasher: RandomState::new() }
    }

    /// The remembered value, or the value that `decide` gives now.
    pub(crate) fn get_or(&self, key: Key, decide: impl FnOnce() -> V) -> V {
        if key.0.len() > KEY_BYTES_MAX {
            return decide();
        }
        let hash = self.hasher.hash_one(key.0.as_slice());
        let slot = &self.slots[(hash % DECISIONS_MAX as u64) as usize];
        let held = slot.lock().clone();
        if let Some(entry) = held.filter(|entry| *entry.key == *key.0) {
            return entry.value.clone();
        }
        // Decided without the lock: two callers may decide the same thing
        // twice, which is cheaper than making one wait for the other.
        let value = decide();
        let entry = Entry { key: key.0.into_boxed_slice(), value: value.clone() };
        *slot.lock() = Some(Arc::new(entry));
        value
    }
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
        for n in 0..DECISIONS_MAX * 2 {
            assert_eq!(memo.get_or(key(&[&n.to_string()]), || n), n);
        }
        for n in 0..DECISIONS_MAX * 2 {
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
