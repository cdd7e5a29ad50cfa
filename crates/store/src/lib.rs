//! Shared state behind one small interface.
//!
//! A [`Store`] keeps small values under a *space* (what kind of thing it is: `invites`, `pins`) and
//! a *key*. It does not know what they mean. What is written is on the disk when the call returns,
//! whole or not at all, and [`Store::compare_and_swap`] lets two writers agree on who was first,
//! which is what makes an invite work exactly once.
//!
//! The data path never reads the store: it reads memory, which whoever owns a space fills at the
//! start and refreshes when [`Store::watch`] says that something changed.
//!
//! ```
//! use lockgate_store::Store;
//!
//! let store = Store::in_memory()?;
//! let mut changes = store.watch("invites");
//! store.put("invites", "ann", b"open")?;
//! assert!(changes.has_changed().unwrap());
//! assert!(store.compare_and_swap("invites", "ann", Some(b"open"), Some(b"used"))?);
//! assert!(!store.compare_and_swap("invites", "ann", Some(b"open"), Some(b"used"))?);
//! # Ok::<(), lockgate_store::StoreError>(())
//! ```
//!
//! Calls are synchronous and may wait for the disk: from async code, go through
//! `tokio::task::spawn_blocking`.

#![forbid(unsafe_code)]

mod error;

use std::collections::HashMap;
use std::fmt;
use std::fs::OpenOptions;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;
use std::sync::Arc;

use parking_lot::Mutex;
use redb::{Database, DatabaseError, ReadableDatabase, TableDefinition};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::sync::watch;

pub use error::StoreError;

/// Longest name of a space in bytes: a word.
pub const SPACE_BYTES_MAX: usize = 64;
/// Longest key in bytes: enough for a server's name, a slash and a tool's name or URI.
pub const KEY_BYTES_MAX: usize = 4096;
/// Largest value in bytes: enough for a pinned tool definition with its schema, 1 MiB.
pub const VALUE_BYTES_MAX: usize = 1024 * 1024;

/// Everything is in one table, ordered by space and then by key.
const STATE: TableDefinition<'static, (&str, &str), &[u8]> = TableDefinition::new("state");

/// A store. Cheap to clone; all clones are the same store.
#[derive(Clone)]
pub struct Store(Arc<Inner>);

struct Inner {
    database: Database,
    /// How many changes each watched space has seen.
    changes: Mutex<HashMap<String, watch::Sender<u64>>>,
}

