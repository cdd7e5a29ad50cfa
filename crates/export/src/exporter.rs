//! The loop: read a batch, send it, keep the cursor.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::error::ExportError;
use crate::sink::{Sink, Wire};
use crate::standing::Standing;
use crate::{BATCH_BYTES_MAX, BATCH_RECORDS_MAX, Line};

/// How often the log is looked at while there is nothing new, in milliseconds.
const LOOK_MS: u64 = 200;

/// Longest time that a batch may take, in seconds.
const BATCH_S_MAX: u64 = 30;

/// First pause after a failure, in milliseconds. It doubles with each that follows.
const PAUSE_MS_MIN: u64 = 500;

/// Longest pause, in milliseconds: how long a receiver that came back may go unnoticed.
const PAUSE_MS_MAX: u64 = 60_000;

/// Where records come from. Called where it may block.
pub trait Source: Send + 'static {
    /// The records from number `next` on that are on the disk, in order, `records` and `bytes` at most; and the number of
    /// the newest that is there. Where `next` is gone already, the first record is the oldest that is left.
    ///
    /// # Errors
    /// A text for people.
    fn read(&mut self, next: u64, records: usize, bytes: usize) -> Result<(Vec<Line>, u64), String>;
}

/// Where a cursor is kept. Called where it may block.
pub trait Keep: Send + Sync + 'static {
    /// The number of the next record to be sent; `None` at first.
    ///
    /// # Errors
    /// A text for people.
    fn load(&self) -> Result<Option<u64>, String>;

    /// Keeps it, so that it outlives the process.
    ///
    /// # Errors
    /// A text for people.
    fn save(&self, next: u64) -> Result<(), String>;
}

/// Brings the records of one log to one place.
pub struct Exporter {
    /// Its name in the configuration.
    pub name: String,
    /// Where to.
    pub sink: Sink,
    /// Kinds of records that are sent, as they stand in the record; all if empty.
    pub kinds: Vec<String>,
    /// How it stands.
    pub standing: Arc<Standing>,
}

impl Exporter {
    /// Sends until `end`.
    pub async fn run(self, source: impl Source, keep: Arc<dyn Keep>, end: CancellationToken) {
        let mut pause = Duration::from_millis(PAUSE_MS_MIN);
        let mut work =
            Work { wire: self.sink.open(), exporter: self, source: Some(source), keep, next: None };
        loop {
            let rest = match work.step(&end).await {
                None => return,
                Some(Ok(true)) => {
                    pause = Duration::from_millis(PAUSE_MS_MIN);
                    continue;
                }
                Some(Ok(false)) => Duration::from_millis(LOOK_MS),
                Some(Err(error)) => {
                    let rest = error.retry_after().unwrap_or(pause).min(Duration::from_millis(PAUSE_MS_MAX));
                    pause = (pause * 2).min(Duration::from_millis(PAUSE_MS_MAX));
                    work.failed(&error, rest);
                    rest
                }
            };
            tokio::select! {
                () = tokio::time::sleep(rest) => {}
                () = end.cancelled() => return,
            }
        }
    }
}

struct Work<S> {
    exporter: Exporter,
    wire: Wire,
    /// Away while it reads.
    source: Option<S>,
    keep: Arc<dyn Keep>,
    next: Option<u64>,
}

impl<S: Source> Work<S> {
    /// Sends one batch; whether there was one. `None` at the end.
    async fn step(&mut self, end: &CancellationToken) -> Option<Result<bool, ExportError>> {
        tokio::select! {
            biased;
            () = end.cancelled() => None,
            done = self.batch() => Some(done),
        }
    }

    async fn batch(&mut self) -> Result<bool, ExportError> {
        let next = match self.next {
            Some(next) => next,
            None => {
                let keep = Arc::clone(&self.keep);
                let kept = blocking(move || keep.load()).await.map_err(ExportError::Cursor)?;
                *self.next.insert(kept.unwrap_or(1))
            }
        };
        let (lines, newest) = self.read(next).await?;
        self.exporter.standing.at(next, newest);
        let (Some(first), Some(last)) = (lines.first(), lines.last()) else { return Ok(false) };
        let (gone, after) = (first.seq.saturating_sub(next), last.seq + 1);
        if gone > 0 {
            tracing::error!(export = %self.exporter.name, gone, "records left the log before they were sent");
            self.exporter.standing.lost(gone);
            // Said once: what is read again after a failure begins behind them.
            self.next = Some(first.seq);
        }
        let wanted = self.wanted(lines);
        if !wanted.is_empty() {
            let limit = Duration::from_secs(BATCH_S_MAX);
            let sent = timeout(limit, self.wire.send(&wanted)).await;
            if !matches!(sent, Ok(Ok(()))) {
                self.wire.reset();
            }
            sent.map_err(|_| ExportError::Late(limit))??;
        }
        let keep = Arc::clone(&self.keep);
        blocking(move || keep.save(after)).await.map_err(ExportError::Cursor)?;
        self.next = Some(after);
        self.exporter.standing.sent(wanted.len() as u64);
        self.exporter.standing.at(after, newest);
        Ok(true)
    }

    /// The source is given away to a thread that may block, and comes back with what it read.
    async fn read(&mut self, next: u64) -> Result<(Vec<Line>, u64), ExportError> {
        let Some(mut source) = self.source.take() else {
            return Err(ExportError::Log("an earlier look at it broke".to_owned()));
        };
        let read = tokio::task::spawn_blocking(move || {
            let read = source.read(next, BATCH_RECORDS_MAX, BATCH_BYTES_MAX);
            (source, read)
        });
        let (source, read) = read.await.map_err(|error| ExportError::Log(error.to_string()))?;
        self.source = Some(source);
        read.map_err(ExportError::Log)
    }

    fn wanted(&self, mut lines: Vec<Line>) -> Vec<Line> {
        let kinds = &self.exporter.kinds;
        if !kinds.is_empty() {
            lines.retain(|line| {
                let kind = crate::sink::kind_of(&line.text);
                // What cannot be read is not left out: it is what somebody should look at.
                kind.is_none_or(|kind| kinds.contains(&kind))
            });
        }
        lines
    }

    fn failed(&self, error: &ExportError, rest: Duration) {
        if self.exporter.standing.failed(error.to_string()) {
            tracing::warn!(
                export = %self.exporter.name, %error, retry_ms = rest.as_millis(),
                "audit records are not taken; they wait in the log"
            );
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    tokio::task::spawn_blocking(work).await.map_err(|error| error.to_string())?
}
