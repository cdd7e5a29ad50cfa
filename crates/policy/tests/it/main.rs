//! Policy decisions from outside: what a gateway sees.

// Clippy takes only functions marked #[test] for tests.
#![allow(clippy::unwrap_used)]

mod clauses;
mod decisions;
mod denials;
mod loading;
mod names;
mod narrow;
mod outcomes;
mod roles;
mod scale;
mod subjects;
