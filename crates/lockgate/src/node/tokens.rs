//! The node as an authorization server: who signs its tokens, whose tokens it takes, and what follows a change of
//! algorithms.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http::StatusCode;
use lockgate_authority::attest::{Algorithms, Attestor, Tokens};
use lockgate_authority::oauth::{Asked, Link, Pace, Parts, TokenEndpoint};
use lockgate_authority::workload::{JwtSvids, TokenSvids};
use lockgate_crypto::{Definition, Nature, Profile, Suite, jose};
use lockgate_identity::SpiffeId;
use lockgate_identity::token::{Resource, TokenIssuer};
use lockgate_proxy::bearer_rules::{Own, Registered, Rules};
use lockgate_proxy::oauth::{Answer, Answering, Oauth, Place, Question};
use serde_json::json;

use super::agility::Compiled;
use super::control::Control;
use super::workload::Office;
use crate::config::TUNNEL;
use crate::diagnostic::Diagnostic;
use crate::state::NodeNote;
use crate::trouble;

mod issuers;

pub(super) use issuers::check;

/// Pause between two looks whether algorithms changed, in seconds: so long a banned one is still accepted in tokens.
const LOOK_S: u64 = 1;
/// Looks between two in which keys may be due for replacement: an hour.
const LOOKS_PER_KEEPING: u64 = 3600;

/// What signs and gives out tokens.
pub(crate) struct TokenService {
    pub(crate) endpoint: TokenEndpoint,
    pub(crate) own: Arc<TokenIssuer>,
    /// Judges tokens of others.
    issuers: Arc<Tokens>,
    /// For SPIFFE clients that verify no post-quantum signatures.
    stock: Option<Arc<TokenIssuer>>,
    pace: Pace,
    /// Where clients find this node: issuer of its tokens, and what their audiences begin with.
    url: String,
}

/// Puts the authorization server together.
pub(super) fn open(control: &Arc<Control>, issuer: &str) -> Result<Arc<TokenService>, Diagnostic> {
    let (in_force, plan) = {
        let changing = control.changing().lock();
        (Arc::clone(&changing.in_force), changing.settings.attest.clone())
    };
    let folder = control.state().authority().join("tokens");
    let own = TokenIssuer::open_or_create(&folder, issuer, suite(&in_force), SystemTime::now())
        .map_err(|error| trouble::identity(&error, &folder))?;
    let own = Arc::new(own);
    let stock = stock_suite(&in_force)
        .and_then(|suite| TokenIssuer::generate(issuer, &suite, SystemTime::now()).ok())
        .map(Arc::new);
    let proofs = algorithms(control);
    let mut dialled = Vec::new();
    let trusted = issuers::trusted(&plan.tokens, &in_force, &mut dialled, &|_| None)?;
    control.changing().lock().dialled.extend(dialled);
    issuers::warn(&plan.tokens);
    let issuers = Arc::new(Tokens::new(trusted, Arc::clone(&proofs)));
    let unusable = |error: lockgate_identity::token::TokenRefused| {
        Diagnostic::new("LG-X001", format!("{issuer} cannot be an issuer of tokens")).because(&error)
    };
    let endpoint = TokenEndpoint::new(Parts {
        issuer: Arc::clone(&own),
        resource: Resource::parse(issuer).map_err(unusable)?,
        attestor: Arc::clone(&issuers) as Arc<dyn Attestor>,
        registrations: plan.registrations,
        known: control.registrar().known().clone(),
        issuance: Office::of(control),
        proofs,
    });
    let endpoint = endpoint.map_err(unusable)?;
    let (pace, url) = (Pace::default(), issuer.to_owned());
    Ok(Arc::new(TokenService { endpoint, own, issuers, stock, pace, url }))
}

impl TokenService {
    /// Signs JWT-SVIDs for the Workload API.
    pub(super) fn svids(&self, trust_domain: &str) -> Arc<dyn JwtSvids> {
        Arc::new(TokenSvids::new(trust_domain, Arc::clone(&self.own), self.stock.clone()))
    }

    async fn token(&self, asked: Asked, peer: Option<std::net::IpAddr>) -> Answer {
        if !self.pace.admits(peer) {
            let body = json!({ "error": "temporarily_unavailable", "error_description": "too many requests in this minute" });
            return Answer { status: StatusCode::TOO_MANY_REQUESTS, body };
        }
        match self.endpoint.token(&asked).await {
            Ok(granted) => Answer { status: StatusCode::OK, body: granted.to_json() },
            Err(denied) => answer(&denied),
        }
    }
}

fn answer(denied: &lockgate_authority::oauth::Denied) -> Answer {
    let status = StatusCode::from_u16(denied.status).unwrap_or(StatusCode::BAD_REQUEST);
    Answer { status, body: denied.to_json() }
}

impl Oauth for TokenService {
    fn answer(&self, question: Question) -> Answering<'_> {
        Box::pin(async move {
            let Question { place, body, proof, certificate, peer } = question;
            let (id, certificate_sha256) = certificate.unzip();
            let asked = Asked { body, proof, link: Link { id, certificate_sha256 } };
            match place {
                Place::Metadata => Answer { status: StatusCode::OK, body: self.endpoint.metadata() },
                Place::Keys => {
                    let keys = serde_json::from_str(&self.endpoint.jwks());
                    Answer { status: StatusCode::OK, body: keys.expect("our own keys are JSON") }
                }
                Place::Token => self.token(asked, peer).await,
                Place::Revocation => match self.endpoint.revoke(&asked).await {
                    Ok(()) => Answer { status: StatusCode::OK, body: json!({}) },
                    Err(denied) => answer(&denied),
                },
            }
        })
    }
}

