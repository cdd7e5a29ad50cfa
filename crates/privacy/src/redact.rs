//! Texts about calls without what was said in them.
//!
//! Why a call was denied is told to its caller with the values that decided: they are its own. A record is read by others, and
//! for longer.

use std::borrow::Cow;

use crate::leaves::{self, leaves, shown};

/// Stands for a value.
const HIDDEN: &str = "[…]";

/// Leaves that are looked for. A reason that is about more of them says so little of each that nobody could read it.
const LEAVES_MAX: usize = 256;

/// Shortest text that is looked for without quotes around it, in characters: shorter ones are found in every sentence.
const BARE_CHARS_MIN: usize = 4;

/// The text without the values of these arguments, and without keys that do not read like names of fields.
#[must_use]
pub fn redacted<'a>(text: &'a str, arguments: Option<&str>) -> Cow<'a, str> {
    let Some(arguments) = arguments else { return text.into() };
    let mut values = Vec::new();
    for leaf in leaves(arguments, LEAVES_MAX).0 {
        match leaf.is_text {
            true => {
                values.push(format!("{:?}", leaf.value));
                if leaf.value.chars().count() >= BARE_CHARS_MIN {
                    values.push(leaf.value.into_owned());
                }
            }
            false => values.push(leaf.value.into_owned()),
        }
    }
    values.extend(leaves::keys(arguments).into_iter().filter(|key| !key.is_empty() && shown(key) == "*"));
    // The longest first, so that none hides in a part of another.
    values.sort_by_key(|value| std::cmp::Reverse(value.len()));
    let mut text = Cow::Borrowed(text);
    for value in values {
        if let Cow::Owned(without) = hide(&text, &value) {
            text = Cow::Owned(without);
        }
    }
    text
}

/// Replaces a value wherever it stands by itself: not as a part of a longer word.
fn hide<'a>(text: &'a str, value: &str) -> Cow<'a, str> {
    let is_word = |c: char| c.is_alphanumeric();
    let mut without = String::new();
    let mut rest = text;
    while let Some(at) = rest.find(value) {
        let (before, after) = (&rest[..at], &rest[at + value.len()..]);
        let joins_before = value.starts_with(is_word) && before.ends_with(is_word);
        let joins_after = value.ends_with(is_word) && after.starts_with(is_word);
        without.push_str(before);
        without.push_str(if joins_before || joins_after { value } else { HIDDEN });
        rest = after;
    }
    if without.is_empty() && rest.len() == text.len() {
        return text.into();
    }
    without.push_str(rest);
    without.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_gone_and_words_stay() {
        let arguments = r#"{"id":"P-4711","n":42,"hiv":true,"c":"DE","note":"a \"b\" c","ann@example.org":"x","limit":5}"#;
        for (text, expected) in [
            ("id is \"P-4711\", which is not in [\"P-1\"]", "id is […], which is not in [\"P-1\"]"),
            ("n is 42, and must be <= 7", "n is […], and must be <= 7"),
            ("hiv is true", "hiv is […]"),
            ("c is \"DE\", and must be == \"FR\"", "c is […], and must be == \"FR\""),
            ("the DEcision P-4711x 421", "the DEcision P-4711x 421"),
            ("note is \"a \\\"b\\\" c\"", "note is […]"),
            ("`ann@example.org` is not in the tool's definition", "`[…]` is not in the tool's definition"),
            ("nothing of it", "nothing of it"),
        ] {
            assert_eq!(redacted(text, Some(arguments)), expected);
        }
        assert_eq!(redacted("id is 7", None), "id is 7");
        assert_eq!(redacted("id is 7", Some("{")), "id is 7");
    }
}
