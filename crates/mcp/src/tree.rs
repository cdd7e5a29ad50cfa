//! A JSON value as a tree, for tool definitions: read once a definition, never on a call.

use std::borrow::Cow;

use crate::error::{DecodeError, Place};
use crate::limits::Limits;
use crate::scan::{self, Scanner, Shape};
use crate::text;

/// A value. Names and strings are decoded, numbers kept as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tree<'a> {
    /// Members in the order written, each name once.
    Object(Vec<(String, Tree<'a>)>),
    Array(Vec<Tree<'a>>),
    String(Cow<'a, str>),
    /// A number, true, false or null, as written.
    Plain(Shape, &'a str),
}

impl<'a> Tree<'a> {
    /// Reads `raw`, which must be one value without a name twice in any object.
    pub(crate) fn read(raw: &'a str) -> Result<Self, DecodeError> {
        // The first pass bounds the depth, and with it the recursion of the second.
        let limits = Limits::default();
        scan::whole(raw, &limits)?;
        let mut scanner = Scanner::within(raw, 0, limits.members_max);
        scanner.space();
        Self::read_at(raw, &mut scanner)
    }

    fn read_at(raw: &'a str, scanner: &mut Scanner<'a>) -> Result<Self, DecodeError> {
        match scanner.peek() {
            Some(b'{') => {
                let mut members = Vec::new();
                scanner.object(Place::Definition, |scanner, name| {
                    members.push((name.to_owned(), Self::read_at(raw, scanner)?));
                    Ok(())
                })?;
                Ok(Self::Object(members))
            }
            Some(b'[') => {
                let mut items = Vec::new();
                scanner.array(|scanner| {
                    items.push(Self::read_at(raw, scanner)?);
                    Ok(())
                })?;
                Ok(Self::Array(items))
            }
            _ => {
                let value = scanner.value()?;
                let written = value.span.of(raw);
                if value.shape != Shape::String {
                    return Ok(Self::Plain(value.shape, written));
                }
                let at = value.span.start as usize;
                text::decode(written).map(Self::String).ok_or(DecodeError::Surrogate { at })
            }
        }
    }

    /// The members of an object, none of anything else.
    pub(crate) fn members(&self) -> &[(String, Tree<'a>)] {
        match self {
            Self::Object(members) => members,
            _ => &[],
        }
    }

    /// A member of an object.
    pub(crate) fn get(&self, name: &str) -> Option<&Tree<'a>> {
        self.members().iter().find(|(member, _)| member == name).map(|(_, value)| value)
    }

    /// The text of a string.
    pub(crate) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }
}
