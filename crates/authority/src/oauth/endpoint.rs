//! Who gets which token.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lockgate_crypto::Algorithm;
use lockgate_identity::token::{
    Confirmation, Grant, Held, ReplayCache, Resource, Scope, TOKEN_LIFETIME, TOKEN_LIFETIME_MIN, TokenIssuer,
    TokenRefused, dpop,
};
use parking_lot::RwLock;
use serde_json::Value;

use super::answer::{Asked, Denied, Granted};
use super::form::Form;
use super::grants::Entitled;
use super::metadata::{self, CLIENT_CREDENTIALS, EXCHANGE, JWT_BEARER};
use crate::attest::{Algorithms, Attestor};
use crate::known::Known;
use crate::registration::Registrations;
use crate::workload::blocking;
use crate::{Event, Issuance, Kind};

/// The token endpoint.
pub struct TokenEndpoint {
    pub(super) issuer: Arc<TokenIssuer>,
    /// What tokens can be for: the gateway.
    pub(super) resource: Resource,
    /// The endpoint itself, as proofs name it.
    target: Resource,
    pub(super) attestor: Arc<dyn Attestor>,
    registrations: RwLock<Arc<Registrations>>,
    pub(super) known: Known,
    pub(super) issuance: Arc<dyn Issuance>,
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

    /// Those in force.
    pub fn registrations(&self) -> Arc<Registrations> {
        Arc::clone(&self.registrations.read())
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
        if asked.proof.is_none() && asked.link.certificate_sha256.is_none() {
            return Err(bound_to_nothing());
        }
        let shown = self.shown(grant_type, &form, asked).await?;
        let held = self.held(asked, now)?;
        let confirmation = confirmation(&held)?;
        let entitled = self.entitled(shown, asked, &held).await?;
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
            let key = key.map_err(|error| Denied::token("invalid_dpop_proof", &error))?;
            if self.issuance.is_key_revoked(&key) {
                return Err(Denied::token("invalid_dpop_proof", &TokenRefused::Revoked));
            }
            held.key = Some(key);
        }
        Ok(held)
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
        let scope = self.limited(&entitled, narrowed(entitled.scope.as_ref(), scope)?)?;
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

    /// What the registrations of all in the chain leave of what was asked for; all that they leave if nothing was.
    fn limited(&self, entitled: &Entitled, wanted: Scope) -> Result<Scope, Denied> {
        let everybody = entitled.actors.iter().chain([&entitled.subject]);
        let limits = everybody.filter_map(|id| self.known.scope(id.as_str()));
        match limits.reduce(|one, other| one.and(&other)) {
            Some(limit) => narrowed(Some(&limit), wanted),
            None => Ok(wanted),
        }
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

/// What the token will be bound to: the key of a proof, else the link's certificate. Never to nothing.
fn confirmation(held: &Held) -> Result<Confirmation, Denied> {
    match (&held.key, held.certificate_sha256) {
        (Some(key), _) => Ok(Confirmation::Key(key.clone())),
        (None, Some(certificate)) => Ok(Confirmation::Certificate(certificate)),
        (None, None) => Err(bound_to_nothing()),
    }
}

fn bound_to_nothing() -> Denied {
    let description = "tokens are always bound to a key: send a DPoP proof (RFC 9449), or use a link with a certificate of this authority";
    Denied::new("invalid_dpop_proof", description)
}

/// What was asked for, within what is held; all of it if nothing was asked for.
fn narrowed(held: Option<&Scope>, wanted: Scope) -> Result<Scope, Denied> {
    match held {
        Some(held) if wanted.is_empty() => Ok(held.clone()),
        Some(held) if held.and(&wanted) != wanted => {
            let description = match held.is_empty() {
                true => "tokens of this kind have no scope".to_owned(),
                false => format!("no more is to be had than: {held}"),
            };
            Err(Denied::new("invalid_scope", description))
        }
        _ => Ok(wanted),
    }
}
