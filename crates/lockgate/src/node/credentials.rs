//! The credentials that servers are shown: opened from the sealed store, and followed when they change.
//!
//! A secret that is gone, or that does not open any more, is not presented any more: its server gets nothing until a new
//! one is sealed. Taking the key of the store away is therefore felt within a second.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::HeaderValue;
use lockgate_detect::Detector;
use lockgate_identity::token::TokenIssuer;
use lockgate_identity::{SealedStore, Secret};
use lockgate_proxy::Node;
use lockgate_proxy::upstream::credential::Credential;
use zeroize::Zeroizing;

use super::agility::{Compiled, Dialled};
use crate::config::{CredentialPlace, CredentialPlan, ExchangeFrom, ServerPlan, Settings};
use crate::diagnostic::Diagnostic;
use crate::state::State;
use crate::trouble;

mod exchanged;

use exchanged::Exchanged;

/// Time between two looks at the store, in milliseconds.
const LOOK_MS: u64 = 1_000;

/// The sealed store of these settings.
pub(crate) fn store(settings: &Settings, state: &State) -> SealedStore {
    SealedStore::new(state.secrets(), settings.secrets_key.clone())
}

/// The credentials of HTTP servers, with the store that they come from.
pub(super) struct Credentials {
    store: SealedStore,
    presented: Vec<Presented>,
    /// The secrets that stdio servers are started with.
    variables: Vec<String>,
    /// Those that are gotten for each caller, once tokens can be signed.
    exchanged: Vec<Arc<Exchanged>>,
}

struct Presented {
    secret: String,
    scheme: String,
    credential: Arc<Credential>,
}

impl Credentials {
    pub(super) fn new(store: SealedStore) -> Self {
        Self { store, presented: Vec::new(), variables: Vec::new(), exchanged: Vec::new() }
    }

    /// The credential of a server that is reached by HTTP.
    ///
    /// # Errors
    /// LG-S006 when its secret cannot be opened: a node that starts should not find out by its first call.
    pub(super) fn header(&mut self, plan: &ServerPlan) -> Result<Option<Arc<Credential>>, Diagnostic> {
        let Some(CredentialPlan::Sealed { secret, place: CredentialPlace::Header { name, scheme } }) =
            &plan.credential
        else {
            return Ok(None);
        };
        let (secret, scheme) = (secret.clone(), scheme.clone());
        let credential = Arc::new(Credential::new(&secret, name.clone()));
        let presented = Presented { secret, scheme, credential: Arc::clone(&credential) };
        presented.open(&self.store).map_err(|what| unopened(plan, &what))?;
        self.presented.push(presented);
        Ok(Some(credential))
    }

    /// Has detection look out for every secret that a server is shown.
    ///
    /// # Errors
    /// A secret that cannot be opened.
    pub(super) fn guard(&self, detector: &Detector) -> Result<(), String> {
        let presented = self.presented.iter().map(|presented| &presented.secret);
        for name in presented.chain(&self.variables) {
            let secret = self.store.get(name).map_err(|error| error.to_string())?;
            detector.guard_secret(name, line(&secret));
        }
        Ok(())
    }

    /// The credential of a server whose authorization server gives a token for each caller.
    ///
    /// # Errors
    /// A file of roots that cannot be used.
    pub(super) fn exchanged(
        &mut self,
        from: &ExchangeFrom,
        in_force: &Compiled,
        dialled: &mut Vec<Dialled>,
    ) -> Result<Arc<Credential>, Diagnostic> {
        let exchanged = Arc::new(Exchanged::new(from, in_force, dialled)?);
        self.exchanged.push(Arc::clone(&exchanged));
        Ok(Arc::new(Credential::per_caller(&from.server, exchanged)))
    }

    /// Has statements about callers signed from now on.
    pub(super) fn sign_by(&self, signer: &Arc<TokenIssuer>) {
        self.exchanged.iter().for_each(|exchanged| exchanged.sign_by(signer));
    }

    /// The variable of a stdio server that carries its credential. Children that run keep theirs.
    ///
    /// # Errors
    /// As [`Credentials::header`].
    pub(super) fn variable(&mut self, plan: &ServerPlan) -> Result<Option<(String, String)>, Diagnostic> {
        let Some(CredentialPlan::Sealed { secret, place: CredentialPlace::Variable(name) }) =
            &plan.credential
        else {
            return Ok(None);
        };
        self.variables.push(secret.clone());
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
            for presented in &self.presented {
                match presented.open(&self.store) {
                    Ok(()) => {
                        if let Ok(secret) = self.store.get(&presented.secret) {
                            node.detector.guard_secret(&presented.secret, line(&secret));
                        }
                        tracing::info!(secret = %presented.secret, "a credential was opened again");
                    }
                    Err(error) => {
                        presented.credential.set(None);
                        tracing::error!(secret = %presented.secret, %error, "a credential is not presented any more");
                    }
                }
            }
        }
    }

    fn look(&self) -> Vec<Option<(SystemTime, u64)>> {
        let sealed = self.presented.iter().map(|presented| self.store.path(&presented.secret));
        sealed.chain([self.store.key_path().to_owned()]).map(|path| facts(&path)).collect()
    }
}

impl Presented {
    fn open(&self, store: &SealedStore) -> Result<(), String> {
        let secret = store.get(&self.secret).map_err(|error| error.to_string())?;
        let space: &[u8] = if self.scheme.is_empty() { b"" } else { b" " };
        let value = Zeroizing::new([self.scheme.as_bytes(), space, line(&secret)].concat());
        let value = HeaderValue::from_bytes(&value);
        let value =
            value.map_err(|_| "it has characters that no header can carry; seal one line".to_owned())?;
        self.credential.set(Some(value));
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
