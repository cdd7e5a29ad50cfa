//! What a node does for its peers beside MCP, under `/.well-known/lockgate/`: hand out the authority's public roots, plain
//! and signed, redeem an invite, renew a certificate, tell what is in force, and say how it sees the link.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use lockgate_audit::{Durability, Kind, Outcome, Record};
use lockgate_crypto::Algorithm;
use lockgate_identity::{Principal, Revoked, SpiffeId};
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::agility::notices;
use crate::bearer_answers::{self, BIND_BYTES_MAX};
use crate::body::Body;
use crate::call::describe_link;
use crate::decode;
use crate::link::LinkContext;
use crate::node::Node;
use crate::oauth::Oauth;
use crate::refusal::Refusal;
use crate::unread::Received;
use crate::witness;

/// Largest request here, in bytes: a certification request with a composite key has 8 kB.
const REQUEST_BYTES_MAX: usize = 64 << 10;

/// Certificates issued at once. Signing takes a few milliseconds, and renewals come spread over hours.
const ISSUED_MAX: usize = 8;

/// Renewals that wait for their turn. A change of algorithms has every agent renew within seconds; a request has 10 kB.
const WAITING_MAX: usize = 1024;

/// Longest wait of a renewal for its turn, in seconds; then its agent is asked to come again.
const TURN_S_MAX: u64 = 5;

/// Places for those who enrol or renew.
pub(crate) struct Counter {
    issuing: Semaphore,
    waiting: Semaphore,
}

impl Default for Counter {
    fn default() -> Self {
        Self { issuing: Semaphore::new(ISSUED_MAX), waiting: Semaphore::new(WAITING_MAX) }
    }
}

const PREFIX: &str = "/.well-known/lockgate/";

/// A request for a first certificate.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrolRequest {
    /// The secret of the invite.
    pub secret: String,
    /// PKCS#10 certification request, PEM.
    pub csr: String,
}

/// A request for the next certificate of the same agent.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RenewRequest {
    /// PKCS#10 certification request, PEM.
    pub csr: String,
}

/// A certificate that was issued.
#[derive(Debug, Serialize, Deserialize)]
pub struct Enrolled {
    /// The SPIFFE id that it carries.
    pub id: String,
    /// The certificate, PEM.
    pub certificate: String,
    /// The authority's roots, PEM. Empty in a renewal: they come in the signed bundle.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub authority: String,
    /// End of its validity, in milliseconds since the Unix epoch.
    pub not_after_ms: u64,
}

/// Why no certificate was issued.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct NotEnrolled {
    /// HTTP status.
    pub status: StatusCode,
    /// Stable code for `lockgate explain`.
    pub code: &'static str,
    /// What happened.
    pub message: String,
    /// What to do next.
    pub hint: String,
}

impl NotEnrolled {
    /// The agent or key is revoked: whoever issues asks that before anything is spent.
    pub fn revoked(revoked: &Revoked) -> Self {
        Self {
            status: StatusCode::FORBIDDEN,
            code: revoked.code(),
            message: revoked.to_string(),
            hint: "on the gateway's machine: lockgate identity list, and lockgate identity restore"
                .to_owned(),
        }
    }
}

