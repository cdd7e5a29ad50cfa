//! From settings to a node that can serve: cheap and pure steps first, so that a mistake is found before anything is
//! bound or written.

use std::sync::Arc;

use lockgate_admin::{Server as AdminServer, Token};
use lockgate_authority::Known;
use lockgate_authority::workload::Listening;
use lockgate_crypto::Suite;
use lockgate_detect::links::{Commitment, LinkWatch};
use lockgate_detect::{Detector, Pin};
use lockgate_identity::{Authority, IdentityError, verifier};
use lockgate_privacy::Keeper;
use lockgate_proxy::agility::Move;
use lockgate_proxy::approvals::Approvals;
use lockgate_proxy::face::Face;
use lockgate_proxy::node::PINS;
use lockgate_proxy::upstream::http::HttpUpstream;
use lockgate_proxy::upstream::stdio::StdioUpstream;
use lockgate_proxy::upstream::{Transport, Upstream};
use lockgate_proxy::{Node, Parts, Server, revoke};
use lockgate_store::Store;
use lockgate_transport::child::{self, Spawner, Spec};
use lockgate_transport::http::{Limits as PoolLimits, Pool, Target as PoolTarget};
use lockgate_transport::{Dialer, Listener, Trust, dialer};

use super::Launch;
use super::agility::{self, Compiled, Dialled};
use super::control::{Control, Parts as ControlParts};
use super::credentials::{self, Credentials};
use super::faces::{self, Opened};
use super::{facts, policies, sealing, threats, tokens, workload};
use crate::authority::{Parts as RegistrarParts, Registrar};
use crate::config::{CredentialPlan, ServerPlan, Settings, Target};
use crate::diagnostic::{Diagnostic, Failure};
use crate::state::{State, write_private};
use crate::subjects;
use crate::trouble;
use crate::verbs::policy;

/// Room that a line of a child may take beyond the largest result: the envelope around it.
const ENVELOPE_BYTES_MAX: usize = 1 << 20;

/// A node that is put together and bound, but accepts nothing yet.
pub(super) struct Running {
    pub(super) control: Arc<Control>,
    pub(super) faces: Vec<(Arc<Face>, Listener)>,
    pub(super) admin: AdminServer,
    pub(super) token: Token,
    pub(super) credentials: Credentials,
    /// The workload socket, if it is offered.
    pub(super) workload: Option<Listening>,
}

/// What reaching the servers takes beside the servers themselves.
struct Reached {
    dialled: Vec<Dialled>,
    credentials: Credentials,
}

