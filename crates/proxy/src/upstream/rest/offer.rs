//! What of an API is offered, and how.

use std::collections::{BTreeMap, HashMap};

use lockgate_openapi::{Catalogue, Limits, ResourceKind, Shaping, Tool};
use serde_json::Value;

use super::searching;

/// The operations of an API that are on, with all that answering for them takes.
pub struct Offer {
    pub(super) catalogue: Catalogue,
    pub(super) limits: Limits,
    pub(super) title: String,
    shaping: Shaping,
    /// Fields that are kept of the results of single operations.
    keep: BTreeMap<String, Vec<String>>,
    by_name: HashMap<String, usize>,
    /// Whether its clients search it rather than list it.
    pub(super) is_searched: bool,
    /// Told apart from other offers by it, so that a cursor of another one is known.
    pub(super) mark: u64,
}

impl Offer {
    /// An offer of all operations in `catalogue`; those that are not meant to be on have been taken out of it. With more than
    /// `listed_max` of them, they are searched.
    pub fn new(catalogue: Catalogue, keep: BTreeMap<String, Vec<String>>, listed_max: usize) -> Self {
        let by_name = catalogue.tools.iter().enumerate().map(|(n, tool)| (tool.name.clone(), n)).collect();
        let is_searched = catalogue.tools.len() > listed_max;
        let mark = catalogue.tools.iter().fold(0xcbf2_9ce4_8422_2325, |mark, tool| {
            fnv(fnv(mark, &tool.definition()), &format!("{} {}", tool.method, tool.path))
        });
        let title =
            if catalogue.title.is_empty() { "a REST API".to_owned() } else { catalogue.title.clone() };
        Self {
            catalogue,
            limits: Limits::default(),
            title,
            shaping: Shaping::default(),
            keep,
            by_name,
            is_searched,
            mark,
        }
    }

    /// The operation of this name.
    pub fn tool(&self, name: &str) -> Option<&Tool> {
        self.by_name.get(name).map(|n| &self.catalogue.tools[*n])
    }

    /// How many operations are on.
    pub fn len(&self) -> usize {
        self.catalogue.tools.len()
    }

    /// Whether nothing is on.
    pub fn is_empty(&self) -> bool {
        self.catalogue.tools.is_empty()
    }

    /// Whether its clients search it.
    pub fn is_searched(&self) -> bool {
        self.is_searched
    }

    /// Whether both offer the same.
    pub fn is_same(&self, other: &Self) -> bool {
        (self.mark, self.len(), self.is_searched, &self.keep)
            == (other.mark, other.len(), other.is_searched, &other.keep)
    }

    /// Definitions of all its operations.
    pub fn definitions(&self) -> impl Iterator<Item = String> {
        self.catalogue.tools.iter().map(Tool::definition)
    }

    /// Definitions of those operations whose name `is_wanted`.
    pub fn named_definitions(&self, is_wanted: impl Fn(&str) -> bool) -> impl Iterator<Item = String> {
        self.catalogue.tools.iter().filter(move |tool| is_wanted(&tool.name)).map(Tool::definition)
    }

    pub(super) fn shaping(&self, tool: &Tool) -> Shaping {
        let keep = self.keep.get(&tool.name).cloned().unwrap_or_default();
        Shaping { keep, ..self.shaping.clone() }
    }

    /// What a party sees in `tools/list`.
    pub(super) fn listed(&self, active: &[String]) -> Vec<String> {
        if !self.is_searched {
            return self.definitions().collect();
        }
        let own = searching::definitions(&self.title, self.len())
            .into_iter()
            .map(|definition| definition.to_string());
        own.chain(active.iter().filter_map(|name| self.tool(name)).map(Tool::definition)).collect()
    }

    /// Entries of `resources/list`, or of `resources/templates/list`.
    pub(super) fn resources(&self, kind: ResourceKind, server: &str) -> Vec<String> {
        let of_kind = self.catalogue.resources().filter(|resource| resource.kind == kind);
        of_kind.map(|resource| resource.definition(server).to_string()).collect()
    }

    /// What a model reads first.
    pub(super) fn instructions(&self) -> String {
        let (title, count) = (&self.title, self.len());
        match self.is_searched {
            true => format!(
                "{title}: {count} operations. Find some with {}, turn them on with {}, then call them as tools.",
                searching::SEARCH,
                searching::ACTIVATE,
            ),
            false => format!("{title}: each tool is one operation of the API. A list comes page by page."),
        }
    }
}

/// FNV-1a, 64 bits: tells offers apart, and nothing else rests on it.
fn fnv(mark: u64, text: &str) -> u64 {
    text.bytes().fold(mark, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Member of an object, as text.
pub(super) fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str)
}
