//! TLS 1.3 cipher suites of the catalog.

use rustls::SupportedCipherSuite;
use rustls::crypto::aws_lc_rs::cipher_suite::{
    TLS13_AES_128_GCM_SHA256, TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256,
};

use crate::catalog::Algorithm;

static LIBRARY: &[SupportedCipherSuite] =
    &[TLS13_AES_256_GCM_SHA384, TLS13_CHACHA20_POLY1305_SHA256, TLS13_AES_128_GCM_SHA256];

/// The implementation of a catalog row, if there is one.
pub(crate) fn implementation(row: &Algorithm) -> Option<SupportedCipherSuite> {
    LIBRARY.iter().copied().find(|suite| Some(u16::from(suite.suite())) == row.code_point)
}
