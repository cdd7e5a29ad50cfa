//! The rules and what they remember.

use std::collections::{HashMap, HashSet};

use lockgate_mcp::{Message, canonical, list::Item};
use lockgate_policy::Permit;
use parking_lot::RwLock;

use crate::{
    definition::Inventory,
    finding::{Finding, Severity, shown},
    hosts::{self, HostSet},
    pin::Pin,
    response::{Response, Responses, Rule, Suppression},
    rules,
    screen::{Held, ResultScreen, Scene, Screened, Verdict, call_digest},
    secrets::Secrets,
    server::{Pending, Server},
};

mod judge;

/// Methods in whose answers a server tells a model about itself.
const TELLING: [&str; 5] =
    ["initialize", "server/discover", "prompts/list", "resources/list", "resources/templates/list"];

/// Screens calls, answers and tool definitions.
///
/// Deterministic: what it says depends on what it was shown, in that order, and
/// on the times that it was given. It reads no clock, disk or network; keeping
/// the pins is the caller's part ([`Observed::new_pins`], [`Detector::approve`]).
#[derive(Debug)]
pub struct Detector {
    known: RwLock<Known>,
    responses: RwLock<Responses>,
    hosts: RwLock<Vec<HostSet>>,
    secrets: RwLock<Secrets>,
}

impl Default for Detector {
    fn default() -> Self {
        Detector {
            known: RwLock::default(),
            responses: RwLock::default(),
            hosts: RwLock::default(),
            secrets: RwLock::new(Secrets::new([0; 32])),
        }
    }
}

/// What it remembers of servers.
#[derive(Debug, Default)]
struct Known {
    servers: HashMap<String, Server>,
    inventory: Inventory,
}

/// What a tool list showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Why tools are held, and what else was found, in list order.
    pub findings: Vec<Finding>,
    /// Names of tools to leave out of the list: their definitions must not
    /// reach a model before a person has approved them.
    pub held: HashSet<String>,
    /// Definitions trusted on first use just now, for the caller to keep. One
    /// that cannot be kept must not stay trusted: [`Detector::forget`].
    pub new_pins: Vec<Pin>,
}

/// Why an approval is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ApproveError {
    /// Nothing pends under this id: it was approved already, the server went
    /// back to the pinned definition, or changed to yet another one.
    #[error(
        "nothing is held under {id:?}: list what is held now; a definition that changed again has a new id"
    )]
    Unknown {
        /// The id as given.
        id: String,
    },
}

/// What was approved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Approved {
    /// A definition, for the caller to keep.
    Definition(Pin),
    /// That a server is reached elsewhere now.
    Endpoint {
        /// The id of the server.
        server: String,
        /// Where.
        endpoint: String,
    },
}

impl Detector {
    /// A detector that trusts the definitions kept from before.
    pub fn new(pins: Vec<Pin>) -> Self {
        let detector = Detector::default();
        for pin in pins {
            detector.learn(pin);
        }
        detector
    }

    /// Acts by these rules from now on; the first that fits counts.
    pub fn set_rules(&self, rules: Vec<Rule>) {
        self.responses.write().rules = rules;
    }

    /// Holds tools to these hosts from now on.
    pub fn set_hosts(&self, hosts: Vec<HostSet>) {
        *self.hosts.write() = hosts;
    }

    /// Is silent about what these cover. A definition that waits for nothing else passes with the next list that shows it.
    pub fn set_suppressions(&self, suppressions: Vec<Suppression>) {
        self.responses.write().suppressions = suppressions;
    }

    /// What is silent now, and what of it is over.
    pub fn suppressions(&self) -> Vec<Suppression> {
        self.responses.read().suppressions.clone()
    }

    /// The key under which credentials are remembered: to be drawn anew with each start, before any of them is learnt.
    pub fn set_secret_key(&self, key: [u8; 32]) {
        *self.secrets.write() = Secrets::new(key);
    }

    /// Looks out for a credential that this node injects, in place of an earlier value of that name. Values of less than
    /// [`SECRET_BYTES_MIN`](crate::SECRET_BYTES_MIN) bytes are not looked for.
    pub fn guard_secret(&self, name: &str, value: &[u8]) {
        self.secrets.write().learn(name, value);
    }

