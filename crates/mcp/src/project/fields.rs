//! Which fields pass.

use std::collections::BTreeSet;

/// Shorter names are mentioned by a text only as whole words, or `ssn` would be found in "passname".
const SUBSTRING_BYTES_MIN: usize = 8;

/// Which fields of a result pass.
///
/// A field is a dotted path; steps through arrays are left out.
///
/// * Paths of `only` begin at the top of the document and are compared exactly; a field passes with all that is in it.
/// * Paths of `hidden` may begin anywhere: `ssn` is hidden at any depth, `customer.ssn` wherever `ssn` is in
///   `customer`. Case and marks in names do not count.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fields {
    pub(super) only: Option<BTreeSet<String>>,
    pub(super) hidden: Vec<Vec<String>>,
}

/// A path to be hidden that names nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path:?} names no field: a field has letters or digits between its dots")]
pub struct NoField {
    /// As written.
    pub path: String,
}

impl Fields {
    /// The fields that pass: all, or `only` some; and of these all but the `hidden` ones.
    ///
    /// # Errors
    /// When a hidden path has a step without letters and digits.
    pub fn new<'a>(
        only: Option<impl IntoIterator<Item = &'a str>>,
        hidden: impl IntoIterator<Item = &'a str>,
    ) -> Result<Self, NoField> {
        let only = only.map(|paths| paths.into_iter().map(str::to_owned).collect());
        let mut paths = Vec::new();
        for path in hidden {
            let steps: Vec<String> = path.split('.').map(folded).collect();
            if steps.iter().any(String::is_empty) {
                return Err(NoField { path: path.to_owned() });
            }
            paths.push(steps);
        }
        Ok(Self { only, hidden: paths })
    }

    /// Whether everything passes.
    #[must_use]
    pub fn is_everything(&self) -> bool {
        self.only.is_none() && self.hidden.is_empty()
    }

    /// Whether the field at these folded steps is hidden.
    pub(super) fn hides(&self, steps: &[String]) -> bool {
        self.hidden.iter().any(|hidden| steps.ends_with(hidden))
    }

    /// Whether a text says the name of a hidden field.
    pub(super) fn mentioned(&self, text: &str) -> bool {
        if self.hidden.is_empty() {
            return false;
        }
        self.said(text) || (text.contains("\\u") && self.said(&unescaped(text)))
    }

    fn said(&self, text: &str) -> bool {
        let (folded, starts) = words(text);
        self.hidden.iter().any(|path| {
            let name = path.last().expect("a path has a step");
            folded.match_indices(name.as_str()).any(|(at, _)| {
                let whole = starts[at] && starts.get(at + name.len()).is_none_or(|start| *start);
                whole || name.len() >= SUBSTRING_BYTES_MIN
            })
        })
    }
}

/// A name without case and marks.
pub(super) fn folded(name: &str) -> String {
    name.chars().filter(|char| char.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// A text without case and marks, and where words may begin in it: after a mark, at a capital, at a digit.
fn words(text: &str) -> (String, Vec<bool>) {
    let (mut folded, mut starts) = (String::with_capacity(text.len()), Vec::with_capacity(text.len()));
    let mut before = ' ';
    for char in text.chars() {
        if char.is_alphanumeric() {
            let start = !before.is_alphanumeric()
                || before.is_numeric() != char.is_numeric()
                || (before.is_lowercase() && char.is_uppercase());
            starts.push(start);
            folded.extend(char.to_lowercase());
            starts.resize(folded.len(), false);
        }
        before = char;
    }
    (folded, starts)
}

/// A text with its `\uXXXX` undone, wherever they stand: whoever reads it may do so too.
fn unescaped(text: &str) -> String {
    let mut parts = text.split("\\u");
    let mut out = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let code =
            part.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok()).and_then(char::from_u32);
        match code {
            Some(char) => {
                out.push(char);
                out.push_str(&part[4..]);
            }
            None => out.push_str(part),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mention_is_a_word() {
        let fields = Fields::new(None::<[&str; 0]>, ["customer.ssn", "social_security"]).unwrap();
        for text in [
            "the SSN is 1",
            "ssn",
            "customerSsn=1",
            "x_ssn_y",
            "ssn7",
            r"{\u0073\u0073n}",
            "ÄSocial-SecurityÖ",
            "s.s.n.",
        ] {
            assert!(fields.mentioned(text), "{text}");
        }
        for text in ["", "business_name", "passnumber", "social, insecurity", "İssnİ"] {
            assert!(!fields.mentioned(text), "{text}");
        }
        assert_eq!(Fields::new(None::<[&str; 0]>, ["a._"]).unwrap_err().path, "a._");
    }
}
