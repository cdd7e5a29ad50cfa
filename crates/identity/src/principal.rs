//! Who is at the other end: evidence in, principal out, and for each call a caller.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use lockgate_crypto::digest;
use rustls::pki_types::CertificateDer;

use crate::facts::Facts;
use crate::{IdentityError, Role, SpiffeId, TrustBundle};

/// What a link knows about its peer once it is secure.
#[derive(Clone, Debug, Default)]
pub struct Evidence {
    /// The certificates that the peer presented, leaf first; empty if it presented none. They must
    /// come from a finished TLS handshake, fresh or resumed: the handshake is the proof that the
    /// peer holds the private key.
    pub peer_certificates: Vec<CertificateDer<'static>>,
    /// The peer's address.
    pub peer: Option<SocketAddr>,
    /// Our address.
    pub local: Option<SocketAddr>,
    /// The operating system says that the peer's loopback socket belongs to the user we run as.
    pub same_user: bool,
}

/// Who a peer is proven to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Principal {
    /// The holder of a certificate of our authority.
    Workload {
        /// The SPIFFE id in the certificate.
        id: SpiffeId,
        /// What the certificate lets it be.
        role: Role,
        /// Serial number of the certificate, hexadecimal.
        serial: String,
        /// The start of the certificate's validity, which is about when the key was made.
        not_before: SystemTime,
        /// The end of the certificate's validity; the link must not outlive it.
        not_after: SystemTime,
        /// SHA-256 of the subject public key info, lower-case hexadecimal.
        key_fingerprint: String,
    },
    /// The bearer of an access token, who met what the token is bound to ([`crate::token::Confirmation`]).
    Bearer {
        /// The SPIFFE id of the agent that the token speaks for.
        id: SpiffeId,
        /// Who issued the token.
        issuer: Arc<str>,
        /// Of a token that is bound to a key: SHA-256 of that key as its thumbprint has it (RFC 7638), lower-case
        /// hexadecimal.
        key: Option<Arc<str>>,
        /// The end of the token; nothing may go on after it.
        not_after: SystemTime,
    },
    /// A process of the user we run as, on this machine.
    LocalUser {
        /// The user id.
        uid: u32,
    },
    /// Nobody in particular.
    Anonymous,
}

impl Principal {
    /// When the proof ends: with the certificate, or never.
    pub fn not_after(&self) -> Option<SystemTime> {
        match self {
            Principal::Workload { not_after, .. } | Principal::Bearer { not_after, .. } => Some(*not_after),
            Principal::LocalUser { .. } | Principal::Anonymous => None,
        }
    }
}

impl fmt::Display for Principal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Principal::Workload { id, .. } | Principal::Bearer { id, .. } => write!(f, "{id}"),
            Principal::LocalUser { uid } => write!(f, "local user {uid}"),
            Principal::Anonymous => f.write_str("anonymous"),
        }
    }
}

/// Stage 3 of the flow: decides who the peer is.
///
/// Everything is checked again that may have changed since the handshake, because a resumed
/// session brings an old certificate back: dates, that its root is still trusted, algorithm, trust
/// domain, role, and the root's signature unless it was verified before. A certificate that fails
/// is an error, never a fall back to anonymous.
///
/// # Errors
/// The peer's fault as an [`IdentityError`]; the link is to be closed with it.
pub fn verify(
    evidence: &Evidence,
    bundle: &TrustBundle,
    now: SystemTime,
) -> Result<Principal, IdentityError> {
    if let Some(leaf) = evidence.peer_certificates.first() {
        let facts = Facts::read(leaf)?;
        bundle.prove(&facts, leaf, now)?;
        if !facts.client_auth && !facts.server_auth {
            return Err(IdentityError::Purpose {
                id: facts.id.to_string(),
                needed: "TLS (extended key usage clientAuth or serverAuth)",
            });
        }
        return Ok(Principal::Workload {
            role: facts.role()?,
            serial: facts.serial,
            not_before: facts.not_before,
            not_after: facts.not_after,
            key_fingerprint: digest::hex(&digest::sha256(&facts.spki_der)),
            id: facts.id,
        });
    }
    let loopback = |address: Option<SocketAddr>| address.is_some_and(|a| a.ip().is_loopback());
    if evidence.same_user && loopback(evidence.peer) && loopback(evidence.local) {
        let uid = rustix::process::geteuid().as_raw();
        return Ok(Principal::LocalUser { uid });
    }
    Ok(Principal::Anonymous)
}

/// Longest name of a role in bytes: roles stand in every denial.
pub const ROLE_NAME_BYTES_MAX: usize = 64;

/// Whether a text can name a role: ASCII letters, digits, hyphens and underscores. No dot, by which policy ids part a role
/// from its rule.
#[must_use]
pub fn is_role_name(text: &str) -> bool {
    let fits = |b: u8| b.is_ascii_alphanumeric() || b"-_".contains(&b);
    (1..=ROLE_NAME_BYTES_MAX).contains(&text.len()) && text.bytes().all(fits)
}

/// How sure we are of a caller, weakest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Assurance {
    /// Not at all.
    None,
    /// The operating system vouches for the user, not for the program.
    OperatingSystem,
    /// An issuer that we trust vouches for it, and what the token is bound to was met.
    Token,
    /// A private key was proven in the handshake.
    Certificate,
}

/// Who makes a call.
#[derive(Clone, Debug)]
pub struct Caller {
    /// The agent as policy and log name it: a SPIFFE id, `local-user` or `anonymous`.
    pub agent: String,
    /// Who the link's peer is proven to be.
    pub principal: Arc<Principal>,
    /// How sure that is.
    pub assurance: Assurance,
    /// Roles that its registration gives it. Policy files may give it more; never does a caller give itself any.
    pub roles: Arc<[String]>,
    /// Id (`jti`) of the token that the call was bound by; none where the link's certificate alone speaks for it.
    pub token: Option<Arc<str>>,
    /// In whose names it acts, the nearest first (RFC 8693, section 4.1). Each of them must be allowed what it does, like
    /// itself, and none of them be revoked: acting for somebody gives nobody more than both have.
    pub acts_for: Arc<[Caller]>,
}

impl Caller {
    /// The same caller with the roles that its registration gives it.
    #[must_use]
    pub fn with_roles(self, roles: Arc<[String]>) -> Self {
        Self { roles, ..self }
    }

    /// Itself, and all in whose names it acts.
    pub fn everybody(&self) -> impl Iterator<Item = &Caller> {
        std::iter::once(self).chain(self.acts_for.iter())
    }

    /// Who it is, and for whom, as records show it.
    #[must_use]
    pub fn in_full(&self) -> String {
        let names: Vec<String> = self.everybody().map(|caller| caller.principal.to_string()).collect();
        names.join(" for ")
    }
}

/// Stage 5 of the flow: the link's principal is the caller.
pub fn bind(principal: &Arc<Principal>) -> Caller {
    let (agent, assurance) = match principal.as_ref() {
        Principal::Workload { id, .. } => (id.to_string(), Assurance::Certificate),
        Principal::Bearer { id, .. } => (id.to_string(), Assurance::Token),
        Principal::LocalUser { .. } => ("local-user".to_owned(), Assurance::OperatingSystem),
        Principal::Anonymous => ("anonymous".to_owned(), Assurance::None),
    };
    let (roles, acts_for) = (Arc::from([]), Arc::from([]));
    Caller { agent, principal: Arc::clone(principal), assurance, roles, token: None, acts_for }
}
