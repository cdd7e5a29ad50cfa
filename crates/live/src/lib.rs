//! What happened of late, for people who look on: a ring of events and the figures over them.
//!
//! The audit log is the proof and is never read to draw a screen. This is the other half: bounded, in memory, gone with
//! the process, and free to lose something rather than to slow a call down.
//!
//! ```text
//!  a call ends ──Feed::send──▶ bounded queue ──collect, every 50 ms──▶ Recent ──▶ admin API, dashboard, tap, top
//!   (data path: one push)                       (the admin's thread)
//! ```
//!
//! [`Feed`] is the data path's end. It never waits, and it wakes nobody: what collects looks by itself. What finds the queue
//! full is dropped and counted, and the count is shown wherever events are. [`Recent`] keeps the newest
//! [`EVENTS_MAX`] events, each already written out as JSON, so that ten people who look on cost no more than one, and a
//! [`Summary`] of what they come to.
//!
//! Texts of callers and servers are cut to [`TEXT_BYTES_MAX`] on their way in. They are foreign: whoever shows them must
//! escape them.
#![forbid(unsafe_code)]

mod event;
mod feed;
mod filter;
mod latency;
mod ring;
mod summary;
mod trace;

pub use event::{
    Call, Event, Found, LinkChange, LinkFacts, Note, Numbered, STAGES, StageTimes, TEXT_BYTES_MAX, Verdict,
    What, cut,
};
pub use feed::{COLLECT_MS, Feed, Inlet, Onlooker, QUEUE_MAX, collect};
pub use filter::{Filter, FilterError};
pub use ring::{EVENTS_MAX, Entry, Page, Recent};
pub use summary::{
    Edge, FindingSeen, Handshake, Latency, Part, PostureSample, RefusalGroup, RuleHits, Second, Summary,
    WINDOW_S, Wanted,
};
pub use trace::{SpanId, Trace, TraceId, TraceParent};