/// Puts a node together.
pub(super) async fn put_together(
    launch: &Launch,
    settings: Settings,
    state: State,
) -> Result<Running, Failure> {
    let limits = Arc::new(settings.limits.proxy());
    let store = open_store(&state)?;
    let (decided, in_force) = agility::restore(&settings, &store).map_err(|problem| problem.diagnostic())?;
    let mut reached =
        Reached { dialled: Vec::new(), credentials: Credentials::new(credentials::store(&settings, &state)) };
    let servers = settings
        .servers
        .iter()
        .map(|plan| {
            let upstream = upstream(plan, &settings, &limits, &in_force, &mut reached)?;
            Ok(Server::new(plan.name.clone(), upstream))
        })
        .collect::<Result<Vec<_>, Diagnostic>>()?;
    let authority = authority(&settings, &state, &in_force)?;
    let policy_files = policy_files(&settings, &state)?;
    let facts = facts::open(&settings, &store, &in_force, &mut reached.dialled, moment_ms())?;
    let detector = Detector::new(pins(&store)?);
    threats::prepare(&detector, &settings, &store).map_err(|error| unstored(&state, &error))?;
    reached
        .credentials
        .guard(&detector)
        .map_err(|what| trouble::secret("a credential cannot be guarded".to_owned(), &what))?;
    let policies = policies::parse(&policy_files, (&settings, &facts.shapes()), &detector, 1, None)?;
    let facts = Arc::new(facts::InForce::new(facts));
    let revocations = revoke::load(&store, moment_ms()).map_err(|error| unstored(&state, &error))?;
    let approvals = Approvals::load(store.clone(), moment_ms()).map_err(|error| unstored(&state, &error))?;
    let link_watch = LinkWatch::new(commitments(&state, &store)?, settings.crypto.continuity);
    let audit = sealing::open(&settings, &state, &in_force).await?;
    let vault = subjects::open(&settings, &state)?;
    let keeper = Arc::new(Keeper::new(Arc::clone(&vault), store.clone(), &state.audit()));
    super::subjects::resume(&keeper, &audit).await?;
    let opened = faces::open(&settings, &authority, &in_force).await?;
    agility::keep(&store, &decided).map_err(|problem| problem.diagnostic())?;
    let endpoint = opened.endpoint.clone();
    let revocations = Arc::new(revocations);
    let known = Known::open(store.clone()).map_err(|error| {
        Diagnostic::new("LG-S005", "the roles of attested agents cannot be read").because(&error)
    })?;
    let registrar = Arc::new(Registrar::new(RegistrarParts {
        authority,
        store: store.clone(),
        endpoint,
        lifetime: settings.agent_lifetime,
        registrations: settings.attest.registrations.clone(),
        known,
        revocations: Arc::clone(&revocations),
    }));
    let Reached { dialled, credentials } = reached;
    let node = Node::new(Parts {
        servers,
        policies,
        detector,
        link_watch,
        audit,
        store: store.clone(),
        enrolment: Arc::clone(&registrar) as _,
        revocations,
        approvals,
        facts: Arc::clone(&facts) as _,
        describer: subjects::describer(&settings, &vault),
        limits,
        durable: settings.audit.durable.clone(),
    });
    let first = agility::first_rules(&in_force, &registrar.bundle());
    facts.call_tools(&node, opened.identity.id.clone(), &settings)?;
    node.publish(first, Move::NOW).map_err(|error| Diagnostic::new("LG-X001", error.to_string()))?;
    let Opened { served, identity, listeners, endpoint, foreign } = opened;
    let faces = served.iter().map(|served| Arc::clone(&served.face)).zip(listeners).collect();
    let admin_address = settings.admin;
    let control = Arc::new(Control::new(ControlParts {
        node,
        registrar,
        store,
        keeper,
        facts,
        served,
        identity,
        state,
        flags: launch.flags.clone(),
        settings,
        policy_files,
        decided,
        in_force,
        dialled,
        endpoint,
        foreign,
    }));
    control.tell_sunsets();
    control.observe_endpoints().map_err(|error| {
        Diagnostic::new("LG-S005", "where servers were reached cannot be kept").because(&error)
    })?;
    // Where clients without a connector find it; connectors reach both.
    let issuer = control.changing().lock().settings.url.clone();
    let issuer = issuer.unwrap_or_else(|| control.foreign().unwrap_or_else(|| control.endpoint()).to_owned());
    let service = tokens::open(&control, &issuer)?;
    tokens::take(&control, &service)?;
    credentials.sign_by(&service.own);
    let svids = service.svids(control.registrar().authority().trust_domain());
    control.registrar().offer(service);
    let workload = workload::open(&control, svids)?;
    let settings = control.changing().lock().settings.clone();
    control.put_exports(&settings)?;
    control.put_telemetry(&settings)?;
    let token = Token::generate();
    let admin = AdminServer::bind(admin_address, token.clone(), Arc::clone(&control) as _).await.map_err(
        |error| {
            Diagnostic::new("LG-N001", "the admin interface cannot listen")
                .because(&error)
                .hint("choose another address: --admin 127.0.0.1:0")
        },
    )?;
    Ok(Running { control, faces, admin, token, credentials, workload })
}

/// The policies of the configuration, or those of the state directory, where a first start writes a readable one.
pub(super) fn policy_files(settings: &Settings, state: &State) -> Result<Vec<policy::File>, Failure> {
    if !settings.policy_files.is_empty() {
        return policy::read(settings.policy_files.clone());
    }
    let mut files = state.policy_files()?;
    if files.is_empty() {
        let first = state.policy().join("local.cedar");
        write_private(&first, lockgate_policy::starter(&settings.trust_domain).as_bytes())?;
        files.push(first);
    }
    policy::read(files)
}

/// Milliseconds since the Unix epoch.
fn moment_ms() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

fn authority(settings: &Settings, state: &State, in_force: &Compiled) -> Result<Authority, Diagnostic> {
    let (folder, now) = (state.authority(), std::time::SystemTime::now());
    let mut algorithms = in_force.identities(&faces::from_outside(settings));
    // A connector that is off on the day of an emergency knows only the roots that were there before.
    for profile in lockgate_crypto::profile::emergencies() {
        let identities = profile.identities();
        let missing = identities.into_iter().filter(|algorithm| !algorithms.contains(algorithm));
        algorithms.extend(missing.collect::<Vec<_>>());
    }
    let opened = Authority::open_or_create(&folder, &settings.trust_domain, &algorithms, now);
    let opened = opened.and_then(|authority| authority.prune(now).map(|_| authority));
    opened.map_err(|error| match error {
        IdentityError::TrustDomain { .. } => Diagnostic::new("LG-I006", "the authority is of another trust domain")
            .because(&error)
            .hint("a trust domain is fixed when the authority is made: correct node.trust_domain, or use another --state DIR"),
        error => trouble::identity(&error, &folder),
    })
}

