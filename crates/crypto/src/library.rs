//! Signature algorithms that aws-lc-rs has whole: ML-DSA, ECDSA, Ed25519, RSA.

use std::fmt;

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1_SIGNING, ECDSA_P384_SHA384_ASN1_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair, ML_DSA_44_SIGNING, ML_DSA_65_SIGNING, ML_DSA_87_SIGNING, PqdsaKeyPair,
    PqdsaSigningAlgorithm, RSA_PSS_SHA256, RsaKeyPair,
};
use webpki::aws_lc_rs as library;
use zeroize::Zeroizing;

use crate::CryptoError;
use crate::code::{NewKey, SecretKey, SignatureCode, StoredKey, Verifier};

const NOT_MADE: CryptoError = CryptoError::Library { operation: "generate a key" };
const NOT_SIGNED: CryptoError = CryptoError::Library { operation: "sign" };

fn malformed(reason: impl fmt::Display) -> CryptoError {
    CryptoError::malformed("PKCS#8 private key", reason)
}

/// ML-DSA (FIPS 204) alone, with the empty context that TLS and X.509 have.
#[derive(Debug)]
pub(crate) struct MlDsa {
    parameters: &'static PqdsaSigningAlgorithm,
    verifiers: [Verifier; 1],
}

pub(crate) static ML_DSA_44: MlDsa =
    MlDsa { parameters: &ML_DSA_44_SIGNING, verifiers: [library::ML_DSA_44] };
pub(crate) static ML_DSA_65: MlDsa =
    MlDsa { parameters: &ML_DSA_65_SIGNING, verifiers: [library::ML_DSA_65] };
pub(crate) static ML_DSA_87: MlDsa =
    MlDsa { parameters: &ML_DSA_87_SIGNING, verifiers: [library::ML_DSA_87] };

