//! The tunnel of a connector: one pool of connections, kept alive, renewed and reopened.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use lockgate_crypto::{Posture, Suite};
use lockgate_transport::Dialer;
use lockgate_transport::http::{Body, Pool, PoolError};
use tokio::time::Instant;

use super::agent::{Agent, Wanted};
use crate::client;
use crate::diagnostic::Diagnostic;
use crate::endpoint::Endpoint;
use crate::trouble;

/// How long a new exchange waits for a gateway that is away. Long enough for its restart, and well within the time
/// that MCP clients wait for an answer.
const RECONNECT_S_MAX: u64 = 15;

/// First pause between two attempts; it doubles up to [`PAUSE_MS_MAX`].
const PAUSE_MS_MIN: u64 = 100;
const PAUSE_MS_MAX: u64 = 2_000;

/// Longest sleep between two looks at the clock, so that a machine that was suspended renews soon after it wakes.
const LOOK_S_MAX: u64 = 30;

/// A tunnel to one gateway. Cheap to share.
#[derive(Clone)]
pub(crate) struct Tunnel {
    endpoint: Endpoint,
    pool: Pool,
    dialer: Arc<Dialer>,
}

impl Tunnel {
    /// Enrols if need be and makes the first connection, so that whatever is wrong is said at once.
    pub(crate) async fn open(wanted: &Wanted<'_>) -> Result<(Self, Agent), Diagnostic> {
        let agent = Agent::obtain(wanted).await?;
        let dialer = agent.dialer(wanted.suite)?;
        let pool = client::pool(wanted.endpoint, Arc::clone(&dialer))?;
        let tunnel = Self { endpoint: wanted.endpoint.clone(), pool, dialer };
        let response = tunnel.send(client::get("/.well-known/lockgate/posture")).await;
        response.map_err(|error| trouble::exchange(&error, &tunnel.endpoint))?;
        Ok((tunnel, agent))
    }

    /// Where it leads.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// What the newest connection negotiated.
    pub(crate) fn posture(&self) -> Option<Arc<Posture>> {
        self.pool.links().last().and_then(|link| link.posture.clone())
    }

    /// Sends a request. While the gateway cannot be reached, and so has certainly not seen it, it is tried again with
    /// growing pauses; once it may have been seen, it never is.
    pub(crate) async fn send(&self, request: Request<Full<Bytes>>) -> Result<Response<Body>, PoolError> {
        let deadline = Instant::now() + Duration::from_secs(RECONNECT_S_MAX);
        let mut pause = Duration::from_millis(PAUSE_MS_MIN);
        loop {
            match self.pool.request(copy(&request)).await {
                Ok(response) => return Ok(response),
                Err(error) if !is_worth_waiting(&error) || Instant::now() + pause > deadline => {
                    return Err(error);
                }
                Err(error) => tracing::warn!(%error, "gateway away; trying again"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(PAUSE_MS_MAX));
        }
    }

    /// Renews the certificate at two thirds of its life, for as long as the connector runs.
    pub(crate) async fn keep_renewed(self, mut agent: Agent) {
        let mut pause = Duration::from_secs(1);
        loop {
            let wait = agent.renew_in();
            if !wait.is_zero() {
                tokio::time::sleep(wait.min(Duration::from_secs(LOOK_S_MAX))).await;
                continue;
            }
            match agent.renew(&self.pool, &self.endpoint, &self.dialer).await {
                Ok(()) => {
                    pause = Duration::from_secs(1);
                    tracing::info!(agent = %agent.identity.id, "certificate renewed");
                }
                Err(problem) => {
                    tracing::warn!(code = problem.code, "certificate not renewed yet: {}", problem.what);
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(Duration::from_secs(LOOK_S_MAX));
                }
            }
        }
    }
}

/// What may pass by itself, and certainly left no trace at the gateway: nobody there, no answer, no free connection.
/// A refusal by policy or a certificate that is not trusted stays what it is.
fn is_worth_waiting(error: &PoolError) -> bool {
    use lockgate_transport::DialError as Dial;
    match error {
        PoolError::Dial(
            Dial::Refused { .. } | Dial::Certificate { .. } | Dial::Tls { .. } | Dial::Name { .. },
        ) => false,
        error => error.is_unsent(),
    }
}

fn copy(request: &Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    let mut copy = Request::new(request.body().clone());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}

/// One line about a link, for people.
pub(crate) fn describe(posture: &Posture) -> String {
    let by = posture.peer_signature.as_deref().unwrap_or("nobody");
    match posture.weakest() {
        None => format!("quantum-safe: {} and {by}", posture.group),
        Some(weakest) => format!("NOT quantum-safe ({weakest}): {} and {by}", posture.group),
    }
}

/// The suite of a profile by name, for dialling: nothing else is ever published under it, so its epoch is the first.
pub(crate) fn suite(profile: &str) -> Result<Suite, Diagnostic> {
    trouble::compile(trouble::profile(profile)?, 1)
}
