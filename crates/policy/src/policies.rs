//! A set of policies, ready to decide.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use lockgate_identity::Caller;
use parking_lot::Mutex;

use crate::{
    clock::Zones,
    entity,
    error::PolicyError,
    facts::FactShape,
    frame::{Frame, Slice},
    index::Index,
    load::{Library, Loaded, load},
    members::Members,
    memo::Memo,
    options::Options,
    query::Query,
    rates::Ledger,
    reads::Reads,
    rule::Rule,
    schema::{Actions, Tool, Vocabulary},
    shapes::Shapes,
    source::Source,
};

/// A checked set of policies, ready to decide. Immutable but for what it
/// remembers: a reload makes the next one and swaps it in.
pub struct Policies {
    pub(crate) index: Index,
    files: Vec<String>,
    members: Members,
    pub(crate) zones: Zones,
    pub(crate) shapes: Shapes,
    pub(crate) facts: Vec<Arc<FactShape>>,
    /// Server → the groups that it is in.
    pub(crate) groups: HashMap<String, Vec<String>>,
    vocabulary: Vocabulary,
    library: Library,
    warnings: Vec<PolicyError>,
    /// Every needle of every policy.
    pub(crate) needles: Vec<String>,
    pub(crate) slices: Mutex<HashMap<Arc<[u32]>, Arc<Slice>>>,
    pub(crate) frames: Memo<Option<Arc<Frame>>>,
    pub(crate) ledger: Arc<Ledger>,
    generation: u64,
}

impl Policies {
    /// Parses, validates and files all sources as one set. No policy at all is
    /// a valid set that denies everything.
    ///
    /// # Errors
    /// Every mistake of every file at once, in reading order.
    pub fn parse(sources: &[Source<'_>], options: &Options<'_>) -> Result<Self, Vec<PolicyError>> {
        let loaded = load(sources, options, None)?;
        Ok(Self::new(loaded, sources, options, Arc::default()))
    }

    /// Like [`parse`](Self::parse), reusing what has not changed since, and
    /// going on with the counts of rates.
    ///
    /// # Errors
    /// As [`parse`](Self::parse); this set stays as it is.
    pub fn parse_again(
        &self,
        sources: &[Source<'_>],
        options: &Options<'_>,
    ) -> Result<Self, Vec<PolicyError>> {
        let loaded = load(sources, options, Some((&self.library, &self.shapes)))?;
        Ok(Self::new(loaded, sources, options, self.ledger.clone()))
    }

    fn new(loaded: Loaded, sources: &[Source<'_>], options: &Options<'_>, ledger: Arc<Ledger>) -> Self {
        let Loaded { rules, members, zones, shapes, warnings, library, vocabulary } = loaded;
        let mut groups: HashMap<String, Vec<String>> = HashMap::new();
        for (group, servers) in options.groups {
            for server in servers {
                groups.entry(server.clone()).or_default().push(group.clone());
            }
        }
        let mut reads = Reads::default();
        rules.iter().for_each(|rule| reads.add(&rule.known.reads));
        Policies {
            index: Index::new(rules),
            files: sources.iter().map(|source| source.name.to_owned()).collect(),
            members,
            zones,
            shapes,
            facts: options.facts.iter().cloned().map(Arc::new).collect(),
            groups,
            vocabulary,
            library,
            warnings,
            needles: reads.needles.into_iter().collect(),
            slices: Mutex::default(),
            frames: Memo::new(),
            ledger,
            generation: options.generation,
        }
    }

    /// The facts that policies read for such a call.
    pub fn needed_facts(&self, query: &Query<'_>) -> Vec<Arc<FactShape>> {
        self.frame(query).map(|frame| frame.slice.facts.clone()).unwrap_or_default()
    }

    /// The roles of a caller: those of its registration and those that role
    /// files give it.
    pub fn roles(&self, caller: &Caller) -> Vec<String> {
        self.members.of(caller)
    }

    /// The roles of role files, each with its `agents` sorted.
    pub fn memberships(&self) -> BTreeMap<String, Vec<String>> {
        self.members.written()
    }

    /// What is not wrong but worth a look, such as policies on tools that no
    /// server has shown yet.
    pub fn warnings(&self) -> &[PolicyError] {
        &self.warnings
    }

    /// The whole schema that these policies are checked against, in Cedar
    /// schema syntax: with the tools, facts and time zones that they know.
    pub fn schema(&self) -> String {
        let mut tools: BTreeMap<String, String> = BTreeMap::new();
        for (server, tool, shape) in self.shapes.iter() {
            let action = entity::tool_action(server, tool).id().unescaped().to_owned();
            tools.insert(action, shape.cedar_type().to_owned());
        }
        let tools = tools.into_iter().map(|(action, input)| Tool { action, input: Some(input) });
        self.vocabulary.with_actions(&Actions::all(tools.collect()))
    }

    /// The number that the set was parsed with.
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// How many policies there are.
    pub fn len(&self) -> usize {
        self.index.rules().len()
    }

    /// Whether there is no policy, so that everything is denied.
    pub fn is_empty(&self) -> bool {
        self.index.rules().is_empty()
    }

    /// The ids of all policies, in reading order.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.index.rules().iter().map(Rule::id)
    }

    /// How many policies Cedar evaluates for such a call: those whose scope
    /// fits it, whatever the size of the set.
    pub fn considered(&self, query: &Query<'_>) -> usize {
        self.frame(query).map_or(0, |frame| frame.slice.rules.len())
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    pub(crate) fn files(&self) -> &[String] {
        &self.files
    }
}

impl std::fmt::Debug for Policies {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Policies")
            .field("generation", &self.generation)
            .field("files", &self.files)
            .field("policies", &self.len())
            .finish_non_exhaustive()
    }
}