pub(super) fn open_store(state: &State) -> Result<Store, Diagnostic> {
    Store::open(&state.store()).map_err(|error| unstored(state, &error))
}

fn unstored(state: &State, error: &lockgate_store::StoreError) -> Diagnostic {
    Diagnostic::new("LG-S005", format!("cannot use the store {}", state.store().display()))
        .because(error)
        .hint("see what is wrong: lockgate doctor")
}

fn pins(store: &Store) -> Result<Vec<Pin>, Diagnostic> {
    let pins = store.list_json::<Pin>(PINS, "").map_err(|error| {
        Diagnostic::new("LG-S005", "the pins of tool definitions cannot be read")
            .because(&error)
            .hint("without pins every tool would be trusted anew, so the node does not start")
    })?;
    Ok(pins.into_iter().map(|(_, pin)| pin).collect())
}

/// What peers are held to; without it any of them could come back with less.
fn commitments(state: &State, store: &Store) -> Result<Vec<Commitment>, Diagnostic> {
    lockgate_proxy::agility::continuity::load(store).map_err(|error| unstored(state, &error))
}

fn upstream(
    plan: &ServerPlan,
    settings: &Settings,
    limits: &Arc<lockgate_proxy::Limits>,
    in_force: &Compiled,
    reached: &mut Reached,
) -> Result<Upstream, Diagnostic> {
    let transport = match &plan.target {
        Target::Http(uri) => {
            let dialer = match in_force.upstream(&plan.name) {
                Some(suite) => {
                    let made = upstream_dialer(plan, suite)?;
                    reached.dialled.push(made.clone());
                    made.dialer
                }
                None => Arc::new(Dialer::plain(dialer::Limits::default())),
            };
            let target = PoolTarget::new(uri, dialer).map_err(|error| {
                Diagnostic::new("LG-C007", format!("server \"{}\" cannot be reached at {uri}", plan.name))
                    .because(&error)
            })?;
            let pool = Pool::new(target, PoolLimits::default());
            let upstream = HttpUpstream::new(uri.clone(), pool, Arc::clone(limits));
            let Reached { dialled, credentials } = reached;
            let credential = match plan.credential.as_ref().and_then(CredentialPlan::exchange) {
                Some(from) => Some(credentials.exchanged(from, in_force, dialled)?),
                None => credentials.header(plan)?,
            };
            Transport::Http(match credential {
                Some(credential) => upstream.with_credential(credential),
                None => upstream,
            })
        }
        Target::Stdio { command } => {
            let spawner = Arc::new(Spawner::new(child_limits(settings)));
            let (program, args) = command.split_first().expect("a command has a program: settings are valid");
            let spec = Spec {
                server: plan.name.clone(),
                program: program.clone(),
                args: args.to_vec(),
                env: plan.env.clone().into_iter().chain(reached.credentials.variable(plan)?).collect(),
                cwd: plan.cwd.clone(),
            };
            Transport::Stdio(StdioUpstream::new(spawner, spec, Arc::clone(limits)))
        }
    };
    Ok(Upstream::new(transport, Arc::clone(limits)))
}

fn upstream_dialer(plan: &ServerPlan, suite: &Suite) -> Result<Dialled, Diagnostic> {
    let roots = match &plan.roots {
        Some(path) => verifier::ForeignRoots::from_pem_file(path),
        None => verifier::ForeignRoots::system(),
    };
    let roots = roots.map_err(|error| {
        Diagnostic::new("LG-C009", format!("no roots for server \"{}\"", plan.name))
            .because(&error)
            .hint("name a PEM file with the server's authority: roots = \"FILE\" in its [[server]]")
    })?;
    let dialer = Dialer::new(suite.clone(), None, Trust::foreign(&roots), dialer::Limits::default())
        .map_err(|error| trouble::tls(&error))?;
    Ok(Dialled { name: plan.name.clone(), dialer: Arc::new(dialer), roots })
}

fn child_limits(settings: &Settings) -> child::Limits {
    child::Limits {
        children_max: settings.limits.children_max,
        line_bytes_max: settings.limits.result_bytes_max + ENVELOPE_BYTES_MAX,
        idle_s_max: Some(settings.limits.child_idle_s_max),
        life_s_max: Some(settings.limits.child_life_s_max),
        ..child::Limits::default()
    }
}
