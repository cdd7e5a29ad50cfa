//! A sealed store: credentials that this node presents to others, such as a server's API key.
//!
//! Each secret is a file of its own, `NAME.sealed`, encrypted and authenticated under one key and bound to its name, so
//! that a file cannot stand in for another. The key is in a file too, by default beside them; on a medium of its own
//! (a credential of the service manager, a mounted token) the folder can be copied and gives nothing away. Whoever takes
//! the key away takes all secrets away at once.

use std::fmt;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use lockgate_crypto::{SealKey, random};
use zeroize::Zeroizing;

use crate::IdentityError;
use crate::file::{self, Secrecy};

/// Largest secret, in bytes: a token with a post-quantum signature has 5 kB.
pub const SECRET_BYTES_MAX: usize = 16 << 10;

/// Longest name of a secret, in bytes.
pub const SECRET_NAME_BYTES_MAX: usize = 64;

/// Secrets in a store; more are not listed.
pub const SECRETS_MAX: usize = 1024;

const KEY_BYTES: usize = 32;
const SUFFIX: &str = ".sealed";

/// A secret in the open. Wiped when dropped, and printed as `[redacted]`.
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// The bytes. They must not outlive the moment in which they are used.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret([redacted])")
    }
}

/// The store, by its paths. Nothing exists until the first [`SealedStore::put`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SealedStore {
    folder: PathBuf,
    key: PathBuf,
}

impl SealedStore {
    /// The store in `folder`, under the key in the file `key`, or in `folder` itself.
    pub fn new(folder: PathBuf, key: Option<PathBuf>) -> Self {
        let key = key.unwrap_or_else(|| folder.join("seal.key"));
        Self { folder, key }
    }

    /// The file that holds the key.
    pub fn key_path(&self) -> &Path {
        &self.key
    }

    /// The file of a secret.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}{SUFFIX}"))
    }

    /// Seals a secret, in place of one of the same name. The first one makes folder and key.
    ///
    /// # Errors
    /// [`IdentityError::Secret`] for a name or a size that cannot be, and the errors of files.
    pub fn put(&self, name: &str, secret: &[u8]) -> Result<(), IdentityError> {
        check_name(name)?;
        if secret.is_empty() || secret.len() > SECRET_BYTES_MAX {
            let reason = format!("it has {} bytes, and 1 to {SECRET_BYTES_MAX} can be sealed", secret.len());
            return Err(refused(name, reason));
        }
        file::private_directory(&self.folder)?;
        let _turn = file::lock_directory(&self.folder)?;
        let key = match self.key()? {
            Some(key) => key,
            None => self.make_key()?,
        };
        file::write_whole(&self.path(name), &key.seal(secret, &bound_to(name)), Secrecy::OwnerOnly)
    }

    /// Opens a secret.
    ///
    /// # Errors
    /// [`IdentityError::Secret`] if there is none of this name, no key, or one that does not fit; the errors of files.
    pub fn get(&self, name: &str) -> Result<Secret, IdentityError> {
        check_name(name)?;
        let sealed = file::read_private(&self.path(name))?
            .ok_or_else(|| refused(name, format!("it is not there; seal it: lockgate secret put {name}")))?;
        let key = self.key()?.ok_or_else(|| {
            refused(name, format!("the key {} is not there, so nothing can be opened", self.key.display()))
        })?;
        let open = key.open(&sealed, &bound_to(name)).map_err(|_| {
            let reason = "it was sealed under another key or another name, or was changed; seal it anew";
            refused(name, reason.to_owned())
        })?;
        Ok(Secret(Zeroizing::new(open)))
    }

    /// The names of all secrets, sorted; nothing is opened.
    ///
    /// # Errors
    /// The errors of files.
    pub fn names(&self) -> Result<Vec<String>, IdentityError> {
        let entries = match fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(self.io("list", source)),
        };
        let mut names = Vec::new();
        for entry in entries.take(SECRETS_MAX) {
            let entry = entry.map_err(|source| self.io("list", source))?;
            let name = entry.file_name();
            let name = name.to_str().and_then(|name| name.strip_suffix(SUFFIX));
            names.extend(name.filter(|name| check_name(name).is_ok()).map(str::to_owned));
        }
        names.sort_unstable();
        Ok(names)
    }

    /// Removes a secret; answers whether it was there.
    ///
    /// # Errors
    /// [`IdentityError::Secret`] for what is no name, and the errors of files.
    pub fn remove(&self, name: &str) -> Result<bool, IdentityError> {
        check_name(name)?;
        match fs::remove_file(self.path(name)) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(source) => Err(IdentityError::Io { action: "remove", path: self.path(name), source }),
        }
    }

    fn io(&self, action: &'static str, source: std::io::Error) -> IdentityError {
        IdentityError::Io { action, path: self.folder.clone(), source }
    }

    /// The key, if it is there: 32 bytes, or their 64 hexadecimal digits.
    fn key(&self) -> Result<Option<SealKey>, IdentityError> {
        let Some(read) = file::read_private(&self.key)? else { return Ok(None) };
        let bytes = key_bytes(&read).ok_or_else(|| IdentityError::Malformed {
            what: "the key of the sealed store",
            cause: "it is neither 32 bytes nor 64 hexadecimal digits".to_owned(),
        });
        Ok(Some(SealKey::from_bytes(&*bytes.map_err(|error| error.in_file(&self.key))?)))
    }

    fn make_key(&self) -> Result<SealKey, IdentityError> {
        let mut bytes = Zeroizing::new([0; KEY_BYTES]);
        random::fill(bytes.as_mut_slice());
        let text = Zeroizing::new(lockgate_crypto::digest::hex(bytes.as_slice()));
        file::write_whole(&self.key, text.as_bytes(), Secrecy::OwnerOnly)?;
        Ok(SealKey::from_bytes(&bytes))
    }
}

