//! The local authority: one root per signature family, short-lived leaves.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use lockgate_crypto::{Family, PrivateKey};
use rustls::pki_types::{CertificateDer, DnsName};
use zeroize::Zeroizing;

use crate::bundle::certificate_pem;
use crate::certificate::{BACKDATED, Issuer, LeafContent};
use crate::enrol::ProvenKey;
use crate::error::quoted;
use crate::facts::Facts;
use crate::file::{self, Existing, Secrecy};
use crate::{IdentityError, Leaf, NodeIdentity, Role, SpiffeId, TrustBundle, key_pem};

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
/// Life of a root. Every leaf beneath it lives a day at most; changing roots is a planned act.
const ROOT_LIFETIME: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Private keys and certificates of all roots, one file so that it is there whole or not at all.
const ROOTS_FILE: &str = "roots.pem";
/// The public bundle.
const BUNDLE_FILE: &str = "authority.pem";

/// Roots and their private keys.
pub struct Authority {
    bundle: TrustBundle,
    domain: SpiffeId,
    issuers: Vec<Issuer>,
}

/// What an authority is asked to sign. That the holder of the key asks for it is proven by
/// [`ProvenKey`]; that it may have this id is for the caller to decide.
#[derive(Clone, Debug)]
pub struct Request {
    /// The key, whose family decides which root signs.
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

impl Authority {
    /// Makes an authority that lives in memory only.
    ///
    /// # Errors
    /// [`IdentityError::SpiffeId`] if the name is no trust domain.
    pub fn generate(trust_domain: &str, now: SystemTime) -> Result<Self, IdentityError> {
        let domain = SpiffeId::of_trust_domain(trust_domain)?;
        let mut issuers = Vec::with_capacity(Family::ALL.len());
        let mut roots = Vec::with_capacity(Family::ALL.len());
        for family in Family::ALL {
            let issuer = Issuer::new(PrivateKey::generate(family)?)?;
            roots.push(issuer.root_certificate(&domain, now - BACKDATED, now + ROOT_LIFETIME)?);
            issuers.push(issuer);
        }
        Ok(Self { bundle: TrustBundle::new(roots)?, domain, issuers })
    }

    /// Opens the authority of a directory, or makes one there: the directory with mode 0700, the
    /// keys in `roots.pem` with mode 0600, the public bundle in `authority.pem`. When two
    /// processes do so at once, both end up with the same authority.
    ///
    /// # Errors
    /// [`IdentityError::Permissions`] if others may read the keys, [`IdentityError::TrustDomain`]
    /// if the stored authority is for another trust domain, [`IdentityError::File`] or
    /// [`IdentityError::Io`] if the files cannot be used.
    pub fn open_or_create(dir: &Path, trust_domain: &str, now: SystemTime) -> Result<Self, IdentityError> {
        let domain = SpiffeId::of_trust_domain(trust_domain)?;
        file::private_directory(dir)?;
        let authority = match Self::open(dir)? {
            Some(authority) => authority,
            None => {
                let fresh = Self::generate(trust_domain, now)?;
                let secret = fresh.roots_pem();
                let path = dir.join(ROOTS_FILE);
                file::write_whole(&path, secret.as_bytes(), Secrecy::OwnerOnly, Existing::Keep)?;
                // What the file says counts: another process may have been first.
                let pem = file::existing(&path, file::read_private(&path)?)?;
                Self::from_roots_pem(&pem).map_err(|error| error.in_file(&path))?
            }
        };
        if authority.domain != domain {
            return Err(IdentityError::TrustDomain {
                path: dir.to_owned(),
                found: authority.domain.trust_domain().to_owned(),
                expected: trust_domain.to_owned(),
            });
        }
        authority.publish_bundle(dir)?;
        Ok(authority)
    }

    /// Opens the authority of a directory. `None` if there is none.
    ///
    /// # Errors
    /// As [`Authority::open_or_create`].
    pub fn open(dir: &Path) -> Result<Option<Self>, IdentityError> {
        let path = dir.join(ROOTS_FILE);
        let Some(pem) = file::read_private(&path)? else {
            return Ok(None);
        };
        Self::from_roots_pem(&pem).map(Some).map_err(|error| error.in_file(&path))
    }

    /// Where [`Authority::open_or_create`] puts the public bundle of a directory.
    pub fn bundle_path(dir: &Path) -> PathBuf {
        dir.join(BUNDLE_FILE)
    }

    /// The roots that everybody may know.
    pub fn bundle(&self) -> &TrustBundle {
        &self.bundle
    }

    /// The trust domain.
    pub fn trust_domain(&self) -> &str {
        self.domain.trust_domain()
    }

    /// Signs a leaf with the root of the key's family.
    ///
    /// # Errors
    /// [`IdentityError::ForeignTrustDomain`], [`IdentityError::RoleMismatch`],
    /// [`IdentityError::Range`] or [`IdentityError::DnsName`] if the request breaks a rule.
    pub fn issue(&self, request: &Request, now: SystemTime) -> Result<IssuedCertificate, IdentityError> {
        self.check(request)?;
        let family = request.key.family();
        let not_after = now + request.lifetime;
        let (certificate, serial) = self.issuer(family).leaf_certificate(&LeafContent {
            spki_der: request.key.spki_der(),
            id: &request.id,
            role: request.role,
            dns_names: &request.dns_names,
            ips: &request.ips,
            not_before: now - BACKDATED,
            not_after,
        })?;
        // An authority gives out nothing that its own verifier would refuse.
        self.bundle.check(&Facts::read(&certificate)?, now)?;
        Ok(IssuedCertificate { certificate, id: request.id.clone(), serial, not_after })
    }

