//! Below which nothing is dialled, whatever a gateway announces.
//!
//! A gateway may serve weaker peers beside this one, so that its lists may hold what this end would never use. That is
//! left out, and the rest is followed. Only where nothing is left of one kind, the announcement as a whole is below the
//! floor.

use lockgate_crypto::{Announced, Conditions, CryptoError, Profile, catalog};

use crate::shared::Compiled;

/// Compiles what of an announcement is not below the floor.
pub(crate) fn compile(
    announced: &Announced,
    conditions: &Conditions,
    floor: &'static Profile,
) -> Result<Compiled, CryptoError> {
    let below = match announced.compile(conditions, floor) {
        Ok(suite) => return Ok(Compiled { suite, left_out: Vec::new().into() }),
        Err(below @ CryptoError::BelowFloor { .. }) => below,
        Err(error) => return Err(error),
    };
    let (kept, left_out) = at_or_above(announced, floor);
    if kept.groups.is_empty() || kept.signatures.is_empty() || kept.ciphers.is_empty() {
        return Err(below);
    }
    let suite = kept.compile(conditions, floor)?;
    Ok(Compiled { suite, left_out: left_out.into() })
}

/// An announcement without what is weaker than the weakest of its kind in `floor`, and what was left out. Ids that this
/// build does not know are no loss.
fn at_or_above(announced: &Announced, floor: &Profile) -> (Announced, Vec<String>) {
    let strength = |id: &str| catalog::find(id).map(|row| (row.is_quantum_safe(), row.nist_level));
    let mut left_out = Vec::new();
    let mut hold = |ids: &[String], permitted: &[&str]| -> Vec<String> {
        let least = permitted.iter().filter_map(|id| strength(id)).min();
        let (kept, below): (Vec<_>, Vec<_>) =
            ids.iter().filter(|id| strength(id).is_some()).cloned().partition(|id| strength(id) >= least);
        left_out.extend(below);
        kept
    };
    let kept = Announced {
        profile: announced.profile.clone(),
        groups: hold(&announced.groups, floor.groups),
        signatures: hold(&announced.signatures, floor.signatures),
        ciphers: hold(&announced.ciphers, floor.ciphers),
    };
    (kept, left_out)
}

#[cfg(test)]
mod tests {
    use lockgate_crypto::profile;

    use super::*;

    fn announced(alias: &str) -> Announced {
        Announced::of(&profile::find(alias).unwrap().compile(1).unwrap())
    }

    #[test]
    fn a_gateway_that_also_admits_weaker_peers_is_followed_without_them() {
        let floor = profile::find("pq-hybrid").unwrap();
        let compiled = compile(&announced("pq-transition"), &Conditions::today(3), floor).unwrap();
        assert_eq!(compiled.suite.epoch(), 3);
        assert!(
            compiled
                .suite
                .groups()
                .iter()
                .chain(compiled.suite.signatures())
                .all(|row| row.is_quantum_safe())
        );
        assert!(!compiled.left_out.is_empty());
    }

    #[test]
    fn a_gateway_that_admits_only_weaker_is_not_followed() {
        let floor = profile::find("pq-hybrid").unwrap();
        let refused = compile(&announced("lattice-broken"), &Conditions::today(3), floor);
        assert!(matches!(refused, Err(CryptoError::BelowFloor { .. })));
    }

    #[test]
    fn what_is_stronger_is_followed_whole() {
        let floor = profile::find("pq-hybrid").unwrap();
        let compiled = compile(&announced("cnsa2"), &Conditions::today(3), floor).unwrap();
        assert!(compiled.left_out.is_empty());
    }
}
