//! Checking a whole log, one line at a time.

use std::path::Path;

use crate::chain::Chain;
use crate::error::{AuditError, Break, What};
use crate::head::Head;
use crate::line::{Header, LINE_BYTES_MAX, LineHash};
use crate::segment::{self, Lines, Place, Segment};

/// What a log that holds looks like.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Report {
    /// How many records there are.
    pub records: u64,
    /// In how many files.
    pub segments: u64,
    /// How many bytes the records take.
    pub bytes: u64,
    /// The oldest record. Its number is above 1 when older segments were taken away, which is how a log is shortened
    /// and which the chain does not prevent.
    pub first: Option<Mark>,
    /// The newest record.
    pub last: Option<Mark>,
    /// SHA-256 of the newest line in lower-case hex. Whoever keeps it elsewhere can later prove that the log up to that
    /// record is still the same.
    pub head_hash: String,
    /// Number of the record up to which the head file vouches that nothing was cut off the end. `None`: there is no
    /// head file, and a shortened log would go unnoticed.
    pub end_known_to: Option<u64>,
    /// Bytes after the last newline: a line that is being written or that a power cut tore. Cut off, and recorded, when
    /// the log is opened for writing the next time.
    pub torn_bytes: u64,
}

/// Which record, and when it was made.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Mark {
    /// Number of the record.
    pub seq: u64,
    /// Its time, RFC 3339.
    pub time: String,
}

/// Checks every line of the log in `dir`: format, number, hash of the line before, and the head file's promise.
///
/// Works beside a process that writes the log. Needs memory for one line, whatever the size of the log.
///
/// # Errors
/// [`AuditError::Broken`] names the first place that does not hold; [`AuditError::Io`] when a file cannot be read.
pub fn verify(dir: &Path) -> Result<Report, AuditError> {
    // The head first: the log may grow behind it, never fall behind it.
    let synced = Head::read(dir)?;
    let segments = segment::list(dir)?;
    let first = segments.first().map_or(1, |segment| segment.first);
    let mut walk = Walk {
        chain: Chain::from(first, synced),
        report: Report {
            records: 0,
            segments: segments.len() as u64,
            bytes: 0,
            first: None,
            last: None,
            head_hash: String::new(),
            end_known_to: synced.map(|head| head.seq),
            torn_bytes: 0,
        },
        before: None,
    };
    walk.all(Lines::of(segments.clone()), &segments)?;
    walk.finish(dir, synced, first)
}

struct Walk {
    chain: Chain,
    report: Report,
    /// Where the last line that held stands.
    before: Option<Place>,
}

impl Walk {
    fn all(&mut self, mut lines: Lines, segments: &[Segment]) -> Result<(), AuditError> {
        while let Some(line) = lines.next()? {
            match self.chain.step(line) {
                Ok(header) => self.report.add(&header, line.len()),
                Err(what) => {
                    let line = line.to_vec();
                    let is_torn = !line.ends_with(b"\n") && line.len() < LINE_BYTES_MAX;
                    if is_torn && lines.in_last_segment() {
                        self.report.torn_bytes = line.len() as u64;
                        return Ok(());
                    }
                    return Err(self.explain(what, &line, lines, segments)?.into());
                }
            }
            self.before = Some(lines.place().clone());
        }
        Ok(())
    }

    fn finish(self, dir: &Path, synced: Option<Head>, first: u64) -> Result<Report, AuditError> {
        let Walk { chain, mut report, .. } = self;
        let place = self.before.unwrap_or(Place { file: dir.to_owned(), line: 0 });
        if let Some(what) = chain.unmet_promise() {
            return Err(place.broken(chain.at.seq + 1, what).into());
        }
        // A head file from before the oldest segment is one that was put back.
        if synced.is_some_and(|synced| synced.seq + 1 < first) {
            return Err(place.broken(first, What::HeadMismatch).into());
        }
        report.head_hash = chain.at.hash.as_str().to_owned();
        Ok(report)
    }

    /// Turns the first contradiction, met at `line`, into the place and the deed that explain it best. Only here is a
    /// line read more than once.
    fn explain(
        &self,
        what: What,
        line: &[u8],
        mut lines: Lines,
        segments: &[Segment],
    ) -> Result<Break, AuditError> {
        let place = lines.place().clone();
        let due = self.chain.at.seq + 1;
        let here = Link::read(line);
        Ok(match (what, here) {
            (What::Missing { next }, _) => match find(&mut lines, due)? {
                Some(_) => place.broken(next, What::OutOfOrder { due }),
                None => place.broken(due, What::Missing { next }),
            },
            (What::OutOfOrder { due }, Some(here)) => {
                let what = match find(&mut Lines::of(segments.to_vec()), here.seq)? {
                    Some(earlier) if earlier.hash == here.hash => What::Duplicate,
                    Some(earlier) if earlier.prev == here.prev => What::Fork,
                    _ => What::OutOfOrder { due },
                };
                place.broken(here.seq, what)
            }
            (What::Changed, Some(here)) => {
                // This line does not carry the hash of the line before. If the line after it vouches for this one, the
                // one before was changed, else this one.
                let after = lines.next()?.and_then(Link::read);
                match (after, &self.before) {
                    (Some(after), Some(before)) if after.prev == here.hash => {
                        before.broken(due - 1, What::Changed)
                    }
                    _ => place.broken(due, What::Changed),
                }
            }
            (what, _) => place.broken(due, what),
        })
    }
}

impl Report {
    fn add(&mut self, header: &Header<'_>, bytes: usize) {
        let mark = Mark { seq: header.seq, time: header.time.clone().into_owned() };
        self.records += 1;
        self.bytes += bytes as u64;
        self.first.get_or_insert_with(|| mark.clone());
        self.last = Some(mark);
    }
}

/// What ties a line to its neighbours.
struct Link {
    seq: u64,
    prev: LineHash,
    hash: LineHash,
}

impl Link {
    fn read(line: &[u8]) -> Option<Self> {
        let (header, prev) = Header::parse(line).ok()?;
        Some(Self { seq: header.seq, prev, hash: LineHash::of(line) })
    }
}

/// The first line from here on that has this number.
fn find(lines: &mut Lines, seq: u64) -> Result<Option<Link>, AuditError> {
    while let Some(line) = lines.next()? {
        if let Some(link) = Link::read(line)
            && link.seq == seq
        {
            return Ok(Some(link));
        }
    }
    Ok(None)
}
