//! The listeners of a node: their profiles, their certificates, and the renewal of those.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lockgate_crypto::Algorithm;
use lockgate_identity::{Authority, Leaf, NODE_LIFETIME, NodeIdentity, SpiffeId};
use lockgate_proxy::face::Face;
use lockgate_transport::{Listener, ServerTls};

use super::agility::Compiled;
use super::control::Control;
use crate::config::{FOREIGN, Settings, TUNNEL, TlsFiles};
use crate::diagnostic::Diagnostic;
use crate::trouble;

/// Longest sleep between two looks at the clock, so that a machine that was suspended renews soon after it wakes.
const LOOK_S_MAX: u64 = 60;

/// Pause after a renewal that failed, in seconds; a third of the certificates' life is left for it.
const RETRY_S: u64 = 30;

/// A listener that serves.
pub(super) struct Served {
    pub(super) name: String,
    pub(super) tls: Arc<ServerTls>,
    pub(super) face: Arc<Face>,
    pub(super) local: SocketAddr,
    /// This node with the listener's own certificate, if it has one from outside.
    pub(super) own: Option<NodeIdentity>,
}

/// All listeners, bound, and what they present.
pub(super) struct Opened {
    pub(super) served: Vec<Served>,
    pub(super) listeners: Vec<Listener>,
    pub(super) identity: NodeIdentity,
    /// Base URL for connectors.
    pub(super) endpoint: String,
    /// Base URL for clients without a connector.
    pub(super) foreign: Option<String>,
}

/// Makes the certificates and binds the addresses, each under the suite that was compiled for it.
pub(super) async fn open(
    settings: &Settings,
    authority: &Authority,
    compiled: &Compiled,
) -> Result<Opened, Diagnostic> {
    let identity = issue(settings, authority, None, &compiled.identities(&from_outside(settings)))?;
    let mut opened = Opened {
        served: Vec::new(),
        listeners: Vec::new(),
        identity,
        endpoint: String::new(),
        foreign: None,
    };
    for plan in settings.listeners() {
        let name = plan.name.as_str();
        let own = plan.tls.as_ref().map(|files| own(files, &opened.identity)).transpose()?;
        let suite = compiled.accepted_by(name).expect("every listener is compiled").clone();
        let presented = own.as_ref().unwrap_or(&opened.identity);
        let tls =
            ServerTls::new(suite, presented, &authority.bundle()).map_err(|error| trouble::tls(&error))?;
        let listener = Listener::bind(plan.address, settings.limits.transport()).await.map_err(|error| {
            Diagnostic::new("LG-N001", format!("cannot listen on {}", plan.address))
                .because(&error)
                .hint("see who has it: ss -ltnp")
                .hint(format!(
                    "or listen elsewhere: --{} 127.0.0.1:0",
                    if name == FOREIGN { name } else { "listen" }
                ))
        })?;
        let (tls, local) = (Arc::new(tls), listener.local());
        let url = base_url(settings, local);
        match name {
            TUNNEL => opened.endpoint = url,
            FOREIGN => opened.foreign = Some(url),
            _ => {}
        }
        let face = Arc::new(Face {
            name: name.into(),
            tls: Some(Arc::clone(&tls)),
            bundle: Arc::new(arc_swap::ArcSwap::from_pointee(authority.bundle())),
            identity_required: plan.identity_required,
            hosts: hosts(settings).into(),
            origins: settings.origins.clone().into(),
            limits: settings.limits.transport(),
        });
        opened.served.push(Served { name: name.to_owned(), tls, face, local, own });
        opened.listeners.push(listener);
    }
    Ok(opened)
}

/// Whether a listener presents a certificate from outside.
pub(super) fn from_outside(settings: &Settings) -> impl Fn(&str) -> bool {
    |name| settings.listeners().any(|plan| plan.name == name && plan.tls.is_some())
}

/// This node with a certificate from outside, as it stands in its files now.
pub(super) fn own(files: &TlsFiles, node: &NodeIdentity) -> Result<NodeIdentity, Diagnostic> {
    let leaf = Leaf::from_pem_files(&files.certificate, &files.key).map_err(|error| {
        Diagnostic::new("LG-C009", format!("cannot use the certificate {}", files.certificate.display()))
            .because(&error)
            .hint("the key must be PKCS#8 PEM, belong to the certificate, and be readable by its owner only (chmod 600)")
    })?;
    Ok(NodeIdentity { id: node.id.clone(), leaves: vec![leaf] })
}

