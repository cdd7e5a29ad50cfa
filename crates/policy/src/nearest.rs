//! "Did you mean": the name in the schema that is nearest to an unknown one.
//!
//! Cedar has such advice too, but for actions it weighs differences of length
//! lightly and ties by chance: for `tools/cal` it offers `use`.

use cedar_policy::ValidationError;

use crate::schema::SCHEMA;

/// Advice on an unknown action or entity type; `None` for other errors.
pub(crate) fn advice(error: &ValidationError) -> Option<String> {
    let known: Vec<String> = match error {
        ValidationError::UnrecognizedActionId(_) => SCHEMA.actions().map(ToString::to_string).collect(),
        ValidationError::UnrecognizedEntityType(_) => {
            SCHEMA.entity_types().map(ToString::to_string).collect()
        }
        _ => return None,
    };
    let text = error.to_string();
    let unknown = text.rsplit_once(" `")?.1.strip_suffix('`')?;
    let best = known.iter().min_by_key(|name| (distance(name, unknown), *name))?;
    Some(format!("did you mean {best}?"))
}

/// Most letters that may differ between a misspelt word and the word meant.
const MISSPELT_MAX: usize = 2;

/// The word that was probably meant; `None` if none is near.
pub(crate) fn word<'a>(unknown: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let rated = known.into_iter().map(|word| (distance(word, unknown), word));
    rated.min().filter(|(distance, _)| *distance <= MISSPELT_MAX).map(|(_, word)| word)
}

/// Insertions, deletions and replacements that turn one text into the other
/// (Levenshtein).
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, from) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &to) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(from != to);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in
            [("", "", 0), ("", "abc", 3), ("abc", "abc", 0), ("kitten", "sitting", 3), ("tool", "tools", 1)]
        {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }
}
