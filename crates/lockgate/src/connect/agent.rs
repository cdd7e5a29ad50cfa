//! Who this connector is: getting a certificate, keeping it, renewing it.
//!
//! There are two ways to a first certificate. On the gateway's own machine the running node's admin interface issues
//! one, because whoever can read its token is the same user. From elsewhere a one-time invite does: the public roots
//! are read over a connection that trusts nobody yet, compared with the fingerprint in the invite, and only then the
//! invite's secret is sent, over a connection that trusts exactly these roots.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lockgate_admin::{Csr, Place, PlaceKind};
use lockgate_authority::{AuthorityError, workload};
use lockgate_crypto::{Algorithm, Announced, PrivateKey, Suite, catalog};
use lockgate_identity::enrol::{AgentIdentity, Enrolment};
use lockgate_identity::verifier::Expect;
use lockgate_identity::{IdentityError, TrustBundle, invite};
use lockgate_proxy::wellknown::{EnrolRequest, Enrolled};
use lockgate_transport::http::Pool;
use lockgate_transport::{Dialer, Trust, dialer};
use lockgate_tunnel::{Follow, Issue, TunnelError, service};

use crate::client;
use crate::config::TUNNEL;
use crate::diagnostic::Diagnostic;
use crate::endpoint::Endpoint;
use crate::state::State;
use crate::trouble;

/// How long a connector waits for a node of its own machine that is starting, in seconds.
const NODE_START_S_MAX: u64 = 10;

/// Time between two looks for it, in milliseconds.
const LOOK_MS: u64 = 200;

/// An enrolled connector and where its certificate comes from.
#[derive(Clone)]
pub(crate) struct Agent {
    pub(crate) identity: AgentIdentity,
    /// Where identity and what was followed last are kept.
    pub(crate) folder: PathBuf,
    pub(crate) issuer: Issuer,
}

/// Who issues the next certificate.
#[derive(Clone)]
pub(crate) enum Issuer {
    /// The node on this machine, over its admin interface.
    Local(State),
    /// The gateway, over the tunnel.
    Gateway,
}

/// What a connector needs to know to find or get its certificate.
pub(crate) struct Wanted<'a> {
    pub(crate) endpoint: &'a Endpoint,
    pub(crate) invite: Option<&'a invite::Code>,
    pub(crate) state: &'a State,
    pub(crate) suite: &'a Suite,
}

impl Agent {
    /// Finds the certificate for a gateway, or gets one.
    pub(crate) async fn obtain(wanted: &Wanted<'_>, follow: Follow) -> Result<Self, Diagnostic> {
        wanted.state.create()?;
        if let Some(code) = wanted.invite {
            let folder = folder_of(wanted.state, wanted.endpoint);
            // Who held a certificate here before may be the one that used the invite.
            let held = load(&folder).ok().flatten();
            let identity = redeem(wanted, code, held.as_ref()).await?;
            save(&identity, &folder)?;
            // Of another time, and perhaps of another authority.
            lockgate_tunnel::forget(&folder).map_err(|error| trouble::tunnel(&error, wanted.endpoint))?;
            return Ok(Self { identity, folder, issuer: Issuer::Gateway });
        }
        if is_local(wanted.state, wanted.endpoint)? {
            return Self::local(wanted, follow).await;
        }
        let folder = folder_of(wanted.state, wanted.endpoint);
        let kept = load(&folder)?;
        if kept.is_none() && wanted.endpoint.is_loopback() && wanted.state.authority().exists() {
            // This machine's own node, which may be starting at this very moment, as after a login.
            appears(wanted).await?;
            return Self::local(wanted, follow).await;
        }
        match kept {
            Some(identity) => {
                if identity.leaf.not_after() <= SystemTime::now() {
                    return Err(ended(&identity, wanted.endpoint));
                }
                Ok(Self { identity, folder, issuer: Issuer::Gateway })
            }
            None => Err(Diagnostic::new(
                "LG-I004",
                format!("this connector is not enrolled at {}", wanted.endpoint.origin()),
            )
            .cause(format!(
                "no certificate in {}, and no node of this state directory listens there",
                folder.display()
            ))
            .hint("on the gateway's machine: lockgate identity invite --name NAME")
            .hint(format!("then here: lockgate connect --invite CODE {}", wanted.endpoint))),
        }
    }

