//! Checking a log: its lines one at a time, and the signed trees over them.

use std::path::Path;

use jiff::Timestamp;
use lockgate_crypto::note::NoteKey;

use crate::chain::Chain;
use crate::error::{AuditError, Break, What};
use crate::head::Head;
use crate::line::{Entry, Header, LINE_BYTES_MAX, LineHash};
use crate::segment::{self, Lines, Place, Segment};
use crate::tlog::checkpoint::Signed;
use crate::writer::{CLOCK_BACK, CLOCK_TOLERANCE_MS};
use sealed::Sealed;

mod sealed;

/// What a log is checked against besides itself.
#[derive(Clone, Copy, Debug, Default)]
pub struct Checks<'a> {
    /// Keys each of which must have signed the newest checkpoint. Without one, whoever can write the log's folder can
    /// replace all of it.
    pub keys: &'a [NoteKey],
    /// Checkpoints of this log that were seen before, or elsewhere: each must be a beginning of it.
    pub seen: &'a [Signed],
    /// Keys of witnesses. Those of one name are one witness.
    pub witnesses: &'a [NoteKey],
    /// So many of the witnesses must have cosigned the newest checkpoint that any has.
    pub quorum: usize,
    /// First record to check; the first there is by default. The trees are checked whole.
    pub from: Option<u64>,
    /// Last record to check; the last there is by default.
    pub to: Option<u64>,
}

/// A month of the log, as it was found.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ShardReport {
    /// Its origin.
    pub origin: String,
    /// Number of its first record.
    pub first: u64,
    /// Number of the last record that its checkpoint covers.
    pub last: u64,
    /// Leaves of its tree.
    pub size: u64,
    /// Root of that, lower-case hex.
    pub root: String,
    /// Trusted keys that signed it, by name and id. The newest month is signed for all, since each names the end of the one
    /// before.
    pub signed_by: Vec<String>,
    /// When the newest checkpoint was signed, Unix seconds, if a trusted key says so.
    pub time_s: Option<u64>,
}

/// Who else vouches for a log.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Cosigned {
    /// The log and its month.
    pub origin: String,
    /// Number of the last record that was cosigned.
    pub last: u64,
    /// The witnesses, by name.
    pub by: Vec<String>,
    /// When the last of them signed, Unix seconds.
    pub time_s: Option<u64>,
}

/// That the clock went back, as the log itself says.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct ClockStep {
    /// Number of the record that says so.
    pub seq: u64,
    /// By how much, in milliseconds.
    pub by_ms: u64,
}

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
    /// The signed trees, oldest first; empty for a log that was never sealed.
    pub shards: Vec<ShardReport>,
    /// What the witnesses that were asked for vouch for; none without any.
    pub cosigned: Option<Cosigned>,
    /// Records behind the newest checkpoint: held by the chain alone.
    pub unsealed: u64,
    /// Where the log says that its clock went back. Times are no order there.
    pub clock_steps: Vec<ClockStep>,
}

/// Which record, and when it was made.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Mark {
    /// Number of the record.
    pub seq: u64,
    /// Its time, RFC 3339.
    pub time: String,
}

/// Checks the log in `dir`: the format, number and predecessor of every line, the head file's promise, and the trees.
///
/// Works beside a process that writes the log. Needs memory for one line, whatever the size of the log. No key is trusted:
/// see [`verify_with`].
///
/// # Errors
/// [`AuditError::Broken`] names the first place that does not hold; [`AuditError::Io`] when a file cannot be read.
pub fn verify(dir: &Path) -> Result<Report, AuditError> {
    verify_with(dir, &Checks::default())
}

/// As [`verify`], and against keys, checkpoints that were seen, and for some records only.
///
/// # Errors
/// Those of [`verify`]; [`AuditError::Tlog`] when a checkpoint that was seen is not signed by the keys.
pub fn verify_with(dir: &Path, checks: &Checks<'_>) -> Result<Report, AuditError> {
    // What promises something first: the log may grow behind it, never fall behind it.
    let synced = Head::read(dir)?;
    let sealed = Sealed::check(dir, checks)?;
    let mut segments = segment::list(dir)?;
    let first = segments.first().map_or(1, |segment| segment.first);
    if let Some(from) = checks.from {
        let skipped = segments.iter().skip(1).take_while(|segment| segment.first <= from).count();
        segments.drain(..skipped);
    }
    let begin = segments.first().map_or(1, |segment| segment.first);
    let mut walk = Walk {
        chain: Chain::from(begin, synced),
        report: Report { segments: segments.len() as u64, ..Report::new(synced) },
        before: None,
        sealed,
        latest: None,
        from: checks.from.unwrap_or(0),
        to: checks.to.unwrap_or(u64::MAX),
    };
    walk.all(Lines::of(segments.clone()), &segments)?;
    walk.finish(dir, synced, first)
}

