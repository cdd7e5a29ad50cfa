//! One list of tools against all that is known.

use lockgate_mcp::list::Item;
use serde_json::Value;

use super::{Known, Observed};
use crate::{
    definition::class_of,
    diff::diff,
    finding::{CHANGED, Finding},
    pin::Pin,
    response::{Response, Responses},
    rules,
};

/// A list that is being judged.
pub(super) struct Judge<'a> {
    pub(super) known: &'a mut Known,
    pub(super) responses: &'a Responses,
    pub(super) server: &'a str,
    pub(super) now_ms: u64,
}

impl Judge<'_> {
    /// First what is as pinned, so that a second, different definition of
    /// the same name in the same list has the last word and holds both.
    pub(super) fn list(&mut self, items: Vec<(&Item<'_>, Option<String>)>, observed: &mut Observed) {
        let mut rest = Vec::new();
        for (item, definition) in items {
            let state = self.known.servers.entry(self.server.to_owned()).or_default();
            match definition {
                Some(definition) if state.is_pinned(&item.name, &definition) => {
                    // One that is held as it is pinned was pinned before the rule that holds it had cause to.
                    let waits = state.held.get(item.name.as_ref());
                    match waits.filter(|held| held.candidate.definition == definition) {
                        Some(held) => {
                            let pin = held.candidate.clone();
                            self.pinned_and_held(pin, observed);
                        }
                        None => state.release(&item.name),
                    }
                }
                other => rest.push((item, other)),
            }
        }
        for (item, definition) in rest {
            self.item(item, definition, observed);
        }
        self.others_that_name_the_new(observed);
    }

    /// Pins or holds one definition that is not the pinned one.
    fn item(&mut self, item: &Item<'_>, definition: Option<String>, observed: &mut Observed) {
        let (server, tool) = (self.server, item.name.as_ref());
        let Some(definition) = definition else {
            observed.hold(tool, vec![rules::unreadable(server, tool)]);
            return;
        };
        let mut candidate = Pin::new(server, tool, definition, self.now_ms);
        let state = self.known.servers.entry(server.to_owned()).or_default();
        // What waits is judged again, since the rules may be others by now.
        if let Some(held) = state.held.get(tool).filter(|held| held.candidate.sha256 == candidate.sha256) {
            candidate.first_seen_ms = held.candidate.first_seen_ms;
        }
        state.release(tool);
        if !state.has_room(candidate.definition.len()) {
            observed.hold(tool, vec![rules::too_many(server, tool)]);
            return;
        }
        let value: Value = serde_json::from_str(&candidate.definition).unwrap_or_default();
        let (difference, changed) = self.difference(&candidate, &value);
        let found = changed.into_iter().chain(self.found(&candidate, item.raw, &value));
        let (holding, passing) = self.sorted(found.collect());
        observed.findings.extend(passing);
        if holding.is_empty() {
            self.known.learn(candidate.clone());
            observed.new_pins.push(candidate);
        } else {
            observed.hold(tool, holding.clone());
            self.known.servers.entry(server.to_owned()).or_default().hold(candidate, difference, holding);
        }
    }

    fn difference(&self, candidate: &Pin, new: &Value) -> (crate::server::Difference, Option<Finding>) {
        let known = self.known.servers.get(self.server);
        let Some(old) = known.and_then(|known| known.pins.get(&candidate.tool)) else {
            return ((Vec::new(), Vec::new()), None);
        };
        let changes = diff(&old.definition, &candidate.definition);
        let old: Value = serde_json::from_str(&old.definition).unwrap_or_default();
        let classes = class_of(&old, new, &changes);
        let finding = rules::changed(self.server, &candidate.tool, &changes, &classes);
        ((changes, classes), Some(finding))
    }

    /// What the rules find in a definition by itself, and beside those of others.
    fn found(&self, candidate: &Pin, raw: &str, value: &Value) -> Vec<Finding> {
        let (server, tool, inventory) = (self.server, candidate.tool.as_str(), &self.known.inventory);
        let is_new = self.known.servers.get(server).is_none_or(|known| !known.pins.contains_key(tool));
        let mut found: Vec<Finding> = rules::definition(server, tool, raw).into_iter().collect();
        found.extend(rules::headers(server, tool, raw));
        found.extend(rules::foreign_names(server, tool, &inventory.foreign(server, tool, value)));
        if is_new {
            found.extend(rules::look_alike(server, tool, &inventory.look_alikes(tool)));
            let in_use =
                |owner: &String| self.known.servers.get(owner).is_some_and(|owner| owner.used.contains(tool));
            let owners: Vec<String> = inventory.same_name(server, tool).into_iter().filter(in_use).collect();
            found.extend(rules::same_name(server, tool, &owners));
        }
        found
    }

    /// What holds a definition, the reason to compare first, and what is only told of it.
    fn sorted(&self, found: Vec<Finding>) -> (Vec<Finding>, Vec<Finding>) {
        let (mut holding, mut passing) = (Vec::new(), Vec::new());
        for finding in found {
            match self.responses.to(&finding, &[], self.now_ms) {
                Some(response) if response >= Response::Hold => holding.push(finding),
                Some(_) => passing.push(finding),
                None => {}
            }
        }
        holding.sort_by_key(|finding| finding.id != CHANGED);
        (holding, passing)
    }

    /// Definitions of other servers that were pinned before the tools came that they name.
    fn others_that_name_the_new(&mut self, observed: &mut Observed) {
        let new: Vec<String> = observed.new_pins.iter().map(|pin| pin.tool.clone()).collect();
        for tool in new {
            for (server, naming) in self.known.inventory.named_by(self.server, &tool) {
                let pin = self.known.servers.get(&server).and_then(|other| other.pins.get(&naming)).cloned();
                let Some(pin) = pin else { continue };
                let found = self.foreign(&pin);
                let (holding, passing) = self.sorted(found.into_iter().collect());
                observed.findings.extend(holding.iter().cloned().chain(passing));
                if !holding.is_empty()
                    && let Some(other) = self.known.servers.get_mut(&server)
                {
                    let candidate = Pin { first_seen_ms: self.now_ms, ..pin };
                    other.hold(candidate, (Vec::new(), Vec::new()), holding);
                }
            }
        }
    }

    fn pinned_and_held(&mut self, pin: Pin, observed: &mut Observed) {
        let found = self.foreign(&pin);
        let (holding, passing) = self.sorted(found.into_iter().collect());
        observed.findings.extend(passing);
        match holding.is_empty() {
            true => {
                if let Some(state) = self.known.servers.get_mut(self.server) {
                    state.release(&pin.tool);
                }
            }
            false => observed.hold(&pin.tool, holding),
        }
    }

    /// The tools of other servers that a pinned definition names, unless a person has accepted that.
    fn foreign(&self, pin: &Pin) -> Option<Finding> {
        let value: Value = serde_json::from_str(&pin.definition).unwrap_or_default();
        let mentioned = self.known.inventory.foreign(&pin.server, &pin.tool, &value);
        let found = rules::foreign_names(&pin.server, &pin.tool, &mentioned);
        found.filter(|found| !pin.accepted.contains(&found.key()))
    }
}

impl Observed {
    fn hold(&mut self, tool: &str, findings: Vec<Finding>) {
        self.held.insert(tool.to_owned());
        self.findings.extend(findings);
    }
}
