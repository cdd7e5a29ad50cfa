//! Stage 9: what becomes of a call is written down, once.

use std::borrow::Cow;

use lockgate_audit::{Durability, Kind, Outcome, Receipt, Record};
use lockgate_mcp::Message;
use lockgate_privacy::{Called, Described, Describer, Told, redacted};

use super::Call;
use crate::link::LinkContext;
use crate::refusal::Refusal;
use crate::results::is_protocol;
use crate::stage::Stage;
use crate::tell::{Beside, Said};

impl Call {
    /// Records how the call ended; `bytes_out` is the size of its answer. To be called before the answer leaves.
    ///
    /// # Errors
    /// [`Refusal::Unrecorded`]: then nothing may leave but that refusal.
    pub async fn record(
        &mut self,
        outcome: Outcome,
        code: Option<i64>,
        bytes_out: usize,
    ) -> Result<(), Refusal> {
        self.facts.bytes_out = Some(bytes_out as u64);
        let receipt = self.append(outcome, code, None, &Said::default())?;
        self.settle(receipt).await
    }

    /// Records that the server closed the stream of a call before its answer, as it may where the client can resume. The
    /// answer has a record of its own when it comes.
    ///
    /// # Errors
    /// [`Refusal::Unrecorded`].
    pub async fn record_open(&mut self) -> Result<(), Refusal> {
        if let (Some(session), Some(id)) = (&self.session, self.id_raw()) {
            session.owe(id, self.owed());
        }
        let why = "the server closed the stream before its answer; the client can resume it";
        let receipt = self.append(Outcome::Ok, None, None, &Said::because(why))?;
        self.settle(receipt).await
    }

    /// Records that a call has begun which lasts for as long as its client listens. Its end has a record of its own. Until
    /// then it is no call in flight: those who listen must not keep out those who call.
    ///
    /// # Errors
    /// [`Refusal::Unrecorded`].
    pub async fn record_listening(&mut self) -> Result<(), Refusal> {
        let kind = std::mem::replace(&mut self.facts.kind, Kind::Stream);
        let appended = self.append(Outcome::Ok, None, None, &Said::because("the client listens"));
        self.facts.kind = kind;
        let receipt = appended?;
        self.recorded = false;
        self.land();
        self.settle(receipt).await
    }

    /// Takes it off the calls in flight.
    fn land(&mut self) {
        if std::mem::take(&mut self.is_in_flight) {
            self.node.metrics.calls_in_flight.dec();
        }
    }

    /// Records a refusal of this call.
    ///
    /// # Errors
    /// [`Refusal::Unrecorded`], which takes the place of `refusal`.
    pub async fn record_refusal(&mut self, refusal: &Refusal) -> Result<(), Refusal> {
        let decision = refusal.decision();
        match refusal.rule() {
            Some(rule) if decision.is_none() => self.facts.findings.push(rule),
            _ => {}
        }
        if let Some(decision) = decision {
            self.facts.policies = decision.policies;
            self.facts.policy_generation = decision.generation.or(self.facts.policy_generation);
            self.facts.consequence = Some(decision.consequence);
            self.facts.shadow = decision.shadow;
            self.facts.approval = decision.approval;
        }
        let outcome = match refusal {
            Refusal::Upstream { .. } => Outcome::Failed,
            _ => {
                self.facts.kind = Kind::Refusal;
                Outcome::Refused
            }
        };
        let said = Said::by(refusal);
        if let Some(verdict) = said.verdict.filter(|verdict| verdict.is_refusal()) {
            self.node.metrics.refusal(refusal.stage(), verdict);
        }
        let receipt = self.append(outcome, Some(refusal.code()), Some(refusal.stage()), &said)?;
        self.settle(receipt).await
    }

    async fn settle(&mut self, receipt: Receipt) -> Result<(), Refusal> {
        if self.node.is_durable(self.method()) {
            self.node.audit.synced(&receipt).await.map_err(Refusal::Unrecorded)?;
            self.sync_keys().await;
        }
        self.tell();
        Ok(())
    }

