//! What those who look on are told: the same facts as the record's, cut to what a screen can show, and how long each stage
//! took. It costs the call a few short copies; the work is done where events are collected.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use lockgate_audit::{AuditError, Durability, Kind, Outcome, Receipt, Record};
use lockgate_detect::{Finding, Severity};
use lockgate_live::{
    Call as CallSeen, Event, Found, LinkChange, LinkFacts, Note, StageTimes, Trace, Verdict, What, cut,
};

use crate::face::{Face, LinkRefused};
use crate::link::{LinkContext, NewLink, Shown};
use crate::node::{Node, now_ms};
use crate::refusal::Refusal;
use crate::stage::Stage;

/// Entries of a list that are shown; the record has all of them.
const ENTRIES_MAX: usize = 16;

/// How long each stage of a call took.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Times {
    started: Instant,
    last: Instant,
    stages: StageTimes,
    answered_us: Option<u32>,
}

impl Times {
    /// A call that begins now.
    pub(crate) fn begin() -> Self {
        let started = Instant::now();
        Self { started, last: started, stages: StageTimes::default(), answered_us: None }
    }

    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// What of `bind` came before the call had begun: a token that was looked at since then.
    pub(crate) fn bearer(&mut self, since: Instant) {
        self.stages[Stage::Bind as usize] = Some(micros(self.started - since));
    }

    /// A stage that ends now, and began when the one before it ended.
    pub(crate) fn end(&mut self, stage: Stage) {
        let now = Instant::now();
        let time = &mut self.stages[stage as usize];
        *time = Some(time.unwrap_or(0).saturating_add(micros(now - self.last)));
        self.last = now;
    }

    /// Its server has begun to answer.
    pub(crate) fn answered(&mut self) {
        self.answered_us = Some(micros(self.last.elapsed()));
    }

    /// Writes down what was taken, when the record is where it must be.
    pub(crate) fn settle(&mut self, event: &mut Event) {
        let What::Call(call) = &mut event.what else { return };
        self.end(Stage::Record);
        let link = call.stages;
        call.stages = self.stages;
        call.stages[..3].copy_from_slice(&link[..3]);
        // A call that was refused did not reach what follows; the time until its record belongs to none of it.
        if let Some(refused) = call.stage.as_deref().and_then(position) {
            call.stages[(refused + 1).min(8)..8].fill(None);
        }
        call.answered_us = self.answered_us;
        call.duration_us = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
    }
}

fn position(stage: &str) -> Option<usize> {
    Stage::ALL.iter().position(|one| one.name() == stage)
}

fn micros(time: Duration) -> u32 {
    u32::try_from(time.as_micros()).unwrap_or(u32::MAX)
}

/// Why a call ended as it did.
#[derive(Default)]
pub(crate) struct Said {
    pub(crate) reason: Option<String>,
    hint: Option<String>,
    pub(crate) verdict: Option<Verdict>,
    found: Option<Found>,
}

impl Said {
    pub(crate) fn because(reason: &str) -> Self {
        Self { reason: Some(reason.to_owned()), ..Self::default() }
    }

    pub(crate) fn by(refusal: &Refusal) -> Self {
        let verdict = match refusal {
            _ if refusal.kills() => Verdict::Killed,
            Refusal::Hold(_) => Verdict::Held,
            Refusal::Upstream { .. } => Verdict::Failed,
            _ => match refusal.stage() {
                Stage::Permit => Verdict::Denied,
                Stage::Screen => Verdict::Screened,
                _ => Verdict::Refused,
            },
        };
        let found = match refusal {
            Refusal::Withheld(finding) => Some(found(finding)),
            Refusal::Held { finding, reason, .. } => Some(Found {
                id: finding.clone(),
                severity: None,
                reason: cut(reason),
                evidence: String::new(),
            }),
            _ => None,
        };
        Self {
            reason: Some(refusal.in_full()),
            hint: Some(cut(&refusal.hint())),
            verdict: Some(verdict),
            found,
        }
    }
}

pub(crate) fn found(finding: &Finding) -> Found {
    Found {
        id: finding.id.to_string(),
        severity: Some(severity(finding.severity).to_owned()),
        reason: cut(&finding.reason),
        evidence: cut(&finding.evidence),
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Low => "low",
        Severity::Medium => "medium",
        Severity::High => "high",
    }
}

