//! The rules and what they remember.

use std::collections::{HashMap, HashSet};

use lockgate_mcp::{Message, canonical, list::Item};
use lockgate_policy::Permit;
use parking_lot::RwLock;
use serde::Serialize;

use crate::{
    diff::{Change, diff},
    finding::{Finding, Severity, shown},
    pin::Pin,
    rules,
    screen::{Held, ResultScreen, Screened, Verdict},
};

/// Tools remembered for one server, pinned and held together. The largest real
/// servers have a few hundred; a server that invents names without end stops
/// here and its new tools stay hidden.
pub(crate) const TOOLS_PER_SERVER_MAX: usize = 4_096;

/// Bytes of definitions remembered for one server, for the same reason.
pub(crate) const DEFINITION_BYTES_PER_SERVER_MAX: usize = 32 << 20;

/// Screens calls, answers and tool definitions.
///
/// Deterministic: what it says depends on what it was shown, in that order, and
/// on the times that it was given. It reads no clock, disk or network; keeping
/// the pins is the caller's part ([`Observed::new_pins`], [`Detector::approve`]).
#[derive(Debug, Default)]
pub struct Detector {
    servers: RwLock<HashMap<String, Server>>,
}

#[derive(Debug, Default)]
struct Server {
    pins: HashMap<String, Pin>,
    held: HashMap<String, HeldDefinition>,
    definition_bytes: usize,
}

#[derive(Debug)]
struct HeldDefinition {
    /// What becomes the pin on approval.
    candidate: Pin,
    pending: Pending,
}

/// What a tool list showed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// Why tools are held; one or two for each held tool, in list order.
    pub findings: Vec<Finding>,
    /// Names of tools to leave out of the list: their definitions must not
    /// reach a model before a person has approved them.
    pub held: HashSet<String>,
    /// Definitions trusted on first use just now, for the caller to keep. One
    /// that cannot be kept must not stay trusted: [`Detector::forget`].
    pub new_pins: Vec<Pin>,
}

/// A definition that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pending {
    /// What to approve it by; another definition has another id.
    pub id: String,
    /// The id of the server.
    pub server: String,
    /// The tool's name.
    pub tool: String,
    /// SHA-256 of the pinned definition, hex; `None` if it was held when first
    /// seen.
    pub old_hash: Option<String>,
    /// SHA-256 of this definition, hex.
    pub new_hash: String,
    /// What differs from the pinned definition.
    pub diff: Vec<Change>,
    /// Why it is held.
    pub findings: Vec<Finding>,
    /// This definition, canonical JSON; show it escaped.
    pub definition: String,
    /// When this definition was first seen, in milliseconds since 1970.
    pub first_seen_ms: u64,
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

impl Detector {
    /// A detector that trusts the definitions kept from before.
    pub fn new(pins: Vec<Pin>) -> Self {
        let detector = Detector::default();
        for pin in pins {
            detector.learn(pin);
        }
        detector
    }

    /// Trusts a definition, in place of what was pinned for the tool before:
    /// one that was kept, or one that a person approved elsewhere. Releases the
    /// tool if this very definition is held.
    pub fn learn(&self, pin: Pin) {
        let mut servers = self.servers.write();
        servers.entry(pin.server.clone()).or_default().learn(pin);
    }

    /// Takes back the trust of first use in pins that could not be kept, so that
    /// the next list offers them again. Without this they would be trusted until
    /// the process ends and forgotten then.
    pub fn forget(&self, pins: &[Pin]) {
        let mut servers = self.servers.write();
        for pin in pins {
            if let Some(state) = servers.get_mut(&pin.server) {
                state.forget(pin);
            }
        }
    }

    /// Stage 7 for a call: a tool whose definition is held cannot be called.
    /// Arguments are screened too, but characters that do not show are only
    /// reported there: the agent may be quoting.
    ///
    /// # Errors
    /// The finding, the permit back, and what a person can do.
    pub fn screen_call(&self, permit: Permit) -> Result<Screened, Held> {
        if let Some((finding, hint)) = self.held_call(&permit) {
            return Err(Held { finding, permit, hint });
        }
        let message = permit.message();
        let findings = message
            .arguments_raw()
            .and_then(|arguments| {
                let subject = message.name().or(message.method()).unwrap_or_default();
                rules::arguments(permit.server(), subject, arguments)
            })
            .into_iter()
            .collect();
        Ok(Screened { permit, findings })
    }

