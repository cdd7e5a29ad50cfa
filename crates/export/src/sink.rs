//! Where records go, and how each place says that it has them.

mod file;
pub(crate) mod http;
mod otlp;
mod splunk;
mod syslog;

use std::path::PathBuf;
use std::sync::Arc;

use ::http::Uri;
use lockgate_audit::{Entry, Kind};
use lockgate_transport::Dialer;
use lockgate_transport::http::Pool;
use zeroize::Zeroizing;

use crate::Line;
use crate::error::ExportError;

/// A secret that a place wants to be shown. Asked for before each batch, so that another one needs no restart.
pub trait Token: Send + Sync + 'static {
    /// The token as text. May read a file.
    ///
    /// # Errors
    /// A text for people.
    fn read(&self) -> Result<Zeroizing<String>, String>;
}

/// A place that is reached by HTTP.
pub struct HttpSink {
    /// Connections to it.
    pub pool: Pool,
    /// Path and query of the requests.
    pub path: Uri,
    /// What it wants to be shown.
    pub token: Option<Arc<dyn Token>>,
    /// This node, as records name the host that they come from.
    pub node: String,
}

/// A syslog server.
pub struct SyslogSink {
    /// Opens connections to it.
    pub dialer: Arc<Dialer>,
    /// Its host, without brackets.
    pub host: String,
    /// Its port; 6514 by RFC 5425.
    pub port: u16,
    /// This node, as messages name the host that they come from.
    pub node: String,
}

/// Where records go.
pub enum Sink {
    /// A collector of OpenTelemetry, OTLP/HTTP with JSON.
    Otlp(HttpSink),
    /// Splunk's HTTP Event Collector.
    Splunk(HttpSink),
    /// A syslog server over TLS.
    Syslog(SyslogSink),
    /// A file of JSON lines.
    File(PathBuf),
}

/// A sink at work, with what it keeps between batches.
pub(crate) enum Wire {
    Otlp(otlp::Otlp),
    Splunk(splunk::Splunk),
    Syslog(syslog::Syslog),
    File(PathBuf),
}

impl Sink {
    pub(crate) fn open(&self) -> Wire {
        match self {
            Sink::Otlp(sink) => Wire::Otlp(otlp::Otlp::new(sink)),
            Sink::Splunk(sink) => Wire::Splunk(splunk::Splunk::new(sink)),
            Sink::Syslog(sink) => Wire::Syslog(syslog::Syslog::new(sink)),
            Sink::File(path) => Wire::File(path.clone()),
        }
    }
}

impl Wire {
    /// Sends a batch, which is not empty, and waits until it is taken.
    pub(crate) async fn send(&mut self, lines: &[Line]) -> Result<(), ExportError> {
        match self {
            Wire::Otlp(otlp) => otlp.send(lines).await,
            Wire::Splunk(splunk) => splunk.send(lines).await,
            Wire::Syslog(syslog) => syslog.send(lines).await,
            Wire::File(path) => file::append(path.clone(), lines).await,
        }
    }

    /// Forgets a connection in the middle of which something went wrong.
    pub(crate) fn reset(&mut self) {
        if let Wire::Syslog(syslog) = self {
            syslog.reset();
        }
    }
}

/// The kind of a record as it is written; `None` where the line is no record.
pub(crate) fn kind_of(line: &str) -> Option<String> {
    Entry::parse(line).ok().map(|entry| word(entry.record.kind))
}

fn word(kind: Kind) -> String {
    let word = serde_json::to_value(kind).expect("a kind is a word");
    word.as_str().unwrap_or_default().to_owned()
}
