//! Live links: who is connected, under which posture, and what they do.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use lockgate_audit::Receipt;
use lockgate_crypto::Posture;
use lockgate_identity::Caller;
use lockgate_identity::token::Scope;
use lockgate_identity::token::bind::EXPORTER_BYTES;
use lockgate_live::LinkFacts;
use lockgate_policy::Policies;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::agility::{Fate, Moving};
use crate::bearer::BearersOfLink;
use crate::node::now_ms;

/// What stages 1 to 3 established about one link. Every call on the link refers to it.
pub struct LinkContext {
    /// Number of the link on this node, from 1.
    pub number: u64,
    /// The listener that accepted it.
    pub listener: Arc<str>,
    /// The peer's address, where the link has one.
    pub peer: Option<SocketAddr>,
    /// Our address on this link.
    pub local: Option<SocketAddr>,
    /// What was negotiated; none on a local link without a tunnel.
    pub posture: Option<Arc<Posture>>,
    /// Who is at the other end.
    pub caller: Caller,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Host names that requests on this link may name, lower-case.
    pub hosts: Arc<[String]>,
    /// Origins of web pages that may call, beside those of these hosts.
    pub origins: Arc<[String]>,
    /// Whether calls need an identity.
    pub identity_required: bool,
    /// Whether it carries calls side by side (HTTP/2), and its peer can be asked to leave without losing one.
    pub multiplexes: bool,
    /// Cancelled when the link takes no more calls: its identity has expired, a change of cryptography sends it away, or
    /// the node drains. Calls in flight may finish; streams that only listen end.
    pub closing: CancellationToken,
    /// Cancelled when the link must end at once.
    pub kill: CancellationToken,
    /// Cancelled when the link ends with the answer that is being said: nothing else on it goes on.
    pub(crate) condemned: CancellationToken,
    /// The generation of revocations under which its peer was last found in order, plus one.
    pub(crate) in_order: AtomicU64,
    killed: AtomicBool,
    /// `peer` and the principal as records show them, written out once for all calls of the link.
    pub(crate) shown: Shown,
    /// What those who look on see of it with each call.
    pub(crate) facts: Arc<LinkFacts>,
    /// Time that stage 3 took, in microseconds; none if it was not taken.
    pub(crate) verify_us: OnceLock<u32>,
    /// Whether it may stay under what is in force.
    pub(crate) fate: Arc<Fate>,
    /// What its handshake proved that tokens are bound to; empty on a plain link.
    pub(crate) proofs: OnceLock<Proofs>,
    /// Those who speak on it by a token.
    pub(crate) bearers: BearersOfLink,
    /// What the token reaches to by which the caller speaks; none where no token does.
    pub(crate) scope: Option<Scope>,
    /// Of what stands for the link of this node's own calls: the policies on them, in place of the node's.
    pub(crate) own: Option<Arc<Policies>>,
    calls: Arc<AtomicU64>,
    /// The last call of the link that was recorded: the next record refers to it.
    pub(crate) recorded: Arc<Mutex<Option<Receipt>>>,
    /// Whether its peer follows the notices on it.
    follows: Arc<AtomicBool>,
}

/// What a handshake proved that tokens can be bound to.
#[derive(Clone, Debug)]
pub(crate) struct Proofs {
    /// SHA-256 of the DER of the peer's certificate (RFC 8705, section 3.1).
    pub(crate) certificate_sha256: Option<[u8; 32]>,
    /// What both ends exported from the connection (RFC 9266).
    pub(crate) exporter: Option<[u8; EXPORTER_BYTES]>,
}

/// Facts of a link in the form in which every record of it repeats them.
#[derive(Clone)]
pub(crate) struct Shown {
    pub(crate) principal: String,
    pub(crate) peer: Option<String>,
    pub(crate) quantum_safe: Option<bool>,
}

impl LinkContext {
    fn made(number: u64, link: NewLink) -> Self {
        let shown = Shown {
            principal: link.caller.principal.to_string(),
            peer: link.peer.map(|peer| peer.to_string()),
            quantum_safe: link.posture.as_ref().map(|posture| posture.quantum_safe()),
        };
        let facts = Arc::new(crate::tell::facts(number, &link, &shown));
        Self {
            number,
            listener: link.listener,
            peer: link.peer,
            local: link.local,
            posture: link.posture,
            caller: link.caller,
            since_ms: link.since_ms,
            hosts: link.hosts,
            origins: link.origins,
            identity_required: link.identity_required,
            multiplexes: link.multiplexes,
            closing: CancellationToken::new(),
            kill: CancellationToken::new(),
            condemned: CancellationToken::new(),
            in_order: AtomicU64::new(0),
            killed: AtomicBool::new(false),
            shown,
            facts,
            verify_us: OnceLock::new(),
            fate: Arc::default(),
            proofs: OnceLock::new(),
            bearers: BearersOfLink::default(),
            own: None,
            scope: None,
            calls: Arc::default(),
            recorded: Arc::default(),
            follows: Arc::default(),
        }
    }

