//! Tokens as they should not be: each line of these tables is a way in that has to be shut.
#![allow(clippy::unwrap_used)]

mod binding;
mod foreign;
mod forged;
mod issuing;
mod parts;
mod proofs;

use std::sync::OnceLock;
use std::time::{Duration, SystemTime};

use lockgate_crypto::{Algorithm, PrivateKey, jose};
use serde_json::{Map, Value, json};

use super::jws::{self, OwnKey};
use super::*;
use crate::tests::{hybrid, id, now, row};

pub(super) const CERTIFICATE: [u8; 32] = [7; 32];

/// Where the gateway of these tests is.
pub(super) fn gateway() -> Resource {
    Resource::parse("https://gw.example.org/mcp").unwrap()
}

pub(super) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// One issuer for all: making a key takes longer than most tests.
pub(super) fn issuer() -> &'static TokenIssuer {
    static ISSUER: OnceLock<TokenIssuer> = OnceLock::new();
    ISSUER.get_or_init(|| TokenIssuer::generate("https://gw.example.org", hybrid(), now()).unwrap())
}

/// Another with the same name.
pub(super) fn impostor() -> &'static TokenIssuer {
    static ISSUER: OnceLock<TokenIssuer> = OnceLock::new();
    ISSUER.get_or_init(|| TokenIssuer::generate("https://gw.example.org", hybrid(), now()).unwrap())
}

/// A key for proofs.
pub(super) fn curve_key() -> &'static PrivateKey {
    static KEY: OnceLock<PrivateKey> = OnceLock::new();
    KEY.get_or_init(|| PrivateKey::generate_algorithm("ECDSA-P256-SHA256").unwrap())
}

pub(super) fn thumbprint(key: &PrivateKey) -> String {
    jose::Jwk::of_private(key).unwrap().thumbprint()
}

pub(super) fn proof_rows() -> Vec<&'static Algorithm> {
    jose::proof_algorithms(hybrid().conditions())
}

pub(super) fn grant(confirmation: Confirmation) -> Grant {
    Grant {
        subject: id("/agent/claude"),
        audience: gateway(),
        client_id: "claude".to_owned(),
        scope: Scope::default(),
        confirmation,
        actors: Vec::new(),
        lifetime: TOKEN_LIFETIME,
    }
}

/// The claims of a good token of ours at `now()`.
pub(super) fn good_claims() -> Map<String, Value> {
    let now = crate::error::unix_seconds(now());
    let claims = json!({
        "iss": "https://gw.example.org", "sub": "spiffe://example.org/agent/claude",
        "aud": "https://gw.example.org/mcp", "client_id": "claude", "jti": "a",
        "iat": now, "nbf": now, "exp": now + 300, "cnf": Confirmation::Certificate(CERTIFICATE).to_json(),
    });
    claims.as_object().unwrap().clone()
}

/// A key of our own whose public half the verifier of these tests knows.
pub(super) fn known_key() -> &'static PrivateKey {
    static KEY: OnceLock<PrivateKey> = OnceLock::new();
    KEY.get_or_init(|| PrivateKey::generate(row("ML-DSA-65")).unwrap())
}

pub(super) fn known_verifier() -> AccessVerifier {
    let keys = jose::JwkSet::new(vec![jose::Jwk::of_private(known_key()).unwrap()]);
    AccessVerifier::new("https://gw.example.org", keys, vec![row("ML-DSA-65")])
}

/// A token with this header and these claims, signed by `key` over what is really there.
pub(super) fn token_of(key: &PrivateKey, header: &Value, claims: &str) -> String {
    let signed =
        format!("{}.{}", jose::encode(header.to_string().as_bytes()), jose::encode(claims.as_bytes()));
    let signature = jose::sign(key, signed.as_bytes()).unwrap();
    format!("{signed}.{}", jose::encode(&signature))
}

/// A good token with other claims.
pub(super) fn with_claims(change: impl FnOnce(&mut Map<String, Value>)) -> String {
    let mut claims = good_claims();
    change(&mut claims);
    jws::sign(known_key(), "at+jwt", OwnKey::Refused, &claims).unwrap()
}

/// What the verifier of these tests says to a token.
pub(super) fn verdict(token: &str, now: SystemTime) -> Result<AccessToken, TokenRefused> {
    known_verifier().verify(token, &gateway(), now)
}
