//! The Merkle tree of RFC 9162 (and RFC 6962): hashes, roots, and proofs that anybody can check.
//!
//! A tree is described by where its complete subtrees come from ([`Nodes`]); everything here is computed from those.

use lockgate_crypto::digest::{SHA256_BYTES, Sha256, sha256};

/// A hash of the tree, SHA-256.
pub type Hash = [u8; SHA256_BYTES];

/// Most hashes that a proof can have: a tree has at most 2^63 leaves.
pub const PROOF_HASHES_MAX: usize = 64;

/// The hash of a leaf (RFC 9162 section 2.1.1).
#[must_use]
pub fn leaf_hash(entry: &[u8]) -> Hash {
    let mut hash = Sha256::new();
    hash.update(&[0]);
    hash.update(entry);
    hash.finish()
}

/// The hash of an inner node.
#[must_use]
pub fn node_hash(left: &Hash, right: &Hash) -> Hash {
    let mut bytes = [1; 1 + 2 * SHA256_BYTES];
    bytes[1..=SHA256_BYTES].copy_from_slice(left);
    bytes[1 + SHA256_BYTES..].copy_from_slice(right);
    sha256(&bytes)
}

/// The root of no leaves at all.
#[must_use]
pub fn empty_root() -> Hash {
    sha256(b"")
}

/// The hash over a complete subtree, of as many hashes as a power of two.
pub(crate) fn fold(mut hashes: Vec<Hash>) -> Hash {
    debug_assert!(hashes.len().is_power_of_two(), "only complete subtrees are folded");
    while hashes.len() > 1 {
        hashes = hashes.chunks_exact(2).map(|pair| node_hash(&pair[0], &pair[1])).collect();
    }
    hashes[0]
}

/// Where the complete subtrees of a tree come from.
pub trait Nodes {
    /// Why one could not be had.
    type Error;

    /// The hash over the leaves from `index << height` to `(index + 1) << height`, all of which exist.
    ///
    /// # Errors
    /// The source's own.
    fn node(&self, height: u32, index: u64) -> Result<Hash, Self::Error>;
}

/// Largest power of two below `size`, which is at least 2: where the left subtree ends.
fn split(size: u64) -> u64 {
    1 << (63 - (size - 1).leading_zeros())
}

/// The hash over the leaves from `begin` to `end`, a range that the tree is split into.
fn range<N: Nodes>(nodes: &N, begin: u64, end: u64) -> Result<Hash, N::Error> {
    let size = end - begin;
    if size.is_power_of_two() {
        let height = size.trailing_zeros();
        return nodes.node(height, begin >> height);
    }
    let middle = begin + split(size);
    Ok(node_hash(&range(nodes, begin, middle)?, &range(nodes, middle, end)?))
}

/// The root of the tree of the first `size` leaves.
///
/// # Errors
/// Those of the source.
pub fn root<N: Nodes>(nodes: &N, size: u64) -> Result<Hash, N::Error> {
    if size == 0 { Ok(empty_root()) } else { range(nodes, 0, size) }
}

/// The proof that the leaf `index` is in the tree of the first `size` leaves (RFC 9162 section 2.1.3.1), from its sibling
/// up. `None` if there is no such leaf.
///
/// # Errors
/// Those of the source.
pub fn prove_inclusion<N: Nodes>(nodes: &N, index: u64, size: u64) -> Result<Option<Vec<Hash>>, N::Error> {
    if index >= size {
        return Ok(None);
    }
    let (mut begin, mut end) = (0, size);
    let mut proof = Vec::new();
    while end - begin > 1 {
        let middle = begin + split(end - begin);
        if index < middle {
            proof.push(range(nodes, middle, end)?);
            end = middle;
        } else {
            proof.push(range(nodes, begin, middle)?);
            begin = middle;
        }
    }
    proof.reverse();
    Ok(Some(proof))
}

/// The proof that the tree of the first `old` leaves is the beginning of that of the first `new` ones (RFC 9162 section
/// 2.1.4.1). Empty where there is nothing to prove; `None` if the old tree is the larger one.
///
/// # Errors
/// Those of the source.
pub fn prove_consistency<N: Nodes>(nodes: &N, old: u64, new: u64) -> Result<Option<Vec<Hash>>, N::Error> {
    if old > new {
        return Ok(None);
    }
    if old == 0 || old == new {
        return Ok(Some(Vec::new()));
    }
    let (mut begin, mut end) = (0, new);
    let mut proof = Vec::new();
    // Down to the largest subtree that ends where the old tree ended.
    while end != old {
        let middle = begin + split(end - begin);
        if old <= middle {
            proof.push(range(nodes, middle, end)?);
            end = middle;
        } else {
            proof.push(range(nodes, begin, middle)?);
            begin = middle;
        }
    }
    // If that is the old tree itself, whoever checks has its root.
    if begin != 0 {
        proof.push(range(nodes, begin, end)?);
    }
    proof.reverse();
    Ok(Some(proof))
}

