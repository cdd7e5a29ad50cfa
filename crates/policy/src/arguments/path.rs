//! Dotted paths to what lies in arguments: `customer.id`, and `a\\.b` for a name that has a dot itself.

/// Names on the way, from the outside in. `None` for what is no path: an empty step, or a backslash before anything but
/// a dot or a backslash.
pub(crate) fn steps(path: &str) -> Option<Vec<String>> {
    let mut steps = vec![String::new()];
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        let step = steps.last_mut()?;
        match c {
            '.' if step.is_empty() => return None,
            '.' => steps.push(String::new()),
            '\\' => step.push(chars.next().filter(|next| matches!(next, '.' | '\\'))?),
            other => step.push(other),
        }
    }
    (!steps.last()?.is_empty()).then_some(steps)
}

/// A name as one step of a path.
pub(crate) fn step(name: &str) -> String {
    name.replace('\\', "\\\\").replace('.', "\\.")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn paths() {
        for (path, expected) in [
            ("a", Some(&["a"][..])),
            ("a.b", Some(&["a", "b"])),
            (r"a\.b.c", Some(&["a.b", "c"])),
            (r"a\\.b", Some(&[r"a\", "b"])),
            ("", None),
            (".a", None),
            ("a..b", None),
            ("a.", None),
            (r"a\b", None),
            (r"a\", None),
        ] {
            let found = steps(path);
            let found = found.as_ref().map(|steps| steps.iter().map(String::as_str).collect::<Vec<_>>());
            assert_eq!(found.as_deref(), expected, "{path}");
        }
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(names in proptest::collection::vec(r"[a.\\é]{1,4}", 1..4)) {
            let path: Vec<String> = names.iter().map(|name| step(name)).collect();
            prop_assert_eq!(steps(&path.join(".")), Some(names));
        }
    }
}
