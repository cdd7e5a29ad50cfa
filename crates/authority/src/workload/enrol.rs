//! What Lockgate's own programs ask at the socket, as JSON: enrol with a key of one's own, and who am I.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use lockgate_identity::enrol::ProvenKey;
use lockgate_identity::{Request as Certify, Role};
use serde::{Deserialize, Serialize};
use tokio::net::UnixStream;
use tonic::body::Body;

use super::{Entitled, Workload, blocking, note};
use crate::attest::Peer;
use crate::{AuthorityError, Selector};

/// Where a certificate for one's own key is asked for.
pub const ENROL: &str = "/lockgate/enrol";
/// Where one is told what is proven.
pub const WHOAMI: &str = "/lockgate/whoami";

/// Largest request and answer, in bytes: a composite key's request has 8 kB, roots of all algorithms 40 kB.
const BYTES_MAX: usize = 256 << 10;
/// Longest time for a request, in seconds: an executable is hashed within it.
const TIME_S_MAX: u64 = 20;

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EnrolRequest {
    /// PKCS#10 certification request, PEM.
    csr: String,
}

#[derive(Debug, Deserialize)]
struct Refusal {
    error: Said,
}

#[derive(Debug, Deserialize)]
struct Said {
    code: String,
    message: String,
}

/// A certificate that was issued for one's own key.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Enrolled {
    /// The SPIFFE id that it carries.
    pub id: String,
    /// The certificate, PEM.
    pub certificate: String,
    /// The authority's roots, PEM.
    pub authority: String,
    /// End of its validity, in milliseconds since the Unix epoch.
    pub not_after_ms: u64,
}

/// What is proven of a process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WhoAmI {
    /// Of whom.
    pub subject: String,
    /// The facts.
    pub selectors: Vec<String>,
    /// What to know about them.
    pub notes: Vec<String>,
    /// What it would get, the first for its own key.
    pub registrations: Vec<Would>,
}

/// What a process would get.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Would {
    /// The SPIFFE id.
    pub id: String,
    /// Its roles.
    pub roles: Vec<String>,
    /// Life of its certificates in seconds.
    pub life_s: u64,
    /// Of what its SVIDs are made: `stock`, `post_quantum` or `hybrid`.
    pub svid: String,
    /// Whether it is revoked.
    pub revoked: bool,
}

/// Serves a request that is none of the Workload API.
pub(super) async fn serve(
    workload: &Arc<Workload>,
    peer: &Arc<Peer>,
    request: Request<Incoming>,
) -> Response<Body> {
    // Nothing here is for a browser or a server that was tricked into a request: neither sends this media type unasked.
    let json = request.headers().get(header::ACCEPT).is_some_and(|value| value == "application/json");
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let served = async {
        match (&method, path.as_str()) {
            _ if !json => Err(AuthorityError::Malformed("accept: application/json is missing".to_owned())),
            (&Method::GET, WHOAMI) => Ok(to_json(&tell(workload, peer).await?)),
            (&Method::POST, ENROL) => Ok(to_json(&certify(workload, peer, request).await?)),
            _ => {
                Err(AuthorityError::Malformed(format!("nothing is served at {}", crate::error::shown(&path))))
            }
        }
    };
    match tokio::time::timeout(Duration::from_secs(TIME_S_MAX), served).await {
        Ok(Ok(body)) => respond(StatusCode::OK, body),
        Ok(Err(error)) => refused(&error),
        Err(_) => refused(&AuthorityError::Busy { limit: "time for one request" }),
    }
}

async fn tell(workload: &Arc<Workload>, peer: &Arc<Peer>) -> Result<WhoAmI, AuthorityError> {
    let attested = workload.attest(peer).await?;
    let registrations = workload.registrations();
    let would = registrations.covering(&attested.selectors).map(|registration| Would {
        id: registration.id.to_string(),
        roles: registration.roles.clone(),
        life_s: registration.life.as_secs(),
        svid: registration.svid.name().to_owned(),
        revoked: workload.issuance().is_revoked(&registration.id, &registration.roles),
    });
    Ok(WhoAmI {
        registrations: would.collect(),
        selectors: texts(&attested.selectors),
        subject: attested.subject,
        notes: attested.notes,
    })
}

fn texts(selectors: &BTreeSet<Selector>) -> Vec<String> {
    selectors.iter().map(ToString::to_string).collect()
}

