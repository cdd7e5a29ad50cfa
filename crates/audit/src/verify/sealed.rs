//! Checking the signed trees: signatures, tiles, bundles, how months follow each other, and each record against its leaf.

use std::path::{Path, PathBuf};

use lockgate_crypto::digest::hex;
use lockgate_crypto::note::NoteKey;

use super::{Checks, Cosigned, ShardReport};
use crate::error::{AuditError, Break, What};
use crate::months;
use crate::shard::{self, Previous, Shard};
use crate::tiles::TileFolder;
use crate::tlog::checkpoint::Signed;
use crate::tlog::merkle::{self, Hash, fold, leaf_hash};
use crate::tlog::tile::{Level, TILE_WIDTH, Tile, TiledTree, Tiles, read_bundle};
use crate::tree::entry_of;

/// The trees of a log, each of which was found to be what its checkpoint says.
pub(super) struct Sealed {
    shards: Vec<Checked>,
    cosigned: Option<Cosigned>,
    /// The leaves at hand: shard, number of their tile, hashes.
    leaves: Option<(usize, u64, Vec<Hash>)>,
}

/// A shard whose tree holds.
struct Checked {
    shard: Shard,
    signed: Signed,
    tiles: TileFolder,
    report: ShardReport,
}

impl Checked {
    /// The last record that the checkpoint covers.
    fn last(&self) -> u64 {
        self.shard.opening.first + self.signed.checkpoint.head.size - 2
    }
}

impl Sealed {
    /// Checks the trees of the log in `dir`.
    pub(super) fn check(dir: &Path, checks: &Checks<'_>) -> Result<Self, AuditError> {
        let mut shards: Vec<Checked> = Vec::new();
        let mut views = Vec::new();
        let all = shard::list(dir)?;
        months::check(dir, all.first())?;
        let count = all.len();
        for (number, shard) in all.into_iter().enumerate() {
            let is_newest = number + 1 == count;
            // What is older is read first: the log may grow in between.
            views.push((shard.kept()?, shard.cosigned()?));
            let Some(signed) = shard.checkpoint()? else {
                // Begun, and its first checkpoint is still to come.
                if is_newest {
                    break;
                }
                return Err(shard::damaged(&shard.checkpoint_path(), "it is missing"));
            };
            follows(shards.last(), &shard)?;
            if signed.checkpoint.head.size < 1 {
                return Err(shard::damaged(&shard.checkpoint_path(), "its tree has no leaf"));
            }
            shards.push(check_shard(shard, signed)?);
        }
        trust(dir, &mut shards, checks.keys)?;
        for (checked, (kept, cosigned)) in shards.iter().zip(&views) {
            for other in kept.iter().chain(cosigned) {
                check_view(checked, other)?;
            }
        }
        for seen in checks.seen {
            check_seen(dir, &shards, seen, checks.keys)?;
        }
        let cosigned = check_witnesses(dir, &shards, &views, checks)?;
        Ok(Self { shards, cosigned, leaves: None })
    }

    /// Holds a record against its leaf. One that no checkpoint covers yet has none.
    pub(super) fn record(&mut self, seq: u64, line: &[u8]) -> Result<bool, What> {
        let Some(at) = self.shards.iter().rposition(|checked| checked.shard.opening.first <= seq) else {
            return Ok(false);
        };
        let checked = &self.shards[at];
        let index = checked.shard.opening.index_of(seq).expect("the shard begins before it");
        if index >= checked.signed.checkpoint.head.size {
            return Ok(false);
        }
        let tile = index / TILE_WIDTH;
        if self.leaves.as_ref().is_none_or(|(shard, there, _)| (*shard, *there) != (at, tile)) {
            let whole = Tile::of(Level::Hashes(0), tile, checked.signed.checkpoint.head.size);
            let hashes = whole.map(|whole| checked.tiles.hashes(whole)).transpose();
            let hashes = hashes.map_err(|error| What::Tree(error.to_string()))?.unwrap_or_default();
            self.leaves = Some((at, tile, hashes));
        }
        let offset = usize::try_from(index % TILE_WIDTH).expect("an offset in a tile fits");
        let leaf = self.leaves.as_ref().and_then(|(_, _, hashes)| hashes.get(offset));
        let entry = line.strip_suffix(b"\n").unwrap_or(line);
        if leaf == Some(&leaf_hash(&entry_of(entry))) { Ok(true) } else { Err(What::Changed) }
    }

    /// The last record that a checkpoint covers; 0 for none.
    pub(super) fn last(&self) -> u64 {
        self.shards.last().map_or(0, Checked::last)
    }

    /// Where the newest checkpoint is.
    pub(super) fn newest_path(&self) -> Option<PathBuf> {
        self.shards.last().map(|checked| checked.shard.checkpoint_path())
    }

    pub(super) fn into_reports(self) -> (Vec<ShardReport>, Option<Cosigned>) {
        (self.shards.into_iter().map(|checked| checked.report).collect(), self.cosigned)
    }
}

