//! Making certificates (RFC 5280; X509-SVID): what goes into a root and into a leaf.

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use const_oid::AssociatedOid;
use der::asn1::{Any, Ia5String, OctetString, SetOfVec, Utf8StringRef};
use der::{Decode, Encode, Sequence};
use lockgate_crypto::{PrivateKey, digest, random};
use rustls::pki_types::CertificateDer;
use spki::{AlgorithmIdentifierOwned, SubjectPublicKeyInfoRef};
use x509_cert::attr::AttributeTypeAndValue;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, KeyUsage, KeyUsages, SubjectAltName,
    SubjectKeyIdentifier,
};
use x509_cert::ext::{Extension, Extensions};
use x509_cert::name::{Name, RdnSequence, RelativeDistinguishedName};
use x509_cert::serial_number::SerialNumber;
use x509_cert::time::{Time, Validity};

use crate::facts::{CLIENT_AUTH, SERVER_AUTH};
use crate::signed::{Signed, algorithm_of};
use crate::{IdentityError, Role, SpiffeId};

/// How far a certificate's validity reaches back, for peers whose clocks are slow.
pub(crate) const BACKDATED: Duration = Duration::from_secs(60);
/// Length of key identifiers and serial numbers in bytes.
const IDENTIFIER_BYTES: usize = 20;

const ROOT: &str = "a root certificate";
const LEAF: &str = "a leaf certificate";

/// `TBSCertificate` (RFC 5280, section 4.1) as this crate fills it: version 3, no unique ids.
/// The type of `x509-cert` has the same shape, but can only be filled by its own builder, whose
/// signers know single algorithms.
#[derive(Sequence)]
struct Body {
    #[asn1(context_specific = "0", tag_mode = "EXPLICIT")]
    version: u8,
    serial_number: SerialNumber,
    signature: AlgorithmIdentifierOwned,
    issuer: Name,
    validity: Validity,
    subject: Name,
    subject_public_key_info: Any,
    #[asn1(context_specific = "3", tag_mode = "EXPLICIT")]
    extensions: Extensions,
}

/// Version 3 is written as 2.
const VERSION_3: u8 = 2;

/// A key that signs leaves, and the name and key identifier under which it does.
pub(crate) struct Issuer {
    pub(crate) key: PrivateKey,
    name: Name,
    key_id: Vec<u8>,
}

/// What a leaf is to say.
pub(crate) struct LeafContent<'a> {
    pub(crate) spki_der: &'a [u8],
    pub(crate) id: &'a SpiffeId,
    pub(crate) role: Role,
    pub(crate) dns_names: &'a [String],
    pub(crate) ips: &'a [IpAddr],
    pub(crate) not_before: SystemTime,
    pub(crate) not_after: SystemTime,
}

impl Issuer {
    /// Prepares a key to sign. The name carries a part of the key identifier, so that the roots of
    /// two authorities are never taken for each other.
    pub(crate) fn new(key: PrivateKey) -> Result<Self, IdentityError> {
        let key_id = key_id(&key.spki_der())?;
        let algorithm = key.algorithm().id;
        let name = common_name(&format!("Lockgate {algorithm} root {}", digest::hex(&key_id[..4])))?;
        Ok(Self { key, name, key_id })
    }

