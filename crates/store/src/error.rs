//! Why the store could not do what it was asked.

use std::path::PathBuf;

/// An error of the store, ordered by blame: our configuration, the caller, a resource.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// Another process has the file open.
    #[error(
        "{path} is in use by another Lockgate process; stop it, or choose another state directory with --state",
        path = path.display()
    )]
    InUse {
        /// The store's file.
        path: PathBuf,
    },
    /// The file can be read or changed by others.
    #[error("{path} can be read by others (mode {mode:04o}); run: chmod 600 {path}", path = path.display())]
    Permissions {
        /// The store's file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// The file is not a store, or is damaged.
    #[error(
        "{path} is not a usable store: {cause}; restore it from a backup, or move it away to start empty",
        path = path.display()
    )]
    Unusable {
        /// The store's file.
        path: PathBuf,
        /// What the engine says.
        cause: String,
    },
    /// The file cannot be created or opened.
    #[error("cannot open {path}: {source}", path = path.display())]
    Open {
        /// The store's file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A key or value beyond its limit.
    #[error("a {what} of {bytes} bytes is too large for the store, the limit is {bytes_max}")]
    TooLarge {
        /// `space`, `key` or `value`.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// A value is not the JSON that it should be.
    #[error("the value {space}/{key} is not what this version of Lockgate stores there: {source}")]
    Json {
        /// The space.
        space: String,
        /// The key.
        key: String,
        /// What is wrong.
        source: serde_json::Error,
    },
    /// The engine failed, most likely because of the disk.
    #[error("the store cannot be read or written: {0}; look at the disk's free space and health")]
    Engine(#[source] Box<redb::Error>),
}

impl StoreError {
    pub(crate) fn engine(error: impl Into<redb::Error>) -> Self {
        Self::Engine(Box::new(error.into()))
    }
}
