//! Answering a question: block after block, from the newest to the oldest.

use std::fs::File;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Instant;

use super::Query;
use super::block::{HEADER_BYTES, Header, STRIDE, Stride, Values, read_strides};
use super::facets::Facets;
use super::postings::Bits;
use super::shelf::{self, Block, Candidates, Damaged, Keys, Shelf, WholeLines};
use crate::error::AuditError;
use crate::segment::{self, Segment};

/// How a question is answered.
#[derive(Clone, Debug)]
pub struct Search {
    dir: PathBuf,
    is_scan: bool,
    keeps: bool,
    deadline: Option<Instant>,
}

/// What an answer rests on.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Found {
    /// Records that were given.
    pub records: u64,
    /// Lines that were read to find them.
    pub read: u64,
    /// Lines of the log that are no records, in the part that was looked at: the log is damaged.
    pub unreadable: u64,
    /// Files of the index that were not believed, so that lines were read instead.
    pub damaged: Vec<String>,
    /// Lines whose index had to be made for this answer.
    pub unindexed: u64,
    /// Where the next page begins ([`Query::before`]); none behind the last record.
    pub next_before: Option<u64>,
    /// Whether it took too long, so that older records were not looked at.
    pub is_late: bool,
}

/// A block is damaged: what stands in the first `below` lines of the segment is still to be given.
struct Redo {
    below: u64,
}

/// A question at work.
struct Work<'a> {
    search: &'a Search,
    query: &'a Query,
    each: &'a mut dyn FnMut(&[u8]),
    found: Found,
    is_over: bool,
}

impl Search {
    /// A search of the log in `dir`, with its index as far as it is there. Nothing is written.
    #[must_use]
    pub fn of(dir: &Path) -> Self {
        Self { dir: dir.to_owned(), is_scan: false, keeps: false, deadline: None }
    }

    /// Without the index on the disk: every line is read.
    #[must_use]
    pub fn by_scan(self) -> Self {
        Self { is_scan: true, ..self }
    }

    /// Keeps what it makes of the index for the next time, unless an [`Indexer`](super::Indexer) does.
    #[must_use]
    pub fn keeping(self) -> Self {
        Self { keeps: true, ..self }
    }

    /// Gives up at this time, and says so.
    #[must_use]
    pub fn until(self, deadline: Instant) -> Self {
        Self { deadline: Some(deadline), ..self }
    }

    /// Gives each line that matches to `each`, without its newline, the newest first.
    ///
    /// # Errors
    /// [`AuditError::Io`] if a segment cannot be read. A broken index is no error, see [`Found::damaged`].
    pub fn run(&self, query: &Query, each: &mut dyn FnMut(&[u8])) -> Result<Found, AuditError> {
        let keys = match self.keeps && !self.is_scan {
            true => Keys::take(&self.dir).ok().flatten(),
            false => None,
        };
        let is_over = query.limit == Some(0);
        let mut work = Work { search: self, query, each, found: Found::default(), is_over };
        let segments = segment::list(&self.dir)?;
        for (place, segment) in segments.iter().enumerate().rev() {
            if work.is_over {
                break;
            }
            let grows = place + 1 == segments.len();
            work.segment(segment, keys.as_ref().map(|_| grows))?;
        }
        Ok(work.found)
    }

    fn is_in_time(&self) -> bool {
        self.deadline.is_none_or(|deadline| Instant::now() < deadline)
    }
}

