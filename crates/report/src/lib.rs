//! What the audit log proves of a period, control by control, and what it cannot.
//!
//! # From lines to a report
//! A [`Collector`] takes the lines of a log one by one and counts in bounded memory, ten million as well as ten. What it
//! counts are [`Signal`]s: kinds of evidence, each defined by which records it is. A [`Framework`] is a table from
//! controls to signals, so that no control can be claimed that no record backs. [`Report::new`] puts count, table,
//! [`Background`] (the configuration) and [`Integrity`] (the check of the log) together into one value, and the forms in
//! which it is written ([`html`], [`oscal`], JSON) only show that value.
//!
//! A report never says that a control is met. It says what records show, where they show exceptions, what is missing, and
//! what a gateway's log cannot know. An auditor says the rest.
//!
//! Pure: lines, facts about the configuration and the time come in, text goes out. Which files are read and written is the
//! caller's.

// In a test, a panic with the value in it is the report.
#![cfg_attr(test, allow(clippy::unwrap_used))]

mod background;
mod collect;
mod count;
mod error;
mod flow;
mod framework;
mod frameworks;
mod gap;
pub mod html;
mod incident;
mod integrity;
mod life;
pub mod oscal;
mod parts;
mod period;
mod report;
mod signal;
#[cfg(test)]
mod testing;
mod text;
mod wire;

pub use background::{Background, Ending, Listener, Reached, Server};
pub use collect::{Cited, Collector};
pub use count::{NAMES_MAX, SAMPLES};
pub use error::ReportError;
pub use framework::{ALL as FRAMEWORKS, Ask, Beyond, Control, Framework};
pub use gap::Gap;
pub use incident::{BURST, BURST_MS};
pub use integrity::{Damage, Integrity, Verdict};
pub use parts::{Activity, Availability, Day, Gone, Incident, Processing, Quantum, ServerWay, WeakLink};
pub use period::{DAYS_MAX, Period, moment};
pub use report::{
    Evidence, Exception, Inputs, Judged, Named, Progress, Records, Report, SCHEMA, Standing, Summary,
    cited_lines,
};
pub use signal::Signal;
pub use text::{number, percent, visible};
pub use wire::Share;
