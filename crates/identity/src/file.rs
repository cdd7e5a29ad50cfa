//! Private files: owner-only, written whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::IdentityError;

/// Largest file that is read as keys or certificates, in bytes. 32 roots with the largest
/// signatures take 800 KiB, a system's list of web roots about 250 KiB.
pub(crate) const FILE_BYTES_MAX: u64 = 1024 * 1024;

/// Who may read a file that is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrecy {
    /// Mode 0600.
    OwnerOnly,
    /// Mode 0644.
    Public,
}

fn io(action: &'static str, path: &Path) -> impl Fn(std::io::Error) -> IdentityError {
    move |source| IdentityError::Io { action, path: path.to_owned(), source }
}

/// Makes a directory (and its parents) with mode 0700, or checks that an existing one cannot be
/// changed by others.
pub(crate) fn private_directory(path: &Path) -> Result<(), IdentityError> {
    DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(io("create the directory", path))?;
    let mode = fs::metadata(path).map_err(io("look at the directory", path))?.mode() & 0o7777;
    if mode & 0o022 != 0 {
        return Err(IdentityError::DirectoryPermissions { path: path.to_owned(), mode });
    }
    Ok(())
}

/// Reads a file of secrets and refuses it if group or world may read or write it.
/// `None` if there is no such file.
pub(crate) fn read_private(path: &Path) -> Result<Option<Zeroizing<Vec<u8>>>, IdentityError> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(io("open", path)(error)),
    };
    // The mode of the opened file, so that nobody can swap it between the check and the reading.
    let mode = file.metadata().map_err(io("look at", path))?.mode() & 0o7777;
    if mode & 0o077 != 0 {
        return Err(IdentityError::Permissions { path: path.to_owned(), mode });
    }
    read_bounded(file, path).map(Some)
}

/// Reads a public file. `None` if there is no such file.
pub(crate) fn read_public(path: &Path) -> Result<Option<Vec<u8>>, IdentityError> {
    match File::open(path) {
        Ok(file) => read_bounded(file, path).map(|bytes| Some(bytes.to_vec())),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(io("open", path)(error)),
    }
}

/// What was read, or the error that there is no such file.
pub(crate) fn existing<T>(path: &Path, read: Option<T>) -> Result<T, IdentityError> {
    read.ok_or_else(|| io("open", path)(ErrorKind::NotFound.into()))
}

fn read_bounded(file: File, path: &Path) -> Result<Zeroizing<Vec<u8>>, IdentityError> {
    // Room for everything at once: a growing buffer would leave copies of secrets behind.
    let length = file.metadata().map_err(io("look at", path))?.len();
    let mut bytes = Zeroizing::new(Vec::with_capacity(length.min(FILE_BYTES_MAX) as usize + 1));
    file.take(FILE_BYTES_MAX + 1).read_to_end(&mut bytes).map_err(io("read", path))?;
    if bytes.len() as u64 > FILE_BYTES_MAX {
        return Err(IdentityError::Malformed {
            what: "the file",
            cause: format!("it is larger than {FILE_BYTES_MAX} bytes"),
        }
        .in_file(path));
    }
    Ok(bytes)
}

/// Waits until no other process holds the lock of a directory, and holds it until the answer is dropped.
pub(crate) fn lock_directory(directory: &Path) -> Result<File, IdentityError> {
    let path = directory.join(".lock");
    let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path);
    let file = file.map_err(io("open", &path))?;
    file.lock().map_err(io("lock", &path))?;
    Ok(file)
}

/// Writes a file whole: a temporary file beside it, synced, then renamed into place, then the
/// directory synced.
pub(crate) fn write_whole(path: &Path, bytes: &[u8], secrecy: Secrecy) -> Result<(), IdentityError> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let directory = directory.unwrap_or(Path::new("."));
    let temporary = temporary_path(directory, path);
    let written = write_temporary(&temporary, bytes, secrecy)
        .and_then(|()| fs::rename(&temporary, path).map_err(io("rename the new file to", path)));
    if written.is_err() {
        // Best effort: what matters is the error of the write itself.
        let _ = fs::remove_file(&temporary);
    }
    written?;
    File::open(directory).and_then(|opened| opened.sync_all()).map_err(io("sync the directory", directory))
}

fn temporary_path(directory: &Path, path: &Path) -> PathBuf {
    let mut nonce = [0u8; 8];
    lockgate_crypto::random::fill(&mut nonce);
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    directory.join(format!(".{name}.{:016x}.tmp", u64::from_be_bytes(nonce)))
}

fn write_temporary(path: &Path, bytes: &[u8], secrecy: Secrecy) -> Result<(), IdentityError> {
    let mode = match secrecy {
        Secrecy::OwnerOnly => 0o600,
        Secrecy::Public => 0o644,
    };
    let mut file =
        OpenOptions::new().write(true).create_new(true).mode(mode).open(path).map_err(io("create", path))?;
    file.write_all(bytes).map_err(io("write", path))?;
    file.sync_all().map_err(io("sync", path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().mode() & 0o777
    }

    fn names(directory: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(directory)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn files_are_written_whole_with_their_modes() {
        let root = tempfile::tempdir().unwrap();
        let directory = root.path().join("a/b");
        private_directory(&directory).unwrap();
        assert_eq!(mode(&directory), 0o700);

        let secret = directory.join("secret.pem");
        write_whole(&secret, b"one", Secrecy::OwnerOnly).unwrap();
        assert_eq!(read_private(&secret).unwrap().unwrap().as_slice(), b"one");
        write_whole(&secret, b"two", Secrecy::OwnerOnly).unwrap();
        assert_eq!(read_private(&secret).unwrap().unwrap().as_slice(), b"two");
        assert_eq!(mode(&secret), 0o600);

        let public = directory.join("public.pem");
        write_whole(&public, b"p", Secrecy::Public).unwrap();
        assert_eq!(mode(&public), 0o644);
        assert_eq!(names(&directory), ["public.pem", "secret.pem"], "no rests");
    }

    #[test]
    fn keys_that_others_may_read_are_refused_with_the_command_that_helps() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("key.pem");
        for bits in [0o640, 0o604, 0o620, 0o666] {
            fs::write(&path, b"key").unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(bits)).unwrap();
            let error = read_private(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("chmod 600 {}", path.display())), "{error}");
        }
        fs::set_permissions(&path, PermissionsExt::from_mode(0o400)).unwrap();
        assert!(read_private(&path).unwrap().is_some());
        assert!(read_private(&root.path().join("none")).unwrap().is_none());
    }

    #[test]
    fn directories_that_others_may_change_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("open");
        fs::create_dir(&path).unwrap();
        fs::set_permissions(&path, PermissionsExt::from_mode(0o770)).unwrap();
        let error = private_directory(&path).unwrap_err().to_string();
        assert!(error.contains("chmod 700"), "{error}");
    }

    #[test]
    fn oversized_files_are_refused() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("big.pem");
        let file = File::create(&path).unwrap();
        file.set_len(FILE_BYTES_MAX + 1).unwrap();
        assert!(matches!(read_public(&path), Err(IdentityError::File { .. })));
    }
}
