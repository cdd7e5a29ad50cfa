//! Questions to a log: which records are of this agent, this tool, this verdict, this time? The newest come first.
//!
//! # The index
//! `index/` beside the segments says, for a stretch of records, which values its fields have and which records have them. A
//! question reads the stretches that can have an answer, and then the records themselves: what is given was read from the log
//! and held against the question. The index is derived and never the truth. What of it is missing, older than its segment, of
//! another log or damaged is not believed, and the lines are read instead; so a question has the same answer with an index,
//! without one and with a broken one, only later. Whoever can write the folder can also make an index that lies, as they can
//! change the log: `verify` tells the one, and a [`Search::by_scan`] the other.
//!
//! # Who writes it
//! [`Indexer`] follows a log on a thread of its own, off the data path. It sees complete lines in the files and asks the log
//! for nothing, so it may be late, and a question reads the rest itself.

mod block;
mod builder;
mod facets;
mod indexer;
mod postings;
mod search;
mod shelf;

use jiff::Timestamp;

use block::Span;
use facets::Facets;
pub use facets::Field;
pub use indexer::Indexer;
pub use search::{Found, Search};

/// What is asked for. All conditions must hold.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Values that the record must have.
    pub wanted: Vec<Wanted>,
    /// Only records made at this time or later.
    pub since: Option<Timestamp>,
    /// Only records made before this time.
    pub until: Option<Timestamp>,
    /// Only records with a smaller number: the next page.
    pub before: Option<u64>,
    /// Most records that are given; all by default.
    pub limit: Option<usize>,
}

/// A field that must have one of some values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// Which.
    pub field: Field,
    /// What it may be.
    pub any_of: Vec<Words>,
}

/// A text that a value is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Words {
    /// It has this part, whatever the case of ASCII letters.
    Part(String),
    /// It is this.
    Whole(String),
}

impl Words {
    /// As people write it: a part, or behind a `=` the whole.
    #[must_use]
    pub fn parse(text: &str) -> Self {
        match text.strip_prefix('=') {
            Some(whole) => Self::Whole(whole.to_owned()),
            None => Self::Part(text.to_owned()),
        }
    }

    fn fit(&self, text: &str) -> bool {
        match self {
            Self::Whole(whole) => whole == text,
            Self::Part(part) if part.is_empty() => true,
            Self::Part(part) => {
                text.as_bytes().windows(part.len()).any(|window| window.eq_ignore_ascii_case(part.as_bytes()))
            }
        }
    }
}

impl Query {
    /// The same question, and this field must have one of these values.
    #[must_use]
    pub fn with(mut self, field: Field, any_of: Vec<Words>) -> Self {
        self.wanted.push(Wanted { field, any_of });
        self
    }

    /// Whether a record of this span can match by time and number.
    fn may_span(&self, span: &Span) -> bool {
        let (since, until) =
            (self.since.map(Timestamp::as_microsecond), self.until.map(Timestamp::as_microsecond));
        since.is_none_or(|since| span.time.1 >= since)
            && until.is_none_or(|until| span.time.0 < until)
            && self.before.is_none_or(|before| span.seq.0 < before)
    }

    /// Whether the record matches by time and number.
    fn spans(&self, facets: &Facets<'_>) -> bool {
        let (time, seq) = (facets.time_us, facets.seq);
        self.may_span(&Span { time: (time, time), seq: (seq, seq) })
    }

    /// Whether the record has all values.
    fn has_values(&self, facets: &Facets<'_>) -> bool {
        let mut is_met = vec![false; self.wanted.len()];
        facets.each(|field, text| {
            for (Wanted { field: wanted, any_of }, is_met) in self.wanted.iter().zip(&mut is_met) {
                *is_met |= *wanted == field && any_of.iter().any(|words| words.fit(text));
            }
        });
        is_met.into_iter().all(|is_met| is_met)
    }
}

/// Reads the block over these lines after some of its bytes were changed: for fuzzing. Each patch is a place, of two bytes,
/// and the byte that stands there then. Sums are made to fit, since no chance would.
#[doc(hidden)]
#[must_use]
pub fn read_patched(lines: &[u8], patches: &[u8]) -> Option<u64> {
    let mut builder = builder::Builder::at(0, 0);
    lines.split_inclusive(|byte| *byte == b'\n').for_each(|line| builder.push(line));
    let mut bytes = builder.finish()?;
    for patch in patches.chunks_exact(3) {
        let at = usize::from(u16::from_le_bytes([patch[0], patch[1]])) % bytes.len();
        bytes[at] = patch[2];
    }
    block::mend(&mut bytes)?;
    search::read_foreign(&bytes)
}
