//! Detection from outside: what a gateway sees.

mod calls;
mod definitions;
mod material;
mod results;
