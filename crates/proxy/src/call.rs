//! The facts of one call, gathered on its way through the stages and recorded exactly once.

mod recording;

use std::collections::BTreeMap;
use std::sync::Arc;

use lockgate_audit::Kind;
use lockgate_detect::Finding;
use lockgate_live::{Event, Found, Trace};
use lockgate_mcp::{Era, Kind as MessageKind, Message};
use lockgate_policy::Permit;
use lockgate_privacy::shown;
use serde::de::IgnoredAny;

use crate::link::LinkContext;
use crate::node::Node;
use crate::results::{self, Cuts};
use crate::session::{Owed, Session};
use crate::tell::Times;

pub use recording::describe_link;

/// Findings of one call that are shown with what they rest on.
const FOUND_MAX: usize = 8;

/// One call on its way. Whatever becomes of it, one record is written: by [`Call::record`], or, when the client leaves
/// and the call is dropped, as cancelled.
///
/// Only a request is owed an answer under its id. A client's own answer carries an id too, but one that the server chose:
/// under that id nothing may go back to the client, who may be using it for something else.
pub struct Call {
    /// The node that serves it.
    pub node: Arc<Node>,
    /// The link that it came in on.
    pub link: Arc<LinkContext>,
    /// The legacy session that it belongs to.
    pub session: Option<Arc<Session>>,
    /// The protocol era, once known.
    pub era: Era,
    /// The trace that it is kept in.
    pub(crate) trace: Option<Trace>,
    pub(crate) times: Times,
    facts: Facts,
    /// What those who look on are told once its record has settled.
    untold: Option<Event>,
    cuts: Cuts,
    /// Resources and tasks that it asks to be told of, each with the method that is permitted for it.
    subjects: Vec<(String, Option<String>)>,
    /// What its model is to be told with the result.
    warnings: Vec<String>,
    asks: bool,
    is_forwarded: bool,
    is_in_flight: bool,
    recorded: bool,
}

/// What the record will say.
#[derive(Default)]
struct Facts {
    kind: Kind,
    server: Option<String>,
    method: Option<String>,
    name: Option<String>,
    id: Option<String>,
    policies: Vec<String>,
    policy_generation: Option<u64>,
    consequence: Option<&'static str>,
    approval: Option<String>,
    shadow: Option<String>,
    facts: Option<String>,
    argument_names: Vec<String>,
    /// What was asked, and what was answered: both share their bytes with what passes.
    request: Option<Message>,
    result: Option<Message>,
    /// Why the content is kept, where policy has it kept.
    record_for: Option<String>,
    findings: Vec<String>,
    found: Vec<Found>,
    bytes_in: Option<u64>,
    bytes_out: Option<u64>,
}

impl Call {
    /// A call that has just arrived on `link`.
    pub fn open(node: &Arc<Node>, link: &Arc<LinkContext>) -> Self {
        node.metrics.calls_in_flight.inc();
        Self {
            node: node.clone(),
            link: link.clone(),
            session: None,
            era: Era::Legacy,
            trace: None,
            times: Times::begin(),
            facts: Facts::default(),
            untold: None,
            cuts: Cuts::default(),
            subjects: Vec::new(),
            warnings: Vec::new(),
            asks: false,
            is_forwarded: false,
            is_in_flight: true,
            recorded: false,
        }
    }

    /// Notes what the message says of itself.
    pub fn note_message(&mut self, message: &Message) {
        self.facts.method = message.method().map(str::to_owned);
        self.facts.name = message.name().map(str::to_owned);
        self.facts.id = message.id_raw().map(str::to_owned);
        self.facts.bytes_in = Some(message.bytes().len() as u64);
        self.asks = message.kind() == MessageKind::Request;
        if let Some(raw) = message.arguments_raw() {
            let names: Result<BTreeMap<String, IgnoredAny>, _> = serde_json::from_str(raw);
            let names = names.map(|names| names.into_keys().collect::<Vec<_>>()).unwrap_or_default();
            let mut names: Vec<String> = names.iter().map(|name| shown(name).to_owned()).collect();
            names.dedup();
            self.facts.argument_names = names;
        }
        self.facts.request = Some(message.clone());
    }

    /// Notes what goes back.
    pub fn note_result(&mut self, message: &Message) {
        self.facts.result = (message.kind() == MessageKind::Result).then(|| message.clone());
    }

    /// Notes the id alone, of a message that could not be decoded.
    pub fn note_id(&mut self, id_raw: String) {
        self.facts.id = Some(id_raw);
        self.asks = true;
    }

    /// Notes that its server may have it from now on, so that an answer may come even to a client that has left.
    pub fn note_forwarded(&mut self) {
        self.is_forwarded = true;
    }

