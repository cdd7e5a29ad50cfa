//! The decision.

use std::sync::Arc;

use cedar_policy::{Authorizer, Context, Decision, Entities, EntityUid, Request, RestrictedExpression};
use lockgate_crypto::Posture;
use lockgate_identity::Caller;
use lockgate_mcp::Message;

use crate::{
    entity,
    error::PolicyError,
    explain,
    facts::FactShape,
    index::{Index, Scope},
    link::Link,
    memo::{Key, Memo},
    method::{self, Method},
    options::Options,
    permit::{Cause, Consequence, Denial, Permit, Refused},
    query::{Circumstances, Query, describes},
    source::{SCHEMA, Source, load},
};

/// A checked set of policies, ready to decide. Immutable: a reload makes the
/// next one and swaps it in.
pub struct Policies {
    index: Index,
    files: Vec<String>,
    actions: Entities,
    memo: Memo<Verdict>,
    generation: u64,
}

/// What is remembered of a decision.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    /// Permitted, by these policies.
    Permit(Arc<[String]>),
    /// Denied.
    Deny {
        cause: Cause,
        /// The policy that forbids or that failed.
        policy: Option<Arc<str>>,
        /// What the failed policy failed on.
        detail: Option<Arc<str>>,
    },
}

impl Verdict {
    fn deny(cause: Cause, policy: Option<&str>, detail: Option<String>) -> Self {
        Verdict::Deny { cause, policy: policy.map(Arc::from), detail: detail.map(Arc::from) }
    }
}

