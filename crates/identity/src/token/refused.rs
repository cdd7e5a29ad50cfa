//! Why a token was refused: everything for the operator, little for the caller.

use crate::error::quoted;

/// Which check failed. The text is for the operator and the log; a caller gets
/// [`TokenRefused::oauth_error`] and nothing else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenRefused {
    // What it is made of.
    /// It is no token at all.
    #[error("{part} cannot be read: {why}")]
    Malformed {
        /// Which part of it.
        part: &'static str,
        /// The first thing that is wrong.
        why: String,
    },
    /// A limit was passed.
    #[error("{what} is longer than {max} bytes")]
    TooLong {
        /// What.
        what: &'static str,
        /// The limit.
        max: usize,
    },
    /// The header has a member that must not be there.
    #[error("the header has {member}, which is not taken from a token")]
    Header {
        /// Which one.
        member: &'static str,
    },
    /// It is a token of another kind.
    #[error("it is of the type {found}, wanted is {wanted}")]
    Type {
        /// What is wanted.
        wanted: &'static str,
        /// What it says, quoted.
        found: String,
    },
    /// It says that it is not signed.
    #[error("it is not signed (alg none)")]
    Unsigned,
    /// It says that it is signed with a shared secret.
    #[error("it is signed with a shared secret ({found}), and this issuer has none with us")]
    SharedSecret {
        /// What it says, quoted.
        found: String,
    },
    /// Its algorithm is not one of those that the issuer may use.
    #[error("its algorithm {found} is not allowed here; allowed: {allowed}")]
    Algorithm {
        /// What it says, quoted.
        found: String,
        /// The list.
        allowed: String,
    },
    /// The key that it names is for another algorithm.
    #[error("the key {kid} is for another algorithm than {algorithm}")]
    KeyMismatch {
        /// Name of the key, quoted.
        kid: String,
        /// Catalog id of the algorithm that the token names.
        algorithm: &'static str,
    },

    // Who signed it.
    /// No key of this name is known. The keys of the issuer may be fetched again ([`crate::token::KeyCache`]).
    #[error("the issuer has no key {kid} for {algorithm} that is known here")]
    UnknownKey {
        /// Name of the key, quoted; empty if the token names none.
        kid: String,
        /// Catalog id of the algorithm.
        algorithm: &'static str,
    },
    /// The issuer's keys were not fetched for too long.
    #[error("the keys of this issuer were last fetched {age_s} s ago, at most {max_s} s are trusted")]
    KeysStale {
        /// Their age.
        age_s: u64,
        /// The limit.
        max_s: u64,
    },
    /// The signature does not fit.
    #[error("its signature does not verify with the key that it names")]
    Signature,

    // What it says.
    /// A claim is missing, or not of its type.
    #[error("the claim {name} {why}")]
    Claim {
        /// Which one.
        name: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// It is of another issuer.
    #[error("its issuer is {found}, not {wanted}")]
    Issuer {
        /// Whose tokens are taken.
        wanted: String,
        /// What it says, quoted.
        found: String,
    },
    /// It is for somebody else.
    #[error("its audience is {found}, not {wanted}")]
    Audience {
        /// For whom it should be.
        wanted: String,
        /// For whom it is, quoted.
        found: String,
    },
    /// Its time is over.
    #[error("it expired {ago_s} s ago, at {exp}")]
    Expired {
        /// When, Unix seconds.
        exp: u64,
        /// How long ago.
        ago_s: u64,
    },
    /// Its time has not come.
    #[error("it begins in {in_s} s; compare the clocks of both machines")]
    NotYetValid {
        /// In how many seconds.
        in_s: u64,
    },
    /// It lives longer than any token may.
    #[error("it lives {found_s} s, at most {max_s} s are taken")]
    LivesTooLong {
        /// From its beginning to its end.
        found_s: u64,
        /// The limit.
        max_s: u64,
    },
    /// It was revoked.
    #[error("it was revoked")]
    Revoked,

    // Whose it is.
    /// It is bound to nothing: whoever has it could use it.
    #[error("it is bound to no key (cnf), and bearer tokens are not taken here")]
    Unbound,
    /// The link did not prove the certificate that the token is bound to.
    #[error("it is bound to a certificate that this link did not prove; it may be stolen")]
    OtherCertificate,
    /// The key that was proven is not the one that the token is bound to.
    #[error("it is bound to another key than the one that was proven; it may be stolen")]
    OtherKey,
    /// No proof of the key came with it.
    #[error("it is bound to a key, and no proof of that key came with it")]
    NoProof,
    /// It is bound to another connection.
    #[error("it is bound to another connection; it may be stolen")]
    OtherConnection,
    /// It came with the wrong scheme.
    #[error("it came as {found}, and its binding wants {wanted}")]
    Scheme {
        /// The scheme that its binding wants.
        wanted: &'static str,
        /// The scheme that it came with.
        found: &'static str,
    },

    // The proof that came with it.
    /// A part of the proof is not about this request.
    #[error("the proof is not for this request: {what} differs")]
    ProofMismatch {
        /// Which claim.
        what: &'static str,
    },
    /// The proof was made too long ago, or its clock is ahead.
    #[error("the proof was made {off_s} s away from now, at most {max_s} s are taken")]
    ProofTime {
        /// Distance from now.
        off_s: u64,
        /// The limit.
        max_s: u64,
    },
    /// The proof was used before.
    #[error("the proof was used before")]
    Replayed,
    /// Too many proofs are remembered to know whether this one was used before.
    #[error("too many proofs came within a minute, so that none can be told from a repeated one")]
    ReplayFull,
    /// The proof has no nonce of ours that is still good.
    #[error("the proof has no current nonce of this server")]
    NonceNeeded,
    /// The token does not allow this.
    #[error("it does not have the scope {needed}")]
    Scope {
        /// Everything that is needed, space separated.
        needed: String,
    },
}

