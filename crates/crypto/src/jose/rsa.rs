//! RSA public keys: the two numbers of a JSON Web Key, and the `RSAPublicKey` of RFC 8017.

use der::asn1::UintRef;
use der::{AnyRef, Encode, Reader, SliceReader, Tag};

/// Shortest modulus that is taken, in bits (RFC 7518 section 3.3).
pub(super) const BITS_MIN: usize = 2048;
/// Longest: verification grows with the square, and nobody uses more.
pub(super) const BITS_MAX: usize = 8192;
/// Smallest public exponent (FIPS 186-5 section 5.1).
const EXPONENT_MIN: u64 = 65_537;
/// Largest: what the library takes.
const EXPONENT_MAX: u64 = (1 << 33) - 1;

/// The `RSAPublicKey` of a modulus and an exponent, both big-endian.
pub(super) fn public_key(n: &[u8], e: &[u8]) -> Result<Vec<u8>, &'static str> {
    if n.first() == Some(&0) || e.first() == Some(&0) {
        return Err("its numbers have leading zeros");
    }
    let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
    if !(BITS_MIN..=BITS_MAX).contains(&bits) {
        return Err("its modulus has fewer than 2048 bits, or more than 8192");
    }
    let exponent = match e.len() {
        1..=8 => e.iter().fold(0, |value, byte| value << 8 | u64::from(*byte)),
        _ => 0,
    };
    if !(EXPONENT_MIN..=EXPONENT_MAX).contains(&exponent) || exponent % 2 == 0 {
        return Err("its exponent is not an odd number from 65537 to 2^33");
    }
    let write = || -> der::Result<Vec<u8>> {
        let body = [UintRef::new(n)?.to_der()?, UintRef::new(e)?.to_der()?].concat();
        AnyRef::new(Tag::Sequence, &body)?.to_der()
    };
    write().map_err(|_| "its numbers cannot be written")
}

/// Modulus and exponent of an `RSAPublicKey`, big-endian without leading zeros.
pub(super) fn numbers(public_key: &[u8]) -> Option<(Vec<u8>, Vec<u8>)> {
    let mut reader = SliceReader::new(public_key).ok()?;
    let read = reader.sequence(|reader| -> der::Result<_> {
        let n: UintRef<'_> = reader.decode()?;
        let e: UintRef<'_> = reader.decode()?;
        Ok((n.as_bytes().to_vec(), e.as_bytes().to_vec()))
    });
    read.ok()
}
