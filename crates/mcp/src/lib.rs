//! MCP bytes to messages and back: both protocol eras, sans-IO.
//!
//! A gateway stands between two programs that agree with each other and have never heard of it.
//! Whatever it does not understand it must carry unharmed, and whatever it decides on must be
//! what the other side will act on. Both follow from one rule: **the bytes are the message**.
//!
//! - [`Message::decode`] reads a message once, checks all of it against the JSON grammar and our
//!   [`Limits`], and remembers *where* the few members that matter are. Nothing is modelled, so
//!   nothing can be lost: unknown fields, the spelling of numbers and ids of any size pass
//!   through unchanged.
//! - What two JSON parsers could read in two ways is refused: a member named twice, a name that
//!   differs from a known one only by case (CVE-2026-27896) or ends in NUL, text that is not
//!   UTF-8, arrays of messages. Otherwise a policy would judge one call and the server run another.
//! - A change is a splice: [`Message::with_id`], [`Message::with_name`], [`list::retain`] and
//!   their kin replace the bytes concerned and copy the rest.
//!
//! ```
//! use bytes::Bytes;
//! use lockgate_mcp::{Limits, Message};
//!
//! let wire = br#"{"jsonrpc":"2.0","id":7,"method":"tools/call","params":{"name":"add","x":1.0}}"#;
//! let message = Message::decode(Bytes::from_static(wire), &Limits::default())?;
//! assert_eq!((message.method(), message.name()), (Some("tools/call"), Some("add")));
//! assert_eq!(message.bytes().as_ref(), wire);
//! let renamed = message.with_name("math_add");
//! assert!(renamed.text().ends_with(r#""params":{"name":"math_add","x":1.0}}"#));
//! # Ok::<(), lockgate_mcp::DecodeError>(())
//! ```
//!
//! MCP has two eras ([`Era`]): *legacy* revisions up to 2025-11-25 shake hands with `initialize`
//! and keep sessions; *modern* ones from 2026-07-28 carry their metadata in each request and
//! mirror part of it into HTTP headers, which [`headers`] checks against the body and writes for
//! clients that have no headers. [`sse`] cuts an event stream into events without altering a
//! byte, [`list`] filters and renames the items of list results, [`reply`] writes our own
//! answers, and [`canonical`] gives tool definitions a form that can be hashed.
#![forbid(unsafe_code)]
#![cfg_attr(test, allow(clippy::unwrap_used, reason = "a test may fail"))]

pub mod canonical;
mod envelope;
mod error;
pub mod headers;
mod limits;
pub mod list;
mod message;
mod names;
pub mod project;
pub mod reply;
mod scan;
pub mod sse;
mod text;
pub mod tree;
pub mod version;

pub use error::{DecodeError, Place};
pub use limits::Limits;
pub use message::{Kind, Message, salvage_id};
pub use version::Era;
