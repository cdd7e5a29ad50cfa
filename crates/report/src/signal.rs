//! What a record can be evidence of. A control rests on these and on nothing else.

use lockgate_audit::{Entry, Kind, Outcome};
use serde::Serialize;

/// Reason of the record that a node writes when it has started.
pub(crate) const STARTED: &str = "node started";
/// Reason of the record that a node writes last.
pub(crate) const STOPPED: &str = "node stopped";

macro_rules! signals {
    ($($name:ident $id:literal $says:literal $backed:literal)+) => {
        /// A kind of evidence.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "each says itself what it is, in `says`")]
        pub enum Signal { $($name),+ }

        impl Signal {
            /// All of them.
            pub const ALL: &'static [Signal] = &[$(Signal::$name),+];

            /// Its name in documents, which never changes.
            #[must_use]
            pub fn id(self) -> &'static str {
                match self { $(Signal::$name => $id),+ }
            }

            /// What was counted, in words, plural.
            #[must_use]
            pub fn says(self) -> &'static str {
                match self { $(Signal::$name => $says),+ }
            }

            /// Which records were counted.
            #[must_use]
            pub fn backed_by(self) -> &'static str {
                match self { $(Signal::$name => $backed),+ }
            }
        }
    };
}

signals! {
    Recorded "recorded" "records of any kind" "every record of the period"
    CallsPermitted "calls-permitted" "calls that a policy permitted" "kind call, with the ids of the policies that decided"
    CallsDenied "calls-denied" "calls denied by policy" "kind refusal, stage permit"
    CallsHeld "calls-held" "calls held for a person's approval" "kind refusal, stage permit, consequence hold"
    CallsKilled "calls-killed" "calls that ended their agent's link and locked it out" "kind refusal, stage permit, consequence kill"
    CallsScreened "calls-screened" "calls or results withheld by detection" "kind refusal, stage screen"
    MessagesRejected "messages-rejected" "messages that could not be read safely" "kind refusal, stage decode"
    LinksRefused "links-refused" "links refused for their cryptography" "kind refusal, stage secure"
    PeersRefused "peers-refused" "peers refused for their identity" "kind refusal, stage verify or accept, or without a stage"
    CallersRefused "callers-refused" "callers whose credential or session did not hold" "kind refusal, stage bind"
    CallsQuantumSafe "calls-quantum-safe" "calls over links that are quantum-safe" "kind call, quantum_safe true"
    CallsClassical "calls-classical" "calls over links that are not quantum-safe" "kind call, quantum_safe false"
    CallsLocal "calls-local" "calls without a tunnel, from this machine" "kind call, without quantum_safe"
    CallsProven "calls-proven" "calls by agents with a proven identity" "kind call, agent a SPIFFE id"
    CallsAnonymous "calls-anonymous" "calls without a proven identity" "kind call, agent anonymous"
    CallsApproved "calls-approved" "calls that a person had approved" "kind call, with approval"
    CallsFailed "calls-failed" "calls that failed behind the gateway" "kind call, outcome failed"
    CallsShadowed "calls-shadowed" "calls that policies on trial would have decided otherwise" "any kind, with shadow"
    ApprovalsDecided "approvals-decided" "approvals and rejections by a person" "kind policy, method approvals/approve or approvals/reject"
    IdentitiesIssued "identities-issued" "invites, certificates and tokens issued" "kind identity, outcome ok"
    IdentitiesRefused "identities-refused" "requests for an identity that were refused" "kind identity, outcome refused"
    IdentitiesRevoked "identities-revoked" "revocations" "kind identity, method identity/revoke"
    IdentitiesRestored "identities-restored" "revocations lifted" "kind identity, method identity/restore"
    RootsReplaced "roots-replaced" "roots of the authority replaced" "kind identity, method identity/rotate-root"
    PoliciesChanged "policies-changed" "changes of policy or configuration that came into force" "kind policy, outcome ok, without a method"
    PoliciesTurnedDown "policies-turned-down" "changes of policy or configuration that were turned down whole" "kind policy, outcome failed, without a method"
    FactsTaken "facts-taken" "signed facts from outside, taken" "kind policy, method facts/push, outcome ok"
    FactsTurnedDown "facts-turned-down" "facts from outside, turned down" "kind policy, method facts/push, outcome failed"
    Findings "findings" "findings of detection" "kind detect, or any kind with findings"
    LinkFindings "link-findings" "findings on how a peer shook hands" "kind detect, stage verify"
    DefinitionsApproved "definitions-approved" "changed tool definitions that a person approved" "kind detect, method threats/approve"
    Alerts "alerts" "alerts that locked an agent out" "kind detect, method alert/kill"
    CryptoChanged "crypto-changed" "changes of the cryptography in force" "kind crypto, outcome ok"
    CryptoTurnedDown "crypto-turned-down" "changes of cryptography that were turned down whole" "kind crypto, outcome refused or failed"
    AlgorithmsBanned "algorithms-banned" "algorithms banned" "kind crypto, method crypto/ban, outcome ok"
    ExceptionsEnded "exceptions-ended" "exceptions or lifted bans that came to their end" "kind crypto, method crypto/end"
    LinksMoved "links-moved" "moves of all links to another epoch" "kind crypto, method crypto/moved"
    DrillsRun "drills-run" "rehearsals of a change of algorithms" "kind crypto, method crypto/drill"
    LinksCut "links-cut" "links cut at the deadline of a change" "kind link, outcome refused"
    NodeStarted "node-started" "starts of the node" "kind lifecycle, node started"
    NodeStopped "node-stopped" "orderly stops of the node" "kind lifecycle, node stopped"
    LogRepaired "log-repaired" "troubles of the log itself, told by the log" "kind lifecycle, outcome failed"
    ClockBack "clock-back" "records whose clock stood before that of an earlier record" "any kind, compared with the record before"
    UncleanStarts "unclean-starts" "starts of the node without an orderly stop before" "kind lifecycle, compared with the one before"
    ContentKept "content-kept" "calls whose content was kept, encrypted" "any kind, with content"
    SubjectsErased "subjects-erased" "erasures" "kind lifecycle, method audit/erase, outcome ok"
    ErasuresRefused "erasures-refused" "erasures that a hold kept from happening" "kind lifecycle, method audit/erase, outcome refused"
    SubjectsExported "subjects-exported" "exports of what is recorded of a subject" "kind lifecycle, method audit/export"
    HoldsChanged "holds-changed" "holds put on and lifted" "kind lifecycle, method audit/hold or audit/hold-lift"
    Retained "retained" "keys and months that went because their time was over" "kind lifecycle, method audit/retain"
    RefusalBursts "refusal-bursts" "bursts of refusals from one source" "kind refusal: 20 or more of one source within ten minutes"
}

