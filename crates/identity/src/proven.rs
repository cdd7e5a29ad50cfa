//! Which leaves need no signature verification again.

use std::collections::HashSet;
use std::sync::Mutex;

use lockgate_crypto::digest;

/// Leaves of which the root's signature was verified. A signature on the same bytes by the same
/// root stays valid, so the second link of a peer, resumed or not, costs a hash and no signature
/// verification. It holds only what a root signed, so a stranger cannot fill it.
#[derive(Default)]
pub(crate) struct Proven(Mutex<HashSet<[u8; 32]>>);

impl Proven {
    /// Most leaves that are remembered, 512 KiB of hashes; then it starts anew. More than the links of a large node.
    const LEAVES_MAX: usize = 16_384;

    pub(crate) fn contains(&self, leaf_der: &[u8]) -> bool {
        self.lock().contains(&digest::sha256(leaf_der))
    }

    pub(crate) fn insert(&self, leaf_der: &[u8]) {
        let mut proven = self.lock();
        if proven.len() >= Self::LEAVES_MAX {
            proven.clear();
        }
        proven.insert(digest::sha256(leaf_der));
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashSet<[u8; 32]>> {
        // A set of hashes is whole at any moment, so a panic elsewhere cannot have spoilt it.
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}