    /// What follows from a finding about a caller in this scene; `None` if it is suppressed.
    pub fn response(&self, finding: &Finding, scene: &Scene<'_>) -> Option<Response> {
        self.responses.read().to(finding, scene.roles, scene.now_ms)
    }

    /// Trusts a definition, in place of what was pinned for the tool before:
    /// one that was kept, or one that a person approved elsewhere. Releases the
    /// tool if this very definition is held.
    pub fn learn(&self, pin: Pin) {
        self.known.write().learn(pin);
    }

    /// Takes back the trust of first use in pins that could not be kept, so that
    /// the next list offers them again. Without this they would be trusted until
    /// the process ends and forgotten then.
    pub fn forget(&self, pins: &[Pin]) {
        let mut known = self.known.write();
        for pin in pins {
            if known.servers.get_mut(&pin.server).is_some_and(|server| server.forget(pin)) {
                known.inventory.remove(&pin.server, &pin.tool);
            }
        }
    }

    /// Tells where a server is reached, and where it was when its tools were trusted. What follows if that differs is up to the
    /// rules; by default it is reported. With `hold` nothing of the server can be called until a person approves.
    pub fn observe_endpoint(&self, server: &str, before: &str, now: &str, now_ms: u64) -> Option<Finding> {
        if before == now {
            return None;
        }
        let finding = rules::moved(server, before, now);
        let response = self.response(&finding, &Scene { now_ms, ..Scene::default() })?;
        if response >= Response::Hold {
            let endpoint = Pin::new(server, "", now.to_owned(), now_ms);
            let pending = Pending {
                id: endpoint.approval_id(),
                server: server.to_owned(),
                tool: String::new(),
                old_hash: None,
                new_hash: endpoint.sha256,
                diff: Vec::new(),
                classes: Vec::new(),
                findings: vec![finding.clone()],
                definition: now.to_owned(),
                first_seen_ms: now_ms,
            };
            self.known.write().servers.entry(server.to_owned()).or_default().moved = Some(pending);
        }
        Some(finding)
    }

    /// Stage 7 for a call: a tool whose definition is held cannot be called.
    /// Arguments are screened too. What follows from what is found there is up to the rules: by default characters that do not
    /// show are only reported, since the agent may be quoting, and a credential of the sealed store is refused.
    ///
    /// # Errors
    /// The finding, the permit back, and what a person can do.
    pub fn screen_call(&self, permit: Permit, scene: &Scene<'_>) -> Result<Screened, Box<Held>> {
        if let Some((finding, hint)) = self.held_call(&permit) {
            let (others, response) = (Vec::new(), Response::Deny);
            return Err(Box::new(Held { finding, others, response, digest: None, permit, hint }));
        }
        let found = self.found_in_call(&permit);
        self.act(permit, scene, found)
    }

    fn found_in_call(&self, permit: &Permit) -> Vec<Finding> {
        let message = permit.message();
        let Some(arguments) = message.arguments_raw() else { return Vec::new() };
        self.examine(permit.server(), message.name().or(message.method()).unwrap_or_default(), arguments)
    }

    /// What the rules find in the arguments of a call, whatever follows from it: for calls that are on record.
    pub fn examine(&self, server: &str, subject: &str, arguments: &str) -> Vec<Finding> {
        let mut found: Vec<Finding> = rules::arguments(server, subject, arguments).into_iter().collect();
        if let Some(name) = self.secrets.read().find(arguments) {
            found.push(rules::secret((server, subject), "the arguments for", name));
        }
        let outside = hosts::outside(&self.hosts.read(), server, subject, arguments);
        found.extend(rules::hosts((server, subject), "the arguments", &outside, Severity::High));
        found
    }

