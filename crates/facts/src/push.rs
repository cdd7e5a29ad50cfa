//! Facts that are brought: signed statements.
//!
//! ```json
//! {"schema": "lockgate.fact-push/1", "statement": "{\"schema\":\"lockgate.fact/1\",…}", "signer": "…", "signature": "…"}
//! ```
//!
//! The signature is over the exact text of the statement. The statement says of which fact and key it is, and when it
//! was issued, so that it is good for nothing else and never again once a later one came.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use lockgate_crypto::document::fingerprint;
use lockgate_crypto::{Algorithm, PrivateKey};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::time::Instant;

use crate::absence::Absence;
use crate::document;

/// Value of `schema` in a statement.
pub const SCHEMA: &str = "lockgate.fact/1";

/// Value of `schema` in a signed statement.
pub const SIGNED_SCHEMA: &str = "lockgate.fact-push/1";

/// Largest statement in bytes. With its signature it stays within what the admin interface takes.
pub const STATEMENT_BYTES_MAX: usize = 16 << 10;

/// Largest signature in base64, bytes: the largest that the catalog has, and some room.
const SIGNATURE_BYTES_MAX: usize = 32 << 10;

/// Most statements that are kept for one fact.
pub const PUSHED_MAX: usize = 4_096;

/// What is signed begins with this, so that no signature for another purpose fits.
const DOMAIN: &[u8] = b"lockgate.fact/1 statement signature\0";

/// What is stated.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Statement {
    /// [`SCHEMA`].
    pub schema: String,
    /// Name of the fact.
    pub fact: String,
    /// What selects the record; none for a fact without key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// When it was signed (RFC 3339): later than every statement before it.
    pub issued: String,
    /// Of when it is, if not of when it was signed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_of: Option<String>,
    /// The record; null takes the last one back.
    pub record: Option<Map<String, Value>>,
}

/// A statement with its signature, as it is brought and kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Signed {
    /// [`SIGNED_SCHEMA`].
    pub schema: String,
    /// The exact text of a [`Statement`].
    pub statement: String,
    /// Fingerprint of the key, for people: the configuration says which key it must be.
    pub signer: String,
    /// Base64 (RFC 4648, section 4).
    pub signature: String,
}

/// What became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Name of the fact.
    pub fact: String,
    /// Its key.
    pub key: Option<String>,
    /// When it was issued, in milliseconds since the Unix epoch.
    pub issued_ms: u64,
    /// Until when it can be used, in milliseconds since the Unix epoch.
    pub until_ms: u64,
    /// Whether it takes the record back.
    pub withdrawn: bool,
}

/// Why a statement is not taken.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// Not a signed statement at all.
    #[error("it is no signed statement: {0}; make one with `lockgate facts push NAME FILE --key KEY`")]
    Malformed(String),
    /// Signed by another key, or changed since.
    #[error(
        "the signature does not match: the fact \"{fact}\" must be signed by the key {wanted}, and the statement names {named}"
    )]
    Signature {
        /// Name of the fact.
        fact: String,
        /// Fingerprint of the configured key.
        wanted: String,
        /// Fingerprint that the statement names.
        named: String,
    },
    /// Not the first of its time.
    #[error("a statement of the same or a later time was taken already; issue a new one")]
    Replayed,
    /// Its time or its record cannot be.
    #[error("it says nothing that could be used: {0}")]
    Useless(Absence),
    /// No such fact, or it is not pushed.
    #[error("no fact \"{0}\" is pushed to this node")]
    NoSuchFact(String),
    /// Keyed or not.
    #[error("the fact \"{fact}\" {needs}")]
    Key {
        /// Name of the fact.
        fact: String,
        /// What it needs.
        needs: &'static str,
    },
    /// The algorithm must not be used.
    #[error("the algorithm of the signature may not be used: {0}")]
    Algorithm(String),
    /// Bounds.
    #[error("{0} keys of this fact are known already")]
    Full(usize),
    /// The key cannot sign.
    #[error("it cannot be signed: {0}")]
    Signing(String),
    /// The disk.
    #[error("it cannot be kept: {0}")]
    Unkept(String),
}

impl PushError {
    /// The code that `lockgate explain` explains.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Malformed(_) | Self::Signature { .. } | Self::Algorithm(_) | Self::Signing(_) => "LG-F005",
            Self::Replayed | Self::Useless(_) | Self::Full(_) => "LG-F006",
            Self::NoSuchFact(_) | Self::Key { .. } => "LG-F007",
            Self::Unkept(_) => "LG-S005",
        }
    }
}

