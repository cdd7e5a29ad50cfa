//! Policy files, cut into statements: each with the place that errors point to.
//!
//! Each policy is parsed by itself: one broken policy then hides no mistake in
//! the next, ten thousand parse in a quarter of the memory of one text, and
//! what did not change since the last time need not be parsed again.

use std::borrow::Cow;

use miette::Diagnostic;

use crate::error::{Fault, Lines, PolicyError};

/// One policy file.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// What people know the file by, such as its path: shown in errors, in
    /// denials to callers on this machine and, its last part only, in ids and
    /// in denials to others. A name that ends in `.toml` is a role file's.
    pub name: &'a str,
    /// Its text.
    pub text: &'a str,
}

/// A piece of a file that holds one policy.
#[derive(Debug)]
pub(crate) struct Statement<'a> {
    /// Name of the file.
    pub(crate) file: &'a str,
    /// Cedar.
    pub(crate) text: Cow<'a, str>,
    /// Its number in the file, from 1.
    pub(crate) number: usize,
    pub(crate) origin: Origin<'a>,
}

/// Where a statement stands.
#[derive(Debug)]
pub(crate) enum Origin<'a> {
    /// In a file of Cedar.
    Cedar {
        lines: &'a Lines<'a>,
        /// Where the piece begins, in bytes.
        offset: usize,
        /// Where its first word begins, in bytes.
        first_word: usize,
    },
    /// In a role file, which it was compiled from: line and column of the rule.
    Role { line: u32, column: u32 },
}

/// One thing to say about a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) fault: Fault,
    /// Where in the statement's text, in bytes; `None` is its first word.
    pub(crate) offset: Option<usize>,
    pub(crate) what: String,
    pub(crate) hint: Option<String>,
}

impl Finding {
    pub(crate) fn new(fault: Fault, what: impl Into<String>, hint: Option<String>) -> Self {
        Finding { fault, offset: None, what: what.into(), hint }
    }

    /// An error of Cedar's, with its place and advice where it has them.
    pub(crate) fn of_cedar(fault: Fault, error: &dyn Diagnostic) -> Self {
        let offset = error.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
        let text = error.to_string();
        // "for policy `id`, …" repeats what the place already says.
        let what = match text.strip_prefix("for policy `").and_then(|rest| rest.split_once("`, ")) {
            Some((_, rest)) => rest.to_owned(),
            None => text,
        };
        Finding { fault, offset, what, hint: error.help().map(|help| help.to_string()) }
    }
}

impl Statement<'_> {
    /// Line and column, from 1.
    pub(crate) fn position(&self, within: Option<usize>) -> (u32, u32) {
        match &self.origin {
            Origin::Cedar { lines, offset, first_word } => {
                lines.position(within.map_or(*first_word, |within| offset + within))
            }
            Origin::Role { line, column } => (*line, *column),
        }
    }

    /// A finding with its place.
    pub(crate) fn error(&self, finding: Finding) -> PolicyError {
        let Finding { fault, offset, what, hint } = finding;
        let (line, column) = self.position(offset);
        let hint = hint.unwrap_or_else(|| fault.hint().to_owned());
        PolicyError { fault, file: self.file.to_owned(), line, column, what, hint }
    }
}

/// The last part of a path: ids and denials travel, and a caller far away need
/// not learn where this machine keeps its files.
pub(crate) fn base_name(file: &str) -> &str {
    file.rsplit(['/', '\\']).next().unwrap_or(file)
}

/// Cuts a file after each semicolon that ends a policy, that is, one outside
/// of strings and comments. What is left after the last one is a piece too,
/// so that an unfinished policy is an error and not forgotten.
pub(crate) fn split<'a>(source: Source<'a>, lines: &'a Lines<'a>) -> Vec<Statement<'a>> {
    let bytes = source.text.as_bytes();
    let mut statements = Vec::new();
    let (mut begin, mut first_word, mut at) = (0, None, 0);
    let mut close = |begin: usize, end: usize, first_word: Option<usize>| {
        if let Some(first_word) = first_word {
            let number = statements.len() + 1;
            let text = &source.text[begin..end];
            let origin = Origin::Cedar { lines, offset: begin, first_word };
            statements.push(Statement { file: source.name, text: Cow::Borrowed(text), number, origin });
        }
    };
    while at < bytes.len() {
        match bytes[at] {
            b'/' if bytes.get(at + 1) == Some(&b'/') => {
                at = end_of(bytes, at, |b| b == b'\n');
                continue;
            }
            b'"' => {
                first_word.get_or_insert(at);
                at = end_of_string(bytes, at + 1);
                continue;
            }
            b';' => {
                first_word.get_or_insert(at);
                close(begin, at + 1, first_word.take());
                begin = at + 1;
            }
            b if !b.is_ascii_whitespace() => {
                first_word.get_or_insert(at);
            }
            _ => {}
        }
        at += 1;
    }
    close(begin, bytes.len(), first_word);
    statements
}

/// First line of a file of Cedar that promises its last one. A file that is cut
/// off keeps its beginning, so that the promise outlives what it is about.
const BEGIN: &str = "// begin";

/// Last line of such a file.
const END: &str = "// end";

/// Whether a file of Cedar is whole, as far as it says: one that begins with
/// `// begin` ends with `// end`, and after `// end` comes nothing.
///
/// # Errors
/// Where it is not whole, in bytes, and why.
pub(crate) fn is_whole(text: &str) -> Result<(), (usize, &'static str)> {
    let end = line_starts(text).find(|&at| text[at..].lines().next().is_some_and(|line| line.trim() == END));
    match end {
        Some(at) if text[at..].lines().skip(1).any(|line| !line.trim().is_empty()) => {
            Err((at, "// end is not the last line: move it below what was added"))
        }
        None if promises_end(text) => {
            Err((text.len(), "the file begins with // begin and does not end with // end: it was cut off"))
        }
        _ => Ok(()),
    }
}

fn line_starts(text: &str) -> impl Iterator<Item = usize> {
    std::iter::once(0).chain(text.match_indices('\n').map(|(at, _)| at + 1))
}

/// Whether a file promises its own end, so that it could not be cut off
/// unnoticed.
pub(crate) fn promises_end(text: &str) -> bool {
    text.lines().map(str::trim).find(|line| !line.is_empty()) == Some(BEGIN)
}

fn end_of(bytes: &[u8], from: usize, stop: impl Fn(u8) -> bool) -> usize {
    bytes[from..].iter().position(|&b| stop(b)).map_or(bytes.len(), |n| from + n)
}

/// The offset after the closing quote of a string that begins before `from`.
fn end_of_string(bytes: &[u8], mut from: usize) -> usize {
    loop {
        from = end_of(bytes, from, |b| b == b'"' || b == b'\\');
        match bytes.get(from) {
            Some(b'\\') => from = (from + 2).min(bytes.len()),
            Some(_) => return from + 1,
            None => return from,
        }
    }
}
