//! The Workload API end to end: a real socket, real processes, and a client of the API's specification.

#![allow(clippy::unwrap_used)]

mod exchange;
mod oauth;
mod tokens;
mod workload;

use std::collections::HashSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use lockgate_crypto::Algorithm;
use lockgate_identity::{AGENT_LIFETIME, Authority, SpiffeId};
use lockgate_store::Store;
use parking_lot::Mutex;
use tempfile::TempDir;

use crate::attest::{Parent, Process};
use crate::workload::{JwtSvids, Workload, listen};
use crate::{AuthorityError, Event, Issuance, Known, Pattern, Registration, Registrations, SvidKind};

/// A node with an authority, and a log that can be told to fail.
pub(crate) struct Office {
    pub(crate) authority: Authority,
    pub(crate) in_force: Vec<&'static Algorithm>,
    pub(crate) revoked: Mutex<HashSet<String>>,
    pub(crate) events: Mutex<Vec<Event>>,
    pub(crate) full: Mutex<bool>,
    generation: AtomicU64,
}

impl Office {
    pub(crate) fn new(profile: &str) -> Arc<Self> {
        let in_force = lockgate_crypto::profile::find(profile).unwrap().identities();
        let authority = Authority::generate("example.org", &in_force, SystemTime::now()).unwrap();
        Arc::new(Self {
            authority,
            in_force,
            revoked: Mutex::default(),
            events: Mutex::default(),
            full: Mutex::default(),
            generation: AtomicU64::new(1),
        })
    }

    pub(crate) fn revoke(&self, id: &str) {
        self.revoked.lock().insert(id.to_owned());
        self.generation.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn refusals(&self) -> Vec<String> {
        self.events.lock().iter().filter_map(|event| event.refused.clone()).collect()
    }
}

impl Issuance for Office {
    fn authority(&self) -> &Authority {
        &self.authority
    }

    fn in_force(&self) -> Vec<&'static Algorithm> {
        self.in_force.clone()
    }

    fn is_revoked(&self, id: &SpiffeId, _: &[String]) -> bool {
        self.revoked.lock().contains(id.as_str())
    }

    fn is_token_revoked(&self, id: &str) -> bool {
        self.revoked.lock().contains(id)
    }

    fn is_key_revoked(&self, thumbprint: &str) -> bool {
        self.revoked.lock().contains(thumbprint)
    }

    fn revoke_token(&self, id: &str, _: u64) -> Result<(), AuthorityError> {
        self.revoke(id);
        Ok(())
    }

    fn generation(&self) -> u64 {
        self.generation.load(Ordering::Relaxed)
    }

    fn record(&self, event: &Event) -> Result<(), AuthorityError> {
        if *self.full.lock() {
            return Err(AuthorityError::Unrecorded("no space".to_owned()));
        }
        self.events.lock().push(event.clone());
        Ok(())
    }
}

pub(crate) fn registration(selectors: &[&str], name: &str, svid: SvidKind) -> Registration {
    Registration {
        selectors: selectors.iter().map(|text| Pattern::parse(text).unwrap()).collect(),
        id: SpiffeId::agent("example.org", name).unwrap(),
        roles: vec!["billing".to_owned()],
        scope: None,
        life: AGENT_LIFETIME,
        svid,
    }
}

/// A socket that serves.
pub(crate) struct Served {
    pub(crate) workload: Arc<Workload>,
    pub(crate) known: Known,
    pub(crate) socket: PathBuf,
    _folder: TempDir,
}

pub(crate) fn serve(office: &Arc<Office>, registrations: Vec<Registration>) -> Served {
    serve_with(office, registrations, None)
}

pub(crate) fn serve_with(
    office: &Arc<Office>,
    registrations: Vec<Registration>,
    jwt: Option<Arc<dyn JwtSvids>>,
) -> Served {
    let folder = tempfile::tempdir().unwrap();
    let socket = folder.path().join("workload.sock");
    let known = Known::open(Store::in_memory().unwrap()).unwrap();
    let workload = Arc::new(Workload::new(
        vec![Box::new(Process::default()), Box::new(Parent::default())],
        Registrations::new(registrations).unwrap(),
        known.clone(),
        Arc::clone(office) as _,
        jwt,
    ));
    let listening = listen(&socket).unwrap();
    tokio::spawn(listening.serve(Arc::clone(&workload), std::future::pending()));
    Served { workload, known, socket, _folder: folder }
}

pub(crate) fn own_uid() -> String {
    format!("unix:uid:{}", rustix::process::geteuid().as_raw())
}
