//! Tokens of other issuers: identity providers, clusters, clouds, other authorization servers.

use std::time::{Duration, SystemTime};

use lockgate_crypto::Algorithm;
use lockgate_crypto::jose::{Jwk, strict};
use serde_json::{Map, Value};

use super::claims::Claims;
use super::jws::{Compact, OwnKey, is_type};
use super::{CLOCK_SKEW, Confirmation, KeyCache, Resource, Scope, TokenRefused};
use crate::error::quoted;

/// What kind of token an issuer's is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenType {
    /// An identity token, or a SPIFFE JWT-SVID: `typ` is `JWT`, `JOSE` or missing.
    Identity,
    /// An OAuth access token (RFC 9068): `typ` is `at+jwt`.
    Access,
}

impl TokenType {
    fn check(self, compact: &Compact<'_>) -> Result<(), TokenRefused> {
        match self {
            Self::Access => compact.of_type(super::access::TYPE),
            Self::Identity => match compact.typ.as_deref() {
                None => Ok(()),
                Some(typ) if is_type(typ, "JOSE") => Ok(()),
                Some(_) => compact.of_type("JWT"),
            },
        }
    }
}

/// An issuer whose tokens are taken, and what of them.
#[derive(Clone, Debug)]
pub struct ForeignIssuer {
    /// Exactly what `iss` says.
    pub issuer: String,
    /// A token is taken if its `aud` has one of these.
    pub audiences: Vec<String>,
    /// What its tokens may be signed with; without those that bans and dates keep out.
    pub algorithms: Vec<&'static Algorithm>,
    /// What kind of tokens.
    pub kind: TokenType,
    /// How far its clock may be ahead, at most five minutes.
    pub skew: Duration,
    /// Longest life of a token that is taken.
    pub lifetime_max: Duration,
}

/// Most that a clock of an issuer may be ahead, whatever the configuration says.
const SKEW_MAX: Duration = Duration::from_secs(300);
/// Longest life of an access token of another issuer: what large identity providers give out by default, and no more.
/// Whoever is thrown out over there is in here for so long.
pub const FOREIGN_ACCESS_LIFETIME_MAX: Duration = Duration::from_secs(2 * 60 * 60);

impl ForeignIssuer {
    /// An issuer with the usual clock skew and tokens of a day at most.
    #[must_use]
    pub fn new(issuer: &str, audience: &str, algorithms: Vec<&'static Algorithm>) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audiences: vec![audience.to_owned()],
            algorithms,
            kind: TokenType::Identity,
            skew: CLOCK_SKEW,
            lifetime_max: Duration::from_secs(24 * 60 * 60),
        }
    }

    /// An issuer whose access tokens (RFC 9068) are taken for exactly these resources (RFC 8707).
    #[must_use]
    pub fn of_access_tokens(
        issuer: &str,
        resources: &[Resource],
        algorithms: Vec<&'static Algorithm>,
    ) -> Self {
        Self {
            issuer: issuer.to_owned(),
            audiences: resources.iter().map(Resource::to_string).collect(),
            algorithms,
            kind: TokenType::Access,
            skew: CLOCK_SKEW,
            lifetime_max: FOREIGN_ACCESS_LIFETIME_MAX,
        }
    }

    /// Judges a token.
    ///
    /// # Errors
    /// [`TokenRefused`]; where [`TokenRefused::needs_keys`] holds, the caller may fetch the issuer's keys
    /// ([`KeyCache::may_fetch`]) and ask once more.
    pub fn verify(
        &self,
        token: &str,
        keys: &KeyCache,
        now: SystemTime,
    ) -> Result<ForeignClaims, TokenRefused> {
        let compact = Compact::read(token, &self.algorithms, OwnKey::Refused)?;
        self.kind.check(&compact)?;
        let members = compact.verified(self.key(&compact, keys, now)?)?;
        let claims = Claims(&members);
        let issuer = claims.text("iss")?;
        if issuer != self.issuer {
            return Err(TokenRefused::Issuer { wanted: self.issuer.clone(), found: quoted(issuer) });
        }
        let audiences = claims.audiences()?;
        if !audiences.iter().any(|audience| self.audiences.iter().any(|ours| ours == audience)) {
            return Err(TokenRefused::audience(&self.audiences.join(" or "), &audiences.join(" ")));
        }
        let times = claims.times(now, self.skew.min(SKEW_MAX))?;
        times.at_most(self.lifetime_max, now)?;
        if self.kind == TokenType::Access {
            // What RFC 9068, section 2.2 requires besides: without them it is no such token.
            claims.text("client_id")?;
            claims.text("jti")?;
            claims.seconds("iat")?;
        }
        let subject = claims.text("sub")?.to_owned();
        let id = claims.text_if("jti")?.map(str::to_owned);
        let expires_at = times.expires_at;
        Ok(ForeignClaims { issuer: issuer.to_owned(), subject, id, expires_at, members })
    }

    fn key<'k>(
        &self,
        compact: &Compact<'_>,
        keys: &'k KeyCache,
        now: SystemTime,
    ) -> Result<&'k Jwk, TokenRefused> {
        let kid = compact.kid.as_deref();
        keys.trusted(now)?.find(kid, compact.algorithm).ok_or_else(|| TokenRefused::UnknownKey {
            kid: quoted(kid.unwrap_or_default()),
            algorithm: compact.algorithm.id,
        })
    }
}

