//! The type of a tool's arguments, read from its definition.

use std::collections::BTreeMap;

use lockgate_mcp::{DecodeError, tree::Tree};

use super::misfit::Expected;

mod read;

/// Largest definition that is read, in bytes. The largest of public servers are some 30 KiB.
pub const DEFINITION_BYTES_MAX: usize = 256 << 10;

/// Most attributes in one shape, at all depths together. References can name one part again and again, so the size of
/// the definition is no bound. An object that exceeds what is left of it is left out whole.
pub const ATTRIBUTES_MAX: usize = 512;

/// Deepest nesting of records and lists, references included: what reads the schema text is recursive.
pub const DEPTH_MAX: usize = 16;

/// Longest name of an attribute, in bytes.
pub const NAME_BYTES_MAX: usize = 256;

/// The arguments of one tool, as Cedar can type them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    record: Record,
    unmapped: Vec<Unmapped>,
}

/// The type of one value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Type {
    /// `string`, enumerations of strings too: `String`.
    Text,
    /// `boolean`: `Bool`.
    Flag,
    /// `integer`: `Long`.
    Integer,
    /// `number`: `decimal`.
    Decimal,
    /// `array`: `Set`.
    Set(Box<Type>),
    /// `object` with named properties.
    Record(Record),
}

/// The members of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// By name.
    pub fields: BTreeMap<String, Field>,
    /// The definition says that there are no other members.
    pub closed: bool,
    /// How many of the fields are required.
    pub(super) required: usize,
}

/// One member of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its type; `None` if Cedar cannot express it, so that no policy can read it.
    pub kind: Option<Type>,
    /// The definition requires it.
    pub required: bool,
    /// It may be null, which counts as absent.
    pub nullable: bool,
}

/// A part of the arguments that has no type in Cedar. Policies see it in `context.names`, `context.scan` and
/// `context.touched` only.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmapped {
    /// Where, dotted; empty for the arguments as a whole.
    pub path: String,
    /// Why not.
    pub why: Why,
}

/// Why a part has no type in Cedar.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, thiserror::Error)]
pub enum Why {
    /// One of several types.
    #[error("it may be of several types")]
    Union,
    /// Members of any name.
    #[error("it is a map: its members have no fixed names")]
    Map,
    /// A list whose items differ by position.
    #[error("it is a tuple, and sets have no order")]
    Tuple,
    /// A list with nulls in it.
    #[error("its items may be null, and sets hold no null")]
    NullItems,
    /// A list of records of which a part has no type.
    #[error("its items cannot be typed whole, and sets are compared whole")]
    PartialItems,
    /// A type that contains itself.
    #[error("its type contains itself")]
    Recursive,
    /// Any value.
    #[error("the definition says nothing about its type")]
    Untyped,
    /// A reference that leads out of the definition or nowhere.
    #[error("its definition is not in the tool's own definition")]
    Reference,
    /// No JSON Schema.
    #[error("its definition is not a JSON Schema")]
    Malformed,
    /// Nested too deep.
    #[error("it is nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// Too many members, or a name that is too long.
    #[error(
        "the definition has more than {ATTRIBUTES_MAX} members, or one with a name above {NAME_BYTES_MAX} bytes"
    )]
    TooLarge,
}

/// Why a definition cannot be read at all. Its tool has no shape and must not be callable by typed rules.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ShapeError {
    /// Not JSON, or readable in two ways.
    #[error("the tool's definition cannot be read: {0}")]
    Unreadable(#[from] DecodeError),
    /// Too large.
    #[error("the tool's definition has {0} bytes: at most {DEFINITION_BYTES_MAX} are read")]
    TooLarge(usize),
    /// No object, or without `inputSchema`.
    #[error("the tool's definition has no inputSchema")]
    NoSchema,
}

impl Shape {
    /// Reads a tool's definition, one item of `tools/list` as the server wrote it.
    ///
    /// What Cedar cannot express is left out and listed in [`Shape::unmapped`]. What is mapped is always implied by
    /// the definition: a call that fits the definition fits the shape, but for the numbers of
    /// [`Misfit::Unweighable`](super::Misfit) and integers written like `1.0`.
    ///
    /// # Errors
    /// [`ShapeError`] when there is nothing to read.
    pub fn read(definition_raw: &str) -> Result<Self, ShapeError> {
        if definition_raw.len() > DEFINITION_BYTES_MAX {
            return Err(ShapeError::TooLarge(definition_raw.len()));
        }
        let tree = Tree::read(definition_raw)?;
        let schema = tree.get("inputSchema").ok_or(ShapeError::NoSchema)?;
        let (record, unmapped) = read::arguments(schema);
        Ok(Shape { record, unmapped })
    }

    /// The arguments as a whole.
    pub fn record(&self) -> &Record {
        &self.record
    }

    /// What is left out, in the order of the definition.
    pub fn unmapped(&self) -> &[Unmapped] {
        &self.unmapped
    }

    /// The names of all arguments that the definition declares, mapped or not.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.record.fields.keys().map(String::as_str)
    }

    /// The field at a dotted path, through records only. A name that has dots itself is found too.
    pub fn find(&self, path: &str) -> Option<&Field> {
        find(&self.record, path)
    }

    /// The dotted paths of everything that policies can read, lists not entered: for did-you-mean.
    pub fn paths(&self) -> Vec<String> {
        let mut paths = Vec::new();
        list(&self.record, "", &mut paths);
        paths
    }
}

impl Type {
    /// What must come for it.
    pub(super) fn expected(&self) -> Expected {
        match self {
            Type::Text => Expected::Text,
            Type::Flag => Expected::Flag,
            Type::Integer => Expected::Integer,
            Type::Decimal => Expected::Number,
            Type::Set(_) => Expected::List,
            Type::Record(_) => Expected::Record,
        }
    }

    /// Whether nothing in it is left out.
    fn is_whole(&self) -> bool {
        match self {
            Type::Text | Type::Flag | Type::Integer | Type::Decimal => true,
            Type::Set(item) => item.is_whole(),
            Type::Record(record) => {
                record.fields.values().all(|field| field.kind.as_ref().is_some_and(Type::is_whole))
            }
        }
    }
}

fn find<'s>(record: &'s Record, path: &str) -> Option<&'s Field> {
    if let Some(field) = record.fields.get(path) {
        return Some(field);
    }
    path.match_indices('.').find_map(|(dot, _)| match &record.fields.get(&path[..dot])?.kind {
        Some(Type::Record(inner)) => find(inner, &path[dot + 1..]),
        _ => None,
    })
}

fn list(record: &Record, above: &str, paths: &mut Vec<String>) {
    for (name, field) in &record.fields {
        let Some(kind) = &field.kind else { continue };
        let path = joined(above, name);
        if let Type::Record(inner) = kind {
            list(inner, &path, paths);
        }
        paths.push(path);
    }
}

fn joined(above: &str, name: &str) -> String {
    if above.is_empty() { name.to_owned() } else { format!("{above}.{name}") }
}
