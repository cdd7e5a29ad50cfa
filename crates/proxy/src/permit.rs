//! Stage 6 with all that a decision rests on: where a caller may connect, the facts, the texts that travel beside the
//! message, the time, and the approvals that people gave.

use std::sync::Arc;

use http::HeaderMap;
use lockgate_identity::Caller;
use lockgate_mcp::{Era, Kind, Message};
use lockgate_policy::{
    Approval, Circumstances, Consequence, Denial, FactShape, FactValues, Permit, Policies, Query, RESPONSE,
    Refused,
};
use lockgate_store::StoreError;

use crate::approvals::{ApprovalError, Approvals, HeldCall, Question};
use crate::call::Call;
use crate::facts::Subject;
use crate::link::LinkContext;
use crate::node::Node;
use crate::refusal::{Hold, Refusal};
use crate::results::Cuts;
use crate::upstream::{carried, named};

/// What is asked for, and what travels with it.
pub(crate) struct Asked<'a> {
    /// The node.
    pub(crate) node: &'a Arc<Node>,
    /// The link that it came in on.
    pub(crate) link: &'a LinkContext,
    /// Id of the server that it would go to.
    pub(crate) server: &'a str,
    /// The headers that it came with.
    pub(crate) headers: &'a HeaderMap,
    /// Its protocol era.
    pub(crate) era: Era,
}

/// How a call comes to wait.
type Park = fn(&Approvals, Question, u64) -> Result<HeldCall, ApprovalError>;

/// A decision and what it rested on.
pub(crate) struct Decided {
    pub(crate) result: Result<Permit, Refusal>,
    /// SHA-256 of the facts, where any was read.
    pub(crate) facts: Option<String>,
    /// What is taken from the result for those in whose names the caller acts.
    pub(crate) cuts: Cuts,
}

impl Decided {
    fn refused(refusal: Refusal) -> Self {
        Self { result: Err(refusal), facts: None, cuts: Cuts::default() }
    }
}

impl<'a> Asked<'a> {
    /// What `call` asks of `server`.
    pub(crate) fn by(call: &'a Call, server: &'a str, headers: &'a HeaderMap) -> Self {
        Self { node: &call.node, link: &call.link, server, headers, era: call.era }
    }

    /// Decides on `message`. A call that waits for a person is parked, or passes on the approval that it has got.
    pub(crate) async fn decide(&self, message: Message) -> Decided {
        let policies = self.link.own.clone().unwrap_or_else(|| self.node.policies.load_full());
        if let Err(refused) = connect(self.node, &policies, self.link, self.server) {
            return Decided::refused(Refusal::NotConnected(Box::new(refused)));
        }
        let (mut message, mut cuts) = (message, Cuts::default());
        for caller in self.link.caller.acts_for.iter() {
            match self.decide_as(&policies, caller, message).await {
                Ok(permit) => {
                    cuts = cuts.and(&Cuts::of_fields(permit.result()));
                    message = permit.into_message();
                }
                Err(denial) => return Decided::refused(denied(denial)),
            }
        }
        let decided = self.decide_for_itself(&policies, message).await;
        Decided { cuts, ..decided }
    }

    /// What one in whose name the caller acts may do. What a person would have to approve for that one is denied: an approval is
    /// of the call that somebody makes itself.
    async fn decide_as(
        &self,
        policies: &Policies,
        caller: &Caller,
        message: Message,
    ) -> Result<Permit, Denial> {
        let named = message.clone();
        let query = query(self.link, caller, self.server, &named);
        let facts = self.facts(caller, policies.needed_facts(&query), &named).await;
        let carried = carried(self.headers, self.era);
        let carried: Vec<&str> = carried.iter().map(String::as_str).collect();
        let circumstances =
            Circumstances { now_ms: self.node.now_ms(), facts: &facts, carried: &carried, approval: None };
        policies.decide(query, &circumstances, message)
    }

    async fn decide_for_itself(&self, policies: &Policies, message: Message) -> Decided {
        let caller = &self.link.caller;
        let named = message.clone();
        let query = query(self.link, caller, self.server, &named);
        let facts = self.facts(caller, policies.needed_facts(&query), &named).await;
        let digest = (!facts.is_empty()).then(|| facts.digest());
        let carried = carried(self.headers, self.era);
        let carried: Vec<&str> = carried.iter().map(String::as_str).collect();
        let circumstances =
            Circumstances { now_ms: self.node.now_ms(), facts: &facts, carried: &carried, approval: None };
        let result = match policies.decide(query, &circumstances, message) {
            Ok(permit) => Ok(permit),
            Err(denial) => self.held_or_denied(policies, query, &circumstances, denial).await,
        };
        Decided { result, facts: digest, cuts: Cuts::default() }
    }

    async fn facts(&self, caller: &Caller, needed: Vec<Arc<FactShape>>, message: &Message) -> FactValues {
        if needed.is_empty() {
            return FactValues::new();
        }
        let (agent, arguments_raw) = (caller.agent.as_str(), message.arguments_raw());
        let subject = Subject { agent, server: self.server, arguments_raw };
        self.node.facts().gather(&needed, subject, self.node.now_ms()).await
    }

