//! What the token endpoint is asked, and what it answers.

use lockgate_identity::SpiffeId;
use lockgate_identity::token::TokenRefused;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::grants::ACCESS_TOKEN;
use crate::AuthorityError;

/// What a link proved of its peer.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// The id in the peer's certificate, if it is one of ours and still holds.
    pub id: Option<SpiffeId>,
    /// SHA-256 of that certificate's DER.
    pub certificate_sha256: Option<[u8; 32]>,
}

/// A request for a token, or to give one back.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The body.
    pub body: bytes::Bytes,
    /// The `DPoP` header, if there is exactly one.
    pub proof: Option<String>,
    /// What the link proved.
    pub link: Link,
}

/// A token that was given out.
#[derive(Debug)]
pub struct Granted {
    pub(super) token: Zeroizing<String>,
    pub(super) token_type: &'static str,
    pub(super) expires_in: u64,
    pub(super) scope: String,
    pub(super) exchanged: bool,
}

impl Granted {
    /// The body of the answer (RFC 6749, section 5.1). Secret.
    pub fn to_json(&self) -> Value {
        let mut body = json!({
            "access_token": self.token.as_str(),
            "token_type": self.token_type,
            "expires_in": self.expires_in,
        });
        if !self.scope.is_empty() {
            body["scope"] = self.scope.as_str().into();
        }
        if self.exchanged {
            body["issued_token_type"] = ACCESS_TOKEN.into();
        }
        body
    }
}

/// A request that was denied, in the terms of RFC 6749, section 5.2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}: {description}")]
pub struct Denied {
    /// The error's name.
    pub error: &'static str,
    /// For the caller; no more than it needs.
    pub description: String,
    /// HTTP status.
    pub status: u16,
    /// Everything, for the record.
    pub in_full: String,
}

impl Denied {
    pub(super) fn new(error: &'static str, description: impl Into<String>) -> Self {
        let description = description.into();
        Self { error, in_full: description.clone(), description, status: 400 }
    }

    /// The body of the answer.
    pub fn to_json(&self) -> Value {
        json!({ "error": self.error, "error_description": self.description })
    }

    pub(super) fn token(error: &'static str, refused: &TokenRefused) -> Self {
        let description = format!("a token is refused at the check \"{}\"", refused.check());
        Self { error, description, status: 400, in_full: refused.to_string() }
    }
}

impl From<AuthorityError> for Denied {
    fn from(error: AuthorityError) -> Self {
        let (name, status) = match &error {
            AuthorityError::Malformed(_) => ("invalid_request", 400),
            error if error.is_peers_fault() => ("invalid_grant", 400),
            // What RFC 6749 has for the authorization endpoint, and clients understand here, too.
            AuthorityError::Busy { .. } | AuthorityError::Unreachable { .. } => {
                ("temporarily_unavailable", 503)
            }
            _ => ("server_error", 503),
        };
        Self { error: name, description: error.for_peer(), status, in_full: error.to_string() }
    }
}