/// What is known of a call beside its record.
pub(crate) struct Beside<'a> {
    /// What detection found.
    pub(crate) found: &'a [Found],
    /// The record's number, if there is one.
    pub(crate) seq: Option<u64>,
    /// The trace that it is kept in.
    pub(crate) trace: Option<Trace>,
}

/// A call that ended as its record says.
pub(crate) fn ended(link: &LinkContext, record: &Record<'_>, said: &Said, beside: Beside<'_>) -> Event {
    let Beside { found, seq, trace } = beside;
    let outcome = match record.outcome {
        Outcome::Ok => Verdict::Ok,
        Outcome::Refused => Verdict::Refused,
        Outcome::Failed => Verdict::Failed,
        Outcome::Cancelled => Verdict::Cancelled,
    };
    let agent = &link.caller.agent;
    let mut stages = StageTimes::default();
    stages[Stage::Secure as usize] = link.facts.handshake_us.map(|us| u32::try_from(us).unwrap_or(u32::MAX));
    stages[Stage::Verify as usize] = link.verify_us.get().copied();
    let call = CallSeen {
        verdict: said.verdict.unwrap_or(outcome),
        bearer: (*agent != link.facts.agent).then(|| cut(agent)),
        link: Arc::clone(&link.facts),
        server: text(&record.server).unwrap_or_default(),
        method: text(&record.method).unwrap_or_default(),
        name: text(&record.name),
        duration_us: record.duration_us.unwrap_or_default(),
        stages,
        answered_us: None,
        stage: text(&record.stage),
        code: record.code,
        reason: text(&record.reason),
        hint: said.hint.clone(),
        policies: list(&record.policies),
        policy_generation: record.policy_generation,
        approval: text(&record.approval),
        shadow: text(&record.shadow),
        // What a result was withheld for was noted when it was found.
        findings: match &said.found {
            Some(last) if found.iter().all(|one| one.id != last.id) => {
                found.iter().chain([last]).cloned().collect()
            }
            _ => found.to_vec(),
        },
        bytes_in: record.bytes_in,
        bytes_out: record.bytes_out,
        trace,
    };
    Event { at_ms: now_ms(), seq, what: What::Call(Box::new(call)) }
}

fn text(text: &Option<std::borrow::Cow<'_, str>>) -> Option<String> {
    text.as_deref().map(cut)
}

fn list(list: &[String]) -> Vec<String> {
    list.iter().take(ENTRIES_MAX).map(|text| cut(text)).collect()
}

/// What is shown of a link.
pub(crate) fn facts(number: u64, link: &NewLink, shown: &Shown) -> LinkFacts {
    let posture = link.posture.as_deref();
    LinkFacts {
        number,
        listener: link.listener.to_string(),
        agent: cut(&link.caller.agent),
        principal: cut(&shown.principal),
        peer: shown.peer.clone(),
        quantum_safe: shown.quantum_safe,
        weakest: posture.and_then(lockgate_crypto::Posture::weakest),
        group: posture.map(|posture| posture.group.clone()),
        peer_signature: posture.and_then(|posture| posture.peer_signature.clone()),
        own_signature: posture.and_then(|posture| posture.own_signature.clone()),
        resumed: posture.is_some_and(|posture| posture.resumed),
        hello_retry: posture.is_some_and(|posture| posture.hello_retry),
        handshake_us: posture.map(|posture| posture.handshake_us),
        profile: posture.map(|posture| posture.profile.clone()),
        epoch: posture.map(|posture| posture.epoch),
    }
}

impl LinkContext {
    /// Notes how long stage 3 took.
    pub(crate) fn verified(&self, took: Duration) {
        // Once a link: there is nobody else to set it.
        let _ = self.verify_us.set(micros(took));
    }
}

