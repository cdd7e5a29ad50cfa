//! What can be wrong with a message.

use std::fmt;

use crate::reply::code;

/// An object of a message whose member names are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// The message itself.
    Envelope,
    /// `params`.
    Params,
    /// `params._meta`.
    Meta,
    /// `params.arguments`: its names belong to the tool, so only exact repetition is refused.
    Arguments,
    /// `params.ref` of `completion/complete`.
    Reference,
    /// `result`.
    Result,
    /// `error`.
    Error,
    /// One item of a list result.
    Item,
    /// Any object inside a tool definition.
    Definition,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Envelope => "the message",
            Self::Params => "params",
            Self::Meta => "params._meta",
            Self::Arguments => "params.arguments",
            Self::Reference => "params.ref",
            Self::Result => "result",
            Self::Error => "error",
            Self::Item => "a list item",
            Self::Definition => "the definition",
        })
    }
}

/// Why bytes are not a message that we carry, ordered by blame: bytes that are no JSON, JSON that
/// is no message, a message that can be read in two ways, a message beyond our limits.
///
/// `at` is always a byte offset into the bytes that were decoded.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DecodeError {
    /// The bytes are not UTF-8 (RFC 8259 section 8.1).
    #[error("not UTF-8 at byte {at}: send JSON text as UTF-8")]
    NotUtf8 {
        /// First byte that cannot be part of the text.
        at: usize,
    },
    /// The text breaks the JSON grammar (RFC 8259).
    #[error("not JSON at byte {at}: expected {expected}")]
    Syntax {
        /// Where the grammar breaks.
        at: usize,
        /// What could have stood there.
        expected: &'static str,
    },
    /// An array of messages. Only revision 2025-03-26 had batches, and 2025-06-18 removed them.
    #[error("a batch: send each message by itself, MCP has no batches since 2025-06-18")]
    Batch,
    /// JSON, but not an object.
    #[error("not a JSON-RPC message: expected an object")]
    NotAnObject,
    /// `jsonrpc` is missing or other than `"2.0"`.
    #[error("not JSON-RPC 2.0: expected the member \"jsonrpc\":\"2.0\"")]
    NotJsonRpc,
    /// A member has the wrong type.
    #[error("wrong type at byte {at}: {member} must be {expected}")]
    Type {
        /// The member, with its path.
        member: &'static str,
        /// What it must be.
        expected: &'static str,
        /// Where its value starts.
        at: usize,
    },
    /// Neither a call nor an answer.
    #[error("not a JSON-RPC message: it has neither method nor result nor error")]
    Incomplete,
    /// `method` next to `result` or `error`, or both of these.
    #[error("two messages in one: method, result and error exclude each other, keep exactly one of them")]
    Ambiguous,
    /// A request whose id is null, or a result without an id. MCP forbids both.
    #[error("no id: a request and its result must have a string or a number as id, not null")]
    NoId,
    /// The method is empty or has characters outside visible ASCII.
    #[error("bad method at byte {at}: a method is one or more visible ASCII characters")]
    Method {
        /// Where the method starts.
        at: usize,
    },
    /// A method that acts on something does not say on what.
    #[error("{method} needs {member}: give it as a string")]
    Subject {
        /// The method.
        method: String,
        /// The member that names the subject, with its path.
        member: &'static str,
    },
    /// A name that we must read has an unpaired surrogate, so it is not text.
    #[error("an unpaired surrogate at byte {at}: write names as well-formed Unicode")]
    Surrogate {
        /// Where the string starts.
        at: usize,
    },
    /// A name appears twice in one object (CVE-2026-27896 and its kin).
    #[error(
        "{name:?} appears more than once in {place}, at byte {at}: keep one, case does not tell them apart"
    )]
    Duplicate {
        /// The name, shortened.
        name: String,
        /// The object.
        place: Place,
        /// Where the second one starts.
        at: usize,
    },
    /// A name differs from one of the protocol's only by case, so that some parsers take it for
    /// that one and others do not.
    #[error("{name:?} in {place}, at byte {at}, is not {meant:?}: write it exactly so or leave it out")]
    Variant {
        /// The name, shortened.
        name: String,
        /// The protocol's spelling.
        meant: &'static str,
        /// The object.
        place: Place,
        /// Where it starts.
        at: usize,
    },
    /// A name with a NUL character, which some parsers cut off there.
    #[error("a name with a NUL character in {place}, at byte {at}: remove the character")]
    Nul {
        /// The object.
        place: Place,
        /// Where the name starts.
        at: usize,
    },
    /// A list item that has no name, so that nothing can be decided about it.
    #[error("a list item at byte {at} has no {member}: give it as a string")]
    Nameless {
        /// The member that names items of this list.
        member: &'static str,
        /// Where the item starts.
        at: usize,
    },
    /// More bytes than [`Limits::message_bytes_max`](crate::Limits::message_bytes_max).
    #[error("a message of {bytes} bytes: at most {bytes_max} are carried")]
    TooLarge {
        /// Size of the message.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
    /// Deeper than [`Limits::depth_max`](crate::Limits::depth_max).
    #[error("nested too deeply at byte {at}: at most {depth_max} levels are carried")]
    TooDeep {
        /// Where the level too many opens.
        at: usize,
        /// The limit.
        depth_max: usize,
    },
    /// More members than [`Limits::members_max`](crate::Limits::members_max).
    #[error("too many members in {place}, at byte {at}: at most {members_max} are carried")]
    TooManyMembers {
        /// The object.
        place: Place,
        /// Where the member too many starts.
        at: usize,
        /// The limit.
        members_max: usize,
    },
    /// More values in the arguments of a call than are held in memory one by one.
    #[error("more than {values_max} values in the arguments, at byte {at}: send fewer at once")]
    TooManyValues {
        /// Where the first one too many starts.
        at: usize,
        /// The limit.
        values_max: usize,
    },
    /// A method, id or subject above its own limit.
    #[error("{what} of {bytes} bytes: at most {bytes_max} are carried")]
    TooLong {
        /// Which one.
        what: &'static str,
        /// Its size.
        bytes: usize,
        /// The limit.
        bytes_max: usize,
    },
}

impl DecodeError {
    /// The JSON-RPC code of the answer: -32700 for what is not JSON, -32602 for a call without
    /// its subject, else -32600.
    #[must_use]
    pub fn code(&self) -> i64 {
        match self {
            Self::NotUtf8 { .. } | Self::Syntax { .. } => code::PARSE_ERROR,
            Self::Subject { .. } => code::INVALID_PARAMS,
            _ => code::INVALID_REQUEST,
        }
    }

    /// The HTTP status of the answer: 413 for too large, else 400.
    #[must_use]
    pub fn http_status(&self) -> u16 {
        if matches!(self, Self::TooLarge { .. }) { 413 } else { 400 }
    }
}

/// A name as it may stand in an error: at most 64 characters of it.
pub(crate) fn shortened(name: &str) -> String {
    match name.char_indices().nth(64) {
        Some((end, _)) => format!("{}…", &name[..end]),
        None => name.to_owned(),
    }
}
