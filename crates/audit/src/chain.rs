//! The rule that ties one line to the next, used both by the verifier and when a log is opened.

use crate::error::What;
use crate::head::Head;
use crate::line::{Header, LineHash};

/// A walk along the lines of a log.
pub(crate) struct Chain {
    /// The last line that held.
    pub(crate) at: Head,
    /// Whether `at.hash` is known. It is not before the first line of a log whose older segments are gone.
    anchored: bool,
    /// What the head file promises.
    synced: Option<Head>,
}

impl Chain {
    /// A walk that begins with record number `first`.
    pub(crate) fn from(first: u64, synced: Option<Head>) -> Self {
        let seq = first.saturating_sub(1);
        Self { at: Head { seq, ..Head::GENESIS }, anchored: seq == 0, synced }
    }

    /// Takes one more line, newline included.
    pub(crate) fn step<'a>(&mut self, line: &'a [u8]) -> Result<Header<'a>, What> {
        let (header, prev) = Header::parse(line).map_err(What::NotARecord)?;
        let due = self.at.seq + 1;
        if header.seq > due {
            return Err(What::Missing { next: header.seq });
        }
        if header.seq < due {
            return Err(What::OutOfOrder { due });
        }
        if self.anchored && prev != self.at.hash {
            return Err(What::Changed);
        }
        let at = Head { seq: due, hash: LineHash::of(line) };
        if let Some(synced) = self.synced
            && synced.seq == at.seq
            && synced != at
        {
            return Err(What::HeadMismatch);
        }
        self.at = at;
        self.anchored = true;
        Ok(header)
    }

    /// What the head file promises and the walk has not met yet.
    pub(crate) fn unmet_promise(&self) -> Option<What> {
        let synced = self.synced?.seq;
        (self.at.seq < synced).then_some(What::TailMissing { synced })
    }
}
