//! What is known of one server: its pins, what is held of it, and where it is reached.

use std::collections::{HashMap, HashSet};

use serde::Serialize;

use crate::{definition::ChangeClass, diff::Change, finding::Finding, pin::Pin};

/// Tools remembered for one server, pinned and held together. The largest real
/// servers have a few hundred, and a large REST interface some thousand
/// operations; a server that invents names without end stops
/// here and its new tools stay hidden.
pub(crate) const TOOLS_PER_SERVER_MAX: usize = 16_384;

/// Bytes of definitions remembered for one server, for the same reason.
pub(crate) const DEFINITION_BYTES_PER_SERVER_MAX: usize = 32 << 20;

/// One server.
#[derive(Debug, Default)]
pub(crate) struct Server {
    pub(crate) pins: HashMap<String, Pin>,
    pub(crate) held: HashMap<String, HeldDefinition>,
    /// Pinned tools that were called since the start.
    pub(crate) used: HashSet<String>,
    /// That it moved, while that waits for a person.
    pub(crate) moved: Option<Pending>,
    definition_bytes: usize,
}

#[derive(Debug)]
pub(crate) struct HeldDefinition {
    /// What becomes the pin on approval.
    pub(crate) candidate: Pin,
    pub(crate) pending: Pending,
}

/// A definition that waits for a person.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Pending {
    /// What to approve it by; another definition has another id.
    pub id: String,
    /// The id of the server.
    pub server: String,
    /// The tool's name; empty where the server as a whole waits.
    pub tool: String,
    /// SHA-256 of the pinned definition, hex; `None` if it was held when first
    /// seen.
    pub old_hash: Option<String>,
    /// SHA-256 of this definition, hex.
    pub new_hash: String,
    /// What differs from the pinned definition.
    pub diff: Vec<Change>,
    /// What the difference amounts to.
    pub classes: Vec<ChangeClass>,
    /// Why it is held.
    pub findings: Vec<Finding>,
    /// This definition, canonical JSON; show it escaped.
    pub definition: String,
    /// When this definition was first seen, in milliseconds since 1970.
    pub first_seen_ms: u64,
}

/// What a definition differs in from its pin.
pub(crate) type Difference = (Vec<Change>, Vec<ChangeClass>);

impl Server {
    pub(crate) fn is_pinned(&self, tool: &str, definition: &str) -> bool {
        self.pins.get(tool).is_some_and(|pin| pin.definition == definition)
    }

    /// Whether everything of a list is pinned as it stands and nothing is held.
    pub(crate) fn is_settled(&self) -> bool {
        self.held.is_empty()
    }

    pub(crate) fn learn(&mut self, pin: Pin) {
        if self.held.get(&pin.tool).is_some_and(|held| held.candidate.sha256 == pin.sha256) {
            self.release(&pin.tool);
        }
        self.definition_bytes += pin.definition.len();
        if let Some(old) = self.pins.insert(pin.tool.clone(), pin) {
            self.definition_bytes -= old.definition.len();
        }
    }

    /// Whether it was there.
    pub(crate) fn forget(&mut self, pin: &Pin) -> bool {
        let is_there = self.pins.get(&pin.tool) == Some(pin);
        if is_there {
            self.pins.remove(&pin.tool);
            self.used.remove(&pin.tool);
            self.definition_bytes -= pin.definition.len();
        }
        is_there
    }

    pub(crate) fn release(&mut self, tool: &str) {
        if let Some(held) = self.held.remove(tool) {
            self.definition_bytes -= held.candidate.definition.len();
        }
    }

    pub(crate) fn has_room(&self, bytes: usize) -> bool {
        self.pins.len() + self.held.len() < TOOLS_PER_SERVER_MAX
            && self.definition_bytes + bytes <= DEFINITION_BYTES_PER_SERVER_MAX
    }

    /// Has a definition wait for a person.
    pub(crate) fn hold(&mut self, candidate: Pin, difference: Difference, findings: Vec<Finding>) {
        self.release(&candidate.tool);
        let (diff, classes) = difference;
        let pending = Pending {
            id: candidate.approval_id(),
            server: candidate.server.clone(),
            tool: candidate.tool.clone(),
            old_hash: self.pins.get(&candidate.tool).map(|old| old.sha256.clone()),
            new_hash: candidate.sha256.clone(),
            diff,
            classes,
            findings,
            definition: candidate.definition.clone(),
            first_seen_ms: candidate.first_seen_ms,
        };
        self.definition_bytes += candidate.definition.len();
        self.held.insert(candidate.tool.clone(), HeldDefinition { candidate, pending });
    }
}
