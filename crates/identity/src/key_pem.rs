//! Private keys as PEM (RFC 7468, `PRIVATE KEY`, PKCS#8), without copies left in memory.
//!
//! The PEM readers at hand leave the text of the key in freed buffers, so the few lines that it
//! takes are here.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lockgate_crypto::PrivateKey;
use zeroize::Zeroizing;

use crate::IdentityError;

const BEGIN: &str = "-----BEGIN PRIVATE KEY-----";
const END: &str = "-----END PRIVATE KEY-----";
const WHAT: &str = "the private key";

/// A private key as a PEM block. Secret.
pub(crate) fn write(key: &PrivateKey) -> Zeroizing<String> {
    let der = key.to_pkcs8_der();
    let pem = der::pem::encode_string("PRIVATE KEY", der::pem::LineEnding::LF, &der);
    Zeroizing::new(pem.expect("a private key is far below the size limit of PEM"))
}

/// All private keys in a text, in their order, and what stands after the last one. What is
/// between them is passed over. The rest is free of secrets and may go to any reader.
pub(crate) fn read_all(pem: &[u8]) -> Result<(Vec<PrivateKey>, &str), IdentityError> {
    let mut rest = std::str::from_utf8(pem).map_err(|_| refused("it is not text"))?;
    let mut keys = Vec::new();
    while let Some((_, after)) = rest.split_once(BEGIN) {
        let (body, after) = after.split_once(END).ok_or_else(|| refused("its PEM block has no end"))?;
        keys.push(read_body(body)?);
        rest = after;
    }
    Ok((keys, rest))
}

/// The one private key of a text, and what stands after it.
pub(crate) fn read_one(pem: &[u8]) -> Result<(PrivateKey, &str), IdentityError> {
    let (mut keys, rest) = read_all(pem)?;
    match (keys.pop(), keys.is_empty()) {
        (Some(key), true) => Ok((key, rest)),
        (Some(_), false) => Err(refused("there is more than one")),
        (None, _) => Err(refused(
            "there is no PKCS#8 block PRIVATE KEY; convert other forms with `openssl pkcs8 -topk8 \
             -nocrypt`",
        )),
    }
}

fn read_body(body: &str) -> Result<PrivateKey, IdentityError> {
    // Room for everything at once: a growing buffer would leave copies behind.
    let mut text = Zeroizing::new(Vec::with_capacity(body.len()));
    text.extend(body.bytes().filter(|byte| !byte.is_ascii_whitespace()));
    let mut der = Zeroizing::new(vec![0; base64::decoded_len_estimate(text.len())]);
    let length =
        STANDARD.decode_slice(text.as_slice(), &mut der).map_err(|_| refused("its PEM block is damaged"))?;
    Ok(PrivateKey::from_pkcs8_der(&der[..length])?)
}

fn refused(cause: &str) -> IdentityError {
    IdentityError::Malformed { what: WHAT, cause: cause.to_owned() }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::tests::all;

    #[test]
    fn keys_come_back_as_they_were_whatever_is_around_them() {
        let keys = all().map(|algorithm| PrivateKey::generate(algorithm).unwrap());
        let text: String = keys.iter().map(|key| write(key).to_string()).collect();
        let windows = format!("a comment\n{}", text.replace('\n', "\r\n"));
        for text in [text, windows] {
            let (read, rest) = read_all(text.as_bytes()).unwrap();
            assert_eq!(rest.trim(), "");
            let spki = |keys: &[PrivateKey]| keys.iter().map(PrivateKey::spki_der).collect::<Vec<_>>();
            assert_eq!(spki(&read), spki(&keys));
            assert!(read_one(text.as_bytes()).is_err(), "three are not one");
        }
    }

    #[test]
    fn what_is_no_key_says_why() {
        for (text, reason) in [
            ("", "openssl pkcs8"),
            ("-----BEGIN EC PRIVATE KEY-----\nAA==\n-----END EC PRIVATE KEY-----\n", "openssl pkcs8"),
            ("-----BEGIN PRIVATE KEY-----\nAA==\n", "no end"),
            ("-----BEGIN PRIVATE KEY-----\nA*==\n-----END PRIVATE KEY-----\n", "damaged"),
            ("-----BEGIN PRIVATE KEY-----\n-----END PRIVATE KEY-----\n", "PKCS#8"),
        ] {
            let error = read_one(text.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
        assert!(read_one(&[0xff]).is_err());
    }

    proptest! {
        #[test]
        fn any_bytes_are_refused_without_a_panic(body in "\\PC{0,60}", der in prop::collection::vec(any::<u8>(), 0..80)) {
            for body in [body, STANDARD.encode(der)] {
                let text = format!("{BEGIN}\n{body}\n{END}\n");
                prop_assert!(read_one(text.as_bytes()).is_err());
            }
        }
    }
}
