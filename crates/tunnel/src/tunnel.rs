//! A tunnel to one gateway: a pool of links, and requests that wait for it and are repeated where that is safe.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, Uri};
use http_body_util::Full;
use lockgate_crypto::{Posture, Profile, Suite};
use lockgate_identity::enrol::AgentIdentity;
use lockgate_identity::verifier::Expect;
use lockgate_transport::http::{self as pool, Body, Pool, PoolError, Target};
use lockgate_transport::{DialError, Dialer, TlsError, Trust, dialer};
use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::TunnelError;
use crate::follower::Follower;
use crate::issue::Issue;
use crate::kept::Following;
use crate::pause::random_within;
use crate::progress::{Progress, Standing};
use crate::shared::Shared;

/// How long a new exchange waits for a gateway that is away. Long enough for its restart, and well within the time
/// that MCP clients wait for an answer.
pub const RECONNECT_S_MAX: u64 = 15;

/// First pause between two attempts, in milliseconds; it doubles up to [`PAUSE_MS_MAX`].
const PAUSE_MS_MIN: u64 = 100;
const PAUSE_MS_MAX: u64 = 2_000;

/// How often a request that may be repeated is, after its link was cut under it.
const REPEATS_MAX: u32 = 2;

/// Whether to follow what the gateway announces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Follow {
    /// Whatever is not below the floor.
    #[default]
    Safe,
    /// Nothing: dial by the floor's profile alone. New roots of the authority are taken all the same, and links move
    /// when they are told to.
    Never,
}

/// Whether a request may be sent again after its link was cut, when the gateway may have seen it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Repeat {
    /// Only where it certainly left no trace.
    Never,
    /// It asks and changes nothing, or changes the same twice.
    Safe,
}

/// How a tunnel is to be.
#[derive(Debug, Clone)]
pub struct Settings {
    /// What is dialled by at first, and below which nothing is ever dialled.
    pub floor: &'static Profile,
    /// Whether to follow the gateway.
    pub follow: Follow,
    /// Where the identity and what was followed last are kept; nowhere if none.
    pub folder: Option<PathBuf>,
    /// What tunnels of one process share. Give all of them clones of one.
    pub shared: Shared,
    /// Limits of dialling.
    pub dial: dialer::Limits,
    /// Limits of the pool of links.
    pub pool: pool::Limits,
}

impl Settings {
    /// Follows safely, keeps nothing, and has the default limits.
    #[must_use]
    pub fn new(floor: &'static Profile) -> Self {
        Self {
            floor,
            follow: Follow::Safe,
            folder: None,
            shared: Shared::default(),
            // One gateway, so one session; the pool dials it one link at a time.
            dial: dialer::Limits { sessions_max: 2, ..dialer::Limits::default() },
            pool: pool::Limits::default(),
        }
    }
}

/// A tunnel to one gateway. Cheap to clone; the links close when the last clone and the follower are gone.
#[derive(Debug, Clone)]
pub struct Tunnel(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    pool: Pool,
    dialer: Arc<Dialer>,
    progress: watch::Sender<Progress>,
    /// Somebody waits for a link that only the new cryptography can give: no time for a random moment.
    hurry: Notify,
}

impl Tunnel {
    /// A tunnel that dials the origin of `url` with `identity`, and its follower, which renews the certificate and
    /// follows the gateway once [`Follower::run`] is polled. Nothing is dialled yet.
    ///
    /// It dials by what it followed last if the folder says so and the floor permits it, else by the floor's profile.
    ///
    /// # Errors
    /// [`TunnelError::Crypto`], [`TunnelError::Tls`] if the profile does not permit the identity's algorithm,
    /// [`TunnelError::Target`], [`TunnelError::Kept`].
    pub async fn new<I: Issue>(
        url: &Uri,
        identity: AgentIdentity,
        issuer: I,
        settings: Settings,
    ) -> Result<(Self, Follower<I>), TunnelError> {
        let (suite, following) = start(&settings, &identity).await?;
        let dialer = Arc::new(dialer_of(&suite, &identity, settings.dial.clone())?);
        let pool = Pool::new(Target::new(url, Arc::clone(&dialer))?, settings.pool.clone());
        let (progress, _) = watch::channel(Progress::default());
        let tunnel = Self(Arc::new(Inner { pool, dialer, progress, hurry: Notify::new() }));
        let follower = Follower::new(tunnel.clone(), identity, issuer, settings, (suite, following));
        Ok((tunnel, follower))
    }

    /// The links.
    #[must_use]
    pub fn pool(&self) -> &Pool {
        &self.0.pool
    }

    pub(crate) fn dialer(&self) -> &Dialer {
        &self.0.dialer
    }

    /// What the newest link negotiated.
    #[must_use]
    pub fn posture(&self) -> Option<Arc<Posture>> {
        self.0.pool.links().last().and_then(|link| link.posture.clone())
    }