impl Store {
    /// Opens the store in a file, which is made with mode 0600 if it is not there. One process at
    /// a time can have it open.
    ///
    /// # Errors
    /// [`StoreError::InUse`], [`StoreError::Permissions`], [`StoreError::Open`] or
    /// [`StoreError::Unusable`].
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let opened =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(path);
        let mode = opened
            .and_then(|file| file.metadata())
            .map(|metadata| metadata.mode() & 0o7777)
            .map_err(|source| StoreError::Open { path: path.to_owned(), source })?;
        if mode & 0o077 != 0 {
            return Err(StoreError::Permissions { path: path.to_owned(), mode });
        }
        let database = Database::create(path).map_err(|error| match error {
            DatabaseError::DatabaseAlreadyOpen => StoreError::InUse { path: path.to_owned() },
            other => StoreError::Unusable { path: path.to_owned(), cause: other.to_string() },
        })?;
        Self::over(database)
    }

    /// A store that ends with the process.
    ///
    /// # Errors
    /// [`StoreError::Engine`] if there is no memory for it.
    pub fn in_memory() -> Result<Self, StoreError> {
        let backend = redb::backends::InMemoryBackend::new();
        let database = Database::builder().create_with_backend(backend);
        Self::over(database.map_err(StoreError::engine)?)
    }

    fn over(database: Database) -> Result<Self, StoreError> {
        let store = Self(Arc::new(Inner { database, changes: Mutex::default() }));
        // Make the table, so that reading an empty store is no special case.
        store.write(|_| Ok(false))?;
        Ok(store)
    }

    /// The value of a key.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    pub fn get(&self, space: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let read = self.0.database.begin_read().map_err(StoreError::engine)?;
        let table = read.open_table(STATE).map_err(StoreError::engine)?;
        let value = table.get((space, key)).map_err(StoreError::engine)?;
        Ok(value.map(|value| value.value().to_vec()))
    }

    /// Writes a value, whatever was there.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] or [`StoreError::Engine`].
    pub fn put(&self, space: &str, key: &str, value: &[u8]) -> Result<(), StoreError> {
        check_sizes(space, key, value)?;
        let changed = self.write(|table| {
            table.insert((space, key), value)?;
            Ok(true)
        })?;
        self.announce(space, changed);
        Ok(())
    }

    /// Replaces a value if it is still what the caller believes, where `None` is no value. Answers
    /// whether it was.
    ///
    /// # Errors
    /// [`StoreError::TooLarge`] or [`StoreError::Engine`].
    pub fn compare_and_swap(
        &self,
        space: &str,
        key: &str,
        expected: Option<&[u8]>,
        new: Option<&[u8]>,
    ) -> Result<bool, StoreError> {
        check_sizes(space, key, new.unwrap_or_default())?;
        let swapped = self.write(|table| {
            let matches = {
                let found = redb::ReadableTable::get(table, (space, key))?;
                found.as_ref().map(|value| value.value()) == expected
            };
            match new {
                _ if !matches => return Ok(false),
                Some(value) => drop(table.insert((space, key), value)?),
                None => drop(table.remove((space, key))?),
            }
            Ok(true)
        })?;
        self.announce(space, swapped);
        Ok(swapped)
    }

    /// Deletes a key. Answers whether it was there.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    pub fn delete(&self, space: &str, key: &str) -> Result<bool, StoreError> {
        let deleted = self.write(|table| Ok(table.remove((space, key))?.is_some()))?;
        self.announce(space, deleted);
        Ok(deleted)
    }

    /// All keys of a space that start with a prefix, with their values, in the order of the keys.
    ///
    /// # Errors
    /// [`StoreError::Engine`].
    pub fn list(&self, space: &str, prefix: &str) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let read = self.0.database.begin_read().map_err(StoreError::engine)?;
        let table = read.open_table(STATE).map_err(StoreError::engine)?;
        let mut found = Vec::new();
        for entry in table.range((space, prefix)..).map_err(StoreError::engine)? {
            let (key, value) = entry.map_err(StoreError::engine)?;
            let (found_space, found_key) = key.value();
            if found_space != space || !found_key.starts_with(prefix) {
                break;
            }
            found.push((found_key.to_owned(), value.value().to_vec()));
        }
        Ok(found)
    }

    /// Tells of changes in a space: the value counts them, and only changes made after this call
    /// are told. Several changes in a row may be told as one.
    pub fn watch(&self, space: &str) -> watch::Receiver<u64> {
        let mut changes = self.0.changes.lock();
        changes.entry(space.to_owned()).or_insert_with(|| watch::Sender::new(0)).subscribe()
    }

    /// The value of a key, read as JSON.
    ///
    /// # Errors
    /// [`StoreError::Json`] or [`StoreError::Engine`].
    pub fn get_json<T: DeserializeOwned>(&self, space: &str, key: &str) -> Result<Option<T>, StoreError> {
        let value = self.get(space, key)?;
        value.map(|value| from_json(space, key, &value)).transpose()
    }

    /// Writes a value as JSON.
    ///
    /// # Errors
    /// [`StoreError::Json`], [`StoreError::TooLarge`] or [`StoreError::Engine`].
    pub fn put_json<T: Serialize>(&self, space: &str, key: &str, value: &T) -> Result<(), StoreError> {
        self.put(space, key, &to_json(space, key, value)?)
    }

    /// [`Store::compare_and_swap`] on JSON. What is expected is compared as it is written, so it
    /// must be a value as [`Store::get_json`] gave it, of the same type.
    ///
    /// # Errors
    /// [`StoreError::Json`], [`StoreError::TooLarge`] or [`StoreError::Engine`].
    pub fn compare_and_swap_json<T: Serialize>(
        &self,
        space: &str,
        key: &str,
        expected: Option<&T>,
        new: Option<&T>,
    ) -> Result<bool, StoreError> {
        let bytes = |value: Option<&T>| value.map(|v| to_json(space, key, v)).transpose();
        let (expected, new) = (bytes(expected)?, bytes(new)?);
        self.compare_and_swap(space, key, expected.as_deref(), new.as_deref())
    }

    /// [`Store::list`], with the values read as JSON.
    ///
    /// # Errors
    /// [`StoreError::Json`] or [`StoreError::Engine`].
    pub fn list_json<T: DeserializeOwned>(
        &self,
        space: &str,
        prefix: &str,
    ) -> Result<Vec<(String, T)>, StoreError> {
        let mut values = Vec::new();
        for (key, value) in self.list(space, prefix)? {
            let value = from_json(space, &key, &value)?;
            values.push((key, value));
        }
        Ok(values)
    }

    /// Runs one write transaction; it is committed if the step answers that it changed something.
    fn write(
        &self,
        step: impl FnOnce(
            &mut redb::Table<'_, (&'static str, &'static str), &'static [u8]>,
        ) -> Result<bool, redb::StorageError>,
    ) -> Result<bool, StoreError> {
        let write = self.0.database.begin_write().map_err(StoreError::engine)?;
        let changed = {
            let mut table = write.open_table(STATE).map_err(StoreError::engine)?;
            step(&mut table).map_err(StoreError::engine)?
        };
        write.commit().map_err(StoreError::engine)?;
        Ok(changed)
    }

    fn announce(&self, space: &str, changed: bool) {
        if changed && let Some(sender) = self.0.changes.lock().get(space) {
            sender.send_modify(|count| *count += 1);
        }
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Store")
    }
}

fn check_sizes(space: &str, key: &str, value: &[u8]) -> Result<(), StoreError> {
    for (what, bytes, bytes_max) in [
        ("space", space.len(), SPACE_BYTES_MAX),
        ("key", key.len(), KEY_BYTES_MAX),
        ("value", value.len(), VALUE_BYTES_MAX),
    ] {
        if bytes > bytes_max {
            return Err(StoreError::TooLarge { what, bytes, bytes_max });
        }
    }
    Ok(())
}

fn json_error(space: &str, key: &str) -> impl Fn(serde_json::Error) -> StoreError {
    move |source| StoreError::Json { space: space.to_owned(), key: key.to_owned(), source }
}

fn to_json<T: Serialize>(space: &str, key: &str, value: &T) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(value).map_err(json_error(space, key))
}

fn from_json<T: DeserializeOwned>(space: &str, key: &str, value: &[u8]) -> Result<T, StoreError> {
    serde_json::from_slice(value).map_err(json_error(space, key))
}

#[cfg(test)]
mod tests;
