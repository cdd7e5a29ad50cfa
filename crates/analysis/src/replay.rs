//! What really happened, decided again under another set.

use std::collections::BTreeMap;

use lockgate_audit::{Entry, Kind, Outcome as Ended};
use lockgate_policy::{FactValues, Policies};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::call::{Call, Decided, LinkKind, Outcome};
use crate::error::AnalysisError;
use crate::moment;
use crate::prove::Example;

/// A call out of the audit log.
#[derive(Clone, Debug, PartialEq)]
pub struct Recorded {
    /// The record's number.
    pub seq: u64,
    /// The call, as far as it was recorded.
    pub call: Call,
    /// How policy decided it then.
    pub was: Outcome,
    /// The policies that decided it then.
    pub by: Vec<String>,
    /// Whether it passed because a person had approved it.
    pub approved: bool,
    /// Whether the arguments are those of the call. They are recorded only with `policy.record_arguments`.
    pub arguments_known: bool,
    /// Whether facts were read that the record does not hold (it holds their digest).
    pub facts_unknown: bool,
}

impl Recorded {
    /// Reads a record; `None` if it is not about a call that policy decided.
    pub fn read(entry: &Entry) -> Option<Self> {
        let record = &entry.record;
        let permitted = record.kind == Kind::Call;
        let denied = record.kind == Kind::Refusal && record.stage.as_deref() == Some("permit");
        if !permitted && !denied {
            return None;
        }
        let was = match (denied, record.consequence.as_deref()) {
            (false, _) => Outcome::Allow,
            (true, Some("kill")) => Outcome::Kill,
            (true, Some("hold")) => Outcome::Hold,
            (true, _) => Outcome::Deny,
        };
        // A call that ended badly after policy had let it pass was permitted all the same.
        debug_assert!(permitted || record.outcome != Ended::Ok);
        let (arguments, whole) = match record.arguments.as_deref() {
            Some(text) => match serde_json::from_str(text) {
                Ok(Value::Object(arguments)) => (arguments, true),
                _ => (Map::new(), false),
            },
            // Records that name a generation also name the arguments, so none named is none there.
            None => (Map::new(), record.argument_names.is_empty() && record.policy_generation.is_some()),
        };
        let method = record.method.as_deref()?.to_owned();
        Some(Recorded {
            seq: entry.seq,
            call: Call {
                agent: record.agent.as_deref()?.to_owned(),
                roles: record.roles.to_vec(),
                server: record.server.as_deref()?.to_owned(),
                name: record.name.as_deref().map(str::to_owned),
                arguments,
                at_ms: moment::parse(&entry.time).ok()?,
                link: match record.quantum_safe {
                    Some(true) => LinkKind::QuantumSafe,
                    Some(false) => LinkKind::Classical,
                    None => LinkKind::Plain,
                },
                loopback: record.quantum_safe.is_none(),
                facts: FactValues::default(),
                method,
            },
            was,
            by: record.policies.to_vec(),
            approved: permitted && record.approval.is_some(),
            arguments_known: whole,
            facts_unknown: record.facts.is_some(),
        })
    }
}

/// What another set would have changed.
#[derive(Clone, Debug, Serialize)]
pub struct Replayed {
    /// Calls that were in the log.
    pub calls: usize,
    /// Calls whose decision is certain under the other set.
    pub decided: usize,
    /// How many of those would have been decided otherwise.
    pub changed: usize,
    /// Calls whose decision hangs on arguments or facts that were not recorded.
    pub unknown: usize,
    /// The changes, grouped by what decided.
    pub groups: Vec<Group>,
}

/// Changes of one kind.
#[derive(Clone, Debug, Serialize)]
pub struct Group {
    /// How the calls were decided.
    pub before: Outcome,
    /// How they would be.
    pub after: Outcome,
    /// The rules that decided then.
    pub decided_by: Vec<String>,
    /// The rules that would decide; empty where none speaks.
    pub would_decide: Vec<String>,
    /// How many calls.
    pub count: usize,
    /// The number of the first of their records.
    pub first_record: u64,
    /// One of them.
    pub example: Example,
}

