//! What the authorization server says of itself (RFC 8414).

use lockgate_crypto::Algorithm;
use lockgate_crypto::jose;
use serde_json::{Value, json};

/// Where it says so.
pub const METADATA: &str = "/.well-known/oauth-authorization-server";
/// Where tokens are asked for.
pub const TOKEN: &str = "/oauth/token";
/// Where tokens are given back (RFC 7009).
pub const REVOKE: &str = "/oauth/revoke";
/// Where the public keys are.
pub const JWKS: &str = "/oauth/jwks";

/// Names of the grants.
pub(super) const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
pub(super) const CLIENT_CREDENTIALS: &str = "client_credentials";
pub(super) const EXCHANGE: &str = "urn:ietf:params:oauth:grant-type:token-exchange";

/// The document.
pub(super) fn document(issuer: &str, proofs: &[&'static Algorithm]) -> Value {
    let base = issuer.trim_end_matches('/');
    let names: Vec<&str> = proofs.iter().filter_map(|algorithm| jose::name(algorithm).ok()).collect();
    json!({
        "issuer": issuer,
        "token_endpoint": format!("{base}{TOKEN}"),
        "revocation_endpoint": format!("{base}{REVOKE}"),
        "jwks_uri": format!("{base}{JWKS}"),
        // There is no authorization endpoint: nobody logs in here.
        "response_types_supported": [],
        "grant_types_supported": [JWT_BEARER, CLIENT_CREDENTIALS, EXCHANGE],
        "token_endpoint_auth_methods_supported": ["none", "tls_client_auth"],
        "revocation_endpoint_auth_methods_supported": ["none", "tls_client_auth"],
        "tls_client_certificate_bound_access_tokens": true,
        "dpop_signing_alg_values_supported": names,
    })
}
