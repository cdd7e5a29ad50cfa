//! Attestation becomes short-lived credentials.
#![forbid(unsafe_code)]
