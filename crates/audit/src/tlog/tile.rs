//! Tiles (C2SP tlog-tiles): the tree in files of 256 hashes, and its entries in bundles of 256.
//!
//! A tile at level `l` holds the hashes of complete subtrees of height `8 * l`. The last of a level is partial and named
//! with its width. What it holds never changes, so a narrower one is the beginning of a wider one.

use std::fmt;
use std::ops::Range;

use lockgate_crypto::digest::SHA256_BYTES;

use super::merkle::{Hash, Nodes, fold};
use super::{TlogError, malformed};

/// Levels of the tree in one tile.
pub const TILE_HEIGHT: u32 = 8;

/// Hashes in a full tile, and entries in a full bundle.
pub const TILE_WIDTH: u64 = 1 << TILE_HEIGHT;

/// Longest entry in bytes: its length is written in 16 bits.
pub const ENTRY_BYTES_MAX: usize = 65_535;

/// Longest bundle in bytes.
pub const BUNDLE_BYTES_MAX: usize = 256 * (2 + ENTRY_BYTES_MAX);

/// Levels of tiles that a tree of 2^63 leaves can have.
pub const LEVELS_MAX: u8 = 8;

/// What a tile holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Level {
    /// The entries themselves.
    Entries,
    /// Hashes of subtrees with `256^l` leaves each.
    Hashes(u8),
}

impl Level {
    /// How many hashes (or entries) this level has in a tree of `size` leaves.
    #[must_use]
    pub fn length(self, size: u64) -> u64 {
        match self {
            Level::Entries => size,
            Level::Hashes(level) => size.checked_shr(TILE_HEIGHT * u32::from(level)).unwrap_or(0),
        }
    }
}

/// One tile, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tile {
    /// What it holds.
    pub level: Level,
    /// Which one of its level.
    pub index: u64,
    /// How much it holds, 1 to 256.
    pub width: u64,
}

impl Tile {
    /// The tile as it is in a tree of `size` leaves; `None` where that has none.
    #[must_use]
    pub fn of(level: Level, index: u64, size: u64) -> Option<Self> {
        let width = level.length(size).saturating_sub(index.checked_mul(TILE_WIDTH)?).min(TILE_WIDTH);
        (width > 0).then_some(Self { level, index, width })
    }

    /// Whether it will not grow.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.width == TILE_WIDTH
    }
}

/// Path below the log's prefix, for example `tile/0/x001/x234/067` or `tile/entries/000.p/5`.
impl fmt::Display for Tile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.level {
            Level::Entries => f.write_str("tile/entries/")?,
            Level::Hashes(level) => write!(f, "tile/{level}/")?,
        }
        let mut groups = vec![self.index % 1000];
        let mut rest = self.index / 1000;
        while rest > 0 {
            groups.push(rest % 1000);
            rest /= 1000;
        }
        let (last, front) = groups.split_first().expect("there is always one");
        for group in front.iter().rev() {
            write!(f, "x{group:03}/")?;
        }
        write!(f, "{last:03}")?;
        if self.is_full() { Ok(()) } else { write!(f, ".p/{}", self.width) }
    }
}

/// Reads the first `width` hashes of a tile. More may follow where a wider tile stands in for a narrower one.
///
/// # Errors
/// [`TlogError::Malformed`] if there are fewer, or more than a tile holds.
pub fn read_hashes(bytes: &[u8], width: u64) -> Result<Vec<Hash>, TlogError> {
    let (hashes, rest) = bytes.as_chunks::<SHA256_BYTES>();
    let width = usize::try_from(width.min(TILE_WIDTH)).expect("a tile's width fits");
    if !rest.is_empty() && hashes.len() <= width {
        return Err(malformed("tile", "it ends within a hash"));
    }
    match hashes.get(..width) {
        Some(hashes) if bytes.len() <= SHA256_BYTES << TILE_HEIGHT => Ok(hashes.to_vec()),
        Some(_) => Err(malformed("tile", "it is longer than a tile")),
        None => Err(malformed("tile", "it is shorter than the tree says")),
    }
}