/// SHA-256 of the certificates, hexadecimal: another one, when one of them is another.
pub(super) fn fingerprint(identity: &NodeIdentity) -> String {
    let mut hash = lockgate_crypto::digest::Sha256::new();
    identity.leaves.iter().for_each(|leaf| hash.update(leaf.certificate()));
    lockgate_crypto::digest::hex(&hash.finish())
}

/// Keys and certificates for this node, one for each algorithm: those that are held, while they are not due for renewal,
/// and fresh ones for the rest.
pub(super) fn issue(
    settings: &Settings,
    authority: &Authority,
    held: Option<&NodeIdentity>,
    algorithms: &[&'static Algorithm],
) -> Result<NodeIdentity, Diagnostic> {
    let failed = |error: &lockgate_identity::IdentityError| {
        Diagnostic::new("LG-I006", "the authority cannot issue this node's certificates")
            .because(error)
            .hint("check node.name and node.names")
    };
    let id = SpiffeId::node(authority.trust_domain(), &settings.name).map_err(|error| failed(&error))?;
    let (ips, names): (Vec<_>, Vec<_>) =
        hosts(settings).into_iter().partition(|host| host.parse::<IpAddr>().is_ok());
    let ips: Vec<IpAddr> = ips.iter().filter_map(|ip| ip.parse().ok()).collect();
    let now = SystemTime::now();
    let held = |algorithm: &Algorithm| {
        held.and_then(|node| node.leaf(algorithm)).filter(|leaf| leaf.renew_at() > now).cloned()
    };
    let missing: Vec<&'static Algorithm> =
        algorithms.iter().copied().filter(|algorithm| held(algorithm).is_none()).collect();
    let fresh = authority
        .issue_node(&id, &names, &ips, &missing, NODE_LIFETIME, now)
        .map_err(|error| failed(&error))?;
    let leaf = |algorithm: &&'static Algorithm| held(algorithm).or_else(|| fresh.leaf(algorithm).cloned());
    Ok(NodeIdentity { id, leaves: algorithms.iter().filter_map(leaf).collect() })
}

/// Renews the node's certificates at two thirds of their life. Links that are up stay up.
pub(super) async fn keep_certificates(control: Arc<Control>) {
    loop {
        let wait = control.renew_at().duration_since(SystemTime::now()).unwrap_or_default();
        if !wait.is_zero() {
            tokio::time::sleep(wait.min(Duration::from_secs(LOOK_S_MAX))).await;
            continue;
        }
        let renewing = Arc::clone(&control);
        let renewed = tokio::task::spawn_blocking(move || renewing.renew()).await;
        match renewed {
            Ok(Ok(())) => tracing::info!("the node's certificates are renewed"),
            Ok(Err(problem)) => {
                tracing::error!(code = problem.code, "certificates not renewed yet: {problem}")
            }
            Err(error) => tracing::error!(%error, "the renewal of certificates broke"),
        }
        if renewed_is_late(&control) {
            tokio::time::sleep(Duration::from_secs(RETRY_S)).await;
        }
    }
}

fn renewed_is_late(control: &Control) -> bool {
    control.renew_at() <= SystemTime::now()
}

/// Names and addresses under which this node is reached, lower-case, each once.
fn hosts(settings: &Settings) -> Vec<String> {
    let mut hosts = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    hosts.extend(settings.names.iter().map(|name| name.to_ascii_lowercase()));
    let addresses = settings.listeners().map(|plan| plan.address.ip()).filter(|ip| !ip.is_unspecified());
    hosts.extend(addresses.map(|ip| ip.to_string()));
    if settings.listeners().any(|plan| plan.address.ip().is_unspecified()) {
        hosts.extend(hostname());
    }
    let mut seen = std::collections::HashSet::new();
    hosts.retain(|host| seen.insert(host.clone()));
    hosts
}

/// The URL that leads to a listener: by its address, or by the first name of the node where it listens on all.
fn base_url(settings: &Settings, local: SocketAddr) -> String {
    if !local.ip().is_unspecified() {
        return format!("https://{local}");
    }
    let host = settings.names.first().cloned().or_else(hostname).unwrap_or_else(|| "127.0.0.1".to_owned());
    format!("https://{host}:{}", local.port())
}

/// What this machine calls itself; whether others know it by that name is for the reader to judge.
fn hostname() -> Option<String> {
    let name = std::fs::read_to_string("/proc/sys/kernel/hostname").ok()?;
    let name = name.trim().to_ascii_lowercase();
    (!name.is_empty()).then_some(name)
}
