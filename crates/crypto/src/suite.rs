//! Suites: a profile turned into what rustls runs, and proven to work.

use std::collections::HashSet;
use std::sync::Arc;

use jiff::civil::Date;
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::{NamedGroup, SignatureScheme};

use crate::catalog::{self, Algorithm, Kind, Phase};
use crate::profile::{Family, Profile};
use crate::sign::Keys;
use crate::{CryptoError, CryptoRefused, cipher, group, self_test, verify};

/// A profile, compiled and self-tested. Cheap to clone.
///
/// TLS 1.3 only: neither this crate nor its dependencies are built with anything older.
#[derive(Clone, Debug)]
pub struct Suite {
    profile: &'static Profile,
    epoch: u64,
    groups: Arc<[&'static Algorithm]>,
    signatures: Arc<[&'static Algorithm]>,
    warned: Arc<[&'static Algorithm]>,
    retired: Arc<[&'static Algorithm]>,
    /// Every permitted group.
    every: Arc<CryptoProvider>,
    /// The quantum-safe groups alone; none if the profile has none.
    quantum_safe: Option<Arc<CryptoProvider>>,
}

impl Suite {
    pub(crate) fn compile(profile: &'static Profile, epoch: u64, date: Date) -> Result<Self, CryptoError> {
        if let Some(not_after) = profile.not_after
            && date > catalog::parse_date(not_after)
        {
            return Err(CryptoError::ProfileEnded {
                profile: profile.name,
                not_after,
                instead: "pq-kex, which requires post-quantum key exchange",
            });
        }
        let mut retired = Vec::new();
        let mut select = |ids, what| select(profile, ids, what, date, &mut retired);
        let groups = select(profile.groups, "group")?;
        let signatures = select(profile.signatures, "signature")?;
        let ciphers = select(profile.ciphers, "cipher")?;

        let cipher_suites = resolve(&ciphers, cipher::implementation)?;
        let kx_groups = resolve(&groups, group::implementation)?;
        resolve(&signatures, |row| verify::implementations(row).first())?;
        let every = Arc::new(CryptoProvider {
            cipher_suites,
            kx_groups,
            signature_verification_algorithms: verify::tables(&signatures),
            secure_random: rustls::crypto::aws_lc_rs::default_provider().secure_random,
            key_provider: &Keys,
        });
        let rows = groups.iter().chain(&signatures).chain(&ciphers).copied();
        let suite = Self {
            profile,
            epoch,
            warned: rows.filter(|row| row.phase_on(date) == Phase::Warned).collect(),
            quantum_safe: quantum_safe_only(&every, &groups),
            groups: groups.into(),
            signatures: signatures.into(),
            retired: retired.into(),
            every,
        };
        self_test::run(&suite)?;
        Ok(suite)
    }

    /// The profile that this was compiled from.
    #[must_use]
    pub fn profile(&self) -> &'static Profile {
        self.profile
    }

    /// The generation of the configuration that this was compiled for.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Permitted key exchange groups, the preferred first.
    #[must_use]
    pub fn groups(&self) -> &[&'static Algorithm] {
        &self.groups
    }

    /// Permitted signature algorithms, the preferred first.
    #[must_use]
    pub fn signatures(&self) -> &[&'static Algorithm] {
        &self.signatures
    }

    /// What is permitted but past its `warn_after` date: plan its replacement.
    #[must_use]
    pub fn warned(&self) -> &[&'static Algorithm] {
        &self.warned
    }

    /// What the profile lists but its dates keep out: not yet, or no longer.
    #[must_use]
    pub fn retired(&self) -> &[&'static Algorithm] {
        &self.retired
    }

    /// Provider for our own dialers: every permitted group, the quantum-safe first, in the
    /// profile's order. A rustls client sends a key share for the first.
    #[must_use]
    pub fn client_provider(&self) -> Arc<CryptoProvider> {
        Arc::clone(&self.every)
    }

    /// Provider for a server that has read the client's list of groups.
    ///
    /// A rustls server takes the first group of the *client's* list that it knows. So a
    /// client that lists X25519 before X25519MLKEM768 gets X25519 from a server that
    /// permits both. Preferring post-quantum key exchange therefore means to hand out a
    /// provider with nothing else whenever the client offers any of it.
    ///
    /// # Errors
    /// [`CryptoRefused`] if no permitted group was offered.
    pub fn server_provider(&self, offered: &[NamedGroup]) -> Result<Arc<CryptoProvider>, CryptoRefused> {
        let knows = |provider: &CryptoProvider| {
            let mut groups = provider.kx_groups.iter();
            groups.any(|group| offered.contains(&group.name()))
        };
        [self.quantum_safe.as_ref(), Some(&self.every)]
            .into_iter()
            .flatten()
            .find(|provider| knows(provider))
            .cloned()
            .ok_or_else(|| CryptoRefused {
                offered: names(Kind::Group, offered.iter().map(|group| u16::from(*group))),
                required: self.groups.iter().map(|row| row.id.to_owned()).collect(),
                what: CryptoRefused::GROUP,
            })
    }

    /// The strongest of the `held` families whose default algorithm is permitted and which
    /// a client that `offered` these signature schemes can verify.
    ///
    /// # Errors
    /// [`CryptoRefused`] if there is none; `required` then names what we hold.
    pub fn choose_family(
        &self,
        offered: &[SignatureScheme],
        held: &[Family],
    ) -> Result<Family, CryptoRefused> {
        let held: Vec<_> = held.iter().map(|family| family.default_algorithm()).collect();
        self.choose_signature(offered, &held).map(Family::of)
    }

    /// As [`Suite::choose_family`], for leaves that are not of a family's default
    /// algorithm, such as a certificate from outside.
    ///
    /// # Errors
    /// [`CryptoRefused`] if there is none; `required` then names what we hold.
    pub fn choose_signature(
        &self,
        offered: &[SignatureScheme],
        held: &[&'static Algorithm],
    ) -> Result<&'static Algorithm, CryptoRefused> {
        let permitted = || {
            let rows = self.signatures.iter().copied();
            rows.filter(|row| held.contains(row))
        };
        let offers = |row: &&Algorithm| {
            let mut schemes = offered.iter().map(|scheme| u16::from(*scheme));
            schemes.any(|scheme| Some(scheme) == row.code_point)
        };
        permitted().find(offers).ok_or_else(|| CryptoRefused {
            offered: names(Kind::Signature, offered.iter().map(|scheme| u16::from(*scheme))),
            required: permitted().map(|row| row.id.to_owned()).collect(),
            what: CryptoRefused::SIGNATURE,
        })
    }

    /// Signature algorithms for handshakes and certificate chains, for rustls and webpki.
    #[must_use]
    pub fn verification_algorithms(&self) -> WebPkiSupportedAlgorithms {
        self.every.signature_verification_algorithms
    }
}

/// Rows of a profile's list, without those whose time is over.
fn select(
    profile: &'static Profile,
    ids: &[&'static str],
    what: &'static str,
    date: Date,
    retired: &mut Vec<&'static Algorithm>,
) -> Result<Vec<&'static Algorithm>, CryptoError> {
    let rows = ids.iter().map(|id| {
        catalog::find(id)
            .filter(|row| row.is_usable())
            .ok_or_else(|| CryptoError::unusable(id, "the catalog has no such algorithm in use"))
    });
    let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
    let (current, past): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|row| matches!(row.phase_on(date), Phase::Current | Phase::Warned));
    retired.extend(past);
    if current.is_empty() {
        return Err(CryptoError::NothingLeft { profile: profile.name, what, date: date.to_string() });
    }
    Ok(current)
}

/// The implementation of each row, or an error naming the one that has none.
fn resolve<T>(
    rows: &[&'static Algorithm],
    implementation: impl Fn(&'static Algorithm) -> Option<T>,
) -> Result<Vec<T>, CryptoError> {
    rows.iter()
        .map(|row| {
            implementation(row)
                .ok_or_else(|| CryptoError::unusable(row.id, "this build has no implementation of it"))
        })
        .collect()
}

fn quantum_safe_only(
    every: &Arc<CryptoProvider>,
    groups: &[&'static Algorithm],
) -> Option<Arc<CryptoProvider>> {
    if groups.iter().all(|row| row.is_quantum_safe()) {
        return Some(Arc::clone(every));
    }
    let kx_groups: Vec<_> = groups
        .iter()
        .zip(&every.kx_groups)
        .filter(|(row, _)| row.is_quantum_safe())
        .map(|(_, group)| *group)
        .collect();
    (!kx_groups.is_empty()).then(|| Arc::new(CryptoProvider { kx_groups, ..CryptoProvider::clone(every) }))
}

/// Names for a refusal. GREASE (RFC 8701) is noise that clients add on purpose.
fn names(kind: Kind, code_points: impl Iterator<Item = u16>) -> Vec<String> {
    let mut seen = HashSet::new();
    code_points
        .filter(|point| !is_grease(*point) && seen.insert(*point))
        .map(|point| catalog::name(kind, point))
        .collect()
}

fn is_grease(code_point: u16) -> bool {
    let [high, low] = code_point.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile;

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn suite(alias: &str) -> Suite {
        let profile = profile::find(alias).unwrap();
        profile.compile_on(3, date("2026-11-22")).unwrap()
    }

    fn schemes(ids: &[&str]) -> Vec<SignatureScheme> {
        let code_point = |id: &&str| catalog::find(id).unwrap().code_point.unwrap();
        ids.iter().map(|id| code_point(id).into()).collect()
    }

    #[test]
    fn every_profile_compiles_today_and_keeps_what_it_lists() {
        for profile in profile::all() {
            let suite = profile.compile(42).unwrap();
            assert_eq!((suite.profile(), suite.epoch()), (profile, 42));
            assert!(suite.retired().is_empty() && suite.warned().is_empty());
            let algorithms = suite.verification_algorithms();
            assert_eq!(algorithms.mapping.len(), profile.signatures.len());
        }
    }

    #[test]
    fn tables_are_made_once_for_each_profile() {
        let [first, second] = [(); 2].map(|()| suite("pq-kex").verification_algorithms());
        assert!(std::ptr::eq(first.all, second.all));
        assert!(std::ptr::eq(first.mapping, second.mapping));
    }

    #[test]
    fn the_strongest_family_that_both_sides_know_is_chosen() {
        use Family::{Composite, Ecdsa, MlDsa};
        let kex = suite("pq-kex");
        let composite = "MLDSA65-Ed25519-SHA512";
        let table: [(&[&str], &[Family], Option<Family>); 6] = [
            (&["ECDSA-P256-SHA256", "ML-DSA-65", composite], &Family::ALL, Some(Composite)),
            (&["ECDSA-P256-SHA256", "ML-DSA-65"], &Family::ALL, Some(MlDsa)),
            (&["RSA-PSS-SHA256", "ECDSA-P256-SHA256"], &Family::ALL, Some(Ecdsa)),
            (&["ECDSA-P256-SHA256", composite], &[Ecdsa], Some(Ecdsa)),
            (&["ML-DSA-44"], &Family::ALL, None),
            (&[], &Family::ALL, None),
        ];
        for (offered, held, expected) in table {
            let chosen = kex.choose_family(&schemes(offered), held);
            assert_eq!(chosen.as_ref().ok(), expected.as_ref(), "{offered:?}");
        }
    }

    #[test]
    fn a_family_outside_the_profile_is_not_chosen_even_if_held_and_offered() {
        let hybrid = suite("pq-hybrid");
        let refused = hybrid.choose_family(&schemes(&["ECDSA-P256-SHA256"]), &Family::ALL).unwrap_err();
        assert_eq!(refused.what, CryptoRefused::SIGNATURE);
        assert_eq!(refused.offered, ["ECDSA-P256-SHA256"]);
        assert_eq!(refused.required, ["MLDSA65-Ed25519-SHA512", "ML-DSA-65"]);
        assert!(refused.to_string().contains("no signature algorithm in common"));
    }

    #[test]
    fn leaves_from_outside_are_chosen_by_their_own_algorithm() {
        let kex = suite("pq-kex");
        let held = ["ECDSA-P384-SHA384", "RSA-PSS-SHA256"].map(|id| catalog::find(id).unwrap());
        let offered = schemes(&["RSA-PSS-SHA256", "ECDSA-P384-SHA384"]);
        assert_eq!(kex.choose_signature(&offered, &held).unwrap().id, "ECDSA-P384-SHA384");
        let offered = schemes(&["RSA-PSS-SHA256", "ECDSA-P256-SHA256"]);
        assert_eq!(kex.choose_signature(&offered, &held).unwrap().id, "RSA-PSS-SHA256");
    }

    #[test]
    fn dates_warn_retire_and_end() {
        let kex = profile::find("pq-kex").unwrap();
        let warned = kex.compile_on(1, date("2031-01-01")).unwrap();
        assert!(warned.warned().iter().any(|row| row.id == "ECDSA-P256-SHA256"));
        assert!(warned.retired().is_empty());

        let later = kex.compile_on(1, date("2036-01-01")).unwrap();
        assert!(later.retired().iter().any(|row| row.id == "ECDSA-P256-SHA256"));
        assert!(later.signatures().iter().all(|row| row.is_quantum_safe()));
        let algorithms = later.verification_algorithms();
        assert_eq!(algorithms.mapping.len(), later.signatures().len());

        let transition = profile::find("pq-transition").unwrap();
        transition.compile_on(1, date("2030-12-31")).unwrap();
        let ended = transition.compile_on(1, date("2031-01-01")).unwrap_err();
        assert!(matches!(ended, CryptoError::ProfileEnded { .. }));
        assert!(ended.to_string().contains("2030-12-31; choose pq-kex"), "{ended}");
    }

    #[test]
    fn what_is_unavailable_is_an_error_and_what_has_all_ended_too() {
        static RESERVED: Profile = Profile {
            name: "test@1",
            alias: "test",
            purpose: "lists what has no code",
            groups: &["HQC-192"],
            signatures: &["ML-DSA-65"],
            ciphers: &["TLS_AES_256_GCM_SHA384"],
            not_after: None,
        };
        static ENDED: Profile = Profile { groups: &["X25519"], ..RESERVED };
        let error = RESERVED.compile(1).unwrap_err().to_string();
        assert!(error.contains("HQC-192"), "{error}");
        let error = ENDED.compile_on(1, date("2036-01-01")).unwrap_err();
        assert!(matches!(error, CryptoError::NothingLeft { what: "group", .. }), "{error}");
        ENDED.compile_on(1, date("2026-11-22")).unwrap();
    }

    #[test]
    fn grease_is_recognised() {
        assert!([0x0a0a, 0x1a1a, 0xfafa].into_iter().all(is_grease));
        assert!(![0x001d, 0x11ec, 0x0a1a, 0xfe30].into_iter().any(is_grease));
    }
}
