//! Questions that people ask of policies.
#![forbid(unsafe_code)]
