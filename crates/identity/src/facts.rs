//! What a certificate says, read once and strictly.

use std::time::SystemTime;

use const_oid::AssociatedOid;
use der::asn1::ObjectIdentifier;
use der::{Decode, Encode};
use lockgate_crypto::{Algorithm, catalog, digest};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::{Certificate, TbsCertificate};

use crate::{IdentityError, Role, SpiffeId};

/// Extended key usage `id-kp-serverAuth` (RFC 5280, section 4.2.1.12).
pub(crate) const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
/// Extended key usage `id-kp-clientAuth`.
pub(crate) const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
/// Largest certificate that is read, in bytes. The largest of ours carries the 17 kB of an SLH-DSA signature; a
/// foreign RSA-4096 certificate with many names stays under 16 kB.
pub(crate) const CERTIFICATE_BYTES_MAX: usize = 64 * 1024;

const WHAT: &str = "the certificate";

/// A certificate of our own authority, root or leaf, taken apart.
pub(crate) struct Facts {
    /// The one SPIFFE id. X509-SVID, section 2: exactly one URI name.
    pub(crate) id: SpiffeId,
    /// Twenty bytes in lower-case hexadecimal.
    pub(crate) serial: String,
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
    pub(crate) spki_der: Vec<u8>,
    /// The algorithm of the key.
    pub(crate) algorithm: &'static Algorithm,
    /// The algorithm of the signature, `None` if the catalog does not know it.
    pub(crate) signed_by: Option<&'static Algorithm>,
    pub(crate) authority_key_id: Option<Vec<u8>>,
    pub(crate) subject_key_id: Option<Vec<u8>>,
    pub(crate) server_auth: bool,
    pub(crate) client_auth: bool,
    /// basicConstraints CA.
    pub(crate) authority: bool,
    /// keyUsage keyCertSign.
    pub(crate) may_issue: bool,
    /// keyUsage digitalSignature.
    pub(crate) may_sign: bool,
}

impl Facts {
    /// Reads a certificate that follows the X509-SVID profile.
    pub(crate) fn read(der: &[u8]) -> Result<Self, IdentityError> {
        let malformed = IdentityError::malformed(WHAT);
        if der.len() > CERTIFICATE_BYTES_MAX {
            return Err(refused("it is too large"));
        }
        let certificate = Certificate::from_der(der).map_err(&malformed)?;
        let body = certificate.tbs_certificate();
        check_critical(body)?;
        let spki_der = body.subject_public_key_info().to_der().map_err(&malformed)?;
        let usage = body.get_extension::<KeyUsage>().map_err(&malformed)?;
        let constraints = body.get_extension::<BasicConstraints>().map_err(&malformed)?;
        let purposes = body.get_extension::<ExtendedKeyUsage>().map_err(&malformed)?;
        let purposes = purposes.map(|(_, purposes)| purposes.0).unwrap_or_default();
        let names = body.get_extension::<SubjectAltName>().map_err(&malformed)?;
        Ok(Self {
            id: only_spiffe_id(names.map(|(_, names)| names))?,
            serial: digest::hex(body.serial_number().as_bytes()),
            not_before: body.validity().not_before.to_system_time(),
            not_after: body.validity().not_after.to_system_time(),
            algorithm: lockgate_crypto::algorithm_of_spki(&spki_der)?,
            spki_der,
            signed_by: catalog::by_oid(&certificate.signature_algorithm().oid.to_string()),
            authority_key_id: body
                .get_extension::<AuthorityKeyIdentifier>()
                .map_err(&malformed)?
                .and_then(|(_, key)| key.key_identifier)
                .map(|key| key.as_bytes().to_vec()),
            subject_key_id: body
                .get_extension::<SubjectKeyIdentifier>()
                .map_err(&malformed)?
                .map(|(_, key)| key.0.as_bytes().to_vec()),
            server_auth: purposes.contains(&SERVER_AUTH),
            client_auth: purposes.contains(&CLIENT_AUTH),
            authority: constraints.is_some_and(|(_, constraints)| constraints.ca),
            may_issue: usage.is_some_and(|(_, usage)| usage.key_cert_sign()),
            may_sign: usage.is_some_and(|(_, usage)| usage.digital_signature()),
        })
    }

    /// The role that the purposes of a leaf and its path agree upon.
    pub(crate) fn role(&self) -> Result<Role, IdentityError> {
        let role = if self.server_auth { Role::Node } else { Role::Agent };
        match self.id.role() {
            Some(named) if named == role => Ok(role),
            _ => Err(IdentityError::RoleMismatch { id: self.id.to_string(), role }),
        }
    }

    /// Whether the certificate is valid at a moment, both ends included (RFC 5280, section
    /// 4.1.2.5).
    pub(crate) fn check_time(&self, now: SystemTime) -> Result<(), IdentityError> {
        let id = self.id.to_string();
        if now < self.not_before {
            let not_before = crate::error::rfc3339(self.not_before);
            return Err(IdentityError::NotYetValid { id, not_before });
        }
        if now > self.not_after {
            let not_after = crate::error::rfc3339(self.not_after);
            return Err(IdentityError::Expired { id, not_after });
        }
        Ok(())
    }
}

/// RFC 5280, section 4.2: an unknown extension may be passed over, unless it is critical.
fn check_critical(body: &TbsCertificate) -> Result<(), IdentityError> {
    const KNOWN: [ObjectIdentifier; 4] =
        [KeyUsage::OID, BasicConstraints::OID, ExtendedKeyUsage::OID, SubjectAltName::OID];
    let mut extensions = body.extensions().into_iter().flatten();
    if extensions.any(|extension| extension.critical && !KNOWN.contains(&extension.extn_id)) {
        return Err(refused("it has an unknown critical extension"));
    }
    Ok(())
}

fn refused(cause: &str) -> IdentityError {
    IdentityError::Malformed { what: WHAT, cause: cause.to_owned() }
}

fn only_spiffe_id(names: Option<SubjectAltName>) -> Result<SpiffeId, IdentityError> {
    let names = names.ok_or_else(|| refused("it has no subject alternative name"))?;
    let mut uris = names.0.iter().filter_map(|name| match name {
        GeneralName::UniformResourceIdentifier(uri) => Some(uri.as_str()),
        _ => None,
    });
    match (uris.next(), uris.next()) {
        (Some(uri), None) => SpiffeId::parse(uri),
        (None, _) => Err(refused("it has no SPIFFE id")),
        (Some(_), Some(_)) => Err(refused("it has more than one URI name")),
    }
}
