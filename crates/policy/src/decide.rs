//! The decision.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

use cedar_policy::{Entities, Request};
use lockgate_crypto::{Posture, digest};
use lockgate_identity::Caller;
use lockgate_mcp::Message;
use parking_lot::Mutex;

use crate::{
    arguments::{Arguments, Needles},
    clock::Zones,
    context::{self, Gap, Means},
    entity,
    error::PolicyError,
    explain,
    facts::FactShape,
    frame::{Found, Frame, Slice, Triple},
    index::{Index, Names},
    link::Link,
    load::{Library, Loaded, load},
    members::Members,
    memo::{Key, Memo},
    method::{self, Method, Subject, TOOLS_CALL},
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

/// Selections of policies kept ready. Calls of one tool by many agents share
/// one, so few exist; when the table is full it starts afresh.
const SLICES_MAX: usize = 4_096;

/// A checked set of policies, ready to decide. Immutable but for what it
/// remembers: a reload makes the next one and swaps it in.
pub struct Policies {
    index: Index,
    files: Vec<String>,
    members: Members,
    zones: Zones,
    shapes: Shapes,
    facts: Vec<Arc<FactShape>>,
    /// Server → the groups that it is in.
    groups: HashMap<String, Vec<String>>,
    vocabulary: Vocabulary,
    library: Library,
    warnings: Vec<PolicyError>,
    /// Every needle of every policy.
    needles: Vec<String>,
    slices: Mutex<HashMap<Arc<[u32]>, Arc<Slice>>>,
    frames: Memo<Option<Arc<Frame>>>,
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
        let digest = || call_digest(query, frame.method, message);
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
                digest: frame.map(|frame| call_digest(query, frame.method, &message)).unwrap_or_default(),
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

    /// What all such calls have in common; `None` if the method needs a name
    /// that the query lacks.
    pub(crate) fn frame(&self, query: &Query<'_>) -> Option<Arc<Frame>> {
        self.frames.get_or(key(query, false), || self.make_frame(query, method::find(query.method)))
    }

    fn make_frame(&self, query: &Query<'_>, method: &'static Method) -> Option<Arc<Frame>> {
        let resource = entity::resource(method.subject, query.server, query.name)?;
        let names = self.names(query, method);
        let triple =
            Triple { principal: names.principal[0].clone(), action: names.action[0].clone(), resource };
        let entities = self.entities(query, method, &names)?;
        let slice = self.slice(self.index.select(&names));
        let shape = match (method.subject, query.name) {
            (Subject::Tool, Some(tool)) => self.shapes.get(query.server, tool).cloned(),
            _ => None,
        };
        Some(Arc::new(Frame::new(slice, method, shape, triple, entities)))
    }

    /// Everything that a call is known by.
    fn names(&self, query: &Query<'_>, method: &Method) -> Names {
        let mut principal = vec![entity::principal(query.caller)];
        principal.extend(self.roles(query.caller).iter().map(|role| entity::role(role)));
        let mut action = match (method.subject, query.name) {
            // Pinned or not: its own action, so that no policy on it is passed by.
            (Subject::Tool, Some(tool)) => {
                vec![entity::tool_action(query.server, tool), entity::action(TOOLS_CALL)]
            }
            _ => vec![method.action.clone()],
        };
        action.extend(method.group.as_ref().map(|(_, id)| id.clone()));
        let server = entity::server(query.server);
        let mut resource: Vec<_> =
            entity::resource(method.subject, query.server, query.name).into_iter().collect();
        if !resource.contains(&server) {
            resource.push(server);
        }
        resource.extend(self.groups_of(query.server).iter().map(|group| entity::group(group)));
        Names { principal, action, resource }
    }

    fn groups_of(&self, server: &str) -> &[String] {
        self.groups.get(server).map(Vec::as_slice).unwrap_or_default()
    }

    fn entities(&self, query: &Query<'_>, method: &Method, names: &Names) -> Option<Entities> {
        let groups = self.groups_of(query.server);
        let mut items = entity::resource_entities(method.subject, query.server, query.name, groups)?;
        items.push(entity::principal_entity(query.caller, &self.roles(query.caller)));
        for (n, id) in names.action.iter().enumerate() {
            items.push(entity::action_entity(id.clone(), &names.action[n + 1..]));
        }
        // Distinct ids without circles: there is nothing that could fail.
        Entities::from_entities(items, None).ok()
    }

    fn slice(&self, rules: Arc<[u32]>) -> Arc<Slice> {
        if let Some(ready) = self.slices.lock().get(&rules) {
            return ready.clone();
        }
        let slice =
            Arc::new(Slice::new(&self.index, rules.clone(), &self.facts, |reads| self.prepare(reads)));
        let mut slices = self.slices.lock();
        if slices.len() >= SLICES_MAX {
            slices.clear();
        }
        slices.insert(rules, slice.clone());
        slice
    }

    /// The needles that are asked for, ready to be looked for.
    fn prepare(&self, reads: &Reads) -> Needles {
        let asked = reads.needles.iter().map(String::as_str);
        let needles = if reads.all || reads.all_needles {
            Needles::new(self.needles.iter().map(String::as_str))
        } else {
            Needles::new(asked)
        };
        needles.expect("loading has checked each needle")
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

/// What tells frames apart: everything that [`Policies::make_frame`] reads.
fn key(query: &Query<'_>, connect: bool) -> Key {
    let Query { caller, server, method, name, posture: _, loopback: _ } = query;
    let mut key = Key::new();
    let (kind, id) = entity::principal_id(caller);
    key.byte(kind);
    key.text(&id);
    key.text(&caller.roles.len().to_string());
    caller.roles.iter().for_each(|role| key.text(role));
    key.text(server);
    key.text(method);
    key.flag(connect);
    key.flag(name.is_some());
    key.text(name.unwrap_or_default());
    key
}

/// SHA-256 of a call, by which an approval knows it again.
fn call_digest(query: &Query<'_>, method: &Method, message: &Message) -> String {
    let raw = context::weighed(method, message);
    // Progress tokens and such differ from one try to the next.
    let canonical = match Arguments::read(raw) {
        Ok(arguments) if raw == message.arguments_raw() => arguments.canonical(),
        _ => without_meta(raw).unwrap_or_else(|| raw.unwrap_or_default().to_owned()),
    };
    let mut bytes = Vec::new();
    for text in [&query.caller.agent, query.server, query.method, query.name.unwrap_or("\0"), &canonical] {
        bytes.extend_from_slice(&(text.len() as u64).to_le_bytes());
        bytes.extend_from_slice(text.as_bytes());
    }
    digest::hex(&digest::sha256(&bytes))
}

fn without_meta(raw: Option<&str>) -> Option<String> {
    let mut params: serde_json::Map<String, serde_json::Value> = serde_json::from_str(raw?).ok()?;
    params.remove("_meta");
    let text = serde_json::to_string(&params).ok()?;
    String::from_utf8(lockgate_mcp::canonical::canonicalize(&text).ok()?).ok()
}
