//! Issuing access tokens.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, SystemTime};

use lockgate_crypto::{Algorithm, CryptoError, Suite, random};
use serde_json::{Map, Value};
use zeroize::Zeroizing;

use super::access::{self, write_actors};
use super::jws::{self, OwnKey};
use super::key_ring::{self, KeyRing};
use super::{
    ACTORS_MAX, AccessVerifier, Confirmation, Resource, Scope, TOKEN_LIFETIME_MAX, TOKEN_LIFETIME_MIN,
};
use crate::error::unix_seconds;
use crate::{IdentityError, SpiffeId, file};

/// What a token is to say.
#[derive(Clone, Debug)]
pub struct Grant {
    /// In whose name it acts.
    pub subject: SpiffeId,
    /// The server that it is for.
    pub audience: Resource,
    /// The registered client.
    pub client_id: String,
    /// What it is limited to.
    pub scope: Scope,
    /// What must be proven by whoever uses it.
    pub confirmation: Confirmation,
    /// Who acts for the subject, the nearest first; at most [`ACTORS_MAX`].
    pub actors: Vec<SpiffeId>,
    /// Its life, between [`TOKEN_LIFETIME_MIN`] and [`TOKEN_LIFETIME_MAX`].
    pub lifetime: Duration,
}

/// A token that was issued.
pub struct Issued {
    /// The token. Whoever also has the key that it is bound to can use it.
    pub token: Zeroizing<String>,
    /// Its name (`jti`), for the log and for revocation.
    pub id: String,
    /// The first second in which it is over, Unix seconds.
    pub expires_at: u64,
}

impl fmt::Debug for Issued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Issued({}, [redacted])", self.id)
    }
}

/// Signs access tokens, and holds the keys for it.
pub struct TokenIssuer {
    issuer: String,
    directory: Option<PathBuf>,
    state: RwLock<State>,
}

struct State {
    ring: Arc<KeyRing>,
    verifier: AccessVerifier,
}

impl fmt::Debug for TokenIssuer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenIssuer({}, [redacted])", self.issuer)
    }
}

impl TokenIssuer {
    /// An issuer whose keys live as long as the process.
    ///
    /// # Errors
    /// [`IdentityError::Crypto`] if the suite leaves no algorithm for tokens.
    pub fn generate(issuer: &str, suite: &Suite, now: SystemTime) -> Result<Self, IdentityError> {
        let ring = KeyRing::make(key_ring::algorithm_for(suite)?, now)?;
        Self::of(issuer, None, ring, suite)
    }

    /// The issuer whose keys are in a directory, which is made if it is not there. Keys that do not fit the suite are
    /// replaced.
    ///
    /// # Errors
    /// As [`TokenIssuer::generate`], and for files that cannot be read, that others may read, or that are
    /// damaged.
    pub fn open_or_create(
        directory: &Path,
        issuer: &str,
        suite: &Suite,
        now: SystemTime,
    ) -> Result<Self, IdentityError> {
        file::private_directory(directory)?;
        let _lock = file::lock_directory(directory)?;
        let ring = match KeyRing::read(directory)? {
            Some(ring) => match ring.following(suite, now)? {
                None => ring,
                Some(next) => next.written(directory)?,
            },
            None => KeyRing::make(key_ring::algorithm_for(suite)?, now)?.written(directory)?,
        };
        Self::of(issuer, Some(directory.to_owned()), ring, suite)
    }

    fn of(
        issuer: &str,
        directory: Option<PathBuf>,
        ring: KeyRing,
        suite: &Suite,
    ) -> Result<Self, IdentityError> {
        let verifier = AccessVerifier::new(issuer, ring.public()?, suite.token_algorithms());
        let state = State { ring: Arc::new(ring), verifier };
        Ok(Self { issuer: issuer.to_owned(), directory, state: RwLock::new(state) })
    }