    /// The certificate of this machine's own agent; a fresh one if there is none that lasts. The node on this machine
    /// also says what its tunnels permit now, so that a connector that starts after a change begins with that.
    async fn local(wanted: &Wanted<'_>, follow: Follow) -> Result<Self, Diagnostic> {
        let state = wanted.state;
        let folder = state.connectors().join("local");
        let note = state.running()?;
        let bundle = TrustBundle::from_pem_file(&note.authority)
            .map_err(|error| trouble::identity(&error, &note.authority))?;
        let permitted = match follow {
            Follow::Safe => permitted_now(state).await?,
            Follow::Never => None,
        };
        let algorithm = permitted.as_ref().and_then(|place| strongest(place, wanted.suite));
        let algorithm = algorithm.unwrap_or(wanted.suite.identities()[0]);
        // One of an earlier authority, or near its end, is not worth repairing: a new one costs nothing here.
        let kept = load(&folder).ok().flatten().filter(|identity| {
            // Where parents and programs count, what another connector of this user got is not ours.
            note.workload.is_none()
                && identity.bundle.fingerprint() == bundle.fingerprint()
                && identity.leaf.algorithm == algorithm
                && identity.leaf.renew_at() > SystemTime::now()
        });
        let identity = match kept {
            Some(identity) => identity,
            None => {
                let identity = enrol_locally(state, algorithm, bundle).await?;
                save(&identity, &folder)?;
                identity
            }
        };
        if let Some((epoch, announced)) = permitted {
            lockgate_tunnel::remember(&folder, epoch, &identity.bundle, announced)
                .map_err(|error| trouble::tunnel(&error, wanted.endpoint))?;
        }
        Ok(Self { identity, folder, issuer: Issuer::Local(state.clone()) })
    }
}

/// Epoch and lists of the tunnels of the node on this machine.
type Permitted = (u64, Announced);

async fn permitted_now(state: &State) -> Result<Option<Permitted>, Diagnostic> {
    let show = client::admin(state)?.crypto().await.map_err(|error| client::unanswered(&error))?;
    let mut places = show.places.into_iter();
    let tunnel = places.find(|place| place.kind == PlaceKind::Listener && place.name == TUNNEL);
    Ok(tunnel.map(|place| {
        let Place { profile, groups, signatures, ciphers, .. } = place;
        (show.epoch, Announced { profile, groups, signatures, ciphers })
    }))
}

/// The first signature that the gateway permits, for which keys are made here, and which is not weaker than all that the
/// floor permits.
fn strongest((_, announced): &Permitted, floor: &Suite) -> Option<&'static Algorithm> {
    let strength = |row: &Algorithm| (row.is_quantum_safe(), row.nist_level);
    let least = floor.signatures().iter().map(|row| strength(row)).min();
    let rows = announced.signatures.iter().filter_map(|id| catalog::find(id));
    rows.filter(|row| PrivateKey::can_make(row)).find(|row| Some(strength(row)) >= least)
}

impl Issue for Issuer {
    async fn issue(&self, pool: &Pool, request_pem: &str) -> Result<String, TunnelError> {
        let state = match self {
            Self::Gateway => return lockgate_tunnel::Gateway.issue(pool, request_pem).await,
            Self::Local(state) => state,
        };
        let not_issued = |why: String| TunnelError::NotIssued(why);
        certificate(state, request_pem).await.map_err(|problem| not_issued(problem.what))
    }
}

/// A dialer that trusts the nodes of one authority.
pub(crate) fn trusting(
    suite: &Suite,
    bundle: &TrustBundle,
    identity: Option<&AgentIdentity>,
) -> Result<Arc<Dialer>, Diagnostic> {
    let trust = Trust::own(bundle, Expect::Node);
    let leaf = identity.map(|identity| &identity.leaf);
    let dialer = Dialer::new(suite.clone(), leaf, trust, dialer::Limits::default());
    Ok(Arc::new(dialer.map_err(|error| trouble::tls(&error))?))
}

/// A dialer that trusts nobody in particular: for reading what is public, and for measuring.
pub(crate) fn unpinned(suite: &Suite) -> Result<Arc<Dialer>, Diagnostic> {
    let dialer = Dialer::new(suite.clone(), None, Trust::any_for_pinning(), dialer::Limits::default());
    Ok(Arc::new(dialer.map_err(|error| trouble::tls(&error))?))
}

