//! How much of a peer's message we are willing to read.

/// The deepest nesting that [`Limits::depth_max`] can allow: the scanner keeps one bit a level.
pub(crate) const DEPTH_CEILING: usize = 512;

/// Limits on one message. Every message from outside is decoded under some.
///
/// [`Limits::default`] suits results, which carry files and images; [`Limits::requests`] suits
/// what clients send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Largest message, in bytes. It is held in memory whole while it is judged.
    pub message_bytes_max: usize,
    /// Deepest nesting of arrays and objects, the envelope included; never above 512. Recursive
    /// parsers further along may overflow their stack on what we let pass.
    pub depth_max: usize,
    /// Most members in each object whose names are checked against each other (envelope,
    /// `params`, `_meta`, `arguments`, `result`, `error`). Checking costs their square.
    pub members_max: usize,
    /// Longest method name, in bytes. It becomes a header, a log field and a policy action.
    pub method_bytes_max: usize,
    /// Longest id as written, in bytes. It is kept for as long as the call lives.
    pub id_bytes_max: usize,
    /// Longest subject (tool name, URI, task id) once decoded, in bytes. It becomes a header, an
    /// audit field and a policy resource.
    pub name_bytes_max: usize,
}

impl Limits {
    /// The limits for what clients send: as the default, at 4 MiB a message.
    #[must_use]
    pub fn requests() -> Self {
        Self { message_bytes_max: 4 << 20, ..Self::default() }
    }

    /// For text that we spliced ourselves out of a message that met its own limits.
    pub(crate) fn ours() -> Self {
        Self {
            message_bytes_max: u32::MAX as usize,
            depth_max: DEPTH_CEILING,
            members_max: usize::MAX,
            method_bytes_max: usize::MAX,
            id_bytes_max: usize::MAX,
            name_bytes_max: usize::MAX,
        }
    }
}

impl Default for Limits {
    /// 16 MiB, 64 levels, 1,024 checked members, methods of 128 bytes, ids of 1 KiB, subjects of
    /// 8 KiB.
    fn default() -> Self {
        Self {
            message_bytes_max: 16 << 20,
            depth_max: 64,
            members_max: 1024,
            method_bytes_max: 128,
            id_bytes_max: 1024,
            name_bytes_max: 8192,
        }
    }
}
