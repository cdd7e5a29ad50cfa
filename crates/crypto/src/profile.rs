//! Profiles: named, dated, immutable choices from the catalog.
//!
//! A profile's dated name (`pq-hybrid@20261122`) never changes its meaning; the alias
//! without the date moves to the newest. Configuration names profiles, never algorithms.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};

use crate::catalog::{self, Algorithm, Kind};
use crate::{Conditions, CryptoError, Suite};

/// A named choice of algorithms, in order of preference.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Profile {
    /// Dated name, unique for ever.
    pub name: &'static str,
    /// Name without the date, which moves to the newest profile of its kind.
    pub alias: &'static str,
    /// What it is for, in one sentence.
    pub purpose: &'static str,
    /// Key exchange groups, the preferred first; quantum-safe ones before traditional ones.
    pub groups: &'static [&'static str],
    /// Signature algorithms, the preferred first.
    pub signatures: &'static [&'static str],
    /// TLS 1.3 cipher suites, the preferred first.
    pub ciphers: &'static [&'static str],
    /// Last day on which the profile can be chosen, RFC 3339 full-date.
    pub not_after: Option<&'static str>,
    /// Which implementation runs an algorithm, as (catalog id, provider); the catalog's
    /// first for all others.
    pub providers: &'static [(&'static str, &'static str)],
    /// Whose guidance it follows.
    pub guidance: &'static [&'static str],
}

/// A profile that is not shipped: out of a signed document, or announced by a gateway.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Definition {
    /// See [`Profile::name`].
    pub name: String,
    /// See [`Profile::purpose`].
    #[serde(default)]
    pub purpose: String,
    /// See [`Profile::groups`].
    pub groups: Vec<String>,
    /// See [`Profile::signatures`].
    pub signatures: Vec<String>,
    /// See [`Profile::ciphers`].
    pub ciphers: Vec<String>,
    /// Catalog id to provider: see [`Profile::providers`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub providers: BTreeMap<String, String>,
    /// See [`Profile::not_after`].
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub not_after: Option<String>,
}

/// Most profiles that a process can take in besides the shipped ones: each stays in memory
/// for good, since handshakes hold on to it.
pub const DEFINED_MAX: usize = 256;

/// The profiles that can be named: the shipped ones, and those of a signed document.
#[derive(Clone, Debug, Default)]
pub struct Profiles {
    custom: Vec<&'static Profile>,
}

impl Profiles {
    /// The shipped ones.
    #[must_use]
    pub fn shipped() -> Self {
        Self::default()
    }

    /// The shipped ones and these.
    #[must_use]
    pub fn with(custom: Vec<&'static Profile>) -> Self {
        Self { custom }
    }

    /// All of them, the default first.
    #[must_use]
    pub fn all(&self) -> Vec<&'static Profile> {
        PROFILES.iter().chain(self.custom.iter().copied()).collect()
    }

    /// The profile with this dated name or alias.
    ///
    /// # Errors
    /// [`CryptoError::UnknownProfile`], which lists the names.
    pub fn find(&self, name: &str) -> Result<&'static Profile, CryptoError> {
        let all = self.all();
        // Of several with the alias the newest counts: dates sort as text.
        let mut found: Vec<_> =
            all.iter().filter(|profile| profile.name == name || profile.alias == name).collect();
        found.sort_by_key(|profile| profile.name);
        found.last().map(|profile| **profile).ok_or_else(|| CryptoError::UnknownProfile {
            name: name.to_owned(),
            known: all
                .iter()
                .flat_map(|profile| [profile.alias, profile.name])
                .collect::<Vec<_>>()
                .join(", "),
        })
    }
}

/// All profiles, the default first.
#[must_use]
pub fn all() -> &'static [Profile] {
    PROFILES
}

/// The default profile: `pq-hybrid`.
#[must_use]
pub fn default() -> &'static Profile {
    &PROFILES[0]
}

/// The profiles for the days on which one half of all hybrids fails.
#[must_use]
pub fn emergencies() -> Vec<&'static Profile> {
    let aliases = ["lattice-broken", "classical-broken"];
    PROFILES.iter().filter(|profile| aliases.contains(&profile.alias)).collect()
}

/// The profile with this dated name or alias.
///
/// # Errors
/// [`CryptoError::UnknownProfile`], which lists the names.
pub fn find(name: &str) -> Result<&'static Profile, CryptoError> {
    Profiles::shipped().find(name)
}

