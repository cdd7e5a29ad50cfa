//! Suites: a profile turned into what rustls runs, and proven to work.

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, WebPkiSupportedAlgorithms};
use rustls::{NamedGroup, SignatureScheme};

use crate::catalog::{self, Algorithm, Kind, Nature, Phase};
use crate::conditions::{Conditions, Ending};
use crate::profile::Profile;
use crate::sign::Keys;
use crate::{CryptoError, CryptoRefused, PrivateKey, cipher, group, judge, self_test, verify};

/// A profile, compiled and self-tested. Cheap to clone.
///
/// TLS 1.3 only: neither this crate nor its dependencies are built with anything older.
#[derive(Clone, Debug)]
pub struct Suite {
    profile: &'static Profile,
    conditions: Conditions,
    rows: Rows,
    /// Which library runs each group, in the order of the groups.
    providers: Arc<[&'static str]>,
    identities: Arc<[&'static Algorithm]>,
    retired: Arc<[&'static Algorithm]>,
    /// Every permitted group.
    every: Arc<CryptoProvider>,
    /// The quantum-safe groups alone; none if the profile has none.
    quantum_safe: Option<Arc<CryptoProvider>>,
}

/// What is in force, the preferred first.
#[derive(Clone, Debug, Default)]
struct Rows {
    groups: Vec<&'static Algorithm>,
    signatures: Vec<&'static Algorithm>,
    ciphers: Vec<&'static Algorithm>,
}

impl Suite {
    pub(crate) fn compile(profile: &'static Profile, conditions: &Conditions) -> Result<Self, CryptoError> {
        if let Some(not_after) = profile.not_after
            && conditions.date > catalog::parse_date(not_after)
        {
            return Err(CryptoError::ProfileEnded {
                profile: profile.name,
                not_after,
                instead: "pq-kex, which requires post-quantum key exchange",
            });
        }
        let mut retired = Vec::new();
        let mut select = |ids, what| select(profile, ids, what, conditions, &mut retired);
        let rows = Rows {
            groups: select(profile.groups, "group")?,
            signatures: select(profile.signatures, "signature")?,
            ciphers: select(profile.ciphers, "cipher")?,
        };
        Self::assemble(profile, conditions, rows, retired)
    }

    /// A suite that accepts whatever this one or any of `others` accepts and prefers what
    /// this one prefers: for a listener with exceptions for some of its peers, who are known
    /// only after the handshake and are then judged by the suite that is theirs.
    ///
    /// # Errors
    /// [`CryptoError::SelfTest`].
    pub fn union(&self, others: &[&Self]) -> Result<Self, CryptoError> {
        fn add(rows: &mut Vec<&'static Algorithm>, more: &[&'static Algorithm]) {
            for row in more {
                if !rows.contains(row) {
                    rows.push(row);
                }
            }
        }
        let mut rows = self.rows.clone();
        for other in others {
            add(&mut rows.groups, &other.rows.groups);
            add(&mut rows.signatures, &other.rows.signatures);
            add(&mut rows.ciphers, &other.rows.ciphers);
        }
        // Quantum-safe first, otherwise in the order in which they came.
        rows.groups.sort_by_key(|row| !row.is_quantum_safe());
        rows.signatures.sort_by_key(|row| !row.is_quantum_safe());
        Self::assemble(self.profile, &self.conditions, rows, self.retired.to_vec())
    }

    fn assemble(
        profile: &'static Profile,
        conditions: &Conditions,
        rows: Rows,
        retired: Vec<&'static Algorithm>,
    ) -> Result<Self, CryptoError> {
        let groups: Vec<(&'static str, &'static dyn SupportedKxGroup)> =
            resolve(&rows.groups, |row| group_in_force(profile, conditions, row))?;
        let cipher_suites = resolve(&rows.ciphers, |row| implemented(row, cipher::implementation(row)))?;
        resolve(&rows.signatures, |row| implemented(row, verify::implementations(row).first()))?;
        let identities = identities(&rows.signatures);
        if identities.is_empty() {
            return Err(CryptoError::NothingLeft {
                profile: profile.name,
                what: "signature for which keys are made here",
                date: conditions.date.to_string(),
                why: "those that are left are accepted from peers only".to_owned(),
            });
        }
        let every = Arc::new(CryptoProvider {
            cipher_suites,
            kx_groups: groups.iter().map(|(_, group)| *group).collect(),
            signature_verification_algorithms: verify::tables(&rows.signatures),
            secure_random: rustls::crypto::aws_lc_rs::default_provider().secure_random,
            key_provider: &Keys,
        });
        let suite = Self {
            profile,
            conditions: conditions.clone(),
            quantum_safe: quantum_safe_only(&every, &rows.groups),
            rows,
            providers: groups.iter().map(|(provider, _)| *provider).collect(),
            identities: identities.into(),
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

    /// The circumstances that this was compiled under.
    #[must_use]
    pub fn conditions(&self) -> &Conditions {
        &self.conditions
    }

    /// The number of the configuration that this was compiled for.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.conditions.epoch
    }

    /// Permitted key exchange groups, the preferred first.
    #[must_use]
    pub fn groups(&self) -> &[&'static Algorithm] {
        &self.rows.groups
    }

    /// Permitted signature algorithms, the preferred first.
    #[must_use]
    pub fn signatures(&self) -> &[&'static Algorithm] {
        &self.rows.signatures
    }

    /// Permitted cipher suites, the preferred first.
    #[must_use]
    pub fn ciphers(&self) -> &[&'static Algorithm] {
        &self.rows.ciphers
    }

    /// What our own leaves are made of: of each nature the first permitted signature for
    /// which keys are made here, the strongest first.
    #[must_use]
    pub fn identities(&self) -> &[&'static Algorithm] {
        &self.identities
    }

    /// Which library runs a permitted group.
    #[must_use]
    pub fn provider_of(&self, group: &Algorithm) -> Option<&'static str> {
        let at = self.rows.groups.iter().position(|row| *row == group)?;
        Some(self.providers[at])
    }

    /// What is permitted but past its `warn_after` date: plan its replacement.
    #[must_use]
    pub fn warned(&self) -> Vec<&'static Algorithm> {
        let warned = |row: &&Algorithm| self.conditions.phase_of(row) == Phase::Warned;
        self.permitted().filter(warned).collect()
    }

    /// What the profile lists but a ban or a date keeps out.
    #[must_use]
    pub fn retired(&self) -> &[&'static Algorithm] {
        &self.retired
    }

    /// What is permitted and has a dated end.
    #[must_use]
    pub fn endings(&self) -> Vec<Ending> {
        self.permitted().filter_map(|row| self.conditions.ending_of(row)).collect()
    }

    /// Whether everything that `old` permits is permitted here, by the same libraries: then
    /// sessions that were made under it may be resumed.
    #[must_use]
    pub fn admits_everything_of(&self, old: &Self) -> bool {
        let same = |row: &&'static Algorithm| self.provider_of(row) == old.provider_of(row);
        let here: Vec<_> = self.permitted().collect();
        old.permitted().all(|row| here.contains(&row)) && old.rows.groups.iter().all(same)
    }

    fn permitted(&self) -> impl Iterator<Item = &'static Algorithm> {
        let Rows { groups, signatures, ciphers } = &self.rows;
        groups.iter().chain(signatures).chain(ciphers).copied()
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
                offered: judge::names(Kind::Group, offered.iter().map(|group| u16::from(*group))),
                required: self.rows.groups.iter().map(|row| row.id.to_owned()).collect(),
                what: CryptoRefused::GROUP,
            })
    }

    /// The preferred of the `held` algorithms that is permitted and which a client that
    /// `offered` these signature schemes can verify.
    ///
    /// # Errors
    /// [`CryptoRefused`] if there is none; `required` then names what we hold.
    pub fn choose_signature(
        &self,
        offered: &[SignatureScheme],
        held: &[&'static Algorithm],
    ) -> Result<&'static Algorithm, CryptoRefused> {
        let permitted = || {
            let rows = self.rows.signatures.iter().copied();
            rows.filter(|row| held.contains(row))
        };
        let offers = |row: &&Algorithm| {
            let mut schemes = offered.iter().map(|scheme| u16::from(*scheme));
            schemes.any(|scheme| Some(scheme) == row.code_point)
        };
        permitted().find(offers).ok_or_else(|| CryptoRefused {
            offered: judge::names(Kind::Signature, offered.iter().map(|scheme| u16::from(*scheme))),
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

/// A provider that permits exactly these, for looking at what an endpoint can do. No profile
/// stands behind it: nothing may be sent over what it negotiates.
#[must_use]
pub fn probe_provider(groups: &[&'static Algorithm], signatures: &[&'static Algorithm]) -> CryptoProvider {
    let group = |row: &&'static Algorithm| {
        row.providers.iter().find_map(|provider| group::implementation(row, provider))
    };
    let ciphers = catalog::all().iter().filter_map(cipher::implementation);
    CryptoProvider {
        cipher_suites: ciphers.collect(),
        kx_groups: groups.iter().filter_map(group).collect(),
        signature_verification_algorithms: verify::tables(signatures),
        secure_random: rustls::crypto::aws_lc_rs::default_provider().secure_random,
        key_provider: &Keys,
    }
}

/// Rows of a profile's list, without those that are banned or whose time is over.
fn select(
    profile: &'static Profile,
    ids: &[&'static str],
    what: &'static str,
    conditions: &Conditions,
    retired: &mut Vec<&'static Algorithm>,
) -> Result<Vec<&'static Algorithm>, CryptoError> {
    let rows = ids.iter().map(|id| {
        catalog::find(id)
            .filter(|row| row.is_usable())
            .ok_or_else(|| CryptoError::unusable(id, "the catalog has no such algorithm in use"))
    });
    let rows: Vec<_> = rows.collect::<Result<_, _>>()?;
    let (refused, current): (Vec<_>, Vec<_>) =
        rows.into_iter().partition(|row| conditions.refusal_of(row).is_some());
    if current.is_empty() {
        let why = |row: &&'static Algorithm| {
            format!("{}: {}", row.id, conditions.refusal_of(row).unwrap_or_default())
        };
        return Err(CryptoError::NothingLeft {
            profile: profile.name,
            what,
            date: conditions.date.to_string(),
            why: refused.iter().map(why).collect::<Vec<_>>().join("; "),
        });
    }
    retired.extend(refused);
    Ok(current)
}

/// Of each nature, the strongest first, the first signature for which keys are made here.
pub(crate) fn identities(signatures: &[&'static Algorithm]) -> Vec<&'static Algorithm> {
    [Nature::Hybrid, Nature::PostQuantum, Nature::Traditional]
        .into_iter()
        .filter_map(|nature| {
            let mut of_nature = signatures.iter().filter(|row| row.nature == nature);
            of_nature.find(|row| PrivateKey::can_make(row)).copied()
        })
        .collect()
}

/// The library that runs a group, and its code: the profile's choice, else the catalog's
/// first, of those that are not banned.
fn group_in_force(
    profile: &Profile,
    conditions: &Conditions,
    row: &'static Algorithm,
) -> Result<(&'static str, &'static dyn SupportedKxGroup), CryptoError> {
    let chosen = profile.providers.iter().find(|(id, _)| *id == row.id).map(|(_, provider)| *provider);
    let permitted = |provider: &&'static str| conditions.provider_ban(row, provider).is_none();
    if let Some(provider) = chosen.filter(permitted) {
        let why = format!("profile {} wants it from {provider}, which this machine cannot run", profile.name);
        let group = group::implementation(row, provider);
        return group.map(|group| (provider, group)).ok_or_else(|| CryptoError::unusable(row.id, &why));
    }
    let mut providers = row.providers.iter().copied().filter(permitted);
    let found = providers.find_map(|provider| Some((provider, group::implementation(row, provider)?)));
    implemented(row, found)
}

fn implemented<T>(row: &Algorithm, found: Option<T>) -> Result<T, CryptoError> {
    found.ok_or_else(|| CryptoError::unusable(row.id, "this build has no implementation of it"))
}

/// The implementation of each row, or an error naming the one that has none.
fn resolve<T>(
    rows: &[&'static Algorithm],
    implementation: impl Fn(&'static Algorithm) -> Result<T, CryptoError>,
) -> Result<Vec<T>, CryptoError> {
    rows.iter().map(|row| implementation(row)).collect()
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

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use jiff::civil::Date;

    use super::*;
    use crate::{Ban, Capabilities, Posture, Sunset, profile};

    fn date(text: &str) -> Date {
        text.parse().unwrap()
    }

    fn on(day: &str) -> Conditions {
        Conditions::on(3, date(day))
    }

    fn suite(alias: &str) -> Suite {
        profile::find(alias).unwrap().compile_under(&on("2026-11-22")).unwrap()
    }

    fn banning(alias: &str, target: &str, keep_hybrids: bool) -> Result<Suite, CryptoError> {
        let (algorithm, provider) = Ban::parse_target(target).unwrap();
        let reason = "a test".to_owned();
        let ban = Ban { algorithm, provider, keep_hybrids, reason, ..Ban::default() };
        let conditions = Conditions { bans: Arc::from([ban]), ..on("2026-11-22") };
        profile::find(alias).unwrap().compile_under(&conditions)
    }

    fn ids(rows: &[&'static Algorithm]) -> Vec<&'static str> {
        rows.iter().map(|row| row.id).collect()
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
    fn our_own_leaves_are_the_first_of_each_nature() {
        let table: [(&str, &[&str]); 6] = [
            ("pq-hybrid", &["MLDSA65-Ed25519-SHA512", "ML-DSA-65"]),
            ("pq-kex", &["MLDSA65-Ed25519-SHA512", "ML-DSA-65", "ECDSA-P256-SHA256"]),
            ("bsi-hybrid", &["MLDSA65-ECDSA-P256-SHA512"]),
            ("cnsa2", &["ML-DSA-87"]),
            ("low-latency", &["MLDSA44-Ed25519-SHA512"]),
            ("lattice-broken", &["SLH-DSA-SHA2-128f", "ECDSA-P256-SHA256"]),
        ];
        for (alias, identities) in table {
            assert_eq!(ids(suite(alias).identities()), identities, "{alias}");
            assert_eq!(ids(&profile::find(alias).unwrap().identities()), identities, "{alias}");
        }
    }

    #[test]
    fn tables_are_made_once_for_each_profile() {
        let [first, second] = [(); 2].map(|()| suite("pq-kex").verification_algorithms());
        assert!(std::ptr::eq(first.all, second.all));
        assert!(std::ptr::eq(first.mapping, second.mapping));
    }

    #[test]
    fn the_preferred_that_both_sides_know_is_chosen() {
        let kex = suite("pq-kex");
        let row = |id: &str| catalog::find(id).unwrap();
        let composite = "MLDSA65-Ed25519-SHA512";
        let all = kex.identities().to_vec();
        let table: [(&[&str], &[&'static Algorithm], Option<&str>); 6] = [
            (&["ECDSA-P256-SHA256", "ML-DSA-65", composite], &all, Some(composite)),
            (&["ECDSA-P256-SHA256", "ML-DSA-65"], &all, Some("ML-DSA-65")),
            (&["RSA-PSS-SHA256", "ECDSA-P256-SHA256"], &all, Some("ECDSA-P256-SHA256")),
            (&["ECDSA-P256-SHA256", composite], &[row("ECDSA-P256-SHA256")], Some("ECDSA-P256-SHA256")),
            (&["ML-DSA-44"], &all, None),
            (&[], &all, None),
        ];
        for (offered, held, expected) in table {
            let chosen = kex.choose_signature(&schemes(offered), held);
            assert_eq!(chosen.ok().map(|row| row.id), expected, "{offered:?}");
        }
        let held = [row("ECDSA-P384-SHA384"), row("RSA-PSS-SHA256")];
        let offered = schemes(&["RSA-PSS-SHA256", "ECDSA-P384-SHA384"]);
        assert_eq!(kex.choose_signature(&offered, &held).unwrap().id, "ECDSA-P384-SHA384");
    }

    #[test]
    fn an_algorithm_outside_the_profile_is_not_chosen_even_if_held_and_offered() {
        let hybrid = suite("pq-hybrid");
        let held = suite("pq-kex").identities().to_vec();
        let refused = hybrid.choose_signature(&schemes(&["ECDSA-P256-SHA256"]), &held).unwrap_err();
        assert_eq!(refused.what, CryptoRefused::SIGNATURE);
        assert_eq!(refused.offered, ["ECDSA-P256-SHA256"]);
        assert_eq!(refused.required, ["MLDSA65-Ed25519-SHA512", "ML-DSA-65"]);
        assert!(refused.to_string().contains("no signature algorithm in common"));
    }

    #[test]
    fn dates_warn_retire_and_end() {
        let kex = profile::find("pq-kex").unwrap();
        let warned = kex.compile_under(&on("2031-01-01")).unwrap();
        assert!(warned.warned().iter().any(|row| row.id == "ECDSA-P256-SHA256"));
        assert!(warned.retired().is_empty());
        let ending = warned.endings().into_iter().find(|ending| ending.algorithm == "Ed25519").unwrap();
        assert_eq!((ending.phase, ending.not_after.as_deref()), (Phase::Warned, Some("2035-12-31")));

        let later = kex.compile_under(&on("2036-01-01")).unwrap();
        assert!(later.retired().iter().any(|row| row.id == "ECDSA-P256-SHA256"));
        assert!(later.signatures().iter().all(|row| row.is_quantum_safe()));
        assert!(!later.admits_everything_of(&warned) && warned.admits_everything_of(&later));

        let transition = profile::find("pq-transition").unwrap();
        transition.compile_under(&on("2030-12-31")).unwrap();
        let ended = transition.compile_under(&on("2031-01-01")).unwrap_err();
        assert!(matches!(ended, CryptoError::ProfileEnded { .. }));
        assert!(ended.to_string().contains("2030-12-31; choose pq-kex"), "{ended}");
    }

    #[test]
    fn a_sunset_brings_the_end_forward_and_never_back() {
        let sunset = |not_after: &str| Sunset {
            algorithm: "Ed25519".to_owned(),
            warn_after: None,
            not_after: Some(not_after.to_owned()),
        };
        let kex = profile::find("pq-kex").unwrap();
        for (not_after, day, retired) in [
            ("2026-11-21", "2026-11-22", true),
            ("2026-11-22", "2026-11-22", false),
            ("2099-01-01", "2036-01-01", true),
        ] {
            let sunsets = Arc::from([sunset(not_after)]);
            let suite = kex.compile_under(&Conditions { sunsets, ..on(day) }).unwrap();
            assert_eq!(suite.retired().iter().any(|row| row.id == "Ed25519"), retired, "{not_after}");
        }
    }

    /// Which algorithms a ban takes away: whole, with its hybrids or without, or one
    /// implementation.
    #[test]
    fn a_ban_takes_effect_in_every_list_checklist_11() {
        let whole = banning("pq-transition", "X25519", false).unwrap();
        assert!(whole.groups().iter().all(|row| !row.id.contains("X25519")));
        let kept = banning("pq-transition", "X25519", true).unwrap();
        assert!(kept.groups().iter().any(|row| row.id == "X25519MLKEM768"));
        assert!(kept.groups().iter().all(|row| row.id != "X25519"));

        let reissued = banning("pq-hybrid", "ML-DSA-65", false).unwrap();
        assert_eq!(ids(reissued.identities()), ["MLDSA44-Ed25519-SHA512"]);

        let empty = banning("cnsa2", "MLKEM1024", false).unwrap_err();
        assert!(matches!(empty, CryptoError::NothingLeft { what: "group", .. }), "{empty}");
        assert!(empty.to_string().contains("MLKEM1024 is banned: a test"), "{empty}");

        assert!(Ban::parse_target("ROT13").is_err());
        let error = Ban::parse_target("tin/X25519MLKEM768").unwrap_err().to_string();
        assert!(error.contains("it has aws-lc, graviola"), "{error}");
    }

    /// The same algorithm by another library, chosen by a profile or after a ban.
    #[test]
    fn a_second_provider_takes_over_checklist_12() {
        let row = catalog::find("X25519MLKEM768").unwrap();
        assert_eq!(suite("pq-hybrid").provider_of(row), Some("aws-lc"));
        if crate::graviola::group(row.id).is_none() {
            let lost = banning("pq-hybrid", "aws-lc/X25519MLKEM768", false);
            assert!(matches!(lost, Err(CryptoError::UnusableAlgorithm { .. })));
            return;
        }
        let other = banning("pq-hybrid", "aws-lc/X25519MLKEM768", false).unwrap();
        assert_eq!(other.provider_of(row), Some("graviola"));
        assert!(!other.admits_everything_of(&suite("pq-hybrid")));
        let posture = Posture { group: row.id.to_owned(), provider: "aws-lc".to_owned(), ..posture() };
        assert_eq!(other.judge(&posture)[0].part, "provider");
        assert_eq!(other.judge(&Posture { provider: "graviola".to_owned(), ..posture.clone() }), []);
        assert_eq!(suite("pq-hybrid").judge(&posture), []);
        let composed = banning("pq-hybrid", "aws-lc/MLKEM1024", false).unwrap();
        assert!(composed.groups().iter().all(|row| row.id != "SecP384r1MLKEM1024"));
    }

    fn posture() -> Posture {
        let text = |text: &str| text.to_owned();
        Posture {
            protocol: text("TLSv1.3"),
            group: text("X25519MLKEM768"),
            provider: text("aws-lc"),
            cipher: text("TLS_AES_256_GCM_SHA384"),
            peer_signature: Some(text("MLDSA65-Ed25519-SHA512")),
            own_signature: Some(text("MLDSA65-Ed25519-SHA512")),
            resumed: false,
            hello_retry: false,
            handshake_us: 1,
            bytes_in: 1,
            bytes_out: 1,
            epoch: 1,
            profile: text("pq-hybrid@20261122"),
        }
    }

    #[test]
    fn a_link_is_judged_by_what_it_is() {
        let table: [(&str, &[&str]); 5] = [
            ("pq-hybrid", &[]),
            ("bsi-hybrid", &[]),
            ("nist-fips", &["peer signature", "own signature"]),
            ("cnsa2", &["group", "peer signature", "own signature"]),
            ("low-latency", &["cipher", "peer signature", "own signature"]),
        ];
        for (alias, parts) in table {
            let breaches = suite(alias).judge(&posture());
            assert_eq!(
                breaches.iter().map(|breach| breach.part.as_str()).collect::<Vec<_>>(),
                parts,
                "{alias}"
            );
        }
        let banned = banning("pq-hybrid", "Ed25519", false).unwrap();
        let breach = &banned.judge(&posture())[0];
        assert_eq!(breach.to_string(), "peer signature MLDSA65-Ed25519-SHA512: Ed25519 is banned: a test");
    }

    #[test]
    fn a_handshake_is_foreseen_as_it_would_be() {
        let hybrid = Capabilities::of_suite(&suite("pq-hybrid"));
        let seen = suite("bsi-hybrid").foresee(&hybrid).unwrap();
        assert_eq!((seen.group.as_str(), seen.hello_retry_likely), ("X25519MLKEM768", false));
        assert_eq!(seen.signature, "MLDSA65-ECDSA-P256-SHA512");
        let refused = suite("cnsa2").foresee(&hybrid).unwrap_err();
        assert_eq!(refused.required, ["MLKEM1024"]);
        let signatures = suite("cnsa2-transition").foresee(&hybrid).unwrap_err();
        assert_eq!(signatures.what, CryptoRefused::SIGNATURE);
    }

    #[test]
    fn a_union_accepts_what_either_accepts() {
        let cnsa = suite("cnsa2");
        let both = cnsa.union(&[&suite("pq-transition")]).unwrap();
        assert_eq!((both.profile(), both.groups()[0].id), (cnsa.profile(), "MLKEM1024"));
        assert!(both.admits_everything_of(&cnsa) && both.admits_everything_of(&suite("pq-transition")));
        let safe: Vec<_> = both.groups().iter().map(|row| row.is_quantum_safe()).collect();
        assert!(safe.iter().rev().is_sorted(), "{safe:?}");
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
            providers: &[],
            guidance: &[],
        };
        static ENDED: Profile = Profile { groups: &["X25519"], ..RESERVED };
        let error = RESERVED.compile(1).unwrap_err().to_string();
        assert!(error.contains("HQC-192"), "{error}");
        let error = ENDED.compile_under(&on("2036-01-01")).unwrap_err();
        assert!(matches!(error, CryptoError::NothingLeft { what: "group", .. }), "{error}");
        ENDED.compile_under(&on("2026-11-22")).unwrap();
    }
}