fn key_bytes(read: &[u8]) -> Option<Zeroizing<[u8; KEY_BYTES]>> {
    let mut bytes = Zeroizing::new([0; KEY_BYTES]);
    if read.len() == KEY_BYTES {
        bytes.copy_from_slice(read);
        return Some(bytes);
    }
    let digits = read.trim_ascii();
    if digits.len() != 2 * KEY_BYTES {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        *byte = digit(pair[0])? << 4 | digit(pair[1])?;
    }
    Some(bytes)
}

/// What a sealed file belongs to; the prefix keeps it apart from anything else that is sealed.
fn bound_to(name: &str) -> Vec<u8> {
    [b"lockgate.secret/1\0".as_slice(), name.as_bytes()].concat()
}

fn check_name(name: &str) -> Result<(), IdentityError> {
    let fits = !name.is_empty()
        && name.len() <= SECRET_NAME_BYTES_MAX
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
    match fits {
        true => Ok(()),
        false => Err(refused(
            &crate::error::quoted(name),
            "names are lower-case letters, digits and hyphens".to_owned(),
        )),
    }
}

fn refused(name: &str, reason: String) -> IdentityError {
    IdentityError::Secret { name: name.to_owned(), reason }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn store() -> (tempfile::TempDir, SealedStore) {
        let folder = tempfile::tempdir().unwrap();
        let store = SealedStore::new(folder.path().join("secrets"), None);
        (folder, store)
    }

    #[test]
    fn what_was_sealed_comes_back_and_is_on_no_disk_in_the_open() {
        let (_folder, store) = store();
        assert!(store.names().unwrap().is_empty());
        store.put("crm-token", b"hunter2-hunter2").unwrap();
        store.put("ehr", b"other").unwrap();
        assert_eq!(store.get("crm-token").unwrap().reveal(), b"hunter2-hunter2");
        assert_eq!(store.names().unwrap(), ["crm-token", "ehr"]);
        for entry in fs::read_dir(store.path("ehr").parent().unwrap()).unwrap() {
            let path = entry.unwrap().path();
            let bytes = fs::read(&path).unwrap();
            assert!(!bytes.windows(7).any(|window| window == b"hunter2"), "{}", path.display());
            assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o077, 0, "{}", path.display());
        }
        assert!(store.remove("ehr").unwrap());
        assert!(!store.remove("ehr").unwrap());
        assert_eq!(format!("{:?}", store.get("crm-token").unwrap()), "Secret([redacted])");
    }

    #[test]
    fn a_file_under_another_name_another_key_or_changed_does_not_open() {
        let (_folder, store) = store();
        store.put("a", b"secret").unwrap();
        fs::copy(store.path("a"), store.path("b")).unwrap();
        assert!(store.get("b").is_err(), "another name");
        let mut bytes = fs::read(store.path("a")).unwrap();
        let last = bytes.len() - 1;
        bytes[last] ^= 1;
        fs::write(store.path("a"), &bytes).unwrap();
        assert!(store.get("a").is_err(), "changed");
        store.put("a", b"secret").unwrap();
        fs::remove_file(store.key_path()).unwrap();
        assert!(store.get("a").unwrap_err().to_string().contains("seal.key"), "the key has gone dark");
        store.put("c", b"anew").unwrap();
        assert!(store.get("a").is_err(), "another key");
        assert_eq!(store.get("c").unwrap().reveal(), b"anew");
    }

    #[test]
    fn hostile_names_and_sizes_are_refused() {
        let (_folder, store) = store();
        for name in ["", "../x", "A", "a/b", "a.b", "a\0", &"a".repeat(65)] {
            assert!(store.put(name, b"x").is_err(), "{name:?}");
            assert!(store.get(name).is_err() && store.remove(name).is_err(), "{name:?}");
        }
        assert!(store.put("a", b"").is_err());
        assert!(store.put("a", &vec![0; SECRET_BYTES_MAX + 1]).is_err());
        store.put("a", &vec![7; SECRET_BYTES_MAX]).unwrap();
        assert_eq!(store.get("a").unwrap().reveal().len(), SECRET_BYTES_MAX);
    }

    #[test]
    fn the_key_may_lie_elsewhere_and_come_in_two_forms() {
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("token");
        let store = SealedStore::new(folder.path().join("secrets"), Some(key.clone()));
        fs::write(&key, [9; 32]).unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o400)).unwrap();
        store.put("a", b"x").unwrap();
        fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
        fs::write(&key, format!("{}\n", "09".repeat(32))).unwrap();
        assert_eq!(store.get("a").unwrap().reveal(), b"x");
        fs::write(&key, "short").unwrap();
        assert!(store.get("a").is_err() && store.put("b", b"x").is_err());
        fs::set_permissions(&key, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(store.get("a").is_err(), "others may read the key");
    }
}
