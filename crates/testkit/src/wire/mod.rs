//! The badly-behaved fixture: a server on a bare socket, with no HTTP library to tidy its bytes.
//!
//! A client chooses the behaviour by calling a tool; [`script`] turns the call into a short list of
//! steps (send these bytes, pause, wait for another client, hang, close), and the server plays it.
//! Everything that arrives is kept as it arrived, and so is the moment at which a client went away
//! in the middle of an answer. Two more addresses besides `/mcp` show it:
//!
//! * `GET /observed` lists requests (head and body as received) and disconnects. It waits for
//!   `?requests=N&disconnects=N`, for at most `wait_ms`, so that a test needs no sleep.
//! * `POST /forget` clears that list.

mod call;
mod http;
mod observed;
mod script;
mod server;
mod stdio;

pub use server::listen;
pub use stdio::serve_stdio;
