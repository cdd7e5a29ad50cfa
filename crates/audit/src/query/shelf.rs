//! The index of one segment: `index/audit-NUMBER.index`, block after block, each over the next lines of the segment.
//!
//! What is on the disk is believed as far as it fits the segment: blocks follow each other without a gap, and the last line of
//! each is the one that the block was made over. From the first that does not fit, the lines themselves are read.

use std::borrow::Cow;
use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Read, Write as _};
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use lockgate_crypto::digest::sha256;

use super::block::{HEADER_BYTES, Header, RECORDS_MAX, SetPlace, Stride, Values, read_strides};
use super::builder::Builder;
use super::postings::Bits;
use super::{Query, Wanted};
use crate::error::AuditError;
use crate::line::LINE_BYTES_MAX;
use crate::segment::Segment;
use crate::shard;

/// Records of a block while its segment grows: so many at most are read without an index.
pub(super) const GROWING_RECORDS: u32 = 4096;

/// Bytes that are read at a time where lines are read one after the other.
const AHEAD_BYTES: usize = 256 << 10;

/// Where the index of a log is.
pub(super) fn folder(dir: &Path) -> PathBuf {
    dir.join("index")
}

/// The index of this segment.
pub(super) fn path_of(dir: &Path, segment: &Segment) -> PathBuf {
    folder(dir).join(format!("audit-{:020}.index", segment.first))
}

/// Part of the index is not what was written, or does not fit the log.
#[derive(Debug)]
pub(super) struct Damaged;

/// A file from a place on.
struct FileAt<'a> {
    file: &'a File,
    at: u64,
}

impl Read for FileAt<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.file.read_at(buffer, self.at)?;
        self.at += read as u64;
        Ok(read)
    }
}

/// Whole lines of a segment, from the begin of one on.
pub(super) struct WholeLines<'a> {
    reader: BufReader<FileAt<'a>>,
    line: Vec<u8>,
}

impl<'a> WholeLines<'a> {
    pub(super) fn at(file: &'a File, at: u64, ahead_bytes: usize) -> Self {
        Self {
            reader: BufReader::with_capacity(ahead_bytes.clamp(4096, AHEAD_BYTES), FileAt { file, at }),
            line: Vec::new(),
        }
    }

    /// The next line with its newline; what is longer than any line comes in pieces. None behind the last whole one.
    pub(super) fn next(&mut self) -> io::Result<Option<&[u8]>> {
        self.line.clear();
        let limit = LINE_BYTES_MAX as u64;
        let read = (&mut self.reader).take(limit).read_until(b'\n', &mut self.line)?;
        let is_whole = self.line.ends_with(b"\n") || read as u64 == limit;
        Ok(is_whole.then_some(&self.line[..]))
    }
}

/// Where the bytes of a block are.
enum Source {
    File(File, u64),
    Memory(Vec<u8>),
}

/// A block of the index.
pub(super) struct Block {
    pub(super) header: Header,
    source: Source,
}

/// Records of a block that may be asked for.
pub(super) struct Candidates {
    pub(super) bits: Bits,
    /// Whether they are exactly those with the values that are asked for.
    pub(super) is_exact: bool,
}

impl Block {
    fn of_memory(bytes: Vec<u8>) -> Self {
        let header = Header::read(&bytes[..HEADER_BYTES]).expect("it was just written");
        Self { header, source: Source::Memory(bytes) }
    }

