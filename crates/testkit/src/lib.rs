//! Fixture MCP servers for the end-to-end tests. Development only: nothing here is shipped.
//!
//! A gateway is judged by what two strangers see through it, so both fixtures can be run without
//! it, and a test always compares *through Lockgate* with *direct*.
//!
//! * [`conformance`] is a well-behaved server built on the Rust SDK. It has every tool, prompt and
//!   resource that the official MCP conformance suite asks of a server, in both eras: sessions and
//!   server-sent requests for revisions up to 2025-11-25, stateless requests, multi-round input
//!   and subscriptions for 2026-07-28. Binary: `conformance-server`.
//! * [`wire`] is a badly-behaved one, written on a bare socket so that nothing tidies up its bytes.
//!   Each tool is one thing that a server may do to a gateway: answer with exact bytes, dribble,
//!   hang, die half-way, lie about its length, flood, forget a session. What it saw, byte for
//!   byte, and when each client went away, can be read at `/observed`. Binary: `wire-server`.
//!
//! Both listen on loopback only, print one JSON line when they are ready (see [`ready`]), and
//! speak newline-delimited JSON-RPC instead when given `--stdio`.

pub mod conformance;
pub mod ready;
pub mod wire;