impl Profile {
    /// Takes in a profile that is not shipped. The same definition gives the same profile.
    ///
    /// # Errors
    /// [`CryptoError::UnusableAlgorithm`] for an id that is unknown, of another kind, without
    /// code or listed twice, and for a provider that the algorithm has not;
    /// [`CryptoError::Profile`] for a name without a date, an empty list, a bad date, or when
    /// [`DEFINED_MAX`] profiles were taken in before.
    pub fn define(definition: Definition) -> Result<&'static Self, CryptoError> {
        static DEFINED: Mutex<BTreeMap<Definition, &'static Profile>> = Mutex::new(BTreeMap::new());
        let mut defined = DEFINED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(profile) = defined.get(&definition) {
            return Ok(profile);
        }
        definition.check()?;
        if defined.len() >= DEFINED_MAX {
            return Err(definition.refused("too many profiles were taken in; restart the process"));
        }
        let profile: &'static Self = Box::leak(Box::new(definition.leak()));
        defined.insert(definition, profile);
        Ok(profile)
    }

    /// What our own leaves are made of under the profile, without looking at bans and dates: as
    /// [`Suite::identities`], without compiling it.
    #[must_use]
    pub fn identities(&self) -> Vec<&'static Algorithm> {
        let rows: Vec<_> = self.signatures.iter().filter_map(|id| catalog::find(id)).collect();
        crate::suite::identities(&rows)
    }

    /// Turns the profile into providers and tests them, as of today (UTC), with no bans.
    ///
    /// # Errors
    /// As [`Profile::compile_under`].
    pub fn compile(&'static self, epoch: u64) -> Result<Suite, CryptoError> {
        self.compile_under(&Conditions::today(epoch))
    }

    /// Turns the profile into providers and tests them.
    ///
    /// Algorithms that are banned, or past their `not_after`, are left out
    /// ([`Suite::retired`] names them). The result has completed a handshake against itself,
    /// in memory, with each group and with each signature that we present. Takes milliseconds.
    ///
    /// # Errors
    /// [`CryptoError::ProfileEnded`], [`CryptoError::NothingLeft`],
    /// [`CryptoError::UnusableAlgorithm`] (never a silent substitute) and
    /// [`CryptoError::SelfTest`].
    pub fn compile_under(&'static self, conditions: &Conditions) -> Result<Suite, CryptoError> {
        Suite::compile(self, conditions)
    }
}

impl Definition {
    fn refused(&self, why: &str) -> CryptoError {
        CryptoError::Profile { name: self.name.clone(), why: why.to_owned() }
    }

    pub(crate) fn check(&self) -> Result<(), CryptoError> {
        if alias_of(&self.name).is_none() {
            return Err(self.refused("a profile's name is like lab-hybrid@20261122: lower-case letters, digits, hyphens, and the day on which it was made"));
        }
        let lists = [
            (Kind::Group, &self.groups, "groups"),
            (Kind::Signature, &self.signatures, "signatures"),
            (Kind::Cipher, &self.ciphers, "ciphers"),
        ];
        for (kind, ids, what) in lists {
            if ids.is_empty() {
                return Err(self.refused(&format!("its list of {what} is empty")));
            }
            for (at, id) in ids.iter().enumerate() {
                check_id(id, kind)?;
                if ids[..at].contains(id) {
                    return Err(CryptoError::unusable(id, "it is listed twice"));
                }
            }
        }
        for (id, provider) in &self.providers {
            let row = catalog::find(id).filter(|row| row.providers.contains(&provider.as_str()));
            row.ok_or_else(|| CryptoError::unusable(id, &format!("it has no provider {provider}")))?;
        }
        match &self.not_after {
            Some(date) if date.parse::<jiff::civil::Date>().is_err() => {
                Err(self.refused(&format!("{date} is no date; write it like 2030-12-31")))
            }
            _ => Ok(()),
        }
    }

    fn leak(&self) -> Profile {
        fn text(text: &str) -> &'static str {
            String::leak(text.to_owned())
        }
        fn list(ids: &[String]) -> &'static [&'static str] {
            let rows = ids.iter().map(|id| catalog::find(id).expect("ids were checked").id);
            rows.collect::<Vec<_>>().leak()
        }
        let name = text(&self.name);
        let mut groups = list(&self.groups).to_vec();
        // Whatever order was written down, quantum-safe groups are preferred.
        groups.sort_by_key(|id| !catalog::find(id).expect("ids were checked").is_quantum_safe());
        let providers = self.providers.iter().map(|(id, provider)| (text(id), text(provider)));
        Profile {
            name,
            alias: alias_of(name).expect("names were checked"),
            purpose: text(&self.purpose),
            groups: groups.leak(),
            signatures: list(&self.signatures),
            ciphers: list(&self.ciphers),
            not_after: self.not_after.as_deref().map(text),
            providers: providers.collect::<Vec<_>>().leak(),
            guidance: &[],
        }
    }
}