    /// What stands for a link in calls that the node makes itself: it is on no list of links, and nothing ends it.
    pub(crate) fn of_node(caller: Caller, policies: Arc<Policies>) -> Arc<Self> {
        let link = NewLink {
            listener: "own".into(),
            peer: None,
            local: None,
            posture: None,
            caller,
            since_ms: now_ms(),
            hosts: Arc::from([]),
            origins: Arc::from([]),
            identity_required: true,
            multiplexes: true,
        };
        Arc::new(Self { own: Some(policies), ..Self::made(0, link) })
    }

    /// Whether both ends are on this machine.
    pub fn is_loopback(&self) -> bool {
        self.peer.is_some_and(|peer| peer.ip().is_loopback())
    }

    /// Whether the proof of the peer's identity has run out. A peer that stays on after that was asked to leave.
    pub fn is_expired(&self) -> bool {
        self.caller.principal.not_after().is_some_and(|not_after| not_after <= SystemTime::now())
    }

    /// When the proof of the peer's identity runs out, in milliseconds since the Unix epoch; none if it does not.
    pub fn expires_at_ms(&self) -> Option<u64> {
        let since = self.caller.principal.not_after()?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        u64::try_from(since.as_millis()).ok()
    }

    /// Whose sessions and conversations with servers the calls on it belong to: those of an agent that acts for somebody are
    /// not its own.
    pub(crate) fn party(&self) -> &str {
        match self.caller.acts_for.is_empty() {
            true => &self.caller.agent,
            false => &self.shown.principal,
        }
    }

    /// Counts one more call.
    pub fn count_call(&self) {
        self.calls.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends the link as soon as the answer that is being said has left.
    pub(crate) fn condemn(&self) {
        self.condemned.cancel();
        self.closing.cancel();
    }

    /// Whether no call on it was killed before.
    pub(crate) fn kill_once(&self) -> bool {
        !self.killed.swap(true, Ordering::SeqCst)
    }

    /// The same link, as the calls of somebody who speaks on it by a token see it. It ends with the link, and earlier if the
    /// token ends: then it takes no more calls, and what listens for this caller ends.
    pub(crate) fn borne_by(&self, caller: Caller, scope: Scope) -> Arc<Self> {
        Arc::new(Self {
            number: self.number,
            listener: self.listener.clone(),
            peer: self.peer,
            local: self.local,
            posture: self.posture.clone(),
            since_ms: self.since_ms,
            hosts: self.hosts.clone(),
            origins: self.origins.clone(),
            identity_required: self.identity_required,
            multiplexes: self.multiplexes,
            closing: self.closing.child_token(),
            kill: self.kill.clone(),
            condemned: self.condemned.clone(),
            in_order: AtomicU64::new(0),
            killed: AtomicBool::new(false),
            shown: Shown { principal: caller.in_full(), ..self.shown.clone() },
            facts: self.facts.clone(),
            verify_us: self.verify_us.clone(),
            fate: self.fate.clone(),
            proofs: self.proofs.clone(),
            bearers: BearersOfLink::default(),
            own: None,
            calls: self.calls.clone(),
            recorded: self.recorded.clone(),
            follows: self.follows.clone(),
            caller,
            scope: Some(scope),
        })
    }

    /// Takes the place of the one stream of notices. Whether it was free.
    pub(crate) fn follow(&self) -> bool {
        !self.follows.swap(true, Ordering::SeqCst)
    }

    pub(crate) fn unfollow(&self) {
        self.follows.store(false, Ordering::SeqCst);
    }

    pub(crate) fn follows(&self) -> bool {
        self.follows.load(Ordering::SeqCst)
    }
}

/// One live link, as `lockgate status` shows it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct LinkView {
    /// Number of the link on this node.
    pub number: u64,
    /// The listener that accepted it.
    pub listener: String,
    /// The peer's address.
    pub peer: Option<String>,
    /// Who is at the other end.
    pub agent: String,
    /// When it was accepted, in milliseconds since the Unix epoch.
    pub since_ms: u64,
    /// Calls that it has carried.
    pub calls: u64,
    /// What was negotiated.
    pub posture: Option<Posture>,
    /// Whether every part of the posture holds against a quantum adversary; none without a tunnel.
    pub quantum_safe: Option<bool>,
    /// The epoch under which it was last found in order.
    #[serde(default)]
    pub epoch: u64,
    /// When the proof of its peer's identity ends, in milliseconds since the Unix epoch; none if it does not.
    #[serde(default)]
    pub expires_at_ms: Option<u64>,
    /// When it is cut because it may not stay, in milliseconds since the Unix epoch; none if it may.
    #[serde(default)]
    pub closes_at_ms: Option<u64>,
}