    /// The self-signed certificate of this issuer.
    pub(crate) fn root_certificate(
        &self,
        trust_domain: &SpiffeId,
        not_before: SystemTime,
        not_after: SystemTime,
    ) -> Result<CertificateDer<'static>, IdentityError> {
        let spki_der = self.key.spki_der();
        let constraints = BasicConstraints { ca: true, path_len_constraint: Some(0) };
        let usage = KeyUsage(KeyUsages::KeyCertSign | KeyUsages::CRLSign);
        let extensions = vec![
            extension(ROOT, false, &subject_key_id(&self.key_id)?)?,
            extension(ROOT, true, &constraints)?,
            extension(ROOT, true, &usage)?,
            extension(ROOT, false, &SubjectAltName(vec![uri(trust_domain)?]))?,
        ];
        let subject = self.name.clone();
        let body = self.body(ROOT, subject, &spki_der, (not_before, not_after), extensions)?;
        self.sign(ROOT, &body)
    }

    /// A leaf signed by this issuer, and its serial number in hexadecimal.
    pub(crate) fn leaf_certificate(
        &self,
        leaf: &LeafContent<'_>,
    ) -> Result<(CertificateDer<'static>, String), IdentityError> {
        let body = self.leaf_body(leaf)?;
        let serial = digest::hex(body.serial_number.as_bytes());
        Ok((self.sign(LEAF, &body)?, serial))
    }

    fn leaf_body(&self, leaf: &LeafContent<'_>) -> Result<Body, IdentityError> {
        let mut names = vec![uri(leaf.id)?];
        for name in leaf.dns_names {
            let name = Ia5String::new(name).map_err(IdentityError::encode(LEAF))?;
            names.push(GeneralName::DnsName(name));
        }
        names.extend(leaf.ips.iter().map(|ip| GeneralName::from(*ip)));
        let purposes = match leaf.role {
            Role::Node => vec![SERVER_AUTH, CLIENT_AUTH],
            Role::Agent => vec![CLIENT_AUTH],
        };
        let issuer_key = AuthorityKeyIdentifier {
            key_identifier: Some(octets(&self.key_id)?),
            ..AuthorityKeyIdentifier::default()
        };
        let extensions = vec![
            extension(LEAF, false, &issuer_key)?,
            extension(LEAF, false, &subject_key_id(&key_id(leaf.spki_der)?)?)?,
            // Clients of SPIFFE look for it in leaves, too (X509-SVID, section 4.1).
            extension(LEAF, true, &BasicConstraints { ca: false, path_len_constraint: None })?,
            extension(LEAF, true, &KeyUsage(KeyUsages::DigitalSignature.into()))?,
            extension(LEAF, false, &ExtendedKeyUsage(purposes))?,
            // Critical because the subject is empty (RFC 5280, section 4.2.1.6).
            extension(LEAF, true, &SubjectAltName(names))?,
        ];
        let validity = (leaf.not_before, leaf.not_after);
        self.body(LEAF, Name::default(), leaf.spki_der, validity, extensions)
    }

    /// A signed leaf that an authority would not make.
    #[cfg(test)]
    pub(crate) fn odd_leaf(
        &self,
        leaf: &LeafContent<'_>,
        edit: impl FnOnce(&mut Extensions),
    ) -> CertificateDer<'static> {
        let mut body = self.leaf_body(leaf).expect("the content can be encoded");
        edit(&mut body.extensions);
        self.sign(LEAF, &body).expect("the body can be signed")
    }

    fn body(
        &self,
        what: &'static str,
        subject: Name,
        spki_der: &[u8],
        (not_before, not_after): (SystemTime, SystemTime),
        extensions: Extensions,
    ) -> Result<Body, IdentityError> {
        let time = |moment| Time::try_from(moment).map_err(IdentityError::encode(what));
        Ok(Body {
            version: VERSION_3,
            serial_number: random_serial()?,
            signature: algorithm_of(&self.key)?,
            issuer: self.name.clone(),
            validity: Validity::new(time(not_before)?, time(not_after)?),
            subject,
            subject_public_key_info: Any::from_der(spki_der)
                .map_err(IdentityError::malformed("the public key"))?,
            extensions,
        })
    }

    fn sign(&self, what: &'static str, body: &Body) -> Result<CertificateDer<'static>, IdentityError> {
        let der = body.to_der().map_err(IdentityError::encode(what))?;
        Signed::seal(what, &der, &self.key).map(CertificateDer::from)
    }
}

/// Twenty random bytes, positive and without a leading zero byte (RFC 5280, section 4.1.2.2), so
/// 158 bits that nobody can guess.
fn random_serial() -> Result<SerialNumber, IdentityError> {
    let mut bytes = [0u8; IDENTIFIER_BYTES];
    random::fill(&mut bytes);
    bytes[0] = bytes[0] & 0x7f | 0x40;
    SerialNumber::new(&bytes).map_err(IdentityError::encode("a serial number"))
}

/// Key identifier: the first 160 bits of SHA-256 over the key bits (RFC 7093, section 2, method 1).
fn key_id(spki_der: &[u8]) -> Result<Vec<u8>, IdentityError> {
    let spki = SubjectPublicKeyInfoRef::from_der(spki_der)
        .map_err(|error| IdentityError::Malformed { what: "the public key", cause: error.to_string() })?;
    let hash = digest::sha256(spki.subject_public_key.raw_bytes());
    Ok(hash[..IDENTIFIER_BYTES].to_vec())
}

fn common_name(text: &str) -> Result<Name, IdentityError> {
    const COMMON_NAME: der::asn1::ObjectIdentifier = const_oid::db::rfc4519::COMMON_NAME;
    let build = || -> der::Result<Name> {
        let attribute =
            AttributeTypeAndValue { oid: COMMON_NAME, value: Any::from(Utf8StringRef::new(text)?) };
        let names = RelativeDistinguishedName::from(SetOfVec::try_from(vec![attribute])?);
        Name::from_der(&RdnSequence::from(vec![names]).to_der()?)
    };
    build().map_err(IdentityError::encode("a name"))
}

fn uri(id: &SpiffeId) -> Result<GeneralName, IdentityError> {
    Ia5String::new(id.as_str())
        .map(GeneralName::UniformResourceIdentifier)
        .map_err(IdentityError::encode("a SPIFFE id"))
}

fn octets(bytes: &[u8]) -> Result<OctetString, IdentityError> {
    OctetString::new(bytes).map_err(IdentityError::encode("a key identifier"))
}

fn subject_key_id(key_id: &[u8]) -> Result<SubjectKeyIdentifier, IdentityError> {
    octets(key_id).map(SubjectKeyIdentifier)
}

fn extension<T: AssociatedOid + Encode>(
    what: &'static str,
    critical: bool,
    value: &T,
) -> Result<Extension, IdentityError> {
    let encode = IdentityError::encode(what);
    let der = value.to_der().map_err(&encode)?;
    Ok(Extension { extn_id: T::OID, critical, extn_value: OctetString::new(der).map_err(encode)? })
}