/// Whether a shard goes on where the one before ended.
fn follows(before: Option<&Checked>, shard: &Shard) -> Result<(), AuditError> {
    let Some(before) = before else { return Ok(()) };
    let path = shard.dir.join("shard");
    if shard.opening.previous.as_ref() != Some(&Previous::of(&before.signed)) {
        return Err(shard::damaged(&path, "the month before did not end as this one says"));
    }
    if shard.opening.first != before.last() + 1 {
        return Err(shard::damaged(&path, "it does not begin where the month before ended"));
    }
    Ok(())
}

/// Every tile against the one above it, the tree against its signed root, and every entry against its leaf.
fn check_shard(shard: Shard, signed: Signed) -> Result<Checked, AuditError> {
    let head = signed.checkpoint.head;
    let tiles = TileFolder::new(&shard.dir, head.size);
    let at = |level, index| shard.dir.join(Tile { level, index, width: TILE_WIDTH }.to_string());
    for level in 0..u8::MAX {
        let length = Level::Hashes(level).length(head.size);
        for index in 0..length / TILE_WIDTH {
            let full = tiles.hashes(Tile { level: Level::Hashes(level), index, width: TILE_WIDTH })?;
            let above = Tile::of(Level::Hashes(level + 1), index / TILE_WIDTH, head.size);
            let above = above.map(|above| tiles.hashes(above)).transpose()?.unwrap_or_default();
            let offset = usize::try_from(index % TILE_WIDTH).expect("an offset in a tile fits");
            if above.get(offset) != Some(&fold(full)) {
                let path = at(Level::Hashes(level), index);
                return Err(broken_tile(
                    &path,
                    &shard,
                    level,
                    index,
                    "it is not what the tile above it says",
                ));
            }
        }
        if length < TILE_WIDTH {
            break;
        }
    }
    let first = tiles.hashes(Tile { level: Level::Hashes(0), index: 0, width: 1 })?;
    if first[0] != leaf_hash(&shard.opening.leaf()) {
        return Err(shard::damaged(&shard.dir.join("shard"), "it is not the first leaf of the tree"));
    }
    if merkle::root(&TiledTree(&tiles), head.size)? != head.root {
        let file = shard.checkpoint_path();
        return Err(Break { file, line: 0, seq: shard.opening.first, what: What::OtherTree }.into());
    }
    check_bundles(&shard, &tiles, head.size)?;
    let report = ShardReport {
        origin: signed.checkpoint.origin.clone(),
        first: shard.opening.first,
        last: shard.opening.first + head.size - 2,
        size: head.size,
        root: hex(&head.root),
        signed_by: Vec::new(),
        time_s: None,
    };
    Ok(Checked { shard, signed, tiles, report })
}

/// Every entry against its leaf, in two halves at a time: hashing is most of the work.
fn check_bundles(shard: &Shard, tiles: &TileFolder, size: u64) -> Result<(), AuditError> {
    let bundles = size.div_ceil(TILE_WIDTH);
    let middle = bundles / 2;
    std::thread::scope(|scope| {
        let upper = scope.spawn(|| check_some_bundles(shard, tiles, size, middle..bundles));
        // The first place that does not hold is the one that is named.
        let lower = check_some_bundles(shard, tiles, size, 0..middle);
        let upper = upper.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic));
        lower.and(upper)
    })
}

fn check_some_bundles(
    shard: &Shard,
    tiles: &TileFolder,
    size: u64,
    bundles: std::ops::Range<u64>,
) -> Result<(), AuditError> {
    for index in bundles {
        let tile = Tile::of(Level::Entries, index, size).expect("the tree has this bundle");
        let leaves = tiles.hashes(Tile { level: Level::Hashes(0), ..tile })?;
        let (path, bytes) = tiles.whole(Level::Entries, index)?;
        let entries = read_bundle(&bytes, tile.width);
        let entries = entries.map_err(|error| shard::damaged(&path, &error.to_string()))?;
        for (number, (entry, leaf)) in (0..).zip(entries.into_iter().zip(&leaves)) {
            if leaf_hash(&bytes[entry]) != *leaf {
                let seq = shard.opening.seq_of(index * TILE_WIDTH + number).unwrap_or(shard.opening.first);
                let what = What::Tree("its entry is not the one that was signed".to_owned());
                return Err(Break { file: path, line: 0, seq, what }.into());
            }
        }
        if tile.is_full() && bytes.len() != bundle_bytes(&bytes, tile.width) {
            return Err(shard::damaged(&path, "there is something behind its last entry"));
        }
    }
    Ok(())
}

/// Length of the first `width` entries.
fn bundle_bytes(bytes: &[u8], width: u64) -> usize {
    read_bundle(bytes, width).ok().and_then(|entries| entries.last().map(|last| last.end)).unwrap_or(0)
}

