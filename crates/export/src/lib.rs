//! Audit records, brought to where others collect them: a collector of OpenTelemetry, a syslog server, Splunk, a file.
//!
//! An exporter follows the log by a cursor, the number of the next record to be sent. The cursor moves, and is kept, when
//! the other side has taken a batch, so that every record arrives **at least once**, also over restarts and outages; a
//! receiver tells doubles by the record's number. It reads what is on the disk already: the path of a call knows nothing of
//! it, and an exporter that stands still costs nobody anything but disk. A record that is gone from the log before it was
//! sent is counted and said, never passed over in silence.
//!
//! | kind | protocol | a batch is taken when |
//! |---|---|---|
//! | [`Sink::Otlp`] | OTLP/HTTP 1.x, logs, JSON | 200 without rejected records |
//! | [`Sink::Splunk`] | HTTP Event Collector | `"code":0`, and its `ackId` is confirmed where acknowledgement is on |
//! | [`Sink::Syslog`] | RFC 5424 over TLS, RFC 5425 | it was written and the connection held: syslog knows no answer |
//! | [`Sink::File`] | JSON lines | the file is synced |
//!
//! Beside the records, [`telemetry`] brings traces and figures to a collector of OpenTelemetry.

mod error;
mod exporter;
mod otlp;
mod sink;
mod standing;
pub mod telemetry;

pub use error::ExportError;
pub use exporter::{Exporter, Keep, Source};
pub use sink::{HttpSink, Sink, SyslogSink, Token};
pub use standing::{Standing, StandingView};

/// Most records in a batch: what is sent again after an outage in its middle.
pub const BATCH_RECORDS_MAX: usize = 512;

/// Largest batch in bytes of its records, but for a single record that is larger. Splunk takes 1 MB at once by default.
pub const BATCH_BYTES_MAX: usize = 512 << 10;

/// One record: its number, and its line without the newline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// Number of the record, from 1.
    pub seq: u64,
    /// A JSON object.
    pub text: String,
}
