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
mod tests;
