//! Transparency logs as C2SP has them: the tree, its tiles, signed checkpoints and proofs. Pure: bytes in, bytes out.

pub mod checkpoint;
pub mod merkle;
pub mod note;
pub mod proof;
pub mod tile;
pub mod witness;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use merkle::Hash;

/// Why a note, a checkpoint, a tile or a proof is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TlogError {
    /// The bytes are not of the format.
    #[error("{what}: {why}")]
    Malformed {
        /// What was read, for example `checkpoint`.
        what: &'static str,
        /// What is wrong with it.
        why: &'static str,
    },
    /// No line of this key is under the note.
    #[error("{what} is not signed by the key {key}")]
    Unsigned {
        /// What was to be signed.
        what: &'static str,
        /// The key, by name and id.
        key: String,
    },
    /// There is a line of this key, and it does not verify.
    #[error(
        "{what} has a signature of the key {key} that does not verify: it was changed, or another key stands behind the name"
    )]
    BadSignature {
        /// What was signed.
        what: &'static str,
        /// The key, by name and id.
        key: String,
    },
    /// The proof leads to another root.
    #[error("the proof does not lead from the record to the root of the checkpoint")]
    NotIncluded,
    /// Signing failed.
    #[error("cannot sign: {cause}")]
    Sign {
        /// What the library said.
        cause: String,
    },
}

impl From<lockgate_crypto::CryptoError> for TlogError {
    fn from(error: lockgate_crypto::CryptoError) -> Self {
        TlogError::Sign { cause: error.to_string() }
    }
}

pub(crate) fn malformed(what: &'static str, why: &'static str) -> TlogError {
    TlogError::Malformed { what, why }
}

/// Base64 with padding, as all formats here have it.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}

/// Reads base64 in its one canonical form.
pub(crate) fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

pub(crate) fn decode_hash(text: &str) -> Option<Hash> {
    decode(text)?.try_into().ok()
}

/// A decimal number as the formats write it: digits, and no zero in front.
pub(crate) fn decode_number(text: &str) -> Option<u64> {
    let is_canonical = text == "0" || !text.starts_with('0');
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    (is_canonical && digits).then(|| text.parse().ok()).flatten()
}
