//! Small questions to a gateway's own services, under `/.well-known/lockgate/`.

use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use lockgate_transport::http::{Body, Pool};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::{Refusal, TunnelError};

/// The gateway's view of a link.
pub const POSTURE: &str = "/.well-known/lockgate/posture";
/// The authority's roots, PEM, as strangers may read them.
pub const AUTHORITY: &str = "/.well-known/lockgate/authority";
/// The authority's roots, signed by themselves.
pub const BUNDLE: &str = "/.well-known/lockgate/bundle";
/// A first certificate for an invite.
pub const ENROL: &str = "/.well-known/lockgate/enrol";
/// The next certificate of the same agent.
pub const RENEW: &str = "/.well-known/lockgate/renew";
/// The stream of what changes.
pub const NOTICES: &str = "/.well-known/lockgate/notices";

/// Longest wait for a small answer, in seconds. Signing and syncing take milliseconds; the rest is for slow networks.
pub const ANSWER_S_MAX: u64 = 20;

/// Largest answer that is read, in bytes: twelve roots of the largest algorithm, each signed by all, in PEM.
pub const ANSWER_BYTES_MAX: usize = 4 << 20;

/// Bytes of a refusal's text that are kept.
const SAID_BYTES_MAX: usize = 2 << 10;

/// A request without a body.
///
/// # Panics
/// If `path` is no path.
#[must_use]
pub fn get(path: &str) -> Request<Full<Bytes>> {
    request(Method::GET, path, Bytes::new())
}

/// A request with a JSON body.
///
/// # Panics
/// If `path` is no path, or the body is no plain data.
#[must_use]
pub fn post(path: &str, body: &impl Serialize) -> Request<Full<Bytes>> {
    let body = serde_json::to_vec(body).expect("requests are plain data");
    let mut request = request(Method::POST, path, body.into());
    request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    request
}

fn request(method: Method, path: &str, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().expect("our own paths are URIs");
    request
}

/// One exchange: status and whole body, within `answer_s_max` seconds.
///
/// # Errors
/// [`TunnelError::Exchange`], [`TunnelError::Late`], and [`TunnelError::Answer`] for a body above
/// [`ANSWER_BYTES_MAX`].
pub async fn ask(
    pool: &Pool,
    request: Request<Full<Bytes>>,
    answer_s_max: u64,
) -> Result<(StatusCode, Bytes), TunnelError> {
    let path = request.uri().path().to_owned();
    let exchange = async {
        let response = pool.request(request).await?;
        let status = response.status();
        Ok((status, collect(&path, response).await?))
    };
    let answer = tokio::time::timeout(Duration::from_secs(answer_s_max), exchange).await;
    answer.unwrap_or_else(|_| Err(TunnelError::Late { path: path.clone(), answer_s_max }))
}

/// The body of an answer that says yes, as text.
pub(crate) async fn ask_text(pool: &Pool, request: Request<Full<Bytes>>) -> Result<String, TunnelError> {
    let path = request.uri().path().to_owned();
    let (status, body) = ask(pool, request, ANSWER_S_MAX).await?;
    if !status.is_success() {
        return Err(refused(&path, status, &body));
    }
    String::from_utf8(body.into())
        .map_err(|_| TunnelError::Answer { path, cause: "it is not UTF-8".to_owned() })
}

/// The body of an answer that says yes, as JSON of a known shape.
pub(crate) async fn ask_json<T: DeserializeOwned>(
    pool: &Pool,
    request: Request<Full<Bytes>>,
) -> Result<T, TunnelError> {
    let path = request.uri().path().to_owned();
    let text = ask_text(pool, request).await?;
    serde_json::from_str(&text).map_err(|error| TunnelError::Answer { path, cause: error.to_string() })
}

/// An answer that says no, with the gateway's reason if it has the form of one.
pub(crate) fn refused(path: &str, status: StatusCode, body: &[u8]) -> TunnelError {
    match refusal(status, body) {
        Some(refusal) => TunnelError::Refused(refusal),
        // A busy or starting gateway, or a proxy before it, may say so without our words.
        None if status == StatusCode::TOO_MANY_REQUESTS
            || (status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED) =>
        {
            TunnelError::Refused(Refusal {
                status,
                code: String::new(),
                message: format!("it is busy or failed ({status})"),
                hint: "try again in a moment".to_owned(),
            })
        }
        None => TunnelError::Answer { path: path.to_owned(), cause: format!("it is {status}") },
    }
}

/// The error that a node's services put into their answers; none if the body has another form.
#[must_use]
pub fn refusal(status: StatusCode, body: &[u8]) -> Option<Refusal> {
    #[derive(Deserialize)]
    struct Answer {
        error: Said,
    }
    #[derive(Deserialize)]
    struct Said {
        code: String,
        message: String,
        #[serde(default)]
        hint: String,
    }
    let Answer { error } = serde_json::from_slice(body).ok()?;
    let [code, message, hint] = [error.code, error.message, error.hint].map(bounded);
    Some(Refusal { status, code, message, hint })
}

fn bounded(mut text: String) -> String {
    text.truncate(text.floor_char_boundary(SAID_BYTES_MAX));
    text
}

async fn collect(path: &str, response: Response<Body>) -> Result<Bytes, TunnelError> {
    let mut body = response.into_body();
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame?.into_data() else { continue };
        if whole.len() + data.len() > ANSWER_BYTES_MAX {
            let cause = format!("it is larger than {ANSWER_BYTES_MAX} bytes");
            return Err(TunnelError::Answer { path: path.to_owned(), cause });
        }
        whole.extend_from_slice(&data);
    }
    Ok(whole.freeze())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_read_and_bounded() {
        let body = br#"{"error":{"code":"LG-I402","message":"no","hint":"ask"}}"#;
        let said = refusal(StatusCode::FORBIDDEN, body).unwrap();
        assert_eq!((said.code.as_str(), said.message.as_str(), said.hint.as_str()), ("LG-I402", "no", "ask"));
        assert!(!said.is_temporary());
        assert!(refusal(StatusCode::FORBIDDEN, b"<html>").is_none());
        let long = format!(r#"{{"error":{{"code":"c","message":"{}"}}}}"#, "é".repeat(4_000));
        let said = refusal(StatusCode::SERVICE_UNAVAILABLE, long.as_bytes()).unwrap();
        assert!(said.message.len() <= SAID_BYTES_MAX && said.is_temporary());
    }

    #[test]
    fn what_is_no_gateway_is_told_from_one_that_is_busy() {
        assert!(refused("/x", StatusCode::SERVICE_UNAVAILABLE, b"busy").is_temporary());
        let error = refused("/x", StatusCode::NOT_FOUND, b"");
        assert!(!error.is_temporary() && error.to_string().contains("/x"), "{error}");
    }
}
