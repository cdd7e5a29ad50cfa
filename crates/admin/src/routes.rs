//! The paths, and what a request must bring.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::to_bytes;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use axum::{Json, Router};
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use crate::api::{Csr, Document, NewInvite, SuppressRequest, Versioned};
use crate::fault::Fault;
use crate::guard::{self, Asker, Token};
use crate::node::Node;
use crate::session::Sessions;

mod audit;
mod crypto;
mod dashboard;
mod discovery;
mod enforcement;
mod exports;
mod facts;
mod live;
mod proof;

pub use audit::{
    AUDIT_QUERIES_MAX, AUDIT_QUERY_DEFAULT, AUDIT_QUERY_MAX, AUDIT_TAIL_DEFAULT, AUDIT_TAIL_MAX,
};
pub use live::{LIVE_DEFAULT, STREAMS_MAX};

/// Largest request body in bytes: a certification request with a composite ML-DSA key has under 10 kB.
pub const BODY_BYTES_MAX: usize = 64 << 10;

/// Longest wait for a body in seconds: it comes from this machine.
const BODY_S_MAX: u64 = 10;

/// What every handler can reach.
pub(crate) struct Access {
    pub(crate) node: Arc<dyn Node>,
    pub(crate) token: Token,
    pub(crate) local: SocketAddr,
    /// Set when the interface ends, for whoever listens.
    pub(crate) closing: watch::Sender<bool>,
    /// Places for those who listen.
    streams: Arc<Semaphore>,
    /// Places for questions to the audit log.
    questions: Arc<Semaphore>,
    /// Sessions of the dashboard.
    sessions: Sessions,
    /// Where the node's own work belongs: what it is asked may start tasks that outlive the answer.
    runtime: Handle,
}

impl Access {
    /// Must be called within the node's runtime.
    pub(crate) fn new(node: Arc<dyn Node>, token: Token, local: SocketAddr) -> Self {
        let streams = Arc::new(Semaphore::new(STREAMS_MAX));
        let closing = watch::Sender::new(false);
        Self {
            node,
            token,
            local,
            closing,
            streams,
            questions: Arc::new(Semaphore::new(AUDIT_QUERIES_MAX)),
            sessions: Sessions::default(),
            runtime: Handle::current(),
        }
    }
}

type Asked = State<Arc<Access>>;

pub(crate) fn router(access: Arc<Access>) -> Router {
    let with_token = Router::new()
        .route("/status", get(status))
        .route("/links", get(links))
        .route("/upstreams", get(upstreams))
        .route("/invites", get(invites).post(invite))
        .route("/invites/{id}", delete(revoke_invite))
        .route("/enrol-local", post(enrol_local))
        .route("/threats", get(threats))
        .route("/pins", get(pins))
        .route("/threats/{id}/approve", post(approve_threat))
        .route("/suppressions", post(suppress))
        .route("/suppressions/{id}/lift", post(unsuppress))
        .route("/audit/records/{seq}/proof", get(proof::proof))
        .merge(audit::routes())
        .route("/reload", post(reload))
        .route("/drain", post(drain))
        .merge(crypto::routes())
        .merge(enforcement::routes())
        .route("/exports", get(exports::exports))
        .route("/discovery", get(discovery::discovery))
        .merge(facts::routes())
        .merge(live::routes())
        .merge(dashboard::routes())
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(from_fn_with_state(access.clone(), require_token));
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .merge(dashboard::open())
        .nest("/v1", with_token)
        .fallback(unknown_path)
        .method_not_allowed_fallback(unknown_method)
        .layer(from_fn_with_state(access.clone(), require_site))
        .with_state(access)
}

async fn require_site(State(access): Asked, request: Request, next: Next) -> Response {
    let mut response = match guard::check_site(request.uri(), request.headers(), access.local) {
        Ok(()) => next.run(request).await,
        Err(fault) => fault.into_response(),
    };
    let headers = response.headers_mut();
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

async fn require_token(State(access): Asked, request: Request, next: Next) -> Response {
    let is_session = |given: &str| access.sessions.knows(given, Instant::now());
    match guard::check_token(request.headers(), &access.token, is_session) {
        Ok(Asker::Owner) => next.run(request).await,
        Ok(Asker::Dashboard) => {
            let (method, path) = (request.method().clone(), request.uri().path().to_owned());
            match dashboard::check(access, method, path).await {
                Ok(()) => next.run(request).await,
                Err(fault) => fault.into_response(),
            }
        }
        Err(fault) => {
            let mut response = fault.into_response();
            let bearer = HeaderValue::from_static("Bearer");
            response.headers_mut().insert(header::WWW_AUTHENTICATE, bearer);
            response
        }
    }
}

async fn unknown_path(request: Request) -> Fault {
    let message = format!("there is no {}", request.uri().path());
    let hint = "compare the versions of the command and of the node: lockgate --version, lockgate status";
    Fault::new(StatusCode::NOT_FOUND, "LG-N404", message, hint)
}

async fn unknown_method(request: Request) -> Fault {
    let message = format!("{} does not take {}", request.uri().path(), request.method());
    Fault::new(StatusCode::METHOD_NOT_ALLOWED, "LG-N405", message, "the Allow header names what it takes")
}

async fn ready(State(access): Asked) -> Result<&'static str, Fault> {
    on_node(access, |node| node.ready()).await??;
    Ok("ok\n")
}

