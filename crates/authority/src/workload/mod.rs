//! The SPIFFE Workload API at a Unix socket: who opens it is attested, and gets what it is registered for.
//!
//! Stock SPIFFE clients work with it as they are. Beside it, under `/lockgate/`, the same socket enrols a process with
//! a key of its own, which never leaves it, and tells it what is proven of it.

mod authority_header;
mod enrol;
mod jwt;
pub mod messages;
mod server;
mod service;
mod stream;

use std::sync::Arc;
use std::time::SystemTime;

use lockgate_identity::{SpiffeId, X509Svid};
use parking_lot::RwLock;
use serde_json::{Map, Value};

use crate::attest::{Attested, Attestor, Evidence, Peer};
use crate::known::Known;
use crate::registration::{Registration, Registrations, SvidKind};
use crate::{AuthorityError, Event, Issuance};

pub use authority_header::Mender;
pub use enrol::{ENROL, Enrolled, WHOAMI, WhoAmI, Would, enrol, whoami};
pub use jwt::TokenSvids;
pub use server::{Listening, SOCKET_MODE, listen};

/// Most audiences of one JWT-SVID: each is somebody who could use it at the others.
pub(crate) const AUDIENCES_MAX: usize = 8;
/// Longest audience in bytes.
pub(crate) const AUDIENCE_BYTES_MAX: usize = 2048;
/// Most identities of one process: each costs a key and a signature.
const IDENTITIES_MAX: usize = 8;

/// Signs and checks JWT-SVIDs (SPIFFE JWT-SVID, sections 2 and 3).
pub trait JwtSvids: Send + Sync {
    /// A token for an id and these audiences, of minutes.
    ///
    /// # Errors
    /// [`AuthorityError`], as signing fails.
    fn issue(
        &self,
        id: &SpiffeId,
        audience: &[String],
        registration: &Registration,
    ) -> Result<String, AuthorityError>;

    /// The public keys, a JWK Set (RFC 7517) as SPIFFE writes it: each key with `kid` and `use: jwt-svid`.
    fn bundle(&self, kind: SvidKind) -> String;

    /// The subject and the claims of a token that is good for an audience.
    ///
    /// # Errors
    /// [`AuthorityError::Refused`] with the check that failed.
    fn validate(&self, token: &str, audience: &str)
    -> Result<(SpiffeId, Map<String, Value>), AuthorityError>;
}

/// What a process that opened the socket can get.
pub struct Workload {
    attestors: Vec<Box<dyn Attestor>>,
    registrations: RwLock<Arc<Registrations>>,
    known: Known,
    issuance: Arc<dyn Issuance>,
    jwt: Option<Arc<dyn JwtSvids>>,
    changed: tokio::sync::watch::Sender<u64>,
}

/// A process, what was proven of it, and what it is registered for.
pub(crate) struct Entitled {
    pub(crate) attested: Attested,
    pub(crate) registrations: Vec<Registration>,
}

impl Workload {
    /// Puts it together. Without `jwt` there are X.509-SVIDs only. Of several attestors each adds what it can prove.
    pub fn new(
        attestors: Vec<Box<dyn Attestor>>,
        registrations: Registrations,
        known: Known,
        issuance: Arc<dyn Issuance>,
        jwt: Option<Arc<dyn JwtSvids>>,
    ) -> Self {
        let (changed, _) = tokio::sync::watch::channel(issuance.generation());
        let registrations = RwLock::new(Arc::new(registrations));
        Self { attestors, registrations, known, issuance, jwt, changed }
    }

    /// Takes other registrations into force; streams that are open are judged again at once.
    ///
    /// # Errors
    /// [`AuthorityError::Store`] if the roles that follow cannot be stored; the new registrations hold all the same.
    pub fn register(&self, registrations: Registrations) -> Result<Vec<String>, AuthorityError> {
        *self.registrations.write() = Arc::new(registrations);
        let judged = self.known.judge_again(&self.registrations.read().clone(), SystemTime::now());
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
        judged
    }

    /// Judges open streams again: roots, algorithms or revocations changed. Streams also look by themselves.
    pub fn changed(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }

    pub(crate) fn registrations(&self) -> Arc<Registrations> {
        Arc::clone(&self.registrations.read())
    }

    pub(crate) fn watch(&self) -> tokio::sync::watch::Receiver<u64> {
        self.changed.subscribe()
    }

    pub(crate) fn issuance(&self) -> &Arc<dyn Issuance> {
        &self.issuance
    }

    pub(crate) fn known(&self) -> &Known {
        &self.known
    }