/// Waits a while for the node of this state directory to listen at the endpoint.
async fn appears(wanted: &Wanted<'_>) -> Result<(), Diagnostic> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(NODE_START_S_MAX);
    while !is_local(wanted.state, wanted.endpoint)? {
        if tokio::time::Instant::now() > deadline {
            let running = wanted.state.note()?.filter(|_| wanted.state.is_locked());
            return Err(match running {
                Some(note) => Diagnostic::new(
                    "LG-N002",
                    format!("the node of this state directory listens elsewhere: {}", note.endpoint),
                )
                .hint("correct the port, or the port of the node: --listen 127.0.0.1:PORT"),
                None => {
                    Diagnostic::new("LG-S004", format!("no node runs on {}", wanted.state.root().display()))
                        .hint("start one: lockgate up")
                        .hint("or name the state directory of the running one: --state DIR")
                }
            });
        }
        tokio::time::sleep(Duration::from_millis(LOOK_MS)).await;
    }
    Ok(())
}

/// Whether the endpoint is the node that runs on this state directory.
pub(crate) fn is_local(state: &State, endpoint: &Endpoint) -> Result<bool, Diagnostic> {
    let Some(note) = state.note()?.filter(|_| state.is_locked()) else { return Ok(false) };
    let Ok(own) = note.endpoint.parse::<Endpoint>() else { return Ok(false) };
    Ok(own.port == endpoint.port && (own.host == endpoint.host || endpoint.is_loopback()))
}

/// The certificate that this machine holds for an endpoint, whatever its state; none if there is none.
pub(crate) fn kept(state: &State, endpoint: &Endpoint) -> Result<Option<AgentIdentity>, Diagnostic> {
    let local = is_local(state, endpoint)?;
    load(&if local { state.connectors().join("local") } else { folder_of(state, endpoint) })
}

/// One folder for each gateway, by host and port.
fn folder_of(state: &State, endpoint: &Endpoint) -> PathBuf {
    let name: String = endpoint
        .authority()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '.' | '-') { c } else { '_' })
        .collect();
    state.connectors().join(name)
}

fn load(folder: &Path) -> Result<Option<AgentIdentity>, Diagnostic> {
    AgentIdentity::load(folder).map_err(|error| trouble::identity(&error, folder))
}

fn save(identity: &AgentIdentity, folder: &Path) -> Result<(), Diagnostic> {
    identity.save(folder).map_err(|error| trouble::identity(&error, folder))
}

fn unusable(error: &IdentityError) -> Diagnostic {
    Diagnostic::new("LG-K002", "cannot make a key and a request for its certificate").because(error)
}

fn ended(identity: &AgentIdentity, endpoint: &Endpoint) -> Diagnostic {
    Diagnostic::new("LG-I005", format!("the certificate of {} has ended", identity.id))
        .cause("it is renewed while the connector runs, and was not running when that was due")
        .hint("on the gateway's machine: lockgate identity invite --name NAME")
        .hint(format!("then here: lockgate connect --invite CODE {endpoint}"))
}

/// A certificate of the node on this machine, by what the kernel says of this process and its parent where the node asks
/// for that, else as this machine's own agent.
async fn certificate(state: &State, request_pem: &str) -> Result<String, Diagnostic> {
    if let Some(socket) = state.running()?.workload {
        match workload::enrol(&socket, request_pem).await {
            Ok(enrolled) => return Ok(enrolled.certificate),
            // Nothing is registered for it. Any other refusal is one: who is revoked does not come in by another door.
            Err(AuthorityError::Answered { code, .. }) if code == "LG-I502" => {}
            Err(AuthorityError::Answered { code, message }) => {
                let hint = "see what is proven of this process: lockgate identity whoami";
                return Err(client::said(&code, &message, hint));
            }
            Err(error) => {
                return Err(Diagnostic::new("LG-I505", "the workload socket of this node does not answer")
                    .because(&error));
            }
        }
    }
    let request = Csr { csr: request_pem.to_owned() };
    let issued =
        client::admin(state)?.enrol_local(&request).await.map_err(|error| client::unanswered(&error))?;
    Ok(issued.certificate)
}

async fn enrol_locally(
    state: &State,
    algorithm: &'static Algorithm,
    bundle: TrustBundle,
) -> Result<AgentIdentity, Diagnostic> {
    let enrolment = Enrolment::begin(algorithm).map_err(|error| unusable(&error))?;
    let certificate = certificate(state, enrolment.request_pem()).await?;
    enrolment.finish(&certificate, bundle, SystemTime::now()).map_err(|error| {
        Diagnostic::new("LG-I001", "the node on this machine issued a certificate that does not fit")
            .because(&error)
    })
}

