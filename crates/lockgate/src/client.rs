//! Small questions over HTTP: to a gateway's own services, and to the admin interface of the node on this machine.

use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use http_body_util::Full;
use lockgate_admin::ClientError;
use lockgate_transport::Dialer;
use lockgate_transport::http::{Limits, Pool, Target};
use lockgate_tunnel::{Refusal, TunnelError, service};
use serde::de::DeserializeOwned;

use crate::diagnostic::Diagnostic;
use crate::endpoint::Endpoint;
use crate::state::State;
use crate::trouble;

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
    ask_within(service::ANSWER_S_MAX, pool, endpoint, request).await
}

/// The same, with a deadline in seconds.
pub(crate) async fn ask_within(
    answer_s_max: u64,
    pool: &Pool,
    endpoint: &Endpoint,
    request: Request<Full<Bytes>>,
) -> Result<(StatusCode, Bytes), Diagnostic> {
    service::ask(pool, request, answer_s_max).await.map_err(|error| match error {
        TunnelError::Late { .. } => {
            Diagnostic::new("LG-N003", format!("{endpoint} did not answer within {answer_s_max} s"))
        }
        error => trouble::tunnel(&error, endpoint),
    })
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

/// What a gateway said was wrong; none if its answer has another form.
pub(crate) fn refusal(status: StatusCode, body: &[u8]) -> Option<Diagnostic> {
    let Refusal { code, message, hint, .. } = service::refusal(status, body)?;
    Some(said(&code, &message, &hint).cause(format!("the gateway answered {status}")))
}

/// What another node said was wrong.
pub(crate) fn said(code: &str, message: &str, hint: &str) -> Diagnostic {
    // A code of a newer version is not in our registry; its text still says what happened.
    let code = crate::registry::find(code).map_or("LG-N004", |entry| entry.code);
    let diagnostic = Diagnostic::new(code, crate::output::visible(message));
    if hint.is_empty() { diagnostic } else { diagnostic.hint(crate::output::visible(hint)) }
}