    /// Makes a node identity: fresh keys and a leaf for each family.
    ///
    /// # Errors
    /// As [`Authority::issue`].
    pub fn issue_node(
        &self,
        id: &SpiffeId,
        dns_names: &[String],
        ips: &[IpAddr],
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<NodeIdentity, IdentityError> {
        let mut leaves = Vec::with_capacity(Family::ALL.len());
        for family in Family::ALL {
            let key = PrivateKey::generate(family)?;
            let request = Request {
                key: ProvenKey::own(&key),
                id: id.clone(),
                role: Role::Node,
                dns_names: dns_names.to_vec(),
                ips: ips.to_vec(),
                lifetime,
            };
            let issued = self.issue(&request, now)?;
            leaves.push(Leaf::new(vec![issued.certificate], key)?);
        }
        let id = id.clone();
        Ok(NodeIdentity { id, leaves })
    }

    pub(crate) fn issuer(&self, family: Family) -> &Issuer {
        let mut issuers = self.issuers.iter();
        issuers
            .find(|issuer| issuer.key.family() == family)
            .expect("an authority has a root for every family")
    }

    fn check(&self, request: &Request) -> Result<(), IdentityError> {
        let id = &request.id;
        if id.trust_domain() != self.trust_domain() {
            return Err(IdentityError::ForeignTrustDomain {
                id: id.to_string(),
                expected: self.trust_domain().to_owned(),
            });
        }
        if id.role() != Some(request.role) {
            return Err(IdentityError::RoleMismatch { id: id.to_string(), role: request.role });
        }
        let (min, max) = (LEAF_LIFETIME_MIN, LEAF_LIFETIME_MAX);
        // Whole seconds, as certificates count them, rounded up so that the limit is hard.
        let seconds = request.lifetime.as_secs() + u64::from(request.lifetime.subsec_nanos() > 0);
        within("the life of a leaf in seconds", min.as_secs(), max.as_secs(), seconds)?;
        let names_max = match request.role {
            Role::Node => NAMES_MAX as u64,
            // Nobody looks up an agent.
            Role::Agent => 0,
        };
        within("the number of DNS names", 0, names_max, request.dns_names.len() as u64)?;
        within("the number of addresses", 0, names_max, request.ips.len() as u64)?;
        for name in &request.dns_names {
            DnsName::try_from(name.as_str()).map_err(|_| IdentityError::DnsName { name: quoted(name) })?;
        }
        Ok(())
    }

    fn roots_pem(&self) -> Zeroizing<String> {
        let keys: Vec<_> = self.issuers.iter().map(|issuer| key_pem::write(&issuer.key)).collect();
        let roots = self.bundle.to_pem();
        let room = keys.iter().map(|key| key.len()).sum::<usize>() + roots.len();
        let mut pem = Zeroizing::new(String::with_capacity(room));
        for key in &keys {
            pem.push_str(key);
        }
        pem.push_str(&roots);
        pem
    }

    fn from_roots_pem(pem: &[u8]) -> Result<Self, IdentityError> {
        let (keys, roots) = key_pem::read_all(pem)?;
        let bundle = TrustBundle::from_pem(roots)?;
        let mut issuers = Vec::with_capacity(keys.len());
        for key in keys {
            if !bundle.has_key(&key.spki_der()) {
                return Err(IdentityError::KeyMismatch);
            }
            issuers.push(Issuer::new(key)?);
        }
        for family in Family::ALL {
            if !issuers.iter().any(|issuer| issuer.key.family() == family) {
                return Err(IdentityError::Bundle(format!(
                    "the private key of the {family} root is missing; restore the file from a \
                     backup, or move it away to start a new authority (every agent must then \
                     enrol again)"
                )));
            }
        }
        let domain = SpiffeId::of_trust_domain(bundle.trust_domain())?;
        Ok(Self { bundle, domain, issuers })
    }

    fn publish_bundle(&self, dir: &Path) -> Result<(), IdentityError> {
        let path = Self::bundle_path(dir);
        let pem = self.bundle.to_pem();
        if file::read_public(&path)?.as_deref() != Some(pem.as_bytes()) {
            file::write_whole(&path, pem.as_bytes(), Secrecy::Public, Existing::Replace)?;
        }
        Ok(())
    }
}

impl fmt::Debug for Authority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Authority")
            .field("bundle", &self.bundle)
            .field("keys", &"[redacted]")
            .finish_non_exhaustive()
    }
}

fn within(what: &'static str, min: u64, max: u64, found: u64) -> Result<(), IdentityError> {
    if (min..=max).contains(&found) {
        return Ok(());
    }
    Err(IdentityError::Range { what, min, max, found })
}