/// The part of a dated name before the date.
fn alias_of(name: &str) -> Option<&str> {
    /// Enough for a word or three.
    const ALIAS_BYTES_MAX: usize = 48;
    let (alias, date) = name.split_once('@')?;
    let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    let dated = date.len() == 8 && date.bytes().all(|b| b.is_ascii_digit());
    let named = !alias.is_empty() && alias.len() <= ALIAS_BYTES_MAX && alias.bytes().all(letter);
    (dated && named).then_some(alias)
}

fn check_id(id: &str, kind: Kind) -> Result<(), CryptoError> {
    let row = catalog::find(id);
    let row = row.ok_or_else(|| CryptoError::unusable(id, "the catalog has no such algorithm"))?;
    if row.kind != kind {
        return Err(CryptoError::unusable(id, "it is of another kind"));
    }
    let in_tls = row.code_point.is_some();
    if !row.is_usable() || !in_tls {
        return Err(CryptoError::unusable(id, "this build has no implementation of it for TLS"));
    }
    Ok(())
}

const HYBRID_GROUPS: &[&str] = &["X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024"];

/// Keys of 256 bits only.
const STRONG_CIPHERS: &[&str] = &["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"];

/// With the one suite that every TLS 1.3 peer must have (RFC 9846 section 9.1).
const ALL_CIPHERS: &[&str] =
    &["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_128_GCM_SHA256"];

/// Every signature that a foreign peer of today may present, the strongest first.
const ALL_SIGNATURES: &[&str] = &[
    "MLDSA65-Ed25519-SHA512",
    "MLDSA65-ECDSA-P256-SHA512",
    "MLDSA44-Ed25519-SHA512",
    "MLDSA44-ECDSA-P256-SHA256",
    "ML-DSA-65",
    "ML-DSA-87",
    "ML-DSA-44",
    "ECDSA-P256-SHA256",
    "ECDSA-P384-SHA384",
    "Ed25519",
    "RSA-PSS-SHA256",
    "RSA-PSS-SHA384",
    "RSA-PSS-SHA512",
    "RSA-PKCS1-SHA256",
    "RSA-PKCS1-SHA384",
    "RSA-PKCS1-SHA512",
];

/// What a profile has unless it says otherwise.
const PROFILE: Profile = Profile {
    name: "",
    alias: "",
    purpose: "",
    groups: &[],
    signatures: &[],
    ciphers: STRONG_CIPHERS,
    not_after: None,
    providers: &[],
    guidance: &[],
};

