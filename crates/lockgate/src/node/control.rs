//! What can be asked of a running node: the admin interface's side.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use lockgate_admin::{
    Approval, AuditView, Certificate, Csr, Draining, Fault, FindingView, Invite as InviteView, Invites, Link,
    Links, Listener, MintedInvite, NewInvite, Reloaded, Status, Threat, Threats, Token, Upstream,
    UpstreamLink, Upstreams,
};
use lockgate_audit::{Durability, Kind, Outcome, Record};
use lockgate_detect::Pending;
use lockgate_identity::NodeIdentity;
use lockgate_identity::invite::{self, Invite};
use lockgate_proxy::Node;
use lockgate_proxy::node::PINS;
use lockgate_store::Store;
use parking_lot::Mutex;

use super::faces::{self, Served};
use super::reload;
use crate::authority::{InviteError, Registrar, id_of};
use crate::config::{Flags, Settings};
use crate::diagnostic::Diagnostic;
use crate::state::{NodeNote, State};
use crate::trouble;
use crate::verbs::policy;

/// A running node, as it is administered.
pub(crate) struct Control {
    node: Arc<Node>,
    registrar: Arc<Registrar>,
    store: Store,
    state: State,
    flags: Flags,
    endpoint: String,
    foreign: Option<String>,
    /// What can change while the node runs; one change at a time.
    changing: Mutex<Changing>,
}

/// The part of a node that reloads and renewals replace.
pub(super) struct Changing {
    pub(super) settings: Settings,
    pub(super) served: Vec<Served>,
    pub(super) identity: NodeIdentity,
    /// The policies in force, as they were read.
    pub(super) policy_files: Vec<policy::File>,
    /// Generation of the crypto profiles in force.
    pub(super) epoch: u64,
}

/// What a [`Control`] is made of.
pub(super) struct Parts {
    pub(super) node: Arc<Node>,
    pub(super) registrar: Arc<Registrar>,
    pub(super) store: Store,
    pub(super) served: Vec<Served>,
    pub(super) identity: NodeIdentity,
    pub(super) state: State,
    pub(super) flags: Flags,
    pub(super) settings: Settings,
    pub(super) policy_files: Vec<policy::File>,
    pub(super) endpoint: String,
    pub(super) foreign: Option<String>,
}

impl Control {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts {
            node,
            registrar,
            store,
            served,
            identity,
            state,
            flags,
            settings,
            policy_files,
            endpoint,
            foreign,
        } = parts;
        let changing = Mutex::new(Changing { settings, served, identity, policy_files, epoch: 1 });
        Self { node, registrar, store, state, flags, endpoint, foreign, changing }
    }

    pub(super) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    pub(super) fn registrar(&self) -> &Registrar {
        &self.registrar
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn flags(&self) -> &Flags {
        &self.flags
    }

    pub(super) fn changing(&self) -> &Mutex<Changing> {
        &self.changing
    }

    /// The note that other processes of this user find the node by.
    pub(super) fn note(&self, admin: SocketAddr, token: &Token) -> NodeNote {
        NodeNote {
            schema: "lockgate.node/1".to_owned(),
            pid: std::process::id(),
            endpoint: self.endpoint.clone(),
            foreign: self.foreign.clone(),
            admin: admin.to_string(),
            token: token.reveal().to_owned(),
            authority: lockgate_identity::Authority::bundle_path(&self.state.authority()),
            profile: self.changing.lock().settings.tunnel.profile.name.to_owned(),
        }
    }

    /// The dated name of a listener's profile now.
    pub(super) fn profile_of(&self, listener: &str) -> Option<&'static str> {
        let changing = self.changing.lock();
        changing.served.iter().find(|served| served.name == listener).map(|served| served.plan.profile.name)
    }

    /// When the node's certificates are due for renewal.
    pub(super) fn renew_at(&self) -> SystemTime {
        self.changing.lock().identity.renew_at()
    }

    /// Issues the node's next certificates and presents them from now on.
    pub(super) fn renew(&self) -> Result<(), Diagnostic> {
        let mut changing = self.changing.lock();
        let identity = faces::issue(&changing.settings, self.registrar.authority())?;
        for served in changing.served.iter().filter(|served| served.plan.tls.is_none()) {
            let swapped = served.tls.swap(served.tls.suite(), &identity, self.registrar.bundle());
            swapped.map_err(|error| trouble::tls(&error))?;
        }
        changing.identity = identity;
        Ok(())
    }

    /// Records what an administrator did. What cannot be recorded is not done.
    fn record(&self, kind: Kind, method: &'static str, name: &str) -> Result<(), Fault> {
        let record = Record {
            method: Some(method.into()),
            name: Some(name.into()),
            agent: Some("admin".into()),
            ..Record::new(kind, Outcome::Ok)
        };
        self.node.audit.append(&record, Durability::Durable).map(drop).map_err(|error| {
            Fault::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "LG-A002",
                error.to_string(),
                "free space for the audit log",
            )
        })
    }
}

