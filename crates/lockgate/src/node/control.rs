//! A running node as it is administered: what can change while it runs, and who may change it.

use std::net::SocketAddr;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use http::StatusCode;
use lockgate_admin::{Fault, Token};
use lockgate_audit::{Durability, Kind, Outcome, Record};
use lockgate_authority::workload::Workload;
use lockgate_identity::NodeIdentity;
use lockgate_live::Recent;
use lockgate_privacy::Keeper;
use lockgate_proxy::Node;
use lockgate_store::Store;
use lockgate_transport::ServerTls;
use parking_lot::{Mutex, MutexGuard};
use tokio::sync::Notify;

use super::agility::{Clock, Compiled, CryptoState, Dialled};
use super::exports::Exports;
use super::faces::{self, Served};
use super::facts;
use super::telemetry::Telemetry;
use crate::authority::Registrar;
use crate::config::{Flags, Settings, TUNNEL};
use crate::diagnostic::Diagnostic;
use crate::state::{NodeNote, State};
use crate::trouble;
use crate::verbs::policy;

/// A running node, as it is administered.
pub(crate) struct Control {
    node: Arc<Node>,
    recent: Arc<Recent>,
    registrar: Arc<Registrar>,
    store: Store,
    keeper: Arc<Keeper>,
    facts: Arc<facts::InForce>,
    exports: Exports,
    telemetry: Arc<Telemetry>,
    state: State,
    flags: Flags,
    endpoint: String,
    foreign: Option<String>,
    clock: Clock,
    /// Held by the one who changes something.
    turn: Mutex<()>,
    /// What can change while the node runs. Held for moments only.
    changing: Mutex<Changing>,
    /// Something changed that the calendar waits for.
    woken: Notify,
    /// Whether something that is due cannot be put in force.
    overdue: AtomicBool,
    /// When a root of the authority begins to issue, or has had its time.
    roots_due: Mutex<Option<SystemTime>>,
    /// What answers at the workload socket, if there is one.
    workload: OnceLock<Arc<Workload>>,
}

/// The part of a node that reloads and renewals replace.
pub(super) struct Changing {
    pub(super) settings: Settings,
    pub(super) served: Vec<Served>,
    pub(super) identity: NodeIdentity,
    /// The policies in force, as they were read.
    pub(super) policy_files: Vec<policy::File>,
    /// Prohibitions that reloads took out of force.
    pub(super) lost: Vec<lockgate_policy::Lost>,
    /// What was decided about the algorithms.
    pub(super) state: CryptoState,
    /// What that comes to.
    pub(super) in_force: Arc<Compiled>,
    /// The day by which dates are judged.
    pub(super) day: jiff::civil::Date,
    /// The servers that are reached by https.
    pub(super) dialled: Vec<Dialled>,
}

/// What a [`Control`] is made of.
pub(super) struct Parts {
    pub(super) node: Arc<Node>,
    pub(super) registrar: Arc<Registrar>,
    pub(super) store: Store,
    pub(super) keeper: Arc<Keeper>,
    pub(super) facts: Arc<facts::InForce>,
    pub(super) served: Vec<Served>,
    pub(super) identity: NodeIdentity,
    pub(super) state: State,
    pub(super) flags: Flags,
    pub(super) settings: Settings,
    pub(super) policy_files: Vec<policy::File>,
    pub(super) decided: CryptoState,
    pub(super) in_force: Compiled,
    pub(super) dialled: Vec<Dialled>,
    pub(super) endpoint: String,
    pub(super) foreign: Option<String>,
}

impl Control {
    pub(super) fn new(parts: Parts) -> Self {
        let Parts {
            node,
            registrar,
            store,
            keeper,
            facts,
            served,
            identity,
            state,
            flags,
            settings,
            policy_files,
            decided,
            in_force,
            dialled,
            endpoint,
            foreign,
        } = parts;
        let day = in_force.conditions.date;
        let in_force = Arc::new(in_force);
        let changing = Changing {
            settings,
            served,
            identity,
            policy_files,
            lost: Vec::new(),
            state: decided,
            in_force,
            day,
            dialled,
        };
        let recent = Arc::new(Recent::new(node.now_ms()));
        let control = Self {
            node,
            recent,
            registrar,
            store,
            keeper,
            facts,
            exports: Exports::default(),
            telemetry: Arc::default(),
            state,
            flags,
            endpoint,
            foreign,
            clock: Clock::start(),
            turn: Mutex::default(),
            changing: Mutex::new(changing),
            woken: Notify::new(),
            overdue: AtomicBool::new(false),
            roots_due: Mutex::default(),
            workload: OnceLock::new(),
        };
        control.mind_roots();
        control
    }

