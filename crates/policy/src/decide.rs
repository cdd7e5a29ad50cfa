//! The decision.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use cedar_policy::Request;
use lockgate_crypto::Posture;
use lockgate_identity::Caller;
use lockgate_mcp::Message;
use parking_lot::Mutex;

use crate::{
    clock::Zones,
    context::{Gap, Means},
    digest, entity,
    error::PolicyError,
    explain,
    facts::FactShape,
    frame::{Found, Frame, Slice},
    framing::key,
    index::Index,
    link::Link,
    load::{Library, Loaded, load},
    members::Members,
    memo::Memo,
    method,
    options::Options,
    permit::{Cause, Consequence, Denial, Permit, Refused},
    possible,
    query::{Circumstances, Query, describes},
    rates::Ledger,
    reads::Reads,
    rule::Rule,
    schema::{Actions, Tool, Vocabulary},
    shapes::Shapes,
    source::Source,
    terms::Violation,
    verdict::{Court, Outcome},
};

/// A checked set of policies, ready to decide. Immutable but for what it
/// remembers: a reload makes the next one and swaps it in.
pub struct Policies {
    pub(crate) index: Index,
    files: Vec<String>,
    members: Members,
    zones: Zones,
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
    ledger: Arc<Ledger>,
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

    /// Whether a caller may be connected with a server at all: asked before
    /// anything is dialled or opened. No `forbid` may cover connecting, and
    /// something must permit it, or permit this caller anything there.
    /// Facts are not asked for: what rests on them is decided for each call.
    ///
    /// # Errors
    /// A `forbid` covers it, or nothing permits this caller anything there.
    pub fn connect(
        &self,
        caller: &Caller,
        server: &str,
        posture: Option<&Posture>,
        loopback: bool,
        now_ms: u64,
    ) -> Result<Arc<[String]>, Refused> {
        let query = Query { caller, server, method: method::CONNECT, name: None, posture, loopback };
        let link = Link::new(posture, loopback);
        let method = method::connect();
        let key = key(&query, true);
        let frame = self.frames.get_or(key, || self.make_frame(&query, method));
        let frame = frame.expect("connecting needs no name");
        let means = self.means(&frame, &query, &link);
        let request =
            means.unknown(Some(now_ms)).and_then(|context| frame.request(context).map_err(Gap::Failed));
        let foreseen = match request {
            Ok(request) => frame.foresee(&self.index, &request),
            Err(_) => return Err(explain::unreachable(&query, None)),
        };
        let forbid = foreseen.certain.iter().copied().find(|&n| {
            let rule = self.index.rule(n);
            !rule.is_permit() && rule.violation() != Violation::Hold
        });
        if let Some(n) = foreseen.failed.or(forbid) {
            return Err(explain::unreachable(&query, Some(self.index.rule(n))));
        }
        let permits = possible::permits(&self.index, &foreseen);
        if !permits.is_empty() {
            return Ok(permits.into());
        }
        let reach =
            frame.reach.get_or_init(|| possible::reach(&self.index, &self.names(&query, method), server));
        if reach.is_empty() { Err(explain::unreachable(&query, None)) } else { Ok(reach.clone()) }
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

    /// Decides one call. The permit owns the message that was decided on.
    ///
    /// # Errors
    /// The denial, with the message back. Default is denial; `forbid` beats
    /// `permit`; a policy that cannot be evaluated denies whatever others say;
    /// a query that does not describe `message` denies.
    pub fn decide(
        &self,
        query: Query<'_>,
        circumstances: &Circumstances<'_>,
        message: Message,
    ) -> Result<Permit, Denial> {
        if !describes(&query, &message) {
            let outcome = Outcome::failed(Cause::Mismatch, None);
            return Err(self.denial(&query, None, outcome, None, circumstances, message));
        }
        let Some(frame) = self.frame(&query) else {
            let outcome = Outcome::failed(Cause::NoSubject, None);
            return Err(self.denial(&query, None, outcome, None, circumstances, message));
        };
        let link = Link::new(query.posture, query.loopback);
        let means = self.means(&frame, &query, &link);
        let found = match self.found(&frame, &means, circumstances, &message) {
            Ok(found) => found,
            Err(gap) => {
                let outcome = match gap {
                    Gap::Misfit(why) => Outcome::failed(Cause::Misfit, Some(why)),
                    Gap::Failed(why) => Outcome::failed(Cause::PolicyFailed, Some(why)),
                };
                return Err(self.denial(&query, Some(&frame), outcome, None, circumstances, message));
            }
        };
        if let Some(policies) = &found.plain {
            return Ok(self.permit(&query, policies.clone(), message));
        }
        let (outcome, shadow) = self.judge(&query, &frame, &found, circumstances, &message);
        match outcome {
            Outcome::Permit { policies, result, approved_by } => {
                let policies = policies.iter().map(|&n| self.index.rule(n).id().to_owned()).collect();
                let permit = self.permit(&query, policies, message);
                Ok(Permit { result, shadow, approved_by, ..permit })
            }
            denied => Err(self.denial(&query, Some(&frame), denied, shadow, circumstances, message)),
        }
    }

    fn permit(&self, query: &Query<'_>, policies: Arc<[String]>, message: Message) -> Permit {
        Permit {
            message,
            server: query.server.to_owned(),
            policies,
            generation: self.generation,
            result: None,
            shadow: None,
            approved_by: None,
        }
    }

    /// Whether such a call could be permitted with some arguments, at some
    /// time, with some facts: for hiding what a caller could never use from
    /// lists. Remembered, so cheap.
    pub fn allows(&self, query: &Query<'_>) -> bool {
        let Some(frame) = self.frame(query) else { return false };
        let link = Link::new(query.posture, query.loopback);
        frame.allowed(&link, || {
            let means = self.means(&frame, query, &link);
            let request = means.unknown(None).and_then(|context| frame.request(context).map_err(Gap::Failed));
            request.is_ok_and(|request| {
                possible::allows(&self.index, &frame, &frame.foresee(&self.index, &request))
            })
        })
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

    /// What matches the call; remembered if it rests on the link alone.
    fn found(
        &self,
        frame: &Frame,
        means: &Means<'_>,
        circumstances: &Circumstances<'_>,
        message: &Message,
    ) -> Result<Arc<Found>, Gap> {
        if !frame.slice.reads.is_plain() {
            let request = self.request(frame, means, circumstances, message)?;
            return Ok(Arc::new(frame.evaluate(&self.index, &request)));
        }
        frame.found(means.link, || {
            let request = means.plain().and_then(|context| frame.request(context).map_err(Gap::Failed))?;
            Ok(Arc::new(frame.evaluate(&self.index, &request)))
        })
    }

    pub(crate) fn request(
        &self,
        frame: &Frame,
        means: &Means<'_>,
        circumstances: &Circumstances<'_>,
        message: &Message,
    ) -> Result<Request, Gap> {
        let context = means.full(message, circumstances, &frame.slice.facts)?;
        frame.request(context).map_err(Gap::Failed)
    }

    /// The call as policies see it, for explaining.
    pub(crate) fn seen(
        &self,
        frame: &Frame,
        query: &Query<'_>,
        circumstances: &Circumstances<'_>,
        message: &Message,
    ) -> Option<Request> {
        let link = Link::new(query.posture, query.loopback);
        self.request(frame, &self.means(frame, query, &link), circumstances, message).ok()
    }

    pub(crate) fn means<'a>(&'a self, frame: &'a Frame, query: &Query<'a>, link: &'a Link<'a>) -> Means<'a> {
        Means {
            reads: &frame.slice.reads,
            needles: &frame.slice.needles,
            zones: &self.zones,
            shape: frame.shape.as_deref(),
            method: frame.method,
            method_name: query.method,
            link,
        }
    }

