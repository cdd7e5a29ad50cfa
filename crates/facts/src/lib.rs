//! What policy is told of the world.
#![forbid(unsafe_code)]
