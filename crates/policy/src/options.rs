//! What policies are read against: known tools, facts and groups.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use crate::facts::FactShape;

/// The definition of one tool, as it is pinned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Definition {
    /// The id of the server.
    pub server: String,
    /// The tool's name.
    pub tool: String,
    /// The definition as JSON text, whole, as `tools/list` gives it.
    pub json: String,
    /// SHA-256 of `json`, lower-case hexadecimal.
    pub sha256: String,
}

/// The tools whose definitions are known, with what the definitions say about
/// arguments. Policies on them can be checked down to each argument's type.
#[derive(Clone, Debug, Default)]
pub struct Definitions {
    tools: HashMap<String, HashMap<String, Arc<Definition>>>,
}

impl Definitions {
    /// Files definitions; the last of those with the same server and tool
    /// counts.
    pub fn new(definitions: impl IntoIterator<Item = Definition>) -> Self {
        let mut tools: HashMap<String, HashMap<String, Arc<Definition>>> = HashMap::new();
        for definition in definitions {
            let of_server = tools.entry(definition.server.clone()).or_default();
            of_server.insert(definition.tool.clone(), Arc::new(definition));
        }
        Definitions { tools }
    }

    /// The definition of a tool.
    pub fn get(&self, server: &str, tool: &str) -> Option<&Arc<Definition>> {
        self.tools.get(server)?.get(tool)
    }

    /// All of them, in no order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<Definition>> {
        self.tools.values().flat_map(HashMap::values)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.tools.values().map(HashMap::len).sum()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.tools.is_empty()
    }
}

/// What policies are read against.
#[derive(Clone, Copy, Debug)]
pub struct Options<'a> {
    /// The tools that are known.
    pub definitions: &'a Definitions,
    /// The facts that providers give.
    pub facts: &'a [FactShape],
    /// Server groups: name → ids of servers.
    pub groups: &'a BTreeMap<String, Vec<String>>,
    /// Every server that there is. Empty if that is not known, so that their
    /// names are not checked.
    pub servers: &'a [String],
    /// The roles that registrations give; those of role files are known by
    /// themselves. `None` if that is not known, so that roles are not checked.
    pub roles: Option<&'a [String]>,
    /// Our own trust domain, without `spiffe://`: role files name agents in it.
    pub trust_domain: &'a str,
    /// The number that the set is known by.
    pub generation: u64,
}

impl Options<'static> {
    /// No tools, no facts, no groups, no servers, and no trust domain.
    pub fn bare(generation: u64) -> Self {
        static DEFINITIONS: std::sync::LazyLock<Definitions> = std::sync::LazyLock::new(Definitions::default);
        static GROUPS: BTreeMap<String, Vec<String>> = BTreeMap::new();
        Options {
            definitions: &DEFINITIONS,
            facts: &[],
            groups: &GROUPS,
            servers: &[],
            roles: None,
            trust_domain: "",
            generation,
        }
    }
}
