//! The `SIGNED` shape that certificates and certification requests share (RFC 5280, section
//! 4.1.1; RFC 2986, section 4.2): a body, the algorithm, and a signature over the body's DER.

use der::asn1::{Any, BitString};
use der::{Decode, Encode, Sequence};
use lockgate_crypto::{Algorithm, PrivateKey};
use spki::AlgorithmIdentifierOwned;

use crate::IdentityError;

/// A signed body. The body stays in the bytes that were signed.
#[derive(Sequence)]
pub(crate) struct Signed {
    body: Any,
    algorithm: AlgorithmIdentifierOwned,
    signature: BitString,
}

impl Signed {
    /// Signs a DER body and answers the DER of the whole.
    pub(crate) fn seal(what: &'static str, body: &[u8], key: &PrivateKey) -> Result<Vec<u8>, IdentityError> {
        let encode = IdentityError::encode(what);
        Self {
            body: Any::from_der(body).map_err(&encode)?,
            algorithm: algorithm_of(key)?,
            signature: BitString::from_bytes(&key.sign(body)?).map_err(&encode)?,
        }
        .to_der()
        .map_err(encode)
    }

    /// Reads a signed body; nothing is verified yet.
    pub(crate) fn open(what: &'static str, der: &[u8]) -> Result<Self, IdentityError> {
        Self::from_der(der).map_err(IdentityError::malformed(what))
    }

    /// Verifies the signature with a subject public key info, and answers the key's algorithm.
    pub(crate) fn verify(
        &self,
        what: &'static str,
        spki_der: &[u8],
    ) -> Result<&'static Algorithm, IdentityError> {
        let body = self.body_der(what)?;
        let signature = self.signature.as_bytes().ok_or(IdentityError::BadSignature { what })?;
        let algorithm = lockgate_crypto::verify(spki_der, &body, signature)
            .map_err(|_| IdentityError::BadSignature { what })?;
        if algorithm.oid != Some(self.algorithm.oid.to_string().as_str()) {
            return Err(IdentityError::BadSignature { what });
        }
        Ok(algorithm)
    }

    /// The DER of the body. Re-encoding gives the same bytes: DER has one form for each length,
    /// and the decoder refuses every other.
    pub(crate) fn body_der(&self, what: &'static str) -> Result<Vec<u8>, IdentityError> {
        self.body.to_der().map_err(IdentityError::encode(what))
    }
}

/// The algorithm identifier that a key's signatures carry.
pub(crate) fn algorithm_of(key: &PrivateKey) -> Result<AlgorithmIdentifierOwned, IdentityError> {
    AlgorithmIdentifierOwned::from_der(&key.algorithm_identifier_der())
        .map_err(IdentityError::encode("an algorithm identifier"))
}
