//! Why a fact is absent, and what a decision was told about it.

use std::fmt;

/// Longest text of a cause, in characters. It goes into records and onto screens.
const CAUSE_CHARS_MAX: usize = 160;

/// Why policy is told nothing. A permit that needs the fact cannot match then.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Absence {
    /// The call does not name what the fact is about.
    #[error("the call has no argument \"{0}\" that selects the record")]
    NoKey(String),
    /// It names it with something that cannot be a key.
    #[error("the argument \"{argument}\" cannot select a record: {why}")]
    BadKey {
        /// The argument.
        argument: String,
        /// What is wrong with its value, which is not repeated here.
        why: &'static str,
    },
    /// The provider knows of none.
    #[error("the provider has no record for it")]
    NoRecord,
    /// Nothing was pushed yet, or it was withdrawn.
    #[error("nothing was pushed for it")]
    NothingPushed,
    /// Older than it may be.
    #[error("it is {age_ms} ms old, and at most {max_age_ms} ms are allowed (max_age)")]
    Stale {
        /// Its age.
        age_ms: u64,
        /// What is allowed.
        max_age_ms: u64,
    },
    /// Said of a moment that has not come.
    #[error("its time is {ahead_ms} ms ahead of this node's clock, and at most {skew_ms_max} ms are allowed")]
    Future {
        /// By how much.
        ahead_ms: u64,
        /// What is allowed.
        skew_ms_max: u64,
    },
    /// Not JSON, or not what an answer looks like.
    #[error("the answer cannot be read: {0}")]
    Malformed(String),
    /// A field is missing or of another type.
    #[error("its field \"{field}\" {is}, but the configuration says {wanted}")]
    Shape {
        /// The field.
        field: String,
        /// What was there.
        is: &'static str,
        /// What should be.
        wanted: &'static str,
    },
    /// An answer to another question.
    #[error("the record is about another \"{0}\" than was asked for")]
    Other(String),
    /// More bytes than an answer may have.
    #[error("the answer is longer than {bytes_max} bytes")]
    TooLarge {
        /// What is allowed.
        bytes_max: usize,
    },
    /// No answer in time.
    #[error("the provider did not answer within {0} ms (deadline)")]
    Timeout(u64),
    /// No answer at all.
    #[error("the provider cannot be reached: {0}")]
    Unreachable(String),
    /// An answer that is none.
    #[error("the provider refused: {0}")]
    Refused(String),
    /// It failed several times in a row and is not asked for a while.
    #[error("the provider failed {0} times in a row and is not asked for now")]
    Resting(u32),
    /// Too many questions are open already.
    #[error("{0} questions to the provider are open already")]
    Busy(usize),
    /// Policy was compiled for another configuration of the fact than is in force.
    #[error("no fact of this name and shape is configured")]
    Unknown,
}

impl Absence {
    /// The code that `lockgate explain` explains.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoKey(_) | Self::BadKey { .. } | Self::NoRecord | Self::NothingPushed => "LG-F001",
            Self::Stale { .. } | Self::Future { .. } => "LG-F002",
            Self::Malformed(_) | Self::Shape { .. } | Self::Other(_) | Self::TooLarge { .. } => "LG-F003",
            Self::Timeout(_) | Self::Unreachable(_) | Self::Refused(_) | Self::Resting(_) | Self::Busy(_) => {
                "LG-F004"
            }
            Self::Unknown => "LG-F007",
        }
    }

    /// Whether it says that the provider is not well, rather than what it knows.
    pub(crate) fn is_failure(&self) -> bool {
        matches!(self, Self::Timeout(_) | Self::Unreachable(_) | Self::Refused(_))
    }

    /// An unreadable answer; the cause is cut to a length and has no control characters.
    pub(crate) fn malformed(cause: impl fmt::Display) -> Self {
        Self::Malformed(shown(cause))
    }
}

/// Foreign text as it may stand in a record.
pub(crate) fn shown(text: impl fmt::Display) -> String {
    text.to_string().chars().filter(|c| !c.is_control()).take(CAUSE_CHARS_MAX).collect()
}

/// How a fact came about, or why it did not.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// Asked for just now.
    Fetched,
    /// Known from before, and young enough.
    Kept,
    /// Not told.
    Absent(Absence),
}

impl Outcome {
    /// Whether policy was told the fact.
    #[must_use]
    pub fn is_present(&self) -> bool {
        !matches!(self, Self::Absent(_))
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fetched => f.write_str("fetched"),
            Self::Kept => f.write_str("kept"),
            Self::Absent(why) => write!(f, "absent: {why}"),
        }
    }
}

/// What a decision was told of one fact: for its record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FactUse {
    /// Name of the fact.
    pub name: String,
    /// What selected its record.
    pub key: Option<String>,
    /// How old it was, in milliseconds; none when nothing is known.
    pub age_ms: Option<u64>,
    /// Kind of provider: `file`, `http`, `mcp` or `push`.
    pub source: &'static str,
    /// How it came about.
    pub outcome: Outcome,
}
