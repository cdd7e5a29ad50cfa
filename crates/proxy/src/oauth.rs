//! The authorization server beside MCP: its metadata (RFC 8414), its keys, and its token and revocation endpoints. The data
//! path reaches it through a trait and does not contain it: it signs.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use lockgate_identity::{Principal, SpiffeId};
use serde_json::{Value, json};

use crate::body::Body;
use crate::decode;
use crate::link::LinkContext;
use crate::node::Node;
use crate::unread::Received;
use crate::wellknown::is_proven;

/// Largest request, in bytes: two tokens with the largest signatures.
const REQUEST_BYTES_MAX: usize = 64 << 10;

/// Requests to the token endpoint that are served at once: each may cost a signature and a question to an issuer.
pub(crate) const SERVED_MAX: usize = 32;

/// The media type of every request with a body (RFC 6749, section 3.2).
const FORM: &str = "application/x-www-form-urlencoded";

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// What the server says of itself.
    Metadata,
    /// The public keys.
    Keys,
    /// A token.
    Token,
    /// To take a token back.
    Revocation,
}

/// The place that a path names, if it names one.
pub fn place(path: &str) -> Option<Place> {
    match path {
        "/.well-known/oauth-authorization-server" => Some(Place::Metadata),
        "/oauth/jwks" => Some(Place::Keys),
        "/oauth/token" => Some(Place::Token),
        "/oauth/revoke" => Some(Place::Revocation),
        _ => None,
    }
}

/// A question to the authorization server.
#[derive(Clone, Debug)]
pub struct Question {
    /// What is asked for.
    pub place: Place,
    /// The body; empty for what is read.
    pub body: Bytes,
    /// The proof that a key is held (RFC 9449), if there is exactly one.
    pub proof: Option<String>,
    /// The id and SHA-256 of the certificate that the link proved, if it did and still does.
    pub certificate: Option<(SpiffeId, [u8; 32])>,
    /// Who asks.
    pub peer: Option<IpAddr>,
}

/// Its answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// HTTP status.
    pub status: StatusCode,
    /// The body. Secret, if it holds a token.
    pub body: Value,
}

/// An answer under way.
pub type Answering<'a> = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

/// The authorization server. What it grants and denies is recorded when it answers.
pub trait Oauth: Send + Sync {
    /// Answers a question.
    fn answer(&self, question: Question) -> Answering<'_>;
}

/// Serves a request for one of these places.
pub(crate) async fn serve(
    node: &Arc<Node>,
    link: &Arc<LinkContext>,
    place: Place,
    request: Request<Received>,
) -> Response<Body> {
    let (parts, body) = request.into_parts();
    if let Err(refusal) = decode::check_host(link, &parts) {
        return refusal.plain_response();
    }
    let Some(oauth) = node.enrolment.oauth() else {
        return response(refused(StatusCode::NOT_FOUND, "invalid_request", "this node issues no tokens"));
    };
    let reads = matches!(place, Place::Metadata | Place::Keys);
    if parts.method != if reads { Method::GET } else { Method::POST } {
        return response(refused(StatusCode::METHOD_NOT_ALLOWED, "invalid_request", "use another method"));
    }
    let body = match reads {
        true => Bytes::new(),
        false if !is_form(&parts.headers) => {
            return response(refused(StatusCode::BAD_REQUEST, "invalid_request", "send a form"));
        }
        false => match decode::collect(body, REQUEST_BYTES_MAX, node.limits.request()).await {
            Ok(body) => body,
            Err(refusal) => return refusal.plain_response(),
        },
    };
    let Ok(proof) = only(&parts.headers, "dpop") else {
        return response(refused(StatusCode::BAD_REQUEST, "invalid_dpop_proof", "send one proof"));
    };
    let Ok(_place) = node.tokens_asked.try_acquire() else {
        let busy = "too many requests for tokens at once; try again in a moment";
        return response(refused(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", busy));
    };
    let peer = link.peer.map(|peer| peer.ip());
    let question = Question { place, body, proof, certificate: certificate(link), peer };
    response(oauth.answer(question).await)
}

fn certificate(link: &LinkContext) -> Option<(SpiffeId, [u8; 32])> {
    match link.caller.principal.as_ref() {
        Principal::Workload { id, .. } if is_proven(link) => {
            Some((id.clone(), link.proofs.get()?.certificate_sha256?))
        }
        _ => None,
    }
}

fn is_form(headers: &http::HeaderMap) -> bool {
    let given = only(headers, header::CONTENT_TYPE.as_str()).ok().flatten().unwrap_or_default();
    given.split(';').next().is_some_and(|media| media.trim().eq_ignore_ascii_case(FORM))
}

/// The one value of a header; an error for two, and for what is no text.
fn only(headers: &http::HeaderMap, name: &str) -> Result<Option<String>, ()> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (None, _) => Ok(None),
        (Some(value), None) => value.to_str().map(|text| Some(text.to_owned())).map_err(drop),
        (Some(_), Some(_)) => Err(()),
    }
}

fn refused(status: StatusCode, error: &str, description: &str) -> Answer {
    Answer { status, body: json!({ "error": error, "error_description": description }) }
}

fn response(answer: Answer) -> Response<Body> {
    let bytes = serde_json::to_vec(&answer.body).expect("plain data serialises");
    let mut response = Response::new(Body::whole(bytes.into()));
    *response.status_mut() = answer.status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    // RFC 6749, section 5.1; the metadata and keys are small enough to be asked for again.
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