impl Serialize for Signal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.id())
    }
}

/// Some of the signals.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Signals(u64);

impl Signals {
    pub(crate) fn add(&mut self, signal: Signal) {
        self.0 |= 1 << signal as u32;
    }

    fn add_if(&mut self, is: bool, signal: Signal) {
        if is {
            self.add(signal);
        }
    }

    pub(crate) fn has(self, signal: Signal) -> bool {
        self.0 & (1 << signal as u32) != 0
    }

    pub(crate) fn iter(self) -> impl Iterator<Item = Signal> {
        Signal::ALL.iter().copied().filter(move |signal| self.has(*signal))
    }
}

/// What this record is evidence of by itself.
pub(crate) fn of(entry: &Entry) -> Signals {
    let record = &entry.record;
    let mut all = Signals::default();
    all.add(Signal::Recorded);
    let is_alert = record.method.as_deref() == Some("alert/kill");
    let is_approval = record.method.as_deref() == Some("threats/approve");
    let found = !record.findings.is_empty() || record.kind == Kind::Detect;
    all.add_if(found && !is_approval && !is_alert, Signal::Findings);
    all.add_if(record.shadow.is_some(), Signal::CallsShadowed);
    all.add_if(record.content.is_some(), Signal::ContentKept);
    match record.kind {
        Kind::Call => call(entry, &mut all),
        Kind::Refusal => all.add(refusal(entry)),
        Kind::Link => all.add_if(record.outcome == Outcome::Refused, Signal::LinksCut),
        Kind::Identity => identity(entry, &mut all),
        Kind::Policy => policy(entry, &mut all),
        Kind::Detect => {
            all.add_if(is_alert, Signal::Alerts);
            all.add_if(record.stage.as_deref() == Some("verify"), Signal::LinkFindings);
            all.add_if(is_approval, Signal::DefinitionsApproved);
        }
        Kind::Crypto => crypto(entry, &mut all),
        Kind::Lifecycle => {
            let reason = record.reason.as_deref();
            all.add_if(reason == Some(STARTED), Signal::NodeStarted);
            all.add_if(reason == Some(STOPPED), Signal::NodeStopped);
            all.add_if(record.outcome == Outcome::Failed, Signal::LogRepaired);
            subjects(entry, &mut all);
        }
        Kind::Stream => {}
        // Kinds that come later are recorded and counted, and no control rests on them.
        #[allow(unreachable_patterns, reason = "the log may learn kinds that this crate does not know")]
        _ => {}
    }
    all
}

