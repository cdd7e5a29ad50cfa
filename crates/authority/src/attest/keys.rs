//! The keys of an issuer: fetched when they are due, kept while they are fresh, and used a while longer when the issuer
//! does not answer. A token with an unknown key makes us look once more, but not more often than every half minute.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::SystemTime;

use http::Uri;
use lockgate_crypto::jose::{JwkSet, SET_BYTES_MAX};
use lockgate_identity::token::{ForeignClaims, ForeignIssuer, KeyCache, TokenRefused};
use parking_lot::Mutex;
use serde_json::Value;

use super::{Kind, Outside, bundle};
use crate::AuthorityError;
use crate::error::shown;

/// Where the keys of an issuer come from.
#[derive(Clone)]
pub enum KeySource {
    /// A file with a JWK Set, read again when it is due.
    File(PathBuf),
    /// A JWK Set at a URL.
    Url(Outside, Uri),
    /// The JWK Set that the issuer's own document names (OpenID Connect Discovery 1.0, section 4, or RFC 8414).
    Discovery(Outside, String),
    /// The bundle of a SPIFFE trust domain, from the Workload API at a Unix socket.
    Workload(PathBuf, String),
}

/// The keys of one issuer.
pub struct Keys {
    by: Kind,
    source: KeySource,
    cache: Mutex<KeyCache>,
    /// Counts the fetches that brought other keys, from 1.
    generation: AtomicU64,
    /// Held by the one who fetches.
    turn: tokio::sync::Mutex<()>,
}

impl Keys {
    /// None fetched yet.
    pub fn new(by: Kind, source: KeySource) -> Arc<Self> {
        let (cache, turn) = (Mutex::default(), tokio::sync::Mutex::default());
        Arc::new(Self { by, source, cache, generation: AtomicU64::new(1), turn })
    }

    /// Judges a token.
    ///
    /// # Errors
    /// [`AuthorityError::Refused`] with the check that failed, [`AuthorityError::Unreachable`] if there are no keys that
    /// may still be trusted.
    pub async fn verify(
        self: &Arc<Self>,
        issuer: &ForeignIssuer,
        token: &str,
    ) -> Result<ForeignClaims, AuthorityError> {
        let judge = || issuer.verify(token, &self.cache.lock(), SystemTime::now());
        let now = SystemTime::now();
        match judge() {
            Err(error) if error.needs_keys() => {
                let fetched = self.fetch().await;
                judge().map_err(|refused| match (refused, fetched) {
                    (TokenRefused::KeysStale { .. }, Err(unreachable)) => unreachable,
                    (stale @ TokenRefused::KeysStale { .. }, Ok(())) => {
                        AuthorityError::Unreachable { what: self.name(), cause: stale.to_string() }
                    }
                    (refused, _) => self.refused(&refused),
                })
            }
            judged => {
                self.keep_fresh(now);
                judged.map_err(|error| self.refused(&error))
            }
        }
    }

    /// The keys as they were last fetched.
    pub fn current(&self) -> Arc<KeyCache> {
        Arc::new(self.cache.lock().clone())
    }

    /// Another number when other keys were fetched, or when those of before may not be trusted any more. Keys that are getting
    /// old are fetched beside; needs a runtime for that.
    pub fn generation(self: &Arc<Self>) -> u64 {
        let now = SystemTime::now();
        self.keep_fresh(now);
        match self.cache.lock().trusted(now) {
            Ok(_) => self.generation.load(Ordering::Acquire),
            Err(_) => 0,
        }
    }

    /// Good keys that are getting old are replaced beside, so that no token waits for its issuer.
    fn keep_fresh(self: &Arc<Self>, now: SystemTime) {
        if self.cache.lock().is_due(now) {
            let keys = Arc::clone(self);
            tokio::spawn(async move { keys.fetch_logged().await });
        }
    }

    /// Fetches them again, unless that was tried a moment ago. A failure is logged; the old keys stay for now.
    pub async fn refetch(&self) {
        self.fetch_logged().await;
    }

    fn refused(&self, error: &TokenRefused) -> AuthorityError {
        AuthorityError::refused(self.by, error.check(), error.to_string())
    }

    async fn fetch_logged(&self) {
        if let Err(error) = self.fetch().await {
            tracing::warn!(target: "lockgate", %error, "an issuer's keys could not be fetched again; the old ones stay for now");
        }
    }