    fn read(&self, range: Range<u64>) -> Result<Cow<'_, [u8]>, Damaged> {
        let length = usize::try_from(range.end - range.start).map_err(|_| Damaged)?;
        match &self.source {
            Source::Memory(bytes) => {
                let begin = usize::try_from(range.start).map_err(|_| Damaged)?;
                bytes.get(begin..begin + length).map(Cow::Borrowed).ok_or(Damaged)
            }
            Source::File(file, at) => {
                let mut bytes = vec![0; length];
                file.read_exact_at(&mut bytes, at + range.start).map_err(|_| Damaged)?;
                Ok(bytes.into())
            }
        }
    }

    /// The records that may match; none where no record does.
    pub(super) fn candidates(&self, query: &Query) -> Result<Option<Candidates>, Damaged> {
        let records = self.header.records;
        if self.header.unreadable == records || !query.may_span(&self.header.span) {
            return Ok(None);
        }
        let mut candidates = Candidates { bits: Bits::all(records), is_exact: true };
        if query.wanted.is_empty() {
            return Ok(Some(candidates));
        }
        let bytes = self.read(self.header.values())?;
        let values = Values::read(&bytes, &self.header).ok_or(Damaged)?;
        let mut sets: Vec<Vec<SetPlace>> = vec![Vec::new(); query.wanted.len()];
        let is_exact = &mut candidates.is_exact;
        let take = |field, text: Option<&str>, set| {
            for (Wanted { field: wanted, any_of }, sets) in query.wanted.iter().zip(&mut sets) {
                let may = text.is_none_or(|text| any_of.iter().any(|words| words.fit(text)));
                if *wanted == field && may {
                    *is_exact &= text.is_some();
                    sets.push(set);
                }
            }
        };
        values.each(take).ok_or(Damaged)?;
        // Before any set is read: most blocks have none of what is asked for.
        if sets.iter().any(Vec::is_empty) {
            return Ok(None);
        }
        for sets in sets {
            let mut any = Bits::none(records);
            for set in sets {
                let bytes = self.read(self.header.set(&set).ok_or(Damaged)?)?;
                set.add(&bytes, records, &mut any).ok_or(Damaged)?;
            }
            candidates.bits.keep(&any);
        }
        Ok((!candidates.bits.is_empty()).then_some(candidates))
    }

    /// Where its records stand.
    pub(super) fn strides(&self) -> Result<Vec<Stride>, Damaged> {
        read_strides(&self.read(self.header.strides())?, &self.header).ok_or(Damaged)
    }

    /// Whether its last line is in the segment where it was.
    fn fits(&self, segment: &File) -> bool {
        let Header { last, last_bytes, .. } = self.header;
        let Some(end) = self.header.end() else { return false };
        let mut line = vec![0; last_bytes as usize];
        let read = segment.read_exact_at(&mut line, end - u64::from(last_bytes));
        read.is_ok() && sha256(&line) == last
    }
}

/// The blocks over a segment, oldest first.
pub(super) struct Shelf {
    pub(super) blocks: Vec<Block>,
    /// Bytes of the index's file that are believed.
    kept_bytes: u64,
    /// Whether there is more on the disk than what is believed.
    pub(super) is_damaged: bool,
}

impl Shelf {
    /// Without what is on the disk.
    pub(super) fn empty() -> Self {
        Self { blocks: Vec::new(), kept_bytes: 0, is_damaged: false }
    }

    /// What the disk has of the index of this segment, as far as it fits.
    pub(super) fn open(dir: &Path, segment: &Segment, file: &File) -> Self {
        let mut shelf = Self::empty();
        let Ok(index) = File::open(path_of(dir, segment)) else { return shelf };
        let length = index.metadata().map_or(0, |metadata| metadata.len());
        while shelf.kept_bytes < length {
            let Some(block) = shelf.read_block(&index, file) else {
                shelf.is_damaged = true;
                break;
            };
            shelf.kept_bytes += block.header.block_bytes();
            shelf.blocks.push(block);
        }
        shelf
    }

    fn read_block(&self, index: &File, segment: &File) -> Option<Block> {
        let mut bytes = [0; HEADER_BYTES];
        index.read_exact_at(&mut bytes, self.kept_bytes).ok()?;
        let header = Header::read(&bytes)?;
        let source = Source::File(index.try_clone().ok()?, self.kept_bytes);
        let is_next = (header.first, header.offset) == (self.lines(), self.covered());
        let block = Block { header, source };
        (is_next && block.fits(segment)).then_some(block)
    }

    /// Lines of the segment that have been taken in.
    fn lines(&self) -> u64 {
        self.blocks.last().map_or(0, |block| block.header.first + u64::from(block.header.records))
    }

    /// Their bytes.
    fn covered(&self) -> u64 {
        self.blocks.last().and_then(|block| block.header.end()).unwrap_or(0)
    }

    /// A builder for what follows.
    pub(super) fn following(&self) -> Builder {
        Builder::at(self.lines(), self.covered())
    }

    /// Takes in the rest of the segment, in memory only. `go_on` is asked now and then; says whether it was done.
    pub(super) fn complete(
        &mut self,
        segment: &Segment,
        file: &File,
        go_on: &dyn Fn() -> bool,
    ) -> Result<bool, AuditError> {
        let builder = self.following();
        let blocks = build(builder, (segment, file), (u64::MAX, RECORDS_MAX), go_on)?;
        let is_done = blocks.is_some();
        self.blocks.extend(blocks.into_iter().flatten().map(Block::of_memory));
        Ok(is_done)
    }

    /// Whether nothing remains to be done for a segment that grows no more.
    pub(super) fn is_whole(&self, segment: &Segment, file: &File) -> Result<bool, AuditError> {
        let small = self.blocks.iter().rev().skip(1).any(|block| block.header.records <= GROWING_RECORDS);
        if self.is_damaged || small {
            return Ok(false);
        }
        let mut rest = WholeLines::at(file, self.covered(), 0);
        Ok(rest.next().map_err(AuditError::io("read", &segment.path))?.is_none())
    }