impl Node {
    /// Records something that is no call, and lets those who look on see it.
    ///
    /// # Errors
    /// It cannot be recorded.
    pub fn append(&self, record: &Record<'_>, durability: Durability) -> Result<Receipt, AuditError> {
        let receipt = self.audit.append(record, durability)?;
        // Links that are refused are told of one by one, their records stand for several.
        if self.live.is_open() && record.kind != Kind::Refusal {
            let note = What::Note(Box::new(note(record)));
            self.live.send(Event { at_ms: now_ms(), seq: Some(receipt.seq()), what: note });
        }
        Ok(receipt)
    }

    pub(crate) fn tell_link(&self, link: &LinkContext) {
        self.tell_change("opened", &link.facts);
    }

    pub(crate) fn tell_link_end(&self, link: &LinkContext) {
        self.tell_change("closed", &link.facts);
    }

    fn tell_change(&self, state: &str, link: &Arc<LinkFacts>) {
        if self.live.is_open() {
            let change =
                LinkChange { state: state.to_owned(), link: Arc::clone(link), stage: None, reason: None };
            self.live.send(Event { at_ms: now_ms(), seq: None, what: What::Link(Box::new(change)) });
        }
    }

    pub(crate) fn tell_refused_link(
        &self,
        face: &Face,
        peer: SocketAddr,
        source: &str,
        refused: &LinkRefused,
    ) {
        if !self.live.is_open() {
            return;
        }
        let link = LinkFacts {
            listener: face.name.to_string(),
            agent: cut(source),
            peer: Some(peer.to_string()),
            ..LinkFacts::default()
        };
        let change = LinkChange {
            state: "refused".to_owned(),
            link: Arc::new(link),
            stage: Some(refused.stage().name().to_owned()),
            reason: Some(cut(&refused.to_string())),
        };
        self.live.send(Event { at_ms: now_ms(), seq: None, what: What::Link(Box::new(change)) });
    }
}

fn note(record: &Record<'_>) -> Note {
    let topic = match record.kind {
        Kind::Call | Kind::Stream => "call",
        Kind::Refusal => "refusal",
        Kind::Link => "link",
        Kind::Identity => "identity",
        Kind::Policy => "policy",
        Kind::Detect => "detect",
        Kind::Crypto => "crypto",
        Kind::Lifecycle => "lifecycle",
    };
    let outcome = match record.outcome {
        Outcome::Ok => "ok",
        Outcome::Refused => "refused",
        Outcome::Failed => "failed",
        Outcome::Cancelled => "cancelled",
    };
    Note {
        topic: topic.to_owned(),
        outcome: outcome.to_owned(),
        stage: text(&record.stage),
        agent: text(&record.agent),
        server: text(&record.server),
        method: text(&record.method),
        name: text(&record.name),
        reason: text(&record.reason),
        findings: list(&record.findings),
        approval: text(&record.approval),
        epoch: record.epoch,
        before: list(&record.before),
        after: list(&record.after),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_call_has_no_times_of_stages_that_it_did_not_reach() {
        let mut times = Times::begin();
        times.end(Stage::Decode);
        times.end(Stage::Bind);
        times.end(Stage::Permit);
        times.end(Stage::Forward);
        let record = Record { stage: Some("permit".into()), ..Record::new(Kind::Refusal, Outcome::Refused) };
        let call = note(&record);
        assert_eq!((call.topic.as_str(), call.outcome.as_str()), ("refusal", "refused"));
        let seen = CallSeen {
            verdict: Verdict::Denied,
            link: Arc::default(),
            bearer: None,
            server: String::new(),
            method: String::new(),
            name: None,
            duration_us: 0,
            stages: [None, Some(7), None, None, None, None, None, None, None],
            answered_us: None,
            stage: Some("permit".into()),
            code: None,
            reason: None,
            hint: None,
            policies: Vec::new(),
            policy_generation: None,
            approval: None,
            shadow: None,
            findings: Vec::new(),
            bytes_in: None,
            bytes_out: None,
            trace: None,
        };
        let mut event = Event { at_ms: 1, seq: None, what: What::Call(Box::new(seen)) };
        times.settle(&mut event);
        let What::Call(seen) = event.what else { panic!("it was a call") };
        let reached: Vec<bool> = seen.stages.iter().map(Option::is_some).collect();
        assert_eq!(reached, [false, true, false, true, true, true, false, false, true]);
    }
}
