//! Our own access tokens (`at+jwt`, RFC 9068), read.

use std::sync::Arc;
use std::time::SystemTime;

use lockgate_crypto::Algorithm;
use lockgate_crypto::jose::JwkSet;
use serde_json::{Map, Value};

use super::claims::Claims;
use super::jws::{Compact, OwnKey};
use super::{CLOCK_SKEW, Confirmation, Resource, Scope, TOKEN_LIFETIME_MAX, TokenRefused};
use crate::SpiffeId;
use crate::error::quoted;

/// The kind of token.
pub(crate) const TYPE: &str = "at+jwt";
/// Most actors of a delegation (RFC 8693 section 4.1): an agent that called an agent that called an agent, and one more.
pub const ACTORS_MAX: usize = 4;

/// An access token that was verified. Whoever uses it must still meet its [`Confirmation`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccessToken {
    /// Who issued it.
    pub issuer: String,
    /// In whose name it acts.
    pub subject: SpiffeId,
    /// The server that it is for.
    pub audience: Resource,
    /// The registered client.
    pub client_id: String,
    /// What its issuer limits it to; nothing if empty.
    pub scope: Scope,
    /// What must be proven by whoever uses it.
    pub confirmation: Confirmation,
    /// Who acts for the subject, the nearest first; empty if the subject acts itself.
    pub actors: Vec<SpiffeId>,
    /// Its name, for revocation.
    pub id: String,
    /// When it was issued, Unix seconds.
    pub issued_at: u64,
    /// The first second in which it is over, Unix seconds.
    pub expires_at: u64,
}

impl AccessToken {
    /// Whether the token is for `resource`: for itself, or for what it lies beneath.
    ///
    /// # Errors
    /// [`TokenRefused::Audience`].
    pub fn is_for(&self, resource: &Resource) -> Result<(), TokenRefused> {
        match self.audience.contains(resource) {
            true => Ok(()),
            false => Err(TokenRefused::audience(resource.as_str(), self.audience.as_str())),
        }
    }

    /// Who makes the call: the nearest actor, else the subject.
    #[must_use]
    pub fn caller(&self) -> &SpiffeId {
        self.actors.first().unwrap_or(&self.subject)
    }
}

/// Judges our own access tokens. Cheap to clone; made anew when keys change.
#[derive(Clone, Debug)]
pub struct AccessVerifier {
    issuer: Arc<str>,
    keys: Arc<JwkSet>,
    algorithms: Arc<[&'static Algorithm]>,
}

impl AccessVerifier {
    /// For tokens of `issuer`, signed with one of `keys` by one of `algorithms`
    /// ([`lockgate_crypto::Suite::token_algorithms`]).
    #[must_use]
    pub fn new(issuer: &str, keys: JwkSet, algorithms: Vec<&'static Algorithm>) -> Self {
        Self { issuer: issuer.into(), keys: Arc::new(keys), algorithms: algorithms.into() }
    }

    /// Whose tokens are judged.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.issuer
    }

    /// Whether tokens of this algorithm are taken.
    #[must_use]
    pub fn permits(&self, algorithm: &Algorithm) -> bool {
        self.algorithms.contains(&algorithm)
    }

    /// The keys with which tokens are verified.
    #[must_use]
    pub fn keys(&self) -> &JwkSet {
        &self.keys
    }

    /// Judges a token for the server `audience`. A token for the whole gateway is good for each of its servers,
    /// not the other way round.
    ///
    /// # Errors
    /// [`TokenRefused`] with the check that failed.
    pub fn verify(
        &self,
        token: &str,
        audience: &Resource,
        now: SystemTime,
    ) -> Result<AccessToken, TokenRefused> {
        let read = self.verify_for_later(token, now)?;
        read.is_for(audience)?;
        Ok(read)
    }

    /// Judges a token that is bound to a connection now and used later, when it is known for what: each use asks
    /// [`AccessToken::is_for`].
    ///
    /// # Errors
    /// As [`AccessVerifier::verify`], but for the audience.
    pub fn verify_for_later(&self, token: &str, now: SystemTime) -> Result<AccessToken, TokenRefused> {
        let compact = Compact::read(token, &self.algorithms, OwnKey::Refused)?;
        compact.of_type(TYPE)?;
        let unknown = || TokenRefused::UnknownKey {
            kid: quoted(compact.kid.as_deref().unwrap_or_default()),
            algorithm: compact.algorithm.id,
        };
        let kid = compact.kid.as_deref().ok_or_else(unknown)?;
        let key = self.keys.keys().iter().find(|key| key.kid() == Some(kid)).ok_or_else(unknown)?;
        let members = compact.verified(key)?;
        self.read(&members, now)
    }

    fn read(&self, members: &Map<String, Value>, now: SystemTime) -> Result<AccessToken, TokenRefused> {
        let claims = Claims(members);
        let issuer = claims.text("iss")?;
        if *issuer != *self.issuer {
            return Err(TokenRefused::Issuer { wanted: self.issuer.to_string(), found: quoted(issuer) });
        }
        let times = claims.times(now, CLOCK_SKEW)?;
        let issued_at = times.issued_at.ok_or(TokenRefused::claim("iat", "is missing"))?;
        claims.seconds("nbf")?;
        times.at_most(TOKEN_LIFETIME_MAX, now)?;
        let confirmation = claims.object_if("cnf")?.ok_or(TokenRefused::Unbound)?;
        Ok(AccessToken {
            issuer: issuer.to_owned(),
            subject: spiffe(claims.text("sub")?, "sub")?,
            audience: Resource::parse(claims.text("aud")?)?,
            client_id: claims.text("client_id")?.to_owned(),
            scope: Scope::parse(claims.text_if("scope")?.unwrap_or_default())?,
            confirmation: Confirmation::read(confirmation)?,
            actors: actors(claims)?,
            id: claims.text("jti")?.to_owned(),
            issued_at,
            expires_at: times.expires_at,
        })
    }
}

fn spiffe(text: &str, claim: &'static str) -> Result<SpiffeId, TokenRefused> {
    SpiffeId::parse(text).map_err(|_| TokenRefused::claim(claim, "is not a SPIFFE id"))
}

/// The chain in `act`: each object has a `sub` and, perhaps, the `act` before it.
fn actors(claims: Claims<'_>) -> Result<Vec<SpiffeId>, TokenRefused> {
    let mut actors = Vec::new();
    let mut next = claims.object_if("act")?;
    while let Some(act) = next {
        if actors.len() == ACTORS_MAX {
            return Err(TokenRefused::claim("act", "has more than 4 actors"));
        }
        let act = Claims(act);
        actors.push(spiffe(act.text("sub")?, "act")?);
        next = act.object_if("act")?;
    }
    Ok(actors)
}

/// What [`actors`] reads.
pub(crate) fn write_actors(actors: &[SpiffeId]) -> Option<Value> {
    actors.iter().rev().fold(None, |before, actor| {
        let mut act = Map::new();
        act.insert("sub".to_owned(), actor.as_str().into());
        if let Some(before) = before {
            act.insert("act".to_owned(), before);
        }
        Some(Value::Object(act))
    })
}
