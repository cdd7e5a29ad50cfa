//! How much of a document, of arguments and of answers we are willing to take.

/// Limits on all that comes from outside. Each has a name, a unit and a reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Largest document, in bytes. The largest public ones have 30 MiB.
    pub document_bytes_max: usize,
    /// Most values in a document, aliases counted for what they stand for: what an alias bomb would blow up.
    pub nodes_max: usize,
    /// Deepest nesting of a document, and of a schema. Recursive readers further along have stacks.
    pub depth_max: usize,
    /// Most operations that become tools. Each is a pin, and a line for a person to review.
    pub operations_max: usize,
    /// Most `$ref`s followed in a row: a chain longer than this is a circle.
    pub refs_max: usize,
    /// Most parameters of one operation.
    pub parameters_max: usize,
    /// Longest name of a tool, in bytes. Clients take 64, and a server's name and a separator stand before it.
    pub name_bytes_max: usize,
    /// Longest description of a tool, in characters. A model reads all of it on every turn.
    pub description_chars_max: usize,
    /// Longest description of a parameter or a member, in characters.
    pub note_chars_max: usize,
    /// Largest schema of one tool's arguments, in bytes; that of its results has half of it. What does not fit is simplified
    /// from its depths upwards.
    pub schema_bytes_max: usize,
    /// Largest request body, in bytes.
    pub request_bytes_max: usize,
    /// Longest path and query, in bytes: what most servers take.
    pub target_bytes_max: usize,
    /// Most problems that are told at once.
    pub problems_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            document_bytes_max: 32 << 20,
            nodes_max: 4_000_000,
            depth_max: 96,
            operations_max: 10_000,
            refs_max: 32,
            parameters_max: 200,
            name_bytes_max: 56,
            description_chars_max: 1_500,
            note_chars_max: 300,
            schema_bytes_max: 24 << 10,
            request_bytes_max: 8 << 20,
            target_bytes_max: 8 << 10,
            problems_max: 100,
        }
    }
}
