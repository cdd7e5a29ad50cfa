//! The decision.

use std::sync::Arc;

use cedar_policy::Request;
use lockgate_crypto::Posture;
use lockgate_identity::Caller;
use lockgate_mcp::Message;

use crate::{
    Policies,
    context::{Gap, Means},
    digest, explain,
    frame::{Found, Frame},
    framing::key,
    link::Link,
    method,
    permit::{Cause, Consequence, Denial, Permit, Refused},
    possible,
    query::{Circumstances, Query, describes},
    terms::Violation,
    verdict::{Court, Outcome},
};

/// What is known of a call when it is denied.
#[derive(Clone, Copy)]
struct Case<'a> {
    query: &'a Query<'a>,
    circumstances: &'a Circumstances<'a>,
    frame: Option<&'a Frame>,
    /// What was evaluated.
    request: Option<&'a Request>,
}

impl Policies {
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
        let case = Case { query: &query, circumstances, frame: None, request: None };
        if !describes(&query, &message) {
            return Err(self.denial(&case, Outcome::failed(Cause::Mismatch, None), None, message));
        }
        let Some(frame) = self.frame(&query) else {
            return Err(self.denial(&case, Outcome::failed(Cause::NoSubject, None), None, message));
        };
        let case = Case { frame: Some(&frame), ..case };
        let link = Link::new(query.posture, query.loopback);
        let means = self.means(&frame, &query, &link);
        let found = match self.found(&frame, &means, circumstances, &message) {
            Ok(found) => found,
            Err(gap) => {
                let outcome = match gap {
                    Gap::Misfit(why) => Outcome::failed(Cause::Misfit, Some(why)),
                    Gap::Failed(why) => Outcome::failed(Cause::PolicyFailed, Some(why)),
                };
                return Err(self.denial(&case, outcome, None, message));
            }
        };
        if let Some(policies) = &found.plain {
            return Ok(self.permit(&query, policies.clone(), message));
        }
        let (outcome, shadow) = self.judge(&query, &frame, &found, circumstances, &message);
        match outcome {
            Outcome::Permit { policies, result, approved_by } => {
                let rules = || policies.iter().map(|&n| self.index.rule(n));
                // The first that names a purpose: they stand in the order of their files.
                let record_for = rules().find_map(|rule| rule.terms().record_for.clone());
                let policies = rules().map(|rule| rule.id().to_owned()).collect();
                let permit = self.permit(&query, policies, message);
                Ok(Permit { result, shadow, approved_by, record_for, ..permit })
            }
            denied => {
                Err(self.denial(&Case { request: found.request.as_ref(), ..case }, denied, shadow, message))
            }
        }
    }

    fn permit(&self, query: &Query<'_>, policies: Arc<[String]>, message: Message) -> Permit {
        Permit {
            message,
            server: query.server.to_owned(),
            policies,
            generation: self.generation(),
            result: None,
            shadow: None,
            approved_by: None,
            record_for: None,
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
            return Ok(Arc::new(frame.evaluate(&self.index, request)));
        }
        frame.found(means.link, || {
            let request = means.plain().and_then(|context| frame.request(context).map_err(Gap::Failed))?;
            Ok(Arc::new(frame.evaluate(&self.index, request)))
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

    fn denial(&self, case: &Case<'_>, outcome: Outcome, shadow: Option<String>, message: Message) -> Denial {
        let Case { query, circumstances, frame, request } = *case;
        let Outcome::Deny { cause, policies, detail, violation, retry_ms } = outcome else {
            unreachable!("only denials are explained")
        };
        let cause = match (cause, frame) {
            (Cause::NotPermitted, Some(frame)) if frame.method.is_other() => Cause::UnknownMethod,
            (cause, _) => cause,
        };
        let why = explain::Why { cause, policies: &policies, detail: detail.as_deref(), retry_ms };
        let text = explain::denial(self, query, frame, &why, request);
        let consequence = match violation {
            Violation::Deny => Consequence::Deny,
            Violation::Kill => Consequence::Kill,
            Violation::Hold => {
                let carried = circumstances.carried;
                Consequence::Hold {
                    digest: frame
                        .map(|frame| digest::of_call(query, frame, carried, &message))
                        .unwrap_or_default(),
                    beside: frame.map(|frame| digest::beside(frame, carried, &message)).unwrap_or_default(),
                }
            }
        };
        let policies: Vec<String> = policies.iter().map(|&n| self.index.rule(n).id().to_owned()).collect();
        Denial {
            cause,
            consequence,
            policy: policies.first().cloned(),
            policies,
            retry_ms,
            shadow,
            generation: self.generation(),
            reason: text.reason,
            hint: text.hint,
            message,
        }
    }
}
