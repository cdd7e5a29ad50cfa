//! The target on `lockgate-crypto`: the signed document and its signature file.

use lockgate_crypto::document::{self, Document};

/// A document, then its signature file after a zero byte.
pub const DOCUMENT_SEEDS: &[&[u8]] = &[
    b"schema = \"lockgate.crypto/1\"\nepoch = 3\nissued = 2026-11-22\n\n[[profile]]\nname = \"plant@20261122\"\ngroups = [\"X25519MLKEM768\", \"X25519\"]\nsignatures = [\"ML-DSA-65\"]\nciphers = [\"TLS_AES_256_GCM_SHA384\"]\nproviders = { X25519MLKEM768 = \"aws-lc\" }\nnot_after = 2029-12-31\n\0{\"schema\":\"lockgate.crypto-signature/1\",\"signer\":\"00\",\"algorithm\":\"Ed25519\",\"signature\":\"AAAA\"}",
    b"schema = \"lockgate.crypto/1\"\nepoch = 1\nissued = \"2026-11-22\"\n[[sunset]]\nalgorithm = \"X25519\"\nwarn_after = 2027-06-30\nnot_after = 2027-12-31\n[[ban]]\nalgorithm = \"secp256r1\"\nprovider = \"aws-lc\"\nkeep_hybrids = true\nreason = \"r\"\n\0[]",
];

/// Any text is a document or is refused with places inside of it; what is read reads the same
/// again, and no signature file that nobody made is taken.
pub fn document(data: &[u8]) {
    let (text, signature) = match data.iter().position(|byte| *byte == 0) {
        Some(at) => (&data[..at], &data[at + 1..]),
        None => (data, &data[..0]),
    };
    if let Ok(signature) = std::str::from_utf8(signature) {
        assert!(document::verify(text, signature, &[b"no key".to_vec()]).is_err());
    }
    let Ok(text) = std::str::from_utf8(text) else { return };
    match Document::parse(text) {
        Ok(document) => {
            assert_eq!(Document::parse(text).as_ref(), Ok(&document));
            assert!(document.epoch > 0);
            assert!(document.follows(Some(&document.seen())).is_ok());
            for profile in &document.profiles {
                assert!(!profile.groups.is_empty() && !profile.signatures.is_empty());
            }
        }
        Err(errors) => {
            assert!(!errors.0.is_empty());
            let lines = text.split('\n').count();
            for problem in &errors.0 {
                assert!((1..=lines).contains(&problem.line) && problem.column > 0, "{problem}");
            }
        }
    }
}