    /// Takes in whole blocks of a segment that grows, and keeps them.
    pub(super) fn extend(
        &mut self,
        dir: &Path,
        segment: &Segment,
        file: &File,
        go_on: &dyn Fn() -> bool,
    ) -> Result<(), AuditError> {
        let builder = self.following();
        let blocks = build(builder, (segment, file), (u64::MAX, GROWING_RECORDS), go_on)?;
        for block in blocks.unwrap_or_default() {
            let header = Header::read(&block[..HEADER_BYTES]).expect("it was just written");
            if header.records >= GROWING_RECORDS {
                self.append(dir, segment, &block)?;
            }
        }
        Ok(())
    }

    /// Writes one more block behind those that are believed.
    pub(super) fn append(&mut self, dir: &Path, segment: &Segment, block: &[u8]) -> Result<(), AuditError> {
        let path = path_of(dir, segment);
        let write = || -> io::Result<File> {
            let file = OpenOptions::new()
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .open(&path)?;
            file.set_len(self.kept_bytes)?;
            file.write_all_at(block, self.kept_bytes)?;
            Ok(file)
        };
        let file = write().map_err(AuditError::io("write", &path))?;
        let header = Header::read(&block[..HEADER_BYTES]).expect("it was just written");
        let source = Source::File(file, self.kept_bytes);
        self.kept_bytes += header.block_bytes();
        self.is_damaged = false;
        self.blocks.push(Block { header, source });
        Ok(())
    }
}

/// The blocks over the lines from the builder's place to `until`; none if it was told to stop.
pub(super) fn build(
    mut builder: Builder,
    (segment, file): (&Segment, &File),
    (until, records_max): (u64, u32),
    go_on: &dyn Fn() -> bool,
) -> Result<Option<Vec<Vec<u8>>>, AuditError> {
    let mut lines = WholeLines::at(file, builder.end(), AHEAD_BYTES);
    let mut blocks = Vec::new();
    while builder.end() < until
        && let Some(line) = lines.next().map_err(AuditError::io("read", &segment.path))?
    {
        builder.push(line);
        if builder.records().is_multiple_of(GROWING_RECORDS) && !go_on() {
            return Ok(None);
        }
        if builder.is_full(records_max) {
            let next = builder.following();
            blocks.extend(std::mem::replace(&mut builder, next).finish());
        }
    }
    blocks.extend(builder.finish());
    Ok(Some(blocks))
}

/// Blocks over the lines of one whose own bytes are damaged.
pub(super) fn rebuilt(
    block: &Block,
    segment: &Segment,
    file: &File,
    go_on: &dyn Fn() -> bool,
) -> Result<Option<Vec<Block>>, AuditError> {
    let Header { first, offset, .. } = block.header;
    let until = block.header.end().expect("it was checked when the header was read");
    let blocks = build(Builder::at(first, offset), (segment, file), (until, RECORDS_MAX), go_on)?;
    Ok(blocks.map(|blocks| blocks.into_iter().map(Block::of_memory).collect()))
}

/// Makes the index of a segment that grows no more, in as few blocks as can be; says whether it was done.
pub(super) fn make(
    dir: &Path,
    segment: &Segment,
    file: &File,
    go_on: &dyn Fn() -> bool,
) -> Result<bool, AuditError> {
    let builder = Shelf::empty().following();
    let Some(blocks) = build(builder, (segment, file), (u64::MAX, RECORDS_MAX), go_on)? else {
        return Ok(false);
    };
    let path = path_of(dir, segment);
    let temporary = path.with_extension("new");
    // Not synced: after a power cut the sums tell, and it is made again.
    let write = || -> io::Result<()> {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&temporary)?;
        blocks.iter().try_for_each(|block| file.write_all(block))?;
        fs::rename(&temporary, &path)
    };
    write().map_err(AuditError::io("write", &path))?;
    Ok(true)
}

/// The one who may write the index, for as long as this is held.
pub(super) struct Keys {
    _lock: File,
}

impl Keys {
    /// None if somebody else has them.
    pub(super) fn take(dir: &Path) -> Result<Option<Self>, AuditError> {
        let folder = folder(dir);
        shard::make_folder(&folder).map_err(AuditError::io("create", &folder))?;
        let path = folder.join("lock");
        let lock = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
        let lock = lock.map_err(AuditError::io("open", &path))?;
        Ok(lock.try_lock().is_ok().then_some(Self { _lock: lock }))
    }
}
