//! Facts in a file: one record, or an object of records by key.

use std::fs::File;
use std::io::Read as _;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use parking_lot::Mutex;
use serde_json::{Map, Value};
use tokio::sync::Semaphore;

use crate::absence::Absence;
use crate::document::{self, Told};

/// Largest file in bytes: tens of thousands of records. It is held in memory.
pub const FILE_BYTES_MAX: usize = 8 << 20;

/// After this time a file's state tells its content.
const SETTLED: Duration = Duration::from_secs(2);

/// A file that is read again when it was changed.
pub(crate) struct FileSource {
    path: PathBuf,
    known: Arc<Mutex<Known>>,
    /// One look at a time: a file system that hangs takes one thread and no more.
    turn: Arc<Semaphore>,
}

#[derive(Default)]
struct Known {
    /// Of the last look, so that a file is parsed once for each of its states.
    seen: Option<Seen>,
    /// The last content that made sense.
    good: Option<Good>,
    /// Why the present content makes none.
    wrong: Option<Absence>,
}

/// What tells one state of a file from another.
#[derive(Clone, PartialEq, Eq)]
struct Seen {
    inode: (u64, u64),
    size: u64,
    changed: (i64, i64),
    modified: (i64, i64),
}

#[derive(Clone)]
struct Good {
    content: Arc<Value>,
    /// When it was last written, in milliseconds since the Unix epoch: of when it is, if it does not say.
    modified_ms: u64,
}

impl FileSource {
    pub(crate) fn new(path: PathBuf) -> Self {
        Self { path, known: Arc::default(), turn: Arc::new(Semaphore::new(1)) }
    }

    pub(crate) async fn fetch(&self, key: Option<&str>) -> Result<Told, Absence> {
        let turn = Arc::clone(&self.turn).acquire_owned().await.expect("the semaphore is never closed");
        let (path, known) = (self.path.clone(), Arc::clone(&self.known));
        let looked = tokio::task::spawn_blocking(move || {
            // Held until the look is over, though nobody may wait for it any more.
            let _turn = turn;
            look(&path, &known)
        });
        let good = looked
            .await
            .unwrap_or_else(|_| Err(Absence::Unreachable("the look at it was given up".into())))?;
        let told = match (key, &*good.content) {
            (None, content) => document::record(content.clone()),
            (Some(key), Value::Object(content)) => document::selected(content, key),
            (Some(_), _) => Err(Absence::malformed("it is no JSON object of records by key")),
        }?;
        Ok(Told { as_of_ms: told.as_of_ms.or(Some(good.modified_ms)), ..told })
    }
}

/// The content now, or the last one that made sense: who writes may be in the middle of it. How old that may be is
/// judged by whoever uses it.
fn look(path: &Path, known: &Mutex<Known>) -> Result<Good, Absence> {
    let unreadable = |error: std::io::Error| Absence::Unreachable(crate::absence::shown(error));
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_file() => metadata,
        // Opening a pipe would wait for a writer.
        Ok(_) => return Err(Absence::Unreachable("it is no regular file".into())),
        Err(error) => return Err(unreadable(error)),
    };
    let seen = Seen {
        inode: (metadata.dev(), metadata.ino()),
        size: metadata.size(),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
    };
    let mut known = known.lock();
    if known.seen.as_ref() != Some(&seen) {
        let modified = metadata.modified().ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
        let modified_ms =
            modified.and_then(|since| u64::try_from(since.as_millis()).ok()).unwrap_or_default();
        match read(path) {
            Ok(content) => {
                known.good = Some(Good { content: Arc::new(Value::Object(content)), modified_ms });
                known.wrong = None;
            }
            Err(why) => known.wrong = Some(why),
        }
        // Written again within the same tick of the file system's clock it would look the same: look again until it is older.
        let age = metadata.modified().ok().and_then(|time| SystemTime::now().duration_since(time).ok());
        known.seen = age.is_some_and(|age| age > SETTLED).then_some(seen);
    }
    match (&known.good, &known.wrong) {
        (Some(good), _) => Ok(good.clone()),
        (None, Some(why)) => Err(why.clone()),
        (None, None) => Err(Absence::NoRecord),
    }
}

fn read(path: &Path) -> Result<Map<String, Value>, Absence> {
    let mut bytes = Vec::new();
    let file = File::open(path).and_then(|file| file.take(FILE_BYTES_MAX as u64 + 1).read_to_end(&mut bytes));
    file.map_err(|error| Absence::Unreachable(crate::absence::shown(error)))?;
    if bytes.len() > FILE_BYTES_MAX {
        return Err(Absence::TooLarge { bytes_max: FILE_BYTES_MAX });
    }
    match document::read(&bytes)? {
        Value::Object(content) => Ok(content),
        _ => Err(Absence::malformed("it is no JSON object")),
    }
}
