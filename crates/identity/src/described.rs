//! What any certificate says of itself, for an inventory. Nothing is decided by it.

use std::time::SystemTime;

use der::Decode;
use lockgate_crypto::{catalog, digest};
use x509_cert::Certificate;

use crate::IdentityError;

/// A certificate for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// Distinguished name of whom it names (RFC 4514).
    pub subject: String,
    /// Distinguished name of who signed it.
    pub issuer: String,
    /// Serial number, lower-case hexadecimal.
    pub serial: String,
    /// What it was signed with: a catalog id, or the dotted object identifier.
    pub signature_algorithm: String,
    /// Start of its validity.
    pub not_before: SystemTime,
    /// End of its validity.
    pub not_after: SystemTime,
    /// SHA-256 of its DER, lower-case hexadecimal.
    pub fingerprint: String,
}

/// Reads what a certificate says of itself. Its signature is not verified.
///
/// # Errors
/// [`IdentityError::Malformed`] if it is no certificate.
pub fn describe(certificate: &[u8]) -> Result<Described, IdentityError> {
    let read = Certificate::from_der(certificate).map_err(IdentityError::malformed("the certificate"))?;
    let body = read.tbs_certificate();
    let oid = body.signature().oid.to_string();
    let validity = body.validity();
    Ok(Described {
        subject: body.subject().to_string(),
        issuer: body.issuer().to_string(),
        serial: digest::hex(body.serial_number().as_bytes()),
        signature_algorithm: catalog::by_oid(&oid).map_or(oid, |row| row.id.to_owned()),
        not_before: validity.not_before.to_system_time(),
        not_after: validity.not_after.to_system_time(),
        fingerprint: digest::hex(&digest::sha256(certificate)),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Authority;

    #[test]
    fn a_root_describes_itself() {
        let algorithm = catalog::find("ECDSA-P256-SHA256").expect("is in the catalog");
        let authority = Authority::generate("example.org", &[algorithm], SystemTime::now()).expect("made");
        let bundle = authority.bundle();
        let root = &bundle.roots()[0];
        let described = describe(root.certificate()).expect("read");
        assert_eq!(described.signature_algorithm, "ECDSA-P256-SHA256");
        assert_eq!(
            (described.not_after, described.subject.as_str()),
            (root.not_after(), described.issuer.as_str())
        );
        assert!(described.not_before < SystemTime::now() && described.serial.len() > 8);
        assert!(describe(b"no").is_err());
    }
}
