//! What can go wrong, ordered by blame: the peer, our configuration, a resource, a bug.

use std::fmt;

use serde::Serialize;

/// The peer and the active profile have nothing in common.
///
/// A refusal is a value, not only a message: the audit log records both lists, and the
/// dashboard shows what a peer would have to learn before it may connect.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CryptoRefused {
    /// Names of what the peer offered, in its order. Code points that the catalog does
    /// not know are written as `0x1a2b`; GREASE values (RFC 8701) are left out.
    pub offered: Vec<String>,
    /// Names of what the profile would have accepted, in order of preference.
    pub required: Vec<String>,
    /// What was being negotiated: [`CryptoRefused::GROUP`] or [`CryptoRefused::SIGNATURE`].
    pub what: &'static str,
}

impl CryptoRefused {
    /// Value of [`CryptoRefused::what`] when no key exchange group is shared.
    pub const GROUP: &'static str = "key exchange group";
    /// Value of [`CryptoRefused::what`] when no signature algorithm is shared.
    pub const SIGNATURE: &'static str = "signature algorithm";

    /// Value of [`CryptoRefused::what`] when no cipher suite is shared.
    pub const CIPHER: &'static str = "cipher suite";

    fn next_step(&self) -> &'static str {
        if self.what == Self::GROUP {
            "enable one of the required groups at the peer (OpenSSL 3.5, Chromium 131, Node 24 \
             and later offer X25519MLKEM768), or serve it from a listener whose profile admits \
             what it offers"
        } else if self.what == Self::CIPHER {
            "enable one of the required cipher suites at the peer, or serve it from a listener whose \
             profile admits what it offers"
        } else {
            "let the peer accept one of the required signature algorithms, or serve it from a \
             listener whose profile admits what it offers"
        }
    }
}

impl fmt::Display for CryptoRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let list = |names: &[String]| match names {
            [] => "nothing".to_owned(),
            names => names.join(", "),
        };
        write!(
            f,
            "no {} in common: the peer offered {}; required is one of {}; next: {}",
            self.what,
            list(&self.offered),
            list(&self.required),
            self.next_step()
        )
    }
}

impl std::error::Error for CryptoRefused {}

/// Every error of this crate.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CryptoError {
    // The peer, or whoever handed us the bytes.
    /// Peer and profile share no algorithm.
    #[error(transparent)]
    Refused(#[from] CryptoRefused),
    /// A signature does not belong to this message and key.
    #[error(
        "the {algorithm} signature does not match the message and the key; the message, the \
         signature or the key was altered or mixed up"
    )]
    BadSignature {
        /// Catalog id of the algorithm that the key names.
        algorithm: &'static str,
    },
    /// Sealed bytes that this key did not seal, or that were altered since.
    #[error("cannot unseal: the bytes were altered, or sealed with another key or context")]
    NotSealedHere,
    /// A key that does not parse.
    #[error("malformed {what}: {reason}")]
    MalformedKey {
        /// Which structure was expected, for example `PKCS#8 private key`.
        what: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// A key of an algorithm for which this build has no code.
    #[error("key algorithm {oid} is not supported; supported are {supported}")]
    UnsupportedKey {
        /// Dotted object identifier found in the key.
        oid: String,
        /// Ids of the algorithms that would have been accepted.
        supported: String,
    },

    // Our configuration.
    /// No profile of that name.
    #[error("no crypto profile named {name:?}; known are {known}")]
    UnknownProfile {
        /// The name that was asked for.
        name: String,
        /// All names and aliases, comma separated.
        known: String,
    },
    /// No algorithm of that id in the catalog, or one that has no code behind it.
    #[error("algorithm {id:?} cannot be used here: {reason}")]
    UnusableAlgorithm {
        /// The id that was asked for.
        id: String,
        /// Why not.
        reason: String,
    },
    /// The profile's last day is over.
    #[error("crypto profile {profile} ended on {not_after}; choose {instead}")]
    ProfileEnded {
        /// Dated name of the profile.
        profile: &'static str,
        /// Its last day, RFC 3339 full-date.
        not_after: &'static str,
        /// What to use instead.
        instead: &'static str,
    },
    /// After removing what is banned or past its date, nothing of one kind is left.
    #[error(
        "crypto profile {profile} has no {what} left on {date}: {why}; choose another profile, or \
         lift the ban"
    )]
    NothingLeft {
        /// Dated name of the profile.
        profile: &'static str,
        /// `group`, `signature` or `cipher`.
        what: &'static str,
        /// The day for which the profile was compiled.
        date: String,
        /// Why each one that is listed may not be used.
        why: String,
    },
    /// A profile that is not well-formed.
    #[error("crypto profile {name:?} cannot be used: {why}")]
    Profile {
        /// Its name, as written.
        name: String,
        /// What is wrong with it.
        why: String,
    },
    /// A gateway announced something weaker than this side accepts.
    #[error(
        "profile {profile} admits {algorithm}, which is weaker than anything that {floor} admits; \
         if that is meant, allow it here: --profile with a profile that admits it"
    )]
    BelowFloor {
        /// What was announced.
        profile: String,
        /// The weakest profile that this side accepts.
        floor: &'static str,
        /// What is too weak.
        algorithm: String,
    },

    // A resource, or a bug.
    /// The profile failed its handshake against itself, so it was not published.
    #[error(
        "crypto profile {profile} failed its self-test with {group} and {signature}: {reason}; \
         the last good profile stays in force"
    )]
    SelfTest {
        /// Dated name of the profile.
        profile: &'static str,
        /// Group under test.
        group: &'static str,
        /// Signature algorithm under test.
        signature: &'static str,
        /// The handshake's own error.
        reason: String,
    },
    /// The cryptographic library refused an operation that cannot fail on valid input:
    /// out of memory, no entropy, or a bug.
    #[error("the cryptographic library failed to {operation}; this is a lack of memory or a bug")]
    Library {
        /// What was asked of it.
        operation: &'static str,
    },
}

impl CryptoError {
    pub(crate) fn unusable(id: &str, reason: &str) -> Self {
        Self::UnusableAlgorithm { id: id.to_owned(), reason: reason.to_owned() }
    }

    pub(crate) fn malformed(what: &'static str, reason: impl fmt::Display) -> Self {
        Self::MalformedKey { what, reason: reason.to_string() }
    }
}