impl SignatureCode for MlDsa {
    fn verifiers(&'static self) -> &'static [Verifier] {
        &self.verifiers
    }

    fn generate(&self) -> Result<NewKey, CryptoError> {
        let pair = PqdsaKeyPair::generate(self.parameters).map_err(|_| NOT_MADE)?;
        let pkcs8 = pair.to_pkcs8v1().map_err(|_| NOT_MADE)?;
        Ok(NewKey::Pkcs8(Zeroizing::new(pkcs8.as_ref().to_vec())))
    }

    fn parse(&'static self, key: StoredKey<'_>) -> Result<Box<dyn SecretKey>, CryptoError> {
        let pair = PqdsaKeyPair::from_pkcs8(self.parameters, key.pkcs8).map_err(malformed)?;
        Ok(Box::new(pair))
    }
}

impl SecretKey for PqdsaKeyPair {
    fn public_key(&self) -> Result<Vec<u8>, CryptoError> {
        Ok(KeyPair::public_key(self).as_ref().to_vec())
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let mut signature = vec![0; self.algorithm().signature_len()];
        let length = PqdsaKeyPair::sign(self, message, &mut signature).map_err(|_| NOT_SIGNED)?;
        signature.truncate(length);
        Ok(signature)
    }
}

/// ECDSA (FIPS 186-5) with the hash that TLS 1.3 fixes for the curve.
#[derive(Debug)]
pub(crate) struct Ecdsa {
    parameters: &'static EcdsaSigningAlgorithm,
    verifiers: [Verifier; 1],
}

pub(crate) static ECDSA_P256: Ecdsa =
    Ecdsa { parameters: &ECDSA_P256_SHA256_ASN1_SIGNING, verifiers: [library::ECDSA_P256_SHA256] };
pub(crate) static ECDSA_P384: Ecdsa =
    Ecdsa { parameters: &ECDSA_P384_SHA384_ASN1_SIGNING, verifiers: [library::ECDSA_P384_SHA384] };

impl SignatureCode for Ecdsa {
    fn verifiers(&'static self) -> &'static [Verifier] {
        &self.verifiers
    }

    fn generate(&self) -> Result<NewKey, CryptoError> {
        let document = EcdsaKeyPair::generate_pkcs8(self.parameters, &SystemRandom::new());
        Ok(NewKey::Pkcs8(Zeroizing::new(document.map_err(|_| NOT_MADE)?.as_ref().to_vec())))
    }

    fn parse(&'static self, key: StoredKey<'_>) -> Result<Box<dyn SecretKey>, CryptoError> {
        let pair = EcdsaKeyPair::from_pkcs8(self.parameters, key.pkcs8).map_err(malformed)?;
        Ok(Box::new(pair))
    }
}

impl SecretKey for EcdsaKeyPair {
    fn public_key(&self) -> Result<Vec<u8>, CryptoError> {
        Ok(KeyPair::public_key(self).as_ref().to_vec())
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let signature = EcdsaKeyPair::sign(self, &SystemRandom::new(), message);
        Ok(signature.map_err(|_| NOT_SIGNED)?.as_ref().to_vec())
    }
}

/// Ed25519 (RFC 8032).
#[derive(Debug)]
pub(crate) struct Ed25519;

pub(crate) static ED25519: Ed25519 = Ed25519;
static ED25519_VERIFIERS: [Verifier; 1] = [library::ED25519];

impl SignatureCode for Ed25519 {
    fn verifiers(&'static self) -> &'static [Verifier] {
        &ED25519_VERIFIERS
    }

    /// Version 1, without the public key: every other library reads that.
    fn generate(&self) -> Result<NewKey, CryptoError> {
        let document = Ed25519KeyPair::generate_pkcs8v1(&SystemRandom::new());
        Ok(NewKey::Pkcs8(Zeroizing::new(document.map_err(|_| NOT_MADE)?.as_ref().to_vec())))
    }

    fn parse(&'static self, key: StoredKey<'_>) -> Result<Box<dyn SecretKey>, CryptoError> {
        let pair = Ed25519KeyPair::from_pkcs8_maybe_unchecked(key.pkcs8).map_err(malformed)?;
        Ok(Box::new(pair))
    }
}

impl SecretKey for Ed25519KeyPair {
    fn public_key(&self) -> Result<Vec<u8>, CryptoError> {
        Ok(KeyPair::public_key(self).as_ref().to_vec())
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        Ok(self.try_sign(message).map_err(|_| NOT_SIGNED)?.as_ref().to_vec())
    }
}

/// RSA (RFC 8017), 2048 bits and more. Keys come from outside and are never made here; they
/// sign with PSS and SHA-256.
#[derive(Debug)]
pub(crate) struct Rsa {
    verifiers: &'static [Verifier],
}

pub(crate) static RSA_PSS_SHA256_CODE: Rsa =
    Rsa { verifiers: &[library::RSA_PSS_2048_8192_SHA256_LEGACY_KEY] };
pub(crate) static RSA_PSS_SHA384_CODE: Rsa =
    Rsa { verifiers: &[library::RSA_PSS_2048_8192_SHA384_LEGACY_KEY] };
pub(crate) static RSA_PSS_SHA512_CODE: Rsa =
    Rsa { verifiers: &[library::RSA_PSS_2048_8192_SHA512_LEGACY_KEY] };
// RFC 4055 section 5 has us accept the parameters absent as well as NULL.
pub(crate) static RSA_PKCS1_SHA256_CODE: Rsa = Rsa {
    verifiers: &[library::RSA_PKCS1_2048_8192_SHA256, library::RSA_PKCS1_2048_8192_SHA256_ABSENT_PARAMS],
};
pub(crate) static RSA_PKCS1_SHA384_CODE: Rsa = Rsa {
    verifiers: &[library::RSA_PKCS1_2048_8192_SHA384, library::RSA_PKCS1_2048_8192_SHA384_ABSENT_PARAMS],
};
pub(crate) static RSA_PKCS1_SHA512_CODE: Rsa = Rsa {
    verifiers: &[library::RSA_PKCS1_2048_8192_SHA512, library::RSA_PKCS1_2048_8192_SHA512_ABSENT_PARAMS],
};

impl SignatureCode for Rsa {
    fn verifiers(&'static self) -> &'static [Verifier] {
        self.verifiers
    }

    fn makes_keys(&self) -> bool {
        false
    }

    fn generate(&self) -> Result<NewKey, CryptoError> {
        Err(NOT_MADE)
    }

    fn parse(&'static self, key: StoredKey<'_>) -> Result<Box<dyn SecretKey>, CryptoError> {
        Ok(Box::new(RsaKeyPair::from_pkcs8(key.pkcs8).map_err(malformed)?))
    }
}

impl SecretKey for RsaKeyPair {
    fn public_key(&self) -> Result<Vec<u8>, CryptoError> {
        Ok(KeyPair::public_key(self).as_ref().to_vec())
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let mut signature = vec![0; self.public_modulus_len()];
        RsaKeyPair::sign(self, &RSA_PSS_SHA256, &SystemRandom::new(), message, &mut signature)
            .map_err(|_| NOT_SIGNED)?;
        Ok(signature)
    }
}
