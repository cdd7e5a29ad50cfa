//! The catalog as a probe needs it: by kind and code point.

use lockgate_crypto::{Algorithm, Kind, Nature, Status, catalog};

use super::report::{Answer, Offer};

/// Value of [`Offer::nature`] for what a quantum computer breaks.
pub(super) const TRADITIONAL: &str = "traditional";

/// Rows of a kind that can be offered, in the catalog's order.
pub(super) fn rows(kind: Kind) -> Vec<&'static Algorithm> {
    catalog::all()
        .iter()
        .filter(|row| row.kind == kind && row.code_point.is_some() && in_handshakes(row))
        .collect()
}

/// RFC 9846 section 4.3.3: signatures of PKCS #1 v1.5 are for certificates only. Their schemes end in `01`, with a
/// hash of TLS 1.2 before it.
fn in_handshakes(row: &Algorithm) -> bool {
    let pkcs1 = |point: u16| point & 0xff == 1 && point >> 8 <= 6;
    row.kind != Kind::Signature || !row.code_point.is_some_and(pkcs1)
}

/// Code points of rows.
pub(super) fn points(rows: &[&'static Algorithm]) -> Vec<u16> {
    rows.iter().filter_map(|row| row.code_point).collect()
}

/// Every signature scheme of the catalog: chains are signed with more than handshakes.
pub(super) fn schemes() -> Vec<u16> {
    catalog::all().iter().filter(|row| row.kind == Kind::Signature).filter_map(|row| row.code_point).collect()
}

/// Catalog id of a code point, else `0x1a2b`.
pub(super) fn name(kind: Kind, point: u16) -> String {
    catalog::by_code_point(kind, point).map_or_else(|| format!("{point:#06x}"), |row| row.id.to_owned())
}

/// Whether a group is quantum-safe; one that the catalog does not know is not.
pub(super) fn is_safe_group(point: u16) -> bool {
    catalog::by_code_point(Kind::Group, point).is_some_and(Algorithm::is_quantum_safe)
}

/// Code points from here on are for private use: nobody but us knows what they mean.
const PRIVATE: u16 = 0xfe00;
/// NIST security category that is worth a change of somebody's server.
const LEVEL_MIN: u8 = 3;

/// What to recommend to anybody: quantum-safe, with a code point that everybody agrees on, and preferred if one is.
pub(super) fn recommended(kind: Kind) -> Option<&'static str> {
    let common = |row: &&Algorithm| {
        let everywhere = row.code_point.is_some_and(|point| point < PRIVATE);
        row.is_quantum_safe() && row.nist_level >= LEVEL_MIN && everywhere
    };
    let rows: Vec<_> = rows(kind).into_iter().filter(common).collect();
    let preferred = rows.iter().find(|row| row.status == Status::Preferred).or(rows.first());
    preferred.map(|row| row.id)
}

/// A row with what a server said to it.
pub(super) fn offer(row: &Algorithm, answer: Answer) -> Offer {
    let nature = match row.nature {
        Nature::Traditional => TRADITIONAL,
        Nature::PostQuantum => "post_quantum",
        Nature::Hybrid => "hybrid",
    };
    Offer {
        id: row.id.to_owned(),
        code_point: row.code_point.map(|point| format!("{point:#06x}")).unwrap_or_default(),
        nature: nature.to_owned(),
        nist_level: row.nist_level,
        answer,
    }
}

/// Code points of groups that were given out, or used for trials, and are not in the catalog: the ranges of IANA's
/// registry "TLS Supported Groups" that servers of today know.
pub(super) fn unknown_groups() -> Vec<u16> {
    let ranges = [0x0013..=0x0029, 0x0100..=0x0104, 0x0200..=0x0202, 0x11eb..=0x11ee, 0x6399..=0x639a];
    let known = |point: &u16| catalog::by_code_point(Kind::Group, *point).is_some();
    ranges.into_iter().flatten().filter(|point| !known(point)).collect()
}
