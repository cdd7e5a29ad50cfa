//! Binding a token to a connection, once (RFC 9266).
//!
//! A token with a post-quantum signature has 5 kB, too much to send with each request. On our own links the client sends
//! it once, with a proof that the key it is bound to signed what both ends export from the TLS connection. What was
//! exported is known to these two ends only, so the proof is worth nothing on any other connection, and whoever stands
//! in between has another value on each side.

use std::time::SystemTime;

use lockgate_crypto::digest::sha256;
use lockgate_crypto::{Algorithm, PrivateKey, jose, random};
use serde_json::{Map, Value};

use super::claims::{Claims, proof_time};
use super::dpop::{ID_BYTES_MAX, hash};
use super::jws::{self, Compact, OwnKey};
use super::{Held, ReplayCache, Resource, TokenRefused};
use crate::IdentityError;
use crate::error::unix_seconds;

/// The kind of token that such a proof is.
pub const TYPE: &str = "lockgate-bind+jwt";
/// Label with which the value is exported (RFC 9266 section 4.1). The context is empty.
pub const EXPORTER_LABEL: &[u8] = b"EXPORTER-Channel-Binding";
/// Length of the exported value in bytes.
pub const EXPORTER_BYTES: usize = 32;

/// What proofs are judged with.
#[derive(Clone, Copy, Debug)]
pub struct Binding<'b> {
    /// What this end exported from the connection.
    pub exporter: &'b [u8; EXPORTER_BYTES],
    /// The gateway that the proof has to name.
    pub audience: &'b Resource,
    /// What proofs may be signed with, see [`jose::proof_algorithms`].
    pub algorithms: &'b [&'static Algorithm],
    /// Proofs that were seen.
    pub replays: &'b ReplayCache,
}

/// Judges a proof that came on a connection with a token. Answers what it proves.
///
/// # Errors
/// [`TokenRefused`]; [`TokenRefused::OtherConnection`] if the proof was made on another connection.
pub fn verify(proof: &str, token: &str, binding: Binding<'_>, now: SystemTime) -> Result<Held, TokenRefused> {
    let compact = Compact::read(proof, binding.algorithms, OwnKey::Required)?;
    compact.of_type(TYPE)?;
    let key = compact.key.clone().expect("the reader requires a key in the header");
    let members = compact.verified(&key)?;
    let claims = Claims(&members);
    let id = claims.text("jti")?;
    if id.len() > ID_BYTES_MAX {
        return Err(TokenRefused::claim("jti", "is longer than 256 bytes"));
    }
    let made_s = proof_time(claims, now)?;
    let audience = claims.text("aud")?;
    if Resource::parse(audience).ok().as_ref() != Some(binding.audience) {
        return Err(TokenRefused::audience(binding.audience.as_str(), audience));
    }
    if claims.text("ath")? != hash(token) {
        return Err(TokenRefused::ProofMismatch { what: "ath" });
    }
    let connection_sha256 = sha256(binding.exporter);
    if claims.text("ekm")? != jose::encode(&connection_sha256) {
        return Err(TokenRefused::OtherConnection);
    }
    let thumbprint = key.thumbprint();
    binding.replays.note(&thumbprint, id, made_s, now)?;
    Ok(Held { certificate_sha256: None, key: Some(thumbprint), connection_sha256: Some(connection_sha256) })
}

/// Makes a proof for the connection from which `exporter` comes.
///
/// # Errors
/// [`IdentityError::Crypto`] for a key that has no name in JOSE.
pub fn prove(
    key: &PrivateKey,
    token: &str,
    exporter: &[u8; EXPORTER_BYTES],
    audience: &Resource,
    now: SystemTime,
) -> Result<String, IdentityError> {
    let mut claims = Map::<String, Value>::new();
    claims.insert("jti".to_owned(), random::token_base64url(16).into());
    claims.insert("aud".to_owned(), audience.as_str().into());
    claims.insert("iat".to_owned(), unix_seconds(now).into());
    claims.insert("ath".to_owned(), hash(token).into());
    claims.insert("ekm".to_owned(), jose::encode(&sha256(exporter)).into());
    jws::sign(key, TYPE, OwnKey::Required, &claims)
}
