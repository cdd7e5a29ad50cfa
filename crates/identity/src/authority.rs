//! The local authority: one root per signature algorithm, short-lived leaves.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use lockgate_crypto::{Algorithm, PrivateKey};

use crate::certificate::{BACKDATED, LeafContent};
use crate::enrol::ProvenKey;
use crate::facts::Facts;
use crate::file::{self, Secrecy};
use crate::request::{IssuedCertificate, Request, within};
use crate::roots::{Roots, Rotation};
use crate::{IdentityError, Leaf, NodeIdentity, Role, SpiffeId, TrustBundle};

/// Longest time for which the old and the new root are both trusted.
pub const OVERLAP_MAX: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// Private keys and certificates of all roots, one file so that it is there whole or not at all.
const ROOTS_FILE: &str = "roots.pem";
/// The public bundle.
const BUNDLE_FILE: &str = "authority.pem";

/// Roots and their private keys. Grows while it is in use: whoever issues or verifies works with what is in force at
/// that moment.
pub struct Authority {
    /// Where it is kept; `None` if in memory only.
    dir: Option<PathBuf>,
    domain: SpiffeId,
    roots: RwLock<Arc<Roots>>,
    /// Held by the one who changes the roots.
    turn: Mutex<()>,
}

/// The roots of an authority at one moment, with their private keys.
pub struct Snapshot(Arc<Roots>);

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Snapshot([redacted])")
    }
}

