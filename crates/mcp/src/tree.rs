//! A JSON value as a tree, for what decisions look into: tool definitions, and the arguments of calls that a policy
//! weighs. Nothing that is forwarded is ever written from a tree, but for the form that is hashed
//! ([`canonical`](crate::canonical)).
//!
//! What two parsers could read in two ways is refused at any depth: a name twice in one object, a name with a NUL,
//! a string with an unpaired surrogate.

use std::borrow::Cow;

use crate::error::{DecodeError, Place};
use crate::limits::Limits;
use crate::scan::{self, Scanner};
use crate::text;

pub use crate::scan::Shape;

/// A value. Names and strings are decoded, numbers kept as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Tree<'a> {
    /// Members in the order written, each name once.
    Object(Vec<(String, Tree<'a>)>),
    /// Items in the order written.
    Array(Vec<Tree<'a>>),
    /// A string, without its quotes.
    String(Cow<'a, str>),
    /// A number, true, false or null, as written.
    Plain(Shape, &'a str),
}

impl<'a> Tree<'a> {
    /// Reads `raw`, which must be one value: a definition, whose size the caller has bounded.
    ///
    /// # Errors
    /// When `raw` is not one JSON value, is nested deeper than 64 levels, has an object of more than 1,024 members,
    /// or can be read in two ways.
    pub fn read(raw: &'a str) -> Result<Self, DecodeError> {
        Reader { raw, place: Place::Definition, values_left: usize::MAX, values_max: usize::MAX }.read()
    }

    /// Reads `raw`, the arguments of a call, if it holds no more than `values_max` values, containers included: a
    /// tree takes many times the memory of its text.
    ///
    /// # Errors
    /// As [`Tree::read`], and when there are more values.
    pub fn read_arguments(raw: &'a str, values_max: usize) -> Result<Self, DecodeError> {
        Reader { raw, place: Place::Arguments, values_left: values_max, values_max }.read()
    }

    /// What the value is.
    #[must_use]
    pub fn shape(&self) -> Shape {
        match self {
            Self::Object(_) => Shape::Object,
            Self::Array(_) => Shape::Array,
            Self::String(_) => Shape::String,
            Self::Plain(shape, _) => *shape,
        }
    }

    /// The members of an object, none of anything else.
    #[must_use]
    pub fn members(&self) -> &[(String, Tree<'a>)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    /// The items of an array, none of anything else.
    #[must_use]
    pub fn items(&self) -> &[Tree<'a>] {
        match self {
            Self::Array(items) => items,
            _ => &[],
        }
    }

    /// A member of an object.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tree<'a>> {
        self.members().iter().find(|(member, _)| member == name).map(|(_, value)| value)
    }

    /// The text of a string.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }
}

struct Reader<'a> {
    raw: &'a str,
    place: Place,
    values_left: usize,
    values_max: usize,
}

impl<'a> Reader<'a> {
    fn read(mut self) -> Result<Tree<'a>, DecodeError> {
        // The first pass bounds the depth, and with it the recursion of the second.
        let limits = Limits::default();
        scan::whole(self.raw, &limits)?;
        let mut scanner = Scanner::within(self.raw, 0, limits.members_max);
        scanner.space();
        self.value(&mut scanner)
    }

    fn value(&mut self, scanner: &mut Scanner<'a>) -> Result<Tree<'a>, DecodeError> {
        let at = scanner.at();
        let Some(left) = self.values_left.checked_sub(1) else {
            return Err(DecodeError::TooManyValues { at, values_max: self.values_max });
        };
        self.values_left = left;
        match scanner.peek() {
            Some(b'{') => {
                let mut members = Vec::new();
                scanner.object(self.place, |scanner, name| {
                    members.push((name.to_owned(), self.value(scanner)?));
                    Ok(())
                })?;
                Ok(Tree::Object(members))
            }
            Some(b'[') => {
                let mut items = Vec::new();
                scanner.array(|scanner| {
                    items.push(self.value(scanner)?);
                    Ok(())
                })?;
                Ok(Tree::Array(items))
            }
            _ => {
                let value = scanner.value()?;
                let written = value.span.of(self.raw);
                if value.shape != Shape::String {
                    return Ok(Tree::Plain(value.shape, written));
                }
                text::decode(written).map(Tree::String).ok_or(DecodeError::Surrogate { at })
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_read_up_to_a_number_of_values() {
        let raw = r#"{"a":[1,{"b":null}],"c":"d"}"#;
        assert!(Tree::read_arguments(raw, 6).is_ok());
        assert!(matches!(
            Tree::read_arguments(raw, 5),
            Err(DecodeError::TooManyValues { values_max: 5, at: 24 })
        ));
    }

    #[test]
    fn a_name_twice_is_refused_at_any_depth() {
        for raw in [r#"{"a":1,"a":2}"#, r#"{"x":[{"a":1,"\u0061":2}]}"#, r#"[[{"y":{"b":1,"b":1}}]]"#] {
            let error = Tree::read_arguments(raw, 100).unwrap_err();
            assert!(
                matches!(error, DecodeError::Duplicate { place: Place::Arguments, .. }),
                "{raw}: {error}"
            );
        }
    }
}