    /// Notes the server that it goes to.
    pub fn note_server(&mut self, server: &str) {
        self.facts.server = Some(server.to_owned());
    }

    /// Notes the name that the server knows its subject by.
    pub fn note_name(&mut self, name: Option<&str>) {
        self.facts.name = name.map(str::to_owned);
    }

    /// Notes that this is a listening stream rather than a call.
    pub fn note_stream(&mut self) {
        self.facts.kind = Kind::Stream;
    }

    /// Notes what an answer belongs to that comes outside its own stream.
    pub fn note_owed(&mut self, id_raw: &str, owed: Owed) {
        self.note_id(id_raw.to_owned());
        self.note_forwarded();
        self.facts.server = Some(owed.server);
        self.facts.method = Some(owed.method);
        self.facts.name = owed.name;
        self.cuts = owed.cuts;
        self.facts.policy_generation = owed.generation;
    }

    /// Notes what a server said of its own accord: its method, and the size.
    pub fn note_said(&mut self, server: &str, message: &Message) {
        self.note_stream();
        self.note_server(server);
        self.facts.method = message.method().map(str::to_owned);
        self.facts.bytes_out = Some(message.bytes().len() as u64);
    }

    /// Notes what policy decided, and what of the result may pass for it.
    pub fn note_permit(&mut self, permit: &Permit) {
        self.cuts = results::cuts(self, permit.server(), permit);
        self.facts.policies = permit.policies().to_vec();
        self.facts.policy_generation = Some(permit.generation());
        self.facts.approval = permit.approved_by().map(str::to_owned);
        self.facts.shadow = permit.shadow().map(str::to_owned);
        self.facts.record_for = permit.record_for().map(str::to_owned);
    }

    /// Notes the SHA-256 of the facts that were decided on.
    pub fn note_facts(&mut self, digest: Option<String>) {
        self.facts.facts = digest;
    }

    /// Notes that it asks to be told of a resource or a task.
    pub(crate) fn note_subject(&mut self, method: &str, name: String) {
        self.subjects.push((method.to_owned(), Some(name)));
    }

    /// What it listens to, where it does: its method, and the resources and tasks that it asks to be told of.
    pub(crate) fn listens_to(&self) -> Vec<(String, Option<String>)> {
        std::iter::once((self.method().to_owned(), None)).chain(self.subjects.iter().cloned()).collect()
    }

    /// Takes more from its result, for policies that came into force since.
    pub(crate) fn narrow(&mut self, cuts: Cuts) {
        self.cuts = cuts;
    }

    /// What is taken from its result.
    pub(crate) fn cuts(&self) -> &Cuts {
        &self.cuts
    }

    /// The subject: a tool, prompt, URI or task.
    pub fn name(&self) -> Option<&str> {
        self.facts.name.as_deref()
    }

    /// The generation of the policies that permitted it.
    pub(crate) fn permitted_under(&self) -> Option<u64> {
        self.facts.policy_generation
    }

    /// Notes what detection found.
    pub fn note_findings(&mut self, findings: &[Finding]) {
        for finding in findings {
            self.node.metrics.finding(finding);
            self.facts.findings.push(finding.id.to_string());
            if self.node.live.is_open() && self.facts.found.len() < FOUND_MAX {
                self.facts.found.push(crate::tell::found(finding));
            }
        }
    }

    /// Has its model told of this with the result.
    pub(crate) fn warn(&mut self, reasons: &[String]) {
        let room = FOUND_MAX.saturating_sub(self.warnings.len());
        self.warnings.extend(reasons.iter().take(room).cloned());
    }

    /// What its model is to be told, once.
    pub(crate) fn take_warnings(&mut self) -> Vec<String> {
        std::mem::take(&mut self.warnings)
    }

    /// The JSON-RPC id under which the client waits for an answer, as it wrote it; none if it waits for none.
    pub fn id_raw(&self) -> Option<&str> {
        self.facts.id.as_deref().filter(|_| self.asks)
    }

    /// Whether the client waits for a JSON-RPC answer.
    pub fn asks(&self) -> bool {
        self.asks
    }

    /// The server that it goes to.
    pub fn server(&self) -> &str {
        self.facts.server.as_deref().unwrap_or_default()
    }

    /// The MCP method.
    pub fn method(&self) -> &str {
        self.facts.method.as_deref().unwrap_or_default()
    }

    /// What must be known to judge its answer later.
    pub fn owed(&self) -> Owed {
        Owed {
            server: self.server().to_owned(),
            method: self.method().to_owned(),
            name: self.facts.name.clone(),
            cuts: self.cuts.clone(),
            generation: self.facts.policy_generation,
        }
    }
}
