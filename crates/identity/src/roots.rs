//! The roots of an authority with their private keys: made, replaced, retired, and kept in one file.
//!
//! A [`Roots`] never changes; each change makes the next one, with a higher sequence. So whoever issues, verifies or
//! signs an update works with one consistent set.

use std::sync::{Arc, OnceLock};
use std::time::{Duration, SystemTime};

use lockgate_crypto::{Algorithm, PrivateKey};
use zeroize::Zeroizing;

use crate::bundle::Root;
use crate::certificate::{BACKDATED, Issuer};
use crate::error::unix_seconds;
use crate::preamble::{Preamble, RootDates, whole_seconds};
use crate::{IdentityError, SpiffeId, TrustBundle, key_pem, update};

/// Life of a root. Every leaf beneath it lives a day at most; changing roots is a planned act.
const ROOT_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// A root that ends within this time is replaced when the authority next looks at it.
const ROOT_RENEWED_BEFORE: Duration = Duration::from_secs(365 * 24 * 60 * 60);
/// How long both are trusted then.
const ROOT_RENEWAL_OVERLAP: Duration = Duration::from_secs(90 * 24 * 60 * 60);
/// The sequence of an authority that an earlier version made, which kept none.
const FIRST_SEQUENCE: u64 = 1;

/// A root and its private key.
#[derive(Clone)]
pub(crate) struct Held {
    pub(crate) issuer: Arc<Issuer>,
    root: Root,
    /// From when on it issues: at once if it is the first of its algorithm.
    issues_from: SystemTime,
}

/// All roots of an authority at one time.
pub(crate) struct Roots {
    domain: SpiffeId,
    held: Vec<Held>,
    bundle: TrustBundle,
    /// The update for peers, signed when it is first asked for: with some algorithms that takes a second.
    signed: OnceLock<String>,
}

/// A change of one root, as [`crate::Authority::rotate`] planned it.
#[derive(Clone, Debug)]
pub struct Rotation {
    /// The algorithm whose root is replaced.
    pub algorithm: &'static Algorithm,
    /// Fingerprint of the new root, see [`Root::fingerprint`].
    pub new: String,
    /// Fingerprints of the roots that it replaces.
    pub old: Vec<String>,
    /// From when on leaves come from the new root: half of the overlap, so that peers know it by then.
    pub issues_from: SystemTime,
    /// From when on the old roots are not trusted any more.
    pub retire_at: SystemTime,
}

impl Held {
    fn make(
        domain: &SpiffeId,
        algorithm: &'static Algorithm,
        now: SystemTime,
    ) -> Result<Self, IdentityError> {
        let issuer = Issuer::new(PrivateKey::generate(algorithm)?)?;
        let certificate = issuer.root_certificate(domain, now - BACKDATED, now + ROOT_LIFETIME)?;
        let (root, _) = Root::read(certificate)?;
        Ok(Self { issuer: Arc::new(issuer), root, issues_from: SystemTime::UNIX_EPOCH })
    }

    /// From when on the root is not trusted, if it is being replaced.
    pub(crate) fn retire_at(&self) -> Option<SystemTime> {
        self.root.retire_at
    }

    fn is_of(&self, algorithm: &Algorithm) -> bool {
        self.root.algorithm() == algorithm
    }

    fn dates(&self) -> Option<RootDates> {
        let set = |moment: SystemTime| Some(unix_seconds(moment)).filter(|seconds| *seconds > 0);
        let (issues_from_s, retire_at_s) = (set(self.issues_from), self.root.retire_at.map(unix_seconds));
        let dates = RootDates { key: self.root.fingerprint().to_owned(), issues_from_s, retire_at_s };
        (issues_from_s.is_some() || retire_at_s.is_some()).then_some(dates)
    }
}