/// Whether the proof shows `leaf` at `index` of the tree with this size and root (RFC 9162 section 2.1.3.2).
#[must_use]
pub fn is_included(leaf: &Hash, index: u64, size: u64, proof: &[Hash], root: &Hash) -> bool {
    if index >= size {
        return false;
    }
    let (mut node, mut last, mut hash) = (index, size - 1, *leaf);
    for sibling in proof {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            hash = node_hash(sibling, &hash);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && hash == *root
}

/// A tree as whoever signs it sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeHead {
    /// How many leaves it has.
    pub size: u64,
    /// Its root.
    pub root: Hash,
}

/// Whether the proof shows that `old` is the beginning of `new` (RFC 9162 section 2.1.4.2).
#[must_use]
pub fn is_consistent(old: &TreeHead, new: &TreeHead, proof: &[Hash]) -> bool {
    if old.size > new.size {
        return false;
    }
    if old.size == new.size {
        return proof.is_empty() && old.root == new.root;
    }
    if old.size == 0 {
        return proof.is_empty() && old.root == empty_root();
    }
    let mut path = proof.iter();
    let (mut node, mut last) = (old.size - 1, new.size - 1);
    while node & 1 == 1 {
        node >>= 1;
        last >>= 1;
    }
    let first = if old.size.is_power_of_two() { Some(&old.root) } else { path.next() };
    let Some(first) = first else { return false };
    let (mut from_old, mut from_new) = (*first, *first);
    for sibling in path {
        if last == 0 {
            return false;
        }
        if node & 1 == 1 || node == last {
            from_old = node_hash(sibling, &from_old);
            from_new = node_hash(sibling, &from_new);
            while node & 1 == 0 && node != 0 {
                node >>= 1;
                last >>= 1;
            }
        } else {
            from_new = node_hash(&from_new, sibling);
        }
        node >>= 1;
        last >>= 1;
    }
    last == 0 && from_old == old.root && from_new == new.root
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use ct_merkle::mem_backed_tree::MemoryBackedTree;
    use ct_merkle::{ConsistencyProof, InclusionProof};
    use lockgate_crypto::digest::hex;
    use proptest::prelude::*;

    use super::*;

    /// Leaves in memory, every subtree computed by the definition.
    pub(crate) struct Leaves(pub(crate) Vec<Hash>);

    impl Nodes for Leaves {
        type Error = Infallible;

        fn node(&self, height: u32, index: u64) -> Result<Hash, Infallible> {
            let size = 1_usize << height;
            let begin = usize::try_from(index).unwrap() * size;
            Ok(fold(self.0[begin..begin + size].to_vec()))
        }
    }

    fn ok<T>(result: Result<T, Infallible>) -> T {
        let Ok(value) = result;
        value
    }

    fn head(leaves: &Leaves, size: u64) -> TreeHead {
        TreeHead { size, root: ok(root(leaves, size)) }
    }

    /// Input and roots that implementations of RFC 6962 have shared since the first of them.
    #[test]
    fn the_roots_of_the_known_trees() {
        let entries: [&[u8]; 8] = [
            b"",
            b"\x00",
            b"\x10",
            b"\x20\x21",
            b"\x30\x31",
            b"\x40\x41\x42\x43",
            b"\x50\x51\x52\x53\x54\x55\x56\x57",
            b"\x60\x61\x62\x63\x64\x65\x66\x67\x68\x69\x6a\x6b\x6c\x6d\x6e\x6f",
        ];
        let leaves = Leaves(entries.iter().map(|entry| leaf_hash(entry)).collect());
        let roots = [
            "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
            "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
            "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
            "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
            "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
            "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
        ];
        for (size, expected) in (0..).zip(roots) {
            assert_eq!(hex(&ok(root(&leaves, size))), expected, "{size} leaves");
        }
    }

    fn oracle(size: u64) -> (MemoryBackedTree<sha2::Sha256, Vec<u8>>, Leaves) {
        let mut tree = MemoryBackedTree::new();
        let mut leaves = Leaves(Vec::new());
        for number in 0..size {
            let entry = number.to_be_bytes()[3..].to_vec();
            leaves.0.push(leaf_hash(&entry));
            tree.push(entry);
        }
        (tree, leaves)
    }

    /// Roots and proofs of every small tree, both ways against an implementation that others wrote.
    #[test]
    fn roots_and_proofs_are_those_of_the_oracle() {
        for size in 1..=70 {
            let (tree, leaves) = oracle(size);
            let root = head(&leaves, size).root;
            assert_eq!(tree.root().as_bytes().as_slice(), root, "{size}");
            for index in 0..size {
                let ours = ok(prove_inclusion(&leaves, index, size)).unwrap();
                let theirs = tree.prove_inclusion(usize::try_from(index).unwrap());
                assert_eq!(theirs.as_bytes(), ours.concat(), "{index} of {size}");
                let theirs: InclusionProof<sha2::Sha256> = InclusionProof::from_bytes(ours.concat());
                let entry = tree.get(usize::try_from(index).unwrap()).unwrap();
                tree.root().verify_inclusion(entry, index, &theirs).unwrap();
            }
            for old in 1..size {
                let ours = ok(prove_consistency(&leaves, old, size)).unwrap();
                let theirs = tree.prove_consistency(usize::try_from(size - old).unwrap());
                assert_eq!(theirs.as_bytes(), ours.concat(), "{old} to {size}");
                let theirs: ConsistencyProof<sha2::Sha256> =
                    ConsistencyProof::try_from_bytes(ours.concat()).unwrap();
                tree.root().verify_consistency(&oracle(old).0.root(), &theirs).unwrap();
            }
        }
    }

    #[test]
    fn there_is_no_proof_of_what_is_not_there() {
        let leaves = Leaves(vec![leaf_hash(b"a"), leaf_hash(b"b")]);
        assert_eq!(ok(prove_inclusion(&leaves, 2, 2)), None);
        assert_eq!(ok(prove_consistency(&leaves, 2, 1)), None);
        let whole = head(&leaves, 2);
        assert!(!is_included(&leaves.0[0], 2, 2, &[leaves.0[1]], &whole.root));
        assert!(!is_included(&leaves.0[0], u64::MAX, u64::MAX, &[leaves.0[1]; 200], &whole.root));
        let empty = TreeHead { size: 0, root: empty_root() };
        assert!(is_consistent(&empty, &whole, &[]));
        assert!(!is_consistent(&TreeHead { size: 0, ..whole }, &whole, &[]));
        assert!(!is_consistent(&whole, &empty, &[]));
        assert!(!is_consistent(&whole, &TreeHead { size: 2, root: empty.root }, &[]));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn proofs_hold_and_nothing_else_does(
            size in 1..600_u64,
            at: prop::sample::Index,
            other: prop::sample::Index,
            bit in 0..256_usize,
        ) {
            let leaves = Leaves((0..size).map(|n| leaf_hash(&n.to_be_bytes())).collect());
            let whole = head(&leaves, size);
            let index = at.index(usize::try_from(size).unwrap()) as u64;
            let leaf = leaves.0[usize::try_from(index).unwrap()];
            let proof = ok(prove_inclusion(&leaves, index, size)).unwrap();
            prop_assert!(is_included(&leaf, index, size, &proof, &whole.root));
            let wrong = other.index(usize::try_from(size).unwrap()) as u64;
            prop_assert_eq!(is_included(&leaf, wrong, size, &proof, &whole.root), wrong == index);
            prop_assert!(!is_included(&leaf, index, size + 1, &[proof.clone(), vec![leaf]].concat(), &whole.root));
            for hash in 0..proof.len() {
                let mut changed = proof.clone();
                changed[hash][bit / 8] ^= 1 << (bit % 8);
                prop_assert!(!is_included(&leaf, index, size, &changed, &whole.root));
                changed.remove(hash);
                prop_assert!(!is_included(&leaf, index, size, &changed, &whole.root));
            }

            let old = head(&leaves, wrong + 1);
            let proof = ok(prove_consistency(&leaves, old.size, size)).unwrap();
            prop_assert!(is_consistent(&old, &whole, &proof));
            let mut forked = Leaves(leaves.0.clone());
            forked.0[usize::try_from(wrong).unwrap()][0] ^= 1;
            prop_assert!(!is_consistent(&head(&forked, old.size), &whole, &proof));
            let forked = head(&forked, size);
            prop_assert!(!is_consistent(&old, &forked, &proof));
            for hash in 0..proof.len() {
                let mut changed = proof.clone();
                changed[hash][bit / 8] ^= 1 << (bit % 8);
                prop_assert!(!is_consistent(&old, &whole, &changed));
            }
        }
    }
}