    /// Fetches the keys, unless that was tried a moment ago. Those who come meanwhile wait for it.
    async fn fetch(&self) -> Result<(), AuthorityError> {
        let _turn = self.turn.lock().await;
        let now = SystemTime::now();
        {
            let mut cache = self.cache.lock();
            // Somebody fetched them while we waited, or just before.
            if !cache.may_fetch(now) {
                return Ok(());
            }
            cache.trying(now);
        }
        let text = self.read().await?;
        let unusable = |cause: String| AuthorityError::Unreachable { what: self.name(), cause };
        if text.len() > SET_BYTES_MAX {
            return Err(unusable("its key set is too large".to_owned()));
        }
        let keys = JwkSet::parse(&text).map_err(|error| unusable(error.to_string()))?;
        // An empty answer is a fault more often than a wish to be trusted no more.
        if keys.keys().is_empty() {
            return Err(unusable("there is no usable key in its key set".to_owned()));
        }
        let mut cache = self.cache.lock();
        let differ = cache.keys().to_json() != keys.to_json();
        cache.replace(keys, SystemTime::now());
        if differ {
            self.generation.fetch_add(1, Ordering::Release);
        }
        Ok(())
    }

    async fn read(&self) -> Result<String, AuthorityError> {
        let text = |bytes: bytes::Bytes| {
            String::from_utf8(bytes.into()).map_err(|_| AuthorityError::Unreachable {
                what: self.name(),
                cause: "it is not UTF-8".to_owned(),
            })
        };
        match &self.source {
            KeySource::File(path) => tokio::fs::read_to_string(path)
                .await
                .map_err(|source| AuthorityError::Io { action: "read", path: path.clone(), source }),
            KeySource::Url(outside, uri) => text(outside.get(uri).await?),
            KeySource::Discovery(outside, issuer) => {
                let found = named_at(outside, issuer, "jwks_uri").await?;
                text(outside.get(&found).await?)
            }
            KeySource::Workload(socket, trust_domain) => bundle::fetch(socket, trust_domain).await,
        }
    }

    /// Where they come from, for messages.
    pub fn name(&self) -> String {
        match &self.source {
            KeySource::File(path) => path.display().to_string(),
            KeySource::Url(_, uri) => uri.to_string(),
            KeySource::Discovery(_, issuer) => issuer.clone(),
            KeySource::Workload(socket, trust_domain) => {
                format!("spiffe://{trust_domain} at {}", socket.display())
            }
        }
    }
}

/// The URL that an issuer's own document has under `member`: as OpenID Connect has it, or else as OAuth does. What the first
/// attempt met is what is told.
pub(crate) async fn named_at(
    outside: &Outside,
    issuer: &str,
    member: &'static str,
) -> Result<Uri, AuthorityError> {
    match read_at(outside, issuer, &openid_place(issuer), member).await {
        Ok(found) => Ok(found),
        Err(error) => match oauth_place(issuer) {
            Some(at) => read_at(outside, issuer, &at, member).await.map_err(|_| error),
            None => Err(error),
        },
    }
}

async fn read_at(
    outside: &Outside,
    issuer: &str,
    at: &str,
    member: &'static str,
) -> Result<Uri, AuthorityError> {
    let unusable = |cause: String| AuthorityError::Unreachable { what: at.to_owned(), cause };
    let uri: Uri = at.parse().map_err(|_| unusable("it is no URL".to_owned()))?;
    let body = outside.get(&uri).await?;
    let document: Value = serde_json::from_slice(&body).map_err(|error| unusable(error.to_string()))?;
    // Exactly, or whoever serves one issuer's documents could speak for another (section 4.3; RFC 8414, section 3.3).
    if document["issuer"].as_str() != Some(issuer) {
        let found = shown(document["issuer"].as_str().unwrap_or_default());
        return Err(unusable(format!("it is the document of another issuer: {found}")));
    }
    let found = document[member].as_str().and_then(|text| text.parse::<Uri>().ok());
    found.ok_or_else(|| unusable(format!("it names no {member}")))
}

fn openid_place(issuer: &str) -> String {
    format!("{}/.well-known/openid-configuration", issuer.trim_end_matches('/'))
}

/// RFC 8414, section 3.1: between host and path.
fn oauth_place(issuer: &str) -> Option<String> {
    let (scheme, rest) = issuer.split_once("://")?;
    let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
    let path = path.trim_end_matches('/');
    let slash = if path.is_empty() { "" } else { "/" };
    Some(format!("{scheme}://{host}/.well-known/oauth-authorization-server{slash}{path}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_with_a_path_says_so_between_host_and_path() {
        for (issuer, openid, oauth) in [
            (
                "https://a.example",
                "https://a.example/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://a.example/",
                "https://a.example/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server",
            ),
            (
                "https://a.example/t/1/",
                "https://a.example/t/1/.well-known/openid-configuration",
                "https://a.example/.well-known/oauth-authorization-server/t/1",
            ),
        ] {
            assert_eq!(
                (openid_place(issuer), oauth_place(issuer)),
                (openid.to_owned(), Some(oauth.to_owned()))
            );
        }
    }
}
