//! What a peer offered, kept in little room: as code points.

use lockgate_crypto::Capabilities;
use lockgate_crypto::catalog::{self, Algorithm, Kind};

/// Longest list that is remembered, in entries. Those of a real client hold
/// about 20; [`Capabilities`] is cut at the same length.
const ENTRIES_MAX: usize = 64;

/// The lists of one `ClientHello`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Offer {
    groups: Box<[u16]>,
    signatures: Box<[u16]>,
    ciphers: Box<[u16]>,
}

impl Offer {
    pub(super) fn new(offered: &Capabilities) -> Self {
        let Capabilities { groups, signatures, ciphers } = offered;
        let points = |kind, names: &[String]| -> Box<[u16]> {
            names.iter().take(ENTRIES_MAX).filter_map(|name| code_point(kind, name)).collect()
        };
        Offer {
            groups: points(Kind::Group, groups),
            signatures: points(Kind::Signature, signatures),
            ciphers: points(Kind::Cipher, ciphers),
        }
    }

    /// Whether the two could come from one client that changed only its groups:
    /// a client that tries again without post-quantum groups keeps the rest.
    pub(super) fn same_but_groups(&self, other: &Offer) -> bool {
        self.signatures == other.signatures && self.ciphers == other.ciphers
    }

    /// Whether one of the groups resists a quantum computer.
    pub(super) fn has_quantum_safe_group(&self) -> bool {
        rows(Kind::Group, &self.groups).any(Algorithm::is_quantum_safe)
    }

    /// The algorithms of the catalog that are here and not in `now`.
    pub(super) fn missing_from(&self, now: &Offer) -> Vec<&'static Algorithm> {
        let lists = [
            (Kind::Group, &self.groups, &now.groups),
            (Kind::Signature, &self.signatures, &now.signatures),
            (Kind::Cipher, &self.ciphers, &now.ciphers),
        ];
        let gone = lists.into_iter().flat_map(|(kind, before, now)| {
            rows(kind, before).filter(|row| !row.code_point.is_some_and(|point| now.contains(&point)))
        });
        gone.collect()
    }
}

fn rows(kind: Kind, points: &[u16]) -> impl Iterator<Item = &'static Algorithm> {
    points.iter().filter_map(move |&point| catalog::by_code_point(kind, point))
}

/// The code point behind a name of [`Capabilities`]: a catalog id or `0x1a2b`.
fn code_point(kind: Kind, name: &str) -> Option<u16> {
    match name.strip_prefix("0x") {
        Some(hex) => u16::from_str_radix(hex, 16).ok(),
        None => catalog::find(name).filter(|row| row.kind == kind)?.code_point,
    }
}
