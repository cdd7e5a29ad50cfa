//! Append, chain, verify: a flat record format that outlives the code.
//!
//! # The log
//! A log is a directory of text files. Each line is one record, a flat JSON object, and carries the SHA-256 of the line
//! before it, newline included, so that standard tools can check it too:
//!
//! ```text
//! {"schema":"lockgate.audit/1","seq":7,"prev":"5d41…","time":"2026-11-22T14:00:00.000000Z","kind":"call","outcome":"ok",…}
//! {"schema":"lockgate.audit/1","seq":8,"prev":"<sha256sum of the line above>",…}
//! ```
//!
//! | file | what it is |
//! |---|---|
//! | `audit-<number of its first record>.jsonl` | a segment; the chain runs on from each to the next |
//! | `head` | number and hash of the last record that is known to be on the disk |
//! | `lock` | held by the one process that writes |
//!
//! # What a record survives
//! [`Log::append`] returns after the one `write(2)` that hands the line to the operating system: from then on it
//! survives `kill -9`. A background thread syncs what has come together within milliseconds: from then on it survives a
//! power cut, and [`Log::synced`] waits for that. No record, no action: when a line cannot be written, whole,
//! [`Log::append`] fails, nothing of it stays, and the caller refuses what the record was to prove. [`Log::available`]
//! says no before the disk is full, while there is room for the records of what is under way.
//!
//! # What [`verify`] finds, and what it cannot
//! Every changed bit, every line that is gone, moved, doubled or slipped in, and an end that was cut off as long as the
//! head file was not cut with it. Someone who can write the directory can rewrite the whole log with its head file, or
//! put back an older state of both: a chain alone cannot show that. Against it, keep [`Report::head_hash`] somewhere
//! else from time to time. Old segments may be taken away from the front; the report says where the log begins.
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
mod open;
mod prove;
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
mod writer;

pub use cursor::Cursor;
pub use error::{AuditError, Break, What};
pub use event::OCSF_VERSION;
pub use line::{Entry, LINE_BYTES_MAX, RECORD_SCHEMA, SCHEMA, SCHEMA_BEFORE, flat, seq_of};
pub use log::{Durability, Log, Options, Receipt};
pub use prove::{prove, prove_growth};
pub use record::{ARGUMENTS_BYTES_MAX, Kind, LIST_ENTRIES_MAX, Outcome, Record, TEXT_BYTES_MAX, Text};
pub use room::FREE_BYTES_MIN;
pub use shard::{Opening, Previous, SHARD_SCHEMA};
pub use state::{CheckpointState, LogState, SignerState};
pub use tail::{Follow, follow, tail};
pub use tree::{STEPS, Sealing, Step};
pub use verify::{Checks, ClockStep, Mark, Report, ShardReport, verify, verify_with};
