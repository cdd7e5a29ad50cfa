//! The candidates. Each gets the call as it came, the time and the facts, and makes of it what it needs: what is timed
//! is the decision with its context.

mod cedar;
mod cel;
mod lockgate;
mod rego;

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::Result;
use serde_json::{Value, json};

use crate::workload::{Call, HOUR, World};

/// A candidate.
pub(crate) trait Engine {
    /// As the table calls it.
    fn name(&self) -> &'static str;
    /// Decides one call, and says how long that took.
    fn decide(&mut self, call: &Call) -> Result<(Duration, bool)>;
}

/// All candidates on a set of so many rules.
pub(crate) fn all<'w>(rules: usize, world: &'w World) -> Result<Vec<Box<dyn Engine + 'w>>> {
    Ok(vec![
        Box::new(lockgate::Lockgate::new(rules, world)?),
        Box::new(cedar::Whole::new(rules)?),
        Box::new(cel::Rules::linear(rules)?),
        Box::new(cel::Rules::indexed(rules)?),
        Box::new(rego::Interpreter::new(rules)?),
        Box::new(rego::Machine::new(rules)?),
    ])
}

/// The call for engines that take JSON: the arguments, the names of all members, the hour and the facts.
fn input(call: &Call) -> Result<Value> {
    let arguments: Value = serde_json::from_str(call.arguments())?;
    let mut keys = BTreeSet::new();
    collect(&arguments, &mut keys);
    Ok(json!({
        "role": &*call.caller.roles[0],
        "tool": call.path(),
        "input": arguments,
        "keys": keys,
        "hour": HOUR,
        "facts": {"staff": {"on_duty": 3}},
    }))
}

fn collect(value: &Value, keys: &mut BTreeSet<String>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| collect(item, keys)),
        Value::Object(members) => {
            for (name, value) in members {
                keys.insert(name.to_lowercase());
                collect(value, keys);
            }
        }
        _ => {}
    }
}