    pub(super) fn node(&self) -> &Arc<Node> {
        &self.node
    }

    /// What happened of late.
    pub(super) fn recent(&self) -> &Arc<Recent> {
        &self.recent
    }

    /// Who erases, holds and retains.
    pub(super) fn keeper(&self) -> &Keeper {
        &self.keeper
    }

    /// Base URL for connectors.
    pub(super) fn endpoint(&self) -> &str {
        &self.endpoint
    }

    /// Base URL for clients without a connector.
    pub(super) fn foreign(&self) -> Option<&str> {
        self.foreign.as_deref()
    }

    pub(super) fn registrar(&self) -> &Registrar {
        &self.registrar
    }

    /// What answers at the workload socket.
    pub(super) fn workload(&self) -> Option<&Arc<Workload>> {
        self.workload.get()
    }

    /// Takes in what answers at the workload socket, once.
    pub(super) fn offer(&self, workload: Arc<Workload>) {
        // A second one would be a second socket, which settings do not have.
        let _ = self.workload.set(workload);
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

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// What policy is told of the world.
    pub(super) fn facts(&self) -> &facts::InForce {
        &self.facts
    }

    /// Where records are brought.
    pub(super) fn exports(&self) -> &Exports {
        &self.exports
    }

    /// Where traces and figures are sent.
    pub(super) fn telemetry(&self) -> &Arc<Telemetry> {
        &self.telemetry
    }

    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Waits for the right to change something.
    pub(super) fn turn(&self) -> MutexGuard<'_, ()> {
        self.turn.lock()
    }

    pub(super) fn woken(&self) -> &Notify {
        &self.woken
    }

    pub(super) fn overdue(&self) -> &AtomicBool {
        &self.overdue
    }

    pub(super) fn roots_due_cell(&self) -> &Mutex<Option<SystemTime>> {
        &self.roots_due
    }

    /// Milliseconds since the Unix epoch, by which exceptions end.
    pub(super) fn moment_ms(&self) -> u64 {
        self.clock.now_ms()
    }

    /// When the next exception of the configuration ends.
    pub(super) fn next_exception_ms(&self) -> Option<u64> {
        let now_ms = self.moment_ms();
        let changing = self.changing.lock();
        let ends = changing.settings.crypto.exceptions.iter().map(|exception| exception.until_ms);
        ends.filter(|end| *end > now_ms).min()
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
            profile: self.profile_of(TUNNEL).unwrap_or_default().to_owned(),
            workload: super::workload::socket(self),
            issuers: super::workload::issuers(self),
        }
    }

    /// The dated name of a listener's profile now.
    pub(super) fn profile_of(&self, listener: &str) -> Option<&'static str> {
        let changing = self.changing.lock();
        let mut places = changing.in_force.wanted.listeners.iter();
        places.find(|place| place.name == listener).map(|place| place.profile.name)
    }

    /// When the node's certificates are due for renewal.
    pub(super) fn renew_at(&self) -> SystemTime {
        self.changing.lock().identity.renew_at()
    }

    /// Issues the node's next certificates and presents them from now on.
    pub(super) fn renew(&self) -> Result<(), Diagnostic> {
        let _turn = self.turn();
        let (settings, in_force, listeners) = {
            let changing = self.changing.lock();
            let listeners: Vec<_> = changing
                .served
                .iter()
                .filter(|served| served.own.is_none())
                .map(|served| (Arc::clone(&served.tls), Arc::clone(&served.face)))
                .collect();
            (changing.settings.clone(), Arc::clone(&changing.in_force), listeners)
        };
        let algorithms = in_force.identities(&faces::from_outside(&settings));
        let identity = faces::issue(&settings, self.registrar.authority(), None, &algorithms)?;
        let bundle = self.registrar.bundle();
        let mut prepared = Vec::new();
        for (tls, _) in &listeners {
            let next = ServerTls::prepare(tls.suite(), &identity, &bundle);
            prepared.push(next.map_err(|error| trouble::tls(&error))?);
        }
        for ((tls, face), next) in listeners.iter().zip(prepared) {
            tls.publish(next);
            face.bundle.store(Arc::new(bundle.clone()));
        }
        self.changing.lock().identity = identity;
        Ok(())
    }

    /// Records what an administrator did. What cannot be recorded is not done.
    pub(super) fn record(&self, kind: Kind, method: &'static str, name: &str) -> Result<(), Fault> {
        let record = Record {
            method: Some(method.into()),
            name: Some(name.into()),
            agent: Some("admin".into()),
            ..Record::new(kind, Outcome::Ok)
        };
        self.node.append(&record, Durability::Durable).map(drop).map_err(|error| {
            Fault::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "LG-A002",
                error.to_string(),
                "free space for the audit log",
            )
        })
    }
}
