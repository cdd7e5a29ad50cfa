//! ML-DSA (FIPS 204) with a context string: the one file with `unsafe`.
//!
//! A composite signature gives ML-DSA the composite's label as its FIPS 204 context, so
//! that neither half can be lifted out and passed off as a signature of its own. The safe
//! interface of `aws-lc-rs` signs with the empty context only; AWS-LC itself takes one
//! through `EVP_PKEY_CTX_set1_signature_context_string`, so this file calls the C library.
//!
//! What makes it sound, once for the whole file:
//!
//! * **Ownership.** [`Pkey`] and [`DigestContext`] each own one pointer that AWS-LC
//!   allocated, are made only from non-null ones, cannot be copied, and free it once, in
//!   `Drop`. The `EVP_PKEY_CTX` that `EVP_Digest*Init` returns belongs to the digest
//!   context (`evp.h`) and is used only while that is alive; it is never freed here.
//! * **Memory.** AWS-LC copies seeds, public keys and context strings into its own
//!   buffers, and wipes those when it frees them (`OPENSSL_free` cleanses). It reads
//!   `length` bytes from a slice and writes at most `*length` bytes to a buffer, and each
//!   pair of pointer and length below comes from one live slice.
//! * **Threads.** After construction a key is only read. AWS-LC documents signing and
//!   verifying as non-mutating, free to run concurrently on one `EVP_PKEY`, whose
//!   reference count is atomic; hence `Send` and `Sync`.

#![allow(unsafe_code)]

use std::fmt;
use std::ptr::{self, NonNull};

use aws_lc_sys::{
    EVP_DigestSign, EVP_DigestSignInit, EVP_DigestVerify, EVP_DigestVerifyInit, EVP_MD_CTX, EVP_MD_CTX_free,
    EVP_MD_CTX_new, EVP_PKEY, EVP_PKEY_CTX, EVP_PKEY_CTX_set1_signature_context_string, EVP_PKEY_free,
    EVP_PKEY_get_raw_public_key, EVP_PKEY_pqdsa_new_raw_private_key, EVP_PKEY_pqdsa_new_raw_public_key,
    NID_MLDSA44, NID_MLDSA65,
};

use crate::CryptoError;

/// Length of an ML-DSA seed (FIPS 204's ξ) in bytes, for every parameter set.
pub(crate) const SEED_BYTES: usize = 32;

/// Longest context string in bytes (FIPS 204 section 5.2: its length fits in one byte).
const CONTEXT_BYTES_MAX: usize = 255;

/// The parameter sets that composites use (FIPS 204 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ParameterSet {
    /// ML-DSA-44, category 2.
    MlDsa44,
    /// ML-DSA-65, category 3.
    MlDsa65,
}

impl ParameterSet {
    /// Length of an encoded public key in bytes (FIPS 204 table 2).
    pub(crate) const fn public_key_bytes(self) -> usize {
        match self {
            Self::MlDsa44 => 1312,
            Self::MlDsa65 => 1952,
        }
    }

    /// Length of a signature in bytes (FIPS 204 table 2).
    pub(crate) const fn signature_bytes(self) -> usize {
        match self {
            Self::MlDsa44 => 2420,
            Self::MlDsa65 => 3309,
        }
    }

    const fn nid(self) -> i32 {
        match self {
            Self::MlDsa44 => NID_MLDSA44,
            Self::MlDsa65 => NID_MLDSA65,
        }
    }
}

/// A private key, expanded from its seed once and used many times.
pub(crate) struct SigningKey {
    pkey: Pkey,
    parameters: ParameterSet,
}

impl SigningKey {
    /// Expands the key pair of `seed` (FIPS 204 algorithm 6).
    pub(crate) fn from_seed(parameters: ParameterSet, seed: &[u8; SEED_BYTES]) -> Result<Self, CryptoError> {
        // SAFETY: pointer and length are those of `seed`, which AWS-LC copies. The result
        // is null or a key that we now own.
        let pkey = unsafe { EVP_PKEY_pqdsa_new_raw_private_key(parameters.nid(), seed.as_ptr(), seed.len()) };
        let pkey = Pkey::owned(pkey, "expand an ML-DSA seed")?;
        Ok(Self { pkey, parameters })
    }

    /// The encoded public key.
    pub(crate) fn public_key(&self) -> Result<Vec<u8>, CryptoError> {
        let mut out = vec![0; self.parameters.public_key_bytes()];
        let mut length = out.len();
        // SAFETY: the key is alive; `out` has room for `length` bytes, and AWS-LC fails
        // rather than write more.
        let done =
            unsafe { EVP_PKEY_get_raw_public_key(self.pkey.as_ptr(), out.as_mut_ptr(), &raw mut length) };
        if done == 1 && length == out.len() { Ok(out) } else { Err(library("encode an ML-DSA public key")) }
    }

