//! The node's Workload API: what it needs of the node, and its place in the node's life.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::SystemTime;

use lockgate_audit::{Durability, Kind, Log, Outcome, Record};
use lockgate_authority::attest::{Attestor, Parent, Process};
use lockgate_authority::workload::{JwtSvids, Listening, Workload, listen};
use lockgate_authority::{AuthorityError, Event, Issuance, Registrations};
use lockgate_crypto::digest::hex;
use lockgate_crypto::{Algorithm, jose};
use lockgate_identity::{
    Authority, Principal, Revocation, Revocations, Role, SpiffeId, Subject, Target, bind,
};

use super::control::Control;
use super::faces;
use crate::diagnostic::Diagnostic;
use crate::verbs::whoami::Issuer;

/// What issuing needs of a node. It does not keep the node alive, which owns whatever issues.
pub(super) struct Office {
    authority: Arc<Authority>,
    revocations: Arc<Revocations>,
    audit: Arc<Log>,
    control: Weak<Control>,
}

impl Office {
    /// That of a node.
    pub(super) fn of(control: &Arc<Control>) -> Arc<dyn Issuance> {
        Arc::new(Self {
            authority: Arc::clone(control.registrar().shared_authority()),
            revocations: Arc::clone(control.registrar().revocations()),
            audit: Arc::clone(&control.node().audit),
            control: Arc::downgrade(control),
        })
    }

    fn holds(&self, subject: &Subject<'_>) -> bool {
        // Of a node that is gone everybody is revoked.
        let control = self.control.upgrade();
        control.is_none_or(|control| self.revocations.check(subject, control.moment_ms()).is_err())
    }
}

impl Issuance for Office {
    fn authority(&self) -> &Authority {
        &self.authority
    }

    fn in_force(&self) -> Vec<&'static Algorithm> {
        let Some(control) = self.control.upgrade() else { return Vec::new() };
        let changing = control.changing().lock();
        changing.in_force.identities(&faces::from_outside(&changing.settings))
    }

    fn is_revoked(&self, id: &SpiffeId, roles: &[String]) -> bool {
        // Of a node that is gone everybody is revoked.
        let Some(control) = self.control.upgrade() else { return true };
        let roles = control.roles_of(id, roles);
        self.holds(&Subject { agent: id.as_str(), roles: &roles, ..Subject::default() })
    }

    fn is_token_revoked(&self, id: &str) -> bool {
        self.holds(&Subject { token: Some(id), ..Subject::default() })
    }

    fn is_key_revoked(&self, thumbprint: &str) -> bool {
        // Revocations name keys as records do, in hexadecimal.
        let Some(digest) = jose::decode(thumbprint) else { return true };
        let key = hex(&digest);
        self.holds(&Subject { key: Some(&key), ..Subject::default() })
    }

    fn revoke_token(&self, id: &str, until_s: u64) -> Result<(), AuthorityError> {
        let gone = || AuthorityError::Unrecorded("the node is ending".to_owned());
        let control = self.control.upgrade().ok_or_else(gone)?;
        let target = Target::Token(id.to_owned());
        let revoked = Revocation::new(target, "its holder", "given back (RFC 7009)", control.moment_ms());
        let revoked = Revocation { until_ms: Some(until_s * 1000), ..revoked };
        let cut = control.node().revoke(revoked);
        cut.map(drop).map_err(|error| AuthorityError::Unrecorded(error.to_string()))
    }

    fn generation(&self) -> u64 {
        // Each counts up by itself, so that their sum changes when one of them does.
        let (epoch, policies) = self
            .control
            .upgrade()
            .map_or((0, 0), |control| (control.node().epoch(), control.node().policies.load().generation()));
        epoch
            .wrapping_add(policies)
            .wrapping_add(self.authority.bundle().sequence())
            .wrapping_add(self.revocations.generation())
    }

    fn record(&self, event: &Event) -> Result<(), AuthorityError> {
        let proven: Vec<&str> = event.selectors.iter().map(lockgate_authority::Selector::as_str).collect();
        let proven = format!("{} by {}: {}", event.subject, event.by, proven.join(", "));
        let (outcome, reason) = match &event.refused {
            Some(why) => (Outcome::Refused, format!("{why}; {proven}")),
            None => (Outcome::Ok, proven),
        };
        let record = Record {
            method: Some(event.method.into()),
            name: event.id.as_ref().map(|id| id.as_str().into()),
            reason: Some(reason.into()),
            ..Record::new(Kind::Identity, outcome)
        };
        let unrecorded = |error: lockgate_audit::AuditError| AuthorityError::Unrecorded(error.to_string());
        // By the node, so that those who look on see it; one that is ending still records.
        let appended = match self.control.upgrade() {
            Some(control) => control.node().append(&record, Durability::Durable),
            None => self.audit.append(&record, Durability::Durable),
        };
        let receipt = appended.map_err(unrecorded)?;
        // On a thread that may block: see the trait.
        tokio::runtime::Handle::current().block_on(self.audit.synced(&receipt)).map_err(unrecorded)
    }
}

