//! Proofs of possession with each request (DPoP, RFC 9449).

use std::time::SystemTime;

use lockgate_crypto::digest::sha256;
use lockgate_crypto::{Algorithm, PrivateKey, jose, random};
use serde_json::{Map, Value};

use super::claims::{Claims, proof_time};
use super::jws::{self, Compact, OwnKey};
use super::{Nonces, ReplayCache, Resource, TokenRefused};
use crate::IdentityError;
use crate::error::unix_seconds;

/// The kind of token that a proof is.
pub const TYPE: &str = "dpop+jwt";
/// Longest `jti` of a proof, in bytes.
pub(crate) const ID_BYTES_MAX: usize = 256;
/// Longest `htm`, in bytes.
const METHOD_BYTES_MAX: usize = 32;

/// The request that a proof has to be about.
#[derive(Clone, Copy, Debug)]
pub struct Request<'r> {
    /// Its HTTP method.
    pub method: &'r str,
    /// Where it went, as the client wrote it down: our name, not that of a proxy before us.
    pub target: &'r Resource,
    /// The access token that came with it; none at a token endpoint.
    pub token: Option<&'r str>,
}

/// What proofs are judged with.
#[derive(Clone, Copy, Debug)]
pub struct Proofs<'p> {
    /// What proofs may be signed with, see [`jose::proof_algorithms`].
    pub algorithms: &'p [&'static Algorithm],
    /// Proofs that were seen.
    pub replays: &'p ReplayCache,
    /// Nonces that proofs must have; `None` if they need none.
    pub nonces: Option<&'p Nonces>,
}

/// Judges a proof. Answers the thumbprint of its key, for [`super::Held::key`].
///
/// # Errors
/// [`TokenRefused`]. A proof without a current nonce is refused after everything else was right, and
/// not remembered, so a stranger cannot tell a good nonce from a bad one.
pub fn verify(
    proof: &str,
    request: Request<'_>,
    proofs: Proofs<'_>,
    now: SystemTime,
) -> Result<String, TokenRefused> {
    let compact = Compact::read(proof, proofs.algorithms, OwnKey::Required)?;
    compact.of_type(TYPE)?;
    let key = compact.key.clone().expect("the reader requires a key in the header");
    let members = compact.verified(&key)?;
    let claims = Claims(&members);
    let id = claims.text("jti")?;
    if id.len() > ID_BYTES_MAX {
        return Err(TokenRefused::claim("jti", "is longer than 256 bytes"));
    }
    let made_s = proof_time(claims, now)?;
    let mismatch = |what| TokenRefused::ProofMismatch { what };
    let method = claims.text("htm")?;
    if method.len() > METHOD_BYTES_MAX || method != request.method {
        return Err(mismatch("htm"));
    }
    match Resource::of_target(claims.text("htu")?) {
        Ok(target) if target == *request.target => {}
        _ => return Err(mismatch("htu")),
    }
    if claims.text_if("ath")? != request.token.map(hash).as_deref() {
        return Err(mismatch("ath"));
    }
    let nonce = claims.text_if("nonce")?;
    if let Some(nonces) = proofs.nonces
        && !nonce.is_some_and(|nonce| nonces.is_current(nonce, now))
    {
        return Err(TokenRefused::NonceNeeded);
    }
    let thumbprint = key.thumbprint();
    proofs.replays.note(&thumbprint, id, made_s, now)?;
    Ok(thumbprint)
}

/// Makes a proof.
///
/// # Errors
/// [`IdentityError::Crypto`] for a key that has no name in JOSE.
pub fn prove(
    key: &PrivateKey,
    request: Request<'_>,
    nonce: Option<&str>,
    now: SystemTime,
) -> Result<String, IdentityError> {
    let mut claims = Map::<String, Value>::new();
    claims.insert("jti".to_owned(), random::token_base64url(16).into());
    claims.insert("htm".to_owned(), request.method.into());
    claims.insert("htu".to_owned(), request.target.as_str().into());
    claims.insert("iat".to_owned(), unix_seconds(now).into());
    if let Some(token) = request.token {
        claims.insert("ath".to_owned(), hash(token).into());
    }
    if let Some(nonce) = nonce {
        claims.insert("nonce".to_owned(), nonce.into());
    }
    jws::sign(key, TYPE, OwnKey::Required, &claims)
}

/// `ath`: SHA-256 of a token, in base64url.
pub(crate) fn hash(token: &str) -> String {
    jose::encode(&sha256(token.as_bytes()))
}
