//! An error on its way to a person: what happened, and what to do next.

use std::fmt;

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::{Deserialize, Serialize};

/// Why the interface does not do what was asked. On the wire `{"error":{"code","message","hint"}}`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable code for `lockgate explain`.
    pub code: String,
    /// What happened, one sentence.
    pub message: String,
    /// What to do next; may be empty.
    pub hint: String,
}

#[derive(Serialize, Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    error: Said<'a>,
}

#[derive(Serialize, Deserialize)]
struct Said<'a> {
    code: std::borrow::Cow<'a, str>,
    message: std::borrow::Cow<'a, str>,
    #[serde(default)]
    hint: std::borrow::Cow<'a, str>,
}

impl Fault {
    /// A fault of this status and code.
    pub fn new(status: StatusCode, code: &str, message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { status, code: code.to_owned(), message: message.into(), hint: hint.into() }
    }

    /// Reads the body of an answer with this status; `None` when it is no error of this interface.
    pub(crate) fn parse(status: StatusCode, body: &[u8]) -> Option<Self> {
        let Envelope { error } = serde_json::from_slice(body).ok()?;
        Some(Self {
            status,
            code: error.code.into_owned(),
            message: error.message.into_owned(),
            hint: error.hint.into_owned(),
        })
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.hint.as_str() {
            "" => f.write_str(&self.message),
            hint => write!(f, "{}; {hint}", self.message),
        }
    }
}

impl std::error::Error for Fault {}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let envelope = Envelope {
            error: Said {
                code: self.code.as_str().into(),
                message: self.message.as_str().into(),
                hint: self.hint.as_str().into(),
            },
        };
        (self.status, axum::Json(envelope)).into_response()
    }
}