/// A statement that was taken.
#[derive(Debug, Clone)]
pub(crate) struct Pushed {
    pub(crate) record: Option<Arc<Map<String, Value>>>,
    pub(crate) issued_ms: u64,
    /// Of when it is: never later than it was issued.
    pub(crate) as_of_ms: u64,
    /// Its age when it came.
    pub(crate) age_ms: u64,
    pub(crate) at: Instant,
}

/// A statement whose signature holds.
pub(crate) struct Verified {
    pub(crate) statement: Statement,
    pub(crate) algorithm: &'static Algorithm,
    pub(crate) issued_ms: u64,
    pub(crate) as_of_ms: u64,
}

/// Signs a statement.
///
/// # Errors
/// [`PushError::Malformed`] when it is too large, [`PushError::Signing`] when the key cannot.
pub fn sign(statement: &Statement, key: &PrivateKey) -> Result<Signed, PushError> {
    let text = serde_json::to_string(statement).map_err(|error| PushError::Signing(error.to_string()))?;
    if text.len() > STATEMENT_BYTES_MAX {
        return Err(PushError::Malformed(format!("it has more than {STATEMENT_BYTES_MAX} bytes")));
    }
    let signature = key.sign(&signed(&text)).map_err(|error| PushError::Signing(error.to_string()))?;
    Ok(Signed {
        schema: SIGNED_SCHEMA.to_owned(),
        statement: text,
        signer: fingerprint(&key.spki_der()),
        signature: STANDARD.encode(signature),
    })
}

impl Signed {
    /// Reads a signed statement. Of the statement only the name of its fact is looked at: nothing in it is true before
    /// its signature was verified.
    ///
    /// # Errors
    /// [`PushError::Malformed`].
    pub fn parse(bytes: &[u8]) -> Result<(Self, String), PushError> {
        let read = document::read(bytes).map_err(|error| PushError::Malformed(error.to_string()))?;
        let signed: Self =
            serde_json::from_value(read).map_err(|error| PushError::Malformed(error.to_string()))?;
        let fact = signed.fact()?;
        Ok((signed, fact))
    }

    /// Of which fact it says that it is.
    pub(crate) fn fact(&self) -> Result<String, PushError> {
        Ok(self.statement()?.fact)
    }

    fn statement(&self) -> Result<Statement, PushError> {
        let malformed = |why: String| PushError::Malformed(why);
        if self.schema != SIGNED_SCHEMA {
            return Err(malformed(format!("its schema is not {SIGNED_SCHEMA:?}")));
        }
        if self.statement.len() > STATEMENT_BYTES_MAX || self.signature.len() > SIGNATURE_BYTES_MAX {
            return Err(malformed("it is too large".into()));
        }
        let value =
            document::read(self.statement.as_bytes()).map_err(|error| malformed(error.to_string()))?;
        let statement: Statement =
            serde_json::from_value(value).map_err(|error| malformed(format!("its statement: {error}")))?;
        match statement.schema == SCHEMA {
            true => Ok(statement),
            false => Err(malformed(format!("the schema of its statement is not {SCHEMA:?}"))),
        }
    }

    /// What it states, if the key signed it.
    pub(crate) fn verify(&self, spki: &[u8]) -> Result<Verified, PushError> {
        let statement = self.statement()?;
        let wrong = || PushError::Signature {
            fact: statement.fact.clone(),
            wanted: fingerprint(spki),
            named: crate::absence::shown(&self.signer),
        };
        let signature = STANDARD.decode(&self.signature).map_err(|_| wrong())?;
        let algorithm =
            lockgate_crypto::verify(spki, &signed(&self.statement), &signature).map_err(|_| wrong())?;
        let moment = |text: &str| {
            let time = document::time(text).and_then(|time| u64::try_from(time.as_millisecond()).ok());
            time.ok_or_else(|| PushError::Malformed("its time is none like 2026-11-22T14:00:00.000Z".into()))
        };
        let issued_ms = moment(&statement.issued)?;
        let as_of_ms = statement.as_of.as_deref().map(moment).transpose()?.unwrap_or(issued_ms);
        Ok(Verified { statement, algorithm, issued_ms, as_of_ms: as_of_ms.min(issued_ms) })
    }
}

fn signed(statement: &str) -> Vec<u8> {
    [DOMAIN, statement.as_bytes()].concat()
}

/// A moment as statements write it.
#[must_use]
pub fn written(ms: u64) -> String {
    let time = i64::try_from(ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
    time.unwrap_or_default().strftime("%Y-%m-%dT%H:%M:%S.%3fZ").to_string()
}