    /// What follows for a call from what was found in it.
    fn act(&self, permit: Permit, scene: &Scene<'_>, found: Vec<Finding>) -> Result<Screened, Box<Held>> {
        let mut judged: Vec<(Response, Finding)> = found
            .into_iter()
            .filter_map(|finding| Some((self.response(&finding, scene)?, finding)))
            .collect();
        judged.sort_by_key(|(response, finding)| (*response, finding.severity));
        if judged.last().is_some_and(|(response, _)| *response >= Response::Hold) {
            let (response, finding) = judged.pop().expect("there is a last one");
            let digest = match response {
                Response::Hold => call_digest(scene, &permit, finding.id),
                _ => None,
            };
            let hint = match response {
                Response::Hold => "a person can let this call pass once".to_owned(),
                _ => format!("what follows from {} is a rule of the operator: [[detect.rule]]", finding.id),
            };
            let others = judged.into_iter().map(|(_, finding)| finding).collect();
            return Err(Box::new(Held { finding, others, response, digest, permit, hint }));
        }
        let warned = judged.iter().filter(|(response, _)| *response == Response::Warn);
        let warnings = warned.map(|(_, finding)| finding.reason.clone()).collect();
        let findings = judged.into_iter().map(|(_, finding)| finding).collect();
        Ok(Screened { permit, findings, warnings })
    }

    fn held_call(&self, permit: &Permit) -> Option<(Finding, String)> {
        let message = permit.message();
        if message.method() != Some("tools/call") {
            return None;
        }
        let tool = message.name()?;
        let known = self.known.read();
        let server = known.servers.get(permit.server())?;
        if let Some(moved) = &server.moved {
            let hint = format!("if the server was really moved, run: lockgate threats approve {}", moved.id);
            return Some((moved.findings.first()?.clone(), hint));
        }
        let Some(held) = server.held.get(tool) else {
            let is_new_use = server.pins.contains_key(tool) && !server.used.contains(tool);
            drop(known);
            if is_new_use && let Some(server) = self.known.write().servers.get_mut(permit.server()) {
                server.used.insert(tool.to_owned());
            }
            return None;
        };
        let finding = held.pending.findings.first()?.clone();
        let hint = format!(
            "a person should compare the definitions of tool {} and, if the new one is fine, \
             run: lockgate threats approve {}",
            shown(tool),
            held.pending.id
        );
        Some((finding, hint))
    }

    /// Screens whatever a server says in answer to `method` (of the tool `name`, where it is one): results, errors,
    /// and the params of its own requests and notifications.
    ///
    /// Text that is *hidden* in characters that do not show is withheld, and so is a credential that this node injects; single
    /// characters are reported and pass, since web pages, terminals and word processors produce them honestly.
    pub fn screen_result(
        &self,
        server: &str,
        (method, name): (&str, Option<&str>),
        message: &Message,
        scene: &Scene<'_>,
    ) -> ResultScreen {
        let said = [message.result_raw(), message.error_raw(), message.params_raw()];
        let (subject, what) = match message.method() {
            Some(own) => (own, format!("message {}", shown(own))),
            None => (method, format!("answer to {}", shown(method))),
        };
        let mut found: Vec<Finding> = Vec::new();
        for raw in said.into_iter().flatten() {
            found.extend(rules::said(server, subject, &what, raw));
            if let Some(secret) = self.secrets.read().find(raw) {
                found.push(rules::secret((server, subject), "what was said in answer to", secret));
            }
            let tool = name.unwrap_or(subject);
            let outside = hosts::outside(&self.hosts.read(), server, tool, raw);
            found.extend(rules::hosts((server, tool), "URLs in the answer", &outside, Severity::Medium));
        }
        if TELLING.contains(&method)
            && let Some(raw) = message.result_raw()
        {
            found.extend(self.foreign_in(server, method, raw));
        }
        let mut verdict = Verdict::Pass;
        let mut findings = Vec::with_capacity(found.len());
        for finding in found {
            let Some(response) = self.response(&finding, scene) else { continue };
            verdict = match (response, verdict) {
                (Response::Observe, verdict) => verdict,
                (Response::Warn, Verdict::Pass) => Verdict::Warn,
                (Response::Warn, verdict) => verdict,
                (Response::Hold | Response::Deny | Response::Kill, _) => Verdict::Withhold,
            };
            findings.push(finding);
        }
        ResultScreen { findings, verdict }
    }

