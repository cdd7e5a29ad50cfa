//! Private keys: made, stored as PKCS#8, and parsed once to sign many times.

use std::fmt;
use std::sync::Arc;

use der::asn1::OctetStringRef;
use der::{AnyRef, Decode, Encode, Reader, SliceReader, Tag};
use rustls::crypto::KeyProvider;
use rustls::sign::{Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};
use rustls_pki_types::{PrivateKeyDer, SubjectPublicKeyInfoDer};
use spki::AlgorithmIdentifierRef;
use zeroize::Zeroizing;

use crate::catalog::{self, Algorithm, Kind};
use crate::code::{NewKey, SecretKey, StoredKey};
use crate::{CryptoError, verify};

/// A private signing key of any algorithm in the catalog.
///
/// Parsed when it is made, never again: cloning and [`PrivateKey::rustls_signing_key`]
/// share one parsed key. Prints as `[redacted]`; its bytes are wiped when the last clone
/// goes.
///
/// ```
/// use lockgate_crypto::{PrivateKey, verify};
/// let key = PrivateKey::generate_algorithm("MLDSA65-Ed25519-SHA512")?;
/// let signature = key.sign(b"open the gate")?;
/// let algorithm = verify(&key.spki_der(), b"open the gate", &signature)?;
/// assert_eq!(algorithm.id, "MLDSA65-Ed25519-SHA512");
/// assert!(verify(&key.spki_der(), b"open the lock", &signature).is_err());
/// # Ok::<(), lockgate_crypto::CryptoError>(())
/// ```
#[derive(Clone)]
pub struct PrivateKey(Arc<Parsed>);

struct Parsed {
    algorithm: &'static Algorithm,
    pkcs8: Zeroizing<Vec<u8>>,
    spki: Vec<u8>,
    secret: Box<dyn SecretKey>,
}

impl PrivateKey {
    /// Makes a key of a signature algorithm.
    ///
    /// # Errors
    /// [`CryptoError::UnusableAlgorithm`] if [`PrivateKey::can_make`] says no;
    /// [`CryptoError::Library`].
    pub fn generate(algorithm: &'static Algorithm) -> Result<Self, CryptoError> {
        let id = algorithm.id;
        if algorithm.kind != Kind::Signature {
            return Err(CryptoError::unusable(id, "it is not a signature of the catalog"));
        }
        let code = algorithm.signature().filter(|code| code.makes_keys());
        let code =
            code.ok_or_else(|| CryptoError::unusable(id, "keys of this algorithm are not made here"))?;
        let pkcs8 = match code.generate()? {
            NewKey::Raw(raw) => write_pkcs8(algorithm, &raw)?,
            NewKey::Pkcs8(pkcs8) => pkcs8,
        };
        Self::from_pkcs8_der(&pkcs8)
    }

    /// Makes a key of the signature algorithm with this catalog id.
    ///
    /// # Errors
    /// As [`PrivateKey::generate`], for an unknown id too.
    pub fn generate_algorithm(id: &str) -> Result<Self, CryptoError> {
        let row = catalog::find(id);
        let row = row.ok_or_else(|| CryptoError::unusable(id, "it is not a signature of the catalog"))?;
        Self::generate(row)
    }

    /// Whether keys of this algorithm are made here. RSA keys, for one, are loaded only.
    #[must_use]
    pub fn can_make(algorithm: &Algorithm) -> bool {
        algorithm.signature().is_some_and(|code| code.makes_keys())
    }

    /// Reads a DER `PrivateKeyInfo` or `OneAsymmetricKey` (PKCS#8, RFC 5958).
    ///
    /// Composites are as in draft-ietf-lamps-pq-composite-sigs-19 (ML-DSA seed, then the
    /// traditional key), ML-DSA as in RFC 9881 (the seed is best, the expanded key is
    /// accepted), the rest as usual.
    ///
    /// # Errors
    /// [`CryptoError::MalformedKey`] or [`CryptoError::UnsupportedKey`].
    pub fn from_pkcs8_der(pkcs8: &[u8]) -> Result<Self, CryptoError> {
        let (algorithm, raw) = read_pkcs8(pkcs8)?;
        let code = algorithm.signature().expect("keys are read for rows that have code");
        let secret = code.parse(StoredKey { pkcs8, raw }).map_err(|error| match error {
            CryptoError::MalformedKey { what, reason } => {
                CryptoError::malformed(what, format!("{}: {reason}", algorithm.id))
            }
            error => error,
        })?;
        Ok(Self(Arc::new(Parsed {
            algorithm,
            pkcs8: Zeroizing::new(pkcs8.to_vec()),
            spki: verify::write_spki(algorithm, &secret.public_key()?),
            secret,
        })))
    }

    /// The key as DER PKCS#8, in the form in which it came.
    #[must_use]
    pub fn to_pkcs8_der(&self) -> Zeroizing<Vec<u8>> {
        self.0.pkcs8.clone()
    }

