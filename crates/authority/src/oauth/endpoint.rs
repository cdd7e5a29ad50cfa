//! Who gets which token.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lockgate_crypto::{Algorithm, jose};
use lockgate_identity::SpiffeId;
use lockgate_identity::token::{
    AccessToken, Confirmation, Grant, Held, ReplayCache, Resource, Scope, TOKEN_LIFETIME, TOKEN_LIFETIME_MIN,
    TokenIssuer, TokenRefused, dpop,
};
use parking_lot::RwLock;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::form::Form;
use super::metadata::{self, CLIENT_CREDENTIALS, EXCHANGE, JWT_BEARER};
use crate::attest::{Algorithms, Attestor, Evidence};
use crate::known::Known;
use crate::registration::Registrations;
use crate::workload::blocking;
use crate::{AuthorityError, Event, Issuance, Kind};

/// The one type of token that is given out (RFC 8693, section 3).
const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// What a link proved of its peer.
#[derive(Clone, Debug, Default)]
pub struct Link {
    /// The id in the peer's certificate, if it is one of ours and still holds.
    pub id: Option<SpiffeId>,
    /// SHA-256 of that certificate's DER.
    pub certificate_sha256: Option<[u8; 32]>,
}

/// A request for a token, or to give one back.
#[derive(Clone, Debug)]
pub struct Asked {
    /// The body.
    pub body: bytes::Bytes,
    /// The `DPoP` header, if there is exactly one.
    pub proof: Option<String>,
    /// What the link proved.
    pub link: Link,
}

/// A token that was given out.
#[derive(Debug)]
pub struct Granted {
    token: Zeroizing<String>,
    token_type: &'static str,
    expires_in: u64,
    scope: String,
    exchanged: bool,
}

impl Granted {
    /// The body of the answer (RFC 6749, section 5.1). Secret.
    pub fn to_json(&self) -> Value {
        let mut body = json!({
            "access_token": self.token.as_str(),
            "token_type": self.token_type,
            "expires_in": self.expires_in,
        });
        if !self.scope.is_empty() {
            body["scope"] = self.scope.as_str().into();
        }
        if self.exchanged {
            body["issued_token_type"] = ACCESS_TOKEN.into();
        }
        body
    }
}

/// A request that was denied, in the terms of RFC 6749, section 5.2.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{error}: {description}")]
pub struct Denied {
    /// The error's name.
    pub error: &'static str,
    /// For the caller; no more than it needs.
    pub description: String,
    /// HTTP status.
    pub status: u16,
    /// Everything, for the record.
    pub in_full: String,
}

impl Denied {
    fn new(error: &'static str, description: impl Into<String>) -> Self {
        let description = description.into();
        Self { error, in_full: description.clone(), description, status: 400 }
    }

    /// The body of the answer.
    pub fn to_json(&self) -> Value {
        json!({ "error": self.error, "error_description": self.description })
    }

    fn token(error: &'static str, refused: &TokenRefused) -> Self {
        let description = format!("a token is refused at the check \"{}\"", refused.check());
        Self { error, description, status: 400, in_full: refused.to_string() }
    }
}

impl From<AuthorityError> for Denied {
    fn from(error: AuthorityError) -> Self {
        let (name, status) = match &error {
            AuthorityError::Malformed(_) => ("invalid_request", 400),
            error if error.is_peers_fault() => ("invalid_grant", 400),
            // What RFC 6749 has for the authorization endpoint, and clients understand here, too.
            AuthorityError::Busy { .. } | AuthorityError::Unreachable { .. } => {
                ("temporarily_unavailable", 503)
            }
            _ => ("server_error", 503),
        };
        Self { error: name, description: error.for_peer(), status, in_full: error.to_string() }
    }
}

/// The token endpoint.
pub struct TokenEndpoint {
    issuer: Arc<TokenIssuer>,
    /// What tokens can be for: the gateway.
    resource: Resource,
    /// The endpoint itself, as proofs name it.
    target: Resource,
    attestor: Arc<dyn Attestor>,
    registrations: RwLock<Arc<Registrations>>,
    known: Known,
    issuance: Arc<dyn Issuance>,
    replays: ReplayCache,
    proofs: Algorithms,
}

