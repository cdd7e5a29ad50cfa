//! The one writer of a log: what happens under the lock.

use std::fs::File;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use jiff::Timestamp;

use crate::error::AuditError;
use crate::event::Body;
use crate::head::Head;
use crate::line::{self, LineHash};
use crate::open::End;
use crate::record::{Kind, Outcome, Record};
use crate::segment::Segment;

/// Why the log takes no records at the moment.
enum Failure {
    /// A write failed. Nothing of it was left behind, and the next append tries again.
    Write { cause: String, hint: &'static str, refused: u64 },
    /// A sync failed. The kernel may have thrown away what it could not write, so only opening the log anew, which
    /// reads it again, can tell what is there.
    Sync { cause: String },
}

/// What the syncer has to do.
#[derive(Default)]
pub(crate) struct Pending {
    /// When the oldest unsynced record was written.
    pub(crate) since: Option<Instant>,
    /// Whether somebody waits.
    pub(crate) is_urgent: bool,
    /// Whether the log is being closed.
    pub(crate) is_closing: bool,
    /// Full segments that still have to be synced.
    full: Vec<Arc<File>>,
    /// Whether a segment was created since the directory was synced.
    is_directory_changed: bool,
}

/// What one sync covers.
pub(crate) struct Batch {
    pub(crate) files: Vec<Arc<File>>,
    pub(crate) is_directory_changed: bool,
    pub(crate) head: Head,
}

/// How far the clock may be behind the last record before the log says so, in milliseconds: records of several threads
/// are made a moment before they are written.
pub(crate) const CLOCK_TOLERANCE_MS: i128 = 2000;

/// Method of the record that says that the clock went back.
pub(crate) const CLOCK_BACK: &str = "audit/clock-back";

/// Says that the clock went back, so that times after it can be read, and an unsaid step is known for what it is.
fn clock_note(back_ms: i128, at: Timestamp) -> Body {
    let note = Record {
        method: Some(CLOCK_BACK.into()),
        reason: Some("the clock went back: times from here on are earlier than those before".into()),
        count: u64::try_from(back_ms).ok(),
        ..Record::new(Kind::Lifecycle, Outcome::Failed)
    };
    line::body(&note, at)
}

/// Whether this is in a later month, in UTC.
fn is_later_month(latest: Timestamp, at: Timestamp) -> bool {
    // Seldom more than a comparison: the day is the same.
    let day = |at: Timestamp| at.as_second().div_euclid(86_400);
    let month = |at: Timestamp| at.strftime("%Y-%m").to_string();
    day(at) > day(latest) && month(at) != month(latest)
}

/// A record that was written.
pub(crate) struct Written {
    pub(crate) seq: u64,
    /// Hash of the line before it.
    pub(crate) prev: LineHash,
}

pub(crate) struct Writer {
    dir: PathBuf,
    segment_bytes_max: u64,
    /// The segment in use; none before the first record.
    file: Option<Arc<File>>,
    /// Its length up to the end of its last whole line.
    length: u64,
    /// The last record written.
    at: Head,
    /// Hash of the line before it.
    before: LineHash,
    /// When the last record was made.
    latest: Option<Timestamp>,
    /// The next record is the first of a later month.
    is_month_over: bool,
    failure: Option<Failure>,
    /// Where lines are put together; kept for its capacity.
    lines: Vec<u8>,
    pub(crate) pending: Pending,
}

impl Writer {
    pub(crate) fn new(dir: PathBuf, segment_bytes_max: u64, end: &End) -> Result<Self, AuditError> {
        let (file, length) = match &end.segment {
            Some((segment, length)) => {
                let file = segment.append().map_err(AuditError::io("open", &segment.path))?;
                (Some(Arc::new(file)), *length)
            }
            None => (None, 0),
        };
        Ok(Self {
            dir,
            segment_bytes_max,
            file,
            length,
            at: end.at,
            before: LineHash::GENESIS,
            latest: end.time,
            is_month_over: false,
            failure: None,
            lines: Vec::with_capacity(1024),
            pending: Pending::default(),
        })
    }

    /// The last record written.
    pub(crate) fn at(&self) -> Head {
        self.at
    }

    /// Writes one record that was made at this time; gives its number.
    pub(crate) fn append(&mut self, body: &Body, at: Timestamp) -> Result<Written, AuditError> {
        self.is_month_over = self.latest.is_some_and(|latest| is_later_month(latest, at));
        let back = self.latest.map_or(0, |latest| latest.duration_since(at).as_millis());
        let stepped = (back > CLOCK_TOLERANCE_MS).then(|| clock_note(back, at));
        // Both or neither, so that a disk that stays full is not filled with notes.
        match (self.note_of_recovery()?, stepped) {
            (None, None) => self.write(&[body], 1)?,
            (Some(note), None) | (None, Some(note)) => self.write(&[&note, body], 1)?,
            (Some(recovery), Some(clock)) => self.write(&[&recovery, &clock, body], 1)?,
        }
        self.latest = if back > CLOCK_TOLERANCE_MS { Some(at) } else { self.latest.max(Some(at)) };
        Ok(Written { seq: self.at.seq, prev: self.before })
    }

