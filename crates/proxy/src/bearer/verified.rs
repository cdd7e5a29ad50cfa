//! A token becomes whoever bears it: one of our own, or one of an issuer whose tokens are taken.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use lockgate_crypto::digest::{hex, sha256};
use lockgate_crypto::jose;
use lockgate_identity::token::{AccessToken, Confirmation, Scope, TokenRefused, unverified_issuer};
use lockgate_identity::{Caller, Principal, Role, SpiffeId, bind as caller_of};

use super::{Audience, Bearer};
use crate::bearer_rules::{Bearers, Binding, Registered, Trusted};
use crate::link::LinkContext;

/// Judges a token that this link has not shown before.
pub(super) async fn verified(
    bearers: &Bearers,
    link: &Arc<LinkContext>,
    token: &str,
) -> Result<Bearer, TokenRefused> {
    let issuer = unverified_issuer(token)?;
    if let Some(own) = bearers.rules.own.as_ref().filter(|own| own.issuer.issuer() == issuer) {
        let token = own.issuer.verifier().verify_for_later(token, SystemTime::now())?;
        return own_bearer(bearers, link, token);
    }
    let trusted = bearers.rules.foreign.iter().find(|trusted| trusted.issuer.issuer == issuer);
    let trusted = trusted.ok_or_else(|| TokenRefused::Issuer {
        wanted: "one that is trusted here".to_owned(),
        found: issuer.escape_debug().take(100).collect(),
    })?;
    foreign_bearer(trusted, link, token).await
}

fn own_bearer(
    bearers: &Bearers,
    link: &Arc<LinkContext>,
    token: AccessToken,
) -> Result<Bearer, TokenRefused> {
    let registered = |id: &SpiffeId| match &bearers.rules.own {
        Some(own) => (own.registered)(id),
        None => Registered { id: id.clone(), roles: Arc::default(), scope: None },
    };
    // Who makes the call is whom the token is bound to: the nearest actor, or the subject itself. The rest of the chain, which
    // has an end ([`lockgate_identity::token::ACTORS_MAX`]), is in whose names it acts.
    let agent = registered(token.caller());
    let further = token.actors.iter().skip(1).chain([&token.subject]).filter(|id| **id != agent.id);
    let acts_for = further.map(registered).collect();
    let (issuer, id, expires_at) = (token.issuer.clone(), token.id.clone(), token.expires_at);
    let speaks = Speaks { agent, acts_for, issuer, token: id, expires_at };
    let audience = Audience::Beneath(token.audience);
    bearer(link, speaks, Limits { audience, scope: token.scope, confirmation: Some(token.confirmation) })
}

async fn foreign_bearer(
    trusted: &Trusted,
    link: &Arc<LinkContext>,
    token: &str,
) -> Result<Bearer, TokenRefused> {
    match try_foreign(trusted, link, token) {
        Err(refused) if refused.needs_keys() => {
            trusted.keys.refetch().await;
            try_foreign(trusted, link, token)
        }
        verdict => verdict,
    }
}

fn try_foreign(trusted: &Trusted, link: &Arc<LinkContext>, token: &str) -> Result<Bearer, TokenRefused> {
    // Before the keys are looked at: if others come meanwhile, it is verified once more.
    let generation = trusted.keys.generation();
    let claims = trusted.issuer.verify(token, &trusted.keys.current(), SystemTime::now())?;
    let agent = (trusted.agent)(&claims)
        .ok_or(TokenRefused::Claim { name: "sub", why: "is no agent that is registered here" })?;
    // Without a name of its own it is revoked by what it is made of.
    let id = claims.id.clone().unwrap_or_else(|| hex(&sha256(token.as_bytes())));
    let confirmation = claims.confirmation()?;
    if confirmation.is_none() && trusted.binding == Binding::Required {
        return Err(TokenRefused::Unbound);
    }
    if claims.members().contains_key("act") {
        // Whom its issuer means by an actor is not registered here.
        return Err(TokenRefused::Claim { name: "act", why: "delegates, which only our own tokens may" });
    }
    let mut places = claims.resources();
    places.retain(|place| trusted.issuer.audiences.iter().any(|ours| ours == place.as_str()));
    let limits = Limits { audience: Audience::Exactly(places), scope: claims.scope()?, confirmation };
    let acts_for = Vec::new();
    let speaks = Speaks { agent, acts_for, issuer: claims.issuer, token: id, expires_at: claims.expires_at };
    let bearer = bearer(link, speaks, limits)?;
    Ok(Bearer { vouched: Some((Arc::clone(&trusted.keys), generation)), ..bearer })
}

/// For whom a token speaks.
struct Speaks {
    agent: Registered,
    /// In whose names, the nearest first.
    acts_for: Vec<Registered>,
    issuer: String,
    token: String,
    expires_at: u64,
}

/// What limits a token.
struct Limits {
    audience: Audience,
    scope: Scope,
    confirmation: Option<Confirmation>,
}

fn bearer(link: &Arc<LinkContext>, speaks: Speaks, limits: Limits) -> Result<Bearer, TokenRefused> {
    let Limits { audience, scope, confirmation } = limits;
    let mut all = std::iter::once(&speaks.agent).chain(&speaks.acts_for);
    if !all.all(|agent| agent.id.role() == Some(Role::Agent)) {
        return Err(TokenRefused::Claim { name: "sub", why: "is not the id of an agent" });
    }
    same_agent(link, &speaks.agent.id)?;
    // A registration may have come to give less since the token was issued, and other issuers know nothing of ours.
    let limits =
        std::iter::once(&speaks.agent).chain(&speaks.acts_for).filter_map(|agent| agent.scope.as_ref());
    let scope = limits.fold(scope, |scope, limit| scope.and(limit));
    let key: Option<Arc<str>> = match &confirmation {
        Some(Confirmation::Key(thumbprint)) => jose::decode(thumbprint).map(|digest| hex(&digest).into()),
        _ => None,
    };
    let not_after = SystemTime::UNIX_EPOCH + Duration::from_secs(speaks.expires_at);
    let issuer: Arc<str> = speaks.issuer.into();
    let caller_by = |Registered { id, roles, .. }: Registered, key| {
        let principal = Principal::Bearer { id, issuer: Arc::clone(&issuer), key, not_after };
        caller_of(&Arc::new(principal)).with_roles(roles)
    };
    let acts_for = speaks.acts_for.into_iter().map(|agent| caller_by(agent, None)).collect();
    let caller = caller_by(speaks.agent, key);
    let caller = Caller { token: Some(speaks.token.into()), acts_for, ..caller };
    let context = link.borne_by(caller, scope.clone());
    end_in_time(&context, not_after);
    Ok(Bearer { context, audience, scope, confirmation, vouched: None })
}

/// Whoever proved a certificate speaks for itself alone: two names on one link would leave open which one is revoked.
fn same_agent(link: &LinkContext, id: &SpiffeId) -> Result<(), TokenRefused> {
    match link.caller.principal.as_ref() {
        Principal::Workload { id: proven, .. } if proven != id => Err(TokenRefused::OtherCertificate),
        _ => Ok(()),
    }
}

/// Ends what listens for the bearer when its token does.
fn end_in_time(context: &LinkContext, not_after: SystemTime) {
    let closing = context.closing.clone();
    let left = not_after.duration_since(SystemTime::now()).unwrap_or_default();
    tokio::spawn(async move {
        tokio::select! {
            () = tokio::time::sleep(left) => closing.cancel(),
            () = closing.cancelled() => {}
        }
    });
}
