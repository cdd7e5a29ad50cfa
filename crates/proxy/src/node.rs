//! A node: what serves links and calls, and what `lockgate status` shows of it.

mod server;
mod view;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use arc_swap::{ArcSwap, ArcSwapOption};
use lockgate_audit::Log;
use lockgate_detect::links::LinkWatch;
use lockgate_detect::{Detector, Pin};
use lockgate_identity::Revocations;
use lockgate_live::Feed;
use lockgate_mcp::Message;
use lockgate_policy::Policies;
use lockgate_privacy::Describer;
use lockgate_store::Store;
use tokio::sync::{Notify, Semaphore, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::agility::continuity::Keeper;
use crate::agility::{Agility, Moving};
use crate::approvals::Approvals;
use crate::bearer_rules::{Bearers, Rules};
use crate::decode::Target;
use crate::facts::Facts;
use crate::gather;
use crate::limits::Limits;
use crate::link::Links;
use crate::metrics::Metrics;
use crate::refusal::Refusal;
use crate::session::Sessions;
use crate::tasks::Tasks;
use crate::trace::Tracing;
use crate::upstream::Transport;
use crate::wellknown::{Counter, Enrolment};

pub use server::Server;
pub use view::{NodeView, ServerView, UpstreamLinkView};

/// The part of the store that holds pinned tool definitions.
pub const PINS: &str = "pins";

/// The part of the store that holds what peers are held to because they were seen at it.
pub const COMMITMENTS: &str = "commitments";

/// How often sessions and children are looked over, in seconds.
const HOUSEKEEPING_S: u64 = 30;

/// What a node is made of.
pub struct Parts {
    /// The servers behind it.
    pub servers: Vec<Server>,
    /// The policies in force.
    pub policies: Policies,
    /// Detection, with the pins known so far.
    pub detector: Detector,
    /// The watch over links, with what peers are held to so far.
    pub link_watch: LinkWatch,
    /// The audit log.
    pub audit: Arc<Log>,
    /// Shared state.
    pub store: Store,
    /// The authority's side of enrolment.
    pub enrolment: Arc<dyn Enrolment>,
    /// Who may not be let in any more; shared with whoever issues certificates and tokens.
    pub revocations: Arc<Revocations>,
    /// Calls that wait for a person.
    pub approvals: Approvals,
    /// Tasks that calls have become.
    pub tasks: Tasks,
    /// Who finds facts out.
    pub facts: Arc<dyn Facts>,
    /// What goes into records of what is said in calls.
    pub describer: Describer,
    /// Bounds.
    pub limits: Arc<Limits>,
    /// Methods whose records are synced to disk before the answer leaves.
    pub durable: Vec<String>,
}

/// A node.
pub struct Node {
    servers: BTreeMap<String, Arc<Server>>,
    /// The policies in force; a reload swaps them.
    pub policies: ArcSwap<Policies>,
    /// Detection.
    pub detector: Detector,
    /// The audit log.
    pub audit: Arc<Log>,
    /// Legacy sessions.
    pub sessions: Sessions,
    /// Live links.
    pub links: Arc<Links>,
    /// Who may not be let in any more.
    pub revocations: Arc<Revocations>,
    /// Calls that wait for a person.
    pub approvals: Arc<Approvals>,
    /// Told when detection has come to trust another definition, so that policies can be read against it.
    pub definitions_changed: Notify,
    /// Counts the sets of policies that were put in force.
    pub(crate) policy_changes: watch::Sender<u64>,
    describer: ArcSwap<Describer>,
    /// Tasks that calls have become, and what is taken from their results.
    pub(crate) begun: Tasks,
    facts: ArcSwap<Arc<dyn Facts>>,
    /// Figures.
    pub metrics: Metrics,
    /// What those who look on get to see.
    pub live: Feed,
    /// Which calls are traced.
    pub tracing: Tracing,
    /// Bounds.
    pub limits: Arc<Limits>,
    /// The authority's side of enrolment.
    pub enrolment: Arc<dyn Enrolment>,
    /// Cancelled when the node takes no more links and calls.
    pub draining: CancellationToken,
    /// The tasks that serve links.
    pub tasks: TaskTracker,
    /// Cosigns logs of other nodes, where the configuration names any.
    pub witness: crate::witness::Place,
    /// Places for those who enrol or renew.
    pub(crate) enrolments: Counter,
    /// Places for those who ask for tokens.
    pub(crate) tokens_asked: Semaphore,
    /// What is in force for links, and what follows from it.
    pub(crate) agility: Agility,
    /// Whose tokens are taken; none if no token is.
    bearers: ArcSwapOption<Bearers>,
    pub(crate) store: Store,
    durable: Vec<String>,
    since_ms: u64,
}

impl Node {
    /// Puts a node together.
    pub fn new(parts: Parts) -> Arc<Self> {
        let limits = parts.limits;
        let metrics = Metrics::default();
        let keeper = Keeper::new(parts.link_watch, parts.store.clone());
        Arc::new(Self {
            servers: parts.servers.into_iter().map(|s| (s.id.clone(), Arc::new(s))).collect(),
            policies: ArcSwap::from_pointee(parts.policies),
            detector: parts.detector,
            audit: parts.audit,
            sessions: Sessions::new(limits.sessions_max, limits.owed_results_max),
            links: Arc::new(Links::new(Moving::new(metrics.moves.clone()))),
            metrics,
            live: Feed::default(),
            tracing: Tracing::default(),
            limits,
            enrolment: parts.enrolment,
            revocations: parts.revocations,
            approvals: Arc::new(parts.approvals),
            definitions_changed: Notify::new(),
            policy_changes: watch::Sender::new(0),
            describer: ArcSwap::from_pointee(parts.describer),
            begun: parts.tasks,
            facts: ArcSwap::from_pointee(parts.facts),
            draining: CancellationToken::new(),
            tasks: TaskTracker::new(),
            witness: crate::witness::Place::default(),
            enrolments: Counter::default(),
            tokens_asked: Semaphore::new(crate::oauth::SERVED_MAX),
            agility: Agility::new(keeper),
            bearers: ArcSwapOption::empty(),
            store: parts.store,
            durable: parts.durable,
            since_ms: now_ms(),
        })
    }

    /// When it was put together, Unix milliseconds.
    pub fn since_ms(&self) -> u64 {
        self.since_ms
    }

    /// Who finds facts out now.
    pub(crate) fn facts(&self) -> Arc<dyn Facts> {
        Arc::clone(&self.facts.load())
    }

    /// Has facts found out by another from now on.
    pub fn set_facts(&self, facts: Arc<dyn Facts>) {
        self.facts.store(Arc::new(facts));
    }

    /// What goes into records of what is said in calls.
    pub fn describer(&self) -> Arc<Describer> {
        self.describer.load_full()
    }

    /// Has records describe calls like this from now on.
    pub fn set_describer(&self, describer: Describer) {
        self.describer.store(Arc::new(describer));
    }

    /// Shows how many calls wait for a person.
    pub fn count_held(&self) {
        let held = self.approvals.pending(self.now_ms());
        self.metrics.enforcement.held.set(i64::try_from(held).unwrap_or(i64::MAX));
    }

    /// Has tokens taken by these rules from now on, or none at all. Tokens that were bound by rules that are gone are
    /// judged again with their next call.
    pub fn take_tokens(&self, rules: Option<Rules>) {
        let before = self.bearers.load_full();
        self.bearers.store(rules.map(|rules| Arc::new(Bearers::next(rules, before.as_deref()))));
    }

    pub(crate) fn bearers(&self) -> Option<Arc<Bearers>> {
        self.bearers.load_full()
    }

    /// Milliseconds since the Unix epoch.
    pub fn now_ms(&self) -> u64 {
        now_ms()
    }

    /// The server `id`.
    pub fn server(&self, id: &str) -> Option<Arc<Server>> {
        self.servers.get(id).cloned()
    }

    /// All servers, by id.
    pub fn servers(&self) -> impl ExactSizeIterator<Item = &Arc<Server>> {
        self.servers.values()
    }

    /// What `/mcp` leads to: the only server as itself, or all of them together.
    pub fn common_target(&self) -> Target {
        match self.servers.values().next() {
            Some(only) if self.servers.len() == 1 => Target::Server(only.clone()),
            _ => Target::All,
        }
    }

    /// Server and own name of the subject of a message to all servers together.
    pub(crate) fn split_name(&self, message: &Message) -> Option<(Arc<Server>, String)> {
        let (id, name) = gather::split(message.method()?, message.name()?)?;
        Some((self.server(id)?, name.to_owned()))
    }

    /// Whether one more call may be taken.
    pub(crate) fn admit(&self) -> Result<(), Refusal> {
        if self.draining.is_cancelled() {
            return Err(Refusal::Draining);
        }
        // What cannot be recorded must not happen: asked before anything is forwarded.
        self.audit.available().map_err(Refusal::Unrecorded)?;
        let limit = self.limits.calls_in_flight_max;
        if usize::try_from(self.metrics.calls_in_flight.get()).unwrap_or(0) > limit {
            return Err(Refusal::Overloaded { limit });
        }
        Ok(())
    }

    /// Whether records of this method wait for the disk.
    pub(crate) fn is_durable(&self, method: &str) -> bool {
        self.durable.iter().any(|durable| durable == method)
    }

    /// Keeps the pins of `server` that detection made just now.
    ///
    /// # Errors
    /// [`Refusal::Unpinned`]: the definitions may not be shown to anybody yet.
    pub(crate) async fn keep_pins(&self, server: &Server, pins: Vec<Pin>) -> Result<(), Refusal> {
        let changed = !pins.is_empty();
        let kept = server.unkept.keep(&self.store, pins).await;
        if changed {
            self.definitions_changed.notify_one();
        }
        kept.map_err(|error| Refusal::Unpinned { server: server.id.clone(), why: error.to_string() })
    }

    /// Looks after sessions and children until the node drains.
    pub async fn keep_house(self: Arc<Self>) {
        let mut tick = tokio::time::interval(Duration::from_secs(HOUSEKEEPING_S));
        loop {
            tokio::select! {
                _ = tick.tick() => {}
                () = self.draining.cancelled() => return,
            }
            let idle_ms = self.limits.session_idle_s_max * 1000;
            self.sessions.reap(now_ms().saturating_sub(idle_ms));
            self.agility.continuity.prune(now_ms());
            self.count_held();
            self.observe_upstreams();
            self.record_owed(self.agility.refusals.over(Instant::now()));
            for server in self.servers.values() {
                if let Transport::Stdio(stdio) = server.upstream.transport() {
                    stdio.reap(Duration::from_millis(idle_ms));
                }
            }
        }
    }

    /// Takes no more links, lets calls finish within the drain deadline, and then ends the links that are left.
    pub async fn drain(&self) {
        self.draining.cancel();
        self.tasks.close();
        let deadline = Duration::from_secs(self.limits.drain_s_max);
        if tokio::time::timeout(deadline, self.tasks.wait()).await.is_err() {
            tracing::warn!(target: "lockgate", links = self.links.len(), "drain deadline passed; links are cut");
            self.links.kill_all();
            let _ = tokio::time::timeout(Duration::from_secs(1), self.tasks.wait()).await;
        }
    }
}

pub(crate) fn now_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
