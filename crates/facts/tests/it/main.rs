//! Facts as a decision meets them: providers that are well, late, gone or lying.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on says where")]

mod file;
mod http;
mod pushed;
mod rig;
mod tool;
