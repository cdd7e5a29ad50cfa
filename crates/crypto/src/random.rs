//! Random bytes from the operating system, through the cryptographic library.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use zeroize::Zeroizing;

/// Fills `out` with random bytes fit for keys.
///
/// # Panics
/// If the operating system has no randomness to give. Nothing safe can follow that, so
/// it is not an error that a caller could handle.
pub fn fill(out: &mut [u8]) {
    aws_lc_rs::rand::fill(out).expect("the operating system provides randomness");
}

/// An unguessable token of `bytes` random bytes, in base64url without padding
/// (RFC 4648 section 5). Sixteen bytes make an identifier, 32 a secret.
#[must_use]
pub fn token_base64url(bytes: usize) -> String {
    let mut raw = Zeroizing::new(vec![0; bytes]);
    fill(&mut raw);
    URL_SAFE_NO_PAD.encode(raw.as_slice())
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn tokens_are_url_safe_of_the_right_length_and_distinct() {
        let tokens: HashSet<String> = (0..64).map(|_| token_base64url(32)).collect();
        assert_eq!(tokens.len(), 64);
        for token in &tokens {
            assert_eq!(token.len(), 43);
            assert!(token.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'));
        }
        assert_eq!(token_base64url(0), "");
    }
}
