//! Stage 5 for those who speak by a token: link and token become the caller.
//!
//! A token is taken only with what it is bound to: the certificate of the link, a proof of a key with each request
//! (RFC 9449), or the connection itself, to which it was bound once (`POST /.well-known/lockgate/bind`). It is never passed
//! on: `upstream::headers` withholds it from servers. The calls of a bearer see the link through a [`LinkContext`] of their
//! own, whose caller is the bearer; so sessions, policy, records and revocations speak of the same one.

mod verified;

use std::sync::{Arc, Weak};
use std::time::SystemTime;

use http::{HeaderMap, Method, header};
use lockgate_crypto::digest::sha256;
use lockgate_identity::token::bind as binding;
use lockgate_identity::token::dpop::{self, Proofs, Request};
use lockgate_identity::token::{Confirmation, Held, Resource, Scope, TokenRefused};
use lockgate_mcp::Message;
use parking_lot::Mutex;

use crate::bearer_rules::{Bearers, Keys};
use crate::decode::Inbound;
use crate::link::LinkContext;
use crate::node::Node;
use crate::refusal::Refusal;
use verified::verified;

/// Tokens of one link that are remembered as verified: a client has one, and the next when it renews.
const BEARERS_PER_LINK_MAX: usize = 4;

/// Who speaks on a link by a token.
#[derive(Default)]
pub(crate) struct BearersOfLink(Mutex<Remembered>);

#[derive(Default)]
struct Remembered {
    /// Verified before, the latest last: SHA-256 of the token, and the generation of the rules.
    verified: Vec<([u8; 32], u64, Arc<Bearer>)>,
    /// Bound to the connection, under which rules.
    bound: Option<(u64, Arc<Bearer>)>,
    /// All that were ever made and are still in use by a call.
    everybody: Vec<Weak<LinkContext>>,
}

/// A token that was verified, and the link as its bearer sees it.
pub(crate) struct Bearer {
    context: Arc<LinkContext>,
    audience: Audience,
    scope: Scope,
    /// What has to be met with each request; none if it is bound to nothing.
    confirmation: Option<Confirmation>,
    /// The keys of another issuer that it was verified with, and their generation.
    vouched: Option<(Arc<dyn Keys>, u64)>,
}

/// What a token is for.
enum Audience {
    /// One of our own: for a place and all that lies beneath it.
    Beneath(Resource),
    /// One of another issuer: for exactly these (RFC 8707), since what it means by a part of this node is not known.
    Exactly(Vec<Resource>),
}

impl Audience {
    fn covers(&self, wanted: &Resource) -> bool {
        match self {
            Self::Beneath(place) => place.contains(wanted),
            Self::Exactly(places) => places.contains(wanted),
        }
    }

    fn shown(&self) -> String {
        match self {
            Self::Beneath(place) => place.to_string(),
            Self::Exactly(places) => places.iter().map(Resource::as_str).collect::<Vec<_>>().join(" "),
        }
    }
}

impl BearersOfLink {
    /// The contexts of all bearers who may still do something.
    pub(crate) fn all(&self) -> Vec<Arc<LinkContext>> {
        self.0.lock().everybody.iter().filter_map(Weak::upgrade).collect()
    }

    fn find(&self, token: &[u8; 32], generation: u64) -> Option<Arc<Bearer>> {
        let remembered = self.0.lock();
        let mut found = remembered.verified.iter();
        found
            .find(|(hash, under, bearer)| hash == token && *under == generation && bearer.is_vouched())
            .map(|(.., bearer)| bearer.clone())
    }

    fn remember(&self, token: [u8; 32], generation: u64, bearer: &Arc<Bearer>) {
        let mut remembered = self.0.lock();
        remembered.verified.retain(|(known, ..)| *known != token);
        if remembered.verified.len() >= BEARERS_PER_LINK_MAX {
            remembered.verified.remove(0);
        }
        remembered.verified.push((token, generation, bearer.clone()));
        remembered.note(bearer);
    }

    fn bind(&self, generation: u64, bearer: &Arc<Bearer>) {
        let mut remembered = self.0.lock();
        remembered.bound = Some((generation, bearer.clone()));
        remembered.note(bearer);
    }

    /// Who is bound to the connection.
    ///
    /// # Errors
    /// [`TokenRefused::NoProof`] if that was under other rules: then it is bound again, or not.
    fn bound(&self, generation: u64) -> Result<Option<Arc<Bearer>>, TokenRefused> {
        match &self.0.lock().bound {
            Some((under, bearer)) if *under != generation || !bearer.is_vouched() => {
                Err(TokenRefused::NoProof)
            }
            bound => Ok(bound.as_ref().map(|(_, bearer)| bearer.clone())),
        }
    }
}