    /// What happens, and what policies in shadow mode would change about it.
    fn judge(
        &self,
        query: &Query<'_>,
        frame: &Frame,
        found: &Found,
        circumstances: &Circumstances<'_>,
        message: &Message,
    ) -> (Outcome, Option<String>) {
        let digest = || digest::of_call(query, frame, circumstances.carried, message);
        let court = |trial| Court {
            index: &self.index,
            slice: &frame.slice,
            ledger: &self.ledger,
            agent: &query.caller.agent,
            now_ms: circumstances.now_ms,
            approval: circumstances.approval,
            digest: &digest,
            trial,
        };
        // The trial first: it looks at what the verdict counts.
        let tried = found.tried.as_ref().map(|matched| (court(true).judge(matched), matched));
        let outcome = court(false).judge(&found.live);
        let shadow =
            tried.and_then(|(tried, matched)| explain::shadow(&self.index, &outcome, &tried, matched));
        (outcome, shadow)
    }

    fn denial(
        &self,
        query: &Query<'_>,
        frame: Option<&Frame>,
        outcome: Outcome,
        shadow: Option<String>,
        circumstances: &Circumstances<'_>,
        message: Message,
    ) -> Denial {
        let Outcome::Deny { cause, policies, detail, violation, retry_ms } = outcome else {
            unreachable!("only denials are explained")
        };
        let cause = match (cause, frame) {
            (Cause::NotPermitted, Some(frame)) if frame.method.is_other() => Cause::UnknownMethod,
            (cause, _) => cause,
        };
        let why = explain::Why { cause, policies: &policies, detail: detail.as_deref(), retry_ms };
        let text = explain::denial(self, query, frame, &why, circumstances, &message);
        let consequence = match violation {
            Violation::Deny => Consequence::Deny,
            Violation::Kill => Consequence::Kill,
            Violation::Hold => Consequence::Hold {
                digest: frame
                    .map(|frame| digest::of_call(query, frame, circumstances.carried, &message))
                    .unwrap_or_default(),
            },
        };
        let policies: Vec<String> = policies.iter().map(|&n| self.index.rule(n).id().to_owned()).collect();
        Denial {
            cause,
            consequence,
            policy: policies.first().cloned(),
            policies,
            retry_ms,
            shadow,
            generation: self.generation,
            reason: text.reason,
            hint: text.hint,
            message,
        }
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