impl Authority {
    /// Makes an authority that lives in memory only, with a root for each of these algorithms.
    ///
    /// # Errors
    /// [`IdentityError::SpiffeId`] if the name is no trust domain, [`IdentityError::Bundle`] if there is no algorithm,
    /// [`IdentityError::Crypto`] if keys of one of them cannot be made.
    pub fn generate(
        trust_domain: &str,
        algorithms: &[&'static Algorithm],
        now: SystemTime,
    ) -> Result<Self, IdentityError> {
        let domain = SpiffeId::of_trust_domain(trust_domain)?;
        Ok(Self::of(None, Roots::make(domain, algorithms, now)?))
    }

    fn of(dir: Option<&Path>, roots: Roots) -> Self {
        Self {
            dir: dir.map(Path::to_owned),
            domain: roots.domain().clone(),
            roots: RwLock::new(Arc::new(roots)),
            turn: Mutex::new(()),
        }
    }

    /// Opens the authority of a directory, or makes one there, and adds roots for those algorithms that have none
    /// ([`Authority::ensure`]): the directory with mode 0700, the keys in `roots.pem` with mode 0600, the public bundle
    /// in `authority.pem`. When two processes do so at once, both end up with the same authority.
    ///
    /// # Errors
    /// [`IdentityError::Permissions`] if others may read the keys, [`IdentityError::TrustDomain`]
    /// if the stored authority is for another trust domain, [`IdentityError::File`] or
    /// [`IdentityError::Io`] if the files cannot be used; as [`Authority::generate`].
    pub fn open_or_create(
        dir: &Path,
        trust_domain: &str,
        algorithms: &[&'static Algorithm],
        now: SystemTime,
    ) -> Result<Self, IdentityError> {
        let domain = SpiffeId::of_trust_domain(trust_domain)?;
        file::private_directory(dir)?;
        let _lock = file::lock_directory(dir)?;
        let roots = match read(dir)? {
            Some(roots) if *roots.domain() != domain => {
                return Err(IdentityError::TrustDomain {
                    path: dir.to_owned(),
                    found: roots.domain().trust_domain().to_owned(),
                    expected: trust_domain.to_owned(),
                });
            }
            Some(roots) => match roots.with(algorithms, now)? {
                Some(more) => {
                    write(dir, &more)?;
                    more
                }
                None => roots,
            },
            None => {
                let fresh = Roots::make(domain, algorithms, now)?;
                write(dir, &fresh)?;
                fresh
            }
        };
        publish_bundle(dir, roots.bundle())?;
        Ok(Self::of(Some(dir), roots))
    }

    /// Opens the authority of a directory. `None` if there is none.
    ///
    /// # Errors
    /// As [`Authority::open_or_create`].
    pub fn open(dir: &Path) -> Result<Option<Self>, IdentityError> {
        Ok(read(dir)?.map(|roots| Self::of(Some(dir), roots)))
    }

    /// Where [`Authority::open_or_create`] puts the public bundle of a directory.
    pub fn bundle_path(dir: &Path) -> PathBuf {
        dir.join(BUNDLE_FILE)
    }

    /// The roots that everybody may know, as they are now. Cheap; ask again after each change.
    pub fn bundle(&self) -> TrustBundle {
        self.roots().bundle().clone()
    }

    /// The same, signed by every root, for peers that know an earlier bundle: [`TrustBundle::accept_update`].
    ///
    /// # Errors
    /// [`IdentityError::Crypto`] if a root cannot sign.
    pub fn signed_bundle(&self) -> Result<String, IdentityError> {
        self.roots().signed_bundle()
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &str {
        self.domain.trust_domain()
    }

    /// Adds a root for each algorithm that has none, and a second one beside a root that ends within a year. Answers
    /// whether anything changed; then the bundle has a higher sequence.
    ///
    /// # Errors
    /// [`IdentityError::Crypto`] if keys of an algorithm cannot be made, [`IdentityError::Bundle`] if there would be
    /// more than [`crate::ROOTS_MAX`] roots, [`IdentityError::Io`] or [`IdentityError::File`] if it cannot be stored.
    pub fn ensure(&self, algorithms: &[&'static Algorithm], now: SystemTime) -> Result<bool, IdentityError> {
        if self.roots().has(algorithms, now) {
            return Ok(false);
        }
        let more = self.change(|roots| Ok(roots.with(algorithms, now)?.map(|next| (next, ()))))?;
        Ok(more.is_some())
    }

    /// Replaces the root of an algorithm: a new one beside the old, which stays trusted for the overlap. Half of that
    /// time the old one still issues, so that peers hear of the new one first. An overlap of zero ends the old one at
    /// once, with every leaf that it issued.
    ///
    /// A leaf never outlives its root: see that the node's own leaves are issued anew at each
    /// [`Authority::next_change`], and that [`Authority::prune`] is called then.
    ///
    /// # Errors
    /// [`IdentityError::NoRoot`] if there is none, [`IdentityError::Range`] if the overlap is longer than
    /// [`OVERLAP_MAX`]; as [`Authority::ensure`].
    pub fn rotate(
        &self,
        algorithm: &'static Algorithm,
        now: SystemTime,
        overlap: Duration,
    ) -> Result<Rotation, IdentityError> {
        let found = overlap.as_secs() + u64::from(overlap.subsec_nanos() > 0);
        within("the overlap of two roots in seconds", 0, OVERLAP_MAX.as_secs(), found)?;
        let rotation = self.change(|roots| roots.rotated(algorithm, now, overlap).map(Some))?;
        Ok(rotation.expect("a rotation always changes the roots"))
    }

    /// The roots as they are now, to go back to.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot(self.roots())
    }

    /// Goes back to the roots of before a change that could not be carried through. The sequence grows all the same, so
    /// that whoever heard of the change hears of its end.
    ///
    /// # Errors
    /// As [`Authority::ensure`].
    pub fn go_back(&self, to: &Snapshot, now: SystemTime) -> Result<(), IdentityError> {
        self.change(|roots| Ok(Some((roots.back_to(&to.0, now)?, ())))).map(drop)
    }

    /// Drops the roots whose overlap is over, and their private keys for ever. Answers whether there were any. Call it
    /// with a moment that is certain: a clock that runs ahead ends an overlap early.
    ///
    /// # Errors
    /// As [`Authority::ensure`].
    pub fn prune(&self, now: SystemTime) -> Result<bool, IdentityError> {
        if !self.roots().has_retired(now) {
            return Ok(false);
        }
        let fewer = self.change(|roots| Ok(roots.pruned(now)?.map(|next| (next, ()))))?;
        Ok(fewer.is_some())
    }

    /// The next moment at which another root begins to issue, or one is to be pruned. `None` while no root is being
    /// replaced.
    pub fn next_change(&self, now: SystemTime) -> Option<SystemTime> {
        self.roots().next_change(now)
    }

    /// Signs a leaf with the root of the key's algorithm. If that root is to retire within the lifetime, the leaf ends
    /// with it.
    ///
    /// # Errors
    /// [`IdentityError::ForeignTrustDomain`], [`IdentityError::RoleMismatch`],
    /// [`IdentityError::Range`] or [`IdentityError::DnsName`] if the request breaks a rule,
    /// [`IdentityError::NoRoot`] if the authority has no root for this algorithm.
    pub fn issue(&self, request: &Request, now: SystemTime) -> Result<IssuedCertificate, IdentityError> {
        let roots = self.roots();
        request.check(&self.domain)?;
        let held = roots.issuer(request.key.algorithm(), now)?;
        let not_after = now + request.lifetime;
        let not_after = held.retire_at().map_or(not_after, |end| not_after.min(end));
        let (certificate, serial) = held.issuer.leaf_certificate(&LeafContent {
            spki_der: request.key.spki_der(),
            id: &request.id,
            role: request.role,
            dns_names: &request.dns_names,
            ips: &request.ips,
            not_before: now - BACKDATED,
            not_after,
        })?;
        // An authority gives out nothing that its own verifier would refuse.
        roots.bundle().check(&Facts::read(&certificate)?, now)?;
        Ok(IssuedCertificate { certificate, id: request.id.clone(), serial, not_after })
    }

    /// Makes a node identity: a fresh key and a leaf for each algorithm, in this order.
    ///
    /// # Errors
    /// As [`Authority::issue`]; [`Authority::ensure`] the roots first.
    pub fn issue_node(
        &self,
        id: &SpiffeId,
        dns_names: &[String],
        ips: &[IpAddr],
        algorithms: &[&'static Algorithm],
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<NodeIdentity, IdentityError> {
        let mut leaves = Vec::with_capacity(algorithms.len());
        for algorithm in algorithms {
            let key = PrivateKey::generate(algorithm)?;
            let request = Request {
                key: ProvenKey::own(&key),
                id: id.clone(),
                role: Role::Node,
                dns_names: dns_names.to_vec(),
                ips: ips.to_vec(),
                lifetime,
            };
            let issued = self.issue(&request, now)?;
            leaves.push(Leaf::new(vec![issued.certificate], key)?);
        }
        let id = id.clone();
        Ok(NodeIdentity { id, leaves })
    }

    fn roots(&self) -> Arc<Roots> {
        Arc::clone(&self.roots.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Changes the roots: on the disk first, and starting from what is there, since another process may have changed
    /// them too. `None` if the edit asks for no change.
    fn change<T>(
        &self,
        edit: impl FnOnce(&Roots) -> Result<Option<(Roots, T)>, IdentityError>,
    ) -> Result<Option<T>, IdentityError> {
        let _turn = self.turn.lock().unwrap_or_else(PoisonError::into_inner);
        let mut current = self.roots();
        let _lock = self.dir.as_deref().map(file::lock_directory).transpose()?;
        if let Some(dir) = &self.dir
            && let Some(stored) = read(dir)?
            && stored.bundle().sequence() != current.bundle().sequence()
        {
            current = Arc::new(stored);
        }
        let (next, made) = match edit(&current)? {
            Some((next, made)) => (Arc::new(next), Some(made)),
            None => (current, None),
        };
        if let (Some(dir), true) = (&self.dir, made.is_some()) {
            write(dir, &next)?;
        }
        *self.roots.write().unwrap_or_else(PoisonError::into_inner) = Arc::clone(&next);
        if let Some(dir) = &self.dir {
            publish_bundle(dir, next.bundle())?;
        }
        Ok(made)
    }

    /// The issuer of an algorithm, for leaves that an authority would not make.
    #[cfg(test)]
    pub(crate) fn issuer(
        &self,
        algorithm: &'static Algorithm,
        now: SystemTime,
    ) -> Arc<crate::certificate::Issuer> {
        Arc::clone(&self.roots().issuer(algorithm, now).expect("the authority has such a root").issuer)
    }
}

fn read(dir: &Path) -> Result<Option<Roots>, IdentityError> {
    let path = dir.join(ROOTS_FILE);
    let Some(pem) = file::read_private(&path)? else {
        return Ok(None);
    };
    Roots::from_pem(&pem).map(Some).map_err(|error| error.in_file(&path))
}

fn write(dir: &Path, roots: &Roots) -> Result<(), IdentityError> {
    let secret = roots.to_pem();
    file::write_whole(&dir.join(ROOTS_FILE), secret.as_bytes(), Secrecy::OwnerOnly)
}

fn publish_bundle(dir: &Path, bundle: &TrustBundle) -> Result<(), IdentityError> {
    let path = Authority::bundle_path(dir);
    let pem = bundle.to_dated_pem();
    if file::read_public(&path)?.as_deref() != Some(pem.as_bytes()) {
        file::write_whole(&path, pem.as_bytes(), Secrecy::Public)?;
    }
    Ok(())
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("bundle", self.roots().bundle())
            .field("keys", &"[redacted]")
            .finish_non_exhaustive()
    }
}
