//! Other issuers: how they are asked for their keys, and which of their access tokens the node takes itself.

use std::pin::Pin;
use std::sync::Arc;

use lockgate_authority::attest::{Judge, KeySource, Keys, Outside, Review, Trusted};
use lockgate_authority::{Kind, Selector};
use lockgate_crypto::Algorithm;
use lockgate_identity::token::{ForeignClaims, ForeignIssuer, KeyCache, Resource};
use lockgate_identity::verifier::ForeignRoots;
use lockgate_proxy::bearer_rules::{self, Binding, Registered};
use lockgate_transport::{Dialer, Trust, dialer};

use super::super::agility::{Compiled, Dialled};
use super::super::control::Control;
use super::TokenService;
use crate::config::{Access, ISSUER_PLACE, KeySource as KeyPlan, Settings, TokenPlan, TokenSource};
use crate::diagnostic::Diagnostic;
use crate::trouble;

/// The issuers of a configuration; `known` gives what is there already, with the keys that were fetched.
///
/// # Errors
/// A file of roots that cannot be used.
pub(super) fn trusted(
    plans: &[TokenPlan],
    in_force: &Compiled,
    dialled: &mut Vec<Dialled>,
    known: &dyn Fn(&TokenPlan) -> Option<Arc<Trusted>>,
) -> Result<Vec<Arc<Trusted>>, Diagnostic> {
    let mut all = Vec::new();
    for plan in plans {
        all.push(match known(plan) {
            Some(known) => known,
            None => Arc::new(one(plan, in_force, dialled)?),
        });
    }
    Ok(all)
}

fn one(plan: &TokenPlan, in_force: &Compiled, dialled: &mut Vec<Dialled>) -> Result<Trusted, Diagnostic> {
    let mut outside = || outside(plan, in_force, dialled);
    let judge = match &plan.source {
        TokenSource::Oidc { issuer, claims, keys } => {
            let source = match keys {
                Some(keys) => key_source(keys, &mut outside)?,
                None => KeySource::Discovery(outside()?, issuer.clone()),
            };
            Judge::Oidc(Keys::new(Kind::Oidc, source), claims.clone())
        }
        TokenSource::Cluster { keys, .. } => {
            Judge::Cluster(Keys::new(Kind::Kubernetes, key_source(keys, &mut outside)?))
        }
        TokenSource::Review { api, token, .. } => {
            let review = Review::new(outside()?, api, token.clone());
            Judge::Review(review.map_err(|error| unusable(plan, &error))?)
        }
        TokenSource::Spiffe { trust_domain, socket, .. } => {
            let source = KeySource::Workload(socket.clone(), trust_domain.clone());
            Judge::Spiffe(Keys::new(Kind::Spiffe, source), trust_domain.clone())
        }
    };
    Ok(Trusted { issuer: plan.name(), audience: plan.audience.clone(), judge })
}

fn key_source(
    plan: &KeyPlan,
    outside: &mut dyn FnMut() -> Result<Outside, Diagnostic>,
) -> Result<KeySource, Diagnostic> {
    Ok(match plan {
        KeyPlan::File(path) => KeySource::File(path.clone()),
        KeyPlan::Url(uri) => KeySource::Url(outside()?, uri.clone()),
    })
}

/// How an issuer is asked: under its profile, by the roots that the configuration names. What is dialled follows the
/// algorithms in force.
fn outside(plan: &TokenPlan, in_force: &Compiled, dialled: &mut Vec<Dialled>) -> Result<Outside, Diagnostic> {
    let Some(suite) = in_force.upstream(&plan.place()) else {
        // Nothing of it is asked over TLS; what it names over there by https is not asked then, either.
        return Ok(Outside::plain());
    };
    let roots = roots(plan)?;
    let dialer = Dialer::new(suite.clone(), None, Trust::foreign(&roots), dialer::Limits::default());
    let dialer = Arc::new(dialer.map_err(|error| trouble::tls(&error))?);
    dialled.push(Dialled { name: plan.place(), dialer: Arc::clone(&dialer), roots });
    Ok(Outside::new(dialer))
}

fn roots(plan: &TokenPlan) -> Result<ForeignRoots, Diagnostic> {
    let roots = match &plan.roots {
        Some(path) => ForeignRoots::from_pem_file(path),
        None => ForeignRoots::system(),
    };
    roots.map_err(|error| {
        Diagnostic::new("LG-C009", format!("no roots for the issuer {}", plan.name()))
            .because(&error)
            .hint("name a PEM file with its authority: roots = \"FILE\" in its [[attest]]")
    })
}