    /// The catalog row of the key's algorithm.
    #[must_use]
    pub fn algorithm(&self) -> &'static Algorithm {
        self.0.algorithm
    }

    /// The public key as a DER `SubjectPublicKeyInfo` (RFC 5280).
    #[must_use]
    pub fn spki_der(&self) -> Vec<u8> {
        self.0.spki.clone()
    }

    /// The DER `AlgorithmIdentifier` of signatures by this key, for certificates and CSRs.
    #[must_use]
    pub fn algorithm_identifier_der(&self) -> Vec<u8> {
        let verifier = verify::implementations(self.0.algorithm)[0];
        verify::identifier(verifier.signature_alg_id().as_ref())
    }

    /// Signs `message`, which is hashed here and must not be hashed before.
    ///
    /// # Errors
    /// [`CryptoError::Library`].
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        self.0.secret.sign(message)
    }

    /// The key as rustls wants it. Shares the parsed key; nothing is parsed again.
    #[must_use]
    pub fn rustls_signing_key(&self) -> Arc<dyn SigningKey> {
        Arc::new(self.clone())
    }

    fn scheme(&self) -> SignatureScheme {
        let code_point = self.0.algorithm.code_point;
        SignatureScheme::from(code_point.expect("algorithms with keys have a code point"))
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey({}, [redacted])", self.0.algorithm.id)
    }
}

impl SigningKey for PrivateKey {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        offered.contains(&self.scheme()).then(|| Box::new(self.clone()) as Box<dyn Signer>)
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        Some(SubjectPublicKeyInfoDer::from(self.0.spki.as_slice()))
    }

    /// Only TLS 1.2 asks, and that is never spoken.
    fn algorithm(&self) -> SignatureAlgorithm {
        SignatureAlgorithm::Unknown(0xff)
    }
}

impl Signer for PrivateKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let signed = self.0.secret.sign(message);
        signed.map_err(|error| rustls::Error::General(error.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        PrivateKey::scheme(self)
    }
}

/// Loads keys for whoever builds a rustls configuration from PKCS#8 through our provider,
/// so that composites work there too.
#[derive(Debug)]
pub(crate) struct Keys;

impl KeyProvider for Keys {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        let general = |message: String| rustls::Error::General(message);
        let PrivateKeyDer::Pkcs8(pkcs8) = &key else {
            return Err(general(
                "the private key is not PKCS#8; convert it with `openssl pkcs8 -topk8 -nocrypt`".to_owned(),
            ));
        };
        PrivateKey::from_pkcs8_der(pkcs8.secret_pkcs8_der())
            .map(|key| key.rustls_signing_key())
            .map_err(|error| general(error.to_string()))
    }
}

const PKCS8: &str = "PKCS#8 private key";

/// Algorithm and inner octets of a `OneAsymmetricKey`.
fn read_pkcs8(pkcs8: &[u8]) -> Result<(&'static Algorithm, &[u8]), CryptoError> {
    let read = || -> der::Result<_> {
        let mut reader = SliceReader::new(pkcs8)?;
        let fields = reader.sequence(|reader| -> der::Result<_> {
            let _version: u8 = reader.decode()?;
            let identifier: AlgorithmIdentifierRef<'_> = reader.decode()?;
            let raw: &OctetStringRef = reader.decode()?;
            // Attributes and a public key may follow; neither adds anything.
            while !reader.is_finished() {
                AnyRef::decode(reader)?;
            }
            Ok((identifier, raw.as_bytes()))
        })?;
        reader.finish()?;
        Ok((fields.0.to_der()?, fields.1))
    };
    let (identifier, raw) = read().map_err(|error| CryptoError::malformed(PKCS8, error))?;
    Ok((verify::row_of_identifier(&identifier)?, raw))
}

/// A version 1 `PrivateKeyInfo` around the octets of a key.
fn write_pkcs8(row: &Algorithm, raw: &[u8]) -> Result<Zeroizing<Vec<u8>>, CryptoError> {
    let body = verify::implementations(row)[0].public_key_alg_id();
    let write = || -> der::Result<Zeroizing<Vec<u8>>> {
        let key = Zeroizing::new(AnyRef::new(Tag::OctetString, raw)?.to_der()?);
        let version = 0u8.to_der()?;
        let parts = [&version, &verify::identifier(body.as_ref()), &*key];
        let fields = Zeroizing::new(parts.map(Vec::as_slice).concat());
        let info = AnyRef::new(Tag::Sequence, &fields)?.to_der()?;
        Ok(Zeroizing::new(info))
    };
    write().map_err(|error| CryptoError::malformed(PKCS8, error))
}

#[cfg(test)]
mod tests {
    use aws_lc_rs::rsa::KeyPair as RsaKeyPair;

    use super::*;

