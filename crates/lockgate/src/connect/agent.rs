//! Who this connector is: getting a certificate, keeping it, renewing it.
//!
//! There are two ways to a first certificate. On the gateway's own machine the running node's admin interface issues
//! one, because whoever can read its token is the same user. From elsewhere a one-time invite does: the public roots
//! are read over a connection that trusts nobody yet, compared with the fingerprint in the invite, and only then the
//! invite's secret is sent, over a connection that trusts exactly these roots.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lockgate_admin::Csr;
use lockgate_crypto::{Family, Profile, Suite};
use lockgate_identity::enrol::{AgentIdentity, Enrolment};
use lockgate_identity::verifier::{self, Expect};
use lockgate_identity::{IdentityError, TrustBundle, invite};
use lockgate_proxy::wellknown::{EnrolRequest, Enrolled, RenewRequest};
use lockgate_transport::http::Pool;
use lockgate_transport::{Dialer, dialer};

use crate::client;
use crate::diagnostic::Diagnostic;
use crate::endpoint::Endpoint;
use crate::state::State;
use crate::trouble;

/// How long a connector waits for a node of its own machine that is starting, in seconds.
const NODE_START_S_MAX: u64 = 10;

/// Time between two looks for it, in milliseconds.
const LOOK_MS: u64 = 200;

/// An enrolled connector and where its certificate comes from.
pub(crate) struct Agent {
    pub(crate) identity: AgentIdentity,
    folder: PathBuf,
    issuer: Issuer,
}