/// What a [`TokenEndpoint`] is made of.
pub struct Parts {
    /// Signs.
    pub issuer: Arc<TokenIssuer>,
    /// What tokens can be for: the gateway's own URL, and everything beneath it.
    pub resource: Resource,
    /// Judges tokens of others.
    pub attestor: Arc<dyn Attestor>,
    /// Who agents are by what they proved.
    pub registrations: Registrations,
    /// Who was attested.
    pub known: Known,
    /// The node.
    pub issuance: Arc<dyn Issuance>,
    /// What proofs may be signed with now.
    pub proofs: Algorithms,
}

/// Somebody who may have a token, before it is known for what.
struct Entitled {
    subject: SpiffeId,
    /// Who acts for it, the nearest first.
    actors: Vec<SpiffeId>,
    by: Kind,
    why: String,
    /// What the new token may not exceed.
    scope: Option<Scope>,
    audience: Option<Resource>,
    not_after: Option<SystemTime>,
}

impl TokenEndpoint {
    /// Puts it together.
    ///
    /// # Errors
    /// [`TokenRefused::Claim`] if the issuer's name is no URL.
    pub fn new(parts: Parts) -> Result<Self, TokenRefused> {
        let Parts { issuer, resource, attestor, registrations, known, issuance, proofs } = parts;
        let target =
            Resource::parse(&format!("{}{}", issuer.issuer().trim_end_matches('/'), metadata::TOKEN))?;
        Ok(Self {
            issuer,
            resource,
            target,
            attestor,
            registrations: RwLock::new(Arc::new(registrations)),
            known,
            issuance,
            replays: ReplayCache::default(),
            proofs,
        })
    }

    /// Takes other registrations into force.
    pub fn register(&self, registrations: Registrations) {
        *self.registrations.write() = Arc::new(registrations);
    }

    /// The document of RFC 8414.
    pub fn metadata(&self) -> Value {
        metadata::document(self.issuer.issuer(), &(self.proofs)())
    }

    /// The public keys, a JWK Set.
    pub fn jwks(&self) -> String {
        self.issuer.jwks()
    }