/// Decides recorded calls under another set.
///
/// # Errors
/// [`AnalysisError::Call`] for a call that cannot be made.
pub fn replay(
    recorded: &[Recorded],
    policies: &Policies,
    trust_domain: &str,
) -> Result<Replayed, AnalysisError> {
    let mut groups: BTreeMap<(Outcome, Outcome, Vec<String>, Vec<String>), Group> = BTreeMap::new();
    let mut report =
        Replayed { calls: recorded.len(), decided: 0, changed: 0, unknown: 0, groups: Vec::new() };
    for one in recorded {
        let Some(decided) = certain(one, policies, trust_domain)? else {
            report.unknown += 1;
            continue;
        };
        report.decided += 1;
        let decided = with_approval(one, decided);
        if decided.outcome == one.was {
            continue;
        }
        report.changed += 1;
        let key = (one.was, decided.outcome, one.by.clone(), decided.by.clone());
        groups.entry(key).and_modify(|group| group.count += 1).or_insert_with(|| Group {
            before: one.was,
            after: decided.outcome,
            decided_by: one.by.clone(),
            would_decide: decided.by.clone(),
            count: 1,
            first_record: one.seq,
            example: Example::new(&one.call, decided),
        });
    }
    report.groups = groups.into_values().collect();
    report.groups.sort_by_key(|group| std::cmp::Reverse(group.count));
    Ok(report)
}

/// An approval lifts what the policies hold that a person was asked about, and no other. Those are among the ones that
/// the record names.
fn with_approval(one: &Recorded, decided: Decided) -> Decided {
    let is_lifted = one.approved
        && decided.outcome == Outcome::Hold
        && decided.by.iter().all(|holder| one.by.contains(holder));
    match is_lifted {
        true => Decided { outcome: Outcome::Allow, ..decided },
        false => decided,
    }
}

/// The decision, unless it hangs on what was not recorded.
fn certain(
    one: &Recorded,
    policies: &Policies,
    trust_domain: &str,
) -> Result<Option<Decided>, AnalysisError> {
    let prepared = one.call.prepare(trust_domain)?;
    let query = one.call.query(&prepared);
    let lacks_facts = one.facts_unknown && !policies.needed_facts(&query).is_empty();
    let decided = one.call.decide(policies, trust_domain)?;
    if one.arguments_known && !lacks_facts {
        return Ok(Some(decided));
    }
    // Without them a denial is certain only where no arguments and no facts could have made it a permit.
    Ok((!policies.allows(&query)).then_some(decided))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(json: &str) -> Entry {
        let text = format!(
            r#"{{"schema":"lockgate.audit/1","seq":7,"prev":"0","time":"2026-11-22T14:00:00.000000Z",{json}}}"#
        );
        Entry::parse(&text).unwrap()
    }

    #[test]
    fn calls_and_denials_are_read_and_nothing_else() {
        let call = r#""kind":"call","outcome":"ok","agent":"spiffe://d/agent/a","server":"crm","method":"tools/call",
            "name":"get","policies":["p"],"quantum_safe":true"#;
        let read = Recorded::read(&entry(call)).unwrap();
        assert_eq!((read.seq, read.was, read.arguments_known), (7, Outcome::Allow, false));
        assert_eq!(moment::text(read.call.at_ms), "2026-11-22T14:00:00Z");
        let known =
            format!(r#"{call},"policy_generation":3,"argument_names":["id"],"arguments":"{{\"id\":1}}""#);
        let read = Recorded::read(&entry(&known)).unwrap();
        assert!(read.arguments_known);
        assert_eq!(read.call.arguments["id"], 1);
        let named = format!(r#"{call},"policy_generation":3,"argument_names":["id"]"#);
        assert!(!Recorded::read(&entry(&named)).unwrap().arguments_known);
        let none = format!(r#"{call},"policy_generation":3"#);
        assert!(Recorded::read(&entry(&none)).unwrap().arguments_known);
        assert!(!Recorded::read(&entry(&none)).unwrap().approved);
        let approved = format!(r#"{call},"policy_generation":3,"approval":"local-user""#);
        assert!(Recorded::read(&entry(&approved)).unwrap().approved);
        let killed = r#""kind":"refusal","outcome":"refused","stage":"permit","consequence":"kill",
            "agent":"anonymous","server":"crm","method":"tools/list""#;
        assert_eq!(Recorded::read(&entry(killed)).unwrap().was, Outcome::Kill);
        for other in [
            r#""kind":"refusal","outcome":"refused","stage":"screen","agent":"a","server":"s","method":"ping""#,
            r#""kind":"link","outcome":"ok""#,
            r#""kind":"call","outcome":"ok""#,
        ] {
            assert_eq!(Recorded::read(&entry(other)), None);
        }
    }
}
