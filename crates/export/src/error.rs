//! Why a batch was not taken.

use std::io;
use std::time::Duration;

/// Why a batch was not taken. It is sent again in every case: what cannot be sent stays, and is said.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The log cannot be read.
    #[error("the audit log cannot be read: {0}")]
    Log(String),
    /// The secret with the token cannot be opened.
    #[error("its token cannot be had: {0}")]
    Token(String),
    /// No connection, or it broke.
    #[error("{0}")]
    Unreachable(String),
    /// No answer in time.
    #[error("no answer within {0:?}")]
    Late(Duration),
    /// An answer that is no yes.
    #[error("it answered {status}{}", if said.is_empty() { String::new() } else { format!(": {said}") })]
    Refused {
        /// HTTP status.
        status: u16,
        /// The beginning of what it said, without control characters.
        said: String,
        /// How long it asks to be left alone.
        retry_after: Option<Duration>,
    },
    /// It took a part only.
    #[error("it rejected {records} records: {said}")]
    Rejected {
        /// How many.
        records: u64,
        /// Why, as it says.
        said: String,
    },
    /// The file cannot be written.
    #[error("the file cannot be written: {0}")]
    File(#[from] io::Error),
    /// Where the cursor is kept cannot be written.
    #[error("the cursor cannot be kept: {0}")]
    Cursor(String),
}

impl ExportError {
    /// Whether the same may be taken another time, as the protocol of OpenTelemetry has it.
    pub(crate) fn may_pass(&self) -> bool {
        match self {
            ExportError::Refused { status, .. } => matches!(status, 429 | 502 | 503 | 504),
            ExportError::Rejected { .. } => false,
            _ => true,
        }
    }

    /// How long the other side asks to be left alone.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            ExportError::Refused { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}