async fn metrics(State(access): Asked) -> Result<Response, Fault> {
    let text = on_node(access, |node| node.metrics()).await?;
    // Only OpenMetrics ends in this line, and only it may be announced as such.
    let kind = match text.ends_with("# EOF\n") {
        true => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        false => "text/plain; version=0.0.4; charset=utf-8",
    };
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

async fn status(State(access): Asked) -> Result<Response, Fault> {
    document(&on_node(access, |node| node.status()).await?)
}

async fn links(State(access): Asked) -> Result<Response, Fault> {
    document(&on_node(access, |node| node.links()).await?)
}

async fn upstreams(State(access): Asked) -> Result<Response, Fault> {
    document(&on_node(access, |node| node.upstreams()).await?)
}

async fn invite(State(access): Asked, request: Request) -> Result<Response, Fault> {
    let request: NewInvite = body(request).await?;
    let minted = on_node(access, |node| node.invite(request)).await??;
    Ok((StatusCode::CREATED, document(&minted)?).into_response())
}

async fn invites(State(access): Asked) -> Result<Response, Fault> {
    document(&on_node(access, |node| node.invites()).await??)
}

async fn revoke_invite(
    State(access): Asked,
    id: Result<Path<String>, PathRejection>,
) -> Result<StatusCode, Fault> {
    let Path(id) = id.map_err(|error| unreadable(error.body_text()))?;
    on_node(access, move |node| node.revoke_invite(&id)).await??;
    Ok(StatusCode::NO_CONTENT)
}

async fn enrol_local(State(access): Asked, request: Request) -> Result<Response, Fault> {
    let request: Csr = body(request).await?;
    let issued = on_node(access, |node| node.enrol_local(request)).await??;
    Ok((StatusCode::CREATED, document(&issued)?).into_response())
}

async fn threats(State(access): Asked) -> Result<Response, Fault> {
    document(&on_node(access, |node| node.threats()).await?)
}

async fn pins(State(access): Asked) -> Result<Response, Fault> {
    document(&on_node(access, |node| node.pins()).await??)
}

async fn approve_threat(
    State(access): Asked,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Fault> {
    let Path(id) = id.map_err(|error| unreadable(error.body_text()))?;
    document(&on_node(access, move |node| node.approve_threat(&id)).await??)
}

async fn suppress(State(access): Asked, request: Request) -> Result<Response, Fault> {
    let request: SuppressRequest = body(request).await?;
    document(&on_node(access, move |node| node.suppress(&request)).await??)
}

async fn unsuppress(
    State(access): Asked,
    id: Result<Path<String>, PathRejection>,
) -> Result<Response, Fault> {
    let Path(id) = id.map_err(|error| unreadable(error.body_text()))?;
    document(&on_node(access, move |node| node.unsuppress(&id)).await??)
}

/// The line itself, or what it is made into when it is damaged: a JSON string.
fn raw(line: String) -> Box<RawValue> {
    serde_json::from_str(&line).or_else(|_| serde_json::value::to_raw_value(&line)).expect("a string is JSON")
}

async fn reload(State(access): Asked) -> Result<Response, Fault> {
    document(&on_node(access, |node| node.reload()).await??)
}

async fn drain(State(access): Asked) -> Result<Response, Fault> {
    let draining = on_node(access, |node| node.drain()).await?;
    Ok((StatusCode::ACCEPTED, document(&draining)?).into_response())
}

/// Asks the node, where it may block.
async fn on_node<T: Send + 'static>(
    access: Arc<Access>,
    ask: impl FnOnce(&dyn Node) -> T + Send + 'static,
) -> Result<T, Fault> {
    let runtime = access.runtime.clone();
    let asked = runtime.spawn_blocking(move || ask(&*access.node));
    asked.await.map_err(|error| {
        tracing::error!(%error, "an admin request failed");
        let message = "the node could not answer because of a mistake in it";
        let hint = "look at its log, and please report what is there";
        Fault::new(StatusCode::INTERNAL_SERVER_ERROR, "LG-X001", message, hint)
    })
}

fn document<T: Document>(document: &T) -> Result<Response, Fault> {
    Ok(Json(Versioned::of(document)).into_response())
}

/// Reads a JSON body within the limit.
async fn body<T: DeserializeOwned>(request: Request) -> Result<T, Fault> {
    let kind = request.headers().get(header::CONTENT_TYPE);
    let kind = kind.and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("application/json") {
        let message = "the body is not declared as JSON";
        let hint = "send `Content-Type: application/json`";
        return Err(Fault::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "LG-N400", message, hint));
    }
    let bytes = to_bytes(request.into_body(), BODY_BYTES_MAX);
    let bytes = tokio::time::timeout(Duration::from_secs(BODY_S_MAX), bytes).await.map_err(|_| {
        let message = format!("the body did not arrive within {BODY_S_MAX} s");
        Fault::new(StatusCode::REQUEST_TIMEOUT, "LG-N400", message, "send the request again")
    })?;
    let bytes = bytes.map_err(|_| {
        let message = format!("the body is larger than {BODY_BYTES_MAX} bytes or did not arrive whole");
        Fault::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            "LG-N413",
            message,
            "no request of this interface is that large",
        )
    })?;
    serde_json::from_slice(&bytes).map_err(|error| unreadable(format!("the body: {error}")))
}

fn unreadable(what: String) -> Fault {
    let message = format!("the request cannot be read: {what}");
    Fault::new(
        StatusCode::BAD_REQUEST,
        "LG-N400",
        message,
        "compare with the list of paths in the documentation",
    )
}