/// The algorithms for which certificates are issued now on one link.
#[derive(Clone, Debug)]
pub struct Permitted(Option<Arc<[&'static Algorithm]>>);

impl Permitted {
    /// Any algorithm that the authority can issue for.
    pub fn everything() -> Self {
        Self(None)
    }

    /// Only these.
    pub fn only(algorithms: &[&'static Algorithm]) -> Self {
        Self(Some(algorithms.into()))
    }

    fn on(node: &Node, link: &LinkContext) -> Self {
        let in_force = node.in_force();
        let rule = in_force.rule(&link.listener, &link.caller.agent, node.now_ms());
        rule.map_or_else(Self::everything, |suite| Self::only(suite.signatures()))
    }

    /// Whether a certificate for a key of `algorithm` is issued. To be asked before an invite is spent.
    ///
    /// # Errors
    /// LG-I402 with the algorithms that are permitted.
    pub fn check(&self, algorithm: &Algorithm) -> Result<(), NotEnrolled> {
        let Some(permitted) = &self.0 else { return Ok(()) };
        if permitted.iter().any(|row| row.id == algorithm.id) {
            return Ok(());
        }
        let ids: Vec<_> = permitted.iter().map(|row| row.id).collect();
        Err(NotEnrolled {
            status: StatusCode::FORBIDDEN,
            code: "LG-I402",
            message: format!("no certificate is issued for a key of {} now", algorithm.id),
            hint: format!("make a key of one of {} and ask again", ids.join(", ")),
        })
    }
}

/// The authority's side of enrolment, which the data path must reach and must not contain: it opens private keys.
pub trait Enrolment: Send + Sync {
    /// The roles that an agent's registration gives it; none for one that no registration let in.
    fn roles(&self, _agent: &str) -> Arc<[String]> {
        Arc::from([])
    }
    /// The authorization server of this node, if it is one.
    fn oauth(&self) -> Option<Arc<dyn Oauth>> {
        None
    }
    /// The roots that peers pin, PEM.
    fn authority_pem(&self) -> String;
    /// The bundle in force, signed by the roots that the authority holds, for those who trust one of them already.
    fn signed_bundle(&self) -> String;
    /// Redeems an invite.
    ///
    /// # Errors
    /// [`NotEnrolled`]: unknown, used or expired invite, a request that proves no key, or a key of an algorithm that is
    /// not `permitted`, for which the invite is not spent.
    fn enrol(&self, request: &EnrolRequest, permitted: &Permitted) -> Result<Enrolled, NotEnrolled>;
    /// Issues the next certificate for the id of a link that proved the current one, with the fingerprint of its key; the
    /// new key may be of another algorithm.
    ///
    /// # Errors
    /// [`NotEnrolled`], when the request proves no key, or one of an algorithm that is not `permitted`.
    fn renew(
        &self,
        current: (&SpiffeId, &str),
        request: &RenewRequest,
        permitted: &Permitted,
    ) -> Result<Enrolled, NotEnrolled>;
}

/// The part of `path` that names one of these services.
pub fn path(path: &str) -> Option<String> {
    path.strip_prefix(PREFIX).map(str::to_owned)
}

/// Serves one of these requests. Certificates issued and refused are recorded before the answer leaves.
pub async fn serve(
    node: &Arc<Node>,
    link: &Arc<LinkContext>,
    path: String,
    request: Request<Received>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    if let Err(refusal) = decode::check_host(link, &parts) {
        return refusal.plain_response();
    }
    if let Err(revoked) = node.check_revoked(link) {
        return refused(&NotEnrolled::revoked(&revoked));
    }
    match (&parts.method, path.as_str()) {
        (&Method::GET, "authority") => {
            text("application/pem-certificate-chain", node.enrolment.authority_pem())
        }
        (&Method::GET, "bundle") => text("application/json", node.enrolment.signed_bundle()),
        (&Method::GET, "notices") => {
            notices::open(node, link, parts.uri.query()).unwrap_or_else(|error| refused(&error))
        }
        (&Method::GET, "posture") => json_response(StatusCode::OK, &crate::link::view(link)),
        (&Method::POST, "enrol" | "renew") => {
            let body = match decode::collect(body, REQUEST_BYTES_MAX, node.limits.request()).await {
                Ok(body) => body,
                Err(refusal) => return refusal.plain_response(),
            };
            let Some(_place) = turn(&node.enrolments, path == "renew" && is_proven(link)).await else {
                return Refusal::Overloaded { limit: ISSUED_MAX }.plain_response();
            };
            let issued = issue(node, link, path == "enrol", body).await;
            record(node, link, &path, issued).await
        }
        (&Method::POST, "witness/add-checkpoint") => {
            let bytes_max = lockgate_audit::tlog::witness::BODY_BYTES_MAX;
            match decode::collect(body, bytes_max, node.limits.request()).await {
                Ok(body) => witness::add(node, link, body).await,
                Err(refusal) => refusal.plain_response(),
            }
        }
        (&Method::POST, "checkpoint") => {
            let bytes_max = lockgate_audit::tlog::witness::BODY_BYTES_MAX;
            match decode::collect(body, bytes_max, node.limits.request()).await {
                Ok(body) => witness::show(node, link, body).await,
                Err(refusal) => refusal.plain_response(),
            }
        }
        (&Method::POST, "bind") => {
            let body = match decode::collect(body, BIND_BYTES_MAX, node.limits.request()).await {
                Ok(body) => body,
                Err(refusal) => return refusal.plain_response(),
            };
            bound(node, link, body).await
        }
        _ => refused(&NotEnrolled {
            status: StatusCode::NOT_FOUND,
            code: "LG-N404",
            message: format!("nothing is served at {PREFIX}{path}"),
            hint: "GET authority, GET bundle, GET notices, GET posture, POST bind, POST enrol, POST renew, POST checkpoint, POST witness/add-checkpoint"
                .to_owned(),
        }),
    }
}

/// Whether the peer of `link` proved a certificate that still holds.
pub(crate) fn is_proven(link: &LinkContext) -> bool {
    !link.is_expired() && matches!(*link.caller.principal, Principal::Workload { .. })
}

/// A place for one who enrols or renews. Anybody may try to enrol, and a try costs the disk a record and a sync: more at
/// once than there are places are turned away before they cost anything. Who proved a certificate may wait.
async fn turn(counter: &Counter, waits: bool) -> Option<SemaphorePermit<'_>> {
    if let Ok(place) = counter.issuing.try_acquire() {
        return Some(place);
    }
    let _queued = waits.then(|| counter.waiting.try_acquire().ok()).flatten()?;
    tokio::time::timeout(Duration::from_secs(TURN_S_MAX), counter.issuing.acquire()).await.ok()?.ok()
}

async fn issue(
    node: &Arc<Node>,
    link: &LinkContext,
    first: bool,
    body: Bytes,
) -> Result<Enrolled, NotEnrolled> {
    let enrolment = node.enrolment.clone();
    let principal = match link.is_expired() {
        // Staying on does not prove what the handshake proved.
        true => Arc::new(Principal::Anonymous),
        false => link.caller.principal.clone(),
    };
    let permitted = Permitted::on(node, link);
    // Signing and the store take milliseconds: not on the thread that serves calls.
    let task = tokio::task::spawn_blocking(move || match (first, principal.as_ref()) {
        (true, _) => enrolment.enrol(&parse(&body)?, &permitted),
        (false, Principal::Workload { id, key_fingerprint, .. }) => {
            enrolment.renew((id, key_fingerprint), &parse(&body)?, &permitted)
        }
        (false, _) => Err(NotEnrolled {
            status: StatusCode::UNAUTHORIZED,
            code: "LG-I401",
            message: "only a link that proves a certificate can renew it".to_owned(),
            hint: "enrol with an invite: lockgate connect --invite CODE".to_owned(),
        }),
    });
    task.await.unwrap_or_else(|error| {
        Err(NotEnrolled {
            status: StatusCode::INTERNAL_SERVER_ERROR,
            code: "LG-X001",
            message: format!("enrolment broke: {error}"),
            hint: "this is a bug in Lockgate; its log says more".to_owned(),
        })
    })
}

fn parse<T: for<'de> Deserialize<'de>>(body: &[u8]) -> Result<T, NotEnrolled> {
    serde_json::from_slice(body).map_err(|error| NotEnrolled {
        status: StatusCode::BAD_REQUEST,
        code: "LG-I400",
        message: format!("the request cannot be read: {error}"),
        hint: "send JSON as `lockgate connect` does".to_owned(),
    })
}

async fn record(
    node: &Arc<Node>,
    link: &LinkContext,
    path: &str,
    issued: Result<Enrolled, NotEnrolled>,
) -> Response<Body> {
    let outcome = if issued.is_ok() { Outcome::Ok } else { Outcome::Refused };
    let mut record = Record::new(Kind::Identity, outcome);
    describe_link(link, &mut record);
    record.method = Some(format!("identity/{path}").into());
    match &issued {
        Ok(enrolled) => record.name = Some(enrolled.id.as_str().into()),
        Err(error) => record.reason = Some(error.message.as_str().into()),
    }
    let written = match node.append(&record, Durability::Durable) {
        Ok(receipt) => node.audit.synced(&receipt).await,
        Err(error) => Err(error),
    };
    match (written, &issued) {
        (Err(error), _) => Refusal::Unrecorded(error).plain_response(),
        (Ok(()), Ok(enrolled)) => json_response(StatusCode::OK, enrolled),
        (Ok(()), Err(error)) => refused(error),
    }
}

/// Binds a token to the link, and records who speaks on it from now on, or which check failed.
async fn bound(node: &Arc<Node>, link: &Arc<LinkContext>, body: Bytes) -> Response<Body> {
    let (response, refused) = bearer_answers::bind(node, link, body).await;
    let outcome = if response.status().is_success() { Outcome::Ok } else { Outcome::Refused };
    let mut record = Record::new(Kind::Identity, outcome);
    describe_link(link, &mut record);
    record.method = Some("identity/bind".into());
    record.reason = refused.map(|refused| refused.to_string().into());
    match node.append(&record, Durability::Grouped) {
        Ok(_) => response,
        Err(error) => Refusal::Unrecorded(error).plain_response(),
    }
}

fn refused(error: &NotEnrolled) -> Response<Body> {
    let body = json!({ "error": { "code": error.code, "message": error.message, "hint": error.hint } });
    json_response(error.status, &body)
}

fn json_response(status: StatusCode, body: &impl Serialize) -> Response<Body> {
    let bytes = serde_json::to_vec(body).expect("plain data serialises");
    let mut response = Response::new(Body::whole(bytes.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

fn text(media: &'static str, text: String) -> Response<Body> {
    let mut response = Response::new(Body::whole(text.into()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    response
}
