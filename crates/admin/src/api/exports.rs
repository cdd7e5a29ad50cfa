//! Where audit records are brought, and how far.

use serde::{Deserialize, Serialize};

/// Every export of the configuration, and telemetry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exports {
    /// By name.
    pub exports: Vec<ExportView>,
    /// Traces and figures; empty where none are sent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub telemetry: Vec<TelemetryView>,
}

/// How traces or figures stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TelemetryView {
    /// `traces` or `metrics`.
    pub kind: String,
    /// Where they go.
    pub to: String,
    /// Calls, or reports of all figures, that were taken since the telemetry began.
    pub sent: u64,
    /// Calls that found no room in the queue, or were refused.
    pub lost: u64,
    /// When something was taken last.
    pub sent_ms: Option<u64>,
    /// Why the last attempt failed; none while all goes well.
    pub problem: Option<String>,
    /// Since when it fails.
    pub failing_since_ms: Option<u64>,
}

/// How an export stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExportView {
    /// Its name in the configuration.
    pub name: String,
    /// Where it goes.
    pub to: String,
    /// Number of the next record to be sent.
    pub next_seq: u64,
    /// Records that are in the log and were not sent.
    pub behind: u64,
    /// Records that were taken since the node started.
    pub sent: u64,
    /// Records that were gone from the log before they were sent, since the node started.
    pub lost: u64,
    /// When the last batch was taken.
    pub sent_ms: Option<u64>,
    /// Why the last attempt failed; none while all goes well.
    pub problem: Option<String>,
    /// Since when it fails.
    pub failing_since_ms: Option<u64>,
}
