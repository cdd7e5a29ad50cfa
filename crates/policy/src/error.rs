//! What can be wrong with a policy file.

/// One mistake in one policy file, at one place.
///
/// Loading reports every mistake of every file at once, in reading order.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file}:{line}:{column}: {what} (hint: {hint})")]
pub struct PolicyError {
    /// Which kind of mistake.
    pub fault: Fault,
    /// The name of the [`Source`](crate::Source).
    pub file: String,
    /// Line, from 1.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
    /// What is wrong.
    pub what: String,
    /// What to do about it.
    pub hint: String,
}

/// The kinds of mistake, each with a stable code.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// Not a Cedar policy.
    Syntax,
    /// Against the schema: an unknown name, or types that do not fit.
    Schema,
    /// Well-formed, but it can never apply to any call.
    NeverApplies,
    /// Two policies with one id, or an empty id.
    Id,
    /// Text that shows something else than it says (bidirectional controls).
    Deceptive,
    /// A role file says what no rule can say.
    Role,
    /// A file without the last line that it ought to have: half-written, or cut
    /// off.
    Unfinished,
    /// An annotation that cannot be read or is misspelt.
    Annotation,
    /// `action == "tools/call"`, which no call of a pinned tool is.
    Uncovered,
    /// A file of Cedar with prohibitions that does not promise its own end. A
    /// warning.
    Unpromised,
    /// It names something that nobody has shown yet, such as a tool. A warning.
    NotSeen,
}

impl Fault {
    /// The stable code, as `lockgate explain` knows it.
    pub fn code(self) -> &'static str {
        match self {
            Fault::Syntax => "LG-P001",
            Fault::Schema => "LG-P002",
            Fault::NeverApplies => "LG-P003",
            Fault::Id => "LG-P004",
            Fault::Deceptive => "LG-P005",
            Fault::Role => "LG-P006",
            Fault::Unfinished => "LG-P007",
            Fault::Annotation => "LG-P008",
            Fault::Uncovered => "LG-P009",
            Fault::NotSeen => "LG-P011",
            Fault::Unpromised => "LG-P015",
        }
    }

    /// What to do when Cedar itself has no better advice.
    pub(crate) fn hint(self) -> &'static str {
        match self {
            Fault::Syntax => {
                "a policy reads: permit(principal == Lockgate::Agent::\"spiffe://…\", \
                 action in Lockgate::Action::\"tools/call\", resource == Lockgate::Tool::\"server/tool\");"
            }
            Fault::Schema => {
                "what can be named is listed at the top of the policy file that `lockgate up` writes"
            }
            Fault::NeverApplies => {
                "check that the action fits the resource type (tools/call with Tool, \
                 resources/read with Resource, lists with Server) and that the condition can be true"
            }
            Fault::Annotation => {
                "annotations with a meaning are id, reason, hint, on_violation, approval, result_fields, \
                 result_hidden, rate, record_for and mode"
            }
            Fault::Uncovered => {
                "write: action in Lockgate::Action::\"tools/call\"; a call of a pinned tool is an action of its \
                 own, in \"tools/call\""
            }
            Fault::Unpromised => "make // begin the first line of the file, and // end the last",
            Fault::NotSeen => "list the tools of that server once, or mend the name",
            Fault::Id => "give each policy its own @id(\"…\"), or none",
            Fault::Deceptive => {
                "write the character away, or allow the item by its server instead of its name"
            }
            Fault::Role => "role files are described in docs/policy.md",
            Fault::Unfinished => {
                "write the file to its end; the last line of a role file is [end], and that of a Cedar file that begins \
                 with // begin is // end"
            }
        }
    }
}

/// Where the lines of a text begin, so that a place is found without counting
/// from the top each time.
#[derive(Debug)]
pub(crate) struct Lines<'a> {
    text: &'a str,
    /// Byte offset of the first byte of each line; the first is 0.
    starts: Vec<usize>,
}

impl<'a> Lines<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        let breaks = text.bytes().enumerate().filter(|&(_, byte)| byte == b'\n');
        Lines { text, starts: [0].into_iter().chain(breaks.map(|(at, _)| at + 1)).collect() }
    }

    /// Line, and column in characters, both from 1, of a byte offset.
    pub(crate) fn position(&self, offset: usize) -> (u32, u32) {
        let offset = offset.min(self.text.len());
        let line = self.starts.partition_point(|&start| start <= offset);
        // Counted on bytes that begin a character, so that an offset inside one
        // (Cedar's lexer may point there) cannot panic.
        let before = &self.text.as_bytes()[self.starts[line - 1]..offset];
        let column = before.iter().filter(|&&byte| byte & 0xC0 != 0x80).count() + 1;
        (clamp(line), clamp(column))
    }
}

fn clamp(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_count_lines_and_characters() {
        let lines = Lines::new("ab\n\u{e9}c\n");
        for (offset, expected) in
            [(0, (1, 1)), (2, (1, 3)), (3, (2, 1)), (5, (2, 2)), (4, (2, 2)), (7, (3, 1)), (99, (3, 1))]
        {
            assert_eq!(lines.position(offset), expected, "{offset}");
        }
    }
}
