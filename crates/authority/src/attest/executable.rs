//! The program that a process runs: its file, and the hash of that.

use std::collections::HashMap;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use lockgate_crypto::digest;
use parking_lot::Mutex;

/// Largest executable that is hashed, in bytes: browsers have 300 MB.
const EXECUTABLE_BYTES_MAX: u64 = 1 << 30;
/// Executables whose hash is remembered.
const HASHES_MAX: usize = 256;

/// Names of programs that run a script, whose own hash says nothing about what they run.
const INTERPRETERS: &[&str] = &[
    "python", "pypy", "node", "nodejs", "deno", "bun", "ruby", "perl", "php", "lua", "luajit", "java",
    "dotnet", "bash", "sh", "dash", "zsh", "fish", "busybox", "rscript", "r", "julia", "tclsh", "guile",
    "emacs", "qemu", "wine",
];

/// The file that a process runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Executable {
    /// `None` if it was deleted, or is no text.
    pub(super) path: Option<PathBuf>,
    /// SHA-256, lower-case hexadecimal.
    pub(super) sha256: String,
}

impl Executable {
    /// The program of a process's `exe`; `None` where we may not look.
    pub(super) fn read(exe: &Path) -> io::Result<Option<Self>> {
        let Some(path) = target(exe) else {
            // Gone is for the caller to find out; not permitted is no fact.
            return Ok(None);
        };
        let file = match File::open(exe) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => return Ok(None),
            Err(error) => return Err(error),
        };
        Ok(Some(Self { path, sha256: hash(&file)? }))
    }

    /// Whether `exe` leads to this very program.
    pub(super) fn is_still(&self, exe: &Path) -> bool {
        let same = || File::open(exe).and_then(|file| hash(&file)).is_ok_and(|now| now == self.sha256);
        target(exe).is_some_and(|path| path == self.path) && same()
    }
}

/// Where `exe` leads, if that is a path; `None` where we may not look.
pub(super) fn target(exe: &Path) -> Option<Option<PathBuf>> {
    let target = fs::read_link(exe).ok()?;
    // The kernel says so behind the name; a file that is really called that has lost its claim to a path here.
    let deleted = target.as_os_str().as_encoded_bytes().ends_with(b" (deleted)");
    Some((!deleted && target.to_str().is_some()).then_some(target))
}

/// What tells whether a file is still the one that was hashed: a change of its content changes the last.
type Identity = (u64, u64, u64, i64, i64, i64, i64);

/// SHA-256 of a file, from memory if nothing of it has changed.
fn hash(file: &File) -> io::Result<String> {
    static HASHES: LazyLock<Mutex<HashMap<Identity, String>>> = LazyLock::new(Mutex::default);
    let about = identity(file)?;
    if about.2 > EXECUTABLE_BYTES_MAX {
        return Err(io::Error::other("the executable is larger than 1 GiB"));
    }
    if let Some(known) = HASHES.lock().get(&about) {
        return Ok(known.clone());
    }
    let (mut context, mut buffer, mut source) = (digest::Sha256::new(), vec![0; 1 << 16], file);
    loop {
        match source.read(&mut buffer)? {
            0 => break,
            length => context.update(&buffer[..length]),
        }
    }
    let hash = digest::hex(&context.finish());
    // Written to while it was read: what we have is the hash of no version of it.
    if identity(file)? != about {
        return Err(io::Error::other("the executable changes while it is read"));
    }
    let mut hashes = HASHES.lock();
    if hashes.len() >= HASHES_MAX {
        hashes.clear();
    }
    hashes.insert(about, hash.clone());
    Ok(hash)
}

fn identity(file: &File) -> io::Result<Identity> {
    let about = file.metadata()?;
    Ok((
        about.dev(),
        about.ino(),
        about.size(),
        about.mtime(),
        about.mtime_nsec(),
        about.ctime(),
        about.ctime_nsec(),
    ))
}

/// The interpreter that a path names, without its version.
pub(super) fn interpreter(path: &Path) -> Option<&'static str> {
    let name = path.file_name()?.to_str()?.to_ascii_lowercase();
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '-');
    INTERPRETERS.iter().copied().find(|known| *known == stem)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn interpreters_are_told_by_their_name() {
        for (path, name) in [
            ("/usr/bin/python3.11", Some("python")),
            ("/usr/bin/python", Some("python")),
            ("/opt/node-26/bin/node", Some("node")),
            ("/bin/dash", Some("dash")),
            ("/usr/bin/pythonic", None),
            ("/usr/bin/sleep", None),
        ] {
            assert_eq!(interpreter(Path::new(path)), name, "{path}");
        }
    }
}