    /// What all attestors together prove of a process. One that fails takes the rest with it only if nothing else was
    /// proven: a process without a parent is still a process.
    pub(crate) async fn attest(&self, peer: &Peer) -> Result<Attested, AuthorityError> {
        let mut all: Option<Attested> = None;
        let mut failed = None;
        for attestor in &self.attestors {
            match attestor.attest(Evidence::Process(peer)).await {
                Ok(attested) => match &mut all {
                    Some(all) => {
                        all.selectors.extend(attested.selectors);
                        let fresh = attested.notes.into_iter().filter(|note| !all.notes.contains(note));
                        all.notes.extend(fresh.collect::<Vec<_>>());
                    }
                    None => all = Some(attested),
                },
                Err(error) => failed = Some(error),
            }
        }
        match (all, failed) {
            (Some(mut all), failed) => {
                all.notes.extend(failed.map(|error| error.to_string()));
                Ok(all)
            }
            (None, Some(error)) => Err(error),
            (None, None) => {
                Err(AuthorityError::Malformed("no attestor is configured for this socket".to_owned()))
            }
        }
    }

    /// Attests a process and finds its registrations; refusals are recorded.
    pub(crate) async fn entitled(
        &self,
        peer: &Peer,
        method: &'static str,
    ) -> Result<Entitled, AuthorityError> {
        let attested = self.attest(peer).await;
        let attested = match attested {
            Ok(attested) => attested,
            Err(error) => return Err(self.refuse(method, None, peer, error).await),
        };
        let registrations = self.registrations();
        let covering = registrations.covering(&attested.selectors).take(IDENTITIES_MAX);
        let mut standing = Vec::new();
        let mut revoked = None;
        for registration in covering {
            match self.issuance.is_revoked(&registration.id, &registration.roles) {
                true => revoked = Some(AuthorityError::Revoked { id: registration.id.to_string() }),
                false => standing.push(registration.clone()),
            }
        }
        if standing.is_empty() {
            let error =
                revoked.unwrap_or_else(|| AuthorityError::unregistered(attested.by, &attested.selectors));
            return Err(self.refuse(method, Some(&attested), peer, error).await);
        }
        Ok(Entitled { attested, registrations: standing })
    }

    /// Records a refusal and gives the error back.
    pub(crate) async fn refuse(
        &self,
        method: &'static str,
        attested: Option<&Attested>,
        peer: &Peer,
        error: AuthorityError,
    ) -> AuthorityError {
        let event = Event {
            method,
            id: None,
            by: attested.map_or(crate::Kind::Process, |attested| attested.by),
            subject: attested.map_or_else(
                || format!("process {} of user {}", peer.pid(), peer.uid()),
                |attested| attested.subject.clone(),
            ),
            selectors: attested.map(|attested| attested.selectors.clone()).unwrap_or_default(),
            refused: Some(error.to_string()),
        };
        tracing::warn!(target: "lockgate", code = error.code(), "{error}");
        match blocking(&self.issuance, move |issuance| issuance.record(&event)).await {
            Ok(()) => error,
            Err(unrecorded) => unrecorded,
        }
    }

    /// A key and a certificate for each registration, recorded before they are given out.
    pub(crate) async fn issue(
        &self,
        entitled: Entitled,
        method: &'static str,
    ) -> Result<Vec<(X509Svid, Registration)>, AuthorityError> {
        let known = self.known.clone();
        blocking(&self.issuance, move |issuance| {
            let (in_force, now) = (issuance.in_force(), SystemTime::now());
            let mut issued = Vec::new();
            for registration in entitled.registrations {
                let algorithm = registration.svid.choose(&registration.id, &in_force)?;
                let svid =
                    issuance.authority().issue_svid(&registration.id, algorithm, registration.life, now)?;
                note(issuance, &known, &entitled.attested, &registration, method)?;
                issued.push((svid, registration));
            }
            Ok(issued)
        })
        .await
    }
}

/// Remembers and records that somebody gets a credential: before it leaves.
pub(crate) fn note(
    issuance: &dyn Issuance,
    known: &Known,
    attested: &Attested,
    registration: &Registration,
    method: &'static str,
) -> Result<(), AuthorityError> {
    known.remember(attested, registration, SystemTime::now())?;
    issuance.record(&Event {
        method,
        id: Some(registration.id.clone()),
        by: attested.by,
        subject: attested.subject.clone(),
        selectors: attested.selectors.clone(),
        refused: None,
    })
}

/// Runs what signs and writes on a thread that may block.
pub(crate) async fn blocking<T: Send + 'static>(
    issuance: &Arc<dyn Issuance>,
    work: impl FnOnce(&dyn Issuance) -> Result<T, AuthorityError> + Send + 'static,
) -> Result<T, AuthorityError> {
    let issuance = Arc::clone(issuance);
    let done = tokio::task::spawn_blocking(move || work(issuance.as_ref()));
    done.await.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}