impl lockgate_admin::Node for Control {
    fn ready(&self) -> Result<(), Fault> {
        if self.node.draining.is_cancelled() {
            return Err(Fault::new(StatusCode::SERVICE_UNAVAILABLE, "LG-N005", "the node is draining", ""));
        }
        self.node.audit.available().map_err(|error| {
            Fault::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "LG-A002",
                error.to_string(),
                "free space for the audit log",
            )
        })
    }

    fn metrics(&self) -> String {
        self.node.metrics.encode()
    }

    fn status(&self) -> Status {
        let view = self.node.status();
        let changing = self.changing.lock();
        let (seq, head_hash) = self.node.audit.head();
        let count = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            node: changing.identity.id.to_string(),
            since_ms: view.since_ms,
            draining: view.draining,
            listeners: changing.served.iter().map(listener).collect(),
            epoch: changing.epoch,
            authority: self.registrar.bundle().fingerprint().to_owned(),
            policy_generation: view.policy_generation,
            policies: count(view.policies),
            links: count(view.links.len()),
            links_quantum_safe: count(
                view.links.iter().filter(|link| link.quantum_safe == Some(true)).count(),
            ),
            sessions: count(view.sessions),
            calls_in_flight: u64::try_from(view.calls_in_flight).unwrap_or(0),
            upstreams: count(view.servers.len()),
            upstreams_failing: count(view.servers.iter().filter(|server| server.circuit == "open").count()),
            threats: count(self.node.detector.pending().len()),
            audit: AuditView {
                seq,
                head_hash,
                problem: self.node.audit.available().err().map(|error| error.to_string()),
            },
        }
    }

    fn links(&self) -> Links {
        let links = self.node.links.snapshot().into_iter();
        Links {
            links: links
                .map(|link| Link {
                    number: link.number,
                    listener: link.listener,
                    peer: link.peer,
                    agent: link.agent,
                    since_ms: link.since_ms,
                    calls: link.calls,
                    posture: link.posture,
                    quantum_safe: link.quantum_safe,
                })
                .collect(),
        }
    }

    fn upstreams(&self) -> Upstreams {
        let servers = self.node.status().servers.into_iter();
        Upstreams {
            upstreams: servers
                .map(|server| Upstream {
                    id: server.id,
                    address: server.upstream,
                    circuit: server.circuit,
                    retry_ms: server.retry_ms,
                    last_error: server.last_error,
                    children: server.children.and_then(|children| u64::try_from(children).ok()),
                    links: server
                        .links
                        .into_iter()
                        .map(|link| UpstreamLink { peer: link.peer, posture: link.posture })
                        .collect(),
                })
                .collect(),
        }
    }

    fn invite(&self, request: NewInvite) -> Result<MintedInvite, Fault> {
        let lifetime = request.lifetime_s.map_or(invite::LIFETIME, Duration::from_secs);
        self.record(Kind::Identity, "identity/invite", &request.name)?;
        let (code, invite) =
            self.registrar.invite(&request.name, lifetime).map_err(|error| invite_fault(&error))?;
        Ok(MintedInvite { invite: view(&invite), code: code.reveal().as_str().to_owned() })
    }

    fn invites(&self) -> Result<Invites, Fault> {
        let invites = self.registrar.invites().map_err(|error| invite_fault(&error))?;
        Ok(Invites { invites: invites.iter().map(view).collect() })
    }

    fn revoke_invite(&self, id: &str) -> Result<(), Fault> {
        self.record(Kind::Identity, "identity/revoke", id)?;
        self.registrar.revoke(id).map_err(|error| invite_fault(&error))
    }

    fn enrol_local(&self, request: Csr) -> Result<Certificate, Fault> {
        self.record(Kind::Identity, "identity/enrol-local", "")?;
        let issued = self.registrar.issue_local(&request.csr).map_err(|error| {
            Fault::new(
                StatusCode::BAD_REQUEST,
                "LG-I400",
                error.to_string(),
                "compare the versions: lockgate --version",
            )
        })?;
        Ok(Certificate {
            id: issued.id,
            certificate: issued.certificate,
            authority: issued.authority,
            not_after_ms: issued.not_after_ms,
        })
    }

    fn threats(&self) -> Threats {
        Threats { threats: self.node.detector.pending().into_iter().map(threat).collect() }
    }

    fn approve_threat(&self, id: &str) -> Result<Approval, Fault> {
        self.record(Kind::Detect, "threats/approve", id)?;
        let pin = self.node.detector.approve(id).map_err(|error| {
            Fault::new(
                StatusCode::NOT_FOUND,
                "LG-D003",
                error.to_string(),
                "list what waits: lockgate threats list",
            )
        })?;
        self.store.put_json(PINS, &pin.key(), &pin).map_err(|error| {
            let hint = "the tool can be used now, but would wait again after a restart; mend the store and approve again";
            Fault::new(StatusCode::SERVICE_UNAVAILABLE, "LG-S005", error.to_string(), hint)
        })?;
        Ok(Approval { id: id.to_owned(), server: pin.server, tool: pin.tool, hash: pin.sha256 })
    }

    fn audit_tail(&self, count: usize) -> Result<Vec<String>, Fault> {
        lockgate_audit::tail(&self.state.audit(), count).map_err(|error| {
            Fault::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "LG-A002",
                error.to_string(),
                "check the disk: lockgate doctor",
            )
        })
    }

    fn reload(&self) -> Result<Reloaded, Fault> {
        reload::apply(self).map_err(|failure| {
            let code = failure.0.first().map_or("LG-X001", |first| first.code);
            let said: Vec<String> = failure.0.iter().map(ToString::to_string).collect();
            Fault::new(StatusCode::CONFLICT, code, said.join("\n"), "what was in force stays in force")
        })
    }

    fn drain(&self) -> Draining {
        self.node.draining.cancel();
        Draining {
            links: u64::try_from(self.node.links.len()).unwrap_or(u64::MAX),
            calls_in_flight: u64::try_from(self.node.metrics.calls_in_flight.get()).unwrap_or(0),
            drain_s_max: self.node.limits.drain_s_max,
        }
    }
}