    /// How far the gateway is followed, and each change of it.
    #[must_use]
    pub fn progress(&self) -> watch::Receiver<Progress> {
        self.0.progress.subscribe()
    }

    pub(crate) fn tell(&self, change: impl FnOnce(&mut Progress)) {
        self.0.progress.send_modify(change);
    }

    /// Sends a request. While the gateway cannot be reached, and so has certainly not seen it, it is tried again with
    /// growing pauses, for [`RECONNECT_S_MAX`] seconds at most. Once it may have been seen it is sent again only where
    /// `repeat` says that this is safe.
    ///
    /// # Errors
    /// [`PoolError`] of the last attempt.
    pub async fn send(
        &self,
        request: Request<Full<Bytes>>,
        repeat: Repeat,
    ) -> Result<Response<Body>, PoolError> {
        let deadline = Instant::now() + Duration::from_secs(RECONNECT_S_MAX);
        let mut pause = Duration::from_millis(PAUSE_MS_MIN);
        let mut repeats = 0;
        loop {
            match self.0.pool.request(copy(&request)).await {
                Ok(response) => return Ok(response),
                Err(error @ PoolError::Broken { .. }) if repeat == Repeat::Safe && repeats < REPEATS_MAX => {
                    repeats += 1;
                    tracing::info!(%error, "the link was cut under a request that is safe to repeat; repeating it");
                    continue;
                }
                Err(error) if !self.is_worth_waiting(&error) || Instant::now() + pause > deadline => {
                    return Err(error);
                }
                Err(error) => tracing::warn!(%error, "gateway away; trying again"),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(Duration::from_millis(PAUSE_MS_MAX));
        }
    }

    /// What may pass by itself, and certainly left no trace at the gateway: nobody there, no answer, no free link. A
    /// refusal by crypto policy stays what it is, unless the gateway can be heard: then it has told what it wants, or
    /// is about to, and whoever follows it is asked to hurry.
    fn is_worth_waiting(&self, error: &PoolError) -> bool {
        match error {
            PoolError::Dial(DialError::Name { .. }) => false,
            PoolError::Dial(
                DialError::Refused { .. } | DialError::Certificate { .. } | DialError::Tls { .. },
            ) => {
                let follows =
                    matches!(self.0.progress.borrow().standing, Standing::Moving | Standing::Settled);
                if follows {
                    self.0.hurry.notify_one();
                }
                follows
            }
            error => error.is_unsent(),
        }
    }

    /// Waits for a moment at random within `spread`, or until a request cannot wait for it.
    pub(crate) async fn moment(&self, spread: Duration) {
        tokio::select! {
            () = tokio::time::sleep(random_within(spread)) => {}
            () = self.0.hurry.notified() => tracing::debug!("a request needs a new link; moving at once"),
        }
    }
}

/// A dialer that presents the identity's certificate and trusts its authority's nodes.
fn dialer_of(suite: &Suite, identity: &AgentIdentity, limits: dialer::Limits) -> Result<Dialer, TlsError> {
    let trust = Trust::own(&identity.bundle, Expect::Node);
    Dialer::new(suite.clone(), Some(&identity.leaf), trust, limits)
}

/// What to dial by at first: what was followed last, if it is of the same authority, at or above the floor, and fits
/// the certificate.
async fn start(
    settings: &Settings,
    identity: &AgentIdentity,
) -> Result<(Suite, Option<Following>), TunnelError> {
    let folder = settings.folder.as_ref().filter(|_| settings.follow == Follow::Safe);
    let following = folder.map(|folder| Following::load(folder)).transpose()?.flatten();
    let following = following.filter(|following| {
        let same = following.is_of(&identity.bundle);
        if !same {
            tracing::warn!("what was followed last was heard under other roots; dialling by the floor until the gateway's next notice");
        }
        same
    });
    if let Some(following) = following {
        match settings.shared.announced(&following.announced, following.epoch, settings.floor).await {
            Ok(compiled) if compiled.suite.signatures().contains(&identity.leaf.algorithm) => {
                return Ok((compiled.suite, Some(following)));
            }
            Ok(_) => tracing::warn!(
                "what was followed last does not permit our certificate; dialling by the floor"
            ),
            Err(error) => {
                tracing::warn!(%error, "what was followed last cannot be used; dialling by the floor")
            }
        }
    }
    Ok((settings.shared.profile(settings.floor).await?, None))
}

fn copy(request: &Request<Full<Bytes>>) -> Request<Full<Bytes>> {
    let mut copy = Request::new(request.body().clone());
    *copy.method_mut() = request.method().clone();
    *copy.uri_mut() = request.uri().clone();
    *copy.headers_mut() = request.headers().clone();
    copy
}