    /// Makes the log writable again where that is possible.
    pub(crate) fn recover(&mut self) -> Result<(), AuditError> {
        match self.note_of_recovery()? {
            None => Ok(()),
            Some(note) => self.write(&[&note], 0),
        }
    }

    /// What the log has to say about itself before it goes on.
    fn note_of_recovery(&self) -> Result<Option<Body>, AuditError> {
        let refused = match &self.failure {
            None => return Ok(None),
            Some(Failure::Sync { .. }) => return Err(self.unavailable()),
            Some(Failure::Write { refused, .. }) => *refused,
        };
        let note = Record {
            reason: Some("the log could not be written; records were refused".into()),
            count: Some(refused),
            ..Record::new(Kind::Lifecycle, Outcome::Failed)
        };
        Ok(Some(line::body(&note, Timestamp::now())))
    }

    /// Writes these bodies as the next lines, all or none; if none, that refuses so many records of callers.
    fn write(&mut self, bodies: &[&Body], refused: u64) -> Result<(), AuditError> {
        let mut lines = std::mem::take(&mut self.lines);
        lines.clear();
        let (mut at, mut before) = (self.at, self.before);
        for body in bodies {
            let begin = lines.len();
            before = at.hash;
            at.seq += 1;
            line::splice(&mut lines, at.seq, &at.hash, body);
            at.hash = LineHash::of(&lines[begin..]);
        }
        let written = self.write_lines(&lines);
        if written.is_ok() {
            self.length += lines.len() as u64;
            (self.at, self.before) = (at, before);
            self.failure = None;
            self.pending.since.get_or_insert_with(Instant::now);
        }
        self.lines = lines;
        written.map_err(|error| self.refuse(&error, refused))
    }

    fn write_lines(&mut self, lines: &[u8]) -> io::Result<()> {
        if self.failure.is_some() {
            self.cut_half_line()?;
        }
        // A file each month, so that a month can be taken away.
        let is_full = self.length > 0
            && (self.is_month_over || self.length + lines.len() as u64 > self.segment_bytes_max);
        let file = match &self.file {
            Some(file) if !is_full => file.clone(),
            _ => self.next_segment()?,
        };
        let error = loop {
            match (&*file).write(lines) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(bytes) if bytes == lines.len() => return Ok(()),
                // A regular file takes less than it is given only when it can take no more.
                Ok(_) => break io::ErrorKind::StorageFull.into(),
                Err(error) => break error,
            }
        };
        // Should this fail too, it is done before anything else is written.
        let _ = self.cut_half_line();
        Err(error)
    }

    fn next_segment(&mut self) -> io::Result<Arc<File>> {
        let segment = Segment::named(&self.dir, self.at.seq + 1);
        let file = Arc::new(segment.append()?);
        self.length = 0;
        self.is_month_over = false;
        self.pending.is_directory_changed = true;
        self.pending.full.extend(self.file.replace(file.clone()));
        Ok(file)
    }

    fn cut_half_line(&self) -> io::Result<()> {
        match &self.file {
            Some(file) => file.set_len(self.length),
            None => Ok(()),
        }
    }

    fn refuse(&mut self, error: &io::Error, refused: u64) -> AuditError {
        let before = match &self.failure {
            Some(Failure::Write { refused, .. }) => *refused,
            _ => 0,
        };
        let hint = match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
                "make room on that disk: calls go on by themselves once a record can be written"
            }
            _ => {
                "see to the disk and the permissions there: calls go on by themselves once a record can be written"
            }
        };
        self.failure = Some(Failure::Write { cause: error.to_string(), hint, refused: before + refused });
        self.unavailable()
    }

    /// Takes no records any more: what was written may not be on the disk.
    pub(crate) fn sync_failed(&mut self, error: &io::Error) {
        self.failure = Some(Failure::Sync { cause: error.to_string() });
    }

    /// Why the log takes no records.
    pub(crate) fn unavailable(&self) -> AuditError {
        let (cause, hint) = match &self.failure {
            Some(Failure::Write { cause, hint, .. }) => (cause.as_str(), *hint),
            Some(Failure::Sync { cause }) => {
                (cause.as_str(), "see to the disk, then restart: records that were not synced may be lost")
            }
            None => ("it is closed", "open it again"),
        };
        AuditError::Unavailable { dir: self.dir.clone(), cause: cause.to_owned(), hint }
    }

    /// What has to be synced now; afterwards nothing is pending.
    pub(crate) fn take_batch(&mut self) -> Batch {
        self.pending.since = None;
        self.pending.is_urgent = false;
        let mut files = std::mem::take(&mut self.pending.full);
        files.extend(self.file.clone());
        Batch {
            files,
            is_directory_changed: std::mem::take(&mut self.pending.is_directory_changed),
            head: self.at,
        }
    }
}
