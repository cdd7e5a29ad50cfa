//! Whether a link that is up may stay, and what a new one with a known peer would be.

use std::collections::HashSet;
use std::fmt;

use rustls::{CipherSuite, NamedGroup, SignatureScheme};
use serde::{Deserialize, Serialize};

use crate::catalog::{self, Algorithm, Kind};
use crate::posture::TLS13;
use crate::{CryptoRefused, Posture, Suite};

/// Most entries of each list that are kept of a peer's offer. OpenSSL 3.5 sends 11 groups
/// and 28 signatures.
const OFFERED_MAX: usize = 64;

/// One part of a link that a suite does not permit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Breach {
    /// Which part: `group`, `provider`, `cipher`, `peer signature`, `own signature` or
    /// `protocol`.
    pub part: String,
    /// What the link has there.
    pub found: String,
    /// Why it may not have it.
    pub why: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}: {}", self.part, self.found, self.why)
    }
}

/// What a peer offered in its ClientHello, by catalog id; what the catalog does not know is
/// written as `0x1a2b`, and GREASE (RFC 8701) is left out.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Capabilities {
    /// Key exchange groups, in the peer's order.
    pub groups: Vec<String>,
    /// Signature algorithms that it can verify, in its order.
    pub signatures: Vec<String>,
    /// TLS 1.3 cipher suites, in its order.
    pub ciphers: Vec<String>,
}

/// What a handshake with a peer would negotiate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Foreseen {
    /// Catalog id of the group.
    pub group: String,
    /// Catalog id of the signature that we would present.
    pub signature: String,
    /// Whether the peer's first share is probably for another group, which costs a round
    /// trip.
    pub hello_retry_likely: bool,
}

impl Capabilities {
    /// Reads them off a ClientHello.
    #[must_use]
    pub fn of_hello(groups: &[NamedGroup], signatures: &[SignatureScheme], ciphers: &[CipherSuite]) -> Self {
        Self {
            groups: names(Kind::Group, groups.iter().map(|group| u16::from(*group))),
            signatures: names(Kind::Signature, signatures.iter().map(|scheme| u16::from(*scheme))),
            ciphers: names(Kind::Cipher, ciphers.iter().map(|suite| u16::from(*suite))),
        }
    }

    /// What a dialer with this suite offers.
    #[must_use]
    pub fn of_suite(suite: &Suite) -> Self {
        let ids = |rows: &[&'static Algorithm]| rows.iter().map(|row| row.id.to_owned()).collect();
        Self {
            groups: ids(suite.groups()),
            signatures: ids(suite.signatures()),
            ciphers: ids(suite.ciphers()),
        }
    }

    /// Whether it offered any quantum-safe group.
    #[must_use]
    pub fn offers_quantum_safe_group(&self) -> bool {
        let mut rows = self.groups.iter().filter_map(|id| catalog::find(id));
        rows.any(|row| row.kind == Kind::Group && row.is_quantum_safe())
    }
}

impl Suite {
    /// What of a link this suite does not permit; empty if the link may stay.
    ///
    /// The parts of a posture are what was negotiated, so that a link made under an older
    /// suite is judged by what it is, not by when it was made.
    #[must_use]
    pub fn judge(&self, posture: &Posture) -> Vec<Breach> {
        let mut breaches = Vec::new();
        let mut breach = |part: &str, found: &str, why: String| {
            breaches.push(Breach { part: part.to_owned(), found: found.to_owned(), why });
        };
        if posture.protocol != TLS13 {
            breach("protocol", &posture.protocol, "only TLS 1.3 is spoken".to_owned());
        }
        let signature = |id: &Option<String>| id.clone().map(|id| (id, self.signatures()));
        let parts = [
            ("group", Some((posture.group.clone(), self.groups()))),
            ("cipher", Some((posture.cipher.clone(), self.ciphers()))),
            ("peer signature", signature(&posture.peer_signature)),
            ("own signature", signature(&posture.own_signature)),
        ];
        for (part, found) in parts {
            if let Some((id, permitted)) = found
                && !permitted.iter().any(|row| row.id == id)
            {
                breach(part, &id, self.why_not(&id));
            }
        }
        if let Some(row) = catalog::find(&posture.group)
            && let Some(ban) = self.conditions().provider_ban(row, &posture.provider)
            && ban.provider.is_some()
        {
            breach("provider", &posture.provider, format!("{} is banned: {}", ban.target(), ban.reason));
        }
        breaches
    }

    fn why_not(&self, id: &str) -> String {
        let refusal = catalog::find(id).and_then(|row| self.conditions().refusal_of(row));
        refusal.unwrap_or_else(|| format!("profile {} does not permit it", self.profile().name))
    }

    /// What a handshake with a peer that offers these would negotiate, when we present our
    /// own leaves.
    ///
    /// # Errors
    /// [`CryptoRefused`] as the handshake would be refused.
    pub fn foresee(&self, peer: &Capabilities) -> Result<Foreseen, CryptoRefused> {
        let points = |ids: &[String], kind: Kind| -> Vec<u16> {
            let rows = ids.iter().filter_map(|id| catalog::find(id));
            rows.filter(|row| row.kind == kind).filter_map(|row| row.code_point).collect()
        };
        let offered: Vec<NamedGroup> =
            points(&peer.groups, Kind::Group).into_iter().map(NamedGroup::from).collect();
        let provider = self.server_provider(&offered)?;
        // Among those that we would offer, a rustls server follows the client's order.
        let group = offered
            .iter()
            .find(|group| provider.kx_groups.iter().any(|ours| ours.name() == **group))
            .expect("the provider was chosen because it has one of them");
        let group = catalog::name(Kind::Group, u16::from(*group));
        let schemes: Vec<SignatureScheme> =
            points(&peer.signatures, Kind::Signature).into_iter().map(SignatureScheme::from).collect();
        let signature = self.choose_signature(&schemes, self.identities())?;
        let ciphers = self.ciphers();
        if !ciphers.iter().any(|row| peer.ciphers.iter().any(|id| id == row.id)) {
            return Err(CryptoRefused {
                offered: peer.ciphers.clone(),
                required: ciphers.iter().map(|row| row.id.to_owned()).collect(),
                what: CryptoRefused::CIPHER,
            });
        }
        Ok(Foreseen {
            hello_retry_likely: peer.groups.first() != Some(&group),
            group,
            signature: signature.id.to_owned(),
        })
    }
}

/// Names of code points, each once. GREASE (RFC 8701) is noise that clients add on purpose.
pub(crate) fn names(kind: Kind, code_points: impl Iterator<Item = u16>) -> Vec<String> {
    let mut seen = HashSet::new();
    code_points
        .filter(|point| !is_grease(*point) && seen.insert(*point))
        .map(|point| catalog::name(kind, point))
        .take(OFFERED_MAX)
        .collect()
}

fn is_grease(code_point: u16) -> bool {
    let [high, low] = code_point.to_be_bytes();
    high == low && low & 0x0f == 0x0a
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grease_is_recognised() {
        assert!([0x0a0a, 0x1a1a, 0xfafa].into_iter().all(is_grease));
        assert!(![0x001d, 0x11ec, 0x0a1a, 0xfe30].into_iter().any(is_grease));
    }
}