/// Where the first `width` entries of a bundle are. More may follow.
///
/// # Errors
/// [`TlogError::Malformed`] if there are fewer.
pub fn read_bundle(bytes: &[u8], width: u64) -> Result<Vec<Range<usize>>, TlogError> {
    let mut entries = Vec::new();
    let mut at = 0;
    for _ in 0..width.min(TILE_WIDTH) {
        let length = bytes.get(at..).and_then(|rest| rest.first_chunk::<2>());
        let length = length.ok_or_else(|| malformed("bundle", "it has fewer entries than the tree says"))?;
        let begin = at + 2;
        at = begin + usize::from(u16::from_be_bytes(*length));
        if at > bytes.len() {
            return Err(malformed("bundle", "it ends within an entry"));
        }
        entries.push(begin..at);
    }
    Ok(entries)
}

/// Appends an entry to a bundle.
///
/// # Errors
/// [`TlogError::Malformed`] for an entry longer than [`ENTRY_BYTES_MAX`].
pub fn write_entry(bundle: &mut Vec<u8>, entry: &[u8]) -> Result<(), TlogError> {
    let length =
        u16::try_from(entry.len()).map_err(|_| malformed("entry", "it is longer than 65,535 bytes"))?;
    bundle.extend_from_slice(&length.to_be_bytes());
    bundle.extend_from_slice(entry);
    Ok(())
}

/// Where hashes of tiles come from.
pub trait Tiles {
    /// Why one could not be had.
    type Error;

    /// The first `tile.width` hashes of a tile of hashes.
    ///
    /// # Errors
    /// The source's own.
    fn hashes(&self, tile: Tile) -> Result<Vec<Hash>, Self::Error>;
}

/// A tree out of its tiles.
pub struct TiledTree<'a, T>(pub &'a T);

