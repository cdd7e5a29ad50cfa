//! The arguments of a call: what a policy can know about them, and how little of it can be hidden.
//!
//! Three views, from exact to suspicious. Each is computed only when a policy reads it.
//!
//! * [`Shape`] is the type of a tool's arguments, read from the definition that was pinned. With it,
//!   [`Arguments::to_record`] gives `context.input`, typed exactly as policies were checked against; arguments that do
//!   not fit are a [`Misfit`], which denies.
//! * [`Scan`] is `context.scan`: all keys, all dotted paths and the canonical text, lower-case.
//! * [`Needles`] are the words that policies forbid to be touched. [`Needles::touched`] finds them in keys, paths,
//!   values and headers, also behind the encodings that programs undo by themselves.
//!
//! Definitions come from servers and arguments from agents; both may be hostile. All limits are named here or beside
//! what they limit, and whatever exceeds one denies, or counts as touching everything.

mod case;
mod confusables;
mod fold;
mod misfit;
mod needles;
mod number;
pub(crate) mod path;
mod peel;
mod record;
mod scan;
mod schema;
mod shape;
mod walk;

use std::collections::BTreeSet;

use lockgate_mcp::tree::Tree;

pub use self::{
    misfit::{Expected, Found, Misfit},
    needles::{NEEDLE_CHARS_MIN, Needles, TooShort},
    scan::{SCAN_BYTES_MAX, Scan},
    shape::{
        ATTRIBUTES_MAX, DEFINITION_BYTES_MAX, DEPTH_MAX, Field, NAME_BYTES_MAX, Record, Shape, ShapeError,
        Type, Unmapped, Why,
    },
};

/// Most values in the arguments of one call whose record, names or scan a policy reads. Each takes some 200 bytes
/// while it is weighed, so 16,384 take about 3 MiB; a list that is longer is data, and no policy can say much about
/// it. [`Needles::touched`] needs no such limit.
pub const VALUES_MAX: usize = 16_384;

/// The arguments of one call, read once.
#[derive(Debug)]
pub struct Arguments<'a> {
    tree: Tree<'a>,
}

impl<'a> Arguments<'a> {
    /// Reads `params.arguments`; a call without any has an empty object.
    ///
    /// # Errors
    /// [`Misfit::Unreadable`] when the text is not JSON, is nested deeper than 64 levels, has more than [`VALUES_MAX`]
    /// values, or can be read in two ways at any depth: a name twice in one object, an unpaired surrogate.
    /// [`Misfit::Type`] when it is not an object.
    pub fn read(raw: Option<&'a str>) -> Result<Self, Misfit> {
        let tree = Tree::read_arguments(raw.unwrap_or("{}"), VALUES_MAX)?;
        match tree {
            Tree::Object(_) => Ok(Arguments { tree }),
            other => Err(Misfit::of(Expected::Record, &other)),
        }
    }

    /// `context.names`: the names of the arguments, exactly as given.
    pub fn names(&self) -> BTreeSet<&str> {
        self.tree.members().iter().map(|(name, _)| name.as_str()).collect()
    }

    /// The canonical form of all arguments, see [`lockgate_mcp::canonical`]: what an approval is good for.
    pub fn canonical(&self) -> String {
        lockgate_mcp::canonical::of(&self.tree)
    }

    /// The text of the argument at a dotted path, if it is a string: the key that selects a fact. A dot in a name is
    /// written `\.`.
    pub fn text_at(&self, path: &str) -> Option<&str> {
        path::steps(path)?.iter().try_fold(&self.tree, |tree, step| tree.get(step))?.as_str()
    }
}

#[cfg(test)]
mod tests;
