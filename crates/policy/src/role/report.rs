//! Mistakes of one role file, collected with their places.

use std::cell::RefCell;

use crate::{
    error::{Fault, Lines, PolicyError},
    nearest,
};

/// Collects every mistake, so that one run of `policy check` shows them all.
#[derive(Debug)]
pub(super) struct Report<'a> {
    file: &'a str,
    lines: Lines<'a>,
    errors: RefCell<Vec<PolicyError>>,
}

impl<'a> Report<'a> {
    pub(super) fn new(file: &'a str, text: &'a str) -> Self {
        Report { file, lines: Lines::new(text), errors: RefCell::default() }
    }

    /// Notes a mistake in what the file says, at a byte offset.
    pub(super) fn say(&self, at: usize, what: impl Into<String>, hint: impl Into<String>) {
        self.fault(Fault::Role, at, what, hint);
    }

    /// Notes a mistake of another kind.
    pub(super) fn fault(&self, fault: Fault, at: usize, what: impl Into<String>, hint: impl Into<String>) {
        let (line, column) = self.lines.position(at);
        let error = PolicyError {
            fault,
            file: self.file.to_owned(),
            line,
            column,
            what: what.into(),
            hint: hint.into(),
        };
        self.errors.borrow_mut().push(error);
    }

    /// Line and column, from 1, of a byte offset.
    pub(super) fn position(&self, at: usize) -> (u32, u32) {
        self.lines.position(at)
    }

    /// What people know the file by.
    pub(super) fn file(&self) -> &'a str {
        self.file
    }

    /// Whether nothing was wrong so far.
    pub(super) fn is_clean(&self) -> bool {
        self.errors.borrow().is_empty()
    }

    /// Everything that was wrong, in reading order, each once.
    pub(super) fn into_errors(self) -> Vec<PolicyError> {
        let mut errors = self.errors.into_inner();
        errors
            .sort_by(|a, b| (a.line, a.column, a.fault, &a.what).cmp(&(b.line, b.column, b.fault, &b.what)));
        errors.dedup();
        errors
    }
}

/// The known word that was probably meant: at most a third of it, rounded up,
/// may differ.
pub(super) fn meant<'k>(written: &str, known: impl IntoIterator<Item = &'k str>) -> Option<&'k str> {
    let folded = written.to_ascii_lowercase();
    known
        .into_iter()
        .map(|word| (nearest::distance(&word.to_ascii_lowercase(), &folded), word))
        .filter(|(distance, word)| *distance <= word.len().div_ceil(3))
        .min()
        .map(|(_, word)| word)
}

/// Advice on an unknown word: the one that was meant, or the ones that exist.
pub(super) fn did_you_mean<'k>(written: &str, known: impl IntoIterator<Item = &'k str> + Clone) -> String {
    match meant(written, known.clone()) {
        Some(word) => format!("did you mean `{word}`?"),
        None => {
            let mut words: Vec<&str> = known.into_iter().take(WORDS_MAX).collect();
            let more = if words.len() == WORDS_MAX { ", …" } else { "" };
            words.dedup();
            format!("known here: {}{more}", words.join(", "))
        }
    }
}

/// Words in one piece of advice: a line or two on a screen.
const WORDS_MAX: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slip_is_understood_and_nonsense_is_not() {
        for (written, expected) in [
            ("tool", Some("tools")),
            ("Tools", Some("tools")),
            ("huors", Some("hours")),
            ("monday", None),
            ("xyz", None),
            ("", None),
        ] {
            assert_eq!(meant(written, ["tools", "hours", "servers"]), expected, "{written}");
        }
    }
}