struct Walk {
    chain: Chain,
    report: Report,
    /// Where the last line that held stands.
    before: Option<Place>,
    sealed: Sealed,
    /// Time of the latest record so far.
    latest: Option<Timestamp>,
    from: u64,
    to: u64,
}

impl Walk {
    fn all(&mut self, mut lines: Lines, segments: &[Segment]) -> Result<(), AuditError> {
        while self.chain.at.seq < self.to
            && let Some(line) = lines.next()?
        {
            let judged = match self.chain.step(line) {
                Ok(header) => Self::judge(&mut self.sealed, &mut self.latest, &header, line)
                    .map(|judged| (header, judged)),
                Err(what) => {
                    let line = line.to_vec();
                    let is_torn = !line.ends_with(b"\n") && line.len() < LINE_BYTES_MAX;
                    if is_torn && lines.in_last_segment() {
                        self.report.torn_bytes = line.len() as u64;
                        return Ok(());
                    }
                    return Err(self.explain(what, &line, lines, segments)?.into());
                }
            };
            match judged {
                Ok((header, judged)) if header.seq >= self.from => {
                    self.report.add(&header, line.len(), judged)
                }
                Ok(_) => {}
                Err(what) => return Err(lines.place().broken(self.chain.at.seq, what).into()),
            }
            self.before = Some(lines.place().clone());
        }
        Ok(())
    }

    /// Holds a record whose place in the chain is right against its leaf and against the clock.
    fn judge(
        sealed: &mut Sealed,
        latest: &mut Option<Timestamp>,
        header: &Header<'_>,
        line: &[u8],
    ) -> Result<Judged, What> {
        let is_sealed = sealed.record(header.seq, line)?;
        let time: Option<Timestamp> = header.time.parse().ok();
        let time = time.ok_or_else(|| What::NotARecord("its time is none".to_owned()))?;
        let back = latest.map_or(0, |latest| latest.duration_since(time).as_millis());
        if back <= CLOCK_TOLERANCE_MS {
            *latest = (*latest).max(Some(time));
            return Ok(Judged { is_sealed, clock_step: None });
        }
        let by_ms = u64::try_from(back).unwrap_or(u64::MAX);
        let text = std::str::from_utf8(line).unwrap_or_default();
        let entry = Entry::parse(text.trim_end());
        let is_said = entry.is_ok_and(|entry| entry.record.method.as_deref() == Some(CLOCK_BACK));
        *latest = Some(time);
        match is_said {
            true => Ok(Judged { is_sealed, clock_step: Some(by_ms) }),
            false => Err(What::ClockBack { by_ms }),
        }
    }

    fn finish(self, dir: &Path, synced: Option<Head>, first: u64) -> Result<Report, AuditError> {
        let Walk { chain, mut report, sealed, .. } = self;
        let place = self.before.unwrap_or(Place { file: dir.to_owned(), line: 0 });
        if self.to == u64::MAX {
            if let Some(what) = chain.unmet_promise() {
                return Err(place.broken(chain.at.seq + 1, what).into());
            }
            if chain.at.seq < sealed.last() {
                let file = sealed.newest_path().unwrap_or(place.file);
                let what = What::Truncated { last: sealed.last() };
                return Err(Break { file, line: 0, seq: chain.at.seq + 1, what }.into());
            }
        }
        // A head file from before the oldest segment is one that was put back.
        if synced.is_some_and(|synced| synced.seq + 1 < first) {
            return Err(place.broken(first, What::HeadMismatch).into());
        }
        report.head_hash = chain.at.hash.as_str().to_owned();
        (report.shards, report.cosigned) = sealed.into_reports();
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

/// What is known of a record that holds.
struct Judged {
    is_sealed: bool,
    /// By how much the clock went back before it, in milliseconds.
    clock_step: Option<u64>,
}

impl Report {
    fn new(synced: Option<Head>) -> Self {
        Self {
            records: 0,
            segments: 0,
            bytes: 0,
            first: None,
            last: None,
            head_hash: String::new(),
            end_known_to: synced.map(|head| head.seq),
            torn_bytes: 0,
            shards: Vec::new(),
            cosigned: None,
            unsealed: 0,
            clock_steps: Vec::new(),
        }
    }

    fn add(&mut self, header: &Header<'_>, bytes: usize, judged: Judged) {
        let mark = Mark { seq: header.seq, time: header.time.clone().into_owned() };
        self.unsealed += u64::from(!judged.is_sealed);
        self.clock_steps.extend(judged.clock_step.map(|by_ms| ClockStep { seq: header.seq, by_ms }));
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