impl Remembered {
    fn note(&mut self, bearer: &Arc<Bearer>) {
        self.everybody.retain(|context| context.strong_count() > 0);
        self.everybody.push(Arc::downgrade(&bearer.context));
    }
}

/// What of a request stage 5 looks at.
#[derive(Clone, Copy)]
pub(crate) struct Head<'r> {
    pub(crate) method: &'r Method,
    pub(crate) path: &'r str,
    pub(crate) headers: &'r HeaderMap,
}

/// How a token came.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Scheme {
    Bearer,
    Dpop,
}

impl Scheme {
    fn name(self) -> &'static str {
        match self {
            Self::Bearer => "Bearer",
            Self::Dpop => "DPoP",
        }
    }
}

/// The link as the caller of this request sees it: the link itself where no token speaks.
///
/// # Errors
/// [`Refusal::Token`].
pub(crate) async fn bind(
    bearers: Option<&Bearers>,
    link: &Arc<LinkContext>,
    head: Head<'_>,
) -> Result<Arc<LinkContext>, Refusal> {
    let Some(bearers) = bearers else { return Ok(link.clone()) };
    // What is served nowhere needs no caller: stage 4 says so.
    let Some(resource) = bearers.resource(head.path) else { return Ok(link.clone()) };
    let bound = try_bind(bearers, link, head, &resource).await;
    bound.map_err(|refused| bearers.challenge(head.path, refused))
}

async fn try_bind(
    bearers: &Bearers,
    link: &Arc<LinkContext>,
    head: Head<'_>,
    resource: &Resource,
) -> Result<Arc<LinkContext>, TokenRefused> {
    let Some((scheme, token)) = shown(head.headers)? else {
        let Some(bearer) = link.bearers.bound(bearers.generation)? else { return Ok(link.clone()) };
        bearer.may(bearers, head.path, resource)?;
        return Ok(bearer.context.clone());
    };
    let hash = sha256(token.as_bytes());
    let bearer = match link.bearers.find(&hash, bearers.generation) {
        Some(bearer) => bearer,
        None => {
            let bearer = Arc::new(verified(bearers, link, token).await?);
            link.bearers.remember(hash, bearers.generation, &bearer);
            bearer
        }
    };
    // The token first: proofs are remembered, and only who has a token may take up that room.
    bearer.may(bearers, head.path, resource)?;
    let held = held(bearers, link, head, (scheme, token), resource)?;
    match &bearer.confirmation {
        None if scheme == Scheme::Dpop => {
            return Err(TokenRefused::Scheme { wanted: Scheme::Bearer.name(), found: scheme.name() });
        }
        // Its issuer may give out such tokens, or it would not have been verified.
        None => {}
        Some(confirmation) => {
            let wanted = match confirmation {
                Confirmation::Key(_) => Scheme::Dpop,
                Confirmation::Certificate(_) | Confirmation::Connection(_) => Scheme::Bearer,
            };
            if wanted != scheme {
                return Err(TokenRefused::Scheme { wanted: wanted.name(), found: scheme.name() });
            }
            confirmation.check(&held)?;
        }
    }
    Ok(bearer.context.clone())
}

impl Bearer {
    /// Whether the keys that it was verified with are those that are trusted now.
    fn is_vouched(&self) -> bool {
        self.vouched.as_ref().is_none_or(|(keys, generation)| keys.generation() == *generation)
    }

    /// Whether the token is still good, and for this.
    fn may(&self, bearers: &Bearers, path: &str, resource: &Resource) -> Result<(), TokenRefused> {
        if self.context.is_expired() {
            let exp = self.context.caller.principal.not_after().map_or(0, unix_seconds);
            return Err(TokenRefused::Expired { exp, ago_s: unix_seconds(SystemTime::now()) - exp });
        }
        if !self.audience.covers(resource) {
            let found = self.audience.shown();
            return Err(TokenRefused::Audience { wanted: resource.to_string(), found });
        }
        let needed = bearers.scope(path);
        self.scope.covers(&needed).map_err(|_| bearers.rules.scopes.wanting(&self.scope, &needed))
    }
}

/// Whether the token that speaks on `link`, if one does, reaches to `message`. `server` is where it goes; none for all of
/// them together.
///
/// # Errors
/// [`Refusal::Token`].
pub(crate) fn reaches(
    node: &Node,
    link: &LinkContext,
    inbound: &Inbound,
    server: Option<&str>,
    message: &Message,
) -> Result<(), Refusal> {
    let (Some(scope), Some(bearers)) = (&link.scope, node.bearers()) else { return Ok(()) };
    let reached = bearers.rules.scopes.check(scope, server, message);
    reached.map_err(|refused| bearers.challenge(&inbound.path, refused))
}