async fn certify(
    workload: &Arc<Workload>,
    peer: &Arc<Peer>,
    request: Request<Incoming>,
) -> Result<Enrolled, AuthorityError> {
    const METHOD: &str = "identity/enrol";
    let malformed = |what: &str| AuthorityError::Malformed(what.to_owned());
    let body = Limited::new(request.into_body(), BYTES_MAX).collect().await;
    let body = body.map_err(|_| malformed("its body is too large or broke off"))?.to_bytes();
    let request: EnrolRequest =
        serde_json::from_slice(&body).map_err(|_| malformed("send {\"csr\": PEM}"))?;
    let entitled = workload.entitled(peer, METHOD).await?;
    let attested = entitled.attested.clone();
    let known = workload.known().clone();
    let issued = blocking(workload.issuance(), move |issuance| {
        let Entitled { attested, registrations } = entitled;
        let registration = registrations.first().expect("an entitled process has a registration");
        let key = ProvenKey::from_request_pem(&request.csr)?;
        if !issuance.in_force().contains(&key.algorithm()) {
            let what = format!("no certificate is issued for a key of {} now", key.algorithm().id);
            return Err(AuthorityError::Malformed(what));
        }
        let certify = Certify {
            key,
            id: registration.id.clone(),
            role: Role::Agent,
            dns_names: Vec::new(),
            ips: Vec::new(),
            lifetime: registration.life,
        };
        let issued = issuance.authority().issue(&certify, SystemTime::now())?;
        note(issuance, &known, &attested, registration, METHOD)?;
        Ok(Enrolled {
            id: issued.id.to_string(),
            certificate: issued.to_pem(),
            authority: issuance.authority().bundle().to_pem(),
            not_after_ms: crate::known::seconds(issued.not_after) * 1000,
        })
    });
    match issued.await {
        Ok(issued) => Ok(issued),
        Err(error) => Err(workload.refuse(METHOD, Some(&attested), peer, error).await),
    }
}

fn to_json(value: &impl Serialize) -> Bytes {
    serde_json::to_vec(value).expect("plain data serialises").into()
}

fn refused(error: &AuthorityError) -> Response<Body> {
    let status = match error {
        AuthorityError::Malformed(_) => StatusCode::BAD_REQUEST,
        error if error.is_peers_fault() => StatusCode::FORBIDDEN,
        AuthorityError::Algorithm { .. } => StatusCode::FORBIDDEN,
        _ => StatusCode::SERVICE_UNAVAILABLE,
    };
    let body = serde_json::json!({ "error": { "code": error.code(), "message": error.for_peer() } });
    respond(status, to_json(&body))
}

fn respond(status: StatusCode, body: Bytes) -> Response<Body> {
    let mut response = Response::new(Body::new(Full::new(body)));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

/// Asks at a socket for a certificate for one's own key.
///
/// # Errors
/// [`AuthorityError::Unreachable`] with what the node answered.
pub async fn enrol(socket: &Path, csr: &str) -> Result<Enrolled, AuthorityError> {
    let body = to_json(&EnrolRequest { csr: csr.to_owned() });
    ask(socket, Method::POST, ENROL, body).await
}

/// Asks at a socket what is proven of this process.
///
/// # Errors
/// As [`enrol`].
pub async fn whoami(socket: &Path) -> Result<WhoAmI, AuthorityError> {
    ask(socket, Method::GET, WHOAMI, Bytes::new()).await
}

async fn ask<T: for<'de> Deserialize<'de>>(
    socket: &Path,
    method: Method,
    path: &str,
    body: Bytes,
) -> Result<T, AuthorityError> {
    let unreachable =
        |cause: String| AuthorityError::Unreachable { what: socket.display().to_string(), cause };
    let asked = async {
        let stream = UnixStream::connect(socket).await.map_err(|error| unreachable(error.to_string()))?;
        let (mut sender, link) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .map_err(|error| unreachable(error.to_string()))?;
        let link = tokio::spawn(link);
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(header::HOST, "localhost")
            .header(header::ACCEPT, "application/json")
            .body(Full::new(body))
            .map_err(|error| unreachable(error.to_string()))?;
        let response = sender.send_request(request).await.map_err(|error| unreachable(error.to_string()))?;
        let status = response.status();
        let body = Limited::new(response.into_body(), BYTES_MAX).collect().await;
        let body = body.map_err(|error| unreachable(error.to_string()))?.to_bytes();
        link.abort();
        if !status.is_success() {
            let answer: Refusal =
                serde_json::from_slice(&body).map_err(|error| unreachable(error.to_string()))?;
            return Err(AuthorityError::Answered { code: answer.error.code, message: answer.error.message });
        }
        serde_json::from_slice(&body).map_err(|error| unreachable(error.to_string()))
    };
    match tokio::time::timeout(Duration::from_secs(TIME_S_MAX), asked).await {
        Ok(answer) => answer,
        Err(_) => Err(unreachable(format!("no answer within {TIME_S_MAX} s"))),
    }
}
