//! What clients are told about tokens: challenges (RFC 6750, RFC 9449), and where to get a token (RFC 9728).

use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, header};
use lockgate_crypto::jose;
use lockgate_identity::token::TokenRefused;
use serde::Deserialize;
use serde_json::json;

use crate::bearer;
use crate::bearer_rules::Bearers;
use crate::body::Body;
use crate::decode;
use crate::link::LinkContext;
use crate::node::Node;
use crate::refusal::Refusal;

/// Where a resource says who issues tokens for it (RFC 9728 section 3).
const METADATA: &str = "/.well-known/oauth-protected-resource";
/// Longest request to bind a token, in bytes: a token, and a proof with the largest key.
pub(crate) const BIND_BYTES_MAX: usize = 48 << 10;
const NONCE: HeaderName = HeaderName::from_static("dpop-nonce");

/// A token that was refused, with what the caller is told.
#[derive(Debug, thiserror::Error)]
#[error("the token was refused: {}", .refused.oauth_error())]
pub struct TokenProblem {
    /// Which check failed: for the operator.
    pub refused: TokenRefused,
    challenges: Vec<HeaderValue>,
    nonce: Option<HeaderValue>,
}

impl TokenProblem {
    /// 403 for a token that is good and does not reach, 401 for any other.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        match self.refused {
            TokenRefused::Scope { .. } => StatusCode::FORBIDDEN,
            _ => StatusCode::UNAUTHORIZED,
        }
    }

    /// Adds the challenges, and a nonce where one is needed.
    pub(crate) fn write(&self, headers: &mut http::HeaderMap) {
        for challenge in &self.challenges {
            headers.append(header::WWW_AUTHENTICATE, challenge.clone());
        }
        if let Some(nonce) = &self.nonce {
            headers.insert(NONCE, nonce.clone());
        }
    }
}

/// A request to bind a token to the connection.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BindRequest {
    token: String,
    #[serde(default)]
    proof: Option<String>,
}

impl Bearers {
    /// The refusal of a token at `path`.
    pub(crate) fn challenge(&self, path: &str, refused: TokenRefused) -> Refusal {
        let nonce = matches!(refused, TokenRefused::NonceNeeded).then(|| self.nonces.give(SystemTime::now()));
        let scope = match &refused {
            TokenRefused::Scope { needed } => Some(needed.clone()),
            _ => None,
        };
        let challenges = self.challenges(path, Some(refused.oauth_error()), scope);
        let nonce = nonce.and_then(|nonce| HeaderValue::try_from(nonce).ok());
        Refusal::Token(Box::new(TokenProblem { refused, challenges, nonce }))
    }

    /// Challenges for `path`: `error` says why a token was refused; none if there was none.
    fn challenges(&self, path: &str, error: Option<&str>, scope: Option<String>) -> Vec<HeaderValue> {
        let mut common = format!("resource_metadata=\"{}{METADATA}{path}\"", self.rules.base);
        let scope = scope.unwrap_or_else(|| self.scope(path).to_string());
        if !scope.is_empty() {
            common.push_str(&format!(", scope=\"{scope}\""));
        }
        if let Some(error) = error {
            common.push_str(&format!(", error=\"{error}\""));
        }
        let bearer = format!("Bearer {common}");
        let dpop = format!("DPoP {common}, algs=\"{}\"", self.proof_names().join(" "));
        [bearer, dpop].into_iter().filter_map(|text| HeaderValue::try_from(text).ok()).collect()
    }

    fn proof_names(&self) -> Vec<&'static str> {
        self.rules.proof_algorithms.iter().filter_map(|row| jose::name(row).ok()).collect()
    }

    /// What RFC 9728 has a resource say of itself. It says the same of a server that is not there: who may know which
    /// there are is a question for policy.
    fn metadata(&self, path: &str) -> Option<serde_json::Value> {
        let known = path.is_empty()
            || path == "/mcp"
            || path.strip_prefix("/servers/").and_then(|rest| rest.strip_suffix("/mcp")).is_some_and(is_id);
        let resource = self.resource(path).filter(|_| known)?;
        let scopes: Vec<String> = self.scope(path).iter().map(str::to_owned).collect();
        let rules = &self.rules;
        let mut metadata = json!({
            "resource": resource,
            "authorization_servers": rules.authorization_servers,
            "bearer_methods_supported": ["header"],
            "dpop_signing_alg_values_supported": self.proof_names(),
            "tls_client_certificate_bound_access_tokens": true,
        });
        if !scopes.is_empty() {
            metadata["scopes_supported"] = scopes.into();
        }
        Some(metadata)
    }
}

/// Serves the metadata, if that is what `request` is for.
pub(crate) fn metadata<B>(
    bearers: Option<&Bearers>,
    link: &LinkContext,
    request: Request<B>,
) -> Result<Response<Body>, Request<B>> {
    let is_ours = request.method() == Method::GET && request.uri().path().starts_with(METADATA);
    let Some(bearers) = bearers.filter(|_| is_ours) else { return Err(request) };
    let (parts, _) = request.into_parts();
    if let Err(refusal) = decode::check_host(link, &parts) {
        return Ok(refusal.plain_response());
    }
    let metadata = bearers.metadata(&parts.uri.path()[METADATA.len()..]);
    Ok(match metadata {
        Some(metadata) => json_response(StatusCode::OK, &metadata),
        None => json_response(StatusCode::NOT_FOUND, &json!({ "error": "not_found" })),
    })
}

/// Has a 401 for want of any identity say where tokens come from.
pub(crate) fn advertise(bearers: Option<&Bearers>, path: &str, response: &mut Response<Body>) {
    let is_told = |value: &HeaderValue| value.to_str().is_ok_and(|text| text.contains("resource_metadata"));
    let needs = response.status() == StatusCode::UNAUTHORIZED
        && !response.headers().get_all(header::WWW_AUTHENTICATE).iter().any(is_told);
    let Some(bearers) = bearers.filter(|_| needs) else { return };
    response.headers_mut().remove(header::WWW_AUTHENTICATE);
    for challenge in bearers.challenges(path, None, None) {
        response.headers_mut().append(header::WWW_AUTHENTICATE, challenge);
    }
}

/// Answers `POST /.well-known/lockgate/bind`.
pub(crate) async fn bind(
    node: &Node,
    link: &Arc<LinkContext>,
    body: Bytes,
) -> (Response<Body>, Option<TokenRefused>) {
    let Some(bearers) = node.bearers() else {
        let error = json!({ "error": "unsupported", "hint": "this node takes no tokens" });
        return (json_response(StatusCode::NOT_FOUND, &error), None);
    };
    let Ok(request) = serde_json::from_slice::<BindRequest>(&body) else {
        let error = json!({ "error": "invalid_request", "hint": "send {\"token\": …, \"proof\": …}" });
        return (json_response(StatusCode::BAD_REQUEST, &error), None);
    };
    match bearer::bind_connection(&bearers, link, &request.token, request.proof.as_deref()).await {
        Ok((agent, until_ms)) => {
            (json_response(StatusCode::OK, &json!({ "agent": agent, "until_ms": until_ms })), None)
        }
        Err(refused) => {
            let error = json!({ "error": refused.oauth_error() });
            (json_response(StatusCode::UNAUTHORIZED, &error), Some(refused))
        }
    }
}

fn is_id(id: &str) -> bool {
    !id.is_empty() && id.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-')
}

fn json_response(status: StatusCode, body: &serde_json::Value) -> Response<Body> {
    let mut response = Response::new(Body::whole(body.to_string().into()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}
