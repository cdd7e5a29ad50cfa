//! Traces and figures to a collector of OpenTelemetry, by OTLP/HTTP with JSON.
//!
//! Unlike audit records they may be lost: spans wait in a bounded queue, and what finds no room, or is refused for good, is
//! counted. Figures are sums since the start, so that a look that is missed loses nothing but its time.

mod figures;
mod openmetrics;
mod spans;

pub use figures::Figures;
pub use spans::{SPANS_MAX, SpanFeed, Spans, spans};
