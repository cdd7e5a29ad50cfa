//! Profiles: named, dated, immutable choices from the catalog.
//!
//! A profile's dated name (`pq-hybrid@20261122`) never changes its meaning; the alias
//! without the date moves to the newest. Configuration names profiles, never algorithms.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::catalog::{self, Algorithm, Nature};
use crate::{CryptoError, Suite};

/// A family of signature algorithms. A node holds one leaf and trusts one root for each.
///
/// Ordered by strength: the later, the stronger.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Family {
    /// Traditional signatures, named after the default: ECDSA; Ed25519 and RSA as well.
    Ecdsa,
    /// ML-DSA (FIPS 204) alone.
    MlDsa,
    /// ML-DSA and a traditional signature, both of which must hold.
    Composite,
}

impl Family {
    /// All families, the strongest first.
    pub const ALL: [Self; 3] = [Self::Composite, Self::MlDsa, Self::Ecdsa];

    /// The family of a signature algorithm.
    #[must_use]
    pub fn of(algorithm: &Algorithm) -> Self {
        match algorithm.nature {
            Nature::Hybrid => Self::Composite,
            Nature::PostQuantum => Self::MlDsa,
            Nature::Traditional => Self::Ecdsa,
        }
    }

    /// The algorithm in which our own keys of this family are made.
    #[must_use]
    pub fn default_algorithm(self) -> &'static Algorithm {
        let id = match self {
            Self::Composite => "MLDSA65-Ed25519-SHA512",
            Self::MlDsa => "ML-DSA-65",
            Self::Ecdsa => "ECDSA-P256-SHA256",
        };
        catalog::find(id).expect("the default of each family is in the catalog")
    }

    /// Name in file names, configuration and logs.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Composite => "composite",
            Self::MlDsa => "ml-dsa",
            Self::Ecdsa => "ecdsa",
        }
    }
}

impl fmt::Display for Family {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

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

/// The profile with this dated name or alias.
///
/// # Errors
/// [`CryptoError::UnknownProfile`], which lists the names.
pub fn find(name: &str) -> Result<&'static Profile, CryptoError> {
    PROFILES.iter().find(|profile| profile.name == name || profile.alias == name).ok_or_else(|| {
        CryptoError::UnknownProfile {
            name: name.to_owned(),
            known: PROFILES
                .iter()
                .flat_map(|profile| [profile.alias, profile.name])
                .collect::<Vec<_>>()
                .join(", "),
        }
    })
}

impl Profile {
    /// Turns the profile into providers and tests them, as of today (UTC).
    ///
    /// `epoch` is the generation of the configuration; each link made under the result
    /// carries it.
    ///
    /// # Errors
    /// As [`Profile::compile_on`].
    pub fn compile(&'static self, epoch: u64) -> Result<Suite, CryptoError> {
        let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC);
        self.compile_on(epoch, today.date())
    }

    /// Turns the profile into providers and tests them, as of `date`.
    ///
    /// Algorithms past their `not_after` are left out ([`Suite::retired`] names them).
    /// The result has completed a handshake against itself, in memory, with each group
    /// and each family of signatures. Takes milliseconds.
    ///
    /// # Errors
    /// [`CryptoError::ProfileEnded`], [`CryptoError::NothingLeft`],
    /// [`CryptoError::UnusableAlgorithm`] (never a silent substitute) and
    /// [`CryptoError::SelfTest`].
    pub fn compile_on(&'static self, epoch: u64, date: jiff::civil::Date) -> Result<Suite, CryptoError> {
        Suite::compile(self, epoch, date)
    }

    /// Whether the profile accepts any signature algorithm of this family.
    #[must_use]
    pub fn permits(&self, family: Family) -> bool {
        self.signatures.iter().filter_map(|id| catalog::find(id)).any(|row| Family::of(row) == family)
    }
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
    "ML-DSA-87",
    "ML-DSA-65",
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
        ciphers: STRONG_CIPHERS,
        not_after: None,
    },
    Profile {
        name: "pq-kex@20261122",
        alias: "pq-kex",
        purpose: "with foreign clients and servers of today: post-quantum key exchange \
                  required, any strong authentication, each traditional signature reported",
        groups: &["X25519MLKEM768", "SecP256r1MLKEM768", "SecP384r1MLKEM1024", "MLKEM1024", "MLKEM768"],
        signatures: ALL_SIGNATURES,
        ciphers: ALL_CIPHERS,
        not_after: None,
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
    },
];

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;
    use crate::catalog::Kind;

    #[test]
    fn names_are_found_and_unknown_ones_list_the_known() {
        for profile in all() {
            assert_eq!(find(profile.name).unwrap(), profile);
            assert_eq!(find(profile.alias).unwrap().alias, profile.alias);
            assert!(profile.name.starts_with(&format!("{}@", profile.alias)));
        }
        let names: HashSet<_> = all().iter().map(|profile| profile.name).collect();
        assert_eq!(names.len(), all().len());
        assert_eq!(default().alias, "pq-hybrid");
        let error = find("pq-wishful").unwrap_err().to_string();
        assert!(error.contains("pq-wishful"), "{error}");
        assert!(error.contains("pq-hybrid, pq-hybrid@20261122, pq-kex"), "{error}");
    }

    #[test]
    fn every_id_is_a_usable_row_of_its_kind_and_listed_once() {
        for profile in all() {
            let lists = [
                (Kind::Group, profile.groups),
                (Kind::Signature, profile.signatures),
                (Kind::Cipher, profile.ciphers),
            ];
            for (kind, ids) in lists {
                assert!(!ids.is_empty(), "{}", profile.name);
                assert_eq!(ids.iter().collect::<HashSet<_>>().len(), ids.len());
                for id in ids {
                    let row = catalog::find(id).unwrap_or_else(|| panic!("no row {id}"));
                    assert_eq!(row.kind, kind, "{id}");
                    assert!(row.is_usable(), "{id}");
                }
            }
        }
    }

    #[test]
    fn quantum_safe_comes_first_in_groups_and_strongest_first_in_signatures() {
        for profile in all() {
            let safe = |id: &&str| catalog::find(id).unwrap().is_quantum_safe();
            assert!(profile.groups.iter().map(safe).rev().is_sorted(), "{}", profile.name);
            let family = |id: &&str| Family::of(catalog::find(id).unwrap());
            assert!(profile.signatures.iter().map(family).rev().is_sorted(), "{}", profile.name);
        }
    }

    #[test]
    fn profiles_permit_what_they_promise() {
        let table = [
            ("pq-hybrid", [true, true, false], false),
            ("pq-kex", [true, true, true], false),
            ("pq-transition", [true, true, true], true),
        ];
        for (name, families, traditional_groups) in table {
            let profile = find(name).unwrap();
            assert_eq!(Family::ALL.map(|family| profile.permits(family)), families, "{name}");
            let traditional = |id: &&str| !catalog::find(id).unwrap().is_quantum_safe();
            assert_eq!(profile.groups.iter().any(traditional), traditional_groups);
        }
        let transition = find("pq-transition").unwrap();
        assert_eq!(transition.not_after, Some("2030-12-31"));
    }

    #[test]
    fn families_cover_every_signature() {
        assert!(Family::Composite > Family::MlDsa && Family::MlDsa > Family::Ecdsa);
        for family in Family::ALL {
            assert_eq!(Family::of(family.default_algorithm()), family);
        }
    }
}