    async fn held_or_denied(
        &self,
        policies: &Policies,
        query: Query<'_>,
        circumstances: &Circumstances<'_>,
        denial: Denial,
    ) -> Result<Permit, Refusal> {
        let Consequence::Hold { digest, .. } = &denial.consequence else { return Err(denied(denial)) };
        // An approval is of what somebody does itself: with it, the same call could be made in its own name. And only a
        // request can be told to come back.
        if !self.link.caller.acts_for.is_empty() || denial.message.kind() != Kind::Request {
            return Err(denied(denial));
        }
        let Some(approval) = self.node.approvals.approval(digest, circumstances.now_ms) else {
            return Err(self.park(denial, Approvals::park).await);
        };
        let with_approval = Circumstances { approval: Some(&approval), ..*circumstances };
        let permit = match policies.decide(query, &with_approval, denial.message) {
            Ok(permit) => permit,
            // It was approved for other policies than hold it now.
            Err(denial) => return Err(self.park(denial, Approvals::park_anew).await),
        };
        match self.take(approval).await {
            Ok(true) => Ok(permit),
            // Another call was quicker with the same approval: this one waits for its own.
            Ok(false) => match policies.decide(query, circumstances, permit.into_message()) {
                Ok(permit) => Ok(permit),
                Err(denial) => Err(self.park(denial, Approvals::park).await),
            },
            Err(error) => Err(Refusal::Unheld(error.into())),
        }
    }

    async fn take(&self, approval: Approval) -> Result<bool, StoreError> {
        let now_ms = self.node.now_ms();
        on_disk(self.node, move |approvals| approvals.take(&approval.digest, now_ms)).await
    }

    /// Has a call wait that is held.
    async fn park(&self, denial: Denial, how: Park) -> Refusal {
        let Consequence::Hold { digest, beside } = denial.consequence.clone() else { return denied(denial) };
        let message = &denial.message;
        let question = Question {
            digest,
            agent: self.link.caller.agent.clone(),
            server: self.server.to_owned(),
            method: message.method().unwrap_or_default().to_owned(),
            name: message.name().map(str::to_owned),
            arguments: message.arguments_raw().map(str::to_owned),
            beside: named(self.headers, self.era, beside),
            policies: denial.policies.clone(),
            reason: denial.reason.clone(),
        };
        let now_ms = self.node.now_ms();
        let parked = on_disk(self.node, move |approvals| how(approvals, question, now_ms)).await;
        self.node.count_held();
        match parked {
            Ok(call) => Refusal::Hold(Box::new(Hold { call, denial, era: self.era })),
            Err(error) => Refusal::Unheld(error),
        }
    }
}

/// Runs what waits for the disk where it may wait.
pub(crate) async fn on_disk<T: Send + 'static>(
    node: &Arc<Node>,
    step: impl FnOnce(&Approvals) -> T + Send + 'static,
) -> T {
    let approvals = Arc::clone(&node.approvals);
    let done = tokio::task::spawn_blocking(move || step(&approvals)).await;
    done.unwrap_or_else(|panic| std::panic::resume_unwind(panic.into_panic()))
}

/// Whether the caller of `link` may have anything to do with `server` at all.
pub(crate) fn connect(
    node: &Node,
    policies: &Policies,
    link: &LinkContext,
    server: &str,
) -> Result<(), Refused> {
    let (posture, loopback) = (link.posture.as_deref(), link.is_loopback());
    let mut callers = link.caller.everybody();
    callers
        .try_for_each(|caller| policies.connect(caller, server, posture, loopback, node.now_ms()).map(drop))
}

/// What could be asked for: a server, a method and its subject.
pub(crate) type What<'a> = (&'a str, &'a str, Option<&'a str>);

/// The same question of the caller of `link`, and of all in whose names it acts.
pub(crate) fn queries<'a>(link: &'a LinkContext, what: What<'a>) -> impl Iterator<Item = Query<'a>> {
    let (server, method, name) = what;
    let (posture, loopback) = (link.posture.as_deref(), link.is_loopback());
    link.caller.everybody().map(move |caller| Query { caller, server, method, name, posture, loopback })
}

/// Whether the caller of `link`, and all in whose names it acts, could ever be allowed this.
pub(crate) fn allows(policies: &Policies, link: &LinkContext, what: What<'_>) -> bool {
    queries(link, what).all(|query| policies.allows(&query))
}

/// Whether something may be taken from the results of this for the caller of `link`, or one in whose name it acts.
pub(crate) fn may_cut(policies: &Policies, link: &LinkContext, what: What<'_>) -> bool {
    queries(link, what).any(|query| policies.may_cut(&query))
}

/// Whether the caller of `link` may connect with `server` under what is in force now.
pub(crate) fn may_connect(node: &Node, link: &LinkContext, server: &str) -> bool {
    connect(node, &node.policies.load(), link, server).is_ok()
}

fn query<'a>(link: &'a LinkContext, caller: &'a Caller, server: &'a str, message: &'a Message) -> Query<'a> {
    Query {
        caller,
        server,
        method: message.method().unwrap_or(RESPONSE),
        name: message.name(),
        posture: link.posture.as_deref(),
        loopback: link.is_loopback(),
    }
}

fn denied(denial: Denial) -> Refusal {
    Refusal::Denied(Box::new(denial))
}