    fn held_call(&self, permit: &Permit) -> Option<(Finding, String)> {
        let message = permit.message();
        if message.method() != Some("tools/call") {
            return None;
        }
        let tool = message.name()?;
        let servers = self.servers.read();
        let pending = &servers.get(permit.server())?.held.get(tool)?.pending;
        let finding = pending.findings.first()?.clone();
        let hint = format!(
            "a person should compare the definitions of tool {} and, if the new one is fine, \
             run: lockgate threats approve {}",
            shown(tool),
            pending.id
        );
        Some((finding, hint))
    }

    /// Screens whatever a server says in answer to `method`: results, errors,
    /// and the params of its own requests and notifications.
    ///
    /// Text that is *hidden* in characters that do not show is withheld; single
    /// ones are reported and pass, since web pages, terminals and word
    /// processors produce them honestly.
    pub fn screen_result(&self, server: &str, method: &str, message: &Message) -> ResultScreen {
        let said = [message.result_raw(), message.error_raw(), message.params_raw()];
        let (subject, what) = match message.method() {
            Some(own) => (own, format!("message {}", shown(own))),
            None => (method, format!("answer to {}", shown(method))),
        };
        let findings: Vec<Finding> =
            said.into_iter().flatten().filter_map(|raw| rules::said(server, subject, &what, raw)).collect();
        let withhold = findings.iter().any(|finding| finding.severity == Severity::High);
        let verdict = if withhold { Verdict::Withhold } else { Verdict::Pass };
        ResultScreen { findings, verdict }
    }

    /// Compares the tools of one list with what is pinned. New definitions that
    /// show all they say are pinned (trust on first use); changed ones, and
    /// those with characters that do not show, are held.
    pub fn observe_tools(&self, server: &str, items: &[Item<'_>], now_ms: u64) -> Observed {
        let mut observed = Observed::default();
        // The common case, a list that is known and unchanged, takes no turn
        // at the write lock.
        let canonical: Vec<_> = items.iter().map(|item| (item, definition(item))).collect();
        {
            let servers = self.servers.read();
            let known = servers.get(server);
            let unchanged = |(item, definition): &(&Item<'_>, Option<String>)| {
                let pinned = known.and_then(|known| known.pins.get(item.name.as_ref()));
                definition.is_some() && pinned.map(|pin| &pin.definition) == definition.as_ref()
            };
            if known.is_none_or(|known| known.held.is_empty()) && canonical.iter().all(unchanged) {
                return observed;
            }
        }
        let mut servers = self.servers.write();
        let state = servers.entry(server.to_owned()).or_default();
        // First what is as pinned, so that a second, different definition of
        // the same name in the same list has the last word and holds both.
        let mut rest = Vec::new();
        for (item, definition) in canonical {
            match definition {
                Some(definition) if state.is_pinned(&item.name, &definition) => {
                    state.release(&item.name);
                }
                other => rest.push((item, other)),
            }
        }
        for (item, definition) in rest {
            state.judge(server, item, definition, now_ms, &mut observed);
        }
        observed
    }

    /// All definitions that are trusted, in no order. A tool whose definition changed is among them with the old one,
    /// which is the one that policies were written against.
    pub fn pins(&self) -> Vec<Pin> {
        self.servers.read().values().flat_map(|server| server.pins.values().cloned()).collect()
    }

    /// SHA-256 of the definition that is trusted for a tool, lower-case hex; `None` for a tool that was not seen yet.
    pub fn definition(&self, server: &str, tool: &str) -> Option<String> {
        self.servers.read().get(server)?.pins.get(tool).map(|pin| pin.sha256.clone())
    }

    /// What waits for a person, oldest first.
    pub fn pending(&self) -> Vec<Pending> {
        let servers = self.servers.read();
        let mut all: Vec<Pending> =
            servers.values().flat_map(|state| state.held.values()).map(|held| held.pending.clone()).collect();
        all.sort_by(|a, b| (a.first_seen_ms, &a.server, &a.tool).cmp(&(b.first_seen_ms, &b.server, &b.tool)));
        all
    }

    /// Trusts a held definition. The pin replaces the tool's old one, here at
    /// once; keeping it is the caller's part.
    ///
    /// # Errors
    /// [`ApproveError::Unknown`] if no definition is held under this id now.
    pub fn approve(&self, id: &str) -> Result<Pin, ApproveError> {
        let mut servers = self.servers.write();
        for state in servers.values_mut() {
            let Some(held) = state.held.values().find(|held| held.pending.id == id) else { continue };
            let pin = Pin { approved: true, ..held.candidate.clone() };
            state.learn(pin.clone());
            return Ok(pin);
        }
        Err(ApproveError::Unknown { id: id.to_owned() })
    }
}

impl Server {
    fn is_pinned(&self, tool: &str, definition: &str) -> bool {
        self.pins.get(tool).is_some_and(|pin| pin.definition == definition)
    }

