//! Names of tools, arguments and definitions.

/// A name of a tool from an operation's id or path: letters, digits, `_`, `-` and `.`, as MCP wants them, at most `bytes_max`
/// long. One that had to be cut carries a mark made of the whole, so that two long names with one beginning stay two.
pub(crate) fn tool(wished: &str, bytes_max: usize) -> String {
    let name = plain(wished, |c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.'));
    if name.len() <= bytes_max {
        return name;
    }
    let mark = format!("_{:08x}", mark(wished));
    let kept = name[..bytes_max.saturating_sub(mark.len())].trim_end_matches(['_', '-', '.']);
    format!("{kept}{mark}")
}

/// A name of an argument: what the interfaces of models take for a property.
pub(crate) fn argument(wished: &str) -> String {
    /// Longest name of a property that the interfaces of models take.
    const BYTES_MAX: usize = 64;
    let name = tool(wished, BYTES_MAX);
    if name.is_empty() { "value".to_owned() } else { name }
}

/// A name of a definition.
pub(crate) fn member(wished: &str) -> String {
    let name = tool(wished, 80);
    if name.is_empty() { "Definition".to_owned() } else { name }
}

/// `wished`, or with the first number behind it that is not taken.
pub(crate) fn unique(wished: &str, is_taken: impl Fn(&str) -> bool) -> String {
    let numbered = (2_u64..).map(|n| format!("{wished}_{n}"));
    let mut all = std::iter::once(wished.to_owned()).chain(numbered);
    all.find(|name| !is_taken(name)).expect("there is always a further number")
}

/// Runs of other characters become one `_`, and none stands at an end.
fn plain(text: &str, keeps: impl Fn(char) -> bool) -> String {
    let mut name = String::new();
    for c in text.chars() {
        if keeps(c) {
            name.push(c);
        } else if !name.is_empty() && !name.ends_with('_') {
            name.push('_');
        }
    }
    name.trim_end_matches('_').trim_start_matches(['_', '-', '.']).to_owned()
}

/// FNV-1a, 32 bits: tells names apart, and nothing else rests on it.
fn mark(text: &str) -> u32 {
    text.bytes().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_that_clients_take() {
        for (wished, name) in [
            ("repos/list-for-org", "repos_list-for-org"),
            ("getPet", "getPet"),
            ("get /pets/{petId}", "get_pets_petId"),
            ("\u{1b}[31mevil\u{202e}", "31mevil"),
            ("üñ", ""),
            ("..", ""),
            ("filter[name]", "filter_name"),
        ] {
            assert_eq!(tool(wished, 56), name, "{wished:?}");
        }
        let (a, b) = ("x".repeat(100) + "a", "x".repeat(100) + "b");
        assert_ne!(tool(&a, 56), tool(&b, 56));
        assert_eq!(unique("a", |name| ["a", "a_2"].contains(&name)), "a_3");
    }

    proptest! {
        #[test]
        fn names_are_plain_and_short(text in any::<String>(), max in 20_usize..64) {
            let name = tool(&text, max);
            prop_assert!(name.len() <= max);
            prop_assert!(name.bytes().all(|b| b.is_ascii_alphanumeric() || b"_-.".contains(&b)), "{name}");
        }
    }
}