/// Where the socket is, if the node offers one.
pub(super) fn socket(control: &Control) -> Option<PathBuf> {
    let named = control.changing().lock().settings.attest.socket.clone()?;
    Some(named.unwrap_or_else(|| control.state().workload_socket()))
}

/// Whose tokens are taken, as the configuration names them.
pub(super) fn issuers(control: &Control) -> Vec<Issuer> {
    let changing = control.changing().lock();
    let described = changing.settings.attest.tokens.iter().map(|plan| Issuer {
        issuer: plan.name(),
        kind: plan.source.kind().to_owned(),
        from: plan.source.from(),
        access: plan.access.map(|access| access.name().to_owned()),
    });
    described.collect()
}

/// Binds the socket and puts together what answers there. `None` if the configuration asks for none.
pub(super) fn open(
    control: &Arc<Control>,
    svids: Arc<dyn JwtSvids>,
) -> Result<Option<Listening>, Diagnostic> {
    let Some(path) = socket(control) else { return Ok(None) };
    let (parents, registrations) = {
        let changing = control.changing().lock();
        (changing.settings.attest.parents, changing.settings.attest.registrations.clone())
    };
    let mut attestors: Vec<Box<dyn Attestor>> = vec![Box::new(Process::default())];
    if parents {
        attestors.push(Box::new(Parent::default()));
    }
    let issuance = Office::of(control);
    let known = control.registrar().known().clone();
    let workload = Workload::new(attestors, registrations, known, issuance, Some(svids));
    control.offer(Arc::new(workload));
    let listening = listen(&path).map_err(|error| {
        Diagnostic::new("LG-I505", format!("the workload socket {} cannot be offered", path.display()))
            .because(&error)
            .hint("name another place: socket = \"PATH\" in [[attest]] kind = \"process\"")
    })?;
    tracing::info!(socket = %path.display(), "the SPIFFE Workload API is offered");
    Ok(Some(listening))
}

/// Serves until the node drains.
pub(super) async fn serve(control: Arc<Control>, listening: Listening) {
    let Some(workload) = control.workload().cloned() else { return };
    let draining = control.node().draining.clone();
    listening.serve(workload, async move { draining.cancelled().await }).await;
}

impl Control {
    /// All roles of an agent: those that its registration gives it, and those that role files do.
    pub(super) fn roles_of(&self, id: &SpiffeId, given: &[String]) -> Vec<String> {
        let agent = Principal::Workload {
            id: id.clone(),
            role: Role::Agent,
            serial: String::new(),
            not_before: SystemTime::UNIX_EPOCH,
            not_after: SystemTime::UNIX_EPOCH,
            key_fingerprint: String::new(),
        };
        let caller = bind(&Arc::new(agent)).with_roles(given.into());
        self.node().policies.load().roles(&caller)
    }

    /// Takes other registrations into force, for the socket and for invites. Answers what changed, in words.
    pub(super) fn register(&self, registrations: Registrations) -> Result<String, Diagnostic> {
        let unstored = |error: AuthorityError| {
            Diagnostic::new("LG-S005", "the roles of agents cannot be stored").because(&error)
        };
        let count = registrations.iter().count();
        self.registrar().register(registrations.clone());
        let judged = match self.workload() {
            Some(workload) => workload.register(registrations).map_err(unstored)?,
            None => self
                .registrar()
                .known()
                .judge_again(&registrations, std::time::SystemTime::now())
                .map_err(unstored)?,
        };
        Ok(format!("{count} registrations; other roles for {} agents", judged.len()))
    }
}