    /// Waits until keys that were made for its record are on the disk. Without them content is lost, not evidence.
    async fn sync_keys(&self) {
        let describer = self.node.describer();
        let Some(vault) = describer.vault().filter(|vault| vault.is_unsynced()).cloned() else { return };
        let synced = tokio::task::spawn_blocking(move || vault.sync()).await;
        if let Ok(Err(error)) = synced {
            tracing::error!(target: "lockgate::record", %error, "keys of subjects cannot be brought to the disk");
        }
    }

    /// Lets those who look on see it.
    fn tell(&mut self) {
        let Some(mut event) = self.untold.take() else { return };
        self.times.settle(&mut event);
        self.node.live.send(event);
    }

    fn append(
        &mut self,
        outcome: Outcome,
        code: Option<i64>,
        stage: Option<Stage>,
        said: &Said,
    ) -> Result<Receipt, Refusal> {
        self.recorded = true;
        self.times.end(Stage::Forward);
        let elapsed = self.times.elapsed();
        let described = self.describe();
        let facts = &self.facts;
        let arguments = facts.request.as_ref().and_then(Message::arguments_raw);
        let said_of = |text: &'_ str| Cow::Owned(self.without_values(text, arguments));
        self.node.metrics.call(facts.server.as_deref(), facts.method.as_deref(), outcome, elapsed);
        let mut record = Record {
            stage: stage.map(|stage| Cow::Borrowed(stage.name())),
            server: facts.server.as_deref().map(Cow::Borrowed),
            method: facts.method.as_deref().map(Cow::Borrowed),
            name: facts.name.as_deref().map(|name| self.shown(name)),
            request_id: facts.id.as_deref().map(Cow::Borrowed),
            session: self.session.as_ref().map(|s| Cow::Borrowed(s.fingerprint.as_str())),
            code,
            reason: said.reason.as_deref().map(said_of),
            policies: Cow::Borrowed(&facts.policies),
            policy_generation: facts.policy_generation,
            consequence: facts.consequence.map(Cow::Borrowed),
            approval: facts.approval.as_deref().map(Cow::Borrowed),
            shadow: facts.shadow.as_deref().map(said_of),
            facts: facts.facts.as_deref().map(Cow::Borrowed),
            argument_names: Cow::Borrowed(&facts.argument_names),
            subjects: Cow::Borrowed(&described.subjects),
            committed: Cow::Borrowed(&described.committed),
            committed_result: Cow::Borrowed(&described.committed_result),
            left_out: Cow::Borrowed(&described.left_out),
            findings: Cow::Borrowed(&facts.findings),
            bytes_in: facts.bytes_in,
            bytes_out: facts.bytes_out,
            duration_us: u64::try_from(elapsed.as_micros()).ok(),
            ..Record::new(facts.kind, outcome)
        };
        describe_link(&self.link, &mut record);
        record.tool_definition = self.definition().map(Cow::Owned);
        let durability =
            if self.node.is_durable(self.method()) { Durability::Durable } else { Durability::Grouped };
        let appended = {
            // Held over the write, so that the calls of a link are one chain.
            let mut before = self.link.recorded.lock();
            record.prev_event = before.map(|before| Cow::Owned(before.uid()));
            // Content belongs to the place behind that event, so it is sealed here.
            let after = record.prev_event.as_deref().unwrap_or_default();
            record.content = described.seal(after).map(Cow::Owned);
            let appended = self.node.audit.append(&record, durability);
            *before = appended.as_ref().ok().copied().or(*before);
            appended
        };
        if self.node.live.is_open() {
            let seq = appended.as_ref().ok().map(Receipt::seq);
            let beside = Beside { found: &self.facts.found, seq, trace: self.trace };
            self.untold = Some(crate::tell::ended(&self.link, &record, said, beside));
        }
        appended.map_err(|error| {
            self.tell();
            self.node.metrics.audit_failures.inc();
            Refusal::Unrecorded(error)
        })
    }
}

