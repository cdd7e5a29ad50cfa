//! A document written anew without what may not pass.

use std::borrow::Cow;

use crate::error::{DecodeError, Place};
use crate::limits::Limits;
use crate::scan::{self, Scanner, Shape};
use crate::text;

use super::{Fields, Members, WITHHELD, fields::folded};

/// What of a value passes.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Passes {
    /// All but what is hidden.
    All,
    /// The fields below this path that are named; the empty path is the top.
    Below(String),
}

/// Where the text stood before a member or an item was begun.
#[derive(Debug, Clone, Copy)]
pub(super) struct Mark(usize);

/// Writes what passes.
pub(super) struct Writer<'f> {
    fields: &'f Fields,
    out: String,
    reduced: bool,
    /// The folded names above, for hidden paths. Names that have dots are several steps.
    steps: Vec<String>,
}

impl<'f> Writer<'f> {
    pub(super) fn new(fields: &'f Fields) -> Self {
        Self { fields, out: String::new(), reduced: false, steps: Vec::new() }
    }

    pub(super) fn fields(&self) -> &'f Fields {
        self.fields
    }

    /// What was written, and whether something is missing in it.
    pub(super) fn finish(self) -> (String, bool) {
        (self.out, self.reduced)
    }

    /// Forgets what was written to look whether it passes.
    pub(super) fn restart(&mut self) {
        self.out.clear();
    }

    pub(super) fn start_again(&mut self) {
        self.out.clear();
        self.reduced = true;
    }

    pub(super) fn reduced(&mut self) {
        self.reduced = true;
    }

    pub(super) fn push(&mut self, raw: &str) {
        self.out.push_str(raw);
    }

    pub(super) fn open(&mut self, bracket: char) {
        self.out.push(bracket);
    }

    pub(super) fn close(&mut self, bracket: char) {
        self.out.push(bracket);
    }

    /// Begins a member; its value is to be written next.
    pub(super) fn member(&mut self, name: &str) -> Mark {
        let mark = self.item();
        self.out.push_str(&text::encode(name));
        self.out.push(':');
        mark
    }

    /// Begins an item; it is to be written next.
    pub(super) fn item(&mut self) -> Mark {
        let mark = Mark(self.out.len());
        if !self.out.ends_with(['{', '[']) {
            self.out.push(',');
        }
        mark
    }

    /// Ends a member or an item; what is not kept is taken back.
    pub(super) fn keep(&mut self, mark: Mark, kept: bool) {
        if !kept {
            self.out.truncate(mark.0);
            self.reduced = true;
        }
    }

    /// Whether free text passes.
    pub(super) fn free_text(&self, text: &str) -> bool {
        self.fields.only.is_none() && self.unmentioned(text)
    }

    /// Whether a text mentions nothing that is hidden.
    pub(super) fn unmentioned(&self, text: &str) -> bool {
        !self.fields.mentioned(text)
    }

    /// Writes what passes of a document, if it is one; false if not.
    pub(super) fn document(&mut self, raw: &str) -> Result<bool, DecodeError> {
        let value = scan::whole(raw, &Limits::default())?;
        if !matches!(value.shape, Shape::Object | Shape::Array) {
            return Ok(false);
        }
        let passes = if self.fields.only.is_some() { Passes::Below(String::new()) } else { Passes::All };
        self.whole(raw, &passes)
    }

    /// Writes what passes of a member that is no content: nothing under `only`.
    pub(super) fn other(&mut self, name: &str, raw: &str) -> Result<bool, DecodeError> {
        if self.fields.only.is_some() {
            return Ok(false);
        }
        let steps = self.enter(name);
        let kept = if self.fields.hides(&self.steps) { Ok(false) } else { self.whole(raw, &Passes::All) };
        self.steps.truncate(steps);
        kept
    }

    /// A value that was scanned before, by a scanner that checks its names.
    fn whole(&mut self, raw: &str, passes: &Passes) -> Result<bool, DecodeError> {
        let limits = Limits::default();
        let mut scanner = Scanner::new(raw, &limits);
        scanner.space();
        self.value(raw, &mut scanner, passes)
    }

    fn value(&mut self, raw: &str, scanner: &mut Scanner<'_>, passes: &Passes) -> Result<bool, DecodeError> {
        match scanner.peek() {
            Some(b'{') => {
                self.out.push('{');
                scanner.object(Place::Definition, |scanner, name| {
                    let mark = self.member(name);
                    let kept = self.named(raw, scanner, name, passes)?;
                    self.keep(mark, kept);
                    Ok(())
                })?;
                self.out.push('}');
                Ok(true)
            }
            Some(b'[') => {
                self.out.push('[');
                scanner.array(|scanner| {
                    let mark = self.item();
                    let kept = self.value(raw, scanner, passes)?;
                    self.keep(mark, kept);
                    Ok(())
                })?;
                self.out.push(']');
                Ok(true)
            }
            _ => {
                let value = scanner.value()?;
                let kept = *passes == Passes::All;
                if kept {
                    self.leaf(value.shape, value.span.of(raw));
                }
                Ok(kept)
            }
        }
    }

    /// The value of a member; false if none of it passes.
    fn named(
        &mut self,
        raw: &str,
        scanner: &mut Scanner<'_>,
        name: &str,
        passes: &Passes,
    ) -> Result<bool, DecodeError> {
        let steps = self.enter(name);
        let below = match passes {
            _ if self.fields.hides(&self.steps) => None,
            Passes::All => Some(Passes::All),
            Passes::Below(above) => self.below(above, name),
        };
        let kept = match below {
            Some(passes) => self.value(raw, scanner, &passes),
            None => scanner.value().map(|_| false),
        };
        self.steps.truncate(steps);
        kept
    }

    /// What passes of the member `name` of the object at `above`.
    fn below(&self, above: &str, name: &str) -> Option<Passes> {
        let only = self.fields.only.as_ref()?;
        let path = if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") };
        if only.contains(&path) {
            return Some(Passes::All);
        }
        let inner = format!("{path}.");
        let first = only.range(inner.clone()..).next()?;
        first.starts_with(&inner).then_some(Passes::Below(path))
    }

    fn leaf(&mut self, shape: Shape, written: &str) {
        let decoded = if shape == Shape::String { text::decode(written) } else { None };
        let readable = shape != Shape::String || decoded.is_some();
        if readable && decoded.is_none_or(|text| self.unmentioned(&text)) {
            self.out.push_str(written);
        } else {
            self.out.push_str(&text::encode(WITHHELD));
            self.reduced = true;
        }
    }

    /// Goes into a member; gives what to truncate the steps to afterwards.
    fn enter(&mut self, name: &str) -> usize {
        let before = self.steps.len();
        if !self.fields.hidden.is_empty() {
            self.steps.extend(name.split('.').map(folded));
        }
        before
    }
}

/// The members of an object, each name once.
pub(super) fn members(raw: &str) -> Result<Members<'_>, DecodeError> {
    let mut scanner = Scanner::new(raw, &Limits::default());
    scanner.space();
    if scanner.peek() != Some(b'{') {
        return Err(DecodeError::Type { member: "a part of the result", expected: "an object", at: 0 });
    }
    let mut members = Vec::new();
    scanner.object(Place::Definition, |scanner, name| {
        let value = scanner.value()?;
        members.push((Cow::Owned(name.to_owned()), value.span.of(raw)));
        Ok(())
    })?;
    Ok(members)
}

/// The items of an array, as written.
pub(super) fn items(raw: &str) -> Result<Vec<&str>, DecodeError> {
    let mut scanner = Scanner::new(raw, &Limits::default());
    scanner.space();
    if scanner.peek() != Some(b'[') {
        return Err(DecodeError::Type { member: "a list in the result", expected: "an array", at: 0 });
    }
    let mut items = Vec::new();
    scanner.array(|scanner| {
        items.push(scanner.value()?.span.of(raw));
        Ok(())
    })?;
    Ok(items)
}
