//! Detection from outside: what a gateway sees.

// Clippy takes only functions marked #[test] for tests.
#![allow(clippy::unwrap_used)]

mod calls;
mod definitions;
mod links;
mod material;
mod results;
mod servers;
