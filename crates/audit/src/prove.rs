//! Making the proof of one record.

use std::path::Path;

use crate::error::AuditError;
use crate::shard::{self, Shard};
use crate::tiles::TileFolder;
use crate::tlog::checkpoint::Signed;
use crate::tlog::merkle::{TreeHead, prove_consistency, prove_inclusion};
use crate::tlog::proof::Proof;
use crate::tlog::tile::TiledTree;

/// The proof of the record with this number, out of the log in `dir`; `None` while no checkpoint covers it.
///
/// # Errors
/// [`AuditError`] when the tree cannot be read.
pub fn prove(dir: &Path, seq: u64) -> Result<Option<Proof>, AuditError> {
    let shard = shard::list(dir)?.into_iter().rfind(|shard| shard.opening.first <= seq);
    let Some(shard) = shard.filter(|_| seq > 0) else { return Ok(None) };
    let index = shard.opening.index_of(seq).expect("the shard begins before it");
    let Some(signed) = vouching(&shard, index)? else { return Ok(None) };
    let size = signed.checkpoint.head.size;
    let tiles = TileFolder::new(&shard.dir, size);
    let path = prove_inclusion(&TiledTree(&tiles), index, size)?;
    let path = path.expect("the checkpoint covers the leaf");
    Ok(Some(Proof { entry: tiles.entry(index)?, index, path, signed }))
}

/// The checkpoint that says most of this leaf: one with cosignatures if there is one.
fn vouching(shard: &Shard, index: u64) -> Result<Option<Signed>, AuditError> {
    let covers = |signed: &Signed| signed.checkpoint.head.size > index;
    let cosigned = shard.cosigned()?.filter(covers);
    match cosigned {
        Some(signed) => Ok(Some(signed)),
        None => Ok(shard.checkpoint()?.filter(covers)),
    }
}

/// The proof that the tree of this origin with `old` leaves is the beginning of the one that `new` speaks of; `None` if
/// there is no such month, or the old tree is the larger one.
///
/// # Errors
/// [`AuditError`] when the tree cannot be read.
pub fn prove_growth(
    dir: &Path,
    origin: &str,
    old: u64,
    new: &TreeHead,
) -> Result<Option<Vec<crate::tlog::merkle::Hash>>, AuditError> {
    let shard = shard::list(dir)?.into_iter().find(|shard| shard.opening.origin == origin);
    let Some(shard) = shard else { return Ok(None) };
    let tiles = TileFolder::new(&shard.dir, new.size);
    prove_consistency(&TiledTree(&tiles), old, new.size)
}
