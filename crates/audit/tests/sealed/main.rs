//! A log that is sealed: signed trees over it, what they find, and what becomes of them in a crash.

#![allow(clippy::unwrap_used)]

mod attacks;
mod crash;
mod dropped;
mod growth;
mod support;
mod witness;