    const COMPOSITE: &str = "MLDSA65-Ed25519-SHA512";

    const MADE: [&str; 11] = [
        "MLDSA65-Ed25519-SHA512",
        "MLDSA65-ECDSA-P256-SHA512",
        "MLDSA44-Ed25519-SHA512",
        "MLDSA44-ECDSA-P256-SHA256",
        "ML-DSA-44",
        "ML-DSA-65",
        "ML-DSA-87",
        "ECDSA-P256-SHA256",
        "ECDSA-P384-SHA384",
        "Ed25519",
        "SLH-DSA-SHA2-128f",
    ];

    #[test]
    fn keys_of_every_algorithm_sign_and_round_trip() {
        for id in MADE {
            let key = PrivateKey::generate_algorithm(id).unwrap();
            assert_eq!(key.algorithm().id, id);
            let again = PrivateKey::from_pkcs8_der(&key.to_pkcs8_der()).unwrap();
            assert_eq!(again.spki_der(), key.spki_der());
            assert_eq!(*again.to_pkcs8_der(), *key.to_pkcs8_der());
            let signature = again.sign(b"message").unwrap();
            assert_eq!(verify::verify(&key.spki_der(), b"message", &signature).unwrap().id, id);
            let wrong = verify::verify(&key.spki_der(), b"massage", &signature).unwrap_err();
            assert!(matches!(wrong, CryptoError::BadSignature { .. }), "{id}");
        }
    }

    /// A certificate from outside may well be RSA.
    #[test]
    fn rsa_keys_are_read_and_sign_with_pss() {
        use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der};
        let pair = RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap();
        let pkcs8: Pkcs8V1Der<'_> = pair.as_der().unwrap();
        let key = PrivateKey::from_pkcs8_der(pkcs8.as_ref()).unwrap();
        assert_eq!(key.algorithm().id, "RSA-PSS-SHA256");
        assert_eq!(key.scheme(), SignatureScheme::RSA_PSS_SHA256);
        let signature = key.sign(b"message").unwrap();
        verify::verify(&key.spki_der(), b"message", &signature).unwrap();
        assert!(verify::verify(&key.spki_der(), b"massage", &signature).is_err());
    }

    #[test]
    fn rustls_signs_with_the_one_scheme_of_the_key() {
        let key = PrivateKey::generate_algorithm(COMPOSITE).unwrap();
        let signing = key.rustls_signing_key();
        assert!(signing.choose_scheme(&[SignatureScheme::ML_DSA_65]).is_none());
        let offered = [SignatureScheme::ED25519, SignatureScheme::from(0xfe30)];
        let signer = signing.choose_scheme(&offered).unwrap();
        assert_eq!(u16::from(signer.scheme()), 0xfe30);
        let signature = signer.sign(b"message").unwrap();
        verify::verify(&key.spki_der(), b"message", &signature).unwrap();
        assert_eq!(signing.public_key().unwrap().as_ref(), key.spki_der());
    }

    #[test]
    fn nothing_secret_is_printed() {
        for id in MADE {
            let key = PrivateKey::generate_algorithm(id).unwrap();
            assert_eq!(format!("{key:?}"), format!("PrivateKey({id}, [redacted])"));
            let signer = key.choose_scheme(&[PrivateKey::scheme(&key)]).unwrap();
            assert!(format!("{signer:?}").contains("[redacted]"));
        }
    }

    #[test]
    fn keys_that_cannot_be_made_or_read_say_why() {
        for (id, reason) in [
            ("ROT13", "not a signature"),
            ("X25519", "not a signature"),
            ("RSA-PSS-SHA256", "not made here"),
            ("FN-DSA-512", "not made here"),
        ] {
            let error = PrivateKey::generate_algorithm(id).unwrap_err().to_string();
            assert!(error.contains(id) && error.contains(reason), "{error}");
        }
        let key = PrivateKey::generate_algorithm(COMPOSITE).unwrap().to_pkcs8_der();
        let mut foreign = key.to_vec();
        let arc = foreign.windows(2).position(|w| w == [6, 48]).unwrap() + 1;
        foreign[arc] = 46;
        let error = PrivateKey::from_pkcs8_der(&foreign).unwrap_err().to_string();
        assert!(error.contains("1.3.6.1.5.5.7.6.46 is not supported"), "{error}");
        for cut in [0, 1, 20, key.len() - 1] {
            let error = PrivateKey::from_pkcs8_der(&key[..cut]).unwrap_err();
            assert!(matches!(error, CryptoError::MalformedKey { .. }), "cut at {cut}");
        }
    }

    #[test]
    fn keys_in_other_wrappings_are_refused_with_a_way_out() {
        let sec1 = PrivateKeyDer::Sec1(vec![0x30, 0].into());
        let error = Keys.load_private_key(sec1).unwrap_err().to_string();
        assert!(error.contains("openssl pkcs8"), "{error}");
    }
}