fn broken_tile(path: &Path, shard: &Shard, level: u8, index: u64, why: &str) -> AuditError {
    // The first record below it says best where to look.
    let leaf = index.saturating_mul(TILE_WIDTH << (8 * u32::from(level).min(6)));
    let seq = shard.opening.seq_of(leaf).unwrap_or(shard.opening.first);
    Break { file: path.to_owned(), line: 0, seq, what: What::Tree(why.to_owned()) }.into()
}

/// The newest checkpoint must be signed by every one of the keys. It vouches for the months before through its first leaf.
fn trust(dir: &Path, shards: &mut [Checked], keys: &[NoteKey]) -> Result<(), AuditError> {
    let Some((newest, before)) = shards.split_last_mut() else {
        if keys.is_empty() {
            return Ok(());
        }
        let what = What::Unsigned("there is no checkpoint that the key could have signed".to_owned());
        return Err(Break { file: shard::folder(dir), line: 0, seq: 0, what }.into());
    };
    for key in keys {
        let verified = newest.signed.verify(key).map_err(|error| {
            let what = What::Unsigned(format!("{error}{}", last_signed(newest, before, key)));
            Break { file: newest.shard.checkpoint_path(), line: 0, seq: newest.last(), what }
        })?;
        newest.report.signed_by.push(format!("{}+{}", key.name(), hex(&key.id())));
        newest.report.time_s = newest.report.time_s.or(verified.time_s);
    }
    Ok(())
}

/// How far the key did sign, where it was replaced by another.
fn last_signed(newest: &Checked, before: &[Checked], key: &NoteKey) -> String {
    let all = before.iter().chain(std::iter::once(newest)).rev();
    for checked in all {
        let kept = checked.shard.kept().unwrap_or_default();
        let mut notes = kept.iter().rev().chain(std::iter::once(&checked.signed));
        if let Some(signed) = notes.find(|signed| signed.verify(key).is_ok()) {
            let last = checked.shard.opening.first + signed.checkpoint.head.size - 2;
            return format!("; it signed up to record {last}, and other keys have signed since");
        }
    }
    String::new()
}

/// Whether a checkpoint that was kept is a beginning of the log.
fn check_view(checked: &Checked, other: &Signed) -> Result<(), AuditError> {
    let (head, seen) = (checked.signed.checkpoint.head, other.checkpoint.head);
    let seq =
        checked.shard.opening.seq_of(seen.size.saturating_sub(1)).unwrap_or(checked.shard.opening.first);
    let forked = |what| Break { file: checked.shard.checkpoint_path(), line: 0, seq, what };
    if seen.size > head.size {
        return Err(forked(What::Truncated { last: seq }).into());
    }
    if merkle::root(&TiledTree(&checked.tiles), seen.size)? != seen.root {
        return Err(forked(What::ForkedView).into());
    }
    Ok(())
}

/// Who of the witnesses vouches for the log, and whether they are enough. That what they cosigned is a beginning of it was seen.
fn check_witnesses(
    dir: &Path,
    shards: &[Checked],
    views: &[(Vec<Signed>, Option<Signed>)],
    checks: &Checks<'_>,
) -> Result<Option<Cosigned>, AuditError> {
    let found = shards
        .iter()
        .zip(views)
        .rev()
        .find_map(|(checked, (_, cosigned))| Some((checked, cosigned.as_ref()?)));
    let by = found.map(|(_, signed)| signed.cosigners(checks.witnesses)).unwrap_or_default();
    let times = checks.witnesses.iter().filter_map(|key| found?.1.verify(key).ok()?.time_s);
    let time_s = times.max();
    if by.len() < checks.quorum {
        let names = if by.is_empty() { "nobody".to_owned() } else { by.join(", ") };
        let what = What::Unsigned(format!(
            "{} witnesses have to vouch for the log, and of those that were named only {} did: {names}",
            checks.quorum,
            by.len()
        ));
        let file = found.map_or_else(|| shard::folder(dir), |(checked, _)| checked.shard.cosigned_path());
        return Err(Break { file, line: 0, seq: 0, what }.into());
    }
    Ok(found.filter(|_| !by.is_empty()).map(|(checked, signed)| Cosigned {
        origin: signed.checkpoint.origin.clone(),
        last: (checked.shard.opening.first + signed.checkpoint.head.size).saturating_sub(2),
        by,
        time_s,
    }))
}

/// Whether a checkpoint from outside is one that this log could have signed, and was signed by it.
fn check_seen(dir: &Path, shards: &[Checked], seen: &Signed, keys: &[NoteKey]) -> Result<(), AuditError> {
    for key in keys {
        seen.verify(key)?;
    }
    let same = |checked: &&Checked| checked.signed.checkpoint.origin == seen.checkpoint.origin;
    let Some(checked) = shards.iter().find(same) else {
        let what = What::Tree(format!(
            "there is no month {} in this log, and a checkpoint of it was seen",
            seen.checkpoint.origin
        ));
        return Err(Break { file: shard::folder(dir), line: 0, seq: 0, what }.into());
    };
    check_view(checked, seen)
}