fn call(entry: &Entry, all: &mut Signals) {
    let record = &entry.record;
    let agent = record.agent.as_deref().unwrap_or("anonymous");
    all.add_if(!record.policies.is_empty(), Signal::CallsPermitted);
    all.add(match record.quantum_safe {
        Some(true) => Signal::CallsQuantumSafe,
        Some(false) => Signal::CallsClassical,
        None => Signal::CallsLocal,
    });
    all.add_if(agent.starts_with("spiffe://"), Signal::CallsProven);
    all.add_if(agent == "anonymous", Signal::CallsAnonymous);
    all.add_if(record.approval.is_some(), Signal::CallsApproved);
    all.add_if(record.outcome == Outcome::Failed, Signal::CallsFailed);
}

fn refusal(entry: &Entry) -> Signal {
    let record = &entry.record;
    match (record.stage.as_deref(), record.consequence.as_deref()) {
        (Some("permit"), Some("hold")) => Signal::CallsHeld,
        (Some("permit"), Some("kill")) => Signal::CallsKilled,
        (Some("permit" | "forward" | "record"), _) => Signal::CallsDenied,
        (Some("screen"), _) => Signal::CallsScreened,
        (Some("decode"), _) => Signal::MessagesRejected,
        (Some("bind"), _) => Signal::CallersRefused,
        (Some("secure"), _) => Signal::LinksRefused,
        _ => Signal::PeersRefused,
    }
}

fn identity(entry: &Entry, all: &mut Signals) {
    let record = &entry.record;
    all.add(match (record.outcome, record.method.as_deref()) {
        (Outcome::Ok, Some("identity/revoke")) => Signal::IdentitiesRevoked,
        (Outcome::Ok, Some("identity/restore")) => Signal::IdentitiesRestored,
        (Outcome::Ok, Some("identity/rotate-root")) => Signal::RootsReplaced,
        // A token that is bound or looked at is not a new one.
        (Outcome::Ok, Some("identity/bind" | "identity/validate" | "identity/bundle")) => return,
        (Outcome::Ok, _) => Signal::IdentitiesIssued,
        _ => Signal::IdentitiesRefused,
    });
}

fn policy(entry: &Entry, all: &mut Signals) {
    let record = &entry.record;
    let ok = record.outcome == Outcome::Ok;
    match record.method.as_deref() {
        Some("approvals/approve" | "approvals/reject") => all.add(Signal::ApprovalsDecided),
        Some("facts/push") => all.add(if ok { Signal::FactsTaken } else { Signal::FactsTurnedDown }),
        None => all.add(if ok { Signal::PoliciesChanged } else { Signal::PoliciesTurnedDown }),
        Some(_) => {}
    }
}

fn subjects(entry: &Entry, all: &mut Signals) {
    let record = &entry.record;
    match (record.method.as_deref(), record.outcome) {
        (Some("audit/erase"), Outcome::Ok) => all.add(Signal::SubjectsErased),
        (Some("audit/erase"), Outcome::Refused) => all.add(Signal::ErasuresRefused),
        (Some("audit/export"), _) => all.add(Signal::SubjectsExported),
        (Some("audit/hold" | "audit/hold-lift"), _) => all.add(Signal::HoldsChanged),
        (Some("audit/retain"), _) => all.add(Signal::Retained),
        _ => {}
    }
}

