//! Append, chain, sign, prove, verify: records that outlive the code, and that others can check without it.
//!
//! # The log
//! A log is a directory of text files. Each line is one record, an event of OCSF, and carries the SHA-256 of the line before
//! it, newline included, so that standard tools can check it too. Records become leaves of a Merkle tree, one for each month,
//! whose head is signed twice a second (C2SP tlog-tiles): see [`tlog`] for the formats and [`Sealing`] for who signs.
//!
//! ```text
//! {"unmapped":{"schema":"lockgate.audit/2","seq":7,"prev":"5d41…","kind":"call","outcome":"ok",…},"metadata":{…},…}
//! {"unmapped":{"schema":"lockgate.audit/2","seq":8,"prev":"<sha256sum of the line above>",…},…}
//! ```
//!
//! | file | what it is |
//! |---|---|
//! | `audit-<number of its first record>.jsonl` | a segment; the chain runs on from each to the next |
//! | `head` | number and hash of the last record that is known to be on the disk |
//! | `tree/<month>/` | tiles, bundles and checkpoints of a month |
//! | `lock` | held by the one process that writes |
//!
//! # What a record survives
//! [`Log::append`] returns after the one `write(2)` that hands the line to the operating system: from then on it
//! survives `kill -9`. A background thread syncs what has come together within milliseconds: from then on it survives a
//! power cut, and [`Log::synced`] waits for that. No record, no action: when a line cannot be written, whole,
//! [`Log::append`] fails, nothing of it stays, and the caller refuses what the record was to prove. [`Log::available`]
//! says no before the disk is full, while there is room for the records of what is under way.
//!
//! # What [`verify_with`] finds, and what it cannot
//! Every changed bit of every file, every line that is gone, moved, doubled or slipped in, also where chain and head file were
//! made to fit; an end that was cut off; another key in place of the log's; a history that is not the one of a checkpoint that
//! was seen. Without a key, whoever can write the directory can have made all of it anew; without a checkpoint from elsewhere,
//! an older state of everything holds in itself. Old segments may be taken away from the front; the report says where the
//! log begins. `docs/audit.md` has the whole table.
//!
//! # Example
//! ```
//! use lockgate_audit::{Durability, Kind, Log, Options, Outcome, Record, tail, verify};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let temporary = tempfile::tempdir()?;
//! # let dir = temporary.path().join("audit");
//! let log = Log::open(&dir, Options::default())?;
//! let record = Record {
//!     agent: Some("spiffe://example.org/agent/editor".into()),
//!     method: Some("tools/call".into()),
//!     ..Record::new(Kind::Call, Outcome::Ok)
//! };
//! let receipt = log.append(&record, Durability::Grouped)?;
//! assert_eq!(receipt.seq(), 1);
//! drop(log);
//!
//! assert_eq!(verify(&dir)?.records, 1);
//! assert!(tail(&dir, 10)?[0].contains("tools/call"));
//! # Ok(())
//! # }
//! ```

// In a test, a panic with the value in it is the report.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod chain;
mod cursor;
mod edge;
mod error;
mod event;
mod head;
mod line;
mod log;
mod months;
mod open;
mod prove;
pub mod query;
mod read;
mod record;
mod room;
mod segment;
mod sequencer;
mod shard;
mod state;
mod tail;
mod tiles;
pub mod tlog;
mod tree;
mod verify;
mod watch;
pub mod witness;
mod writer;

pub use cursor::Cursor;
pub use error::{AuditError, Break, What};
pub use event::OCSF_VERSION;
pub use line::{Entry, LINE_BYTES_MAX, RECORD_SCHEMA, SCHEMA, SCHEMA_BEFORE, flat, seq_of};
pub use log::{Durability, Log, Options, Receipt};
pub use months::{SealedMonth, drop_month, months};
pub use prove::{prove, prove_growth};
pub use read::{Line, Reader, read};
pub use record::{
    ARGUMENTS_BYTES_MAX, Commitment, Content, Kind, LIST_ENTRIES_MAX, Outcome, Record, TEXT_BYTES_MAX, Text,
};
pub use room::FREE_BYTES_MIN;
pub use shard::{Opening, Previous, SHARD_SCHEMA};
pub use state::{CheckpointState, LogState, SignerState};
pub use tail::{Follow, follow, tail};
pub use tree::{STEPS, Sealing, Step};
pub use verify::{Checks, ClockStep, Cosigned, Mark, Report, ShardReport, verify, verify_with};