    /// Signs `message` under `context` (FIPS 204 algorithm 2, hedged).
    pub(crate) fn sign(&self, context: &[u8], message: &[u8]) -> Result<Vec<u8>, CryptoError> {
        let digest = DigestContext::new(&self.pkey, context, EVP_DigestSignInit)?;
        let mut signature = vec![0; self.parameters.signature_bytes()];
        let mut length = signature.len();
        // SAFETY: `digest` is initialised for signing and holds the key alive; `signature`
        // has room for `length` bytes, and AWS-LC fails rather than write more; pointer
        // and length of the message come from one slice.
        let done = unsafe {
            EVP_DigestSign(
                digest.as_ptr(),
                signature.as_mut_ptr(),
                &raw mut length,
                message.as_ptr(),
                message.len(),
            )
        };
        if done == 1 && length == signature.len() { Ok(signature) } else { Err(library("sign with ML-DSA")) }
    }
}

impl fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}([redacted])", self.parameters)
    }
}

/// Whether `signature` is one of `message` under `context` by `public_key` (FIPS 204
/// algorithm 3). Anything malformed is not a signature.
pub(crate) fn verify(
    parameters: ParameterSet,
    public_key: &[u8],
    context: &[u8],
    message: &[u8],
    signature: &[u8],
) -> bool {
    // SAFETY: pointer and length are those of `public_key`, which AWS-LC copies after it
    // checked the length. The result is null or a key that we now own.
    let pkey =
        unsafe { EVP_PKEY_pqdsa_new_raw_public_key(parameters.nid(), public_key.as_ptr(), public_key.len()) };
    let Ok(pkey) = Pkey::owned(pkey, "read an ML-DSA public key") else {
        return false;
    };
    let Ok(digest) = DigestContext::new(&pkey, context, EVP_DigestVerifyInit) else {
        return false;
    };
    // SAFETY: `digest` is initialised for verifying and holds the key alive; both pairs of
    // pointer and length come from one slice each and are only read.
    let valid = unsafe {
        EVP_DigestVerify(
            digest.as_ptr(),
            signature.as_ptr(),
            signature.len(),
            message.as_ptr(),
            message.len(),
        )
    };
    valid == 1
}

/// An `EVP_PKEY` that we own.
struct Pkey(NonNull<EVP_PKEY>);

// SAFETY: see "Threads" above.
unsafe impl Send for Pkey {}
// SAFETY: see "Threads" above.
unsafe impl Sync for Pkey {}

impl Pkey {
    fn owned(pkey: *mut EVP_PKEY, operation: &'static str) -> Result<Self, CryptoError> {
        NonNull::new(pkey).map(Self).ok_or_else(|| library(operation))
    }

    fn as_ptr(&self) -> *mut EVP_PKEY {
        self.0.as_ptr()
    }
}

impl Drop for Pkey {
    fn drop(&mut self) {
        // SAFETY: this is the one owner; digest contexts hold counted references.
        unsafe { EVP_PKEY_free(self.0.as_ptr()) }
    }
}

/// `EVP_DigestSignInit` or `EVP_DigestVerifyInit`.
type Init = unsafe extern "C" fn(
    *mut EVP_MD_CTX,
    *mut *mut EVP_PKEY_CTX,
    *const aws_lc_sys::EVP_MD,
    *mut aws_lc_sys::ENGINE,
    *mut EVP_PKEY,
) -> i32;

/// An `EVP_MD_CTX` that we own, ready to sign or verify one message.
struct DigestContext(NonNull<EVP_MD_CTX>);

impl DigestContext {
    fn new(pkey: &Pkey, context: &[u8], init: Init) -> Result<Self, CryptoError> {
        const OPERATION: &str = "prepare ML-DSA with a context";
        if context.len() > CONTEXT_BYTES_MAX {
            return Err(library(OPERATION));
        }
        // SAFETY: no arguments; the result is null or a context that we now own.
        let digest = unsafe { EVP_MD_CTX_new() };
        let digest = Self(NonNull::new(digest).ok_or_else(|| library(OPERATION))?);
        let mut parameters: *mut EVP_PKEY_CTX = ptr::null_mut();
        // SAFETY: digest context and key are alive. No digest and no engine is what
        // AWS-LC asks of ML-DSA, which hashes by itself. The call counts its own
        // reference to the key and lends us `parameters` for as long as `digest` lives.
        let ready = unsafe {
            init(digest.as_ptr(), &raw mut parameters, ptr::null(), ptr::null_mut(), pkey.as_ptr())
        };
        if ready != 1 || parameters.is_null() {
            return Err(library(OPERATION));
        }
        // SAFETY: `parameters` was just lent to us and `digest` is alive; pointer and
        // length come from one slice, which AWS-LC copies.
        let ready = unsafe {
            EVP_PKEY_CTX_set1_signature_context_string(parameters, context.as_ptr(), context.len())
        };
        if ready == 1 { Ok(digest) } else { Err(library(OPERATION)) }
    }

    fn as_ptr(&self) -> *mut EVP_MD_CTX {
        self.0.as_ptr()
    }
}

impl Drop for DigestContext {
    fn drop(&mut self) {
        // SAFETY: this is the one owner; the parameters that it lent die with it, and
        // nothing kept them.
        unsafe { EVP_MD_CTX_free(self.0.as_ptr()) }
    }
}

fn library(operation: &'static str) -> CryptoError {
    CryptoError::Library { operation }
}