async fn redeem(
    wanted: &Wanted<'_>,
    code: &invite::Code,
    held: Option<&AgentIdentity>,
) -> Result<AgentIdentity, Diagnostic> {
    let (endpoint, suite) = (wanted.endpoint, wanted.suite);
    let open = client::pool(endpoint, unpinned(suite)?)?;
    let (status, pem) = client::ask(&open, endpoint, service::get(service::AUTHORITY)).await?;
    let pem = std::str::from_utf8(&pem).ok().filter(|_| status.is_success());
    let pem = pem.ok_or_else(|| {
        client::not_a_gateway(endpoint, &format!("asked for its authority, it answered {status}"))
    })?;
    let bundle = TrustBundle::from_pem_pinned(pem, &code.fingerprint).map_err(|error| match error {
        IdentityError::PinMismatch { .. } => Diagnostic::new(
            "LG-I002",
            format!("{} has another authority than the invite says", endpoint.origin()),
        )
        .because(&error)
        .hint("ask for a new invite, and check that the address leads to the gateway itself"),
        error => client::not_a_gateway(endpoint, &error.to_string()),
    })?;
    let bundle = grown(&open, endpoint, suite, bundle).await?;
    let pool = client::pool(endpoint, trusting(suite, &bundle, None)?)?;
    let algorithm = lockgate_tunnel::algorithm_for(suite, &bundle).unwrap_or(suite.identities()[0]);
    let enrolment = Enrolment::begin(algorithm).map_err(|error| unusable(&error))?;
    let ask = async |enrolment: Enrolment| {
        let request = EnrolRequest {
            secret: code.secret.reveal().as_str().to_owned(),
            csr: enrolment.request_pem().to_owned(),
        };
        let (status, answer) = client::ask(&pool, endpoint, service::post(service::ENROL, &request)).await?;
        finish(enrolment, bundle.clone(), endpoint, status, &answer)
    };
    match (ask(enrolment).await, held) {
        // The invite was used, perhaps by this very connector: the key that did so may come again.
        (Err(used), Some(held)) if used.code == "LG-I003" => {
            let again = held.come_again().map_err(|error| unusable(&error))?;
            ask(again).await.map_err(|_| used)
        }
        (enrolled, _) => enrolled,
    }
}

/// The pinned roots with those that the authority has made since the invite, if one of the pinned vouches for them. The
/// gateway may present a certificate of a new one.
async fn grown(
    open: &Pool,
    endpoint: &Endpoint,
    suite: &Suite,
    pinned: TrustBundle,
) -> Result<TrustBundle, Diagnostic> {
    let (status, update) = client::ask(open, endpoint, service::get(service::BUNDLE)).await?;
    // A gateway of an earlier version has no such service, and no other roots.
    let Some(update) = String::from_utf8(update.into()).ok().filter(|_| status.is_success()) else {
        return Ok(pinned);
    };
    let permitted = |row: &Algorithm| suite.signatures().iter().any(|permitted| permitted.id == row.id);
    match pinned.accept_update(&update, permitted, pinned.sequence(), SystemTime::now()) {
        Ok((bundle, _)) => Ok(bundle),
        Err(IdentityError::BundleOutdated { .. }) => Ok(pinned),
        Err(error) => Err(Diagnostic::new(
            "LG-I002",
            format!("{} has roots that the invite's authority does not vouch for", endpoint.origin()),
        )
        .because(&error)
        .hint("ask for a new invite, and check that the address leads to the gateway itself")),
    }
}

fn finish(
    enrolment: Enrolment,
    bundle: TrustBundle,
    endpoint: &Endpoint,
    status: http::StatusCode,
    answer: &[u8],
) -> Result<AgentIdentity, Diagnostic> {
    if !status.is_success() {
        return Err(client::refusal(status, answer).unwrap_or_else(|| {
            client::not_a_gateway(endpoint, &format!("asked for a certificate, it answered {status}"))
        }));
    }
    let issued: Enrolled = client::parse(endpoint, answer)?;
    enrolment.finish(&issued.certificate, bundle, SystemTime::now()).map_err(|error| {
        Diagnostic::new("LG-I001", format!("{} issued a certificate that does not fit", endpoint.origin()))
            .because(&error)
    })
}
