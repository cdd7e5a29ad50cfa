//! Faces: the listeners through which peers reach a node, each with its own profile.

use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use http::{HeaderValue, header};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulConnection;
use lockgate_crypto::{Capabilities, CryptoRefused};
use lockgate_identity::{Caller, IdentityError, Revoked, TrustBundle, bind, verify};
use lockgate_transport::{
    AcceptError, Accepted, Io, Limits as LinkLimits, Link, Listener, SecureError, SecureFault, ServerTls,
    secure,
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::agility::RefusedPeer;
use crate::limits::Limits;
use crate::link::LinkContext;
use crate::node::Node;
use crate::pipeline::{serve_call, serve_link};
use crate::refusal::Refusal;
use crate::stage::Stage;
use crate::stall::Stalling;

/// One listener with what its links need.
pub struct Face {
    /// Its name in status, logs and records.
    pub name: Arc<str>,
    /// TLS; none on a plain listener, which is for loopback only.
    pub tls: Option<Arc<ServerTls>>,
    /// The roots that peers' certificates must come from.
    pub bundle: Arc<ArcSwap<TrustBundle>>,
    /// Whether a peer without an identity may only enrol.
    pub identity_required: bool,
    /// Host names served, lower-case, beside the address itself.
    pub hosts: Arc<[String]>,
    /// Origins of web pages that may call, as browsers write them, beside those of the hosts served.
    pub origins: Arc<[String]>,
    /// Bounds of links and handshakes.
    pub limits: LinkLimits,
}

/// Why a link never became one.
#[derive(Debug, thiserror::Error)]
pub enum LinkRefused {
    /// Negotiation found nothing that both sides allow.
    #[error("{refused}")]
    Crypto {
        /// What each side allows.
        refused: CryptoRefused,
        /// All that the peer offered.
        offered: Option<Box<Capabilities>>,
    },
    /// The handshake failed otherwise.
    #[error("{why}")]
    Secure {
        /// How.
        why: String,
        /// What the peer had offered by then.
        offered: Option<Box<Capabilities>>,
    },
    /// The peer's evidence does not hold.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The peer is known, and may not have such a link.
    #[error(transparent)]
    Peer(#[from] Box<RefusedPeer>),
    /// The peer proved who it is, and may not be let in any more.
    #[error("{agent}: {}", .revoked.in_full())]
    Revoked {
        /// Who.
        agent: String,
        /// By what.
        revoked: Revoked,
    },
}

impl LinkRefused {
    /// The stage that refused.
    pub fn stage(&self) -> Stage {
        match self {
            LinkRefused::Crypto { .. } | LinkRefused::Secure { .. } => Stage::Secure,
            LinkRefused::Identity(_) | LinkRefused::Peer(_) | LinkRefused::Revoked { .. } => Stage::Verify,
        }
    }

    /// Why, as a label: one of a closed set.
    pub(crate) fn label(&self) -> &'static str {
        match self {
            LinkRefused::Crypto { .. } => "crypto",
            LinkRefused::Secure { .. } => "handshake",
            LinkRefused::Identity(_) => "identity",
            LinkRefused::Peer(_) => "rule",
            LinkRefused::Revoked { .. } => "revoked",
        }
    }

    /// What the peer of a failed handshake offered, if its hello could be read.
    pub(crate) fn offered(&self) -> Option<&Capabilities> {
        match self {
            LinkRefused::Crypto { offered, .. } | LinkRefused::Secure { offered, .. } => offered.as_deref(),
            LinkRefused::Identity(_) | LinkRefused::Peer(_) | LinkRefused::Revoked { .. } => None,
        }
    }
}

impl Face {
    /// Stage 2: the socket becomes a link with a posture.
    pub(crate) async fn secure(&self, accepted: Accepted) -> Result<Link, LinkRefused> {
        let Some(tls) = &self.tls else { return Ok(accepted.plain()) };
        secure(accepted, tls, &self.limits).await.map_err(refused)
    }

    /// Stage 3: the evidence becomes a principal, who is the caller of every call on the link.
    pub(crate) fn verify(&self, link: &Link) -> Result<Caller, LinkRefused> {
        let principal = verify(&link.evidence, &self.bundle.load(), SystemTime::now())?;
        Ok(bind(&Arc::new(principal)))
    }
}

fn refused(error: SecureError) -> LinkRefused {
    let offered = error.offered().cloned().map(Box::new);
    match error.fault {
        SecureFault::Refused(refused) => LinkRefused::Crypto { refused, offered },
        _ => LinkRefused::Secure { why: crate::upstream::http::chain(&error), offered },
    }
}

/// Accepts links on `listener` until the node drains.
pub async fn serve(node: Arc<Node>, face: Arc<Face>, listener: Listener) {
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = node.draining.cancelled() => return,
        };
        match accepted {
            Ok(accepted) => {
                let (node, face) = (node.clone(), face.clone());
                node.tasks.clone().spawn(serve_link(node, face, accepted));
            }
            Err(error @ (AcceptError::Links { .. } | AcceptError::Address { .. })) => {
                node.metrics.link_refused(Stage::Accept, "limit");
                tracing::warn!(target: "lockgate::accept", listener = %face.name, %error, "link refused");
            }
            Err(error) => {
                tracing::error!(target: "lockgate::accept", listener = %face.name, %error, "listener lost");
                node.draining.cancel();
                return;
            }
        }
    }
}