fn listener(served: &Served) -> Listener {
    Listener {
        name: served.name.to_owned(),
        url: format!("https://{}", served.local),
        profile: Some(served.tls.suite().profile().name.to_owned()),
    }
}

fn view(invite: &Invite) -> InviteView {
    InviteView {
        id: id_of(invite),
        name: invite.name.clone(),
        agent: invite.id.to_string(),
        expires_at_ms: invite.expires_at_s * 1000,
        used_at_ms: invite.used_at_s.map(|used| used * 1000),
    }
}

fn invite_fault(error: &InviteError) -> Fault {
    let (status, code, hint) = match error {
        InviteError::Identity(_) | InviteError::Reserved => {
            (StatusCode::BAD_REQUEST, "LG-U001", "choose another name or lifetime")
        }
        InviteError::Store(_) => {
            (StatusCode::SERVICE_UNAVAILABLE, "LG-S005", "see what is wrong: lockgate doctor")
        }
        InviteError::Unknown(_) => (StatusCode::NOT_FOUND, "LG-U002", "list them: lockgate identity list"),
    };
    Fault::new(status, code, error.to_string(), hint)
}

fn threat(pending: Pending) -> Threat {
    Threat {
        id: pending.id,
        server: pending.server,
        tool: pending.tool,
        old_hash: pending.old_hash,
        new_hash: pending.new_hash,
        changes: pending.diff.iter().map(ToString::to_string).collect(),
        findings: pending
            .findings
            .into_iter()
            .map(|finding| FindingView {
                id: finding.id.to_owned(),
                severity: format!("{:?}", finding.severity).to_lowercase(),
                reason: finding.reason,
                evidence: finding.evidence,
            })
            .collect(),
        definition: pending.definition,
        first_seen_ms: pending.first_seen_ms,
    }
}
