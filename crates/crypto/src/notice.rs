//! What a gateway tells those at the other end of its links, in band, when its cryptography
//! changes: what to dial by, by when, and which ends are dated.

use serde::{Deserialize, Serialize};

use crate::catalog::{self, Algorithm, Kind};
use crate::conditions::{Conditions, Ending};
use crate::judge::Breach;
use crate::profile::{Definition, Profile};
use crate::{CryptoError, Suite};

/// The algorithms in force at a listener, in order of preference. Whoever reads an id that it
/// does not know passes over it (checklist point 1: unknown identifiers are ignored).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Announced {
    /// Dated name of the profile.
    pub profile: String,
    /// Catalog ids of the groups.
    pub groups: Vec<String>,
    /// Catalog ids of the signatures.
    pub signatures: Vec<String>,
    /// Catalog ids of the cipher suites.
    pub ciphers: Vec<String>,
}

/// One line of the stream of notices.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Notice {
    /// [`Notice::SCHEMA`].
    pub schema: String,
    /// Epoch of the gateway.
    pub epoch: u64,
    /// What to dial by from now on.
    pub announced: Announced,
    /// Fingerprint of the trust bundle in force.
    pub authority: String,
    /// Number of that bundle; a higher one is newer.
    pub bundle_sequence: u64,
    /// Move at a random moment within this time, in milliseconds; 0: at once. So many links
    /// do not make their handshakes in the same instant.
    pub move_within_ms: u64,
    /// When links that may not stay are closed, in milliseconds since the Unix epoch.
    pub closes_at_ms: Option<u64>,
    /// Whether the link that carries the notice may stay.
    pub stays: bool,
    /// Why it may not.
    pub why: Vec<Breach>,
    /// Algorithms in force whose end is dated.
    pub endings: Vec<Ending>,
}

impl Notice {
    /// Name and version of the format.
    pub const SCHEMA: &'static str = "lockgate.notice/1";
    /// Longest line that is read, in bytes: every list at its limit.
    pub const BYTES_MAX: usize = 64 * 1024;
}

impl Announced {
    /// What a suite permits now, with bans and dates applied.
    #[must_use]
    pub fn of(suite: &Suite) -> Self {
        let ids = |rows: &[&'static Algorithm]| rows.iter().map(|row| row.id.to_owned()).collect();
        Self {
            profile: suite.profile().name.to_owned(),
            groups: ids(suite.groups()),
            signatures: ids(suite.signatures()),
            ciphers: ids(suite.ciphers()),
        }
    }

    /// Compiles what was announced, for dialling.
    ///
    /// # Errors
    /// [`CryptoError::BelowFloor`] if it admits anything weaker than the weakest that `floor`
    /// admits; [`CryptoError::NothingLeft`] if this build knows none of it; else as
    /// [`Profile::compile_under`].
    pub fn compile(&self, conditions: &Conditions, floor: &Profile) -> Result<Suite, CryptoError> {
        let known = |ids: &[String], kind: Kind| -> Vec<String> {
            let usable =
                |id: &&String| catalog::find(id).is_some_and(|row| row.kind == kind && row.is_usable());
            ids.iter().filter(usable).cloned().collect()
        };
        let definition = Definition {
            name: self.profile.clone(),
            purpose: "announced by a gateway".to_owned(),
            groups: known(&self.groups, Kind::Group),
            signatures: known(&self.signatures, Kind::Signature),
            ciphers: known(&self.ciphers, Kind::Cipher),
            ..Definition::default()
        };
        self.hold_against(&definition, floor)?;
        Profile::define(definition)?.compile_under(conditions)
    }

    fn hold_against(&self, definition: &Definition, floor: &Profile) -> Result<(), CryptoError> {
        let strength =
            |id: &str| catalog::find(id).map_or((false, 0), |row| (row.is_quantum_safe(), row.nist_level));
        let lists = [
            (&definition.groups, floor.groups),
            (&definition.signatures, floor.signatures),
            (&definition.ciphers, floor.ciphers),
        ];
        for (announced, permitted) in lists {
            let least = permitted.iter().map(|id| strength(id)).min();
            let below = announced.iter().find(|id| Some(strength(id)) < least);
            if let Some(id) = below {
                return Err(CryptoError::BelowFloor {
                    profile: self.profile.clone(),
                    floor: floor.name,
                    algorithm: id.clone(),
                });
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::profile;

    fn announced(alias: &str) -> Announced {
        Announced::of(&profile::find(alias).unwrap().compile(1).unwrap())
    }

    #[test]
    fn what_is_unknown_is_passed_over_checklist_01() {
        let floor = profile::find("pq-hybrid").unwrap();
        let mut newer = announced("pq-hybrid");
        newer.groups.insert(0, "X25519HQC192".to_owned());
        newer.signatures.insert(0, "ML-DSA-65".to_owned());
        newer.signatures.insert(0, "FN-DSA-512".to_owned());
        newer.signatures.dedup();
        newer.signatures.retain(|id| id != "MLDSA65-Ed25519-SHA512");
        let mut once = std::collections::HashSet::new();
        newer.signatures.retain(|id| once.insert(id.clone()));
        let suite = newer.compile(&Conditions::today(5), floor).unwrap();
        assert_eq!(suite.epoch(), 5);
        assert_eq!(suite.groups()[0].id, "X25519MLKEM768");
        assert_eq!(suite.signatures()[0].id, "ML-DSA-65");
        let unknown = Announced { groups: vec!["X25519HQC192".to_owned()], ..newer };
        assert!(unknown.compile(&Conditions::today(5), floor).is_err());
    }

    #[test]
    fn nothing_below_the_floor_is_followed() {
        let floor = profile::find("pq-hybrid").unwrap();
        let table = [
            ("pq-hybrid", true),
            ("bsi-hybrid", true),
            ("cnsa2", true),
            ("cnsa2-transition", true),
            ("pq-transition", false),
            ("pq-kex", false),
            ("lattice-broken", false),
            ("low-latency", false),
        ];
        for (alias, followed) in table {
            let compiled = announced(alias).compile(&Conditions::today(2), floor);
            assert_eq!(compiled.is_ok(), followed, "{alias}");
            if let Err(error) = compiled {
                assert!(matches!(error, CryptoError::BelowFloor { .. }), "{alias}: {error}");
            }
        }
        let open = profile::find("pq-transition").unwrap();
        announced("lattice-broken").compile(&Conditions::today(2), open).unwrap();
    }
}
