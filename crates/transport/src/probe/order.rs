//! Whose order of preference decides: found by elimination, forwards and backwards.

use super::report::Whose;

/// Judges what a server chose one after the other, out of `listed` and out of the reverse of it.
///
/// `is_safe` tells what is quantum-safe.
pub(super) fn whose(
    listed: &[u16],
    forwards: &[u16],
    backwards: &[u16],
    is_safe: impl Fn(u16) -> bool,
) -> Whose {
    let reversed: Vec<u16> = listed.iter().rev().copied().collect();
    if listed.len() < 2 {
        return Whose::Single;
    }
    if forwards.len() != listed.len() || backwards.len() != listed.len() {
        return Whose::Unclear;
    }
    let tiers = |list: &[u16]| {
        let (safe, other): (Vec<u16>, Vec<u16>) = list.iter().partition(|point| is_safe(**point));
        [safe, other].concat()
    };
    if forwards == backwards {
        Whose::Server
    } else if forwards == listed && backwards == reversed {
        Whose::Client
    } else if forwards == tiers(listed) && backwards == tiers(&reversed) {
        Whose::QuantumSafeFirst
    } else {
        Whose::Mixed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was listed, chosen forwards, and chosen backwards.
    type Lists<'a> = (&'a [u16], &'a [u16], &'a [u16]);

    #[test]
    fn an_order_is_told_by_two_eliminations() {
        let safe = |point: u16| point >= 10;
        let table: [(Lists<'_>, Whose); 8] = [
            ((&[10, 11, 1], &[11, 10, 1], &[11, 10, 1]), Whose::Server),
            ((&[10, 11, 1], &[10, 11, 1], &[1, 11, 10]), Whose::Client),
            ((&[10, 11, 1, 2], &[10, 11, 1, 2], &[11, 10, 2, 1]), Whose::QuantumSafeFirst),
            ((&[10, 11, 1], &[10, 1, 11], &[1, 11, 10]), Whose::Mixed),
            // Two of which one is safe: the server's own order, and safe first, look the same.
            ((&[10, 1], &[10, 1], &[10, 1]), Whose::Server),
            ((&[10], &[10], &[10]), Whose::Single),
            ((&[], &[], &[]), Whose::Single),
            ((&[10, 1], &[10], &[1, 10]), Whose::Unclear),
        ];
        for ((listed, forwards, backwards), expected) in table {
            assert_eq!(whose(listed, forwards, backwards, safe), expected, "{forwards:?} {backwards:?}");
        }
    }
}