impl TokenRefused {
    /// The `error` of a `WWW-Authenticate` challenge (RFC 6750 section 3.1, RFC 9449 section 7.1).
    #[must_use]
    pub fn oauth_error(&self) -> &'static str {
        match self {
            Self::ProofMismatch { .. } | Self::ProofTime { .. } | Self::Replayed | Self::ReplayFull => {
                "invalid_dpop_proof"
            }
            Self::NonceNeeded => "use_dpop_nonce",
            Self::Scope { .. } => "insufficient_scope",
            _ => "invalid_token",
        }
    }

    /// Whether fetching the issuer's keys again may help.
    #[must_use]
    pub fn needs_keys(&self) -> bool {
        matches!(self, Self::UnknownKey { .. } | Self::KeysStale { .. })
    }

    /// A short word for metrics and records: which check failed.
    #[must_use]
    pub fn check(&self) -> &'static str {
        match self {
            Self::Malformed { .. } | Self::TooLong { .. } | Self::Header { .. } => "format",
            Self::Type { .. } => "type",
            Self::Unsigned
            | Self::SharedSecret { .. }
            | Self::Algorithm { .. }
            | Self::KeyMismatch { .. } => "algorithm",
            Self::UnknownKey { .. } | Self::KeysStale { .. } => "key",
            Self::Signature => "signature",
            Self::Claim { .. } => "claims",
            Self::Issuer { .. } => "issuer",
            Self::Audience { .. } => "audience",
            Self::Expired { .. } | Self::NotYetValid { .. } | Self::LivesTooLong { .. } => "time",
            Self::Revoked => "revocation",
            Self::Unbound
            | Self::OtherCertificate
            | Self::OtherKey
            | Self::NoProof
            | Self::OtherConnection
            | Self::Scheme { .. } => "binding",
            Self::ProofMismatch { .. } | Self::ProofTime { .. } | Self::NonceNeeded => "proof",
            Self::Replayed | Self::ReplayFull => "replay",
            Self::Scope { .. } => "scope",
        }
    }

    pub(crate) fn malformed(part: &'static str, why: impl std::fmt::Display) -> Self {
        Self::Malformed { part, why: why.to_string() }
    }

    pub(crate) fn claim(name: &'static str, why: &'static str) -> Self {
        Self::Claim { name, why }
    }

    pub(crate) fn audience(wanted: &str, found: &str) -> Self {
        Self::Audience { wanted: wanted.to_owned(), found: quoted(found) }
    }
}