impl Call {
    /// What the record says of what was said. What is of the protocol (lists, sessions) is nobody's data.
    fn describe(&self) -> Described {
        let facts = &self.facts;
        let method = self.method();
        let arguments = facts.request.as_ref().and_then(Message::arguments_raw);
        let result = facts.result.as_ref().filter(|_| !is_protocol(method)).and_then(Message::result_raw);
        if arguments.is_none() && result.is_none() {
            return Described::default();
        }
        let called = Called {
            agent: &self.link.caller.agent,
            server: self.server(),
            name: facts.name.as_deref().unwrap_or_default(),
            arguments,
        };
        // Whom such an answer is about was said in another call, which is over.
        if facts.request.is_none() || method.starts_with("tasks/") {
            let mut described = Describer::default().describe(&Told { called, result, purpose: None });
            described.left_out.push("tags: it belongs to a call that has a record of its own".to_owned());
            return described;
        }
        let told = Told { called, result, purpose: facts.record_for.as_deref() };
        self.node.describer().describe(&told)
    }

    /// The name of what is called, without whom it names.
    fn shown<'a>(&self, name: &'a str) -> Cow<'a, str> {
        self.node.describer().rules().shown(self.server(), name)
    }

    /// A text about the call without what was said in it.
    fn without_values(&self, text: &str, arguments: Option<&str>) -> String {
        let text = redacted(text, arguments);
        match self.facts.name.as_deref().map(|name| (name, self.shown(name))) {
            Some((name, shown)) if name != shown => text.replace(name, &shown),
            _ => text.into_owned(),
        }
    }

    /// Why it was refused, as those may read it who were not told the arguments.
    pub(crate) fn refused_for(&self, refusal: &Refusal) -> String {
        let arguments = self.facts.request.as_ref().and_then(Message::arguments_raw);
        self.without_values(&refusal.to_string(), arguments)
    }

    /// SHA-256 of the definition that is trusted for the tool that is called.
    fn definition(&self) -> Option<String> {
        let tool = self.facts.name.as_deref().filter(|_| self.method() == "tools/call")?;
        self.node.detector.definition(self.server(), tool)
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.land();
        if self.recorded {
            // Its client left while its record was on the way to the disk.
            return self.tell();
        }
        if let (Some(session), Some(id), true) = (&self.session, self.id_raw(), self.is_forwarded) {
            session.owe(id, self.owed());
        }
        let why = match self.link.kill.is_cancelled() || self.link.condemned.is_cancelled() {
            true => "the link was cut before the answer",
            false => "the client left, or stopped reading, before the answer",
        };
        if self.append(Outcome::Cancelled, None, None, &Said::because(why)).is_err() {
            tracing::error!(target: "lockgate::record", "a cancelled call could not be recorded");
        }
        self.tell();
    }
}

/// Adds what is known of a link to a record.
pub fn describe_link<'a>(link: &'a LinkContext, record: &mut Record<'a>) {
    record.agent = Some(Cow::Borrowed(&link.caller.agent));
    record.roles = Cow::Borrowed(&link.caller.roles);
    record.principal = Some(Cow::Borrowed(&link.shown.principal));
    record.peer = link.shown.peer.as_deref().map(Cow::Borrowed);
    record.quantum_safe = link.shown.quantum_safe;
    let Some(posture) = link.posture.as_deref() else { return };
    record.protocol = Some(Cow::Borrowed(&posture.protocol));
    record.group = Some(Cow::Borrowed(&posture.group));
    record.cipher = Some(Cow::Borrowed(&posture.cipher));
    record.peer_signature = posture.peer_signature.as_deref().map(Cow::Borrowed);
    record.own_signature = posture.own_signature.as_deref().map(Cow::Borrowed);
    record.resumed = Some(posture.resumed);
    record.profile = Some(Cow::Borrowed(&posture.profile));
    record.epoch = Some(posture.epoch);
}