/// Who issues the next certificate.
enum Issuer {
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
    pub(crate) async fn obtain(wanted: &Wanted<'_>) -> Result<Self, Diagnostic> {
        wanted.state.create()?;
        let family = strongest(wanted.suite.profile());
        if let Some(code) = wanted.invite {
            let folder = folder_of(wanted.state, wanted.endpoint);
            let identity = redeem(wanted, code, family).await?;
            save(&identity, &folder)?;
            return Ok(Self { identity, folder, issuer: Issuer::Gateway });
        }
        if is_local(wanted.state, wanted.endpoint)? {
            return Self::local(wanted.state, family).await;
        }
        let folder = folder_of(wanted.state, wanted.endpoint);
        let kept = load(&folder)?;
        if kept.is_none() && wanted.endpoint.is_loopback() && wanted.state.authority().exists() {
            // This machine's own node, which may be starting at this very moment, as after a login.
            appears(wanted).await?;
            return Self::local(wanted.state, family).await;
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

    /// The certificate of this machine's own agent; a fresh one if there is none that lasts.
    async fn local(state: &State, family: Family) -> Result<Self, Diagnostic> {
        let folder = state.connectors().join("local");
        let note = state.running()?;
        let bundle = TrustBundle::from_pem_file(&note.authority)
            .map_err(|error| trouble::identity(&error, &note.authority))?;
        // One of an earlier authority, or near its end, is not worth repairing: a new one costs nothing here.
        let kept = load(&folder).ok().flatten().filter(|identity| {
            identity.bundle.fingerprint() == bundle.fingerprint()
                && identity.leaf.family == family
                && identity.leaf.renew_at() > SystemTime::now()
        });
        let identity = match kept {
            Some(identity) => identity,
            None => {
                let identity = enrol_locally(state, family, bundle).await?;
                save(&identity, &folder)?;
                identity
            }
        };
        Ok(Self { identity, folder, issuer: Issuer::Local(state.clone()) })
    }

    /// A dialer that presents this certificate and trusts this authority's nodes.
    pub(crate) fn dialer(&self, suite: &Suite) -> Result<Arc<Dialer>, Diagnostic> {
        trusting(suite, &self.identity.bundle, Some(&self.identity))
    }

    /// How long until the certificate should be renewed.
    pub(crate) fn renew_in(&self) -> Duration {
        self.identity.leaf.renew_at().duration_since(SystemTime::now()).unwrap_or_default()
    }

    /// Gets the next certificate, keeps it, and dials with it from now on. Calls under way go on where they are.
    pub(crate) async fn renew(
        &mut self,
        pool: &Pool,
        endpoint: &Endpoint,
        dialer: &Dialer,
    ) -> Result<(), Diagnostic> {
        let identity = match &self.issuer {
            Issuer::Local(state) => {
                enrol_locally(state, self.identity.leaf.family, self.identity.bundle.clone()).await?
            }
            Issuer::Gateway => {
                let enrolment = self.identity.renew().map_err(|error| unusable(&error))?;
                let request = RenewRequest { csr: enrolment.request_pem().to_owned() };
                let (status, answer) =
                    client::ask(pool, endpoint, client::post("/.well-known/lockgate/renew", &request))
                        .await?;
                finish(enrolment, self.identity.bundle.clone(), endpoint, status, &answer)?
            }
        };
        save(&identity, &self.folder)?;
        dialer.renew(&identity.leaf).map_err(|error| trouble::tls(&error))?;
        pool.retire();
        self.identity = identity;
        Ok(())
    }
}

/// A dialer that trusts the nodes of one authority.
pub(crate) fn trusting(
    suite: &Suite,
    bundle: &TrustBundle,
    identity: Option<&AgentIdentity>,
) -> Result<Arc<Dialer>, Diagnostic> {
    let verifier = verifier::server(bundle, suite, Expect::Node);
    let leaf = identity.map(|identity| &identity.leaf);
    let dialer = Dialer::new(suite.clone(), leaf, verifier, dialer::Limits::default());
    Ok(Arc::new(dialer.map_err(|error| trouble::tls(&error))?))
}

/// A dialer that trusts nobody in particular: for reading what is public, and for measuring.
pub(crate) fn unpinned(suite: &Suite) -> Result<Arc<Dialer>, Diagnostic> {
    let verifier = verifier::any_for_pinning(suite);
    let dialer = Dialer::new(suite.clone(), None, verifier, dialer::Limits::default());
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

/// The strongest family of keys that a profile permits.
fn strongest(profile: &Profile) -> Family {
    Family::ALL.into_iter().find(|family| profile.permits(*family)).unwrap_or(Family::Composite)
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

async fn enrol_locally(
    state: &State,
    family: Family,
    bundle: TrustBundle,
) -> Result<AgentIdentity, Diagnostic> {
    let enrolment = Enrolment::begin(family).map_err(|error| unusable(&error))?;
    let request = Csr { csr: enrolment.request_pem().to_owned() };
    let issued =
        client::admin(state)?.enrol_local(&request).await.map_err(|error| client::unanswered(&error))?;
    enrolment.finish(&issued.certificate, bundle, SystemTime::now()).map_err(|error| {
        Diagnostic::new("LG-I001", "the node on this machine issued a certificate that does not fit")
            .because(&error)
    })
}

async fn redeem(
    wanted: &Wanted<'_>,
    code: &invite::Code,
    family: Family,
) -> Result<AgentIdentity, Diagnostic> {
    let endpoint = wanted.endpoint;
    let open = client::pool(endpoint, unpinned(wanted.suite)?)?;
    let (status, pem) = client::ask(&open, endpoint, client::get("/.well-known/lockgate/authority")).await?;
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
    let pool = client::pool(endpoint, trusting(wanted.suite, &bundle, None)?)?;
    let enrolment = Enrolment::begin(family).map_err(|error| unusable(&error))?;
    let request = EnrolRequest {
        secret: code.secret.reveal().as_str().to_owned(),
        csr: enrolment.request_pem().to_owned(),
    };
    let (status, answer) =
        client::ask(&pool, endpoint, client::post("/.well-known/lockgate/enrol", &request)).await?;
    finish(enrolment, bundle, endpoint, status, &answer)
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