fn unusable(plan: &TokenPlan, error: &(dyn std::error::Error + 'static)) -> Diagnostic {
    Diagnostic::new("LG-C021", format!("the issuer {} cannot be used", plan.name())).because(error)
}

/// Finds what could fail when the issuers of other settings are put in force.
///
/// # Errors
/// A file of roots that cannot be used.
pub(in super::super) fn check(settings: &Settings) -> Result<(), Diagnostic> {
    let mut https = settings.attest.tokens.iter().filter(|plan| plan.profile().is_some());
    https.try_for_each(|plan| roots(plan).map(drop))
}

/// Says aloud what gives an attacker more than a key would.
pub(super) fn warn(plans: &[TokenPlan]) {
    for plan in plans.iter().filter(|plan| plan.access == Some(Access::Unbound)) {
        tracing::warn!(
            issuer = %plan.name(),
            "access tokens of this issuer are taken even if they are bound to nothing: whoever sees one, in a log or on its \
             way, can use it until it ends; have it bind them (DPoP) and write access = \"bound\""
        );
    }
}

/// The issuers whose access tokens are taken, each for exactly the servers of this node.
pub(super) fn accepted(
    service: &Arc<TokenService>,
    settings: &Settings,
    base: &Resource,
    algorithms: &[&'static Algorithm],
) -> Vec<bearer_rules::Trusted> {
    let paths = settings.servers.iter().map(|server| format!("/servers/{}/mcp", server.name));
    let paths = std::iter::once("/mcp".to_owned()).chain(paths);
    let resources: Vec<Resource> =
        paths.filter_map(|path| Resource::parse(&format!("{base}{path}")).ok()).collect();
    let mut accepted = Vec::new();
    for plan in &settings.attest.tokens {
        let Some(access) = plan.access else { continue };
        let Some(trusted) = service.issuers.issuer(&plan.name()) else { continue };
        let Some(keys) = trusted.judge.keys().cloned() else { continue };
        let service = Arc::downgrade(service);
        accepted.push(bearer_rules::Trusted {
            issuer: ForeignIssuer::of_access_tokens(&plan.name(), &resources, algorithms.to_vec()),
            keys: Arc::new(Fetched(keys)),
            agent: Box::new(move |claims| registered(&*service.upgrade()?, &trusted, claims)),
            binding: match access {
                Access::Bound => Binding::Required,
                Access::Unbound => Binding::Waived,
            },
        });
    }
    accepted
}

/// The agent that a verified token speaks for, by the first registration that covers what the token says.
fn registered(service: &TokenService, trusted: &Trusted, claims: &ForeignClaims) -> Option<Registered> {
    let attested = match trusted.judge.read(claims) {
        Ok(attested) => attested,
        Err(error) => {
            tracing::info!(target: "lockgate::bind", %error, "an access token says nothing that can be registered");
            return None;
        }
    };
    let registrations = service.endpoint.registrations();
    let found = registrations.first(&attested.selectors);
    if found.is_none() {
        let proven: Vec<&str> = attested.selectors.iter().map(Selector::as_str).collect();
        let proven = proven.join(", ");
        tracing::info!(target: "lockgate::bind", %proven, "no [[register]] covers the subject of an access token");
    }
    found.map(|found| Registered {
        id: found.id.clone(),
        roles: found.roles.as_slice().into(),
        scope: found.scope.clone(),
    })
}

/// Keys that the authority fetches.
struct Fetched(Arc<Keys>);

impl bearer_rules::Keys for Fetched {
    fn current(&self) -> Arc<KeyCache> {
        self.0.current()
    }

    fn generation(&self) -> u64 {
        self.0.generation()
    }

    fn refetch<'a>(&'a self) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(self.0.refetch())
    }
}

impl Control {
    /// Puts the issuers of the settings in force; of those that did not change the keys are kept. Says what changed. The
    /// algorithms of their connections are in force already.
    ///
    /// # Errors
    /// As [`trusted`]; the old ones stay.
    pub(in super::super) fn renew_issuers(
        &self,
        old: &[TokenPlan],
        new: &Settings,
    ) -> Result<Option<String>, Diagnostic> {
        let plans = &new.attest.tokens;
        let Some(service) = self.registrar().tokens().filter(|_| old != plans) else { return Ok(None) };
        let same = |plan: &TokenPlan| old.iter().any(|before| before.is_asked_like(plan));
        let mut changing = self.changing().lock();
        let in_force = Arc::clone(&changing.in_force);
        let mut dialled = changing.dialled.clone();
        dialled.retain(|dialled| {
            !dialled.name.starts_with(ISSUER_PLACE)
                || plans.iter().any(|plan| plan.place() == dialled.name && same(plan))
        });
        let known = |plan: &TokenPlan| service.issuers.issuer(&plan.name()).filter(|_| same(plan));
        let trusted = trusted(plans, &in_force, &mut dialled, &known)?;
        changing.dialled = dialled;
        drop(changing);
        service.issuers.replace(trusted);
        warn(plans);
        Ok(Some(format!("{} issuers of tokens", plans.len())))
    }
}
