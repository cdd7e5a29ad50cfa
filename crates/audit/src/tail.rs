//! Reading the newest lines, and waiting for more.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use crate::error::AuditError;
use crate::line::LINE_BYTES_MAX;
use crate::segment::{self, Segment};
use crate::watch::Watch;

/// How much is read at a time from the end of a segment towards its beginning.
const BLOCK_BYTES: u64 = 64 << 10;

/// The newest `count` lines of the log in `dir`, oldest first, each without its newline and otherwise as it was written.
/// [`Entry::parse`](crate::Entry::parse) reads one. A line that is being written is left out.
///
/// Reads only the end of the log, whatever its size. Nothing is verified.
///
/// # Errors
/// [`AuditError::Io`] when a file cannot be read.
pub fn tail(dir: &Path, count: usize) -> Result<Vec<String>, AuditError> {
    Ok(tail_and_end(dir, count)?.0)
}

/// Like [`tail`], and then waits for what comes.
///
/// # Errors
/// [`AuditError::Io`] when a file cannot be read or the directory cannot be watched.
pub fn follow(dir: &Path, count: usize) -> Result<Follow, AuditError> {
    let watch = Watch::new(dir).map_err(AuditError::io("watch", dir))?;
    let (first, position) = tail_and_end(dir, count)?;
    Ok(Follow { dir: dir.to_owned(), watch, first, position })
}

/// The lines of a log as they are written; see [`follow`].
pub struct Follow {
    dir: PathBuf,
    watch: Watch,
    first: Vec<String>,
    position: Option<Position>,
}

/// Behind the last line that was given.
struct Position {
    segment: Segment,
    offset: u64,
}

impl Follow {
    /// Blocks until there is at least one more line, and gives what there is.
    ///
    /// # Errors
    /// [`AuditError::Io`] when a file cannot be read.
    pub fn next_lines(&mut self) -> Result<Vec<String>, AuditError> {
        loop {
            let lines = match self.first.is_empty() {
                false => std::mem::take(&mut self.first),
                true => self.read()?,
            };
            if !lines.is_empty() {
                return Ok(lines);
            }
            self.watch.wait().map_err(AuditError::io("watch", &self.dir))?;
        }
    }

    fn read(&mut self) -> Result<Vec<String>, AuditError> {
        // Listed before reading: when a later segment is there now, the one at hand is complete.
        let segments = segment::list(&self.dir)?;
        loop {
            let Some(position) = &mut self.position else {
                match segments.first() {
                    Some(segment) => {
                        let (segment, offset) = (segment.clone(), 0);
                        self.position = Some(Position { segment, offset });
                        continue;
                    }
                    None => return Ok(Vec::new()),
                }
            };
            let lines = position.read()?;
            let next = segments.iter().find(|segment| segment.first > position.segment.first);
            match next {
                Some(segment) if lines.is_empty() => {
                    position.segment = segment.clone();
                    position.offset = 0;
                }
                _ => return Ok(lines),
            }
        }
    }
}

impl Position {
    /// The whole lines from here on, at most [`LINE_BYTES_MAX`] of them at a time.
    fn read(&mut self) -> Result<Vec<String>, AuditError> {
        let read = || {
            let file = File::open(&self.segment.path)?;
            let there = file.metadata()?.len().saturating_sub(self.offset);
            read_some(&file, self.offset, there.min(LINE_BYTES_MAX as u64))
        };
        let bytes = read().map_err(AuditError::io("read", &self.segment.path))?;
        let whole = whole_lines(&bytes);
        self.offset += whole.len() as u64;
        Ok(split(whole))
    }
}

fn tail_and_end(dir: &Path, count: usize) -> Result<(Vec<String>, Option<Position>), AuditError> {
    let mut newest_first: Vec<Vec<String>> = Vec::new();
    let mut missing = count;
    let mut end = None;
    for segment in segment::list(dir)?.into_iter().rev() {
        if missing == 0 && end.is_some() {
            break;
        }
        let (lines, offset) =
            last_lines(&segment.path, missing).map_err(AuditError::io("read", &segment.path))?;
        missing -= lines.len();
        newest_first.push(lines);
        end.get_or_insert(Position { segment, offset });
    }
    let lines = newest_first.into_iter().rev().flatten().collect();
    Ok((lines, end))
}

/// The last `count` whole lines of a file, and where the last of them ends.
fn last_lines(path: &Path, count: usize) -> io::Result<(Vec<String>, u64)> {
    let file = File::open(path)?;
    let mut start = file.metadata()?.len();
    let mut blocks = Vec::new();
    let mut newlines = 0;
    // One newline more than lines, so that the first line is whole.
    while start > 0 && newlines <= count {
        let size = start.min(BLOCK_BYTES);
        start -= size;
        let block = read_some(&file, start, size)?;
        newlines += block.iter().filter(|byte| **byte == b'\n').count();
        blocks.push(block);
    }
    let bytes: Vec<u8> = blocks.into_iter().rev().flatten().collect();
    let whole = whole_lines(&bytes);
    let mut lines = split(whole);
    let surplus = lines.len().saturating_sub(count);
    Ok((lines.split_off(surplus), start + whole.len() as u64))
}

/// Up to `size` bytes from `offset` on; less where the file ends, as it does when a failed write is taken back.
fn read_some(file: &File, offset: u64, size: u64) -> io::Result<Vec<u8>> {
    let size = usize::try_from(size).expect("a block fits into memory");
    let mut bytes = vec![0; size];
    let mut filled = 0;
    while filled < size {
        match file.read_at(&mut bytes[filled..], offset + filled as u64) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    bytes.truncate(filled);
    Ok(bytes)
}

fn whole_lines(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().rposition(|byte| *byte == b'\n');
    &bytes[..end.map_or(0, |end| end + 1)]
}

/// The lines without their newlines. Bytes that are not UTF-8, which only a damaged log has, are shown as U+FFFD.
fn split(whole: &[u8]) -> Vec<String> {
    let lines = whole.split_inclusive(|byte| *byte == b'\n');
    lines.map(|line| String::from_utf8_lossy(line.strip_suffix(b"\n").unwrap_or(line)).into_owned()).collect()
}
