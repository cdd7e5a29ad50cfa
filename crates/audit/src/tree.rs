//! The tree over the records: which record is which leaf, when a checkpoint is due, and how a crash is recovered from.
//!
//! The segments are the truth. The tree is made of lines that are on the disk, and what a crash leaves of it is taken back
//! to its last checkpoint, or made anew from the lines. A checkpoint comes last: whoever has one finds all that it vouches
//! for.

use std::borrow::Cow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use lockgate_crypto::digest::sha256;
use lockgate_crypto::note::NoteKey;

use crate::cursor::Cursor;
use crate::edge::Edge;
use crate::error::{AuditError, Break, What};
use crate::line::Header;
use crate::shard::{self, Opening, Previous, SHARD_SCHEMA, Shard, damaged};
use crate::tlog::checkpoint::{Checkpoint, Signed, Signer};
use crate::tlog::merkle::TreeHead;
use crate::tlog::tile::ENTRY_BYTES_MAX;

/// How records become a signed tree.
#[derive(Clone, Debug)]
pub struct Sealing {
    /// The log's name, under which it signs, for example `example.org/gateway/audit`. A schema-less URL; at most 200 bytes,
    /// without spaces and plus signs. The origin of a month is `NAME/2026-11`.
    pub name: String,
    /// Who signs each checkpoint, at least one.
    pub signers: Vec<Signer>,
    /// Keys of this log that sign no more. The last checkpoint may be theirs.
    pub retired: Vec<NoteKey>,
    /// At most one checkpoint in so many milliseconds. 500 by default: with what a commit takes, none is a second behind.
    pub checkpoint_ms_min: u64,
    /// Called before each step of a commit, on the thread that makes it; tests end the process there.
    pub on_step: Option<fn(Step)>,
}

impl Sealing {
    /// Sealing by these keys, twice a second at most.
    #[must_use]
    pub fn new(name: &str, signers: Vec<Signer>) -> Self {
        Self { name: name.to_owned(), signers, retired: Vec::new(), checkpoint_ms_min: 500, on_step: None }
    }
}

/// A step of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A new month begins: its folder and its first leaf.
    BeginShard,
    /// Records become leaves; full tiles are written on the way.
    Integrate,
    /// Partial tiles are written.
    WritePartial,
    /// All tiles are brought to the disk.
    SyncTiles,
    /// The checkpoint is signed.
    Sign,
    /// The checkpoint replaces the one before.
    Publish,
    /// It is there.
    Done,
}

/// All steps, in their order.
pub const STEPS: [Step; 7] = [
    Step::BeginShard,
    Step::Integrate,
    Step::WritePartial,
    Step::SyncTiles,
    Step::Sign,
    Step::Publish,
    Step::Done,
];

/// The entry of a line: the line itself, or what stands for one of before that is too long for an entry.
pub(crate) fn entry_of(line: &[u8]) -> Cow<'_, [u8]> {
    if line.len() <= ENTRY_BYTES_MAX {
        return line.into();
    }
    let hash = lockgate_crypto::digest::hex(&sha256(line));
    let text =
        format!("{{\"schema\":\"lockgate.audit-long/1\",\"bytes\":{},\"sha256\":\"{hash}\"}}", line.len());
    text.into_bytes().into()
}

/// The month that a record belongs to, out of its time.
pub(crate) fn month_of(time: &str) -> &str {
    time.get(..7).unwrap_or_default()
}

/// A tree that follows its log.
pub(crate) struct Tree {
    dir: PathBuf,
    sealing: Arc<Sealing>,
    cursor: Cursor,
    growing: Option<(Shard, Edge)>,
    /// The newest checkpoint.
    newest: Option<Signed>,
}