    /// Answers a request for a token; issue and refusal are recorded before the answer.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn token(&self, asked: &Asked) -> Result<Granted, Denied> {
        let now = SystemTime::now();
        let granted = self.grant(asked, now).await;
        let denied = match granted {
            Ok(granted) => return Ok(granted),
            Err(denied) => denied,
        };
        let event = Event {
            method: "oauth/token",
            id: asked.link.id.clone(),
            by: Kind::Oidc,
            subject: asked.link.id.as_ref().map_or_else(|| "a caller".to_owned(), ToString::to_string),
            selectors: Default::default(),
            refused: Some(format!("{}: {}", denied.error, denied.in_full)),
        };
        match blocking(&self.issuance, move |issuance| issuance.record(&event)).await {
            Ok(()) => Err(denied),
            Err(error) => Err(error.into()),
        }
    }

    async fn grant(&self, asked: &Asked, now: SystemTime) -> Result<Granted, Denied> {
        let form =
            Form::parse(&asked.body).map_err(|error| Denied::new("invalid_request", error.to_string()))?;
        let missing = || Denied::new("invalid_request", "grant_type is missing");
        let grant_type = form.get("grant_type").ok_or_else(missing)?;
        // A grant that nobody knows costs nothing: no proof is verified for it, no other server asked.
        if ![JWT_BEARER, CLIENT_CREDENTIALS, EXCHANGE].contains(&grant_type) {
            return Err(Denied::new("unsupported_grant_type", "see grant_types_supported in the metadata"));
        }
        let audience = self.audience(&form)?;
        let scope = Scope::parse(form.get("scope").unwrap_or_default());
        let scope = scope.map_err(|error| Denied::token("invalid_scope", &error))?;
        let held = self.held(asked, now)?;
        let confirmation = confirmation(&held)?;
        let entitled = match grant_type {
            JWT_BEARER => self.by_assertion(&form).await?,
            CLIENT_CREDENTIALS => self.by_certificate(&form, asked)?,
            _ => self.by_exchange(&form, asked, &held, now)?,
        };
        let exchanged = grant_type == EXCHANGE;
        self.issue(entitled, (audience, scope), confirmation, exchanged, now).await
    }

    /// What the token is for (RFC 8707): the gateway, or a server of it.
    fn audience(&self, form: &Form) -> Result<Resource, Denied> {
        if form.get("audience").is_some() {
            return Err(Denied::new(
                "invalid_target",
                "say what the token is for with `resource` (RFC 8707)",
            ));
        }
        let Some(text) = form.get("resource") else { return Ok(self.resource.clone()) };
        let wanted = Resource::parse(text).map_err(|error| Denied::token("invalid_target", &error))?;
        match self.resource.contains(&wanted) {
            true => Ok(wanted),
            false => {
                Err(Denied::new("invalid_target", format!("tokens of this issuer are for {}", self.resource)))
            }
        }
    }

    /// What is proven of the caller: by its link, and by a proof with this request.
    fn held(&self, asked: &Asked, now: SystemTime) -> Result<Held, Denied> {
        let mut held = Held { certificate_sha256: asked.link.certificate_sha256, ..Held::default() };
        if let Some(proof) = &asked.proof {
            let request = dpop::Request { method: "POST", target: &self.target, token: None };
            let algorithms: Vec<&'static Algorithm> = (self.proofs)();
            let proofs = dpop::Proofs { algorithms: &algorithms, replays: &self.replays, nonces: None };
            let key = dpop::verify(proof, request, proofs, now);
            held.key = Some(key.map_err(|error| Denied::token("invalid_dpop_proof", &error))?);
        }
        Ok(held)
    }

    async fn by_assertion(&self, form: &Form) -> Result<Entitled, Denied> {
        let missing = || Denied::new("invalid_request", "assertion is missing");
        let assertion = form.get("assertion").ok_or_else(missing)?;
        let attested = self.attestor.attest(Evidence::Token(assertion)).await?;
        let registrations = Arc::clone(&self.registrations.read());
        let registration = registrations
            .first(&attested.selectors)
            .ok_or_else(|| AuthorityError::unregistered(attested.by, &attested.selectors))?
            .clone();
        self.stands(&registration.id, &registration.roles)?;
        let entitled = Entitled {
            subject: registration.id.clone(),
            actors: Vec::new(),
            by: attested.by,
            why: attested.subject.clone(),
            scope: None,
            audience: None,
            not_after: attested.not_after,
        };
        let known = self.known.clone();
        blocking(&self.issuance, move |_| known.remember(&attested, &registration, SystemTime::now()))
            .await?;
        Ok(entitled)
    }

    fn by_certificate(&self, form: &Form, asked: &Asked) -> Result<Entitled, Denied> {
        let id = asked.link.id.clone();
        let id = id.ok_or_else(|| Denied {
            status: 401,
            ..Denied::new(
                "invalid_client",
                "client_credentials needs a link with a certificate of this authority",
            )
        })?;
        if form.get("client_id").is_some_and(|client| client != id.as_str()) {
            return Err(Denied::new("invalid_client", "client_id is not the id of the link's certificate"));
        }
        self.stands(&id, &self.known.roles(id.as_str()))?;
        Ok(Entitled {
            why: format!("the certificate of {id}"),
            subject: id,
            actors: Vec::new(),
            by: Kind::Process,
            scope: None,
            audience: None,
            not_after: None,
        })
    }

    /// A token of ours becomes a narrower one. Who does not hold the key that it is bound to may act in its subject's
    /// name, and has to say by a certificate or a token of its own who it is itself.
    fn by_exchange(
        &self,
        form: &Form,
        asked: &Asked,
        held: &Held,
        now: SystemTime,
    ) -> Result<Entitled, Denied> {
        for (name, needed) in
            [("subject_token_type", true), ("requested_token_type", false), ("actor_token_type", false)]
        {
            match form.get(name) {
                Some(ACCESS_TOKEN) => {}
                Some(JWT) if name != "requested_token_type" => {}
                None if !needed => {}
                _ => return Err(Denied::new("invalid_request", format!("{name} must be {ACCESS_TOKEN}"))),
            }
        }
        let missing = || Denied::new("invalid_request", "subject_token is missing");
        let subject = self.own(form.get("subject_token").ok_or_else(missing)?, now)?;
        self.stands(&subject.subject, &self.known.roles(subject.subject.as_str()))?;
        let mut actors = subject.actors.clone();
        let own = subject.confirmation.check(held).is_ok();
        match (self.actor(form, asked, held, now)?, own) {
            // Who holds the key of the token acts as before.
            (Some(actor), true) if actor == *subject.caller() => {}
            (None, true) => {}
            (Some(actor), _) => {
                self.stands(&actor, &self.known.roles(actor.as_str()))?;
                actors.insert(0, actor);
            }
            (None, false) => {
                let description = "the subject_token is bound to a key that was not proven, and nobody is named who acts for its subject: use a link with a certificate, or send an actor_token with its proof";
                return Err(Denied::new("invalid_grant", description));
            }
        }
        Ok(Entitled {
            why: format!("the token {} of {}", subject.id, subject.subject),
            by: Kind::Oidc,
            actors,
            scope: Some(subject.scope.clone()),
            audience: Some(subject.audience.clone()),
            not_after: Some(SystemTime::UNIX_EPOCH + Duration::from_secs(subject.expires_at)),
            subject: subject.subject,
        })
    }

    fn actor(
        &self,
        form: &Form,
        asked: &Asked,
        held: &Held,
        now: SystemTime,
    ) -> Result<Option<SpiffeId>, Denied> {
        let Some(token) = form.get("actor_token") else { return Ok(asked.link.id.clone()) };
        let actor = self.own(token, now)?;
        // Whose key was not proven is not here.
        actor.confirmation.check(held).map_err(|error| Denied::token("invalid_grant", &error))?;
        if !actor.actors.is_empty() {
            return Err(Denied::new("invalid_grant", "an actor_token must be of the actor itself"));
        }
        if asked.link.id.as_ref().is_some_and(|id| *id != actor.subject) {
            return Err(Denied::new("invalid_grant", "the actor_token is of another agent than the link"));
        }
        Ok(Some(actor.subject))
    }

    /// One of our own tokens, for any of our resources.
    fn own(&self, token: &str, now: SystemTime) -> Result<AccessToken, Denied> {
        let refused = |error: TokenRefused| Denied::token("invalid_grant", &error);
        // Whatever of ours it is for; that it is of ours is verified with the rest.
        let audience = unverified_audience(token).filter(|audience| self.resource.contains(audience));
        let audience = audience.unwrap_or_else(|| self.resource.clone());
        let token = self.issuer.verifier().verify(token, &audience, now).map_err(refused)?;
        match self.issuance.is_token_revoked(&token.id) {
            true => Err(Denied::token("invalid_grant", &TokenRefused::Revoked)),
            false => Ok(token),
        }
    }

    fn stands(&self, id: &SpiffeId, roles: &[String]) -> Result<(), Denied> {
        match self.issuance.is_revoked(id, roles) {
            true => Err(AuthorityError::Revoked { id: id.to_string() }.into()),
            false => Ok(()),
        }
    }

    async fn issue(
        &self,
        entitled: Entitled,
        (audience, scope): (Resource, Scope),
        confirmation: Confirmation,
        exchanged: bool,
        now: SystemTime,
    ) -> Result<Granted, Denied> {
        if entitled.audience.as_ref().is_some_and(|held| !held.contains(&audience)) {
            return Err(Denied::new(
                "invalid_target",
                "an exchange gives nothing that the subject_token is not for",
            ));
        }
        let scope = narrowed(entitled.scope.as_ref(), scope)?;
        let lifetime = match entitled.not_after {
            Some(end) => end.duration_since(now).unwrap_or_default().min(TOKEN_LIFETIME),
            None => TOKEN_LIFETIME,
        };
        let lifetime = Duration::from_secs(lifetime.as_secs());
        if lifetime < TOKEN_LIFETIME_MIN {
            return Err(Denied::new(
                "invalid_grant",
                "what was shown ends within a minute; get a fresh one first",
            ));
        }
        let token_type = if matches!(confirmation, Confirmation::Key(_)) { "DPoP" } else { "Bearer" };
        let caller = entitled.actors.first().unwrap_or(&entitled.subject).to_string();
        let grant = Grant {
            subject: entitled.subject.clone(),
            audience,
            client_id: caller,
            scope: scope.clone(),
            confirmation,
            actors: entitled.actors,
            lifetime,
        };
        let (issuer, by, why) = (Arc::clone(&self.issuer), entitled.by, entitled.why);
        let issued = blocking(&self.issuance, move |issuance| {
            let issued = issuer.issue(&grant, now)?;
            issuance.record(&Event {
                method: "oauth/token",
                id: Some(grant.subject),
                by,
                subject: format!("{why}; token {} for {}", issued.id, grant.audience),
                selectors: Default::default(),
                refused: None,
            })?;
            Ok(issued)
        });
        let issued = issued.await?;
        let expires_in = lifetime.as_secs();
        Ok(Granted { token: issued.token, token_type, expires_in, scope: scope.to_string(), exchanged })
    }

    /// Takes a token back (RFC 7009). One that is none of ours, or over, is gone already. Who shows it must be whom it
    /// is bound to, or its subject: whoever merely found it cannot cut its holder off.
    ///
    /// # Errors
    /// [`Denied`].
    pub async fn revoke(&self, asked: &Asked) -> Result<(), Denied> {
        let now = SystemTime::now();
        let form =
            Form::parse(&asked.body).map_err(|error| Denied::new("invalid_request", error.to_string()))?;
        let missing = || Denied::new("invalid_request", "token is missing");
        let token = form.get("token").ok_or_else(missing)?;
        let Ok(token) = self.own(token, now) else { return Ok(()) };
        let held = self.held(asked, now)?;
        let its_own = asked.link.id.as_ref() == Some(token.caller());
        if !its_own && let Err(error) = token.confirmation.check(&held) {
            return Err(Denied { status: 401, ..Denied::token("invalid_client", &error) });
        }
        let event = Event {
            method: "oauth/revoke",
            id: Some(token.subject),
            by: Kind::Oidc,
            subject: format!("token {}", token.id),
            selectors: Default::default(),
            refused: None,
        };
        let (id, end) = (token.id, token.expires_at);
        blocking(&self.issuance, move |issuance| {
            issuance.record(&event)?;
            issuance.revoke_token(&id, end)
        })
        .await?;
        Ok(())
    }
}

