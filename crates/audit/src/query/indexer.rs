//! The thread that keeps the index of a log that grows.

use std::collections::HashSet;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::builder::Builder;
use super::shelf::{self, GROWING_RECORDS, Keys, Shelf, WholeLines};
use crate::error::AuditError;
use crate::segment::{self, Segment};

/// Pause between two looks, in milliseconds.
const LOOK_MS: u64 = 1000;

/// How long it rests for each moment that it worked, so that it takes a quarter of a core at most.
const REST: u32 = 3;

/// Bytes that are read ahead of the end of a growing segment.
const AHEAD_BYTES: usize = 256 << 10;

/// Follows a log and keeps its index, until it is dropped.
#[derive(Debug)]
pub struct Indexer {
    stop: Arc<Stop>,
    thread: Option<JoinHandle<()>>,
}

#[derive(Debug, Default)]
struct Stop {
    is_stopped: Mutex<bool>,
    rung: Condvar,
}

impl Stop {
    /// Waits for this long; says whether to go on.
    fn rest(&self, time: Duration) -> bool {
        let end = Instant::now() + time;
        let mut is_stopped = self.is_stopped.lock();
        while !*is_stopped && !self.rung.wait_until(&mut is_stopped, end).timed_out() {}
        !*is_stopped
    }

    fn go_on(&self) -> bool {
        !*self.is_stopped.lock()
    }
}

impl Indexer {
    /// Starts the thread for the log in `dir`.
    ///
    /// # Errors
    /// [`AuditError::Io`] if there can be no thread. What goes wrong later is said in the program's log, and costs time only.
    pub fn start(dir: &Path) -> Result<Self, AuditError> {
        let stop = Arc::new(Stop::default());
        let keeper = Keeper { dir: dir.to_owned(), stop: stop.clone(), done: HashSet::new(), growing: None };
        let thread = std::thread::Builder::new()
            .name("audit-index".to_owned())
            .spawn(move || keeper.run())
            .map_err(AuditError::io("start the thread that keeps the index of", dir))?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Indexer {
    fn drop(&mut self) {
        *self.stop.is_stopped.lock() = true;
        self.stop.rung.notify_one();
        if let Some(thread) = self.thread.take() {
            // A panic in it has been printed already.
            let _ = thread.join();
        }
    }
}

struct Keeper {
    dir: PathBuf,
    stop: Arc<Stop>,
    /// First records of the segments that need nothing more.
    done: HashSet<u64>,
    growing: Option<Growing>,
}

/// The segment that is written.
struct Growing {
    segment: Segment,
    file: File,
    shelf: Shelf,
    builder: Builder,
}

impl Keeper {
    fn run(mut self) {
        let mut keys = None;
        loop {
            if keys.is_none() {
                keys = Keys::take(&self.dir).unwrap_or_default();
            }
            if keys.is_some()
                && let Err(error) = self.look()
            {
                tracing::warn!(%error, "the index of the audit log is not kept; questions to it take longer");
                self.growing = None;
            }
            if !self.stop.rest(Duration::from_millis(LOOK_MS)) {
                return;
            }
        }
    }

    /// Takes in what is new, the newest segment first.
    fn look(&mut self) -> Result<(), AuditError> {
        let segments = segment::list(&self.dir)?;
        for (place, segment) in segments.iter().enumerate().rev() {
            if place + 1 == segments.len() {
                self.grow(segment)?;
            } else if !self.done.contains(&segment.first) {
                let begin = Instant::now();
                if !self.finish(segment)? || !self.stop.rest(begin.elapsed() * REST) {
                    return Ok(());
                }
                self.done.insert(segment.first);
            }
        }
        self.forget(&segments)
    }

    /// Takes in whole blocks of the segment that is written.
    fn grow(&mut self, segment: &Segment) -> Result<(), AuditError> {
        if self.growing.as_ref().is_none_or(|growing| growing.segment != *segment) {
            let file = File::open(&segment.path).map_err(AuditError::io("open", &segment.path))?;
            let shelf = Shelf::open(&self.dir, segment, &file);
            let builder = shelf.following();
            self.growing = Some(Growing { segment: segment.clone(), file, shelf, builder });
        }
        let growing = self.growing.as_mut().expect("it has just been set");
        let Growing { file, shelf, builder, .. } = growing;
        let mut lines = WholeLines::at(file, builder.end(), AHEAD_BYTES);
        let mut begin = Instant::now();
        while let Some(line) = lines.next().map_err(AuditError::io("read", &segment.path))? {
            builder.push(line);
            if builder.is_full(GROWING_RECORDS) {
                let next = builder.following();
                if let Some(block) = std::mem::replace(builder, next).finish() {
                    shelf.append(&self.dir, segment, &block)?;
                }
                if !self.stop.rest(begin.elapsed() * REST) {
                    break;
                }
                begin = Instant::now();
            }
        }
        Ok(())
    }

    /// Makes the index of a segment that grows no more; says whether it was done.
    fn finish(&self, segment: &Segment) -> Result<bool, AuditError> {
        let file = File::open(&segment.path).map_err(AuditError::io("open", &segment.path))?;
        if Shelf::open(&self.dir, segment, &file).is_whole(segment, &file)? {
            return Ok(true);
        }
        shelf::make(&self.dir, segment, &file, &|| self.stop.go_on())
    }

    /// Removes the index of segments that were taken away: it says what they said.
    fn forget(&mut self, segments: &[Segment]) -> Result<(), AuditError> {
        self.done.retain(|first| segments.iter().any(|segment| segment.first == *first));
        let folder = shelf::folder(&self.dir);
        let entries = fs::read_dir(&folder).map_err(AuditError::io("list", &folder))?;
        for path in entries.flatten().map(|entry| entry.path()) {
            let is_index = path.extension().is_some_and(|extension| extension == "index");
            if is_index && !segments.iter().any(|segment| shelf::path_of(&self.dir, segment) == path) {
                fs::remove_file(&path).map_err(AuditError::io("remove", &path))?;
            }
        }
        Ok(())
    }
}
