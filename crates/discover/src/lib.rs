//! Finds every MCP node and how well it is protected. It changes nothing that it finds, and runs nothing.
//!
//! # From files and sockets to a map
//!
//! 1. [`config::scan`] reads the configuration of every client of the table ([`clients::CLIENTS`]), for the user, the system and
//!    the projects; [`process::read`] what runs. Both are bounded, and both may look at hostile things.
//! 2. [`assemble::Assembly`] lays what they say, and what gateways, networks, clusters and registries say, on nodes: a server that a
//!    client has, that runs and that answers is one node.
//! 3. The [`map::Map`] that comes out holds no secret: values are redacted on sight, and known again by a keyed hash
//!    ([`secret::Redactor`]).
//!
//! A **shadow server** runs and is configured nowhere. A **bypass** is a server behind the gateway that somebody reaches past it.
//!
//! ```
//! use lockgate_discover::launch::{Pin, meaning};
//! let command: Vec<String> = ["npx", "-y", "some-server"].map(str::to_owned).into();
//! assert_eq!(meaning(&command).package.map(|package| package.pin), Some(Pin::None));
//! ```

#![forbid(unsafe_code)]

pub mod assemble;
pub mod clients;
pub mod config;
pub mod diff;
pub mod edit;
pub mod entry;
pub mod export;
pub mod finding;
pub mod kubernetes;
pub mod launch;
pub mod machine;
pub mod map;
pub mod network;
pub mod process;
pub mod projects;
pub mod registry;
pub mod remote;
pub mod secret;
pub mod tree;
