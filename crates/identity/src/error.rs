//! One error type, ordered by blame: the peer, our configuration, a resource, a bug.

use std::path::PathBuf;
use std::time::SystemTime;

use lockgate_crypto::CryptoError;

/// Why an identity was refused or could not be made. The text says what to do next.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum IdentityError {
    // The peer's fault.
    /// Bytes that should be a certificate, a request or a key are not.
    #[error("{what} cannot be read: {cause}")]
    Malformed {
        /// What was being read.
        what: &'static str,
        /// The first thing that is wrong with it.
        cause: String,
    },
    /// A text is no SPIFFE id.
    #[error("{text} is not a SPIFFE id: {reason}")]
    SpiffeId {
        /// The text, quoted and shortened.
        text: String,
        /// The rule of the SPIFFE-ID specification that it breaks.
        reason: &'static str,
    },
    /// The certificate's time is over.
    #[error(
        "the certificate of {id} expired at {not_after}; renew it, or invite this agent again with `lockgate identity invite`"
    )]
    Expired {
        /// Whose certificate.
        id: String,
        /// The end of its validity, RFC 3339.
        not_after: String,
    },
    /// The certificate's time has not come.
    #[error("the certificate of {id} is valid only from {not_before}; compare the clocks of both machines")]
    NotYetValid {
        /// Whose certificate.
        id: String,
        /// The start of its validity, RFC 3339.
        not_before: String,
    },
    /// No root of the trust bundle issued the certificate.
    #[error(
        "the certificate of {id} was not issued by this authority; enrol with an invite of this gateway, or give the authority.pem that belongs to the other side"
    )]
    UnknownAuthority {
        /// Whose certificate.
        id: String,
    },
    /// A signature does not fit its key and text.
    #[error("the signature on {what} does not verify; it was altered on its way or signed with another key")]
    BadSignature {
        /// What the signature covers.
        what: &'static str,
    },
    /// A leaf of one algorithm is signed by a root of another.
    #[error(
        "the certificate of {id} has a key of one algorithm and a signature of another; a leaf and its root are always of the same algorithm, get a certificate of this authority"
    )]
    MixedAlgorithms {
        /// Whose certificate.
        id: String,
    },
    /// An update of the trust bundle that nobody vouches for.
    #[error(
        "no root that is trusted here and that the crypto profile permits has signed the new trust bundle; the old one stays, enrol again with an invite if the authority was replaced"
    )]
    BundleUnsigned,
    /// An update of the trust bundle that is not newer than what is known.
    #[error(
        "the trust bundle offered has the sequence {found}, {last} is known already; the old one stays, look for a gateway that runs on an old copy of its state"
    )]
    BundleOutdated {
        /// The sequence of the update.
        found: u64,
        /// The sequence that is known.
        last: u64,
    },
    /// The certificate may not be used in this direction.
    #[error("the certificate of {id} may not be used for {needed}")]
    Purpose {
        /// Whose certificate.
        id: String,
        /// The extended key usage that is missing.
        needed: &'static str,
    },
    /// An id from elsewhere.
    #[error("{id} is not in the trust domain {expected}")]
    ForeignTrustDomain {
        /// The id that was presented or asked for.
        id: String,
        /// The trust domain of the authority.
        expected: String,
    },
    /// An id and a role that do not fit.
    #[error("{id} cannot have the role {role}: nodes live under /node/, agents elsewhere")]
    RoleMismatch {
        /// The id.
        id: String,
        /// The role.
        role: crate::Role,
    },
    /// A text is no invite.
    #[error(
        "this is not a Lockgate invite: {reason}; copy the whole code that `lockgate identity invite` printed"
    )]
    InviteCode {
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A secret cannot be sealed or opened.
    #[error("the secret {name}: {reason}")]
    Secret {
        /// Its name.
        name: String,
        /// Why, and what to do.
        reason: String,
    },
    /// Nobody minted this invite here.
    #[error(
        "this invite is unknown here; it was made by another gateway or withdrawn, ask for a new one (`lockgate identity invite`)"
    )]
    InviteUnknown,
    /// An invite works once.
    #[error(
        "this invite was used at {used_at}; an invite works once, ask for a new one (`lockgate identity invite`)"
    )]
    InviteUsed {
        /// When, RFC 3339.
        used_at: String,
    },
    /// The invite came too late.
    #[error("this invite expired at {expired_at}; ask for a new one (`lockgate identity invite`)")]
    InviteExpired {
        /// When, RFC 3339.
        expired_at: String,
    },
    /// The authority that answered is not the pinned one.
    #[error(
        "the gateway's authority has the fingerprint {found}, the invite says {expected}; somebody may be in between, do not go on"
    )]
    PinMismatch {
        /// What the pin says.
        expected: String,
        /// What was presented.
        found: String,
    },

    // Our configuration.
    /// A private key that others may read.
    #[error("{path} can be read by others (mode {mode:04o}); run: chmod 600 {path}", path = path.display())]
    Permissions {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A directory with private keys in which others may write.
    #[error("{path} can be changed by others (mode {mode:04o}); run: chmod 700 {path}", path = path.display())]
    DirectoryPermissions {
        /// The directory.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// A file is there and is not what it should be.
    #[error("{path}: {cause}", path = path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        cause: Box<IdentityError>,
    },
    /// The stored authority is for another trust domain.
    #[error(
        "the authority in {path} is for the trust domain {found}, the configuration says {expected}; use one of them in both places, or another state directory",
        path = path.display()
    )]
    TrustDomain {
        /// The authority's directory.
        path: PathBuf,
        /// The trust domain of the stored authority.
        found: String,
        /// The trust domain that was asked for.
        expected: String,
    },
    /// The authority has no root of this algorithm.
    #[error(
        "the authority has no root for {algorithm}; apply a crypto profile that uses it (`lockgate crypto apply`), or ask for a certificate of another algorithm"
    )]
    NoRoot {
        /// Catalog id of the algorithm.
        algorithm: &'static str,
    },
    /// A set of roots that cannot be trusted as it is.
    #[error("the trust bundle is not usable: {0}")]
    Bundle(String),
    /// A certificate and a private key that do not belong together.
    #[error("the certificate and the private key do not belong together")]
    KeyMismatch,
    /// A limit of a request was passed.
    #[error("{what} must be between {min} and {max}, not {found}")]
    Range {
        /// The name and unit of the limit.
        what: &'static str,
        /// The smallest allowed value.
        min: u64,
        /// The largest allowed value.
        max: u64,
        /// What was asked for.
        found: u64,
    },
    /// A name that cannot stand in a certificate.
    #[error("{name} is not a DNS name")]
    DnsName {
        /// The name, quoted and shortened.
        name: String,
    },

    // A resource.
    /// The operating system refused.
    #[error("cannot {action} {path}: {source}", path = path.display())]
    Io {
        /// What was being done.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// A cryptographic operation failed.
    #[error(transparent)]
    Crypto(#[from] CryptoError),

    // A bug.
    /// DER that we made ourselves could not be encoded.
    #[error("cannot encode {what}: {cause}; this is a bug in Lockgate, please report it")]
    Encode {
        /// What was being encoded.
        what: &'static str,
        /// Why not.
        cause: der::Error,
    },
}

impl IdentityError {
    /// Names the file in which the error was found.
    pub(crate) fn in_file(self, path: &std::path::Path) -> Self {
        match self {
            located @ (Self::Io { .. }
            | Self::File { .. }
            | Self::Permissions { .. }
            | Self::DirectoryPermissions { .. }) => located,
            other => Self::File { path: path.to_owned(), cause: Box::new(other) },
        }
    }

    pub(crate) fn malformed(what: &'static str) -> impl Fn(der::Error) -> Self {
        move |cause| Self::Malformed { what, cause: cause.to_string() }
    }

    pub(crate) fn encode(what: &'static str) -> impl Fn(der::Error) -> Self {
        move |cause| Self::Encode { what, cause }
    }
}

/// Text of a peer, safe to print: quoted, control characters escaped, at most 80 characters.
pub(crate) fn quoted(text: &str) -> String {
    const CHARS_MAX: usize = 80;
    let mut out = String::from("\"");
    out.extend(text.chars().take(CHARS_MAX).flat_map(char::escape_debug));
    if text.chars().nth(CHARS_MAX).is_some() {
        out.push('…');
    }
    out.push('"');
    out
}

/// A moment for people, RFC 3339 in UTC with whole seconds.
pub(crate) fn rfc3339(moment: SystemTime) -> String {
    match jiff::Timestamp::try_from(moment) {
        Ok(timestamp) => {
            jiff::fmt::temporal::DateTimePrinter::new().precision(Some(0)).timestamp_to_string(&timestamp)
        }
        Err(_) => "a time beyond the calendar".to_owned(),
    }
}

/// Whole seconds since 1970 in UTC; a moment before that counts as zero.
pub(crate) fn unix_seconds(moment: SystemTime) -> u64 {
    moment.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn peer_text_is_escaped_and_shortened() {
        assert_eq!(quoted("a\u{1b}[0m\n"), "\"a\\u{1b}[0m\\n\"");
        assert_eq!(quoted(&"x".repeat(500)).chars().count(), 83);
    }

    #[test]
    fn moments_are_rfc_3339_in_whole_seconds() {
        let moment = SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_392_000_999);
        assert_eq!(rfc3339(moment), "2026-11-23T00:00:00Z");
        assert_eq!(unix_seconds(SystemTime::UNIX_EPOCH - Duration::from_secs(1)), 0);
    }
}