impl Roots {
    /// A first root for each algorithm.
    pub(crate) fn make(
        domain: SpiffeId,
        algorithms: &[&'static Algorithm],
        now: SystemTime,
    ) -> Result<Self, IdentityError> {
        let mut held: Vec<Held> = Vec::with_capacity(algorithms.len());
        for algorithm in algorithms {
            if !held.iter().any(|held| held.is_of(algorithm)) {
                held.push(Held::make(&domain, algorithm, now)?);
            }
        }
        Self::of(domain, next_sequence(0, now), held)
    }

    fn of(domain: SpiffeId, sequence: u64, held: Vec<Held>) -> Result<Self, IdentityError> {
        let roots = held.iter().map(|held| held.root.clone()).collect();
        let bundle = TrustBundle::of_roots(domain.trust_domain(), sequence, roots, Vec::new())?;
        Ok(Self { domain, held, bundle, signed: OnceLock::new() })
    }

    /// What follows after a change at `now`.
    fn next(&self, held: Vec<Held>, now: SystemTime) -> Result<Self, IdentityError> {
        Self::of(self.domain.clone(), next_sequence(self.bundle.sequence(), now), held)
    }

    pub(crate) fn domain(&self) -> &SpiffeId {
        &self.domain
    }

    pub(crate) fn bundle(&self) -> &TrustBundle {
        &self.bundle
    }

    /// The update for peers that trust an earlier bundle.
    pub(crate) fn signed_bundle(&self) -> Result<String, IdentityError> {
        if let Some(signed) = self.signed.get() {
            return Ok(signed.clone());
        }
        let keys: Vec<&PrivateKey> = self.held.iter().map(|held| &held.issuer.key).collect();
        let signed = update::sign(&self.bundle, &keys)?;
        Ok(self.signed.get_or_init(|| signed).clone())
    }

    /// The root that issues leaves of an algorithm at a moment: the newest whose time has come.
    pub(crate) fn issuer(
        &self,
        algorithm: &'static Algorithm,
        now: SystemTime,
    ) -> Result<&Held, IdentityError> {
        let of_it = || self.held.iter().filter(|held| held.is_of(algorithm));
        let newest = |held: &&Held| (held.issues_from, held.root.not_before);
        of_it()
            .filter(|held| held.issues_from <= now && held.root.is_trusted_at(now))
            .max_by_key(newest)
            // The clock went back behind the time of the only one that is left.
            .or_else(|| of_it().filter(|held| held.root.retire_at.is_none()).max_by_key(newest))
            .ok_or(IdentityError::NoRoot { algorithm: algorithm.id })
    }

    /// Whether each of these algorithms has a root that lasts.
    pub(crate) fn has(&self, algorithms: &[&'static Algorithm], now: SystemTime) -> bool {
        algorithms
            .iter()
            .all(|algorithm| lasting_until(&self.held, algorithm).is_some_and(|end| lasts(end, now)))
    }

    /// Whether [`Roots::pruned`] would drop something.
    pub(crate) fn has_retired(&self, now: SystemTime) -> bool {
        self.held.iter().any(|held| is_over(held, now))
    }

    /// Adds a root for each algorithm that has none, and a second one where the first ends within a year. `None` if
    /// nothing is missing.
    pub(crate) fn with(
        &self,
        algorithms: &[&'static Algorithm],
        now: SystemTime,
    ) -> Result<Option<Self>, IdentityError> {
        let mut held = self.held.clone();
        let mut changed = false;
        for algorithm in algorithms {
            match lasting_until(&held, algorithm) {
                Some(end) if lasts(end, now) => continue,
                Some(_) => drop(replace(&mut held, &self.domain, (algorithm, now), ROOT_RENEWAL_OVERLAP)?),
                None => held.push(Held::make(&self.domain, algorithm, now)?),
            }
            changed = true;
        }
        changed.then(|| self.next(held, now)).transpose()
    }

    /// Puts a new root beside those of an algorithm, which retire after the overlap.
    pub(crate) fn rotated(
        &self,
        algorithm: &'static Algorithm,
        now: SystemTime,
        overlap: Duration,
    ) -> Result<(Self, Rotation), IdentityError> {
        let mut held = self.held.clone();
        let rotation = replace(&mut held, &self.domain, (algorithm, now), overlap)?;
        held.retain(|held| !is_over(held, now));
        Ok((self.next(held, now)?, rotation))
    }

    /// The roots of another moment, after these.
    pub(crate) fn back_to(&self, other: &Self, now: SystemTime) -> Result<Self, IdentityError> {
        self.next(other.held.clone(), now)
    }

    /// Drops the roots that are retired, with their keys. `None` if there are none.
    pub(crate) fn pruned(&self, now: SystemTime) -> Result<Option<Self>, IdentityError> {
        if !self.has_retired(now) {
            return Ok(None);
        }
        let held = self.held.iter().filter(|held| !is_over(held, now)).cloned().collect();
        self.next(held, now).map(Some)
    }

    /// The next moment at which something changes by itself: another root issues, or one retires.
    pub(crate) fn next_change(&self, now: SystemTime) -> Option<SystemTime> {
        let dates = self.held.iter().flat_map(|held| [Some(held.issues_from), held.root.retire_at]);
        dates.flatten().filter(|moment| *moment > now).min()
    }

    /// Everything as PEM, the keys first. Secret.
    pub(crate) fn to_pem(&self) -> Zeroizing<String> {
        let dates = self.held.iter().filter_map(Held::dates).collect();
        let line = Preamble { sequence: self.bundle.sequence(), dates }.line();
        let keys: Vec<_> = self.held.iter().map(|held| key_pem::write(&held.issuer.key)).collect();
        let roots = self.bundle.to_pem();
        // Room for everything at once: a growing text would leave copies of keys behind.
        let room = line.len() + keys.iter().map(|key| key.len()).sum::<usize>() + roots.len();
        let mut pem = Zeroizing::new(String::with_capacity(room));
        pem.push_str(&line);
        for key in &keys {
            pem.push_str(key);
        }
        pem.push_str(&roots);
        pem
    }

    /// Reads what [`Roots::to_pem`] wrote, or an earlier version, which had no dates and no sequence.
    pub(crate) fn from_pem(pem: &[u8]) -> Result<Self, IdentityError> {
        let (keys, certificates) = key_pem::read_all(pem)?;
        let preamble = match std::str::from_utf8(pem).map(Preamble::read) {
            Ok(read) => read?,
            Err(_) => None,
        };
        let preamble = preamble.unwrap_or(Preamble { sequence: FIRST_SEQUENCE, dates: Vec::new() });
        let bundle = TrustBundle::from_dated_pem(certificates, &preamble)?;
        let mut held = Vec::with_capacity(keys.len());
        for key in keys {
            let spki_der = key.spki_der();
            let root = bundle.roots().iter().find(|root| root.spki_der == spki_der);
            let root = root.ok_or(IdentityError::KeyMismatch)?.clone();
            let issues_from = preamble.issues_from(root.fingerprint()).unwrap_or(SystemTime::UNIX_EPOCH);
            held.push(Held { issuer: Arc::new(Issuer::new(key)?), root, issues_from });
        }
        let missing =
            bundle.roots().iter().find(|root| !held.iter().any(|held| held.root.spki_der == root.spki_der));
        if let Some(root) = missing {
            return Err(IdentityError::Bundle(format!(
                "the private key of the {} root is missing; restore the file from a backup, or move it away to start \
                 a new authority (every agent must then enrol again)",
                root.algorithm().id
            )));
        }
        let domain = SpiffeId::of_trust_domain(bundle.trust_domain())?;
        Ok(Self { domain, held, bundle, signed: OnceLock::new() })
    }
}

/// The end of the root of an algorithm that is not being replaced.
fn lasting_until(held: &[Held], algorithm: &Algorithm) -> Option<SystemTime> {
    let lasting = held.iter().filter(|held| held.is_of(algorithm) && held.root.retire_at.is_none());
    lasting.map(|held| held.root.not_after()).max()
}

fn lasts(end: SystemTime, now: SystemTime) -> bool {
    end > now + ROOT_RENEWED_BEFORE
}

fn is_over(held: &Held, now: SystemTime) -> bool {
    held.root.retire_at.is_some_and(|end| end <= now)
}

/// Adds a root beside those of its algorithm and gives these their last day.
fn replace(
    held: &mut Vec<Held>,
    domain: &SpiffeId,
    (algorithm, now): (&'static Algorithm, SystemTime),
    overlap: Duration,
) -> Result<Rotation, IdentityError> {
    let now = whole_seconds(now);
    let (issues_from, retire_at) = (whole_seconds(now + overlap / 2), now + overlap);
    let mut old = Vec::new();
    for held in held.iter_mut().filter(|held| held.is_of(algorithm)) {
        let end = held.root.retire_at.map_or(retire_at, |end| end.min(retire_at));
        held.root.retire_at = Some(end);
        old.push(held.root.fingerprint().to_owned());
    }
    if old.is_empty() {
        return Err(IdentityError::NoRoot { algorithm: algorithm.id });
    }
    let fresh = Held { issues_from, ..Held::make(domain, algorithm, now)? };
    let new = fresh.root.fingerprint().to_owned();
    held.push(fresh);
    Ok(Rotation { algorithm, new, old, issues_from, retire_at: whole_seconds(retire_at) })
}

/// One more than before, and at least the seconds since 1970: so a gateway that was set back to a copy of its state
/// still finds a number that its peers have not seen.
fn next_sequence(before: u64, now: SystemTime) -> u64 {
    (before + 1).max(unix_seconds(now))
}