impl Tree {
    /// Goes on where the last checkpoint is; `first` is the oldest record that there is.
    pub(crate) fn open(dir: &Path, sealing: Arc<Sealing>, first: u64) -> Result<Self, AuditError> {
        let Some(shard) = shard::list(dir)?.pop() else {
            let cursor = Cursor::before(dir, first);
            return Ok(Self { dir: dir.to_owned(), sealing, cursor, growing: None, newest: None });
        };
        let newest = shard.checkpoint()?;
        let Some(signed) = &newest else {
            let edge = Self::begin(&shard)?;
            let cursor = Cursor::before(dir, shard.opening.first);
            return Ok(Self { dir: dir.to_owned(), sealing, cursor, growing: Some((shard, edge)), newest });
        };
        check_signer(&shard, signed, &sealing)?;
        let head = signed.checkpoint.head;
        let edge = match Edge::load(&shard.dir, head.size) {
            Ok(edge) if edge.head() == head => edge,
            Err(error @ AuditError::Io { .. }) => return Err(error),
            found => {
                let why = found.err().map_or_else(|| "another root".to_owned(), |error| error.to_string());
                tracing::warn!(shard = %shard.dir.display(), why, "the tree is made anew out of its records");
                rebuild(dir, &shard, head)?
            }
        };
        let next = shard.opening.seq_of(head.size).unwrap_or(shard.opening.first);
        let cursor = Cursor::before(dir, next);
        Ok(Self { dir: dir.to_owned(), sealing, cursor, growing: Some((shard, edge)), newest })
    }

    /// The newest checkpoint.
    pub(crate) fn newest(&self) -> Option<&Signed> {
        self.newest.as_ref()
    }

    /// Number of the last record that the tree has.
    pub(crate) fn integrated(&self) -> u64 {
        self.cursor.next() - 1
    }

    /// Number of the last record that the newest checkpoint covers; 0 for none.
    pub(crate) fn covered(&self) -> u64 {
        let Some((shard, _)) = &self.growing else { return 0 };
        let first = shard.opening.first;
        // Before the first checkpoint of a month, the last one of the month before covers all that is older.
        self.newest.as_ref().map_or(first - 1, |signed| first + signed.checkpoint.head.size - 2)
    }

    /// Whether the newest checkpoint lacks something that the tree has.
    pub(crate) fn is_ahead(&self) -> bool {
        let signed = self.newest.as_ref().map(|signed| signed.checkpoint.head.size);
        self.growing.as_ref().is_some_and(|(_, edge)| Some(edge.head_size()) != signed)
    }

    /// Takes in records up to `last`, at most `count` of them; says whether there may be more.
    pub(crate) fn integrate(&mut self, last: u64, count: usize) -> Result<bool, AuditError> {
        self.step(Step::Integrate);
        for _ in 0..count {
            let seq = self.cursor.next();
            let Some(line) = self.cursor.line(last)? else { return Ok(false) };
            let (month, entry) = read_line(&self.dir, seq, line)?;
            let is_next = self.growing.as_ref().is_none_or(|(shard, _)| *month > *shard.month);
            if is_next {
                let (month, entry) = (month.into_owned(), entry.into_owned());
                self.next_shard(&month, seq)?;
                self.push(&entry)?;
            } else {
                let (_, edge) =
                    self.growing.as_mut().expect("there is a shard: the month is not later than its own");
                edge.push(&entry)?;
            }
        }
        Ok(true)
    }

    fn push(&mut self, entry: &[u8]) -> Result<(), AuditError> {
        let (_, edge) = self.growing.as_mut().expect("a shard has just been begun");
        edge.push(entry)
    }

    /// Ends the shard at hand with a last checkpoint, and begins the one of this month.
    fn next_shard(&mut self, month: &str, first: u64) -> Result<(), AuditError> {
        if self.is_ahead() {
            self.commit()?;
        }
        self.step(Step::BeginShard);
        let opening = Opening {
            schema: SHARD_SCHEMA.to_owned(),
            origin: format!("{}/{month}", self.sealing.name),
            first,
            previous: self.newest.take().as_ref().map(Previous::of),
        };
        let shard = Shard::create(&self.dir, month, opening)?;
        let edge = Self::begin(&shard)?;
        self.growing = Some((shard, edge));
        Ok(())
    }

    fn begin(shard: &Shard) -> Result<Edge, AuditError> {
        let mut edge = Edge::empty(&shard.dir);
        edge.push(&shard.opening.leaf())?;
        Ok(edge)
    }