/// What a token says that it is for, before anything about it is known.
fn unverified_audience(token: &str) -> Option<Resource> {
    let payload = jose::decode(token.split('.').nth(1)?)?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    Resource::parse(claims["aud"].as_str()?).ok()
}

/// What the token will be bound to: the key of a proof, else the link's certificate. Never to nothing.
fn confirmation(held: &Held) -> Result<Confirmation, Denied> {
    match (&held.key, held.certificate_sha256) {
        (Some(key), _) => Ok(Confirmation::Key(key.clone())),
        (None, Some(certificate)) => Ok(Confirmation::Certificate(certificate)),
        (None, None) => {
            let description = "tokens are always bound to a key: send a DPoP proof (RFC 9449), or use a link with a certificate of this authority";
            Err(Denied::new("invalid_dpop_proof", description))
        }
    }
}

/// What was asked for, within what is held; all of it if nothing was asked for. An empty scope is no limit.
fn narrowed(held: Option<&Scope>, wanted: Scope) -> Result<Scope, Denied> {
    match held {
        Some(held) if !held.is_empty() => match wanted.is_empty() {
            true => Ok(held.clone()),
            false => {
                held.covers(&wanted).map_err(|error| Denied::token("invalid_scope", &error))?;
                Ok(wanted)
            }
        },
        _ => Ok(wanted),
    }
}
