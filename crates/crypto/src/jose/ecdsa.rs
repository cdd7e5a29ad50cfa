//! Two forms of an ECDSA signature: two numbers side by side, as in JOSE (RFC 7518 section 3.4),
//! and a DER `SEQUENCE` of them, as in X.509 and TLS (RFC 3279 section 2.2.3).

use der::asn1::UintRef;
use der::{Encode, Reader, SliceReader};

use crate::catalog::Algorithm;

/// Bytes of one of the two numbers, if `algorithm` is ECDSA.
pub(super) fn width(algorithm: &Algorithm) -> Option<usize> {
    match algorithm.jose.first() {
        Some(&"ES256") => Some(32),
        Some(&"ES384") => Some(48),
        _ => None,
    }
}

/// DER out of two numbers of `width` bytes; `None` if the length is another.
pub(super) fn to_der(fixed: &[u8], width: usize) -> Option<Vec<u8>> {
    if fixed.len() != 2 * width {
        return None;
    }
    let (r, s) = fixed.split_at(width);
    let numbers = [UintRef::new(r).ok()?, UintRef::new(s).ok()?];
    let body = [numbers[0].to_der().ok()?, numbers[1].to_der().ok()?].concat();
    der::AnyRef::new(der::Tag::Sequence, &body).ok()?.to_der().ok()
}

/// Two numbers of `width` bytes out of DER.
pub(super) fn to_fixed(der: &[u8], width: usize) -> Option<Vec<u8>> {
    let mut reader = SliceReader::new(der).ok()?;
    let read = |reader: &mut SliceReader<'_>| -> der::Result<Vec<u8>> {
        let numbers = reader.sequence(|reader| -> der::Result<_> {
            Ok([reader.decode::<UintRef<'_>>()?, reader.decode::<UintRef<'_>>()?])
        })?;
        let mut fixed = vec![0; 2 * width];
        for (number, place) in numbers.iter().zip(fixed.chunks_exact_mut(width)) {
            let bytes = number.as_bytes();
            let start = width.checked_sub(bytes.len()).ok_or(der::Tag::Integer.value_error())?;
            place[start..].copy_from_slice(bytes);
        }
        Ok(fixed)
    };
    read(&mut reader).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_lead_to_each_other() {
        let cases: [(&[u8], &[u8]); 3] = [
            (&[0, 1, 0, 2], &[0x30, 6, 2, 1, 1, 2, 1, 2]),
            (&[0x80, 1, 0, 0x7f], &[0x30, 8, 2, 3, 0, 0x80, 1, 2, 1, 0x7f]),
            (&[0, 0, 0, 0], &[0x30, 6, 2, 1, 0, 2, 1, 0]),
        ];
        for (fixed, der) in cases {
            assert_eq!(to_der(fixed, 2).unwrap(), der);
            assert_eq!(to_fixed(der, 2).unwrap(), fixed);
        }
        for wrong in [&[][..], &[1, 2, 3], &[1, 2, 3, 4, 5]] {
            assert_eq!(to_der(wrong, 2), None);
        }
        assert_eq!(to_fixed(&[0x30, 8, 2, 3, 1, 0x80, 1, 2, 1, 0x7f], 2), None, "a number that is too wide");
        assert_eq!(to_fixed(b"noise", 2), None);
    }
}