    /// Tools of other servers that a server names in what it says of itself.
    fn foreign_in(&self, server: &str, method: &str, raw: &str) -> Option<Finding> {
        let value = serde_json::from_str(raw).ok()?;
        let mut named = self.known.read().inventory.foreign(server, "", &value);
        named.retain(|name| name.unexplained);
        rules::foreign_in_answer(server, method, &named)
    }

    /// Compares the tools of one list with what is pinned. New definitions that
    /// show all they say are pinned (trust on first use); changed ones, and
    /// those that a rule objects to, are held.
    pub fn observe_tools(&self, server: &str, items: &[Item<'_>], now_ms: u64) -> Observed {
        let mut observed = Observed::default();
        // The common case, a list that is known and unchanged, takes no turn
        // at the write lock.
        let canonical: Vec<_> = items.iter().map(|item| (item, definition(item))).collect();
        {
            let known = self.known.read();
            let known = known.servers.get(server);
            let unchanged = |(item, definition): &(&Item<'_>, Option<String>)| {
                let pinned = known.and_then(|known| known.pins.get(item.name.as_ref()));
                definition.is_some() && pinned.map(|pin| &pin.definition) == definition.as_ref()
            };
            if known.is_none_or(Server::is_settled) && canonical.iter().all(unchanged) {
                return observed;
            }
        }
        let mut known = self.known.write();
        let mut judge = judge::Judge { known: &mut known, responses: &self.responses.read(), server, now_ms };
        judge.list(canonical, &mut observed);
        observed
    }

    /// All definitions that are trusted, in no order. A tool whose definition changed is among them with the old one,
    /// which is the one that policies were written against.
    pub fn pins(&self) -> Vec<Pin> {
        self.known.read().servers.values().flat_map(|server| server.pins.values().cloned()).collect()
    }

    /// SHA-256 of the definition that is trusted for a tool, lower-case hex; `None` for a tool that was not seen yet.
    pub fn definition(&self, server: &str, tool: &str) -> Option<String> {
        self.known.read().servers.get(server)?.pins.get(tool).map(|pin| pin.sha256.clone())
    }

    /// What waits for a person, oldest first.
    pub fn pending(&self) -> Vec<Pending> {
        let known = self.known.read();
        let definitions =
            known.servers.values().flat_map(|server| server.held.values()).map(|held| &held.pending);
        let moved = known.servers.values().filter_map(|server| server.moved.as_ref());
        let mut all: Vec<Pending> = definitions.chain(moved).cloned().collect();
        all.sort_by(|a, b| (a.first_seen_ms, &a.server, &a.tool).cmp(&(b.first_seen_ms, &b.server, &b.tool)));
        all
    }

    /// Trusts a held definition, or a server where it is reached now. The pin replaces the tool's old one, here at
    /// once; keeping it is the caller's part.
    ///
    /// # Errors
    /// [`ApproveError::Unknown`] if nothing is held under this id now.
    pub fn approve(&self, id: &str) -> Result<Approved, ApproveError> {
        let mut known = self.known.write();
        let known = &mut *known;
        for server in known.servers.values_mut() {
            if let Some(moved) = server.moved.take_if(|moved| moved.id == id) {
                return Ok(Approved::Endpoint { server: moved.server, endpoint: moved.definition });
            }
            let Some(held) = server.held.values().find(|held| held.pending.id == id) else { continue };
            let accepted = held.pending.findings.iter().map(Finding::key).collect();
            let pin = Pin { approved: true, accepted, ..held.candidate.clone() };
            known.learn(pin.clone());
            return Ok(Approved::Definition(pin));
        }
        Err(ApproveError::Unknown { id: id.to_owned() })
    }
}

impl Known {
    fn learn(&mut self, pin: Pin) {
        if let Ok(value) = serde_json::from_str(&pin.definition) {
            self.inventory.add(&pin.server, &pin.tool, &value);
        }
        self.servers.entry(pin.server.clone()).or_default().learn(pin);
    }
}

fn definition(item: &Item<'_>) -> Option<String> {
    String::from_utf8(canonical::canonicalize(item.raw).ok()?).ok()
}