/// The registry of live links.
#[derive(Default)]
pub struct Links {
    next: AtomicU64,
    live: Mutex<BTreeMap<u64, Arc<LinkContext>>>,
    pub(crate) moving: Moving,
}

/// What a link is made of, before it has a number.
pub struct NewLink {
    /// See [`LinkContext::listener`].
    pub listener: Arc<str>,
    /// See [`LinkContext::peer`].
    pub peer: Option<SocketAddr>,
    /// See [`LinkContext::local`].
    pub local: Option<SocketAddr>,
    /// See [`LinkContext::posture`].
    pub posture: Option<Arc<Posture>>,
    /// See [`LinkContext::caller`].
    pub caller: Caller,
    /// See [`LinkContext::since_ms`].
    pub since_ms: u64,
    /// See [`LinkContext::hosts`].
    pub hosts: Arc<[String]>,
    /// See [`LinkContext::origins`].
    pub origins: Arc<[String]>,
    /// See [`LinkContext::identity_required`].
    pub identity_required: bool,
    /// See [`LinkContext::multiplexes`].
    pub multiplexes: bool,
}

impl Links {
    pub(crate) fn new(moving: Moving) -> Self {
        Self { moving, ..Self::default() }
    }

    /// Enters a link; it is live until the guard is dropped.
    pub fn enter(self: &Arc<Self>, link: NewLink) -> LiveLink {
        let number = self.next.fetch_add(1, Ordering::Relaxed) + 1;
        let context = Arc::new(LinkContext::made(number, link));
        self.live.lock().insert(number, context.clone());
        LiveLink { links: self.clone(), context }
    }

    /// The live links, oldest first.
    pub fn snapshot(&self) -> Vec<LinkView> {
        self.all().iter().map(|link| view(link)).collect()
    }

    pub(crate) fn all(&self) -> Vec<Arc<LinkContext>> {
        self.live.lock().values().cloned().collect()
    }

    /// The live links, and those who speak on them by a token, for whoever looks for somebody.
    pub(crate) fn everybody(&self) -> Vec<Arc<LinkContext>> {
        let links = self.all();
        let bearers: Vec<_> = links.iter().flat_map(|link| link.bearers.all()).collect();
        links.into_iter().chain(bearers).collect()
    }

    pub(crate) fn is_live(&self, number: u64) -> bool {
        self.live.lock().contains_key(&number)
    }

    /// Shows `look` the key exchange group of each live link that has one, and whether the link is quantum-safe.
    pub fn each_posture(&self, mut look: impl FnMut(&str, bool)) {
        // Taken out first: whoever looks must not hold up those who enter.
        for link in self.all() {
            if let Some(group) = &link.facts.group {
                look(group, link.facts.quantum_safe == Some(true));
            }
        }
    }

    /// Ends all links at once.
    pub fn kill_all(&self) {
        for link in self.live.lock().values() {
            link.kill.cancel();
        }
    }

    /// Links live now.
    pub fn len(&self) -> usize {
        self.live.lock().len()
    }

    /// Whether no link is live.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

pub(crate) fn view(link: &LinkContext) -> LinkView {
    LinkView {
        number: link.number,
        listener: link.listener.to_string(),
        peer: link.shown.peer.clone(),
        agent: link.caller.agent.to_string(),
        since_ms: link.since_ms,
        calls: link.calls.load(Ordering::Relaxed),
        quantum_safe: link.shown.quantum_safe,
        posture: link.posture.as_deref().cloned(),
        epoch: link.fate.epoch(),
        expires_at_ms: link.expires_at_ms(),
        closes_at_ms: link.fate.departure().map(|departure| departure.closes_at_ms),
    }
}

/// A live link; dropping it takes it off the registry.
pub struct LiveLink {
    links: Arc<Links>,
    /// The link's facts.
    pub context: Arc<LinkContext>,
}

impl Drop for LiveLink {
    fn drop(&mut self) {
        self.links.live.lock().remove(&self.context.number);
        self.context.fate.end();
        self.links.moving.left(self.context.number, now_ms);
    }
}