impl<T: Tiles> Nodes for TiledTree<'_, T> {
    type Error = T::Error;

    fn node(&self, height: u32, index: u64) -> Result<Hash, T::Error> {
        let level = u8::try_from(height / TILE_HEIGHT).expect("trees have fewer than 64 levels");
        let inner = height % TILE_HEIGHT;
        let first = index << inner;
        let offset = first % TILE_WIDTH;
        let end = offset + (1 << inner);
        let tile = Tile { level: Level::Hashes(level), index: first / TILE_WIDTH, width: end };
        let hashes = self.0.hashes(tile)?;
        let offset = usize::try_from(offset).expect("an offset in a tile fits");
        Ok(fold(hashes[offset..].to_vec()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::merkle::{self, leaf_hash};
    use super::*;

    #[test]
    fn paths_are_those_of_the_specification() {
        let tile = |level, index, width| Tile { level, index, width }.to_string();
        assert_eq!(tile(Level::Hashes(0), 1_234_067, 256), "tile/0/x001/x234/067");
        assert_eq!(tile(Level::Hashes(63), 0, 1), "tile/63/000.p/1");
        assert_eq!(tile(Level::Entries, 1000, 255), "tile/entries/x001/000.p/255");
        assert_eq!(tile(Level::Entries, 999, 256), "tile/entries/999");
    }

    /// The example that the specification gives.
    #[test]
    fn the_tiles_of_seventy_thousand_leaves() {
        let width = |level, index| Tile::of(Level::Hashes(level), index, 70_000).map(|tile| tile.width);
        assert_eq!((width(0, 272), width(0, 273), width(0, 274)), (Some(256), Some(112), None));
        assert_eq!((width(1, 0), width(1, 1), width(1, 2)), (Some(256), Some(17), None));
        assert_eq!((width(2, 0), width(2, 1), width(3, 0)), (Some(1), None, None));
        let width = |level, size| Tile::of(Level::Hashes(level), 0, size).map(|tile| tile.width);
        assert_eq!((width(0, 256), width(1, 256), width(1, 255)), (Some(256), Some(1), None));
        assert_eq!(Tile::of(Level::Hashes(200), u64::MAX, u64::MAX), None);
    }

    /// Every level in memory, made by the definition.
    struct Levels(Vec<Vec<Hash>>);

    impl Levels {
        fn of(mut level: Vec<Hash>) -> Self {
            let mut levels = Vec::new();
            while !level.is_empty() {
                let next = level.as_chunks::<256>().0.iter().map(|full| fold(full.to_vec())).collect();
                levels.push(std::mem::replace(&mut level, next));
            }
            Self(levels)
        }
    }

    impl Tiles for Levels {
        type Error = TlogError;

        fn hashes(&self, tile: Tile) -> Result<Vec<Hash>, TlogError> {
            let Level::Hashes(level) = tile.level else { panic!("entries") };
            let begin = usize::try_from(tile.index).unwrap() * 256;
            let level = &self.0[usize::from(level)][begin..];
            let bytes = level[..level.len().min(256)].concat();
            read_hashes(&bytes, tile.width)
        }
    }

    struct Leaves(Vec<Hash>);

    impl Nodes for Leaves {
        type Error = TlogError;

        fn node(&self, height: u32, index: u64) -> Result<Hash, TlogError> {
            let size = 1_usize << height;
            let begin = usize::try_from(index).unwrap() * size;
            Ok(fold(self.0[begin..begin + size].to_vec()))
        }
    }

    #[test]
    fn a_tree_out_of_tiles_is_the_tree() {
        let leaves: Vec<Hash> = (0..66_000_u64).map(|n| leaf_hash(&n.to_be_bytes())).collect();
        for size in [1, 2, 255, 256, 257, 511, 512, 1000, 65_535, 65_536, 65_537, 66_000] {
            let leaves = Leaves(leaves[..usize::try_from(size).unwrap()].to_vec());
            let levels = Levels::of(leaves.0.clone());
            let tiled = TiledTree(&levels);
            assert_eq!(merkle::root(&tiled, size), merkle::root(&leaves, size), "{size}");
            for index in [0, size / 3, size - 1] {
                let tiled = merkle::prove_inclusion(&tiled, index, size).unwrap();
                assert_eq!(
                    tiled,
                    merkle::prove_inclusion(&leaves, index, size).unwrap(),
                    "{index} of {size}"
                );
                let old = index + 1;
                let tiled = merkle::prove_consistency(&TiledTree(&levels), old, size).unwrap();
                assert_eq!(tiled, merkle::prove_consistency(&leaves, old, size).unwrap(), "{old} to {size}");
            }
        }
    }

    #[test]
    fn what_is_no_tile_is_refused() {
        let hash = [7; 32];
        for (hashes, extra, width, good) in [
            (3, 0, 3, true),
            (3, 0, 4, false),
            (3, 1, 3, false),
            (4, 1, 3, true),
            (256, 0, 256, true),
            (257, 0, 256, false),
            (0, 0, 1, false),
        ] {
            let bytes = [vec![hash; hashes].concat(), vec![0; extra]].concat();
            assert_eq!(read_hashes(&bytes, width).is_ok(), good, "{hashes}+{extra}, {width}");
        }
        let mut bundle = Vec::new();
        for entry in [&b"one"[..], b"", &[7; ENTRY_BYTES_MAX]] {
            write_entry(&mut bundle, entry).unwrap();
        }
        assert!(write_entry(&mut bundle.clone(), &[0; ENTRY_BYTES_MAX + 1]).is_err());
        let entries = read_bundle(&bundle, 3).unwrap();
        assert_eq!(
            (&bundle[entries[0].clone()], entries[1].len(), entries[2].len()),
            (&b"one"[..], 0, 65_535)
        );
        assert_eq!(read_bundle(&bundle, 1).unwrap().len(), 1);
        assert!(read_bundle(&bundle, 4).is_err());
        assert!(read_bundle(&bundle[..bundle.len() - 1], 3).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_bundle_or_are_refused(bytes: Vec<u8>, width in 0..300_u64) {
            if let Ok(entries) = read_bundle(&bytes, width) {
                prop_assert!(entries.iter().all(|entry| entry.end <= bytes.len()));
            }
            let _ = read_hashes(&bytes, width);
        }
    }
}
