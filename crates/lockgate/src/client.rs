//! Small questions over HTTP: to a gateway's own services, and to the admin interface of the node on this machine.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Full};
use lockgate_admin::ClientError;
use lockgate_transport::Dialer;
use lockgate_transport::http::{Body, Limits, Pool, PoolError, Target};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::diagnostic::Diagnostic;
use crate::endpoint::Endpoint;
use crate::state::State;
use crate::trouble;

/// Largest answer that is read, in bytes: a status with thousands of links.
const ANSWER_BYTES_MAX: usize = 16 << 20;

/// Longest wait for a small answer. Signing and syncing take milliseconds; the rest is for slow networks.
const ANSWER_S_MAX: u64 = 20;

/// A pool for one gateway.
pub(crate) fn pool(endpoint: &Endpoint, dialer: Arc<Dialer>) -> Result<Pool, Diagnostic> {
    let uri: Uri = endpoint.to_string().parse().expect("an endpoint is a URL");
    let target = Target::new(&uri, dialer).map_err(|error| {
        Diagnostic::new("LG-U001", format!("{endpoint} cannot be a gateway's URL")).because(&error)
    })?;
    Ok(Pool::new(target, Limits::default()))
}

/// One exchange with a gateway's own services.
pub(crate) async fn ask(
    pool: &Pool,
    endpoint: &Endpoint,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Diagnostic> {
    ask_within(ANSWER_S_MAX, pool, endpoint, request).await
}

/// The same, with a deadline in seconds.
pub(crate) async fn ask_within(
    answer_s_max: u64,
    pool: &Pool,
    endpoint: &Endpoint,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Diagnostic> {
    let deadline = Duration::from_secs(answer_s_max);
    match tokio::time::timeout(deadline, exchange(pool, request)).await {
        Ok(answer) => answer.map_err(|error| match error {
            Failed::Pool(error) => trouble::exchange(&error, endpoint),
            Failed::TooLarge => not_a_gateway(endpoint, "the answer is larger than any that a gateway gives"),
        }),
        Err(_) => {
            Err(Diagnostic::new("LG-N003", format!("{endpoint} did not answer within {answer_s_max} s")))
        }
    }
}

/// A request without a body.
pub(crate) fn get(path: &str) -> Request<Full<Bytes>> {
    request(Method::GET, path, Bytes::new())
}

/// A request with a JSON body.
pub(crate) fn post(path: &str, body: &impl Serialize) -> Request<Full<Bytes>> {
    let body = serde_json::to_vec(body).expect("requests are plain data");
    let mut request = request(Method::POST, path, body.into());
    let json = http::HeaderValue::from_static("application/json");
    request.headers_mut().insert(header::CONTENT_TYPE, json);
    request
}

fn request(method: Method, path: &str, body: Bytes) -> Request<Full<Bytes>> {
    let mut request = Request::new(Full::new(body));
    *request.method_mut() = method;
    *request.uri_mut() = path.parse().expect("our own paths are URIs");
    request
}

/// An answer that should be JSON of a known shape.
pub(crate) fn parse<T: DeserializeOwned>(endpoint: &Endpoint, answer: &[u8]) -> Result<T, Diagnostic> {
    serde_json::from_slice(answer).map_err(|error| not_a_gateway(endpoint, &error.to_string()))
}

pub(crate) fn not_a_gateway(endpoint: &Endpoint, why: &str) -> Diagnostic {
    Diagnostic::new("LG-N004", format!("{} does not answer as a gateway does", endpoint.origin()))
        .cause(why)
        .hint("check host and port of the URL")
}

enum Failed {
    Pool(PoolError),
    TooLarge,
}

async fn exchange(pool: &Pool, request: Request<Full<Bytes>>) -> Result<(StatusCode, Bytes), Failed> {
    let response = pool.request(request).await.map_err(Failed::Pool)?;
    let status = response.status();
    let body = collect(response.into_body(), ANSWER_BYTES_MAX).await?;
    Ok((status, body))
}

async fn collect(mut body: Body, bytes_max: usize) -> Result<Bytes, Failed> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        if let Ok(data) = frame.map_err(Failed::Pool)?.into_data() {
            if whole.len() + data.len() > bytes_max {
                return Err(Failed::TooLarge);
            }
            whole.extend_from_slice(&data);
        }
    }
    Ok(whole.freeze())
}

/// A client for the admin interface of the node that runs on a state directory.
pub(crate) fn admin(state: &State) -> Result<lockgate_admin::Client, Diagnostic> {
    let note = state.running()?;
    let address: SocketAddr = note.admin.parse().map_err(|_| {
        Diagnostic::new(
            "LG-N005",
            format!("the note of the running node names no usable admin address: {}", note.admin),
        )
    })?;
    Ok(lockgate_admin::Client::new(address, note.token.clone().into()))
}

/// A question to the admin interface that has no answer.
pub(crate) fn unanswered(error: &ClientError) -> Diagnostic {
    match error {
        ClientError::Refused(fault) => said(&fault.code, &fault.message, &fault.hint),
        _ => Diagnostic::new("LG-N005", "the admin interface of the running node does not answer")
            .because(error)
            .hint("try again in a moment, then: lockgate doctor"),
    }
}

/// The error that a node's services put into their answers: `{"error":{"code","message","hint"}}`.
pub(crate) fn refusal(status: StatusCode, body: &[u8]) -> Option<Diagnostic> {
    #[derive(serde::Deserialize)]
    struct Answer {
        error: Said,
    }
    #[derive(serde::Deserialize)]
    struct Said {
        code: String,
        message: String,
        #[serde(default)]
        hint: String,
    }
    let Answer { error } = serde_json::from_slice(body).ok()?;
    Some(said(&error.code, &error.message, &error.hint).cause(format!("the gateway answered {status}")))
}

/// What another node said was wrong.
fn said(code: &str, message: &str, hint: &str) -> Diagnostic {
    // A code of a newer version is not in our registry; its text still says what happened.
    let code = crate::registry::find(code).map_or("LG-N004", |entry| entry.code);
    let diagnostic = Diagnostic::new(code, crate::output::visible(message));
    if hint.is_empty() { diagnostic } else { diagnostic.hint(crate::output::visible(hint)) }
}