    /// Makes a checkpoint of what the tree has.
    pub(crate) fn commit(&mut self) -> Result<(), AuditError> {
        let Some((shard, edge)) = &mut self.growing else { return Ok(()) };
        let step = |step| self.sealing.on_step.iter().for_each(|on_step| on_step(step));
        step(Step::WritePartial);
        edge.write_partial()?;
        step(Step::SyncTiles);
        edge.sync()?;
        step(Step::Sign);
        let checkpoint = Checkpoint { origin: shard.opening.origin.clone(), head: edge.head() };
        let signed = Signed::new(checkpoint, &self.sealing.signers, now_s())?;
        step(Step::Publish);
        shard::write_whole(&shard.checkpoint_path(), signed.write().as_bytes())?;
        self.newest = Some(signed);
        step(Step::Done);
        Ok(())
    }

    /// Signs with other keys from now on: one checkpoint by both, which is kept, vouches for the new ones.
    pub(crate) fn change_signers(&mut self, sealing: Arc<Sealing>) -> Result<(), AuditError> {
        let before = std::mem::replace(&mut self.sealing, sealing);
        let Some((shard, _)) = &self.growing else { return Ok(()) };
        let shard = shard.clone();
        self.commit()?;
        let Some(signed) = &self.newest else { return Ok(()) };
        let is_old =
            |signer: &&Signer| self.sealing.signers.iter().all(|other| other.public() != signer.public());
        let old: Vec<Signer> = before.signers.iter().filter(is_old).cloned().collect();
        let mut both = Signed::new(signed.checkpoint.clone(), &old, now_s())?;
        both.lines.extend(signed.lines.iter().cloned());
        shard.keep(&both)
    }

    fn step(&self, step: Step) {
        if let Some(on_step) = self.sealing.on_step {
            on_step(step);
        }
    }
}

fn now_s() -> u64 {
    u64::try_from(Timestamp::now().as_second()).unwrap_or(0)
}

/// Month and entry of a line.
fn read_line<'a>(dir: &Path, seq: u64, line: &'a [u8]) -> Result<(Cow<'a, str>, Cow<'a, [u8]>), AuditError> {
    let broken = |why: String| Break { file: dir.to_owned(), line: 0, seq, what: What::NotARecord(why) };
    let header = Header::read(line).map_err(broken)?;
    if header.seq != seq {
        return Err(broken(format!("it says that it is record {}", header.seq)).into());
    }
    let month = match header.time {
        Cow::Borrowed(time) => month_of(time).into(),
        Cow::Owned(time) => month_of(&time).to_owned().into(),
    };
    Ok((month, entry_of(line)))
}

/// The node does not go on over a checkpoint that it did not sign.
fn check_signer(shard: &Shard, signed: &Signed, sealing: &Sealing) -> Result<(), AuditError> {
    let own = sealing.signers.iter().map(Signer::public).chain(&sealing.retired);
    if own.into_iter().any(|key| signed.verify(key).is_ok()) {
        return Ok(());
    }
    let why = "the checkpoint is not signed by a key of this log".to_owned();
    Err(Break { file: shard.checkpoint_path(), line: 0, seq: 0, what: What::Unsigned(why) }.into())
}

/// Makes the tree of a shard anew out of its lines, and holds it against the head that was signed.
fn rebuild(dir: &Path, shard: &Shard, head: TreeHead) -> Result<Edge, AuditError> {
    let mut edge = Edge::empty(&shard.dir);
    edge.push(&shard.opening.leaf())?;
    let last = shard.opening.seq_of(head.size.saturating_sub(1)).unwrap_or(0);
    let mut cursor = Cursor::before(dir, shard.opening.first);
    while edge.head_size() < head.size {
        let missing = || damaged(&shard.checkpoint_path(), "the records that it vouches for are gone");
        let line = cursor.line(last)?.ok_or_else(missing)?;
        edge.push(&entry_of(line))?;
    }
    if edge.head() != head {
        let file = shard.checkpoint_path();
        return Err(Break { file, line: 0, seq: last, what: What::OtherTree }.into());
    }
    edge.write_partial()?;
    edge.sync()?;
    Ok(edge)
}
