//! What the process says with its exit code. Scripts may rely on these numbers.

/// The six ways to end, besides success. The numbers are part of the interface.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Exit {
    /// Everything asked for was done.
    Ok = 0,
    /// The question was answered, and the answer is no: a chain that does not verify, a check that failed.
    Negative = 1,
    /// The command line cannot be understood.
    Usage = 2,
    /// The configuration, or the state directory, does not allow it.
    Configuration = 3,
    /// The other end cannot be reached.
    Unreachable = 4,
    /// The two ends share no algorithm that their profiles permit.
    Refused = 5,
    /// A mistake in Lockgate itself (`EX_SOFTWARE` of sysexits.h).
    Bug = 70,
}

impl From<Exit> for std::process::ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
