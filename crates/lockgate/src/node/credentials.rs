//! The credentials that servers are shown: opened from the sealed store, and followed when they change.
//!
//! A secret that is gone, or that does not open any more, is not presented any more: its server gets nothing until a new
//! one is sealed. Taking the key of the store away is therefore felt within a second.

use std::path::PathBuf;
use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderValue, header};
use lockgate_detect::Detector;
use lockgate_identity::token::TokenIssuer;
use lockgate_identity::{SealedStore, Secret};
use lockgate_proxy::Node;
use lockgate_proxy::upstream::credential::{Credential, Place};
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::agility::{Compiled, Dialled};
use crate::config::{ClientFrom, CredentialPlace, CredentialPlan, ExchangeFrom, ServerPlan, Settings};
use crate::diagnostic::Diagnostic;
use crate::state::State;
use crate::trouble;

mod exchanged;
mod granted;

use exchanged::Exchanged;
use granted::Granted;

/// Time between two looks at the store, in milliseconds.
const LOOK_MS: u64 = 1_000;

/// The sealed store of these settings.
pub(crate) fn store(settings: &Settings, state: &State) -> SealedStore {
    SealedStore::new(state.secrets(), settings.secrets_key.clone())
}

/// The credentials of HTTP servers, with the store that they come from.
#[derive(Clone)]
pub(super) struct Credentials {
    store: SealedStore,
    held: Arc<Mutex<Held>>,
}

/// Those of the servers that there are now.
#[derive(Default)]
struct Held {
    presented: Vec<Presented>,
    /// Secrets that are shown in other ways: stdio servers are started with them, and authorization servers ask for them.
    others: Vec<String>,
    /// Those that are gotten for each caller, once tokens can be signed.
    exchanged: Vec<Weak<Exchanged>>,
    signer: Option<Arc<TokenIssuer>>,
}

#[derive(Clone)]
struct Presented {
    secret: String,
    form: Form,
    credential: Weak<Credential>,
}

/// How a secret is written.
#[derive(Clone)]
enum Form {
    /// After a scheme, or as it is.
    After(String),
    /// User and password, as HTTP Basic has them (RFC 7617).
    Basic,
}

impl Credentials {
    pub(super) fn new(store: SealedStore) -> Self {
        Self { store, held: Arc::default() }
    }

    /// The credential of a server that is reached by HTTP.
    ///
    /// # Errors
    /// LG-S006 when its secret cannot be opened: a node that starts should not find out by its first call.
    pub(super) fn sealed(&self, plan: &ServerPlan) -> Result<Option<Arc<Credential>>, Diagnostic> {
        let Some(CredentialPlan::Sealed { secret, place }) = &plan.credential else { return Ok(None) };
        let (place, form) = match place {
            CredentialPlace::Header { name, scheme } => {
                (Place::Header(name.clone()), Form::After(scheme.clone()))
            }
            CredentialPlace::Basic => (Place::Header(header::AUTHORIZATION), Form::Basic),
            CredentialPlace::Query(name) => (Place::Query(name.clone()), Form::After(String::new())),
            CredentialPlace::Cookie(name) => (Place::Cookie(name.clone()), Form::After(String::new())),
            CredentialPlace::Variable(_) => return Ok(None),
        };
        let credential = Arc::new(Credential::at(secret, place));
        let presented = Presented { secret: secret.clone(), form, credential: Arc::downgrade(&credential) };
        presented.open(&self.store).map_err(|what| unopened(plan, &what))?;
        self.held.lock().presented.push(presented);
        Ok(Some(credential))
    }

    /// Has detection look out for every secret that a server is shown.
    ///
    /// # Errors
    /// A secret that cannot be opened.
    pub(super) fn guard(&self, detector: &Detector) -> Result<(), String> {
        let held = self.held.lock();
        let presented = held.presented.iter().map(|presented| &presented.secret);
        for name in presented.chain(&held.others) {
            let secret = self.store.get(name).map_err(|error| error.to_string())?;
            detector.guard_secret(name, line(&secret));
        }
        Ok(())
    }

    /// The credential of a server whose authorization server gives this node a token.
    ///
    /// # Errors
    /// As [`Credentials::exchanged`].
    pub(super) fn granted(
        &self,
        from: &ClientFrom,
        in_force: &Compiled,
        dialled: &mut Vec<Dialled>,
    ) -> Result<Arc<Credential>, Diagnostic> {
        let place = (from.place(), from.server.as_str(), from.roots.as_deref());
        let outside = exchanged::outside(place, in_force, dialled)?;
        let granted = Granted::new(from, self.store.clone(), outside);
        self.held.lock().others.push(from.secret.clone());
        Ok(Arc::new(Credential::per_caller(&from.secret, granted)))
    }