impl Policies {
    /// Parses, validates and files all sources as one set. No policy at all is
    /// a valid set that denies everything.
    ///
    /// # Errors
    /// Every mistake of every file at once, in reading order.
    pub fn parse(sources: &[Source<'_>], options: &Options<'_>) -> Result<Self, Vec<PolicyError>> {
        let rules = load(sources)?;
        Ok(Policies {
            index: Index::new(rules),
            files: sources.iter().map(|source| source.name.to_owned()).collect(),
            actions: SCHEMA.action_entities().expect("schema.cedarschema is tested"),
            memo: Memo::new(),
            generation: options.generation,
        })
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
        Self::parse(sources, options)
    }

    /// Whether a caller may be connected with a server at all: asked before
    /// anything is dialled or opened. Gives the policies that say yes.
    ///
    /// # Errors
    /// A `forbid` covers it, or nothing permits this caller anything there.
    pub fn connect(
        &self,
        _caller: &Caller,
        _server: &str,
        _posture: Option<&Posture>,
        _loopback: bool,
        _now_ms: u64,
    ) -> Result<Arc<[String]>, Refused> {
        Ok(Arc::default())
    }

    /// The facts that policies read for such a call.
    pub fn needed_facts(&self, _query: &Query<'_>) -> Vec<Arc<FactShape>> {
        Vec::new()
    }

    /// The roles of a caller: those of its registration and those that role
    /// files give it.
    pub fn roles(&self, _caller: &Caller) -> Vec<String> {
        Vec::new()
    }

    /// What is not wrong but worth a look, such as policies on tools that no
    /// server has shown yet.
    pub fn warnings(&self) -> &[PolicyError] {
        &[]
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
        _circumstances: &Circumstances<'_>,
        message: Message,
    ) -> Result<Permit, Denial> {
        let verdict = if describes(&query, &message) {
            self.verdict(&query)
        } else {
            Verdict::deny(Cause::Mismatch, None, None)
        };
        match verdict {
            Verdict::Permit(policies) => Ok(Permit {
                message,
                server: query.server.to_owned(),
                policies,
                generation: self.generation,
                result: None,
                shadow: None,
                approved_by: None,
            }),
            Verdict::Deny { cause, policy, detail } => {
                let text = explain::denial(self, &query, cause, policy.as_deref(), detail.as_deref());
                Err(Denial {
                    cause,
                    consequence: Consequence::Deny,
                    policies: policy.iter().map(ToString::to_string).collect(),
                    retry_ms: None,
                    shadow: None,
                    generation: self.generation,
                    policy: policy.map(|id| id.to_string()),
                    reason: text.reason,
                    hint: text.hint,
                    message,
                })
            }
        }
    }

    /// Whether such a call would be permitted: for hiding what a caller could
    /// not use from lists. Remembered like a decision, so cheap.
    pub fn allows(&self, query: &Query<'_>) -> bool {
        matches!(self.verdict(query), Verdict::Permit(_))
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
        self.index.rules().iter().map(crate::source::Rule::id)
    }

    /// How many policies Cedar evaluates for such a call: those whose scope
    /// fits it, whatever the size of the set.
    pub fn considered(&self, query: &Query<'_>) -> usize {
        let method = method::find(query.method);
        self.selected(query, method).map_or(0, |selected| selected.len())
    }

    pub(crate) fn index(&self) -> &Index {
        &self.index
    }

    pub(crate) fn files(&self) -> &[String] {
        &self.files
    }

    /// The rules whose scope fits; `None` if the method needs a name that the
    /// query lacks.
    pub(crate) fn selected(&self, query: &Query<'_>, method: &Method) -> Option<Arc<[u32]>> {
        let resource = entity::resource(method.subject, query.server, query.name)?;
        let server = entity::server(query.server);
        let actions: Vec<&EntityUid> =
            [&method.action].into_iter().chain(method.group.as_ref().map(|(_, id)| id)).collect();
        let resources = if resource == server { vec![&server] } else { vec![&resource, &server] };
        Some(self.index.select(&Scope {
            principal: &entity::principal(query.caller),
            action: &actions,
            resource: &resources,
        }))
    }

    fn verdict(&self, query: &Query<'_>) -> Verdict {
        let link = Link::new(query.posture, query.loopback);
        self.memo.get_or(key(query, &link), || self.evaluate(query, &link))
    }

    fn evaluate(&self, query: &Query<'_>, link: &Link<'_>) -> Verdict {
        let method = method::find(query.method);
        let Some(selected) = self.selected(query, method) else {
            return Verdict::deny(Cause::NoSubject, None, None);
        };
        let (request, entities) = match self.request(query, method, link) {
            Ok(made) => made,
            Err(detail) => return Verdict::deny(Cause::PolicyFailed, None, Some(detail)),
        };
        let response =
            Authorizer::new().is_authorized(&request, &self.index.policy_set(&selected), &entities);
        // Cedar skips a policy that fails, a `forbid` too. So a failure is
        // looked for first and denies.
        if let Some(error) = response.diagnostics().errors().next() {
            let cedar_policy::AuthorizationError::PolicyEvaluationError(error) = error;
            let policy: &str = error.policy_id().as_ref();
            return Verdict::deny(Cause::PolicyFailed, Some(policy), Some(error.inner().to_string()));
        }
        let mut ids: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        ids.sort_unstable();
        match (response.decision(), ids.first()) {
            (Decision::Allow, Some(_)) => Verdict::Permit(ids.into()),
            (_, Some(id)) => Verdict::deny(Cause::Forbidden, Some(id), None),
            (_, None) if method.is_other() => Verdict::deny(Cause::UnknownMethod, None, None),
            (_, None) => Verdict::deny(Cause::NotPermitted, None, None),
        }
    }

    /// The call in Cedar's terms, checked against the schema: a bug here fails
    /// and so denies.
    fn request(
        &self,
        query: &Query<'_>,
        method: &Method,
        link: &Link<'_>,
    ) -> Result<(Request, Entities), String> {
        let no_name = || "the call names nothing".to_owned();
        let resource = entity::resource(method.subject, query.server, query.name).ok_or_else(no_name)?;
        let mut items =
            entity::resource_entities(method.subject, query.server, query.name).ok_or_else(no_name)?;
        items.push(entity::principal_entity(query.caller));
        let entities =
            self.actions.clone().add_entities(items, Some(&SCHEMA)).map_err(|error| error.to_string())?;
        let context = Context::from_pairs([
            ("link".to_owned(), link.to_record()),
            ("method".to_owned(), RestrictedExpression::new_string(query.method.to_owned())),
        ])
        .map_err(|error| error.to_string())?;
        let principal = entity::principal(query.caller);
        let request = Request::new(principal, method.action.clone(), resource, context, Some(&SCHEMA))
            .map_err(|error| error.to_string())?;
        Ok((request, entities))
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

/// Everything that [`Policies::evaluate`] reads, and nothing else.
fn key(query: &Query<'_>, link: &Link<'_>) -> Key {
    let Query { caller, server, method, name, posture: _, loopback: _ } = query;
    let mut key = Key::new();
    let (kind, id) = entity::principal_id(caller);
    key.byte(kind);
    key.text(&id);
    key.text(server);
    key.text(method);
    key.flag(name.is_some());
    key.text(name.unwrap_or_default());
    link.write_key(&mut key);
    key
}
