//! A private key in a file of its own (PKCS#8 PEM, mode 0600): for keys that sign documents, kept
//! apart from nodes.

use std::io::ErrorKind;
use std::path::Path;

use lockgate_crypto::PrivateKey;

use crate::file::{self, Secrecy};
use crate::{IdentityError, key_pem};

/// Writes a key into a file that is not there yet.
///
/// # Errors
/// [`IdentityError::Io`] if the file is there already, or cannot be written.
pub fn write_new(path: &Path, key: &PrivateKey) -> Result<(), IdentityError> {
    if path.exists() {
        let source = ErrorKind::AlreadyExists.into();
        return Err(IdentityError::Io { action: "create", path: path.to_owned(), source });
    }
    file::write_whole(path, key_pem::write(key).as_bytes(), Secrecy::OwnerOnly)
}

/// Reads a key that nobody but its owner may read.
///
/// # Errors
/// [`IdentityError::Permissions`], [`IdentityError::Io`] or [`IdentityError::File`].
pub fn read(path: &Path) -> Result<PrivateKey, IdentityError> {
    let pem = file::existing(path, file::read_private(path)?)?;
    key_pem::read_one(&pem).map(|(key, _)| key).map_err(|error| error.in_file(path))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn a_key_is_written_once_and_read_by_its_owner_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("signer.pem");
        let key = PrivateKey::generate_algorithm("ML-DSA-65").unwrap();
        write_new(&path, &key).unwrap();
        assert_eq!(read(&path).unwrap().spki_der(), key.spki_der());
        assert!(matches!(write_new(&path, &key), Err(IdentityError::Io { .. })));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(read(&path), Err(IdentityError::Permissions { .. })));
        assert!(read(&folder.path().join("none.pem")).is_err());
    }
}