/// Has the node take the tokens that it issues, and those of the issuers that the configuration names. What was verified
/// before is verified again.
///
/// # Errors
/// An issuer that is no URL.
pub(super) fn take(control: &Control, service: &Arc<TokenService>) -> Result<(), Diagnostic> {
    let base = Resource::parse(&service.url).map_err(|error| {
        Diagnostic::new("LG-X001", format!("{} cannot be an audience of tokens", service.url)).because(&error)
    })?;
    let (conditions, settings) = {
        let changing = control.changing().lock();
        (changing.in_force.conditions.clone(), changing.settings.clone())
    };
    let known = control.registrar().known().clone();
    let registered = move |id: &SpiffeId| {
        let (roles, scope) = (known.roles(id.as_str()), known.scope(id.as_str()));
        Registered { id: id.clone(), roles, scope }
    };
    let own = Own { issuer: Arc::clone(&service.own), registered: Box::new(registered) };
    let proof_algorithms = jose::proof_algorithms(&conditions);
    let foreign = issuers::accepted(service, &settings, &base, &proof_algorithms);
    // A client without evidence of its own can get nothing from us: those who log people in stand first.
    let servers = foreign.iter().map(|trusted| trusted.issuer.issuer.clone());
    let authorization_servers = servers.chain([service.url.clone()]).collect();
    control.node().take_tokens(Some(Rules {
        base,
        authorization_servers,
        own: Some(own),
        foreign,
        proof_algorithms,
        nonce_required: false,
        scopes: settings.scopes.clone(),
    }));
    Ok(())
}

impl Control {
    /// Has the node take tokens by what is registered and trusted now, and tells other processes whom it trusts.
    ///
    /// # Errors
    /// As [`take`], and a note that cannot be written.
    pub(super) fn take_tokens_anew(&self) -> Result<(), Diagnostic> {
        if let Some(service) = self.registrar().tokens() {
            take(self, service)?;
        }
        match self.state().note()? {
            Some(note) => {
                self.state().write_note(&NodeNote { issuers: super::workload::issuers(self), ..note })
            }
            None => Ok(()),
        }
    }
}

/// Lets the keys follow the algorithms in force, and their own age, until the node drains.
pub(super) async fn keep(control: Arc<Control>) {
    let draining = control.node().draining.clone();
    let (mut epoch, mut looks) = (control.node().epoch(), 0);
    loop {
        tokio::select! {
            () = tokio::time::sleep(Duration::from_secs(LOOK_S)) => {}
            () = draining.cancelled() => return,
        }
        looks += 1;
        if control.node().epoch() == epoch && looks % LOOKS_PER_KEEPING != 0 {
            continue;
        }
        epoch = control.node().epoch();
        let following = Arc::clone(&control);
        let followed = tokio::task::spawn_blocking(move || follow(&following)).await;
        followed.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()));
    }
}

fn follow(control: &Control) {
    let Some(service) = control.registrar().tokens() else { return };
    let in_force = Arc::clone(&control.changing().lock().in_force);
    let now = SystemTime::now();
    let mut followed = vec![service.own.follow(suite(&in_force), now)];
    if let (Some(stock), Some(suite)) = (&service.stock, stock_suite(&in_force)) {
        followed.push(stock.follow(&suite, now));
    }
    for error in followed.into_iter().filter_map(Result::err) {
        tracing::error!(%error, "the keys for tokens cannot follow the algorithms in force");
    }
    // Proofs of possession follow, too.
    if let Err(error) = take(control, service) {
        tracing::error!(%error, "tokens are taken by the rules of before");
    }
}

/// What tokens are signed by: what tunnels permit.
fn suite(in_force: &Compiled) -> &Suite {
    in_force.accepted_by(TUNNEL).expect("every node has a tunnel listener")
}

/// The traditional signatures that some listener permits, if there are any.
fn stock_suite(in_force: &Compiled) -> Option<Suite> {
    let suites = || in_force.wanted.listeners.iter().filter_map(|place| in_force.accepted_by(&place.name));
    let mut signatures: Vec<String> = Vec::new();
    for row in suites().flat_map(|suite| suite.signatures().iter()) {
        if row.nature == Nature::Traditional && !signatures.iter().any(|id| id == row.id) {
            signatures.push(row.id.to_owned());
        }
    }
    let names =
        |rows: &[&'static lockgate_crypto::Algorithm]| rows.iter().map(|row| row.id.to_owned()).collect();
    let any = suites().next()?;
    let definition = Definition {
        name: "stock-tokens@20261122".to_owned(),
        purpose: "JWT-SVIDs for clients without post-quantum code".to_owned(),
        groups: names(any.groups()),
        signatures,
        ciphers: names(any.ciphers()),
        ..Definition::default()
    };
    Profile::define(definition).ok()?.compile_under(&in_force.conditions).ok()
}

/// What proofs and tokens of others may be signed with now.
fn algorithms(control: &Arc<Control>) -> Algorithms {
    let control = Arc::downgrade(control);
    Arc::new(move || {
        let conditions =
            control.upgrade().map(|control| control.changing().lock().in_force.conditions.clone());
        conditions.map_or_else(Vec::new, |conditions| jose::proof_algorithms(&conditions))
    })
}
