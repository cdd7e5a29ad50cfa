//! The log's side: asking a witness, and keeping what it signed.

use std::path::Path;

use lockgate_crypto::note::NoteKey;

use crate::error::AuditError;
use crate::prove::prove_growth;
use crate::shard::{self, write_whole};
use crate::tlog::checkpoint::Signed;
use crate::tlog::note::Line;
use crate::tlog::witness::{AddCheckpoint, read_answer};

/// What a witness said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answered {
    /// It cosigned: its lines.
    Cosigned(Vec<Line>),
    /// It is at this size, below ours: ask again from there.
    From(u64),
    /// It has cosigned more of this log than there is, or another tree of this size: the log was put back to an older state,
    /// or its key signs two histories.
    Beyond(u64),
    /// It does not find that this log goes on from what it cosigned.
    Forked,
    /// It refuses, for this reason.
    Refused(String),
}

impl Answered {
    /// Reads an answer to the request for cosigning `signed`.
    #[must_use]
    pub fn read(request: &AddCheckpoint, keys: &[NoteKey], (status, body): (u16, &[u8])) -> Self {
        let signed = &request.signed;
        let size = signed.checkpoint.head.size;
        match status {
            200 => match read_answer(signed, keys, body) {
                Ok(lines) => Self::Cosigned(lines),
                Err(error) => Self::Refused(error.to_string()),
            },
            409 => {
                let text = std::str::from_utf8(body).ok().and_then(|text| text.strip_suffix('\n'));
                match text.and_then(crate::tlog::decode_number) {
                    Some(at) if at > size || at == request.old => Self::Beyond(at),
                    Some(at) => Self::From(at),
                    None => Self::Refused("it says that it is at another size, and not at which".to_owned()),
                }
            }
            422 => Self::Forked,
            403 => Self::Refused("it does not trust the key of this log".to_owned()),
            404 => Self::Refused("it does not witness this log".to_owned()),
            status => {
                let said: String =
                    String::from_utf8_lossy(body).chars().filter(|c| !c.is_control()).take(200).collect();
                Self::Refused(format!("it answers {status}: {said}"))
            }
        }
    }
}

/// The newest checkpoint of the log in `dir`, by the log's own keys; none before the first.
///
/// # Errors
/// [`AuditError`] if it cannot be read.
pub fn newest_checkpoint(dir: &Path) -> Result<Option<Signed>, AuditError> {
    for shard in shard::list(dir)?.iter().rev() {
        if let Some(signed) = shard.checkpoint()? {
            return Ok(Some(signed));
        }
    }
    Ok(None)
}

/// The request for a cosignature of `signed`, a checkpoint of the log in `dir`, by a witness that is at `old`; none if the log has no
/// such month or is smaller.
///
/// # Errors
/// [`AuditError`] if the tree cannot be read.
pub fn cosign_request(dir: &Path, signed: &Signed, old: u64) -> Result<Option<AddCheckpoint>, AuditError> {
    let proof = prove_growth(dir, &signed.checkpoint.origin, old, &signed.checkpoint.head)?;
    Ok(proof.map(|proof| AddCheckpoint { old, proof, signed: signed.clone() }))
}

/// Keeps a checkpoint with its cosignatures for proofs and verifiers, unless there is a newer one.
///
/// # Errors
/// [`AuditError`] if it cannot be written.
pub fn keep_cosigned(dir: &Path, signed: &Signed) -> Result<bool, AuditError> {
    let shards = shard::list(dir)?;
    let Some(shard) = shards.into_iter().find(|shard| shard.opening.origin == signed.checkpoint.origin)
    else {
        return Ok(false);
    };
    let there = shard.cosigned()?.map_or(0, |there| there.checkpoint.head.size);
    if there > signed.checkpoint.head.size {
        return Ok(false);
    }
    write_whole(&shard.cosigned_path(), signed.write().as_bytes())?;
    Ok(true)
}
