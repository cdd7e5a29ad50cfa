//! The right edge of a tree: what is still growing, in memory and in files.
//!
//! Tiles and bundles only ever grow at their end. A partial one is appended to and renamed to its new width, so that each
//! byte is written once; a file may hold more than its name says after a crash, never less, and what is read is what the
//! checkpoint speaks of.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use crate::error::AuditError;
use crate::shard::{damaged, make_folder, sync_folder};
use crate::tlog::TlogError;
use crate::tlog::merkle::{self, Hash, Nodes, TreeHead, fold, leaf_hash};
use crate::tlog::tile::{
    BUNDLE_BYTES_MAX, Level, TILE_HEIGHT, TILE_WIDTH, Tile, read_bundle, read_hashes, write_entry,
};

/// A tree that grows.
pub(crate) struct Edge {
    dir: PathBuf,
    size: u64,
    entries: Growing,
    levels: Vec<Growing>,
    /// Written since the last sync.
    files: Vec<(PathBuf, File)>,
    folders: BTreeSet<PathBuf>,
}

/// The last tile of a level.
struct Growing {
    level: Level,
    index: u64,
    width: u64,
    /// The width that its file is named with; 0 before it has one.
    written: u64,
    /// Its hashes, of a level of hashes.
    hashes: Vec<Hash>,
    /// What is not in the file yet.
    pending: Vec<u8>,
    file: Option<File>,
}

impl Edge {
    /// A tree without leaves.
    pub(crate) fn empty(dir: &Path) -> Self {
        Self {
            dir: dir.to_owned(),
            size: 0,
            entries: Growing::new(Level::Entries, 0),
            levels: Vec::new(),
            files: Vec::new(),
            folders: BTreeSet::new(),
        }
    }

    /// The tree of this many leaves, out of its files.
    pub(crate) fn load(dir: &Path, size: u64) -> Result<Self, AuditError> {
        let mut edge = Self::empty(dir);
        edge.size = size;
        edge.entries = Growing::load(dir, Level::Entries, size)?;
        for level in 0.. {
            let level = Level::Hashes(level);
            if level.length(size) == 0 {
                break;
            }
            edge.levels.push(Growing::load(dir, level, size)?);
        }
        Ok(edge)
    }

    /// Adds a leaf. Full tiles are written.
    pub(crate) fn push(&mut self, entry: &[u8]) -> Result<(), AuditError> {
        let too_long = |error: TlogError| damaged(&self.dir, &error.to_string());
        write_entry(&mut self.entries.pending, entry).map_err(too_long)?;
        self.entries.width += 1;
        self.size += 1;
        if self.entries.width == TILE_WIDTH {
            Self::write(&self.dir, &mut self.entries, &mut self.files, &mut self.folders)?;
            self.entries.advance();
        }
        let mut carried = Some(leaf_hash(entry));
        for level in 0.. {
            let Some(hash) = carried.take() else { break };
            if self.levels.len() == level {
                let number = u8::try_from(level).expect("a tree of 64 bits has eight levels of tiles");
                self.levels.push(Growing::new(Level::Hashes(number), 0));
            }
            let growing = &mut self.levels[level];
            growing.pending.extend_from_slice(&hash);
            growing.hashes.push(hash);
            growing.width += 1;
            if growing.width == TILE_WIDTH {
                Self::write(&self.dir, growing, &mut self.files, &mut self.folders)?;
                carried = Some(fold(std::mem::take(&mut growing.hashes)));
                growing.advance();
            }
        }
        Ok(())
    }

    /// Size and root.
    pub(crate) fn head(&self) -> TreeHead {
        let Ok(root) = merkle::root(self, self.size);
        TreeHead { size: self.size, root }
    }

    /// How many leaves there are.
    pub(crate) fn head_size(&self) -> u64 {
        self.size
    }

    /// Hands what is partial to the operating system.
    pub(crate) fn write_partial(&mut self) -> Result<(), AuditError> {
        for growing in std::iter::once(&mut self.entries).chain(&mut self.levels) {
            Self::write(&self.dir, growing, &mut self.files, &mut self.folders)?;
        }
        Ok(())
    }

