//! Which algorithms tokens may have under a suite.

use crate::Suite;
use crate::catalog::{self, Algorithm, Kind, Nature};
use crate::conditions::Conditions;
use crate::sign::PrivateKey;

impl Suite {
    /// What our own tokens are signed with: the first permitted signature that has a name in JOSE and
    /// of which keys are made here, quantum-safe ones before traditional ones.
    ///
    /// JOSE has no composite signatures yet. Where a profile lists a composite, its post-quantum half
    /// stands in for it and its traditional half never does: a profile that wants hybrids wants
    /// nothing that a quantum computer breaks. A token lives minutes and travels inside of a hybrid
    /// channel. `None` if bans and dates leave nothing; then no token can be issued.
    #[must_use]
    pub fn token_algorithm(&self) -> Option<&'static Algorithm> {
        let candidates = self.token_algorithms();
        let safe = candidates.iter().find(|row| row.is_quantum_safe());
        safe.or(candidates.first()).copied()
    }

    /// What tokens of our own may be signed with, the preferred first: what is verified while one
    /// key replaces another.
    #[must_use]
    pub fn token_algorithms(&self) -> Vec<&'static Algorithm> {
        let mut found: Vec<&'static Algorithm> = Vec::new();
        for row in self.signatures().iter().flat_map(|row| stands_for(row)) {
            let usable = !row.jose.is_empty() && PrivateKey::can_make(row);
            if usable && self.conditions().refusal_of(row).is_none() && !found.contains(&row) {
                found.push(row);
            }
        }
        found
    }
}

/// The row itself, or the post-quantum half of a composite.
fn stands_for(row: &'static Algorithm) -> impl Iterator<Item = &'static Algorithm> {
    let halves = row.components.iter().filter_map(|id| catalog::find(id));
    let safe = halves.filter(|half| half.nature == Nature::PostQuantum);
    let itself = row.components.is_empty().then_some(row);
    itself.into_iter().chain(safe)
}

/// What may sign a proof that somebody holds a key (RFC 9449), or the token of a foreign issuer that
/// allows it: every algorithm with a name in JOSE that no ban and no date keeps out. Such a proof lives
/// for seconds inside of a channel that the suite has judged already, so a suite does not judge it again.
#[must_use]
pub fn proof_algorithms(conditions: &Conditions) -> Vec<&'static Algorithm> {
    let named = |row: &&Algorithm| row.kind == Kind::Signature && !row.jose.is_empty();
    let rows = catalog::all().iter().filter(named);
    rows.filter(|row| conditions.refusal_of(row).is_none()).collect()
}