/// What a verified token of another issuer says.
#[derive(Clone, Debug, PartialEq)]
pub struct ForeignClaims {
    /// Who issued it.
    pub issuer: String,
    /// About whom, in the words of the issuer.
    pub subject: String,
    /// Its name, if it has one.
    pub id: Option<String>,
    /// The first second in which it is over, Unix seconds.
    pub expires_at: u64,
    members: Map<String, Value>,
}

impl ForeignClaims {
    /// All claims.
    #[must_use]
    pub fn members(&self) -> &Map<String, Value> {
        &self.members
    }

    /// A claim by its JSON pointer (RFC 6901), such as `/kubernetes.io/namespace`.
    #[must_use]
    pub fn at(&self, pointer: &str) -> Option<&Value> {
        let (first, rest) = match pointer.strip_prefix('/')?.split_once('/') {
            Some((first, rest)) => (first, Some(rest)),
            None => (&pointer[1..], None),
        };
        let value = self.members.get(&first.replace("~1", "/").replace("~0", "~"))?;
        match rest {
            Some(rest) => value.pointer(&format!("/{rest}")),
            None => Some(value),
        }
    }

    /// What it is bound to.
    ///
    /// # Errors
    /// [`TokenRefused::Claim`] if `cnf` is there and cannot be read.
    pub fn confirmation(&self) -> Result<Option<Confirmation>, TokenRefused> {
        Claims(&self.members).object_if("cnf")?.map(Confirmation::read).transpose()
    }

    /// The audiences that are resources (RFC 8707).
    #[must_use]
    pub fn resources(&self) -> Vec<Resource> {
        let audiences = Claims(&self.members).audiences().unwrap_or_default();
        audiences.into_iter().filter_map(|audience| Resource::parse(audience).ok()).collect()
    }

    /// `scope`.
    ///
    /// # Errors
    /// [`TokenRefused::Claim`] if it is there and cannot be read.
    pub fn scope(&self) -> Result<Scope, TokenRefused> {
        Scope::parse(Claims(&self.members).text_if("scope")?.unwrap_or_default())
    }

    /// `client_id`, or `azp` as identity tokens call it.
    ///
    /// # Errors
    /// [`TokenRefused::Claim`] if it is there and is not text.
    pub fn client_id(&self) -> Result<Option<&str>, TokenRefused> {
        let claims = Claims(&self.members);
        Ok(match claims.text_if("client_id")? {
            Some(client) => Some(client),
            None => claims.text_if("azp")?,
        })
    }
}

/// Whose token this claims to be, to choose the issuer by. Nothing is verified.
///
/// # Errors
/// [`TokenRefused`] for what is no compact JWS with an `iss`.
pub fn unverified_issuer(token: &str) -> Result<String, TokenRefused> {
    if token.len() > super::TOKEN_BYTES_MAX {
        return Err(TokenRefused::TooLong { what: "the token", max: super::TOKEN_BYTES_MAX });
    }
    let payload = token.split('.').nth(1).unwrap_or_default();
    let json = lockgate_crypto::jose::decode(payload).and_then(|bytes| String::from_utf8(bytes).ok());
    let json =
        json.ok_or_else(|| TokenRefused::malformed("the claims", "they are not base64url of UTF-8"))?;
    let members = strict::object(&json).map_err(|flaw| TokenRefused::malformed("the claims", flaw))?;
    Claims(&members).text("iss").map(str::to_owned)
}