    fn learn(&mut self, pin: Pin) {
        if self.held.get(&pin.tool).is_some_and(|held| held.candidate.sha256 == pin.sha256) {
            self.release(&pin.tool);
        }
        self.definition_bytes += pin.definition.len();
        if let Some(old) = self.pins.insert(pin.tool.clone(), pin) {
            self.definition_bytes -= old.definition.len();
        }
    }

    fn forget(&mut self, pin: &Pin) {
        if self.pins.get(&pin.tool) == Some(pin) {
            self.pins.remove(&pin.tool);
            self.definition_bytes -= pin.definition.len();
        }
    }

    fn release(&mut self, tool: &str) {
        if let Some(held) = self.held.remove(tool) {
            self.definition_bytes -= held.candidate.definition.len();
        }
    }

    fn has_room(&self, bytes: usize) -> bool {
        self.pins.len() + self.held.len() < TOOLS_PER_SERVER_MAX
            && self.definition_bytes + bytes <= DEFINITION_BYTES_PER_SERVER_MAX
    }

    /// Pins or holds one definition that is not the pinned one.
    fn judge(
        &mut self,
        server: &str,
        item: &Item<'_>,
        definition: Option<String>,
        now_ms: u64,
        observed: &mut Observed,
    ) {
        let tool = item.name.as_ref();
        let Some(definition) = definition else {
            observed.hold(tool, vec![rules::unreadable(server, tool)]);
            return;
        };
        let candidate = Pin::new(server, tool, definition, now_ms);
        if let Some(held) = self.held.get(tool).filter(|held| held.candidate.sha256 == candidate.sha256) {
            observed.hold(tool, held.pending.findings.clone());
            return;
        }
        self.release(tool);
        let old = self.pins.get(tool);
        let changes = old.map(|old| diff(&old.definition, &candidate.definition)).unwrap_or_default();
        let mut findings = Vec::new();
        if old.is_some() {
            findings.push(rules::changed(server, tool, &changes));
        }
        findings.extend(rules::definition(server, tool, item.raw));
        if !self.has_room(candidate.definition.len()) {
            observed.hold(tool, vec![rules::too_many(server, tool)]);
        } else if findings.is_empty() {
            self.learn(candidate.clone());
            observed.new_pins.push(candidate);
        } else {
            observed.hold(tool, findings.clone());
            let old_hash = old.map(|old| old.sha256.clone());
            self.hold(candidate, old_hash, changes, findings);
        }
    }

    fn hold(&mut self, candidate: Pin, old_hash: Option<String>, diff: Vec<Change>, findings: Vec<Finding>) {
        let pending = Pending {
            id: candidate.approval_id(),
            server: candidate.server.clone(),
            tool: candidate.tool.clone(),
            old_hash,
            new_hash: candidate.sha256.clone(),
            diff,
            findings,
            definition: candidate.definition.clone(),
            first_seen_ms: candidate.first_seen_ms,
        };
        self.definition_bytes += candidate.definition.len();
        self.held.insert(candidate.tool.clone(), HeldDefinition { candidate, pending });
    }
}

impl Observed {
    fn hold(&mut self, tool: &str, findings: Vec<Finding>) {
        self.held.insert(tool.to_owned());
        self.findings.extend(findings);
    }
}

fn definition(item: &Item<'_>) -> Option<String> {
    String::from_utf8(canonical::canonicalize(item.raw).ok()?).ok()
}
