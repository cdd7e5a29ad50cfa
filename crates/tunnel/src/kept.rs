//! What a connector followed last, in its folder, so that a restart dials by what the gateway announced and not by what
//! it has since given up.

use std::fs::{self, File};
use std::io::{ErrorKind, Read as _, Write as _};
use std::path::{Path, PathBuf};

use lockgate_crypto::Announced;
use lockgate_identity::TrustBundle;
use serde::{Deserialize, Serialize};

use crate::TunnelError;

/// File name in the connector's folder.
pub const FOLLOWING_FILE: &str = "following.json";

const SCHEMA: &str = "lockgate.following/1";

/// Largest file that is read, in bytes: as a notice.
const BYTES_MAX: u64 = 64 << 10;

/// What was followed last.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Following {
    schema: String,
    /// The gateway's epoch.
    pub(crate) epoch: u64,
    /// Fingerprint of the authority that the gateway belonged to: another one's word is not followed.
    authority: String,
    /// Fingerprints of its roots: while one of them is trusted it is the same authority, whatever roots came to it since.
    #[serde(default)]
    roots: Vec<String>,
    /// The lists.
    pub(crate) announced: Announced,
}

impl Following {
    pub(crate) fn new(epoch: u64, authority: &TrustBundle, announced: Announced) -> Self {
        let mut roots: Vec<String> =
            authority.roots().iter().map(|root| root.fingerprint().to_owned()).collect();
        roots.sort_unstable();
        Self {
            schema: SCHEMA.to_owned(),
            epoch,
            authority: authority.fingerprint().to_owned(),
            roots,
            announced,
        }
    }

    /// Whether it was heard of an authority that is trusted by `bundle`.
    pub(crate) fn is_of(&self, bundle: &TrustBundle) -> bool {
        let is_trusted = |known: &String| bundle.roots().iter().any(|root| root.fingerprint() == known);
        self.authority == bundle.fingerprint() || self.roots.iter().any(is_trusted)
    }

    /// Reads what [`Following::save`] wrote; none if there is none.
    pub(crate) fn load(folder: &Path) -> Result<Option<Self>, TunnelError> {
        let path = folder.join(FOLLOWING_FILE);
        let kept = |cause: String| TunnelError::Kept { path: path.clone(), cause };
        let file = match File::open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(kept(error.to_string())),
        };
        let mut text = Vec::new();
        file.take(BYTES_MAX + 1).read_to_end(&mut text).map_err(|error| kept(error.to_string()))?;
        if text.len() as u64 > BYTES_MAX {
            return Err(kept(format!("it is larger than {BYTES_MAX} bytes")));
        }
        let following: Self = serde_json::from_slice(&text).map_err(|error| kept(error.to_string()))?;
        if following.schema != SCHEMA {
            return Err(kept(format!("its schema is not {SCHEMA}")));
        }
        Ok(Some(following))
    }

    /// Writes it whole or not at all: beside the old one, then in its place.
    pub(crate) fn save(&self, folder: &Path) -> Result<(), TunnelError> {
        let path = folder.join(FOLLOWING_FILE);
        let text = serde_json::to_vec_pretty(self).expect("plain data serialises");
        write(&path, &text).map_err(|error| TunnelError::Kept { path, cause: error.to_string() })
    }
}

/// Notes what a gateway announces, learned in another way than by its notices: the next start dials by it, as far as the
/// floor permits.
///
/// # Errors
/// [`TunnelError::Kept`] if it cannot be written.
pub fn remember(
    folder: &Path,
    epoch: u64,
    authority: &TrustBundle,
    announced: Announced,
) -> Result<(), TunnelError> {
    Following::new(epoch, authority, announced).save(folder)
}

/// Forgets what was followed, as after enrolling anew: the next start dials by the connector's own profile.
///
/// # Errors
/// [`TunnelError::Kept`] if there is something to forget and it cannot be removed.
pub fn forget(folder: &Path) -> Result<(), TunnelError> {
    let path = folder.join(FOLLOWING_FILE);
    match fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(TunnelError::Kept { path, cause: error.to_string() })
        }
        _ => Ok(()),
    }
}

fn write(path: &Path, text: &[u8]) -> std::io::Result<()> {
    // Two connectors of one folder write the same or nearly the same; neither may see half of the other's.
    let beside: PathBuf = path.with_extension(format!("{}.new", std::process::id()));
    let written = File::create(&beside).and_then(|mut file| {
        file.write_all(text)?;
        file.sync_all()
    });
    let placed = written.and_then(|()| fs::rename(&beside, path));
    if placed.is_err() {
        // What matters is the first error.
        let _ = fs::remove_file(&beside);
    }
    placed
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, SystemTime};

    use lockgate_crypto::profile;
    use lockgate_identity::Authority;

    use super::*;

    #[test]
    fn kept_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(Following::load(folder.path()).unwrap(), None);
        let lists = Announced { profile: "p".into(), groups: vec!["g".into()], ..Announced::default() };
        let suite = profile::find("pq-hybrid").unwrap().compile(1).unwrap();
        let authority = Authority::generate("example.org", suite.identities(), SystemTime::now()).unwrap();
        let following = Following::new(7, &authority.bundle(), lists);
        following.save(folder.path()).unwrap();
        assert_eq!(Following::load(folder.path()).unwrap(), Some(following.clone()));
        Following { epoch: 8, ..following }.save(folder.path()).unwrap();
        assert_eq!(Following::load(folder.path()).unwrap().unwrap().epoch, 8);
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");
        forget(folder.path()).unwrap();
        forget(folder.path()).unwrap();
        assert_eq!(Following::load(folder.path()).unwrap(), None);
    }

    #[test]
    fn further_roots_of_an_authority_make_no_other_of_it() {
        let (now, folder) = (SystemTime::now(), tempfile::tempdir().unwrap());
        let suite = profile::find("pq-hybrid").unwrap().compile(1).unwrap();
        let algorithm = suite.identities()[0];
        let authority = |domain| Authority::generate(domain, &[algorithm], now).unwrap();
        let (ours, theirs) = (authority("example.org"), authority("example.org"));
        Following::new(7, &ours.bundle(), Announced::default()).save(folder.path()).unwrap();
        // The connector learned of a new root, and was stopped before the next notice.
        ours.rotate(algorithm, now, Duration::from_secs(600)).unwrap();
        let kept = Following::load(folder.path()).unwrap().unwrap();
        assert!(kept.is_of(&ours.bundle()) && !kept.is_of(&theirs.bundle()));
        // One of an earlier version has the fingerprint alone.
        let earlier = Following { roots: Vec::new(), ..kept };
        assert!(!earlier.is_of(&ours.bundle()));
    }

    #[test]
    fn what_is_no_such_file_is_an_error_that_names_it() {
        let folder = tempfile::tempdir().unwrap();
        for text in ["", "{}", r#"{"schema":"lockgate.following/2","epoch":1,"authority":"","announced":{}}"#]
        {
            fs::write(folder.path().join(FOLLOWING_FILE), text).unwrap();
            let error = Following::load(folder.path()).unwrap_err().to_string();
            assert!(error.contains(FOLLOWING_FILE), "{error}");
        }
        fs::write(folder.path().join(FOLLOWING_FILE), vec![b' '; 70_000]).unwrap();
        assert!(Following::load(folder.path()).unwrap_err().to_string().contains("larger"));
    }
}