static PROFILES: &[Profile] = &[
    Profile {
        name: "pq-hybrid@20261122",
        alias: "pq-hybrid",
        purpose: "between our own nodes: hybrid key exchange and post-quantum authentication, \
                  nothing traditional alone",
        groups: HYBRID_GROUPS,
        signatures: &[
            "MLDSA65-Ed25519-SHA512",
            "MLDSA65-ECDSA-P256-SHA512",
            "MLDSA44-Ed25519-SHA512",
            "MLDSA44-ECDSA-P256-SHA256",
            "ML-DSA-65",
        ],
        guidance: &["NCSC (UK): ML-KEM-768 and ML-DSA-65, hybrids as an interim", "SP 800-227"],
        ..PROFILE
    },
    Profile {
        name: "pq-kex@20261122",
        alias: "pq-kex",
        purpose: "with foreign clients and servers of today: post-quantum key exchange \
                  required, any strong authentication, each traditional signature reported",
        groups: &["X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024", "MLKEM1024", "MLKEM768"],
        signatures: ALL_SIGNATURES,
        ciphers: ALL_CIPHERS,
        guidance: &["OMB M-26-15: key establishment first"],
        ..PROFILE
    },
    Profile {
        name: "pq-transition@20261122",
        alias: "pq-transition",
        purpose: "with peers that know no post-quantum cryptography yet: preferred wherever \
                  offered, each traditional use reported, until the end date",
        groups: &[
            "X25519MLKEM768",
            "SecP256r1MLKEM768",
            "SecP384r1MLKEM1024",
            "MLKEM1024",
            "MLKEM768",
            "X25519",
            "secp256r1",
            "secp384r1",
        ],
        signatures: ALL_SIGNATURES,
        ciphers: ALL_CIPHERS,
        not_after: Some("2030-12-31"),
        guidance: &["NIST IR 8547 (draft): no 112-bit classical keys after 2030"],
        ..PROFILE
    },
    Profile {
        name: "bsi-hybrid@20261122",
        alias: "bsi-hybrid",
        purpose: "where hybrids are required in key exchange and in authentication",
        groups: &["SecP384r1MLKEM1024", "X25519MLKEM768", "SecP256r1MLKEM768"],
        signatures: &["MLDSA65-ECDSA-P256-SHA512", "MLDSA65-Ed25519-SHA512"],
        ciphers: &["TLS_AES_256_GCM_SHA384"],
        guidance: &["BSI TR-02102", "ANSSI views on post-quantum cryptography"],
        ..PROFILE
    },
    Profile {
        name: "cnsa2-transition@20261122",
        alias: "cnsa2-transition",
        purpose: "US national security systems on their way: level 5, hybrid key exchange",
        groups: &["SecP384r1MLKEM1024"],
        signatures: &["ML-DSA-87"],
        ciphers: &["TLS_AES_256_GCM_SHA384"],
        guidance: &["CNSA 2.0, hybrid tolerated in transition until 2033"],
        ..PROFILE
    },
    Profile {
        name: "cnsa2@20261122",
        alias: "cnsa2",
        purpose: "level 5 and nothing but ML-KEM and ML-DSA",
        groups: &["MLKEM1024"],
        signatures: &["ML-DSA-87"],
        ciphers: &["TLS_AES_256_GCM_SHA384"],
        guidance: &["CNSA 2.0", "ASD (AU): no classical asymmetric after 2030, no hybrids"],
        ..PROFILE
    },
    Profile {
        name: "nist-fips@20261122",
        alias: "nist-fips",
        purpose: "algorithms that NIST has approved, an approved curve first in hybrids; this \
                  build's module is not the validated one",
        groups: &["SecP256r1MLKEM768", "X25519MLKEM768"],
        signatures: &["ML-DSA-65", "ML-DSA-87", "ECDSA-P256-SHA256", "ECDSA-P384-SHA384"],
        ciphers: &["TLS_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"],
        guidance: &["FIPS 203, FIPS 204, FIPS 186-5", "SP 800-227"],
        ..PROFILE
    },
    Profile {
        name: "low-latency@20261122",
        alias: "low-latency",
        purpose: "smallest handshakes that are still hybrid, for short flights",
        groups: &["X25519MLKEM768"],
        signatures: &["MLDSA44-Ed25519-SHA512", "MLDSA44-ECDSA-P256-SHA256"],
        ciphers: &["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256"],
        ..PROFILE
    },
    Profile {
        name: "lattice-broken@20261122",
        alias: "lattice-broken",
        purpose: "emergency, lattices fail: no ML-KEM and no ML-DSA; authentication by hashes, \
                  key exchange falls back to curves, which a quantum computer breaks",
        groups: &["secp384r1", "X25519"],
        signatures: &[
            "SLH-DSA-SHA2-128f",
            "SLH-DSA-SHA2-128s",
            "ECDSA-P256-SHA256",
            "ECDSA-P384-SHA384",
            "Ed25519",
        ],
        guidance: &["RFC 9909: SLH-DSA as the conservative spare"],
        ..PROFILE
    },
    Profile {
        name: "classical-broken@20261122",
        alias: "classical-broken",
        purpose: "emergency, a quantum computer is here: every key exchange has ML-KEM, and no \
                  certificate or root is traditional alone",
        groups: &[
            "X25519MLKEM768",
            "SecP256r1MLKEM768",
            "SecP384r1MLKEM1024",
            "X25519MLKEM1024",
            "MLKEM1024",
            "MLKEM768",
        ],
        signatures: &[
            "MLDSA65-Ed25519-SHA512",
            "MLDSA65-ECDSA-P256-SHA512",
            "MLDSA44-Ed25519-SHA512",
            "MLDSA44-ECDSA-P256-SHA256",
            "ML-DSA-65",
            "ML-DSA-87",
            "ML-DSA-44",
            "SLH-DSA-SHA2-128f",
        ],
        ..PROFILE
    },
];

#[cfg(test)]
mod tests;
