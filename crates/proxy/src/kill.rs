//! What follows from a call that policy kills: its link ends with the answer, and its agent is locked out until a person
//! restores it.
//!
//! However many calls of an agent are killed at once, there is one alert: the one that locked it out makes it.

use std::sync::Arc;

use lockgate_audit::{Durability, Kind, Outcome, Record};
use lockgate_identity::{Principal, REASON_BYTES_MAX, Revocation, Target};

use crate::call::{Call, describe_link};
use crate::link::LinkContext;
use crate::node::Node;
use crate::refusal::Refusal;

/// The finding that an alert carries.
const FINDING: &str = "LG-P012";

impl Node {
    /// Locks out the caller of `call`, which `refusal` kills, and cuts all its links but this one, which ends with the
    /// answer ([`LinkContext::condemn`], once that is recorded).
    pub(crate) async fn kill(self: &Arc<Self>, call: &Call, refusal: &Refusal) {
        let link = &call.link;
        let by = refusal.rule().map_or_else(
            || "policy".to_owned(),
            |rule| match refusal {
                Refusal::Held { .. } => format!("finding {rule}"),
                _ => format!("policy {rule}"),
            },
        );
        let said = call.refused_for(refusal);
        let reason = said[..said.floor_char_boundary(REASON_BYTES_MAX)].to_owned();
        let (mut is_first, mut kept) = (link.kill_once(), Vec::new());
        for revocation in revocations(link, &by, &reason, self.now_ms()) {
            match self.revocations.add(revocation.clone()) {
                Ok(is_new) => {
                    is_first = if revocation.along_with.is_none() { is_new } else { is_first };
                    kept.push(revocation);
                }
                Err(error) => {
                    tracing::error!(target: "lockgate::permit", agent = %link.caller.agent, %error, "a killed agent cannot be locked out; its link is cut")
                }
            }
        }
        self.cut_revoked(Some(link.number));
        if is_first {
            self.alert(call, &by, &reason);
        }
        let node = Arc::clone(self);
        let keeping = tokio::task::spawn_blocking(move || {
            for revocation in kept {
                if let Err(error) = node.keep_revocation(&revocation) {
                    tracing::error!(target: "lockgate::permit", target = %revocation.target, %error, "a revocation cannot be kept; a restart would forget it");
                }
            }
        });
        // A panic there is logged by the runtime; the lockout is in force all the same.
        let _ = keeping.await;
    }

    fn alert(&self, call: &Call, by: &str, reason: &str) {
        let (link, findings) = (&call.link, [FINDING.to_owned()]);
        self.metrics.enforcement.kills.inc();
        tracing::error!(target: "lockgate::permit", agent = %link.caller.agent, server = call.server(), %by, reason, "ALERT: call killed, agent locked out");
        let mut record = Record {
            stage: Some("permit".into()),
            server: Some(call.server().into()),
            method: Some("alert/kill".into()),
            name: Some(by.into()),
            reason: Some(reason.into()),
            findings: findings.as_slice().into(),
            consequence: Some("kill".into()),
            ..Record::new(Kind::Detect, Outcome::Refused)
        };
        describe_link(link, &mut record);
        if let Err(error) = self.append(&record, Durability::Durable) {
            tracing::error!(target: "lockgate::record", %error, "an alert could not be recorded");
        }
    }
}

/// What is revoked of the peer of `link`: its name, and with it its key. A peer that proved nothing has neither.
fn revocations(link: &LinkContext, by: &str, reason: &str, now_ms: u64) -> Vec<Revocation> {
    let agent = Target::Agent(link.caller.agent.clone());
    match link.caller.principal.as_ref() {
        Principal::Anonymous => Vec::new(),
        Principal::LocalUser { .. } => vec![Revocation::new(agent, by, reason, now_ms)],
        Principal::Workload { key_fingerprint, .. } => {
            let key = Revocation::new(Target::Key(key_fingerprint.clone()), by, reason, now_ms);
            let key = Revocation { along_with: Some(agent.clone()), ..key };
            vec![Revocation::new(agent, by, reason, now_ms), key]
        }
        Principal::Bearer { key, .. } => {
            let key = key.as_deref().map(|key| Target::Key(key.to_owned()));
            let token = link.caller.token.as_deref().map(|token| Target::Token(token.to_owned()));
            let along = [key, token].into_iter().flatten().map(|target| {
                let revocation = Revocation::new(target, by, reason, now_ms);
                Revocation { along_with: Some(agent.clone()), ..revocation }
            });
            std::iter::once(Revocation::new(agent.clone(), by, reason, now_ms)).chain(along).collect()
        }
    }
}