    /// Brings everything that was written to the disk: files first, then the folders that name them.
    pub(crate) fn sync(&mut self) -> Result<(), AuditError> {
        for (path, file) in self.files.drain(..) {
            file.sync_data().map_err(AuditError::io("sync", &path))?;
        }
        for folder in std::mem::take(&mut self.folders) {
            // The folder of a partial tile goes away when the tile is full.
            match sync_folder(&folder) {
                Err(error) if error.kind() != ErrorKind::NotFound => {
                    return Err(AuditError::io("sync", &folder)(error));
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn write(
        dir: &Path,
        growing: &mut Growing,
        files: &mut Vec<(PathBuf, File)>,
        folders: &mut BTreeSet<PathBuf>,
    ) -> Result<(), AuditError> {
        if growing.width == growing.written {
            return Ok(());
        }
        let path = dir.join(growing.tile().to_string());
        let file = growing.write(dir, &path).map_err(AuditError::io("write", &path))?;
        // A new folder has to be named on the disk as well, up to the shard's own.
        folders
            .extend(path.ancestors().skip(1).take_while(|above| above.starts_with(dir)).map(Path::to_owned));
        files.push((path, file));
        Ok(())
    }
}

impl Growing {
    fn new(level: Level, index: u64) -> Self {
        Self { level, index, width: 0, written: 0, hashes: Vec::new(), pending: Vec::new(), file: None }
    }

    fn tile(&self) -> Tile {
        Tile { level: self.level, index: self.index, width: self.width }
    }

    fn advance(&mut self) {
        *self = Self::new(self.level, self.index + 1);
    }

    /// Appends what is pending and gives the file its new name.
    fn write(&mut self, dir: &Path, path: &Path) -> io::Result<File> {
        let open = |path: &Path| OpenOptions::new().append(true).create(true).mode(0o600).open(path);
        if self.written == 0 {
            // What a crash left of a tile that no checkpoint speaks of.
            discard(dir, self.level, self.index)?;
            make_folder(path.parent().expect("a tile is in a folder"))?;
            self.file = Some(open(path)?);
        }
        let before = dir.join(Tile { width: self.written, ..self.tile() }.to_string());
        let mut file = match self.file.take() {
            Some(file) => file,
            None => open(&before)?,
        };
        file.write_all(&self.pending)?;
        self.pending.clear();
        if self.written > 0 {
            fs::rename(&before, path)?;
        }
        if self.width == TILE_WIDTH {
            // Not empty only if somebody put something there.
            let _ = before.parent().filter(|_| self.written > 0).map(fs::remove_dir);
        }
        self.written = self.width;
        self.file = Some(file.try_clone()?);
        Ok(file)
    }

    /// Reads the last tile of a level in a tree of this size, and makes its file hold exactly that.
    fn load(dir: &Path, level: Level, size: u64) -> Result<Self, AuditError> {
        let length = level.length(size);
        let mut growing = Self::new(level, length / TILE_WIDTH);
        growing.width = length % TILE_WIDTH;
        if growing.width == 0 {
            return Ok(growing);
        }
        let tile = growing.tile();
        let path = dir.join(tile.to_string());
        let (found, bytes) = read_tile(dir, tile)?.ok_or_else(|| damaged(&path, "it is missing"))?;
        let wrong = |error: TlogError| damaged(&found, &error.to_string());
        let length = match level {
            Level::Entries => {
                read_bundle(&bytes, growing.width).map_err(wrong)?.last().map_or(0, |last| last.end)
            }
            Level::Hashes(_) => {
                growing.hashes = read_hashes(&bytes, growing.width).map_err(wrong)?;
                growing.hashes.as_flattened().len()
            }
        };
        let normalise = || -> io::Result<()> {
            if bytes.len() > length {
                OpenOptions::new().write(true).open(&found)?.set_len(length as u64)?;
            }
            if found != path {
                make_folder(path.parent().expect("a tile is in a folder"))?;
                fs::rename(&found, &path)?;
            }
            Ok(())
        };
        normalise().map_err(AuditError::io("shorten", &found))?;
        growing.written = growing.width;
        Ok(growing)
    }
}

impl Nodes for Edge {
    type Error = std::convert::Infallible;

    /// What the root of the whole tree is made of is all at the edge.
    fn node(&self, height: u32, index: u64) -> Result<Hash, Self::Error> {
        let level = usize::try_from(height / TILE_HEIGHT).expect("a level fits");
        let inner = height % TILE_HEIGHT;
        let first = index << inner;
        let growing = &self.levels[level];
        debug_assert_eq!(first / TILE_WIDTH, growing.index, "only the edge is in memory");
        let offset = usize::try_from(first % TILE_WIDTH).expect("an offset in a tile fits");
        Ok(fold(growing.hashes[offset..offset + (1 << inner)].to_vec()))
    }
}

/// How often a tile is looked for: beside a log that is written it may get another name in between.
const LOOKS_MAX: u32 = 8;

/// Reads a tile, or a wider one that begins with it; with the path that it was found at.
pub(crate) fn read_tile(dir: &Path, tile: Tile) -> Result<Option<(PathBuf, Vec<u8>)>, AuditError> {
    let full = dir.join(Tile { width: TILE_WIDTH, ..tile }.to_string());
    for _ in 0..LOOKS_MAX {
        let wider = widths(&partial_folder(&full)).into_iter().filter(|width| *width > tile.width);
        for width in [tile.width].into_iter().chain(wider).chain([TILE_WIDTH]) {
            let path = dir.join(Tile { width, ..tile }.to_string());
            if let Some(bytes) = crate::shard::read(&path, BUNDLE_BYTES_MAX as u64)? {
                return Ok(Some((path, bytes)));
            }
        }
    }
    Ok(None)
}

fn partial_folder(full: &Path) -> PathBuf {
    full.with_extension("p")
}

/// The widths in which a partial tile is there.
fn widths(folder: &Path) -> Vec<u64> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let widths = entries.filter_map(|entry| entry.file_name().to_str()?.parse().ok());
    widths.filter(|width| (1..TILE_WIDTH).contains(width)).collect()
}

/// Removes what there is of a tile.
fn discard(dir: &Path, level: Level, index: u64) -> io::Result<()> {
    let full = dir.join(Tile { level, index, width: TILE_WIDTH }.to_string());
    let gone = |result: io::Result<()>| match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    };
    gone(fs::remove_file(&full))?;
    gone(fs::remove_dir_all(partial_folder(&full)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::tiles::TileFolder;
    use crate::tlog::tile::TiledTree;

    fn entry(number: u64) -> Vec<u8> {
        format!("entry {number}").into_bytes()
    }

    fn grow(edge: &mut Edge, to: u64) {
        while edge.size < to {
            edge.push(&entry(edge.size)).unwrap();
        }
        edge.write_partial().unwrap();
        edge.sync().unwrap();
    }

    /// What must be there for a tree of this size, and is what it should be.
    fn check(dir: &Path, size: u64, head: &TreeHead) {
        let folder = TileFolder::new(dir, size);
        let root = merkle::root(&TiledTree(&folder), size).unwrap();
        assert_eq!((size, root), (head.size, head.root));
        for index in (0..size).step_by(97).chain([size - 1]) {
            assert_eq!(folder.entry(index).unwrap(), entry(index), "{index}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(12))]

        /// However it grows, and wherever it is closed and opened again, the files are those of the tree.
        #[test]
        fn a_tree_grows_in_steps(steps in prop::collection::vec((1..400_u64, any::<bool>()), 1..8)) {
            let dir = tempfile::tempdir().unwrap();
            let mut edge = Edge::empty(dir.path());
            for (by, reopen) in steps {
                let size = edge.size + by;
                grow(&mut edge, size);
                check(dir.path(), size, &edge.head());
                if reopen {
                    let head = edge.head();
                    edge = Edge::load(dir.path(), size).unwrap();
                    prop_assert_eq!(edge.head(), head);
                }
            }
        }
    }

    #[test]
    fn what_was_written_after_the_last_checkpoint_is_taken_back() {
        for (before, after) in [(1, 2), (3, 200), (200, 300), (256, 257), (250, 800), (511, 513)] {
            let dir = tempfile::tempdir().unwrap();
            let mut edge = Edge::empty(dir.path());
            grow(&mut edge, before);
            let head = edge.head();
            grow(&mut edge, after);
            let whole = edge.head();
            let mut again = Edge::load(dir.path(), before).unwrap();
            assert_eq!(again.head(), head, "{before} of {after}");
            grow(&mut again, after);
            assert_eq!(again.head(), whole, "{before} to {after}");
            check(dir.path(), after, &whole);
        }
    }

    #[test]
    fn a_tile_that_is_gone_or_short_is_said() {
        let dir = tempfile::tempdir().unwrap();
        grow(&mut Edge::empty(dir.path()), 300);
        let path = dir.path().join("tile/0/001.p/44");
        let bytes = fs::read(&path).unwrap();
        fs::write(&path, &bytes[..bytes.len() - 1]).unwrap();
        assert!(matches!(Edge::load(dir.path(), 300), Err(AuditError::Broken(_))));
        fs::remove_file(&path).unwrap();
        assert!(matches!(Edge::load(dir.path(), 300), Err(AuditError::Broken(_))));
    }
}
