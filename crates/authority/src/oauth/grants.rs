//! The grants: what is shown, judged before any proof of possession is looked at. Proofs are remembered, and only who has
//! something to show may take up that room.

use std::time::{Duration, SystemTime};

use lockgate_crypto::jose;
use lockgate_identity::SpiffeId;
use lockgate_identity::token::{AccessToken, Held, Resource, Scope, TokenRefused};
use serde_json::Value;

use super::answer::{Asked, Denied};
use super::endpoint::TokenEndpoint;
use super::form::Form;
use super::metadata::{CLIENT_CREDENTIALS, JWT_BEARER};
use crate::attest::{Attested, Evidence};
use crate::registration::Registration;
use crate::{AuthorityError, Kind};

/// The one type of token that is given out (RFC 8693, section 3).
pub(super) const ACCESS_TOKEN: &str = "urn:ietf:params:oauth:token-type:access_token";
const JWT: &str = "urn:ietf:params:oauth:token-type:jwt";

/// Somebody who may have a token, before it is known for what.
pub(super) struct Entitled {
    pub(super) subject: SpiffeId,
    /// Who acts for it, the nearest first.
    pub(super) actors: Vec<SpiffeId>,
    pub(super) by: Kind,
    pub(super) why: String,
    /// What the new token may not exceed.
    pub(super) scope: Option<Scope>,
    pub(super) audience: Option<Resource>,
    pub(super) not_after: Option<SystemTime>,
}

/// What a caller showed, judged but for the proof that it is the caller's.
pub(super) enum Shown {
    /// A token of somebody else, and whom it makes of the caller.
    Assertion(Attested, Registration),
    /// The certificate of the link.
    Certificate(SpiffeId),
    /// A token of ours, and one of whoever acts for its subject.
    Tokens(Box<AccessToken>, Option<Box<AccessToken>>),
}

impl TokenEndpoint {
    /// Judges what is shown for a grant.
    pub(super) async fn shown(&self, grant_type: &str, form: &Form, asked: &Asked) -> Result<Shown, Denied> {
        match grant_type {
            JWT_BEARER => self.assertion(form).await,
            CLIENT_CREDENTIALS => self.certificate(form, asked),
            _ => self.tokens(form, asked),
        }
    }

    async fn assertion(&self, form: &Form) -> Result<Shown, Denied> {
        let missing = || Denied::new("invalid_request", "assertion is missing");
        let assertion = form.get("assertion").ok_or_else(missing)?;
        let attested = self.attestor.attest(Evidence::Token(assertion)).await?;
        let registrations = self.registrations();
        let registration = registrations
            .first(&attested.selectors)
            .ok_or_else(|| AuthorityError::unregistered(attested.by, &attested.selectors))?
            .clone();
        self.stands(&registration.id, &registration.roles)?;
        Ok(Shown::Assertion(attested, registration))
    }

    fn certificate(&self, form: &Form, asked: &Asked) -> Result<Shown, Denied> {
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
        self.agent_stands(&id)?;
        Ok(Shown::Certificate(id))
    }

    fn tokens(&self, form: &Form, asked: &Asked) -> Result<Shown, Denied> {
        let now = SystemTime::now();
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
        for agent in std::iter::once(&subject.subject).chain(&subject.actors) {
            self.agent_stands(agent)?;
        }
        let actor = form.get("actor_token").map(|token| self.own(token, now)).transpose()?;
        if let Some(actor) = &actor {
            if !actor.actors.is_empty() {
                return Err(Denied::new("invalid_grant", "an actor_token must be of the actor itself"));
            }
            if asked.link.id.as_ref().is_some_and(|id| *id != actor.subject) {
                let description = "the actor_token is of another agent than the link";
                return Err(Denied::new("invalid_grant", description));
            }
            self.agent_stands(&actor.subject)?;
        }
        Ok(Shown::Tokens(Box::new(subject), actor.map(Box::new)))
    }

    /// Who is entitled to a token by what was shown, now that it is known what the caller holds.
    pub(super) async fn entitled(
        &self,
        shown: Shown,
        asked: &Asked,
        held: &Held,
    ) -> Result<Entitled, Denied> {
        match shown {
            Shown::Assertion(attested, registration) => self.by_assertion(attested, registration).await,
            Shown::Certificate(id) => Ok(by_certificate(id)),
            Shown::Tokens(subject, actor) => self.by_exchange(*subject, actor, asked, held),
        }
    }

    async fn by_assertion(&self, attested: Attested, registration: Registration) -> Result<Entitled, Denied> {
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
        let remember = move || known.remember(&attested, &registration, SystemTime::now());
        crate::workload::blocking(&self.issuance, move |_| remember()).await?;
        Ok(entitled)
    }

    /// A token of ours becomes a narrower one. Who does not hold the key that it is bound to may act in its subject's
    /// name, and has to say by a certificate or a token of its own who it is itself.
    fn by_exchange(
        &self,
        subject: AccessToken,
        actor: Option<Box<AccessToken>>,
        asked: &Asked,
        held: &Held,
    ) -> Result<Entitled, Denied> {
        let actor = match actor {
            None => asked.link.id.clone(),
            Some(actor) => {
                // Whose key was not proven is not here.
                let holds = actor.confirmation.check(held);
                holds.map_err(|error| Denied::token("invalid_grant", &error))?;
                Some(actor.subject)
            }
        };
        let mut actors = subject.actors.clone();
        let own = subject.confirmation.check(held).is_ok();
        match (actor, own) {
            // Who holds the key of the token acts as before.
            (Some(actor), true) if actor == *subject.caller() => {}
            (None, true) => {}
            (Some(actor), _) => {
                self.agent_stands(&actor)?;
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

    /// One of our own tokens, for any of our resources.
    pub(super) fn own(&self, token: &str, now: SystemTime) -> Result<AccessToken, Denied> {
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

    /// Whether an agent may have a token by the roles that it is known in.
    fn agent_stands(&self, id: &SpiffeId) -> Result<(), Denied> {
        self.stands(id, &self.known.roles(id.as_str()))
    }

    fn stands(&self, id: &SpiffeId, roles: &[String]) -> Result<(), Denied> {
        match self.issuance.is_revoked(id, roles) {
            true => Err(AuthorityError::Revoked { id: id.to_string() }.into()),
            false => Ok(()),
        }
    }
}

fn by_certificate(id: SpiffeId) -> Entitled {
    Entitled {
        why: format!("the certificate of {id}"),
        subject: id,
        actors: Vec::new(),
        by: Kind::Process,
        scope: None,
        audience: None,
        not_after: None,
    }
}

/// What a token says that it is for, before anything about it is known.
fn unverified_audience(token: &str) -> Option<Resource> {
    let payload = jose::decode(token.split('.').nth(1)?)?;
    let claims: Value = serde_json::from_slice(&payload).ok()?;
    Resource::parse(claims["aud"].as_str()?).ok()
}
