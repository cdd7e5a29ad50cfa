//! What `lockgate status` shows of a node.

use serde::{Deserialize, Serialize};

use super::{Node, Server};
use crate::agility::MigrationView;
use crate::circuit::Circuit;
use crate::upstream::Transport;
use crate::upstream::http::HttpUpstream;

impl Node {
    /// What the node is doing now.
    pub fn status(&self) -> NodeView {
        NodeView {
            since_ms: self.since_ms,
            draining: self.draining.is_cancelled(),
            policy_generation: self.policies.load().generation(),
            policies: self.policies.load().len(),
            sessions: self.sessions.len(),
            calls_in_flight: self.metrics.calls_in_flight.get(),
            servers: self.servers().map(|server| view(&server)).collect(),
            links: self.links.snapshot(),
            epoch: self.epoch(),
            migration: self.migration(),
        }
    }
}

/// A node, as `lockgate status` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeView {
    /// When it started, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Whether it takes no more links.
    pub draining: bool,
    /// Generation of the policies in force.
    pub policy_generation: u64,
    /// Their number.
    pub policies: usize,
    /// Legacy sessions open.
    pub sessions: usize,
    /// Calls between their first stage and their record.
    pub calls_in_flight: i64,
    /// The servers behind it.
    pub servers: Vec<ServerView>,
    /// The live links.
    pub links: Vec<crate::link::LinkView>,
    /// The epoch in force; 0 before the first.
    pub epoch: u64,
    /// How far the latest change has come.
    pub migration: MigrationView,
}

/// A server, as `lockgate status` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServerView {
    /// Its id.
    pub id: String,
    /// Where it is.
    pub upstream: String,
    /// `closed` (calls pass) or `open` (it is left alone).
    pub circuit: String,
    /// Milliseconds until an open circuit is tried again.
    pub retry_ms: Option<u64>,
    /// The last failure since it last answered.
    pub last_error: Option<String>,
    /// Child processes alive, of a stdio server.
    pub children: Option<usize>,
    /// Connections to it and what they negotiated, of an HTTP server.
    pub links: Vec<UpstreamLinkView>,
}

/// A connection to an upstream.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UpstreamLinkView {
    /// Its address.
    pub peer: Option<String>,
    /// What TLS negotiated; none over plain HTTP.
    pub posture: Option<lockgate_crypto::Posture>,
}

fn view(server: &Server) -> ServerView {
    let (circuit, retry_ms) = match server.upstream.circuit() {
        Circuit::Closed => ("closed", None),
        Circuit::Open { retry_ms } => ("open", Some(retry_ms)),
    };
    let (children, links) = match server.upstream.transport() {
        Transport::Stdio(stdio) => (Some(stdio.children()), Vec::new()),
        other => (None, other.http().into_iter().flat_map(HttpUpstream::links).map(upstream_link).collect()),
    };
    ServerView {
        id: server.id.clone(),
        upstream: server.upstream.describe(),
        circuit: circuit.to_owned(),
        retry_ms,
        last_error: server.upstream.last_error(),
        children,
        links,
    }
}

fn upstream_link(link: lockgate_transport::http::LinkStatus) -> UpstreamLinkView {
    UpstreamLinkView {
        peer: link.peer.map(|peer| peer.to_string()),
        posture: link.posture.as_deref().cloned(),
    }
}
