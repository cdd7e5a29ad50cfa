//! TLS 1.3 cipher suites of the catalog.

use rustls::SupportedCipherSuite;

use crate::catalog::Algorithm;
use crate::code::Code;

/// The implementation of a catalog row, if there is one.
pub(crate) fn implementation(row: &Algorithm) -> Option<SupportedCipherSuite> {
    match row.code {
        Code::Cipher(suite) => Some(*suite),
        _ => None,
    }
}
