//! Reading a tree from its folder: hashes, entries, proofs.

use std::path::{Path, PathBuf};

use lockgate_crypto::digest::SHA256_BYTES;
use parking_lot::Mutex;

use crate::edge::read_tile;
use crate::error::AuditError;
use crate::shard::damaged;
use crate::tlog::merkle::Hash;
use crate::tlog::tile::{Level, TILE_WIDTH, Tile, Tiles, read_bundle, read_hashes};

/// Tiles that are remembered: a walk along the leaves needs one of each level, a proof a few more.
const REMEMBERED: usize = 16;

/// The tree of a certain size in a folder.
pub(crate) struct TileFolder {
    dir: PathBuf,
    size: u64,
    /// Newest first.
    remembered: Mutex<Vec<(Tile, Vec<Hash>)>>,
}

impl TileFolder {
    pub(crate) fn new(dir: &Path, size: u64) -> Self {
        Self { dir: dir.to_owned(), size, remembered: Mutex::new(Vec::new()) }
    }

    /// The whole tile as it is in this tree, with the path that it has there.
    pub(crate) fn whole(&self, level: Level, index: u64) -> Result<(PathBuf, Vec<u8>), AuditError> {
        let tile = Tile::of(level, index, self.size);
        let path = self.dir.join(tile.unwrap_or(Tile { level, index, width: TILE_WIDTH }).to_string());
        let missing = || damaged(&path, "it is missing");
        read_tile(&self.dir, tile.ok_or_else(missing)?)?.ok_or_else(missing)
    }

    /// The entry at this leaf.
    pub(crate) fn entry(&self, index: u64) -> Result<Vec<u8>, AuditError> {
        let (path, bytes) = self.whole(Level::Entries, index / TILE_WIDTH)?;
        let entries = read_bundle(&bytes, index % TILE_WIDTH + 1);
        let entries = entries.map_err(|error| damaged(&path, &error.to_string()))?;
        Ok(bytes[entries.last().expect("as many as asked for, at least one").clone()].to_vec())
    }
}

impl Tiles for TileFolder {
    type Error = AuditError;

    fn hashes(&self, tile: Tile) -> Result<Vec<Hash>, AuditError> {
        let mut remembered = self.remembered.lock();
        let same = |other: &Tile| (other.level, other.index) == (tile.level, tile.index);
        let width = usize::try_from(tile.width).expect("a tile's width fits");
        if let Some(at) = remembered.iter().position(|(other, _)| same(other) && other.width >= tile.width) {
            let found = remembered.remove(at);
            let hashes = found.1[..width].to_vec();
            remembered.insert(0, found);
            return Ok(hashes);
        }
        let (path, bytes) = self.whole(tile.level, tile.index)?;
        let there = Tile::of(tile.level, tile.index, self.size).map_or(tile.width, |whole| whole.width);
        let hashes = read_hashes(&bytes, there).map_err(|error| damaged(&path, &error.to_string()))?;
        if hashes.len() < width {
            return Err(damaged(&path, "it is shorter than the tree says"));
        }
        debug_assert_eq!(hashes.as_flattened().len() % SHA256_BYTES, 0);
        let asked = hashes[..width].to_vec();
        remembered.insert(0, (Tile { width: there, ..tile }, hashes));
        remembered.truncate(REMEMBERED);
        Ok(asked)
    }
}