/// The token in `Authorization`, if there is one. There is one such header, with one scheme and one token.
fn shown(headers: &HeaderMap) -> Result<Option<(Scheme, &str)>, TokenRefused> {
    let refused =
        |why: &str| TokenRefused::Malformed { part: "the Authorization header", why: why.to_owned() };
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(refused("there is more than one"));
    }
    let text = value.to_str().map_err(|_| refused("it is not plain text"))?;
    let (scheme, token) = text.split_once(' ').ok_or_else(|| refused("it has no token"))?;
    let scheme =
        [Scheme::Bearer, Scheme::Dpop].into_iter().find(|known| known.name().eq_ignore_ascii_case(scheme));
    let scheme = scheme.ok_or_else(|| refused("its scheme is neither Bearer nor DPoP"))?;
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~+/=".contains(&b);
    if token.is_empty() || !token.bytes().all(plain) {
        return Err(refused("its token has characters that no token has"));
    }
    Ok(Some((scheme, token)))
}

/// What is proven about the link, and by a proof in this request.
fn held(
    bearers: &Bearers,
    link: &LinkContext,
    head: Head<'_>,
    (scheme, token): (Scheme, &str),
    target: &Resource,
) -> Result<Held, TokenRefused> {
    let key = match (scheme, proof(head.headers)?) {
        (Scheme::Bearer, None) => None,
        (Scheme::Bearer, Some(_)) => {
            return Err(TokenRefused::Scheme { wanted: Scheme::Dpop.name(), found: scheme.name() });
        }
        (Scheme::Dpop, None) => return Err(TokenRefused::NoProof),
        (Scheme::Dpop, Some(proof)) => {
            let request = Request { method: head.method.as_str(), target, token: Some(token) };
            let rules = &bearers.rules;
            let nonces = rules.nonce_required.then_some(&*bearers.nonces);
            let proofs = Proofs { algorithms: &rules.proof_algorithms, replays: &bearers.replays, nonces };
            Some(dpop::verify(proof, request, proofs, SystemTime::now())?)
        }
    };
    Ok(Held { key, ..held_by_link(link) })
}

fn held_by_link(link: &LinkContext) -> Held {
    let proofs = link.proofs.get();
    Held {
        // Staying on does not prove what the handshake proved.
        certificate_sha256: proofs
            .and_then(|proofs| proofs.certificate_sha256)
            .filter(|_| !link.is_expired()),
        key: None,
        connection_sha256: proofs.and_then(|proofs| proofs.exporter).map(|exporter| sha256(&exporter)),
    }
}

/// The one proof in `DPoP` (RFC 9449 section 4.3).
fn proof(headers: &HeaderMap) -> Result<Option<&str>, TokenRefused> {
    let mut values = headers.get_all("dpop").iter();
    match (values.next().map(|value| value.to_str()), values.next()) {
        (None, _) => Ok(None),
        (Some(Ok(proof)), None) => Ok(Some(proof)),
        _ => Err(TokenRefused::ProofMismatch { what: "the number of DPoP headers" }),
    }
}

/// Binds a token to this connection: from now on its calls need no token. Answers who speaks, and until when in
/// milliseconds since the Unix epoch.
///
/// # Errors
/// [`TokenRefused`].
pub(crate) async fn bind_connection(
    bearers: &Bearers,
    link: &Arc<LinkContext>,
    token: &str,
    proof: Option<&str>,
) -> Result<(String, u64), TokenRefused> {
    let bearer = verified(bearers, link, token).await?;
    let held = match proof {
        None => held_by_link(link),
        Some(proof) => {
            let exporter = link.proofs.get().and_then(|proofs| proofs.exporter);
            let exporter = exporter.ok_or(TokenRefused::OtherConnection)?;
            let (audience, algorithms) = (&bearers.rules.base, &bearers.rules.proof_algorithms);
            let binding =
                binding::Binding { exporter: &exporter, audience, algorithms, replays: &bearers.replays };
            let proven = binding::verify(proof, token, binding, SystemTime::now())?;
            Held { key: proven.key, ..held_by_link(link) }
        }
    };
    bearer.confirmation.as_ref().ok_or(TokenRefused::Unbound)?.check(&held)?;
    let until_ms = bearer.context.caller.principal.not_after().map_or(0, unix_seconds) * 1000;
    let agent = bearer.context.caller.agent.clone();
    link.bearers.bind(bearers.generation, &Arc::new(bearer));
    Ok((agent, until_ms))
}

fn unix_seconds(moment: SystemTime) -> u64 {
    moment.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