fn crypto(entry: &Entry, all: &mut Signals) {
    let record = &entry.record;
    let ok = record.outcome == Outcome::Ok;
    match record.method.as_deref() {
        Some("crypto/moved") => return all.add(Signal::LinksMoved),
        Some("crypto/drill") => return all.add(Signal::DrillsRun),
        Some("crypto/ban") => all.add_if(ok, Signal::AlgorithmsBanned),
        Some("crypto/end") => all.add_if(ok, Signal::ExceptionsEnded),
        _ => {}
    }
    all.add(if ok { Signal::CryptoChanged } else { Signal::CryptoTurnedDown });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::entry;

    #[test]
    fn ids_are_unique_and_fit_into_the_set() {
        let ids: std::collections::BTreeSet<_> = Signal::ALL.iter().map(|signal| signal.id()).collect();
        assert_eq!(ids.len(), Signal::ALL.len());
        assert!(Signal::ALL.len() <= 64);
    }

    #[test]
    fn records_are_evidence_of_what_they_say_and_of_nothing_else() {
        use Signal::*;
        for (json, wanted) in [
            (
                r#""kind":"call","outcome":"ok","agent":"spiffe://d/agent/a","policies":["p"],"quantum_safe":true"#,
                vec![CallsPermitted, CallsQuantumSafe, CallsProven],
            ),
            (
                r#""kind":"call","outcome":"failed","agent":"anonymous","quantum_safe":false"#,
                vec![CallsClassical, CallsAnonymous, CallsFailed],
            ),
            (
                r#""kind":"call","outcome":"ok","agent":"local-user","approval":"ada","shadow":"deny: p""#,
                vec![CallsLocal, CallsApproved, CallsShadowed],
            ),
            (
                r#""kind":"refusal","outcome":"refused","stage":"permit","consequence":"deny""#,
                vec![CallsDenied],
            ),
            (
                r#""kind":"refusal","outcome":"refused","stage":"permit","consequence":"hold""#,
                vec![CallsHeld],
            ),
            (
                r#""kind":"refusal","outcome":"refused","stage":"permit","consequence":"kill""#,
                vec![CallsKilled],
            ),
            (
                r#""kind":"refusal","outcome":"refused","stage":"screen","findings":["LG-D001"]"#,
                vec![CallsScreened, Findings],
            ),
            (r#""kind":"refusal","outcome":"refused","stage":"secure""#, vec![LinksRefused]),
            (r#""kind":"refusal","outcome":"refused""#, vec![PeersRefused]),
            (
                r#""kind":"detect","outcome":"refused","method":"alert/kill","findings":["LG-P012"]"#,
                vec![Alerts],
            ),
            (
                r#""kind":"detect","outcome":"ok","stage":"verify","findings":["LG-D010"]"#,
                vec![Findings, LinkFindings],
            ),
            (r#""kind":"detect","outcome":"ok","method":"threats/approve""#, vec![DefinitionsApproved]),
            (r#""kind":"identity","outcome":"ok","method":"identity/enrol""#, vec![IdentitiesIssued]),
            (r#""kind":"identity","outcome":"ok","method":"identity/bind""#, vec![]),
            (r#""kind":"identity","outcome":"refused","method":"identity/revoke""#, vec![IdentitiesRefused]),
            (r#""kind":"policy","outcome":"failed","reason":"x""#, vec![PoliciesTurnedDown]),
            (r#""kind":"policy","outcome":"ok","method":"approvals/reject""#, vec![ApprovalsDecided]),
            (
                r#""kind":"crypto","outcome":"ok","method":"crypto/ban""#,
                vec![CryptoChanged, AlgorithmsBanned],
            ),
            (r#""kind":"crypto","outcome":"refused","method":"crypto/moved""#, vec![LinksMoved]),
            (r#""kind":"lifecycle","outcome":"ok","reason":"node started""#, vec![NodeStarted]),
            (r#""kind":"lifecycle","outcome":"failed","reason":"x""#, vec![LogRepaired]),
            (r#""kind":"lifecycle","outcome":"ok","method":"audit/erase""#, vec![SubjectsErased]),
            (r#""kind":"lifecycle","outcome":"refused","method":"audit/erase""#, vec![ErasuresRefused]),
            (r#""kind":"lifecycle","outcome":"ok","method":"audit/hold-lift""#, vec![HoldsChanged]),
            (r#""kind":"lifecycle","outcome":"ok","method":"audit/retain""#, vec![Retained]),
            (r#""kind":"stream","outcome":"ok""#, vec![]),
        ] {
            let found: Vec<Signal> = of(&entry(7, "2026-11-22T14:00:00Z", json)).iter().collect();
            let wanted: std::collections::BTreeSet<_> = wanted.into_iter().chain([Recorded]).collect();
            assert_eq!(found.into_iter().collect::<std::collections::BTreeSet<_>>(), wanted, "{json}");
        }
    }
}
