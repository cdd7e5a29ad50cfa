//! The tunnel of a connector: the library's, with this connector's certificate, folder and endpoint.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use lockgate_crypto::{Posture, Suite};
use lockgate_transport::http::{Body, PoolError};
use lockgate_tunnel::{Follow, Follower, Progress, Repeat, Settings, TunnelError, service};
use tokio::sync::watch;

use super::agent::{Agent, Issuer, Wanted};
use crate::diagnostic::Diagnostic;
use crate::endpoint::Endpoint;
use crate::trouble;

/// A tunnel to one gateway. Cheap to share.
#[derive(Clone)]
pub(crate) struct Tunnel {
    endpoint: Endpoint,
    inner: lockgate_tunnel::Tunnel,
    folder: PathBuf,
}

impl Tunnel {
    /// Enrols if need be and makes the first connection, so that whatever is wrong is said at once. The follower renews
    /// the certificate and follows the gateway for as long as it is polled.
    pub(crate) async fn open(
        wanted: &Wanted<'_>,
        follow: Follow,
    ) -> Result<(Self, Follower<Issuer>), Diagnostic> {
        let agent = Agent::obtain(wanted, follow).await?;
        let following = agent.folder.join(lockgate_tunnel::FOLLOWING_FILE);
        if follow == Follow::Never {
            lockgate_tunnel::forget(&agent.folder)
                .map_err(|error| trouble::tunnel(&error, wanted.endpoint))?;
        }
        dial(wanted, follow, agent).await.map_err(|problem| {
            // Whoever sits on the way can refuse, too: what the gateway has given up is not offered again for that.
            if problem.code == "LG-K001" && following.exists() {
                problem
                    .cause("this end dials by what the gateway announced last, and the gateway may have changed since")
                    .hint("dial by your own profile again, and forget that: lockgate connect --follow never …")
            } else {
                problem
            }
        })
    }

    /// Where it leads.
    pub(crate) fn endpoint(&self) -> &Endpoint {
        &self.endpoint
    }

    /// Where what this end knows of the gateway is kept.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// How it stands, now and whenever that changes.
    pub(crate) fn progress(&self) -> watch::Receiver<Progress> {
        self.inner.progress()
    }

    /// What the newest connection negotiated.
    pub(crate) fn posture(&self) -> Option<Arc<Posture>> {
        self.inner.posture()
    }

    /// Sends a request, waiting for a gateway that is away. Once it may have been seen it is sent again only where that
    /// is safe.
    pub(crate) async fn send(
        &self,
        request: Request<Full<Bytes>>,
        repeat: Repeat,
    ) -> Result<Response<Body>, PoolError> {
        self.inner.send(request, repeat).await
    }
}

async fn dial(
    wanted: &Wanted<'_>,
    follow: Follow,
    agent: Agent,
) -> Result<(Tunnel, Follower<Issuer>), Diagnostic> {
    let endpoint = wanted.endpoint;
    let url: Uri = endpoint.to_string().parse().expect("an endpoint is a URL");
    let folder = agent.folder.clone();
    let settings = Settings { follow, folder: Some(agent.folder), ..Settings::new(wanted.suite.profile()) };
    let opened = lockgate_tunnel::Tunnel::new(&url, agent.identity, agent.issuer, settings).await;
    let (inner, mut follower) = opened.map_err(|error| trouble::tunnel(&error, endpoint))?;
    let first = || async {
        let answered = inner.send(service::get(service::POSTURE), Repeat::Safe).await;
        answered.map(drop).map_err(TunnelError::Exchange)
    };
    let mut reached = first().await;
    // The authority may have roots that are younger than ours.
    if reached.as_ref().is_err_and(TunnelError::is_untrusted) && follower.refresh_roots().await.is_ok() {
        reached = first().await;
    }
    reached.map_err(|error| trouble::tunnel(&error, endpoint))?;
    Ok((Tunnel { endpoint: endpoint.clone(), inner, folder }, follower))
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
