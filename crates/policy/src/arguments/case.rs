//! Names that differ only in case.
//!
//! Parsers of servers differ in whether they tell `customer.ID` from `customer.id`: Go's standard library does not. Of
//! arguments that have both, nobody can say what a server will read, so no policy can decide on them.

use std::collections::HashMap;

use lockgate_mcp::tree::Tree;

use super::{Arguments, Misfit};

impl Arguments<'_> {
    /// Whether the names within each object differ in more than case.
    ///
    /// # Errors
    /// [`Misfit::Case`] with the first two that do not.
    pub fn tell_names_apart(&self) -> Result<(), Misfit> {
        apart(&self.tree)
    }
}

fn apart(tree: &Tree<'_>) -> Result<(), Misfit> {
    for (index, item) in tree.items().iter().enumerate() {
        apart(item).map_err(|misfit| misfit.at(index))?;
    }
    let mut seen: HashMap<String, &str> = HashMap::with_capacity(tree.members().len());
    for (name, value) in tree.members() {
        if let Some(other) = seen.insert(folded(name), name) {
            return Err(Misfit::Case { path: name.clone(), other: other.to_owned() });
        }
        apart(value).map_err(|misfit| misfit.inside(name))?;
    }
    Ok(())
}

/// A name without case: what Unicode's simple case folding makes equal is equal here, and a little more (dotless i).
fn folded(name: &str) -> String {
    name.chars().map(|char| single(single(char, char::to_uppercase), char::to_lowercase)).collect()
}

/// The character that this one becomes; itself, if it becomes several.
fn single<M: Iterator<Item = char>>(char: char, mapping: impl Fn(char) -> M) -> char {
    let mut mapped = mapping(char);
    match (mapped.next(), mapped.next()) {
        (Some(one), None) => one,
        _ => char,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_only_case_tells_apart_are_found_at_any_depth() {
        for (raw, expected) in [
            (r#"{"id":1,"name":2}"#, None),
            (r#"{"id":1,"x":{"ID":1}}"#, None),
            (r#"{"a":[{"id":1},{"ID":1}]}"#, None),
            (r#"{"stra\u00dfe":1,"strasse":2}"#, None),
            (r#"{"id":1,"ID":2}"#, Some("argument `ID`")),
            (r#"{"customer":{"id":1,"Id":2}}"#, Some("argument `customer.Id`")),
            (r#"{"a":[0,{"x":{"key":1,"KEY":2}}]}"#, Some("argument `a[1].x.KEY`")),
            // Kelvin, long s, both sigmas, micro, a digraph in title case.
            ("{\"key\":1,\"\u{212a}ey\":2}", Some("argument `\u{212a}ey`")),
            ("{\"ssn\":1,\"\u{17f}sn\":2}", Some("argument `\u{17f}sn`")),
            ("{\"λόγος\":1,\"ΛΌΓΟΣ\":2}", Some("argument `ΛΌΓΟΣ`")),
            ("{\"\u{b5}\":1,\"\u{3bc}\":2}", Some("argument `\u{3bc}`")),
            ("{\"\u{1c5}\":1,\"\u{1c6}\":2}", Some("argument `\u{1c6}`")),
            ("{\"stra\u{df}e\":1,\"stra\u{1e9e}e\":2}", Some("argument `stra\u{1e9e}e`")),
        ] {
            let told = Arguments::read(Some(raw)).unwrap().tell_names_apart();
            let told = told.err().map(|misfit| misfit.to_string());
            assert_eq!(told.is_some(), expected.is_some(), "{raw}: {told:?}");
            if let (Some(told), Some(expected)) = (told, expected) {
                assert!(told.starts_with(expected) && told.contains("only in case"), "{raw}: {told}");
            }
        }
    }
}
