//! One POST, and what came back.

use std::time::Duration;

use ::http::header::{CONTENT_TYPE, RETRY_AFTER, USER_AGENT};
use ::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, Uri};
use bytes::{Buf as _, Bytes};
use http_body_util::{BodyExt as _, Full};
use lockgate_transport::http::{Pool, PoolError};

use super::{HttpSink, Token};
use crate::error::ExportError;

/// Largest answer that is read, in bytes: a few numbers and a sentence.
const ANSWER_BYTES_MAX: usize = 64 << 10;

/// How much of an answer is shown to people, in characters.
const SHOWN_CHARS_MAX: usize = 200;

/// What one request needs.
pub(crate) struct Post<'a> {
    pub(crate) pool: &'a Pool,
    pub(crate) path: &'a Uri,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Post<'_> {
    /// Sends it as JSON. Any status but 200 is a refusal.
    pub(crate) async fn send(self) -> Result<Vec<u8>, ExportError> {
        let mut request = Request::new(Full::new(Bytes::from(self.body)));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.path.clone();
        *request.headers_mut() = self.headers;
        request.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        request.headers_mut().insert(USER_AGENT, HeaderValue::from_static("lockgate"));
        let response = self.pool.request(request).await.map_err(unreachable)?;
        let (parts, mut body) = response.into_parts();
        let mut answer = Vec::new();
        while let Some(frame) = body.frame().await {
            let Ok(data) = frame.map_err(unreachable)?.into_data() else { continue };
            if answer.len() + data.remaining() > ANSWER_BYTES_MAX {
                break;
            }
            answer.extend_from_slice(&data);
        }
        if parts.status == StatusCode::OK {
            return Ok(answer);
        }
        Err(ExportError::Refused {
            status: parts.status.as_u16(),
            said: shown(&answer),
            retry_after: retry_after(&parts.headers),
        })
    }
}

/// The header `Authorization: SCHEME TOKEN`, if the place wants one.
pub(crate) fn authorized(sink: Option<&dyn Token>, scheme: &str) -> Result<HeaderMap, ExportError> {
    let mut headers = HeaderMap::new();
    if let Some(token) = sink {
        let token = token.read().map_err(ExportError::Token)?;
        let mut value = HeaderValue::from_str(&format!("{scheme} {}", token.trim_end()))
            .map_err(|_| ExportError::Token("it cannot stand in a header".to_owned()))?;
        value.set_sensitive(true);
        headers.insert(HeaderName::from_static("authorization"), value);
    }
    Ok(headers)
}

impl HttpSink {
    /// The same place for whoever sends.
    pub(super) fn again(&self) -> Self {
        self.at(self.path.clone())
    }

    /// Another path at the same place.
    pub fn at(&self, path: Uri) -> Self {
        Self { pool: self.pool.clone(), path, token: self.token.clone(), node: self.node.clone() }
    }
}

fn unreachable(error: PoolError) -> ExportError {
    let mut text = error.to_string();
    let mut source = std::error::Error::source(&error);
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    ExportError::Unreachable(text)
}

/// The beginning of an answer, fit for a terminal and a log.
pub(crate) fn shown(answer: &[u8]) -> String {
    let text = String::from_utf8_lossy(answer);
    text.chars().filter(|c| !c.is_control()).take(SHOWN_CHARS_MAX).collect()
}

/// Seconds only: a date would be judged by a clock that nobody vouches for.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}
