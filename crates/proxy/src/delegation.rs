//! Calls that an agent makes in somebody's name (RFC 8693, `act`): what may pass is what passes for both.

use std::collections::BTreeSet;

use lockgate_policy::ResultFields;

/// What of a result may pass for both.
pub(crate) fn both(one: &ResultFields, other: &ResultFields) -> ResultFields {
    let only = match (&one.only, &other.only) {
        (None, only) | (only, None) => only.clone(),
        (Some(one), Some(other)) => Some(within(one, other).chain(within(other, one)).cloned().collect()),
    };
    ResultFields { only, hidden: one.hidden.union(&other.hidden).cloned().collect() }
}

/// The paths that another set has, too, or something above them.
fn within<'a>(paths: &'a BTreeSet<String>, others: &'a BTreeSet<String>) -> impl Iterator<Item = &'a String> {
    paths.iter().filter(|path| {
        let above = path.match_indices('.').map(|(at, _)| &path[..at]);
        above.chain([path.as_str()]).any(|part| others.contains(part))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    type Paths = Option<&'static [&'static str]>;

    fn fields(only: Paths, hidden: &[&str]) -> ResultFields {
        let set = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        ResultFields { only: only.map(set), hidden: set(hidden) }
    }

    #[test]
    fn what_passes_passes_for_both() {
        let cases: [(Paths, Paths, Paths); 6] = [
            (None, None, None),
            (Some(&["a"]), None, Some(&["a"])),
            (Some(&["a", "b"]), Some(&["b", "c"]), Some(&["b"])),
            (Some(&["a"]), Some(&["a.b", "c"]), Some(&["a.b"])),
            (Some(&["a.b.c", "ab"]), Some(&["a"]), Some(&["a.b.c"])),
            (Some(&["a"]), Some(&["b"]), Some(&[])),
        ];
        for (one, other, wanted) in cases {
            let (one, other) = (fields(one, &["x"]), fields(other, &["y"]));
            let wanted = fields(wanted, &["x", "y"]);
            assert_eq!((both(&one, &other), both(&other, &one)), (wanted.clone(), wanted));
        }
    }
}