    /// The credential of a server whose authorization server gives a token for each caller.
    ///
    /// # Errors
    /// A file of roots that cannot be used.
    pub(super) fn exchanged(
        &self,
        from: &ExchangeFrom,
        in_force: &Compiled,
        dialled: &mut Vec<Dialled>,
    ) -> Result<Arc<Credential>, Diagnostic> {
        let exchanged = Arc::new(Exchanged::new(from, in_force, dialled)?);
        let mut held = self.held.lock();
        if let Some(signer) = &held.signer {
            exchanged.sign_by(signer);
        }
        held.exchanged.retain(|other| other.strong_count() > 0);
        held.exchanged.push(Arc::downgrade(&exchanged));
        drop(held);
        Ok(Arc::new(Credential::per_caller(&from.server, exchanged)))
    }

    /// Has statements about callers signed from now on.
    pub(super) fn sign_by(&self, signer: &Arc<TokenIssuer>) {
        let mut held = self.held.lock();
        held.signer = Some(Arc::clone(signer));
        held.exchanged.iter().filter_map(Weak::upgrade).for_each(|exchanged| exchanged.sign_by(signer));
    }

    /// The variable of a stdio server that carries its credential. Children that run keep theirs.
    ///
    /// # Errors
    /// As [`Credentials::header`].
    pub(super) fn variable(&self, plan: &ServerPlan) -> Result<Option<(String, String)>, Diagnostic> {
        let Some(CredentialPlan::Sealed { secret, place: CredentialPlace::Variable(name) }) =
            &plan.credential
        else {
            return Ok(None);
        };
        self.held.lock().others.push(secret.clone());
        let secret = self.store.get(secret).map_err(|error| unopened(plan, &error.to_string()))?;
        let text = std::str::from_utf8(line(&secret)).map_err(|_| unopened(plan, "it is not text"))?;
        Ok(Some((name.clone(), text.to_owned())))
    }

    /// Opens secrets again whenever a file of theirs changes, until the node drains.
    pub(super) async fn keep(self, node: Arc<Node>) {
        let draining = node.draining.clone();
        let mut seen = self.look();
        loop {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(LOOK_MS)) => {}
                () = draining.cancelled() => return,
            }
            let now = self.look();
            if now == seen {
                continue;
            }
            seen = now;
            let all = self.held.lock().presented.clone();
            for presented in &all {
                let Some(credential) = presented.credential.upgrade() else { continue };
                match presented.open(&self.store) {
                    Ok(()) => {
                        if let Ok(secret) = self.store.get(&presented.secret) {
                            node.detector.guard_secret(&presented.secret, line(&secret));
                        }
                        tracing::info!(secret = %presented.secret, "a credential was opened again");
                    }
                    Err(error) => {
                        credential.set(None);
                        tracing::error!(secret = %presented.secret, %error, "a credential is not presented any more");
                    }
                }
            }
        }
    }

    fn look(&self) -> Vec<Option<(SystemTime, u64)>> {
        let mut held = self.held.lock();
        held.presented.retain(|presented| presented.credential.strong_count() > 0);
        let sealed = held.presented.iter().map(|presented| self.store.path(&presented.secret));
        sealed.chain([self.store.key_path().to_owned()]).map(|path| facts(&path)).collect()
    }
}

impl Presented {
    fn open(&self, store: &SealedStore) -> Result<(), String> {
        let secret = store.get(&self.secret).map_err(|error| error.to_string())?;
        let value = match &self.form {
            Form::Basic => {
                let pair = Zeroizing::new(STANDARD.encode(line(&secret)));
                Zeroizing::new([b"Basic ", pair.as_bytes()].concat())
            }
            Form::After(scheme) => {
                let space: &[u8] = if scheme.is_empty() { b"" } else { b" " };
                Zeroizing::new([scheme.as_bytes(), space, line(&secret)].concat())
            }
        };
        let value = HeaderValue::from_bytes(&value);
        let value =
            value.map_err(|_| "it has characters that no header can carry; seal one line".to_owned())?;
        if let Some(credential) = self.credential.upgrade() {
            credential.set(Some(value));
        }
        Ok(())
    }
}

/// A secret without the line end that an editor or `echo` left.
pub(super) fn line(secret: &Secret) -> &[u8] {
    secret.reveal().trim_ascii_end()
}

fn facts(path: &PathBuf) -> Option<(SystemTime, u64)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.modified().ok()?, metadata.len()))
}

fn unopened(plan: &ServerPlan, cause: &str) -> Diagnostic {
    trouble::secret(format!("no credential for server \"{}\"", plan.name), cause)
}