    /// What `iss` says.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// The algorithm of the key that signs.
    #[must_use]
    pub fn algorithm(&self) -> &'static Algorithm {
        self.ring().key.algorithm()
    }

    /// Judges tokens of this issuer, with the keys of this moment: ask again after a change.
    #[must_use]
    pub fn verifier(&self) -> AccessVerifier {
        self.state.read().unwrap_or_else(PoisonError::into_inner).verifier.clone()
    }

    /// The public keys as a JSON Web Key set, to be published.
    #[must_use]
    pub fn jwks(&self) -> String {
        self.verifier().keys().to_json().to_string()
    }

    /// Lets the keys follow the suite and the time: call it when the suite changes, and each hour. Answers whether
    /// anything changed.
    ///
    /// A key whose algorithm is out of use is dropped with everything that it signed; any other that is replaced is
    /// good for what it signed.
    ///
    /// # Errors
    /// As [`TokenIssuer::open_or_create`]; the old keys stay then, but verify only what the suite permits.
    pub fn follow(&self, suite: &Suite, now: SystemTime) -> Result<bool, IdentityError> {
        let next = match self.ring().following(suite, now) {
            Ok(next) => next,
            Err(error) => {
                self.publish(None, suite)?;
                return Err(error);
            }
        };
        let changed = next.is_some();
        if let (Some(next), Some(directory)) = (&next, &self.directory) {
            let _lock = file::lock_directory(directory)?;
            next.write(directory)?;
        }
        self.publish(next, suite)?;
        Ok(changed)
    }

    /// Lets another key sign from now on.
    ///
    /// # Errors
    /// As [`TokenIssuer::open_or_create`]; nothing changes then.
    pub fn rotate(&self, suite: &Suite, now: SystemTime) -> Result<(), IdentityError> {
        let next = self.ring().rotated(key_ring::algorithm_for(suite)?, now)?;
        if let Some(directory) = &self.directory {
            let _lock = file::lock_directory(directory)?;
            next.write(directory)?;
        }
        self.publish(Some(next), suite)
    }

    fn publish(&self, next: Option<KeyRing>, suite: &Suite) -> Result<(), IdentityError> {
        let ring = next.map_or_else(|| self.ring(), Arc::new);
        let verifier = AccessVerifier::new(&self.issuer, ring.public()?, suite.token_algorithms());
        *self.state.write().unwrap_or_else(PoisonError::into_inner) = State { ring, verifier };
        Ok(())
    }

    fn ring(&self) -> Arc<KeyRing> {
        Arc::clone(&self.state.read().unwrap_or_else(PoisonError::into_inner).ring)
    }

    /// Issues a token.
    ///
    /// # Errors
    /// [`IdentityError::Range`] for a life or a number of actors beyond the limits, [`IdentityError::Crypto`].
    pub fn issue(&self, grant: &Grant, now: SystemTime) -> Result<Issued, IdentityError> {
        check_lifetime(grant.lifetime)?;
        range("the number of actors of a token", grant.actors.len() as u64, 0, ACTORS_MAX as u64)?;
        let (id, now_s) = (random::token_base64url(16), unix_seconds(now));
        let expires_at = now_s + grant.lifetime.as_secs();
        let mut claims = Map::<String, Value>::new();
        let mut say = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        say("iss", self.issuer.as_str().into());
        say("sub", grant.subject.as_str().into());
        say("aud", grant.audience.as_str().into());
        say("client_id", grant.client_id.as_str().into());
        say("iat", now_s.into());
        say("nbf", now_s.into());
        say("exp", expires_at.into());
        say("jti", id.as_str().into());
        say("cnf", grant.confirmation.to_json());
        if !grant.scope.is_empty() {
            say("scope", grant.scope.to_string().into());
        }
        if let Some(act) = write_actors(&grant.actors) {
            say("act", act);
        }
        Ok(Issued { token: self.sign(access::TYPE, &claims)?, id, expires_at })
    }

    /// Issues a SPIFFE JWT-SVID, for what asks the Workload API for one. By its specification it is bound to
    /// nothing, so it is never taken as an access token here, and it has to be short.
    ///
    /// # Errors
    /// As [`TokenIssuer::issue`]; [`IdentityError::Range`] for no audience too.
    pub fn issue_svid(
        &self,
        subject: &SpiffeId,
        audiences: &[String],
        lifetime: Duration,
        now: SystemTime,
    ) -> Result<Issued, IdentityError> {
        check_lifetime(lifetime)?;
        range("the number of audiences of a JWT-SVID", audiences.len() as u64, 1, 16)?;
        let (id, now_s) = (random::token_base64url(16), unix_seconds(now));
        let expires_at = now_s + lifetime.as_secs();
        let mut claims = Map::<String, Value>::new();
        let mut say = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        say("iss", self.issuer.as_str().into());
        say("sub", subject.as_str().into());
        say("aud", audiences.into());
        say("iat", now_s.into());
        say("exp", expires_at.into());
        say("jti", id.as_str().into());
        Ok(Issued { token: self.sign("JWT", &claims)?, id, expires_at })
    }

    /// Signs a statement for one other authorization server, good for a minute: about a subject (RFC 7523, section 2.1; RFC
    /// 8693), or about a client, which vouches for itself (section 2.2). It is no access token here, by its type.
    ///
    /// # Errors
    /// As [`TokenIssuer::issue`].
    pub fn assert(
        &self,
        assertion: &Assertion<'_>,
        now: SystemTime,
    ) -> Result<Zeroizing<String>, IdentityError> {
        range("the number of actors of an assertion", assertion.actors.len() as u64, 0, ACTORS_MAX as u64)?;
        let now_s = unix_seconds(now);
        let mut claims = Map::<String, Value>::new();
        let mut say = |name: &str, value: Value| claims.insert(name.to_owned(), value);
        say("iss", assertion.issuer.into());
        say("sub", assertion.subject.into());
        say("aud", assertion.audience.into());
        say("iat", now_s.into());
        say("exp", (now_s + ASSERTION_LIFETIME.as_secs()).into());
        say("jti", random::token_base64url(16).into());
        if let Some(act) = write_actors(assertion.actors) {
            say("act", act);
        }
        self.sign("JWT", &claims)
    }

    /// Signs with the key of this moment, unless its algorithm is out of use.
    fn sign(&self, typ: &str, claims: &Map<String, Value>) -> Result<Zeroizing<String>, IdentityError> {
        let (ring, verifier) = (self.ring(), self.verifier());
        let algorithm = ring.key.algorithm();
        if !verifier.permits(algorithm) {
            return Err(IdentityError::Crypto(CryptoError::UnusableAlgorithm {
                id: algorithm.id.to_owned(),
                reason: "it is out of use, and nothing is left to sign tokens with".to_owned(),
            }));
        }
        jws::sign(&ring.key, typ, OwnKey::Refused, claims).map(Zeroizing::new)
    }
}

/// A statement for another authorization server.
#[derive(Clone, Copy, Debug)]
pub struct Assertion<'a> {
    /// Who vouches: this issuer, or a client for itself.
    pub issuer: &'a str,
    /// About whom.
    pub subject: &'a str,
    /// Who acts for the subject, the nearest first.
    pub actors: &'a [SpiffeId],
    /// The authorization server.
    pub audience: &'a str,
}

/// Life of a statement for another authorization server: it is used at once, and once.
const ASSERTION_LIFETIME: Duration = Duration::from_secs(60);

impl KeyRing {
    fn written(self, directory: &Path) -> Result<Self, IdentityError> {
        self.write(directory)?;
        Ok(self)
    }
}

fn check_lifetime(lifetime: Duration) -> Result<(), IdentityError> {
    let [min, max] = [TOKEN_LIFETIME_MIN, TOKEN_LIFETIME_MAX].map(|limit| limit.as_secs());
    range("the life of a token in seconds", lifetime.as_secs(), min, max)
}

fn range(what: &'static str, found: u64, min: u64, max: u64) -> Result<(), IdentityError> {
    match (min..=max).contains(&found) {
        true => Ok(()),
        false => Err(IdentityError::Range { what, min, max, found }),
    }
}
