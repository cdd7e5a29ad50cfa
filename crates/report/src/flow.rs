//! Who sent what where: the facts of a record of processing.

use std::collections::BTreeSet;

use lockgate_audit::{Kind, Record};

use crate::count::Tally;

/// Names of one kind that a flow lists; more are counted as "and more".
const LISTED_MAX: usize = 100;

/// All that went to one server.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flow {
    pub(crate) calls: u64,
    pub(crate) refused: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    pub(crate) agents: Names,
    pub(crate) subjects: Names,
    pub(crate) arguments: Names,
    pub(crate) policies: Names,
}

/// Some names.
#[derive(Clone, Debug, Default)]
pub(crate) struct Names {
    pub(crate) listed: BTreeSet<String>,
    pub(crate) and_more: bool,
}

impl Names {
    fn add(&mut self, name: &str) {
        if self.listed.contains(name) {
            return;
        }
        match self.listed.len() < LISTED_MAX {
            true => drop(self.listed.insert(name.to_owned())),
            false => self.and_more = true,
        }
    }
}

/// By server.
pub(crate) fn add(flows: &mut Tally<Flow>, record: &Record<'_>) {
    let Some(server) = record.server.as_deref() else { return };
    let flow = flows.at(server);
    match record.kind {
        Kind::Call => flow.calls += 1,
        Kind::Refusal => {
            flow.refused += 1;
            return;
        }
        _ => return,
    }
    flow.bytes_in = flow.bytes_in.saturating_add(record.bytes_in.unwrap_or(0));
    flow.bytes_out = flow.bytes_out.saturating_add(record.bytes_out.unwrap_or(0));
    flow.agents.add(record.agent.as_deref().unwrap_or("anonymous"));
    let name = record.name.as_deref().filter(|_| record.method.as_deref() == Some("tools/call"));
    flow.subjects.add(name.or(record.method.as_deref()).unwrap_or("unknown"));
    record.argument_names.iter().for_each(|name| flow.arguments.add(name));
    record.policies.iter().for_each(|policy| flow.policies.add(policy));
}