/// A peer that takes nothing of its answers for this long is gone, or wants to tie up memory, in seconds. Less than what
/// a suspended laptop sleeps, more than any network stutters.
const STALL_S_MAX: u64 = 120;

/// What an answer gets to leave in before the link that it condemned is cut, in milliseconds: more than a round trip round
/// the world, and too short to make use of.
const LAST_ANSWER_MS_MAX: u64 = 500;

/// Serves the calls of one link. The link ends when its peer leaves, when the node drains, when a change of
/// cryptography sends it away, or when the proof of its identity expires: then calls in flight may finish, and the peer
/// comes back, with its next certificate if need be.
pub(crate) async fn serve_http(node: Arc<Node>, context: Arc<LinkContext>, io: Io) {
    let limits = node.limits.clone();
    let end = end_of(context.clone(), node.draining.clone());
    let (kill, last) = (context.kill.clone(), context.clone());
    let h2 = context.multiplexes;
    let io = TokioIo::new(Stalling::new(io, Duration::from_secs(STALL_S_MAX)));
    // Calls and connections are boxed: an idle link then holds neither the room that a call takes, nor that of the
    // protocol which it does not speak.
    let service = service_fn(move |request| {
        let (node, context) = (node.clone(), context.clone());
        Box::pin(async move {
            let mut response = tokio::select! {
                biased;
                response = serve_call(node, context.clone(), request) => response,
                () = context.condemned.cancelled() => Refusal::Cut.plain_response(),
            };
            if !h2 && (context.fate.goes() || context.condemned.is_cancelled()) {
                // Its peer opens another link for what comes next.
                response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            Ok::<_, std::convert::Infallible>(response)
        })
    });
    let served: Pin<Box<dyn Future<Output = hyper::Result<()>> + Send>> = if h2 {
        Box::pin(drive(http2(&limits).serve_connection(io, service), end, limits.call()))
    } else {
        Box::pin(drive(http1(&limits).serve_connection(io, service), end, limits.call()))
    };
    tokio::select! {
        // First, so that nothing is said any more once the link is cut.
        biased;
        () = kill.cancelled() => {}
        () = said_its_last(&last) => {}
        result = served => if let Err(error) = result {
            tracing::debug!(target: "lockgate::accept", %error, "link ended");
        },
    }
}

/// Resolves when a condemned link has had its time for the last answer.
async fn said_its_last(context: &LinkContext) {
    context.condemned.cancelled().await;
    tokio::time::sleep(Duration::from_millis(LAST_ANSWER_MS_MAX)).await;
}

/// Resolves when the link must take no more calls, and tells those who only listen on it.
async fn end_of(context: Arc<LinkContext>, draining: CancellationToken) {
    tokio::select! {
        () = tokio::time::sleep_until(expiry(&context)) => {}
        () = draining.cancelled() => {}
        () = context.closing.cancelled() => {}
    }
    context.closing.cancel();
}

/// Drives a connection until `end`, and from then on for as long as its calls take, `grace` at most.
async fn drive<C: GracefulConnection>(
    connection: C,
    end: impl Future<Output = ()>,
    grace: Duration,
) -> Result<(), C::Error> {
    let mut connection = std::pin::pin!(connection);
    tokio::select! {
        result = connection.as_mut() => return result,
        () = end => connection.as_mut().graceful_shutdown(),
    }
    tokio::time::timeout(grace, connection).await.unwrap_or(Ok(()))
}

fn http1(limits: &Limits) -> hyper::server::conn::http1::Builder {
    let mut builder = hyper::server::conn::http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(Duration::from_secs(limits.idle_s_max))
        .max_buf_size(limits.header_bytes_max.max(16 << 10) * 2);
    builder
}

fn http2(limits: &Limits) -> hyper::server::conn::http2::Builder<TokioExecutor> {
    let mut builder = hyper::server::conn::http2::Builder::new(TokioExecutor::new());
    builder
        .timer(TokioTimer::new())
        .max_concurrent_streams(limits.streams_per_link_max)
        .max_header_list_size(u32::try_from(limits.header_bytes_max).unwrap_or(u32::MAX))
        .keep_alive_interval(Duration::from_secs(60))
        .keep_alive_timeout(Duration::from_secs(20));
    builder
}

fn expiry(link: &LinkContext) -> Instant {
    /// Stands for "never" where a link's identity does not expire, in seconds.
    const FAR_S: u64 = 365 * 24 * 3600;
    let left = link.caller.principal.not_after().map_or(Duration::from_secs(FAR_S), |not_after| {
        not_after.duration_since(SystemTime::now()).unwrap_or_default()
    });
    Instant::now() + left
}
