//! The well-behaved fixture: everything that the official conformance suite asks of a server.
//!
//! What the fixture offers and what it answers is data, in `catalog.json`; only behaviour is code:
//! [`handler`] for the protocol's methods, [`behaviour`] for the tools that do something while they
//! run, [`rounds`] for results that need input from the client first (SEP-2322), [`tasks`] for tools
//! that outlive their call (SEP-2663).

// Logging, sampling and roots leave the protocol with 2026-07-28 (SEP-2577) and the SDK says so; the
// revisions before it are tested all the same.
#![expect(deprecated, reason = "a fixture speaks every revision that the gateway carries")]

mod behaviour;
mod catalog;
mod handler;
mod rounds;
mod tasks;

use std::{net::SocketAddr, sync::Arc};

use rmcp::{
    ServiceExt,
    transport::streamable_http_server::{
        StreamableHttpServerConfig, StreamableHttpService, session::local::LocalSessionManager,
    },
};
use tokio::net::TcpListener;

pub use handler::Fixture;

/// Binds `address` and returns the address that it got, and the server to be awaited. `/mcp` is
/// the endpoint; other hosts than loopback are refused, as the suite requires of a local server.
///
/// # Errors
/// When the address cannot be bound.
pub async fn listen(
    address: SocketAddr,
) -> std::io::Result<(SocketAddr, impl Future<Output = std::io::Result<()>>)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let fixture = Fixture::new();
    let service = StreamableHttpService::new(
        move || Ok(fixture.clone()),
        Arc::new(LocalSessionManager::default()),
        StreamableHttpServerConfig::default(),
    );
    let routes = axum::Router::new().nest_service("/mcp", service);
    Ok((bound, async move { axum::serve(listener, routes).await }))
}

/// Serves one client on standard input and output until it closes standard input.
///
/// # Errors
/// When the client does not open with a valid first message.
pub async fn serve_stdio() -> std::io::Result<()> {
    let running = Fixture::new().serve(rmcp::transport::stdio()).await.map_err(std::io::Error::other)?;
    running.waiting().await.map_err(std::io::Error::other)?;
    Ok(())
}