impl Work<'_> {
    /// Answers from one segment. `keeps` is given where its index may be written, and says whether it still grows.
    fn segment(&mut self, segment: &Segment, keeps: Option<bool>) -> Result<(), AuditError> {
        let file = match File::open(&segment.path) {
            Ok(file) => file,
            // Taken away since it was listed, as old segments are.
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(AuditError::io("open", &segment.path)(error)),
        };
        let search = self.search;
        let go_on = || search.is_in_time();
        let mut shelf = match search.is_scan {
            true => Shelf::empty(),
            false => Shelf::open(&search.dir, segment, &file),
        };
        if shelf.is_damaged {
            self.damaged(segment);
        }
        let mut indexed = shelf.blocks.len();
        // What cannot be kept is made in memory.
        let is_made = match keeps {
            Some(true) => shelf.extend(&search.dir, segment, &file, &go_on).is_err(),
            Some(false) if !shelf.is_whole(segment, &file)? => {
                shelf::make(&search.dir, segment, &file, &go_on).unwrap_or(false)
            }
            _ => false,
        };
        if is_made {
            shelf = Shelf::open(&search.dir, segment, &file);
            indexed = 0;
        }
        if !shelf.complete(segment, &file, &go_on)? {
            self.late(None);
            return Ok(());
        }
        let made = shelf.blocks[indexed.min(shelf.blocks.len())..].iter();
        self.found.unindexed += made.map(|block| u64::from(block.header.records)).sum::<u64>();
        for block in shelf.blocks.iter().rev() {
            if self.is_over {
                break;
            }
            let Err(Redo { below }) = self.block(block, &file, u64::MAX) else { continue };
            self.damaged(segment);
            let Some(blocks) = shelf::rebuilt(block, segment, &file, &go_on)? else {
                self.late(None);
                break;
            };
            for block in blocks.iter().rev() {
                if !self.is_over {
                    self.block(block, &file, below).map_err(|_| changing(segment))?;
                }
            }
        }
        Ok(())
    }

    /// Gives the records of a block that stand in the first `below` lines of the segment.
    fn block(&mut self, block: &Block, file: &File, below: u64) -> Result<(), Redo> {
        let Header { first, offset, length, unreadable, .. } = block.header;
        let redo = |_: Damaged| Redo { below };
        let Some(candidates) = block.candidates(self.query).map_err(redo)? else {
            self.found.unreadable += u64::from(unreadable);
            return Ok(());
        };
        let strides = block.strides().map_err(redo)?;
        let mut given = Vec::new();
        for (number, stride) in strides.iter().enumerate().rev() {
            let line = u32::try_from(number).expect("a block has few strides") * STRIDE;
            let is_wanted = candidates.bits.any_in(number) && first + u64::from(line) < below;
            if !is_wanted || !self.query.may_span(&stride.span) {
                continue;
            }
            if !self.search.is_in_time() {
                self.late(strides.get(number + 1).map(|newer| newer.span.seq.0));
                break;
            }
            let end = strides.get(number + 1).map_or(length, |next| next.offset.into());
            let bytes = usize::try_from(end - u64::from(stride.offset)).unwrap_or(usize::MAX);
            let lines = WholeLines::at(file, offset + u64::from(stride.offset), bytes);
            // What is newer was given.
            let redo = |_: Damaged| Redo { below: first + u64::from(line + STRIDE) };
            self.stride(lines, line, &candidates, &mut given).map_err(redo)?;
            if self.is_over {
                break;
            }
        }
        self.found.unreadable += u64::from(unreadable);
        Ok(())
    }

    /// Gives the records of one stride, the newest first.
    fn stride(
        &mut self,
        mut lines: WholeLines<'_>,
        first: u32,
        candidates: &Candidates,
        given: &mut Vec<(u64, Vec<u8>)>,
    ) -> Result<(), Damaged> {
        given.clear();
        for record in first..first + STRIDE {
            let Ok(Some(line)) = lines.next() else { break };
            if !candidates.bits.has(record) {
                continue;
            }
            self.found.read += 1;
            let facets = Facets::read(line);
            let has_values = facets.as_ref().is_some_and(|facets| self.query.has_values(facets));
            if !has_values && candidates.is_exact && !self.query.wanted.is_empty() {
                // The index says that it has them.
                return Err(Damaged);
            }
            if let Some(facets) = facets.filter(|facets| has_values && self.query.spans(facets)) {
                given.push((facets.seq, line.strip_suffix(b"\n").unwrap_or(line).to_vec()));
            }
        }
        for (seq, line) in given.iter().rev() {
            (self.each)(line);
            self.found.records += 1;
            if self.query.limit.is_some_and(|limit| self.found.records >= limit as u64) {
                self.found.next_before = Some(*seq);
                self.is_over = true;
                break;
            }
        }
        Ok(())
    }

    fn damaged(&mut self, segment: &Segment) {
        let path = shelf::path_of(&self.search.dir, segment);
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if self.found.damaged.last() != Some(&name) {
            self.found.damaged.push(name);
        }
    }

    fn late(&mut self, next_before: Option<u64>) {
        self.found.is_late = true;
        self.found.next_before = next_before.or(self.found.next_before);
        self.is_over = true;
    }
}

/// Reads a block out of foreign bytes.
pub(super) fn read_foreign(bytes: &[u8]) -> Option<u64> {
    let header = Header::read(bytes.get(..HEADER_BYTES)?)?;
    let part = |range: std::ops::Range<u64>| {
        bytes.get(usize::try_from(range.start).ok()?..usize::try_from(range.end).ok()?)
    };
    let mut any = Bits::none(header.records);
    let mut is_whole = Some(());
    let strides = read_strides(part(header.strides())?, &header)?;
    let values = Values::read(part(header.values())?, &header)?;
    values.each(|_, _, set| {
        let bytes = header.set(&set).and_then(part);
        is_whole = is_whole.and_then(|()| set.add(bytes?, header.records, &mut any));
    })?;
    is_whole?;
    let is_any = |number: usize, _: &Stride| any.any_in(number);
    let strides = strides.iter().enumerate().filter(|(number, stride)| is_any(*number, stride));
    Some(strides.count() as u64)
}

/// The lines are not what they were a moment ago.
fn changing(segment: &Segment) -> AuditError {
    let what = std::io::Error::other("it changes while it is read");
    AuditError::io("read", &segment.path)(what)
}
