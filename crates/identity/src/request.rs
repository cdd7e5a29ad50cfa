//! What an authority is asked to sign and what comes of it.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, DnsName};

use crate::bundle::certificate_pem;
use crate::enrol::ProvenKey;
use crate::error::quoted;
use crate::{IdentityError, Role, SpiffeId};

/// Hard limit of a leaf's life. A leaf is never revoked, so this is how long a stolen one works.
pub const LEAF_LIFETIME_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// Shortest life of a leaf: renewal at two thirds still leaves 20 seconds for it.
pub const LEAF_LIFETIME_MIN: Duration = Duration::from_secs(60);
/// Life of a node's leaf unless asked otherwise. A node renews from its own authority.
pub const NODE_LIFETIME: Duration = LEAF_LIFETIME_MAX;
/// Life of an agent's leaf unless asked otherwise.
pub const AGENT_LIFETIME: Duration = Duration::from_secs(60 * 60);
/// Most DNS names, and most addresses, in one leaf: the handshake carries all of them.
pub const NAMES_MAX: usize = 16;
/// What an authority is asked to sign. That the holder of the key asks for it is proven by
/// [`ProvenKey`]; that it may have this id is for the caller to decide.
#[derive(Clone, Debug)]
pub struct Request {
    /// The key, whose algorithm decides which root signs.
    pub key: ProvenKey,
    /// The id to put into the leaf, in the authority's trust domain.
    pub id: SpiffeId,
    /// The role, which must fit the id's path.
    pub role: Role,
    /// DNS names, for nodes only.
    pub dns_names: Vec<String>,
    /// Addresses, for nodes only.
    pub ips: Vec<IpAddr>,
    /// Life from now, [`LEAF_LIFETIME_MIN`] to [`LEAF_LIFETIME_MAX`].
    pub lifetime: Duration,
}

impl Request {
    /// Whether the authority of a trust domain may sign this.
    pub(crate) fn check(&self, domain: &SpiffeId) -> Result<(), IdentityError> {
        let id = &self.id;
        if id.trust_domain() != domain.trust_domain() {
            return Err(IdentityError::ForeignTrustDomain {
                id: id.to_string(),
                expected: domain.trust_domain().to_owned(),
            });
        }
        if id.role() != Some(self.role) {
            return Err(IdentityError::RoleMismatch { id: id.to_string(), role: self.role });
        }
        let (min, max) = (LEAF_LIFETIME_MIN, LEAF_LIFETIME_MAX);
        // Whole seconds, as certificates count them, rounded up so that the limit is hard.
        let seconds = self.lifetime.as_secs() + u64::from(self.lifetime.subsec_nanos() > 0);
        within("the life of a leaf in seconds", min.as_secs(), max.as_secs(), seconds)?;
        let names_max = match self.role {
            Role::Node => NAMES_MAX as u64,
            // Nobody looks up an agent.
            Role::Agent => 0,
        };
        within("the number of DNS names", 0, names_max, self.dns_names.len() as u64)?;
        within("the number of addresses", 0, names_max, self.ips.len() as u64)?;
        for name in &self.dns_names {
            DnsName::try_from(name.as_str()).map_err(|_| IdentityError::DnsName { name: quoted(name) })?;
        }
        Ok(())
    }
}

/// A leaf that was issued, without its private key.
#[derive(Clone, Debug)]
pub struct IssuedCertificate {
    /// The certificate.
    pub certificate: CertificateDer<'static>,
    /// The id in it.
    pub id: SpiffeId,
    /// Serial number, 40 hexadecimal digits.
    pub serial: String,
    /// The end of its validity.
    pub not_after: SystemTime,
}

impl IssuedCertificate {
    /// The certificate as PEM.
    pub fn to_pem(&self) -> String {
        certificate_pem(&self.certificate)
    }
}

/// Refuses what is outside of a limit.
pub(crate) fn within(what: &'static str, min: u64, max: u64, found: u64) -> Result<(), IdentityError> {
    if (min..=max).contains(&found) {
        return Ok(());
    }
    Err(IdentityError::Range { what, min, max, found })
}
